r"""Limits that the present state breaks and no switch can change: held at their present value, and said.

An overloaded branch that feeds a fixed part of the network would make every problem on its feeder infeasible, although
switches have nothing to do with it. Such a limit is found in two ways:

proven
    No radial configuration respects it by itself, whatever else it does. With net loads :math:`p, q` below, losses
    :math:`\ge 0` and :math:`V^{\max}` the highest voltage of a configuration that is looked at: a branch in no loop
    feeds all that lies below it, so :math:`|I| \ge |\sum p + j \sum q| / V^{\max}`; a substation that alone can feed
    a part draws at least :math:`|\sum p + j \sum q|`; and a bus k is no higher than

    .. math:: V_k^2 \le V_0^2 - 2 \min_{paths} \sum (r_e P_k + x_e Q_k)

    since every branch on its path carries at least the load at it and behind it (DistFlow without the loss term, which
    lowers voltages further; Baran & Wu 1989, doi:10.1109/61.25627). Reactive sums and voltages: without capacitive
    shunts; voltages: without generation and with ratios that agree around loops.
found
    No admissible configuration was found, and a search that asks for this one limit alone finds none that
    respects it: branch exchange, and an exact engine, which may prove it.

A limit that some switch can bring about stays a limit, and so does a voltage limit that is given beside the network
(``--vmin``): it asks whether it can be had.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.exchange import find_incumbent
from learnopt.formulations.bounds import fed_through_block, fed_through_bus
from learnopt.network import (
    Configuration,
    Evaluation,
    Floats,
    HeldLimit,
    LimitKind,
    Limits,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.held import held_in_words
from learnopt.network.rescaling import without_ratios
from learnopt.network.topology import DisjointSets, merged_nodes, unfed_buses
from learnopt.physics import evaluate
from learnopt.physics.judge import LIMIT_TOLERANCE
from learnopt.physics.present import evaluate_as_it_is
from learnopt.studies.configuration.solve import AUTO, solve

MANY_LOOPS = 25
"""More loops than this are not searched to the end before limits are held for which no switch was found."""
MOST_ASKED = 20
"""Limits for which alone a configuration is looked for, the most broken first."""
RANDOM_STARTS = 5
ASKED_NODES, ANY_GAP = 2000, 1.0
"""Nodes of the exact search for one limit, so that what is held does not hang on the machine, and its gap: any
configuration will do."""


def hold_limits(problem: ReconfigurationProblem) -> ReconfigurationProblem:
    """The problem with the limits held that the present state breaks and, proven, every configuration.

    The problem itself where there are none, where the present state has no power flow, and with controls, which change
    what no switch does.
    """
    broken = _broken(problem)
    if not broken or problem.controls:
        return problem
    floors: dict[int, _Floors] = {}
    proven = []
    for one, scenario in broken:
        if scenario not in floors:
            floors[scenario] = _Floors.of(problem.members[scenario])
        if floors[scenario].exclude(one):
            proven.append(replace(one, proven=True))
    return _holding(problem, proven)


def hold_stubborn(problem: ReconfigurationProblem, searched: bool = True) -> ReconfigurationProblem | None:
    """The problem with every limit held that the present state breaks and for which no switch was found.

    None where there is no such limit.

    Parameters
    ----------
    searched
        Where branch exchange finds no configuration that respects a limit, ask an exact engine, which may prove it.
    """
    broken = [one for one, _ in _broken(problem)]
    if not broken or problem.contradictions:
        return None
    left = _stubborn(problem, broken, MOST_ASKED, searched)
    return _holding(problem, left) if left else None


def held_in_situations(situations: Iterable[ReconfigurationProblem]) -> tuple[HeldLimit, ...]:
    """Limits to be held where every situation may have a configuration of its own: steps of a day or of a year.

    A limit is held at the worst present value of all situations if no configuration respects it in that situation,
    proven, or if none was found there that does. At most :data:`MOST_ASKED` are looked for, the most broken first;
    others stay limits.

    Parameters
    ----------
    situations
        Problems of one scenario or several, of one network and with the same limits; none is kept.
    """
    worst: dict[tuple[LimitKind, int], tuple[HeldLimit, ReconfigurationProblem]] = {}
    for problem in situations:
        for one, scenario in _broken(problem):
            key = one.kind, one.index
            if key not in worst or _excess(one) > _excess(worst[key][0]):
                worst[key] = one, problem.members[scenario]
    together: dict[int, tuple[ReconfigurationProblem, list[HeldLimit]]] = {}
    for one, member in sorted(worst.values(), key=lambda entry: -_excess(entry[0])):
        together.setdefault(id(member), (member, []))[1].append(one)
    held, budget = [], MOST_ASKED
    for member, broken in together.values():
        if member.contradictions:
            continue
        floors = None if member.controls else _Floors.of(member)
        proven = [one for one in broken if floors is not None and floors.exclude(one)]
        asked = [one for one in broken if one not in proven][:budget]
        budget -= len(asked)
        held += [replace(one, proven=True) for one in proven] + _stubborn(member, asked, len(asked), searched=True)
    return tuple(sorted(held, key=lambda one: -_excess(one)))


def _excess(one: HeldLimit) -> float:
    """By how much the present state breaks a limit, as a share of it."""
    return abs(one.value / one.limit - 1)


def _stubborn(problem: ReconfigurationProblem, broken: list[HeldLimit], most: int, searched: bool) -> list[HeldLimit]:
    """Those of some limits for which no switch was found; ``most`` of them are looked for alone."""
    rng = np.random.default_rng(0)
    left = list(broken)
    for one in broken[:most]:
        if one not in left:
            continue
        alone = _only(problem, one)
        found = find_incumbent(alone.mean.applied(None), None, rng, RANDOM_STARTS)
        candidates = [] if found is None else [found]
        if searched and (found is None or not evaluate(alone.applied(None), found).feasible):
            result = solve(alone, AUTO, SolveOptions(gap=ANY_GAP, node_limit=ASKED_NODES))
            if result.status is Status.INFEASIBLE:
                left[left.index(one)] = replace(one, proven=True)
            elif result.configuration is not None:
                candidates = [result.configuration]
                left.remove(one)  # controls may have helped
        for candidate in candidates:
            if problem.admits(candidate):
                evaluation = evaluate(problem.applied(None), candidate)
                left = [other for other in left if not _respected(problem, other, evaluation)]
    return left


def solve_holding(
    problem: ReconfigurationProblem, run: Callable[[ReconfigurationProblem], Result]
) -> tuple[ReconfigurationProblem, Result]:
    """Solve with limits held that no switch can change.

    Parameters
    ----------
    run
        Solves a problem.

    Returns
    -------
    The problem that was solved, whose ``limits.held`` says what is held, and its result: the message says it too.
    """
    problem = hold_limits(problem)
    if problem.network.n_loops > MANY_LOOPS and not problem.contradictions and _broken(problem):
        # An exhaustive search for what may not exist would take too long.
        found = find_incumbent(problem.mean.applied(None), None, np.random.default_rng(0), RANDOM_STARTS)
        if found is None or not evaluate(problem.applied(None), found).feasible:
            problem = hold_stubborn(problem, searched=False) or problem
    result = run(problem)
    if result.status in (Status.INFEASIBLE, Status.NO_SOLUTION):
        looser = hold_stubborn(problem, searched=result.status is Status.INFEASIBLE)
        if looser is not None:
            problem, result = looser, run(looser)
    sentence = held_in_words(problem.network, problem.limits)
    if sentence:
        result = replace(result, message=" ".join(part for part in (result.message, sentence) if part))
    return problem, result


def _holding(problem: ReconfigurationProblem, limits: list[HeldLimit]) -> ReconfigurationProblem:
    if not limits:
        return problem
    return problem.replace(limits=replace(problem.limits, held=(*problem.limits.held, *limits)))


def _present(problem: ReconfigurationProblem) -> Evaluation | None:
    """Power flow of the state before switching; with outages that leave buses without supply, of that before them."""
    net = problem.network
    problem = problem.applied(None)
    state = Configuration(net.normal_configuration.closed & ~problem.out_of_service)
    if unfed_buses(net, state.closed).any():
        state = net.normal_configuration
        problem = problem.replace(out_of_service=np.zeros(net.n_branch, dtype=bool))
    evaluation = evaluate_as_it_is(problem, state)
    return evaluation if evaluation.converged else None


def _broken(problem: ReconfigurationProblem) -> list[tuple[HeldLimit, int]]:
    """Limits in force that the present state breaks, the most broken first, and the scenario that breaks each most.

    Their ``value`` is the present one: the worst of all scenarios.
    """
    limits = problem.limits
    if not (any(problem.voltage_ranges) or limits.ampacity or limits.substations):
        return []
    present = _present(problem)
    if present is None:
        return []
    each, net = present.situations, problem.network
    kva = [e.substation_kva / net.base.kw for e in each]
    currents = [e.current_a / net.i_base for e in each]
    found: list[tuple[HeldLimit, int]] = []
    for kind, asked, values, sign in (
        (LimitKind.LOWEST_VOLTAGE, problem.vm_min, [e.vm for e in each], -1),
        (LimitKind.HIGHEST_VOLTAGE, problem.vm_max, [e.vm for e in each], 1),
        (LimitKind.CURRENT, problem.i_max, currents, 1),
        (LimitKind.LEAST_POWER, problem.s_min, kva, -1),
        (LimitKind.MOST_POWER, problem.s_max, kva, 1),
    ):
        # What is asked for by an option is a question: can this be had?
        if (kind is LimitKind.LOWEST_VOLTAGE and limits.vm_min) or (
            kind is LimitKind.HIGHEST_VOLTAGE and limits.vm_max
        ):
            continue
        worst = np.argmax(values, axis=0) if sign > 0 else np.argmin(values, axis=0)
        value = np.max(values, axis=0) if sign > 0 else np.min(values, axis=0)
        missed = value / (1 + LIMIT_TOLERANCE) > asked if sign > 0 else value * (1 + LIMIT_TOLERANCE) < asked
        for k in np.flatnonzero(missed):
            one = HeldLimit(kind, int(k), float(asked[k]), float(value[k]), proven=False)
            found.append((one, int(worst[k])))
    return sorted(found, key=lambda entry: -_excess(entry[0]))


def _respected(problem: ReconfigurationProblem, one: HeldLimit, evaluation: Evaluation) -> bool:
    """A power flow keeps one limit, in every scenario."""
    if not evaluation.converged:
        return False
    net, slack = problem.network, 1 + LIMIT_TOLERANCE
    for e in evaluation.situations:
        value = {
            LimitKind.LOWEST_VOLTAGE: e.vm,
            LimitKind.HIGHEST_VOLTAGE: e.vm,
            LimitKind.CURRENT: e.current_a / net.i_base,
            LimitKind.LEAST_POWER: e.substation_kva / net.base.kw,
            LimitKind.MOST_POWER: e.substation_kva / net.base.kw,
        }[one.kind][one.index]
        low = one.kind in (LimitKind.LOWEST_VOLTAGE, LimitKind.LEAST_POWER)
        if value * slack < one.limit if low else value > one.limit * slack:
            return False
    return True


def _only(problem: ReconfigurationProblem, one: HeldLimit) -> ReconfigurationProblem:
    """The problem with a single limit in force."""
    net = problem.network
    n, m, k = net.n_bus, net.n_branch, len(net.substations)
    limits = {"vm_min": np.zeros(n), "vm_max": np.full(n, np.inf), "i_max": np.full(m, np.inf)}
    limits |= {"s_min": np.zeros(k), "s_max": np.full(k, np.inf)}
    limits[one.kind][one.index] = one.limit
    network = replace(
        net,
        vm_min=limits["vm_min"],
        vm_max=limits["vm_max"],
        i_max=limits["i_max"],
        substation_s_min=limits["s_min"],
        substation_s_max=limits["s_max"],
    )
    return problem.replace(network=network, limits=Limits(ampacity=True, substations=True, voltage=True))


@dataclass(frozen=True)
class _Floors:
    """What every radial configuration has at least, or at most.

    Parameters
    ----------
    current
        Lower bound of the current of each branch [pu], shape (n_branch,).
    voltage
        Upper bound of the voltage of each bus [pu], shape (n_bus,).
    drawn
        Lower bound of the power drawn at each substation [pu], shape (n_substation,).
    """

    current: Floats
    voltage: Floats
    drawn: Floats

    def exclude(self, one: HeldLimit) -> bool:
        """No configuration respects this limit."""
        slack = 1 + 2 * LIMIT_TOLERANCE
        if one.kind is LimitKind.CURRENT:
            return bool(self.current[one.index] > one.limit * slack)
        if one.kind is LimitKind.LOWEST_VOLTAGE:
            return bool(self.voltage[one.index] * slack < one.limit)
        return one.kind is LimitKind.MOST_POWER and bool(self.drawn[one.index] > one.limit * slack)

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> _Floors:
        """The bounds of one scenario; those that prove nothing where their conditions do not hold."""
        net = problem.network
        usable, fed = problem.usable, ~net.is_substation
        p, q = np.where(fed, problem.p, 0.0), np.where(fed, problem.q, 0.0)
        inductive = bool((net.b_shunt[fed] <= 0).all() and (problem.b[usable] <= 0).all())
        # In a loop that stays closed a bus is fed two ways: nothing is known of either.
        passive = inductive and bool((p >= 0).all() and (q >= 0).all()) and not problem.chords.any()
        # Without generation nothing rises above the substations; else what an upper limit in force allows.
        highest = np.array(problem.vm_max) * (1 + LIMIT_TOLERANCE)
        rescaled = without_ratios(problem) if passive else None
        if rescaled is not None:
            root = float(rescaled.problem.network.substation_vm.max())
            highest = np.minimum(highest, root * rescaled.scale)
        highest[net.substations] = net.substation_vm
        voltage = highest
        if rescaled is not None:
            voltage = np.minimum(highest, _highest_voltages(rescaled.problem) * rescaled.scale)

        def least(active: Floats, reactive: Floats) -> Floats:
            return np.hypot(np.maximum(active, 0.0), np.maximum(reactive, 0.0) if inductive else 0.0)

        blocks, node = problem.blocks, merged_nodes(net)
        below = least(fed_through_block(problem, p), fed_through_block(problem, q))
        current = np.zeros(net.n_branch)
        for e in np.flatnonzero(blocks.bridges):
            block = blocks.block[e]
            sends_from = node[net.from_bus[e]] == blocks.entry[block]
            sender = net.from_bus[e] if sends_from else net.to_bus[e]
            current[e] = below[block] / highest[sender]
        return cls(current, voltage, _least_drawn(problem, p, q, least))


def _least_drawn(
    problem: ReconfigurationProblem, p: Floats, q: Floats, least: Callable[[Floats, Floats], Floats]
) -> Floats:
    """What each substation draws at least: the loads that no other can feed."""
    net = problem.network
    fed = ~net.is_substation
    sets = DisjointSets(net.n_bus)
    inside = problem.usable & fed[net.from_bus] & fed[net.to_bus]
    for e in np.flatnonzero(inside):
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    label = np.array([sets.find(k) for k in range(net.n_bus)])
    position = {int(k): s for s, k in enumerate(net.substations)}
    feeders: dict[int, set[int]] = {}
    for e in np.flatnonzero(problem.usable & (fed[net.from_bus] != fed[net.to_bus])):
        i, j = int(net.from_bus[e]), int(net.to_bus[e])
        bus, root = (i, j) if fed[i] else (j, i)
        feeders.setdefault(int(label[bus]), set()).add(position[root])
    active, reactive = np.zeros(len(net.substations)), np.zeros(len(net.substations))
    own = net.substations
    active += np.where(problem.p[own] < 0, problem.p[own], 0.0)
    for part, roots in feeders.items():
        if len(roots) == 1:
            members = fed & (label == part)
            active[min(roots)] += p[members].sum()
            reactive[min(roots)] += q[members].sum()
    # What a substation draws or injects at its own bus counts too, and may be negative.
    reactive += np.where(problem.q[own] < 0, problem.q[own], 0.0) - np.maximum(net.b_shunt[own], 0.0) * 2.0
    return least(active, reactive)


def _highest_voltages(problem: ReconfigurationProblem) -> Floats:
    """Most that each bus has in any radial configuration [pu], shape (n_bus,); for loads only and no ratio."""
    net, blocks = problem.network, problem.blocks
    node = merged_nodes(net)
    n_nodes = int(node.max()) + 1
    p, q = np.zeros(n_nodes), np.zeros(n_nodes)
    p[node], q[node] = fed_through_bus(problem, problem.p), fed_through_bus(problem, problem.q)
    tail, head = node[net.from_bus], node[net.to_bus]
    square = np.full(n_nodes, math.inf)
    square[0] = float(net.substation_vm.max()) ** 2
    members: list[list[int]] = [[] for _ in blocks.entry]
    for e in np.flatnonzero(blocks.block >= 0):
        members[blocks.block[e]].append(int(e))
    for block in blocks.depth_first:
        entry, edges = int(blocks.entry[block]), members[block]
        ways = [_distances(entry, edges, tail, head, weight) for weight in (net.r, net.x)]
        for k in ways[0]:
            if k != entry:
                square[k] = square[entry] - 2 * (ways[0][k] * p[k] + ways[1][k] * q[k])
    highest: Floats = np.sqrt(np.maximum(square, 0.0))[node]
    return highest


def _distances(source: int, edges: list[int], tail: np.ndarray, head: np.ndarray, weight: Floats) -> dict[int, float]:
    """Least weight of a way from a node to each other within some branches (Dijkstra)."""
    at: dict[int, list[tuple[int, float]]] = {}
    for e in edges:
        i, j, w = int(tail[e]), int(head[e]), float(weight[e])
        at.setdefault(i, []).append((j, w))
        at.setdefault(j, []).append((i, w))
    distance: dict[int, float] = {}
    queue = [(0.0, source)]
    while queue:
        far, k = heapq.heappop(queue)
        if k in distance:
            continue
        distance[k] = far
        for other, w in at.get(k, ()):
            if other not in distance:
                heapq.heappush(queue, (far + w, other))
    return distance
