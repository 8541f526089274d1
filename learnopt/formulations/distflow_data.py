"""The numbers of the DistFlow model: the problem, its arcs, what lies on them, and proven constants."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import Bounds, derive_bounds, derive_closer_bounds
from learnopt.formulations.voltage_paths import Window
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem


@dataclass(frozen=True)
class ArcEquipment:
    """Series impedance and current limit of each arc [pu], where they differ between arcs of one branch."""

    r: Floats
    x: Floats
    i_max: Floats


@dataclass(frozen=True)
class DistFlowData:
    """The numbers of the model: the problem, its arcs and proven constants.

    Parameters
    ----------
    equipment
        Of each arc; None = that of its branch in the network.
    """

    problem: ReconfigurationProblem
    arcs: Arcs
    bounds: Bounds
    equipment: ArcEquipment | None = None

    @cached_property
    def r(self) -> Floats:
        """Series resistance of each arc [pu], shape (n_arc,)."""
        return self.problem.network.r[self.arcs.branch] if self.equipment is None else self.equipment.r

    @cached_property
    def x(self) -> Floats:
        """Series reactance of each arc [pu], shape (n_arc,)."""
        return self.problem.network.x[self.arcs.branch] if self.equipment is None else self.equipment.x

    @cached_property
    def i_max(self) -> Floats:
        """Current limit in force on each arc [pu], shape (n_arc,); ``inf`` = none."""
        return self.problem.i_max[self.arcs.branch] if self.equipment is None else self.equipment.i_max

    @classmethod
    def of(
        cls, problem: ReconfigurationProblem, loss_cutoff: float = math.inf, window: Window | None = None
    ) -> DistFlowData:
        """Data for all configurations with loss at most ``loss_cutoff`` [pu].

        Parameters
        ----------
        window
            As of :func:`~learnopt.formulations.bounds.derive_bounds`; derived where absent.
        """
        arcs = Arcs.of(problem)
        if window is not None:
            return cls(problem, arcs, derive_bounds(problem, arcs, loss_cutoff, window=window))
        return cls(problem, arcs, derive_closer_bounds(problem, arcs, loss_cutoff))

    def configuration(self, used: Ints) -> Configuration:
        """The configuration in which of the arcs that are a decision these are in use."""
        branch = self.arcs.branch
        closed = self.problem.usable & (self.problem.blocks.block >= 0)
        closed[branch[~self.arcs.fixed]] = False
        closed[branch[used]] = True
        return Configuration(closed)
