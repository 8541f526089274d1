r"""Constants of the relaxation, each proven, or the certificate is withdrawn.

Every statement holds for every admissible configuration whose AC loss is at most a cutoff U (the objective of an
incumbent, or infinite), which is enough: a relaxation restricted to those still bounds the optimum.

Voltage
    Along a branch the phasors differ by :math:`|z_e||J_e|` with :math:`r_e|J_e|^2 \le \text{loss}_e`. With
    Cauchy-Schwarz along the path from the root, :math:`||V_j| - |V_r|| \le \sqrt{U \sum |z_e|^2 / r_e}` (branches
    with r = 0 are added with their largest current). The path runs through known blocks; inside a block its weight is
    at most that of a maximum spanning tree of the block. Where the paths are few they are gone through one by one
    (:mod:`learnopt.formulations.voltage_paths`). An enforced limit may be tighter.
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

import math
from dataclasses import dataclass

import numpy as np

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.load_ranges import LoadRanges
from learnopt.formulations.voltage_paths import Paths, Window, window_over_paths
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

WIDE = 0.1
"""Distance of least and largest voltage [pu] from which on paths are looked at one by one."""
PATH_PASSES, PATH_PROGRESS = 4, 0.02
"""Passes over all paths, and the share by which one narrows the voltages or is the last."""
PASSES = 3
_UNPROVEN = (
    "no bound on currents could be proven: enforce a minimum voltage or ampacities, "
    "or give a start that respects the limits"
)


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


@dataclass(frozen=True)
class _Given:
    """What bounds are derived from: loads and shunts off the substations, and sums over what each branch feeds."""

    problem: ReconfigurationProblem
    series: SeriesRange
    ranges: LoadRanges
    p_low: Floats
    p_high: Floats
    q_low: Floats
    q_high: Floats
    g_bus: Floats
    b_low: Floats
    b_high: Floats
    shunt: Floats
    """Shunt admittance of each branch, shape (n_branch,)."""
    in_block: Bools
    """Branches that some configuration may close, shape (n_branch,)."""
    lossless: Bools
    apparent: Floats
    """Largest apparent power that a branch feeds, at flat voltage and without charging, shape (n_branch,)."""
    charged: Floats
    """The same of shunts."""
    stretch: Floats
    """Largest product of the ratios on a path from a substation to each bus, or of their inverses, shape (n_bus,)."""
    passive_p: bool
    passive_q: bool

    @classmethod
    def of(cls, problem: ReconfigurationProblem, series: SeriesRange) -> _Given:
        net, ranges = problem.network, LoadRanges.of(problem)
        p_low, p_high, q_low, q_high, g_bus, b_low, b_high = (
            np.where(net.is_substation, 0.0, values)
            for values in (
                *(ranges.p_low, ranges.p_high, ranges.q_low, ranges.q_high),
                *(net.g_shunt, ranges.b_low, ranges.b_high),
            )
        )
        in_block, shunt = problem.blocks.block >= 0, np.hypot(net.g, problem.b)
        largest = np.hypot(np.maximum(np.abs(p_low), np.abs(p_high)), np.maximum(np.abs(q_low), np.abs(q_high)))
        around = np.hypot(g_bus, np.maximum(-b_low, b_high))
        most = np.maximum(np.abs(np.log(ranges.ratio_low)), np.abs(np.log(ranges.ratio_high)))
        inductive = (b_high <= 0).all() and (problem.b[problem.usable] <= 0).all()
        return cls(
            *(problem, series, ranges, p_low, p_high, q_low, q_high, g_bus, b_low, b_high, shunt),
            in_block=in_block,
            lossless=in_block & (series.r_high == 0),
            apparent=_behind(problem, largest),
            charged=_behind(problem, around, np.where(in_block, shunt, 0.0)),
            stretch=np.exp(block_path_weight(problem, most)),
            passive_p=bool((p_low >= 0).all()),
            passive_q=bool((q_low >= 0).all() and inductive),
        )

    @property
    def widest(self) -> float:
        """Largest stretch."""
        return float(self.stretch.max())

    @property
    def root_high(self) -> float:
        """Highest voltage of a substation."""
        return float(self.problem.network.substation_vm.max())

    @property
    def susceptance(self) -> Floats:
        """The most of it that can be at a bus, shape (n_bus,)."""
        net, total = self.problem.network, self.b_high.copy()
        capacitive = np.where(self.in_block, np.maximum(self.problem.b, 0) / 2, 0.0)
        np.add.at(total, net.from_bus, capacitive / self.ranges.ratio_low**2)
        np.add.at(total, net.to_bus, capacitive)
        total[net.substations] = 0.0
        return total


def _behind(problem: ReconfigurationProblem, bus_value: Floats, branch_value: Floats | None = None) -> Floats:
    """:func:`fed_through_block` by branch, shape (n_branch,); a branch in no block (index -1) feeds nothing."""
    return np.append(fed_through_block(problem, bus_value, branch_value), 0.0)[problem.blocks.block]


def derive_bounds(
    problem: ReconfigurationProblem,
    arcs: Arcs,
    loss_cutoff: float,
    series: SeriesRange | None = None,
    window: Window | None = None,
) -> Bounds:
    """Bounds for all configurations with loss at most ``loss_cutoff`` [pu] (may be infinite).

    Parameters
    ----------
    series
        What the series impedances may be, where they are a choice too; those of the network if absent.
    window
        Voltages proven for the same configurations by other means.
    """
    loss_cutoff = max(loss_cutoff, 0.0)  # the judge rounds a loss of zero to either side
    given = _Given.of(problem, series or SeriesRange.of(problem.network))
    vm_low, vm_high, current = _voltages_and_currents(given, loss_cutoff, window)
    # A bound far beyond anything physical is worth as little as none, and would ruin the model's numerics.
    flat = (given.apparent + given.charged * given.root_high) * given.widest
    useless = given.in_block & ~(current <= USELESS_FACTOR * flat.max(initial=0.0))
    proven = not useless.any() and bool((vm_high <= USELESS_FACTOR * given.root_high).all())
    if not proven:
        current = np.where(useless, UNPROVEN_FACTOR * flat, current)
        vm_high = np.minimum(vm_high, 1.5 * given.root_high)
    current = np.where(given.in_block, current, 0.0)
    p_min, p_max, q_min, q_max = _powers(given, arcs, loss_cutoff, vm_high, current)
    return Bounds(
        w_min=np.maximum(vm_low, 0.0) ** 2,
        w_max=vm_high**2,
        p_min=p_min,
        p_max=p_max,
        q_min=q_min,
        q_max=q_max,
        ell_max=current[arcs.branch] ** 2,
        proven=proven,
        reason="" if proven else _UNPROVEN,
        passive_p=given.passive_p,
        passive_q=given.passive_q,
    )


def derive_closer_bounds(problem: ReconfigurationProblem, arcs: Arcs, loss_cutoff: float) -> Bounds:
    """:func:`derive_bounds` with the voltages that the paths to each bus leave, one path after the other.

    What voltages bound, currents and the injections of capacitors, bounds voltages: it is repeated while that helps.
    """
    bounds = derive_bounds(problem, arcs, loss_cutoff)
    if not math.isfinite(loss_cutoff) or (problem.network.x < 0).any():
        return bounds
    for _ in range(PATH_PASSES):
        known = Window(np.sqrt(bounds.w_min), np.sqrt(bounds.w_max))
        if not bounds.proven or not (known.high - known.low > WIDE).any():
            break
        closer = window_over_paths(_paths(problem, arcs, bounds), known, max(loss_cutoff, 0.0))
        before = float((known.high - known.low).sum())
        if float((closer.high - closer.low).sum()) > before * (1 - PATH_PROGRESS):
            break
        bounds = derive_bounds(problem, arcs, loss_cutoff, window=closer)
    return bounds


def _paths(problem: ReconfigurationProblem, arcs: Arcs, bounds: Bounds) -> Paths:
    """The usable branches with all that controls and generation can do."""
    net = problem.network
    given = _Given.of(problem, SeriesRange.of(net))
    usable = np.flatnonzero(given.in_block)
    ends = np.concatenate([net.from_bus[usable], net.to_bus[usable]])
    order = np.argsort(ends, kind="stable")
    current = np.zeros(net.n_branch)
    current[arcs.branch] = np.sqrt(bounds.ell_max)
    leading = np.where(given.susceptance > 0, given.susceptance * bounds.w_max, 0.0) - given.q_low
    vm = np.zeros(net.n_bus)
    vm[net.substations] = net.substation_vm
    return Paths(
        start=np.searchsorted(ends[order], np.arange(net.n_bus + 1)),
        branch=np.concatenate([usable, usable])[order],
        other=np.concatenate([net.to_bus[usable], net.from_bus[usable]])[order],
        root=net.is_substation,
        vm=vm,
        r=net.r,
        x=net.x,
        weight=given.series.weight_high,
        fixed_drop=np.where(given.lossless, net.x * current, 0.0),
        stretch=np.maximum(np.maximum(given.ranges.ratio_high, 1 / given.ranges.ratio_low), 1.0),
        p=np.maximum(given.p_low, 0.0),
        q=np.maximum(-leading, 0.0),
        generation=float(np.maximum(-given.p_low, 0.0).sum()),
        leading=float(np.maximum(leading, 0.0).sum()),
    )


def _voltages_and_currents(given: _Given, loss_cutoff: float, window: Window | None) -> tuple[Floats, Floats, Floats]:
    """Least and largest voltage of each bus and largest current of each branch: each pass uses one for the other."""
    problem, series, ranges, net = given.problem, given.series, given.ranges, given.problem.network
    in_block, stretch, widest = given.in_block, given.stretch, given.widest
    root_low, root_high = float(net.substation_vm.min()), given.root_high
    fed, susceptance = ~net.is_substation, given.susceptance
    generated = _behind(problem, np.maximum(-given.p_low, 0))
    vm_low, vm_high = problem.vm_min / (1 + LIMIT_TOLERANCE), problem.vm_max * (1 + LIMIT_TOLERANCE)
    if window is not None:
        vm_low, vm_high = np.maximum(vm_low, window.low), np.minimum(vm_high, window.high)
    vm_low[net.substations] = vm_high[net.substations] = net.substation_vm
    loads = (given.p_low, given.p_high, given.q_low, given.q_high)
    loaded = fed & np.logical_or.reduce([load != 0 for load in loads])
    if given.passive_p and given.passive_q:
        vm_high = np.minimum(vm_high, root_high * stretch)
    current = np.full(net.n_branch, np.inf)
    rated = problem.i_max * (1 + LIMIT_TOLERANCE)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        for _ in range(PASSES):
            ends_high = np.maximum(vm_high[net.from_bus], vm_high[net.to_bus])
            half_charge = np.where(given.shunt > 0, given.shunt / 2 * ends_high * widest, 0.0)
            current = np.minimum(current, np.where(series.r_low > 0, np.sqrt(loss_cutoff / series.r_low), np.inf))
            current = np.minimum(current, np.minimum(rated, rated * ranges.ratio_high) + half_charge)
            lowest, highest = float(vm_low[loaded].min(initial=root_low)), float(vm_high[fed].max(initial=root_high))
            drawn = np.where(given.apparent > 0, given.apparent / lowest, 0.0)
            drawn = drawn + np.where(given.charged > 0, given.charged * highest * widest, 0.0)
            current = np.minimum(current, drawn * widest)
            resistive = np.where(in_block, series.weight_high, 0.0)
            reactive = np.where(given.lossless & (series.x_high > 0), series.x_high * current, 0.0)
            drop = np.sqrt(loss_cutoff * block_path_weight(problem, resistive)) + block_path_weight(problem, reactive)
            drop = np.where(np.isnan(drop), np.inf, drop) * stretch
            vm_low = np.maximum(vm_low, (root_low - drop) / stretch)
            vm_high = np.minimum(vm_high, (root_high + drop) * stretch)
            leading = np.where(susceptance > 0, susceptance * vm_high**2, 0.0)
            leading = _behind(problem, np.maximum(leading - given.q_low, 0))
            rise = 2 * (series.r_high * generated + np.where(series.x_high > 0, series.x_high * leading, 0.0))
            rise = block_path_weight(problem, np.where(in_block, rise, 0.0)) * widest**2
            vm_high = np.minimum(vm_high, np.sqrt(root_high**2 + rise) * stretch)
    vm_low[net.substations] = vm_high[net.substations] = net.substation_vm
    return vm_low, vm_high, current


def _powers(
    given: _Given, arcs: Arcs, loss_cutoff: float, vm_high: Floats, current: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Least and largest active, least and largest reactive power of each arc in use, shape (n_arc,) each."""
    problem, series, net = given.problem, given.series, given.problem.network
    branch, w_max, none = arcs.branch, vm_high**2, np.zeros(net.n_bus)

    def through(bus_value: Floats, branch_value: Floats | None = None) -> Floats:
        return fed_through_block(problem, bus_value, branch_value)[arcs.block]

    forward = arcs.tail == net.from_bus[branch]
    power = vm_high[arcs.tail] / np.where(forward, given.ranges.ratio_low[branch], 1.0) * current[branch]
    # Losses of everything that an arc feeds, its own included: what the branches can lose, and not above the cutoff.
    active_loss = np.minimum(through(none, np.minimum(series.r_high * current**2, series.loss_high)), loss_cutoff)
    reactive = np.minimum(series.x_high * current**2, series.reactive_high)
    without_r = through(none, np.where(given.lossless, reactive, 0.0))
    ratio = float(np.max(series.ratio_high[given.in_block], initial=0.0))
    reactive_loss = np.minimum(through(none, reactive), ratio * active_loss + without_r)
    # Voltages behind a transformer are those of one of its ends, or less than the ratio away from them.
    w_shunt = np.where(given.in_block, float(w_max.max()) * given.widest**2, 0.0)
    raising, lifted = np.maximum(given.b_high, 0) * w_max, np.maximum(problem.b, 0) * w_shunt
    sunk = np.maximum(given.q_high, 0) + np.maximum(-given.b_low, 0) * w_max
    most_p = through(np.maximum(given.p_high, 0) + given.g_bus * w_max, net.g * w_shunt)
    most_q = through(sunk, np.maximum(-problem.b, 0) * w_shunt)
    # A bridge sends what everything below it draws, losses at least zero; another arc what its head and all that hangs
    # from it draw, or more.
    bridge = problem.blocks.bridges[branch]
    head_p, head_q = (fed_through_bus(problem, value)[arcs.head] for value in (given.p_low, given.q_low))
    other_p = head_p if given.passive_p else -through(np.maximum(-given.p_low, 0))
    other_q = head_q if given.passive_q else -through(np.maximum(-given.q_low, 0) + raising, lifted)
    least_p = np.where(bridge, through(given.p_low), other_p)
    least_q = np.where(bridge, through(given.q_low) - through(raising, lifted), other_q)
    return (
        np.maximum(least_p, -power),
        np.minimum(most_p + active_loss, power),
        np.maximum(least_q, -power),
        np.minimum(most_q + reactive_loss, power),
    )


def orphan_candidates(problem: ReconfigurationProblem) -> Bools:
    """Buses that the power balance alone does not tie to a substation: p <= 0 is possible, shape (n_bus,).

    A set of buses cut off from every substation must hold one, since its net load plus losses is zero.
    """
    return (LoadRanges.of(problem).p_low <= 0) & ~problem.network.is_substation
