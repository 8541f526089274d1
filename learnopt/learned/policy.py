"""From belief to action: which switches to fix, and what follows from that.

A good configuration is at hand, and how sure one may be of each of its switches; the policy decides, per switch, to fix
it in its state there or to leave it free. Decisions are
made consistent on the graph before any solver sees them: fixed-closed switches close no loop, fixed-open ones leave
every bus feedable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.learning.confidence import Confidence
from learnopt.learning.predict import Prediction
from learnopt.network import Floats, ReconfigurationProblem
from learnopt.network.topology import DisjointSets


class Decision(IntEnum):
    """What the policy does with a switch; the values are those of ``Scenario.locked``."""

    FREE = -1
    FIX_OPEN = 0
    FIX_CLOSED = 1


DEFAULT_ALPHA = 0.01
HEADS_ALPHA = 0.05
"""Risk accepted with controls where none is asked for: labels are dear there, and few feeders state no smaller one."""
FOREIGN = 2.0
"""Novelty from which on no stated risk is believed."""
UNFIXING_ROUNDS = 2
"""Times the surer half of the decisions is tried after an infeasible reduced problem, before nothing is fixed."""


@dataclass(frozen=True)
class FixingPolicy:
    """Fix what one may be sure of.

    Parameters
    ----------
    alpha
        Accepted probability that any fixed switch of an instance is wrong, on feeders like those of the calibration.
        The threshold for it is stored with the checkpoint; without one nothing is fixed.

    Notes
    -----
    The risk is stated for feeders like those of the calibration. On an unusual feeder (novelty above 1) the next
    smaller risk is used instead, on a foreign one (above 2) nothing is fixed.
    """

    alpha: float = DEFAULT_ALPHA

    def used_alpha(self, prediction: Prediction) -> float | None:
        """The risk whose threshold is used on this feeder; None where nothing may be fixed.

        Raises
        ------
        DataError
            If the checkpoint was not calibrated for this alpha.
        """
        thresholds = prediction.thresholds
        if self.alpha not in thresholds:
            known = ", ".join(f"{a:g}" for a in sorted(thresholds)) or "none"
            raise DataError("fixing policy", [f"alpha = {self.alpha:g} has no threshold: the checkpoint has {known}"])
        return risk_used(self.alpha, thresholds, prediction.novelty)

    def decide(self, prediction: Prediction, confidence: Confidence) -> NDArray[np.int8]:
        """Decision per branch, shape (n_branch,): states of the configuration that the confidence is in.

        Raises
        ------
        DataError
            If the checkpoint was not calibrated for this alpha.
        """
        decisions = np.full(len(prediction.free), Decision.FREE, dtype=np.int8)
        alpha = self.used_alpha(prediction)
        tau = None if alpha is None else prediction.thresholds[alpha]
        if tau is not None:
            closed, opened = confidence.fixed(tau)
            decisions[closed] = Decision.FIX_CLOSED
            decisions[opened] = Decision.FIX_OPEN
            # Which of several branches in series without load opens makes no difference: one of them is enough.
            decisions[prediction.graph.idle & prediction.graph.forced_closed] = Decision.FIX_CLOSED
        return decisions


def risk_used(alpha: float, thresholds: Mapping[float, float | None], novelty: float) -> float | None:
    """The risk whose threshold is used: a smaller one on an unusual feeder, None where nothing may be fixed."""
    if novelty <= 1.0:
        return None if thresholds.get(alpha) is None else alpha
    safer = [a for a, tau in thresholds.items() if a < alpha and tau is not None]
    return max(safer) if safer and novelty <= FOREIGN else None


def consistent(problem: ReconfigurationProblem, decisions: NDArray[np.int8], p_closed: Floats) -> NDArray[np.int8]:
    """The decisions without those that contradict surer ones.

    A fixed-closed switch that would close a loop of surer ones, and a fixed-open switch that a bus needs to be fed, are
    freed again. The result leaves at least one radial configuration.
    """
    core = problem.core
    decided = decisions[core.branches]
    result = np.full_like(decisions, Decision.FREE)
    p = p_closed[core.branches]
    sets = DisjointSets(core.n_nodes)
    for i in np.argsort(-p, kind="stable"):
        if decided[i] == Decision.FIX_CLOSED and sets.join(int(core.tail[i]), int(core.head[i])):
            result[core.branches[i]] = Decision.FIX_CLOSED
    # What is not fixed open comes first; an open switch that is still needed to connect the rest is freed.
    is_open = decided == Decision.FIX_OPEN
    for i in np.lexsort((-p, is_open)):
        if result[core.branches[i]] == Decision.FIX_CLOSED:
            continue
        needed = sets.join(int(core.tail[i]), int(core.head[i]))
        if is_open[i] and not needed:
            result[core.branches[i]] = Decision.FIX_OPEN
    return result


def ladder(decisions: NDArray[np.int8], p_closed: Floats) -> Iterator[NDArray[np.int8]]:
    """What to fix, in turn while nothing is found: the decisions, :data:`UNFIXING_ROUNDS` surer halves, nothing."""
    for _ in range(UNFIXING_ROUNDS + 1):
        yield decisions
        if not (decisions != Decision.FREE).any():
            return
        decisions = surest_half(decisions, p_closed)
    yield np.full_like(decisions, Decision.FREE)


def surest_half(decisions: NDArray[np.int8], p_closed: Floats) -> NDArray[np.int8]:
    """The surer half of the decisions; the other half is freed."""
    fixed = np.flatnonzero(decisions != Decision.FREE)
    confidence = np.abs(p_closed[fixed] - 0.5)
    kept = fixed[np.argsort(-confidence, kind="stable")[: len(fixed) // 2]]
    result = np.full_like(decisions, Decision.FREE)
    result[kept] = decisions[kept]
    return result
