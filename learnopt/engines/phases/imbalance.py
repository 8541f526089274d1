"""Imbalance never helps: the AC loss with the same lines and loads, balanced, is a lower bound of that in all phases.

Proof and conditions: ``docs/methods/phases.md``, section 4. The balanced network may be bounded by all that is proven
of balanced networks; its states that may still lose less than the answer are what is left to the judge.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import spsolve

from learnopt.engines.base import SolveOptions
from learnopt.engines.bounds.trunk import leaf_loss
from learnopt.engines.phases.balance import ALIKE, drawn, unbalanceable
from learnopt.engines.phases.search import Choice, Leaves, search
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.engines.tree.currents import power_flows
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.relaxation import Relaxation, ac_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import (
    Bools,
    Certificate,
    Configuration,
    Floats,
    Ints,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    Situations,
)
from learnopt.network.names import branch_label, bus_label
from learnopt.network.unbalanced import Complex, ConductorCircuit, RadialCircuit, TransposedCircuit
from learnopt.physics import power_flow
from learnopt.physics.held_currents import LoopModel, loop_model

WALK_STEPS = 100_000
"""Steps of the search for the longest way from a source; beyond, it may have all branches."""
GAP, NODES = 1e-4, 100_000
"""Relative gap to which the balanced network is solved, and nodes at most."""
QUANTILES = (0.0, 0.5, 1.0)
"""Of the ratios of zero- to positive-sequence impedance of the lines, that are tried."""
LIMIT_ROOM = 1e-3
"""What the judge lets a voltage limit be missed by, and more."""
ROUNDING = 1e-6
"""What a bound is lowered by: impedances and powers are read back from admittances and voltages."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Radial states that may lose less than the answer, and a bound of all others.

    Parameters
    ----------
    opened
        bool, shape (n_found, n_switch).
    bound_kw
        Lower bound of the AC objective of each [kW], shape (n_found,).
    rest_kw
        The same for every other radial state.
    nodes
        Nodes visited.
    """

    opened: Bools
    bound_kw: Floats
    rest_kw: float
    nodes: int


def transposed(circuit: RadialCircuit, network: Network) -> TransposedCircuit | str:
    """A circuit in sequences, or why it has none.

    Parameters
    ----------
    circuit
        With every branch of the network as a switch; those that are no lines lie inside the sources.
    """
    if unfit := unbalanceable(circuit):
        return unfit
    sources = _sequences(circuit.inside)
    if sources is None:
        return "a source is not balanced"
    n, n_line = network.n_branch, np.bincount(circuit.switch[circuit.switch >= 0], minlength=network.n_branch)
    ends = np.sort(circuit.bus[np.stack([circuit.tail, circuit.head])], axis=0)
    own = np.sort(np.stack([network.from_bus, network.to_bus]), axis=0)
    if (circuit.switch < 0).any() or n_line.max() > 1 or (ends != own[:, circuit.switch]).any():
        return "a line is no branch by itself"
    if not circuit.phases.all():
        line = branch_label(network, int(circuit.switch[np.argmin(circuit.phases.all(axis=1))]))
        return f"{line} has not all three phases"
    if (circuit.bus[circuit.loads.bus] < 0).any():
        return "a load is at no bus of the network"
    if (circuit.loads.nodes[:, 1] >= 0).any():
        return "a load is not between phases and ground"
    lines = _sequences(circuit.z)
    if lines is None:
        return "a line is not transposed"
    z = np.stack(lines)
    if z.real.min() <= 0 or z.imag.min() < 0:
        return "a line has an impedance that is not positive"
    z1, z0 = np.zeros((2, n), dtype=complex)
    z1[circuit.switch], z0[circuit.switch] = lines
    p, q, floor = np.zeros((3, network.n_bus))
    at, one, two, (least, _), most_a, most_s = circuit.bus, *drawn(circuit)
    live = at >= 0
    p[at[live]], q[at[live]], floor[at[live]] = one[live], two[live], least[live]
    emf = np.abs(circuit.emf)
    inside = float(np.abs(np.stack(sources)).max())
    return TransposedCircuit(z1, z0, p, q, (float(emf.min()), float(emf.max())), inside, floor, most_a, most_s)


def _sequences(z: Complex) -> tuple[Complex, Complex] | None:
    """Positive- and zero-sequence impedances of matrices with equal diagonals and equal others; None of other ones."""
    own = np.trace(z, axis1=1, axis2=2) / 3
    mutual = (z.sum(axis=(1, 2)) - 3 * own) / 6
    eye = np.eye(3) > 0
    apart = np.abs(z - np.where(eye, own[:, None, None], mutual[:, None, None])).max(axis=(1, 2))
    return None if (apart > ALIKE * np.abs(own)).any() else (own - mutual, own + 2 * mutual)


def balanced_problem(
    problem: ReconfigurationProblem, circuit: TransposedCircuit, most_kw: float, touching: Configuration
) -> ReconfigurationProblem | str:
    """The balanced network whose AC loss bounds that of every admissible radial state that loses less than ``most_kw``.

    Parameters
    ----------
    touching
        State for which the bound is to be high.

    Returns
    -------
    Without limits; or why nothing is proven.
    """
    net = problem.network
    lines = circuit.z1.real > 0
    if not lines.any() or (net.kv != net.base.v_base).any() or problem.chords.any():
        return "the network has several voltages or loops without a switch"
    z1, z0 = circuit.z1[lines], circuit.z0[lines]
    shapes = _shapes(z1, z0)
    length = np.zeros((net.n_branch, 1 + len(shapes)))  # what a phase drops, and what differs from each shape
    length[lines, 0] = (2 * np.abs(z1) ** 2 / z1.real + np.abs(z0) ** 2 / z0.real) / 3
    for k, shape in enumerate(shapes):
        line = _common(z1, z0, shape)
        off1, off0 = np.abs(z1 - line), np.abs(z0 - shape * line)
        length[lines, 1 + k] = np.maximum(off1**2 / z1.real, off0**2 / (shape * z0.real))
    longest = _longest(problem, length)
    weakest, strongest = circuit.emf
    fall = math.sqrt(1e3 * most_kw * longest[0])
    room = 1 - circuit.most_s * circuit.source_ohm
    if room <= 0:
        return "its source is too weak"
    inside = circuit.source_ohm * (circuit.most_a + circuit.most_s * (strongest + fall)) / room
    kept = problem.vm_min * net.kv * 1e3 / math.sqrt(3) * (1 - LIMIT_ROOM)
    lowest = np.maximum(weakest - inside - fall, kept)
    if (low := lowest < circuit.floor_v).any():
        worst = int(np.argmax(np.where(low, circuit.floor_v - lowest, -np.inf)))
        return (
            f"the voltage of a phase of {bus_label(net, worst)} may fall to {max(lowest[worst], 0) / strongest:.2g} of "
            f"the source's, where loads draw less than their power (below {circuit.floor_v[worst] / strongest:.2g})"
        )
    best, most = None, -math.inf
    for shape, apart in zip(shapes, longest[1:].tolist(), strict=True):
        error = math.sqrt(1e3 * most_kw * apart / 3)
        root = error + math.sqrt(error**2 + (strongest + inside / math.sqrt(3 * min(shape, 1.0))) ** 2)
        impedance = np.zeros(net.n_branch, dtype=complex)
        impedance[lines] = _common(z1, z0, shape)
        balanced = _balanced(problem, circuit, impedance, root)
        if obstacles := tight_obstacles(balanced):
            return f"no bound of balanced networks covers {obstacles[0]}"
        flow = power_flow(balanced, touching)
        value = flow.loss if flow.converged else -math.inf
        if best is None or value > most:
            best, most = balanced, value
    assert best is not None
    return best


def _balanced(
    problem: ReconfigurationProblem, circuit: TransposedCircuit, impedance: Complex, root_v: float
) -> ReconfigurationProblem:
    """The network of one phase with these impedances [ohm], and this voltage to ground at every source [V]."""
    net = problem.network
    ohm, watt = net.base.v_base**2 / net.base.s_base, 1e3 * net.base.kw
    alike = Network(
        name=net.name,
        base=net.base,
        bus_ids=net.bus_ids,
        p_load=circuit.p / watt,
        q_load=circuit.q / watt,
        branch_ids=net.branch_ids,
        from_bus=net.from_bus,
        to_bus=net.to_bus,
        r=impedance.real / ohm,
        x=impedance.imag / ohm,
        b=np.zeros(net.n_branch),
        i_max=np.full(net.n_branch, np.inf),
        switchable=net.switchable,
        normally_open=net.normally_open,
        substations=net.substations,
        substation_vm=np.full(len(net.substations), root_v * math.sqrt(3) / (1e3 * net.base.v_base)),
        substation_s_min=np.zeros(len(net.substations)),
        substation_s_max=np.full(len(net.substations), np.inf),
    )
    loads = replace(Scenario.nominal(alike), out_of_service=problem.out_of_service, locked=problem.locked)
    return problem.replace(network=alike, situations=Situations.of(loads), limits=Limits(), charging=False)


def _common(z1: Complex, z0: Complex, shape: float) -> Complex:
    """What is no more than the positive sequence, and ``shape`` times it no more than the zero sequence, by parts."""
    return np.minimum(z1.real, z0.real / shape) + 1j * np.minimum(z1.imag, z0.imag / shape)


def _shapes(z1: Complex, z0: Complex) -> list[float]:
    """Zero- over positive-sequence impedances; any number > 0 is valid, one that most of the lines have is tight."""
    found = {1.0}
    for part in (np.abs, np.real, np.imag):
        below = part(z1) > 0
        ratio = part(z0)[below] / part(z1)[below]
        found |= set(np.quantile(ratio[ratio > 0], QUANTILES).tolist()) if (ratio > 0).any() else set()
    return sorted(found)


def _longest(problem: ReconfigurationProblem, length: Floats) -> Floats:
    """Largest sums of lengths, shape (n_branch, n), along any way from a source that meets no bus twice, shape (n,)."""
    net = problem.network
    at: list[list[tuple[int, int]]] = [[] for _ in range(net.n_bus)]
    for e in np.flatnonzero(~problem.out_of_service & (problem.locked != 0)).tolist():
        tail, head = int(net.from_bus[e]), int(net.to_bus[e])
        at[tail].append((head, e))
        at[head].append((tail, e))
    best, steps = np.zeros(length.shape[1]), 0
    for root in net.substations.tolist():
        met = np.zeros(net.n_bus, dtype=bool)
        met[net.substations] = True
        way, reach = [(root, iter(at[root]))], [np.zeros(length.shape[1])]
        while way:
            bus, more = way[-1]
            step = next(more, None)
            if step is None:
                way.pop()
                reach.pop()
                met[bus] = False
                continue
            other, e = step
            if met[other]:
                continue
            steps += 1
            if steps > WALK_STEPS:
                return np.asarray(length.sum(axis=0))
            met[other] = True
            way.append((other, iter(at[other])))
            reach.append(reach[-1] + length[e])
            best = np.maximum(best, reach[-1])
    return best


def least_of_balanced(balanced: ReconfigurationProblem, time_limit: float | None) -> tuple[float, Configuration | None]:
    """Proven lower bound of the objective of the balanced network [kW], and its best state."""
    result = TreeSearchEngine().solve(
        balanced, SolveOptions(certify=Certificate.AC, gap=GAP, node_limit=NODES, time_limit=time_limit)
    )
    bound = result.dual_bound_kw if result.certificate is Certificate.AC else None
    return (0.0 if bound is None else bound * (1 - ROUNDING)), result.configuration


def candidates(
    balanced: ReconfigurationProblem,
    touching: Configuration,
    switches: Ints,
    choice: Choice,
    most: int,
    node_limit: int,
    cutoff_kw: float,
) -> Candidates:
    """The radial states, ``most`` of them at most, whose AC loss in the balanced network may be below a cutoff.

    Parameters
    ----------
    touching
        State at which the bound of the balanced network is tightest.
    switches, choice
        Branches that the search decides, and what may be done with each, in watts.
    """
    space = SearchSpace.of(balanced)
    relaxation = ac_relaxation(space, power_flows(space.problem, touching), math.inf)
    model, flow = _loops(relaxation, touching, switches)
    watt = 1e3 * balanced.network.base.kw
    meshed, constant, saved = model.meshed(flow)
    base = float((np.abs(flow) ** 2) @ (relaxation.space.problem.network.r * watt)) - saved
    base += watt * float(relaxation.constant[0])
    cutoff = 1e3 * cutoff_kw / (1 - ROUNDING)
    found = search(model, meshed[:, None], constant[:, None], choice, most, node_limit, cutoff - base)
    price = balanced.switching_cost
    bounds = [_settled(relaxation, balanced, one, cutoff_kw, price) for one in _closed(balanced, switches, found)]
    least = np.maximum((base + found.cost) / 1e3, bounds) * (1 - ROUNDING)
    rest = min((base + found.rest) / 1e3 * (1 - ROUNDING), cutoff_kw) if math.isfinite(found.rest) else cutoff_kw
    return Candidates(found.opened, least, rest, found.nodes)


def _closed(balanced: ReconfigurationProblem, switches: Ints, found: Leaves) -> list[Configuration]:
    """The states with every branch."""
    base = balanced.network.normal_configuration.closed & ~balanced.out_of_service
    states = np.tile(base, (len(found.opened), 1))
    states[:, switches] = ~found.opened
    return [Configuration(closed) for closed in states]


def _settled(
    relaxation: Relaxation, balanced: ReconfigurationProblem, state: Configuration, cutoff_kw: float, price: float
) -> float:
    """AC objective of one state of the balanced network, if it is settled, else nothing [kW]."""
    kw = balanced.network.base.kw
    switching = price * balanced.operations(state)
    loss, settled = leaf_loss(relaxation.space.trunk, state.closed, (cutoff_kw - switching) / kw)
    if not settled:
        return -math.inf
    return cutoff_kw if not math.isfinite(loss) else float(loss) * kw + switching


def _loops(relaxation: Relaxation, touching: Configuration, switches: Ints) -> tuple[LoopModel, Complex]:
    """The loops of the balanced network, its resistances in watts, and the flows of the bound in a state."""
    problem = relaxation.space.problem
    net = problem.network
    usable = ~problem.out_of_service
    row = np.where(net.is_substation, -1, np.cumsum(~net.is_substation) - 1)
    ends = np.concatenate([row[net.from_bus], row[net.to_bus]])
    each = np.arange(net.n_branch)
    sign = np.concatenate([np.ones(net.n_branch), -np.ones(net.n_branch)])
    inside = ends >= 0
    shape = (int(row.max()) + 1, net.n_branch)
    balance = coo_matrix((sign[inside], (ends[inside], np.concatenate([each, each])[inside])), shape=shape).tocsr()
    of_switch = np.full(net.n_branch, -1)
    of_switch[switches] = np.arange(len(switches))
    joins, n_part = _parts(net, of_switch, usable)
    resistance = diags(net.r * 1e3 * net.base.kw).tocsr()
    model = loop_model(ConductorCircuit(balance, resistance, of_switch, len(switches), joins, n_part))
    drawn = (relaxation.columns[:, 0] + 1j * relaxation.columns[:, 1]) / relaxation.space.root_vm
    flow = np.zeros(net.n_branch, dtype=complex)
    closed = touching.closed & usable
    flow[closed] = spsolve(balance[:, closed].tocsc(), -drawn[~net.is_substation])
    return model, flow


def _parts(net: Network, of_switch: Ints, usable: Bools) -> tuple[Ints, int]:
    """Parts that no switch divides, the sources' first, and the two that each switch joins."""
    fixed = (of_switch < 0) & usable
    tail = np.concatenate([net.from_bus[fixed], net.substations])
    head = np.concatenate([net.to_bus[fixed], np.full(len(net.substations), net.substations[0])])
    links = coo_matrix((np.ones(len(tail)), (tail, head)), shape=(net.n_bus, net.n_bus))
    count, part = connected_components(links, directed=False)
    root = part[net.substations[0]]
    part = np.where(part == root, 0, np.where(part == 0, root, part))
    ends = np.stack([part[net.from_bus], part[net.to_bus]], axis=1)
    return np.where((of_switch >= 0)[:, None], ends, -1), int(count)
