"""A power flow of all phases as the judgement of a problem: loss, voltages and limits phase by phase."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.network import Configuration, Evaluation, Floats, Ints, Network, PhaseSummary, ReconfigurationProblem
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.names import branch_quoted, bus_quoted
from learnopt.network.unbalanced import PhaseCircuit, PhaseFlow, PhaseState
from learnopt.physics.judge import LIMIT_TOLERANCE

SAME_AS_BEFORE = 1e-3
"""Relative worsening of a limit that is held at its present value which counts as none."""
MOST_FLOWS = 200_000
"""Branches in all load situations together whose currents are told phase by phase."""


def evaluation_of(problem: ReconfigurationProblem, states: Sequence[PhaseState]) -> Evaluation:
    """The judgement of a state in all phases, by the limits in force.

    Parameters
    ----------
    states
        One per load situation of the problem.
    """
    members = [_one(problem, state) for state in states]
    violations = dict.fromkeys(text for one in members for text in one.violations)
    return Evaluation.together(members, problem.total([one.loss_kw for one in members]), violations)


def _one(problem: ReconfigurationProblem, state: PhaseState) -> Evaluation:
    return Evaluation(
        converged=True,
        loss_kw=state.loss_kw,
        vm=state.lowest,
        loading=np.where(np.isfinite(problem.i_max), state.loading, 0.0),
        current_a=state.current_a,
        substation_kva=state.head_kva,
        violations=tuple(_sentence(problem, state, one) for one in _breaches(problem, state)),
    )


def broken_limits(problem: ReconfigurationProblem, states: Sequence[PhaseState]) -> tuple[HeldLimit, ...]:
    """Limits in force that a state breaks in a phase, each with its value there and :data:`SAME_AS_BEFORE` of room."""
    worst: dict[tuple[LimitKind, int], HeldLimit] = {}
    for state in states:
        for one in _breaches(problem, state):
            low = one.kind in _LEAST
            held = replace(one, value=one.value * (1 - SAME_AS_BEFORE if low else 1 + SAME_AS_BEFORE))
            other = worst.get((one.kind, one.index), held)
            worst[one.kind, one.index] = held if (held.value < other.value) == low else other
    return tuple(worst.values())


_LEAST = (LimitKind.LOWEST_VOLTAGE, LimitKind.LEAST_POWER)


def _breaches(problem: ReconfigurationProblem, state: PhaseState) -> Iterator[HeldLimit]:
    """Every limit in force that a phase violates, with its value in the state [pu]."""
    kw, most = problem.network.base.kw, problem.limits.unbalance_max
    rated = np.where(np.isfinite(problem.i_max), problem.i_max, np.inf)
    asked = {held.index: held.limit for held in problem.limits.held if held.kind is LimitKind.CURRENT}
    rating = np.array([asked.get(e, one) for e, one in enumerate(rated.tolist())])
    with np.errstate(invalid="ignore"):
        current = np.where(np.isfinite(rated), state.loading * rating, 0.0)
    values: list[tuple[LimitKind, Floats, Floats]] = [
        (LimitKind.LOWEST_VOLTAGE, state.lowest, problem.vm_min),
        (LimitKind.HIGHEST_VOLTAGE, state.highest, problem.vm_max),
        (LimitKind.CURRENT, current, rated),
        (LimitKind.MOST_POWER, state.head_kva / kw, problem.s_max),
        (LimitKind.LEAST_POWER, state.head_kva / kw, problem.s_min),
    ]
    if most is not None:
        values.append((LimitKind.UNBALANCE, np.nan_to_num(state.unbalance), problem.unbalance_max))
    for kind, value, limit in values:
        sign = -1.0 if kind in _LEAST else 1.0
        for k in np.flatnonzero(sign * value > sign * limit + LIMIT_TOLERANCE * np.abs(limit)).tolist():
            yield HeldLimit(kind, k, float(limit[k]), float(value[k]), proven=False)


def _sentence(problem: ReconfigurationProblem, state: PhaseState, broken: HeldLimit) -> str:
    """A limit that a phase violates, for people."""
    net, k, kind = problem.network, broken.index, broken.kind
    if kind is LimitKind.CURRENT:
        return f"{branch_quoted(net, k)}: {100 * state.loading[k]:.4g} % of its rating in a phase"
    if kind is LimitKind.UNBALANCE:
        return f"{bus_quoted(net, k)}: voltage unbalance {100 * broken.value:.3g} %, above {100 * broken.limit:g} %"
    side = "below" if kind in _LEAST else "above"
    if kind in (LimitKind.LOWEST_VOLTAGE, LimitKind.HIGHEST_VOLTAGE):
        return f"{bus_quoted(net, k)}: {broken.value:.4f} pu in a phase, {side} {broken.limit:g} pu"
    where, kw = bus_quoted(net, net.substations[k]), net.base.kw
    return f"substation {where}: {kw * broken.value:.6g} kVA, {side} {kw * broken.limit:.6g} kVA"


def unfed_bus(network: Network, state: PhaseState, fed: PhaseState) -> str:
    """A bus that has lost a phase which another state feeds, in a sentence; "" where none has."""
    dead = np.flatnonzero(state.live < fed.live)
    if not len(dead):
        return ""
    more = f" and {len(dead) - 1} more" if len(dead) > 1 else ""
    return f"{bus_quoted(network, dead[0])}{more} would be without one of their phases"


@dataclass(frozen=True)
class PhaseJudge:
    """A judge of states by the power flow of open circuits, one per load situation; without any it knows nothing."""

    circuits: Sequence[PhaseCircuit] = ()

    def __call__(self, problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
        """The judgement of a state."""
        states = solved_states(self.circuits, configuration) if self.circuits else []
        return evaluation_of(problem, states) if states else without_solution(problem)

    def live(self, configuration: Configuration) -> Ints | None:
        """Phases of each bus that have a voltage, shape (n_bus,); None where no power flow is found."""
        states = solved_states(self.circuits[:1], configuration)
        return states[0].live if states else None


def solved_states(circuits: Sequence[PhaseCircuit], configuration: Configuration) -> list[PhaseState]:
    """All phases of a state in each load situation; empty where one has no power flow."""
    solved = all(circuit.solve(configuration.closed) for circuit in circuits)
    return [circuit.state() for circuit in circuits] if solved else []


def without_solution(problem: ReconfigurationProblem) -> Evaluation:
    """The judgement of a state of which no power flow in all phases was found."""
    net, unknown = problem.network, math.nan
    return Evaluation(
        converged=False,
        loss_kw=unknown,
        vm=np.full(net.n_bus, unknown),
        loading=np.full(net.n_branch, unknown),
        current_a=np.full(net.n_branch, unknown),
        substation_kva=np.full(len(net.substations), unknown),
        violations=("no power flow was found in all phases",),
        unsettled=True,
    )


def summary_of(tool: str, network: Network, states: Sequence[PhaseState], present: Evaluation | None) -> PhaseSummary:
    """What to say of a state beside its evaluation; of several load situations the worst."""
    lowest = np.min([state.lowest for state in states], axis=0)
    highest = np.max([state.highest for state in states], axis=0)
    unbalance = np.max([np.nan_to_num(state.unbalance) for state in states], axis=0)
    low, high, worst = int(lowest.argmin()), int(highest.argmax()), int(unbalance.argmax())
    ids = network.bus_ids
    voltage = np.fmin.reduce([state.voltage for state in states])
    most = float(unbalance[worst])
    return PhaseSummary(
        tool, present, float(highest[high]), ids[high], ids[low], most, ids[worst], voltage, unbalance_at=unbalance
    )


def flow_of(circuits: Sequence[PhaseCircuit], configuration: Configuration) -> PhaseFlow | None:
    """Currents and powers of a state, the largest of several load situations.

    None where one has no power flow, or where there are more branches in all situations than anybody wants listed.
    """
    flows: list[PhaseFlow] = []
    for circuit in circuits:
        if len(configuration.closed) * len(circuits) > MOST_FLOWS or not circuit.solve(configuration.closed):
            return None
        flows.append(circuit.flow())
    return PhaseFlow.largest(flows)
