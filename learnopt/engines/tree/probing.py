"""Switches whose other state is proven too dear, before any model is built.

The tree search's AC bounds decide some switches at its root: opening them costs more than the incumbent allows. Others
are probed: the switch is locked the other way and a short search tries to refute it. What is refuted is fixed; a bound
of the problem with these fixings, or the cutoff, is one of the full problem. With mixed signs
(:mod:`learnopt.engines.bounds.mixed_bound`) fixings tighten the bound itself, so both steps are repeated while they
help.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from learnopt.engines.clock import GoesOn, always
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.engines.tree.currents import power_flows
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.frames import CLOSED, OPEN
from learnopt.engines.tree.kernel import FINISHED
from learnopt.engines.tree.relaxation import Relaxation, ac_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Configuration, ReconfigurationProblem

PROBE_NODES = 200
"""Nodes of one probe: more refute more, each costs microseconds; what they leave is for the engine that asked."""
ROUNDS = 4
"""Renewals of the bound for mixed signs; each after switches were fixed."""
SHRUNK = 0.9
"""Renew that bound before any probe where it leaves less than this share of the switches."""


def fix_by_bounds(
    problem: ReconfigurationProblem,
    incumbent: Configuration,
    cutoff_pu: float,
    probes: bool = True,
    goes_on: GoesOn = always,
    learn: Callable[[float], None] | None = None,
) -> ReconfigurationProblem:
    """The problem with further switches locked: every configuration it loses has an objective of at least the cutoff.

    Where no AC bound covers the problem, or none is proven, it is returned as it is. A cutoff below the incumbent may
    leave nothing: the problem then has contradictions, or admits the incumbent alone.

    Parameters
    ----------
    incumbent
        A configuration with a power flow in every situation, where the bound touches.
    cutoff_pu
        Objective that configurations of interest stay below [pu].
    probes
        Also lock switches the other way and try to refute that, one by one.
    goes_on
        There is time. Where there is none what was fixed by then is returned.
    learn
        Told of lower bounds of the objective of every configuration of the problem [pu].
    """
    if ac_obstacles(problem) or not problem.free.any():
        return problem
    flows = power_flows(problem, incumbent)
    if not all(flow.converged for flow in flows):
        return problem
    mixed = bool(mixed_signs(problem))
    metric: Relaxation | None = None

    def searched(candidate: ReconfigurationProblem, budget: int) -> tuple[bool, DepthFirst]:
        """Nothing of the candidate is below the cutoff, as far as so many nodes tell; and the search."""
        space = SearchSpace.of(candidate)
        if metric is None:
            relaxation = ac_relaxation(space, flows, cutoff_pu, goes_on)
        else:
            relaxation = metric.on(space)
        search = DepthFirst(relaxation, cutoff_pu, 0.0)
        outcome = search.search(budget)
        nothing = search.improved is None and not np.isfinite(search.unsettled)
        return outcome == FINISHED and nothing, search

    def locked(base: ReconfigurationProblem, branch: int, state: int) -> ReconfigurationProblem:
        locks = base.locked.copy()
        locks[branch] = state
        return base.replace(locked=locks)

    reduced = problem
    for _ in range(ROUNDS if mixed else 1):
        before = np.count_nonzero(reduced.free)
        if mixed:
            # Valid for everything that the reduced problem admits, so for every probe of it.
            metric = ac_relaxation(SearchSpace.of(reduced), flows, cutoff_pu, goes_on)
            if not metric.proves:
                return reduced
        settled, search = searched(reduced, 1)
        state = search.root_decisions
        if learn is not None:  # what was fixed loses configurations above the cutoff only, and so does this bound
            learn(search.bound)
        if settled:  # nothing is below the cutoff: the incumbent is all that is left
            return problem.replace(locked=incumbent.closed.astype(np.int8))
        for i, branch in enumerate(reduced.core.branches):
            if state[i] in (CLOSED, OPEN):
                reduced = locked(reduced, int(branch), int(state[i] == CLOSED))
        if reduced.contradictions:  # fixings that exclude each other: nothing is below the cutoff
            break
        if mixed and np.count_nonzero(reduced.free) < SHRUNK * before:
            continue  # a tighter bound first
        for branch in np.flatnonzero(reduced.free) if probes else ():
            for other in (0, 1):
                if not (reduced.free[branch] and goes_on()):
                    break
                probe = locked(reduced, int(branch), other)
                if probe.contradictions or searched(probe, PROBE_NODES)[0]:
                    reduced = locked(reduced, int(branch), 1 - other)
        ended = reduced.contradictions or not (reduced.free.any() and goes_on())
        if ended or np.count_nonzero(reduced.free) == before:
            break
    return reduced
