r"""Constants of the relaxation, each proven, or the certificate is withdrawn.

Every statement holds for every admissible configuration whose AC loss is at most a cutoff U (the objective of an
incumbent, or infinite), which is enough: a relaxation restricted to those still bounds the optimum.

Voltage
    Along a branch the phasors differ by :math:`|z_e||J_e|` with :math:`r_e|J_e|^2 \le \text{loss}_e`. With
    Cauchy-Schwarz along the path from the root, :math:`||V_j| - |V_r|| \le \sqrt{U \sum |z_e|^2 / r_e}` (branches
    with r = 0 are added with their largest current). The path runs through known blocks; inside a block its weight is
    at most that of a maximum spanning tree of the block. An enforced limit may be tighter.
    Without negative loads and charging no voltage exceeds that of the substations.
    A feeder with some of these raises it at a bus by no more than :math:`v_j - v_i \le -2 (r P' + x Q')` summed over
    the path, P' and Q' arriving: at least minus the generation below, and minus what charging and shunts of the buses
    below exceed their reactive load by.
    Ideal transformers: divide voltages by, and multiply currents with, the product of the ratios on the path from the
    root, and the path is one without transformers. The product and its inverse are at most :math:`\sigma`, the product
    of :math:`\max(t_e, 1/t_e)` over the path, bounded by the same spanning trees. So voltages and currents as above
    hold with a factor :math:`\sigma` each.
Current
    :math:`|J_e| \le \sqrt{U / r_e}`; at most the ampacity plus the current of half its shunt; at most the sum of
    :math:`|S_k| / V_{\min}` and of the shunt currents of everything its block feeds.
Power
    What a branch sends is what the buses below draw plus the losses below. Active losses are at most U, reactive ones
    at most :math:`U \max x/r` plus those of branches without resistance; injections and charging below count
    negative; and :math:`|P|, |Q| \le |V||J|`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.load_ranges import LoadRanges
from learnopt.network import Bools, Floats, Network, ReconfigurationProblem
from learnopt.network.topology import DisjointSets, merged_nodes
from learnopt.physics.judge import LIMIT_TOLERANCE


@dataclass(frozen=True)
class SeriesRange:
    """What the series impedance of each branch may be, where it is a choice; shape (n_branch,) each, in pu.

    Parameters
    ----------
    r_low, r_high, x_high
        Least and largest resistance, largest reactance.
    ratio_high, weight_high
        Largest x / r and |z|^2 / r where r > 0, else 0.
    loss_high, reactive_high
        Largest r l and x l that a current limit of the equipment leaves; infinite where there is none.
    """

    r_low: Floats
    r_high: Floats
    x_high: Floats
    ratio_high: Floats
    weight_high: Floats
    loss_high: Floats
    reactive_high: Floats

    @classmethod
    def of(cls, network: Network) -> SeriesRange:
        """The impedances of the network: no choice."""
        r, x = network.r, network.x
        divisor = np.where(r > 0, r, np.inf)
        unlimited = np.full(network.n_branch, np.inf)
        return cls(r, r, x, x / divisor, (r**2 + x**2) / divisor, unlimited, unlimited)


UNPROVEN_FACTOR = 3.0
"""Where no finite bound is proven, currents are bounded by this many times what flat voltages give, and the
certificate is withdrawn."""
USELESS_FACTOR = 100.0
"""Bounds on currents (voltages) above this many times the flat-voltage current of all loads (the root voltage) count as
none."""

PASSES = 3


@dataclass(frozen=True)
class Bounds:
    """Bounds on squared voltages, powers and squared currents [pu].

    Parameters
    ----------
    w_min, w_max
        Squared voltage magnitude, shape (n_bus,).
    p_min, p_max, q_min, q_max
        Sending-end power of an arc in use, shape (n_arc,).
    ell_max
        Squared series current of an arc, shape (n_arc,).
    proven
        Every number above is proven; otherwise a bound of the model is no certificate.
    reason
        Why not, else empty.
    passive_p, passive_q
        No negative active (reactive) load anywhere, and no capacitive shunt for the reactive one.
    """

    w_min: Floats
    w_max: Floats
    p_min: Floats
    p_max: Floats
    q_min: Floats
    q_max: Floats
    ell_max: Floats
    proven: bool
    reason: str
    passive_p: bool
    passive_q: bool


def block_path_weight(problem: ReconfigurationProblem, weight: Floats) -> Floats:
    """Upper bound of the weight of any simple path from a substation to each bus, shape (n_bus,).

    Parameters
    ----------
    weight
        Non-negative weight of each branch, shape (n_branch,).
    """
    net, blocks = problem.network, problem.blocks
    node = merged_nodes(net)
    tail, head = node[net.from_bus], node[net.to_bus]
    members = _members(blocks.block, len(blocks.entry))
    reach = np.full(int(node.max()) + 1, np.nan)
    reach[0] = 0.0
    for block in blocks.depth_first:
        edges = members[block]
        ends = np.unique(np.concatenate([tail[edges], head[edges]]))
        local = {int(k): i for i, k in enumerate(ends)}
        sets = DisjointSets(len(ends))
        total = 0.0
        for e in edges[np.argsort(-weight[edges], kind="stable")]:
            if sets.join(local[int(tail[e])], local[int(head[e])]):
                total += weight[e]
        entry = blocks.entry[block]
        below = ends[ends != entry]
        reach[below] = reach[entry] + total
    return reach[node]


def fed_through_block(problem: ReconfigurationProblem, bus_value: Floats, branch_value: Floats | None = None) -> Floats:
    """Sum of a bus value (and of a branch value) over everything fed through each block, shape (n_block,)."""
    return _fed(problem, bus_value, branch_value)[0]


def fed_through_bus(problem: ReconfigurationProblem, bus_value: Floats) -> Floats:
    """Sum of a bus value over each bus and all blocks that hang from it, shape (n_bus,).

    Whatever feeds the bus feeds all of this.
    """
    return _fed(problem, bus_value)[1]


def _fed(
    problem: ReconfigurationProblem, bus_value: Floats, branch_value: Floats | None = None
) -> tuple[Floats, Floats]:
    """Sums over what each block feeds, shape (n_block,), and over what hangs from each bus, shape (n_bus,)."""
    net, blocks = problem.network, problem.blocks
    node = merged_nodes(net)
    tail, head = node[net.from_bus], node[net.to_bus]
    n_blocks = len(blocks.entry)
    own = np.zeros(int(node.max()) + 1)
    np.add.at(own, node[~net.is_substation], bus_value[~net.is_substation])
    total = np.zeros(n_blocks)
    members = _members(blocks.block, n_blocks)
    for block in blocks.depth_first[::-1]:
        edges = members[block]
        ends = np.unique(np.concatenate([tail[edges], head[edges]]))
        total[block] = own[ends[ends != blocks.entry[block]]].sum()
        if branch_value is not None:
            total[block] += branch_value[edges].sum()
        own[blocks.entry[block]] += total[block]
    return total, own[node]


def _members(block: np.ndarray, n_blocks: int) -> list[np.ndarray]:
    order = np.argsort(block, kind="stable")
    return np.split(order, np.searchsorted(block[order], np.arange(n_blocks)))[1:]


def derive_bounds(
    problem: ReconfigurationProblem, arcs: Arcs, loss_cutoff: float, series: SeriesRange | None = None
) -> Bounds:
    """Bounds for all configurations with loss at most ``loss_cutoff`` [pu] (may be infinite).

    Parameters
    ----------
    series
        What the series impedances may be, where they are a choice too; those of the network if absent.
    """
    net = problem.network
    series = series or SeriesRange.of(net)
    loss_cutoff = max(loss_cutoff, 0.0)  # the judge rounds a loss of zero to either side
    charging = problem.b
    fed = ~net.is_substation
    ranges = LoadRanges.of(problem)
    p_low, p_high, q_low, q_high, g_bus, b_low, b_high = (
        np.where(fed, values, 0.0)
        for values in (
            ranges.p_low,
            ranges.p_high,
            ranges.q_low,
            ranges.q_high,
            net.g_shunt,
            ranges.b_low,
            ranges.b_high,
        )
    )
    largest = np.hypot(np.maximum(np.abs(p_low), np.abs(p_high)), np.maximum(np.abs(q_low), np.abs(q_high)))
    shunt = np.hypot(net.g, charging)
    passive_p = bool((p_low >= 0).all())
    passive_q = bool((q_low >= 0).all() and (b_high <= 0).all() and (charging[problem.usable] <= 0).all())
    root_low, root_high = float(net.substation_vm.min()), float(net.substation_vm.max())
    in_block = problem.blocks.block >= 0
    r_low = series.r_low
    lossless = in_block & (series.r_high == 0)
    # A branch in no block (index -1) feeds nothing.
    apparent = np.append(fed_through_block(problem, largest), 0.0)[problem.blocks.block]
    charged = fed_through_block(problem, np.hypot(g_bus, np.maximum(-b_low, b_high)), np.where(in_block, shunt, 0.0))
    charged = np.append(charged, 0.0)[problem.blocks.block]
    # Largest product of the ratios on a path from a substation to each bus, or of their inverses.
    most = np.maximum(np.abs(np.log(ranges.ratio_low)), np.abs(np.log(ranges.ratio_high)))
    stretch = np.exp(block_path_weight(problem, most))
    widest = float(stretch.max())

    generated = np.append(fed_through_block(problem, np.maximum(-p_low, 0)), 0.0)[problem.blocks.block]
    susceptance = b_high.copy()  # the most of it that can be at a bus
    capacitive = np.where(in_block, np.maximum(charging, 0) / 2, 0.0)
    np.add.at(susceptance, net.from_bus, capacitive / ranges.ratio_low**2)
    np.add.at(susceptance, net.to_bus, capacitive)
    susceptance[net.substations] = 0.0

    # Currents and voltages support each other: each pass uses one for the other.
    vm_low, vm_high = problem.vm_min / (1 + LIMIT_TOLERANCE), problem.vm_max * (1 + LIMIT_TOLERANCE)
    vm_low[net.substations] = vm_high[net.substations] = net.substation_vm
    loaded = fed & (largest > 0)
    if passive_p and passive_q:
        vm_high = np.minimum(vm_high, root_high * stretch)
    current = np.full(net.n_branch, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(PASSES):
            ends_high = np.maximum(vm_high[net.from_bus], vm_high[net.to_bus])
            half_charge = np.where(shunt > 0, shunt / 2 * ends_high * widest, 0.0)
            current = np.minimum(current, np.where(r_low > 0, np.sqrt(loss_cutoff / r_low), np.inf))
            rated = problem.i_max * (1 + LIMIT_TOLERANCE)
            current = np.minimum(current, np.minimum(rated, rated * ranges.ratio_high) + half_charge)
            lowest, highest = float(vm_low[loaded].min(initial=root_low)), float(vm_high[fed].max(initial=root_high))
            drawn = np.where(apparent > 0, apparent / lowest, 0.0)
            drawn = drawn + np.where(charged > 0, charged * highest * widest, 0.0)
            current = np.minimum(current, drawn * widest)
            resistive = np.where(in_block, series.weight_high, 0.0)
            reactive = np.where(lossless & (series.x_high > 0), series.x_high * current, 0.0)
            drop = np.sqrt(loss_cutoff * block_path_weight(problem, resistive)) + block_path_weight(problem, reactive)
            drop = np.where(np.isnan(drop), np.inf, drop) * stretch
            vm_low = np.maximum(vm_low, (root_low - drop) / stretch)
            vm_high = np.minimum(vm_high, (root_high + drop) * stretch)
            leading = np.where(susceptance > 0, susceptance * vm_high**2, 0.0)
            leading = np.append(fed_through_block(problem, np.maximum(leading - q_low, 0)), 0.0)[problem.blocks.block]
            rise = 2 * (series.r_high * generated + np.where(series.x_high > 0, series.x_high * leading, 0.0))
            rise = np.where(in_block, rise, 0.0)
            rise = block_path_weight(problem, rise) * widest**2
            vm_high = np.minimum(vm_high, np.sqrt(root_high**2 + rise) * stretch)
    vm_low[net.substations] = vm_high[net.substations] = net.substation_vm

    # A bound far beyond anything physical is worth as little as none, and would ruin the model's numerics.
    flat = (apparent + charged * root_high) * widest
    useless = in_block & ~(current <= USELESS_FACTOR * flat.max(initial=0.0))
    proven, reason = True, ""
    if useless.any() or not (vm_high <= USELESS_FACTOR * root_high).all():
        proven = False
        reason = (
            "no bound on currents could be proven: enforce a minimum voltage or ampacities, "
            "or give a start that respects the limits"
        )
        current = np.where(useless, UNPROVEN_FACTOR * flat, current)
        vm_high = np.minimum(vm_high, 1.5 * root_high)
    current = np.where(in_block, current, 0.0)
    w_min, w_max = np.maximum(vm_low, 0.0) ** 2, vm_high**2

    branch = arcs.branch
    forward = arcs.tail == net.from_bus[branch]
    power = vm_high[arcs.tail] / np.where(forward, ranges.ratio_low[branch], 1.0) * current[branch]
    ell_max = current[branch] ** 2
    none = np.zeros(net.n_bus)
    # Losses of everything that an arc feeds, its own included: what the branches can lose, and not above the cutoff.
    active = np.minimum(series.r_high * current**2, series.loss_high)
    active_loss = np.minimum(fed_through_block(problem, none, active)[arcs.block], loss_cutoff)
    reactive = np.minimum(series.x_high * current**2, series.reactive_high)
    without_r = fed_through_block(problem, none, np.where(lossless, reactive, 0.0))[arcs.block]
    ratio = float(np.max(series.ratio_high[in_block], initial=0.0))
    reactive_loss = np.minimum(fed_through_block(problem, none, reactive)[arcs.block], ratio * active_loss + without_r)
    # Voltages behind a transformer are those of one of its ends, or less than the ratio away from them.
    w_shunt = np.where(in_block, float(w_max.max()) * widest**2, 0.0)
    below = {
        name: fed_through_block(problem, value, extra)[arcs.block]
        for name, value, extra in (
            ("p+", np.maximum(p_high, 0) + g_bus * w_max, net.g * w_shunt),
            ("p-", np.maximum(-p_low, 0), None),
            ("q+", np.maximum(q_high, 0) + np.maximum(-b_low, 0) * w_max, np.maximum(-charging, 0) * w_shunt),
            ("capacitive", np.maximum(b_high, 0) * w_max, np.maximum(charging, 0) * w_shunt),
            ("q-", np.maximum(-q_low, 0) + np.maximum(b_high, 0) * w_max, np.maximum(charging, 0) * w_shunt),
        )
    }
    # A bridge sends what everything below it draws, losses at least zero; another arc what its head and all that hangs
    # from it draw, or more.
    bridge = problem.blocks.bridges[branch]
    drawn_p, drawn_q = (fed_through_block(problem, value)[arcs.block] for value in (p_low, q_low))
    head_p, head_q = fed_through_bus(problem, p_low)[arcs.head], fed_through_bus(problem, q_low)[arcs.head]
    least_p = np.where(bridge, drawn_p, head_p if passive_p else -below["p-"])
    least_q = np.where(bridge, drawn_q - below["capacitive"], head_q if passive_q else -below["q-"])
    return Bounds(
        w_min=w_min,
        w_max=w_max,
        p_min=np.maximum(least_p, -power),
        p_max=np.minimum(below["p+"] + active_loss, power),
        q_min=np.maximum(least_q, -power),
        q_max=np.minimum(below["q+"] + reactive_loss, power),
        ell_max=ell_max,
        proven=proven,
        reason=reason,
        passive_p=passive_p,
        passive_q=passive_q,
    )


def orphan_candidates(problem: ReconfigurationProblem) -> Bools:
    """Buses that the power balance alone does not tie to a substation: p <= 0 is possible, shape (n_bus,).

    A set of buses cut off from every substation must hold one, since its net load plus losses is zero.
    """
    return (LoadRanges.of(problem).p_low <= 0) & ~problem.network.is_substation
