"""The class of a problem: what it has beyond topology, loads and impedances, and whether a stated risk covers it.

Thresholds say how often a fixed switch is wrong on problems like those of the calibration. On another class that
number means nothing, so nothing is fixed there, and the answer says why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.learning.coverage import Coverage
from learnopt.network import ReconfigurationProblem

TOPOLOGY = "topology"
CONTROLS, SITUATIONS, OPERATIONS = "controls", "several load situations", "cost or cap of operations"
LIMITS, CHARGING, GENERATION = "limits that bind", "line charging", "strong generation"
EQUIPMENT = "shunts, ratios or iron losses"
OPERATING = "limits, charging, generation, equipment or operations"
"""Family of what has neither controls nor several load situations, and more than topology."""
NEGLIGIBLE = 0.01
"""Charging up to this share of the load moves no currents worth speaking of."""


@dataclass(frozen=True)
class ProblemClass:
    """What a problem has, and what of it no calibration covers.

    Parameters
    ----------
    traits
        Beyond topology, loads and impedances; empty for the class :data:`TOPOLOGY`.
    uncovered
        Those on which the thresholds were not calibrated.
    """

    traits: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()

    @classmethod
    def of(cls, problem: ReconfigurationProblem, coverage: Coverage, binding: bool = False) -> ProblemClass:
        """The class of a problem.

        Parameters
        ----------
        coverage
            What the calibration had.
        binding
            The best configuration known without limits violates one.
        """
        load = float(sum(np.hypot(m.p, m.q)[m.p > 0].sum() for m in problem.members))
        charging = len(problem.members) * float(np.maximum(problem.b, 0.0).sum())
        # Load net of generation at the same bus is all that is seen, as in training.
        made = float(sum(np.maximum(-m.p, 0.0).sum() for m in problem.members))
        drawn = float(sum(np.maximum(m.p, 0.0).sum() for m in problem.members))
        share = made / drawn if drawn else np.inf if made else 0.0
        found = {
            CONTROLS: (bool(problem.controls), False),
            SITUATIONS: (len(problem.situations) > 1, False),
            OPERATIONS: (bool(problem.switching_cost) or problem.max_operations is not None, False),
            LIMITS: (binding, coverage.limits),
            CHARGING: (charging > NEGLIGIBLE * load, coverage.charging),
            EQUIPMENT: (_equipped(problem), False),
            GENERATION: (share > max(coverage.generation, NEGLIGIBLE), False),
        }
        return cls(
            tuple(trait for trait, (has, _) in found.items() if has),
            tuple(trait for trait, (has, covered) in found.items() if has and not covered),
        )

    @property
    def name(self) -> str:
        """For people: the traits, or :data:`TOPOLOGY`."""
        return ", ".join(self.traits) or TOPOLOGY

    @property
    def family(self) -> str:
        """The class that thresholds are calibrated for: the trait that changes most what is to be decided."""
        if CONTROLS in self.traits:
            return f"{CONTROLS}, {SITUATIONS}" if SITUATIONS in self.traits else CONTROLS
        return SITUATIONS if SITUATIONS in self.traits else OPERATING if self.traits else TOPOLOGY

    @property
    def calibrated(self) -> bool:
        """A stated risk covers it."""
        return not self.uncovered

    @property
    def sentence(self) -> str:
        """Why nothing is fixed; empty where the class is calibrated."""
        if self.calibrated:
            return ""
        return f"Nothing was fixed: the risk of a wrong fixing was never measured with {', '.join(self.uncovered)}."


def _equipped(problem: ReconfigurationProblem) -> bool:
    """Something else than lines and loads moves currents or loses power: no calibration had any of it."""
    net = problem.network
    shunts = net.g_shunt.any() or net.b_shunt.any() or any((m.scenario.q_load < 0).any() for m in problem.members)
    return bool(shunts or net.g.any() or (net.ratio != 1).any())
