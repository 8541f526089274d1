"""A power flow of all phases as the judgement of a problem: loss, voltages and limits phase by phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from learnopt.network import Evaluation, Floats, Ints, Network, PhaseSummary, ReconfigurationProblem
from learnopt.network.names import branch_quoted, bus_quoted
from learnopt.network.unbalanced import PhaseState
from learnopt.physics.judge import LIMIT_TOLERANCE

SAME_AS_BEFORE = 1e-3
"""Relative worsening up to which a limit that the present state breaks counts as not made worse."""


def evaluation_of(
    problem: ReconfigurationProblem, states: Sequence[PhaseState], present: Sequence[PhaseState]
) -> Evaluation:
    """The judgement of a state in all phases.

    Parameters
    ----------
    states
        One per load situation of the problem.
    present
        The same for the present state; limits that it breaks are held at its values. Empty = hold none.
    """
    members = [_one(problem, state, present[k] if present else None) for k, state in enumerate(states)]
    violations = dict.fromkeys(text for one in members for text in one.violations)
    return Evaluation.together(members, problem.total([one.loss_kw for one in members]), violations)


def _one(problem: ReconfigurationProblem, state: PhaseState, present: PhaseState | None) -> Evaluation:
    return Evaluation(
        converged=True,
        loss_kw=state.loss_kw,
        vm=state.lowest,
        loading=np.where(np.isfinite(problem.i_max), state.loading, 0.0),
        current_a=state.current_a,
        substation_kva=state.head_kva,
        violations=tuple(_violations(problem, state, present)),
    )


def broken_limits(problem: ReconfigurationProblem, present: Sequence[PhaseState]) -> tuple[str, ...]:
    """Limits that the present state breaks, one sentence each."""
    return tuple(dict.fromkeys(text for state in present for text in _violations(problem, state, None)))


def _violations(problem: ReconfigurationProblem, state: PhaseState, present: PhaseState | None) -> Iterator[str]:
    """A sentence for every limit that a phase violates, and that the present state does not violate as much."""
    net = problem.network
    slack = LIMIT_TOLERANCE

    def over(value: Floats, limit: Floats, before: Floats | None) -> Ints:
        held = limit if before is None else np.maximum(limit, before * (1 + SAME_AS_BEFORE))
        return np.flatnonzero(value > held * (1 + slack))

    def under(value: Floats, limit: Floats, before: Floats | None) -> Ints:
        held = limit if before is None else np.minimum(limit, before * (1 - SAME_AS_BEFORE))
        return np.flatnonzero(value < held * (1 - slack))

    for k in under(state.lowest, problem.vm_min, None if present is None else present.lowest):
        yield f"{bus_quoted(net, k)}: {state.lowest[k]:.4f} pu in a phase, below {problem.vm_min[k]:g} pu"
    for k in over(state.highest, problem.vm_max, None if present is None else present.highest):
        yield f"{bus_quoted(net, k)}: {state.highest[k]:.4f} pu in a phase, above {problem.vm_max[k]:g} pu"
    rated = np.where(np.isfinite(problem.i_max), 1.0, np.inf)
    for e in over(state.loading, rated, None if present is None else present.loading):
        yield f"{branch_quoted(net, e)}: {100 * state.loading[e]:.4g} % of its rating in a phase"
    s_max = problem.s_max * net.base.kw
    for k in over(state.head_kva, s_max, None if present is None else present.head_kva):
        yield f"substation {bus_quoted(net, net.substations[k])}: {state.head_kva[k]:.6g} kVA, at most {s_max[k]:.6g}"
    s_min = problem.s_min * net.base.kw
    for k in under(state.head_kva, s_min, None if present is None else present.head_kva):
        yield f"substation {bus_quoted(net, net.substations[k])}: {state.head_kva[k]:.6g} kVA, at least {s_min[k]:.6g}"


def summary_of(tool: str, network: Network, states: Sequence[PhaseState], present: Evaluation | None) -> PhaseSummary:
    """What to say of a state beside its evaluation; of several load situations the worst."""
    lowest = np.min([state.lowest for state in states], axis=0)
    highest = np.max([state.highest for state in states], axis=0)
    unbalance = np.max([np.nan_to_num(state.unbalance) for state in states], axis=0)
    low, high, worst = int(lowest.argmin()), int(highest.argmax()), int(unbalance.argmax())
    ids = network.bus_ids
    return PhaseSummary(tool, present, float(highest[high]), ids[high], ids[low], float(unbalance[worst]), ids[worst])
