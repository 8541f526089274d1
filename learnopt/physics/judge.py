"""The independent judge: the AC power flow behind every reported loss.

It solves for bus voltages and branch currents (:mod:`learnopt.physics.nodal`), shares no code with the sweep and none
with the optimisers, and re-checks every limit of the problem on its solution. The loss is the sum of :math:`r|J|^2` and
of iron losses :math:`g|V|^2`, not a difference of powers. Where a state has several solutions it takes the normal one,
of high voltages; :mod:`learnopt.physics.second_opinion` asks another program.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from learnopt.network import Configuration, Evaluation, Floats, ReconfigurationProblem
from learnopt.network.names import branch_quoted, bus_quoted
from learnopt.network.topology import radiality_faults
from learnopt.physics.collapse import proven_without_solution
from learnopt.physics.nodal import Complex, NodalFlow, NodalState, balance

LIMIT_TOLERANCE = 1e-6
"""Relative slack with which limits are checked, the accuracy of a power flow."""
_MISSING = 1e-9
"""Largest imbalance at a bus of a solution, relative to the largest power of the state."""


def evaluate(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
    """AC power flow of a configuration and every limit it violates.

    A configuration that is not radial, and a power flow without solution, come back as ``converged = False`` with the
    reason in ``violations``. Every load situation is evaluated, and one without power flow fails them all.
    """
    faults = radiality_faults(problem.network, configuration.closed)
    if faults:
        failed, many = _failed(problem, faults), len(problem.situations)
        return failed if many == 1 else replace(failed, scenarios=(failed,) * many)
    return _together(problem, _power_flows(problem, configuration, meshed=False), judged=True)


def _together(problem: ReconfigurationProblem, single: tuple[Evaluation, ...], judged: bool) -> Evaluation:
    """The power flow of every situation as one; violations count, and name their situation, where it is judged."""
    if len(single) == 1:
        return single[0]
    sentences = [
        f"{scenario.name}: {sentence}" if judged else sentence
        for scenario, e in zip(problem.situations, single, strict=True)
        for sentence in e.violations
    ]
    if not all(e.converged for e in single):
        # One scenario that has no power flow for certain settles the configuration.
        return replace(_failed(problem, sentences, all(e.converged or e.unsettled for e in single)), scenarios=single)
    return Evaluation.together(single, problem.total([e.loss_kw for e in single]), sentences if judged else ())


def evaluate_transition(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
    """AC power flow of any state on the way between configurations: loops may be closed, buses without supply.

    Loops between substations carry what their voltages and angles drive, with nothing but the network between them.
    Where several scenarios are to be served every number is the worst of them, but for the loss, which is that of the
    problem. A bus without supply has a voltage of 0, and no sentence of a violation.
    """
    return _together(problem, _power_flows(problem, configuration, meshed=True), judged=False)


def _power_flows(problem: ReconfigurationProblem, configuration: Configuration, meshed: bool) -> tuple[Evaluation, ...]:
    """The power flow of a state in each scenario: factorised once, unless their networks differ."""
    if problem.situations.networks:
        return tuple(_power_flows(member, configuration, meshed)[0] for member in problem.members)
    members = problem.members
    try:
        flow = NodalFlow(problem, configuration.closed, angles=meshed, all_fed=not meshed)
    except RuntimeError:  # a singular network, such as a bus shunt in resonance
        reason = "the AC power flow has no unique solution: the network is singular"
        return tuple(_failed(member, [reason], unsettled=True) for member in members)
    s = np.stack([member.p + 1j * member.q for member in members])
    absent: dict[int, bool] = {}

    def hopeless(k: int) -> bool:
        absent[k] = not meshed and proven_without_solution(members[k], configuration)
        return absent[k]

    return tuple(
        _evaluated(member, configuration, flow, state, s[k], absent.get(k, False))
        for k, (member, state) in enumerate(zip(members, flow.solve(s, hopeless), strict=True))
    )


def _evaluated(
    problem: ReconfigurationProblem,
    configuration: Configuration,
    flow: NodalFlow,
    state: NodalState | None,
    s: Complex,
    absent: bool,
) -> Evaluation:
    """Loss, currents and limits of a solution; a failure where there is none, or its currents do not balance.

    Parameters
    ----------
    absent
        It is proven that there is no solution.
    """
    net = problem.network
    if state is not None:
        scale = float(np.abs(s).max(initial=0.0) + np.abs(state.current).max(initial=0.0))
        if balance(flow, state, problem, s).max(initial=0.0) > _MISSING * scale:
            state = None
    if state is None:
        reason = "has no solution" if absent else "was not found; it may have none"
        return _failed(problem, [f"the AC power flow {reason}"], unsettled=not absent)
    into, out = flow.ends(state)
    end = np.maximum(np.abs(into), np.abs(out))
    used = end > 0
    behind = np.abs(state.v[net.from_bus]) / net.ratio
    iron = 0.5 * net.g * (behind**2 + np.abs(state.v[net.to_bus]) ** 2)
    on = configuration.closed & flow.fed[net.from_bus]
    loss_kw = float(np.sum(net.r * np.abs(state.current) ** 2 + np.where(on, iron, 0.0))) * net.base.kw
    loading = np.where(used & np.isfinite(net.i_max), end / net.i_max, 0.0)
    leaving = np.zeros(net.n_bus, dtype=complex)
    np.add.at(leaving, net.from_bus, into)
    np.subtract.at(leaving, net.to_bus, out)
    roots = net.substations
    drawn = s[roots] + state.v[roots] * np.conj(leaving[roots])
    drawn = drawn + np.abs(state.v[roots]) ** 2 * np.conj(net.g_shunt[roots] + 1j * net.b_shunt[roots])
    vm, current, kva = np.abs(state.v), end * net.i_base, np.abs(drawn) * net.base.kw
    violations = _limit_violations(problem, vm, current, kva)
    return Evaluation(True, loss_kw, vm, loading, current, kva, tuple(violations))


def branch_loss_kw(problem: ReconfigurationProblem, evaluation: Evaluation) -> Floats:
    """Loss of each branch [kW], shape (n_branch,): r I^2 of the larger end, scaled to the total of the judge."""
    net = problem.network
    if not evaluation.converged:
        return np.zeros(net.n_branch)
    heat = net.r * (evaluation.current_a / net.i_base) ** 2
    total = float(heat.sum())
    return heat * (evaluation.loss_kw / total) if total > 0 else heat


def _limit_violations(
    problem: ReconfigurationProblem,
    vm: np.ndarray,
    current_a: np.ndarray,
    delivered_kva: np.ndarray,
) -> list[str]:
    net, slack = problem.network, 1 + LIMIT_TOLERANCE
    found = []
    for k in np.flatnonzero(~net.is_substation & (vm > 0)):
        if vm[k] * slack < problem.vm_min[k]:
            found.append(f"bus {bus_quoted(net, k)}: voltage {vm[k]:.5f} pu is below {problem.vm_min[k]} pu")
        if vm[k] > problem.vm_max[k] * slack:
            found.append(f"bus {bus_quoted(net, k)}: voltage {vm[k]:.5f} pu is above {problem.vm_max[k]} pu")
    # Against the limit in force: a loading is told against the rating of the equipment.
    rating = problem.i_max * net.i_base
    over = current_a > rating * slack
    # The cable says it for its switch.
    for switch, fixed in net.switchgear.behind.items() if over.any() else ():
        over[switch] &= ~over[fixed]
    for e in np.flatnonzero(over):
        found.append(f"branch {branch_quoted(net, e)}: current {current_a[e]:.1f} A exceeds {rating[e]:.1f} A")
    low, high = problem.s_min * net.base.kw, problem.s_max * net.base.kw
    for s, k in enumerate(net.substations):
        if delivered_kva[s] > high[s] * slack:
            found.append(f"substation {bus_quoted(net, k)}: {delivered_kva[s]:.1f} kVA exceeds {high[s]:.1f} kVA")
        if delivered_kva[s] * slack < low[s]:
            found.append(f"substation {bus_quoted(net, k)}: {delivered_kva[s]:.1f} kVA is below {low[s]:.1f} kVA")
    return found


def _failed(problem: ReconfigurationProblem, reasons: list[str], unsettled: bool = False) -> Evaluation:
    net = problem.network
    return Evaluation(
        converged=False,
        loss_kw=math.nan,
        vm=np.full(net.n_bus, math.nan),
        loading=np.full(net.n_branch, math.nan),
        current_a=np.full(net.n_branch, math.nan),
        substation_kva=np.full(len(net.substations), math.nan),
        violations=tuple(reasons),
        unsettled=unsettled,
    )
