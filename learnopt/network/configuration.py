"""Configuration: closed or open per branch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.network.aliases import Bools


def freeze(instance: Any) -> None:
    """Make every array of a frozen dataclass read-only."""
    for value in vars(instance).values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False


@dataclass(frozen=True, eq=False)
class Configuration:
    """State of every branch: the label, the prediction target, the warm start and the answer.

    Parameters
    ----------
    closed
        bool, shape (n_branch,); True = closed.
    """

    closed: Bools

    def __post_init__(self) -> None:
        object.__setattr__(self, "closed", np.array(self.closed, dtype=bool))
        freeze(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Configuration) and np.array_equal(self.closed, other.closed)

    def __hash__(self) -> int:
        return hash(self.closed.tobytes())

    def __repr__(self) -> str:
        return f"Configuration({int(self.closed.sum())} of {len(self.closed)} branches closed)"
