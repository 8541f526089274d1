"""The entry to planning a horizon: what may be asked for, and which run answers it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from learnopt.engines import Patience
from learnopt.errors import DataError
from learnopt.network import Configuration, HorizonProblem
from learnopt.network.held import held_in_words
from learnopt.network.unbalanced import PhaseCircuit
from learnopt.parallel import HERE, Workers
from learnopt.studies.configuration.held import held_in_situations
from learnopt.studies.configuration.order_check import unsafe_moves
from learnopt.studies.horizon.by_tree import TreeProofs
from learnopt.studies.horizon.phase_flows import PhaseFlows
from learnopt.studies.horizon.problem import HorizonPlan
from learnopt.studies.horizon.run import Proofs, Run, Suggest
from learnopt.studies.horizon.store import HorizonFolder
from learnopt.studies.horizon.work import Progress, Work

DEFAULT_GAP = 1e-3
IN_PHASES = (
    "Planned in all phases, since the file is unbalanced. The bound is the sum of those of the steps: what switching "
    "costs is in the plan, not in the bound."
)


def plan_horizon(
    problem: HorizonProblem,
    *,
    window: int | None = None,
    gap: float = DEFAULT_GAP,
    time_limit: float | None = None,
    node_limit: int | None = None,
    k_best: int = 4,
    out: Path | None = None,
    milp: bool = False,
    suggest: Suggest | None = None,
    progress: Progress | None = None,
    patience: Patience | None = None,
    circuits: Sequence[PhaseCircuit] = (),
    workers: Workers = HERE,
) -> HorizonPlan:
    """Plan a horizon.

    1. Tree search proves the least loss of every step and its ``k_best`` configurations, in blocks of some steps,
       within which each step starts from the answer of the one before; then the best single configuration of all
       steps, switching to it included.
    2. Dynamic programming over all candidates gives the plan.
    3. Rounds of Lagrangian decomposition (:mod:`learnopt.studies.horizon.bound`) raise the bound and add candidates,
       until the gap is reached or no candidate is new. Where the AC bounds are loose (generation, charging,
       capacitors) with load currents held first, then AC searches at the prices found.

    Parameters
    ----------
    window
        Steps known ahead: each step is decided in turn with the loads of so many steps from it on (model predictive
        control). None = all are known from the start. The bound is always that of full knowledge.
    gap
        Relative gap at which the rounds stop.
    time_limit
        Seconds for everything; None = no limit.
    node_limit
        Branch-and-bound nodes of all searches, after which the best plan found is returned; None = no limit. Unlike
        with a time limit the answer is the same on every machine.
    k_best
        Configurations proven per step. Where the tight AC bounds do not cover the problem one is, to the gap.
    out
        Folder that keeps what is proven of each step; an interrupted run goes on from there.
    milp
        Solve the steps, of each window where there is one, as one mixed-integer model too
        (:mod:`learnopt.engines.milp.rounds`): its plans are candidates, its bound counts. For short horizons or
        windows.
    circuits
        Of an unbalanced file in all its phases, one per step: everything is searched and judged there, without ``milp``
        and ``suggest``. The bound is the sum of those of the steps; there are no rounds.
    suggest
        Gives configurations worth trying for the problem of a step, the best first: starts and candidates.
    patience
        When to be content with a larger gap, and after twice its seconds with any; None = never.
    workers
        Who proves the steps alone; the plan is the same without a time limit. In all phases this process does.

    Ctrl-C returns the plan known by then once the steps are proven; before it is raised.

    Raises
    ------
    DataError
        If the window, the gap, the time limit or the folder does not fit.
    """
    bad = []
    if window is not None and not 1 <= window <= problem.n_steps:
        bad.append(f"window = {window} must be from 1 to the {problem.n_steps} steps of the profile")
    if not (math.isfinite(gap) and gap >= 0):
        bad.append(f"gap = {gap} must be a finite number >= 0")
    if time_limit is not None and not time_limit > 0:
        bad.append(f"time_limit = {time_limit} must be > 0 [s]")
    if node_limit is not None and node_limit < 1:
        bad.append(f"node_limit = {node_limit} must be >= 1")
    if k_best < 1:
        bad.append(f"k_best = {k_best} must be >= 1")
    if bad:
        raise DataError("horizon", bad)
    kept = None if out is None else HorizonFolder(out, problem, k_best, circuits[0].tool if circuits else "")
    limit = math.inf if time_limit is None else time_limit
    work = Work(limit, node_limit=node_limit, patience=patience)
    if progress is not None:
        work.report = progress
    window = None if window == problem.n_steps else window
    proofs: Proofs = TreeProofs(problem, work, gap, k_best)
    if problem.controls:
        from learnopt.studies.horizon.by_milp import MilpProofs  # loads Pyomo and HiGHS: only where they are needed

        proofs = MilpProofs(problem, work, gap)
    phases = None
    if circuits:
        from learnopt.studies.horizon.by_phases import PhaseProofs  # nothing of it where a file is balanced

        proofs, phases = PhaseProofs(problem, work, circuits, k_best), PhaseFlows(problem, circuits)
    plan = Run(problem, work, proofs, gap, kept, milp, suggest, phases, workers).plan(window)
    _refuse_unsafe(problem, plan)
    said = filter(None, (IN_PHASES if circuits else "", plan.message, held_in_words(problem.network, problem.limits)))
    return replace(plan, message=" ".join(said))


def _refuse_unsafe(problem: HorizonProblem, plan: HorizonPlan) -> None:
    """No change of a plan closes onto anything out of service or moves what is locked.

    Raises
    ------
    DataError
        Naming the step.
    """
    states = [Configuration(problem.initial.closed & ~problem.together.out_of_service), *plan.configurations]
    unsafe = [
        f"step {t}: {sentence}"
        for t, (before, after) in enumerate(pairwise(states), 1)
        for sentence in unsafe_moves(problem.together, before, after)
    ]
    if unsafe:
        raise DataError("horizon plan: not safe", unsafe)


def hold_limits_in_phases(problem: HorizonProblem, circuits: Sequence[PhaseCircuit]) -> HorizonProblem:
    """The same of all phases: limits that the present state breaks in a step, and every state that was found there.

    Parameters
    ----------
    circuits
        One per step.
    """
    from learnopt.studies.horizon.by_phases import stubborn_limits  # nothing of it where a file is balanced

    present = PhaseFlows(problem, circuits).present()
    held = stubborn_limits(problem, circuits, [t for t, state in enumerate(present) if not state.feasible])
    return replace(problem, limits=replace(problem.limits, held=(*problem.limits.held, *held))) if held else problem


def hold_limits_of_steps(problem: HorizonProblem) -> HorizonProblem:
    """The horizon with limits held that no configuration of some step respects; itself where there are none."""
    held = held_in_situations(problem.steps)
    return replace(problem, limits=replace(problem.limits, held=(*problem.limits.held, *held))) if held else problem
