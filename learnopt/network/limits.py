"""Limits that the present state breaks and no switch can change: held at their present value instead of enforced."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LimitKind(StrEnum):
    """What is limited."""

    LOWEST_VOLTAGE = "vm_min"
    HIGHEST_VOLTAGE = "vm_max"
    CURRENT = "i_max"
    LEAST_POWER = "s_min"
    MOST_POWER = "s_max"
    UNBALANCE = "unbalance_max"


@dataclass(frozen=True)
class HeldLimit:
    """One limit of a network that gives way to the present state.

    Parameters
    ----------
    index
        Bus of a voltage, branch of a current, position among the substations of a power.
    limit
        What the file or the user asks for [pu].
    value
        What is in force instead: the present value [pu].
    proven
        No radial configuration respects the limit by itself; otherwise none was found that does.
    """

    kind: LimitKind
    index: int
    limit: float
    value: float
    proven: bool
