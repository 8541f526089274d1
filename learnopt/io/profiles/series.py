"""Load profiles of a network as every reader returns them: instants and the net load of each bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from learnopt.io.profiles.clock import Times
from learnopt.network import Floats, Scenario, Situations
from learnopt.wording import counted


@dataclass(frozen=True, eq=False)
class Profiles:
    """Net loads of every bus over time.

    Parameters
    ----------
    times
        datetime64[s], shape (n_time,), strictly increasing: UTC where the file has offsets, else standard time.
    p, q
        Net active and reactive load [pu], shape (n_time, n_bus); negative p is generation.
    p_fed, q_fed
        Generation that these are net of [pu], same shape; 0 where unknown.
    notes
        What was assumed or repaired, one sentence each.
    n_branch
        Branches of the network that the profiles belong to.
    """

    times: Times
    p: Floats
    q: Floats
    p_fed: Floats
    q_fed: Floats
    notes: tuple[str, ...]
    n_branch: int

    def __post_init__(self) -> None:
        for array in (self.times, self.p, self.q, self.p_fed, self.q_fed):
            array.flags.writeable = False

    @classmethod
    def net(cls, times: Times, p: Floats, q: Floats, notes: tuple[str, ...], n_branch: int) -> Profiles:
        """Profiles of net values, of which nobody says what is generation."""
        return cls(times, p, q, np.zeros_like(p), np.zeros_like(q), notes, n_branch)

    def __repr__(self) -> str:
        when = f"{self.times[0]} to {self.times[-1]}" if len(self) else "none"
        return f"Profiles({counted(len(self), 'instant')} of {counted(self.p.shape[1], 'bus')}: {when})"

    def __len__(self) -> int:
        return len(self.times)

    def scenario(self, k: int) -> Scenario:
        """The loads of one instant; everything in service, nothing locked."""
        return Scenario(
            p_load=self.p[k] + self.p_fed[k],
            q_load=self.q[k] + self.q_fed[k],
            p_gen=self.p_fed[k].copy(),
            q_gen=self.q_fed[k].copy(),
            out_of_service=np.zeros(self.n_branch, dtype=bool),
            locked=np.full(self.n_branch, -1, dtype=np.int8),
            name=str(self.times[k]),
        )

    def scenario_set(self, indices: Iterable[int] | None = None, weights: Floats | None = None) -> Situations:
        """Scenarios of some instants (all where none are given), of equal weight unless said otherwise.

        Raises
        ------
        DataError
            If the weights do not fit.
        """
        chosen = range(len(self)) if indices is None else list(indices)
        return Situations(
            tuple(self.scenario(int(k)) for k in chosen), np.ones(len(chosen)) if weights is None else weights
        )
