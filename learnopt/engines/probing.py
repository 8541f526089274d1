"""Switches whose other state is proven too dear, before any model is built.

The tree search's AC bound (:mod:`learnopt.engines.trunk`) decides some switches at its root: opening them costs more
than the incumbent allows. Others are probed: the switch is locked the other way and a short search tries to refute it.
What is refuted is fixed; a bound of the problem with these fixings, or the cutoff, is one of the full problem.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.engines.tree_kernel import CLOSED, FINISHED, OPEN, search
from learnopt.engines.tree_search import _Run, ac_obstacles
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import power_flow

PROBE_NODES = 200
"""Nodes of one probe: more refute more, each costs microseconds; what they leave is for the engine that asked."""


def fix_by_bounds(
    problem: ReconfigurationProblem, incumbent: Configuration, cutoff_pu: float
) -> ReconfigurationProblem:
    """The problem with further switches locked: every configuration it loses has an objective of at least the cutoff.

    Where the AC bound does not cover the problem (generation, charging) it is returned as it is.

    Parameters
    ----------
    incumbent
        A configuration with a power flow, where the bound touches.
    cutoff_pu
        Objective that configurations of interest stay below [pu].
    """
    if ac_obstacles(problem) or not problem.free.any():
        return problem
    flow = power_flow(problem, incumbent)
    if not flow.converged:
        return problem

    def refuted(candidate: ReconfigurationProblem, budget: int) -> tuple[bool, np.ndarray]:
        """Nothing of the candidate is below the cutoff, as far as so many nodes tell; and its root decisions."""
        run, columns, constant = _Run.of(candidate).ac_metric([flow])
        frames = run.frames(columns, constant, cutoff_pu, 0.0)
        outcome = search(run.decisions, run.trunk, frames, run.base_closed, budget, False)
        found, unsettled = frames.scalars[4] > 0, np.isfinite(frames.best[2])
        return outcome == FINISHED and not found and not unsettled, frames.state[0]

    def locked(base: ReconfigurationProblem, branch: int, state: int) -> ReconfigurationProblem:
        locks = base.scenario.locked.copy()
        locks[branch] = state
        return base.replace(scenario=replace(base.scenario, locked=locks))

    settled, state = refuted(problem, 1)
    if settled:  # nothing is below the cutoff: the incumbent is all that is left
        locks = incumbent.closed.astype(np.int8)
        return problem.replace(scenario=replace(problem.scenario, locked=locks))
    reduced = problem
    for i, branch in enumerate(problem.core.branches):
        if state[i] in (CLOSED, OPEN):
            reduced = locked(reduced, int(branch), int(state[i] == CLOSED))
    for branch in np.flatnonzero(reduced.free):
        for other in (0, 1):
            if not reduced.free[branch]:
                break
            probe = locked(reduced, int(branch), other)
            if probe.contradictions or refuted(probe, PROBE_NODES)[0]:
                reduced = locked(reduced, int(branch), 1 - other)
    return reduced
