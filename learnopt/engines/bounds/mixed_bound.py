r"""AC loss bound for mixed signs: generation, capacitors, line charging, shunts, in loop space.

For every radial configuration T with an AC loss of at most a cutoff U

.. math:: \text{loss}(T) \ge F_r(T; i_1) + F_r(T; i_2) + \text{constant}

so the search of :mod:`learnopt.engines.tree.kernel` runs with the injections i1, i2 as it does under metric B. Unlike
that metric nothing here needs monotone flows: branches are bounded by tangents of :math:`|S|^2/v`, and what a reverse
flow may take away is a constant, proven small where the negative injections are. Derivation and equation numbers:
``docs/methods/ac_bound.md``, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from learnopt.engines.bounds.laterals import LateralSums, strip_laterals
from learnopt.engines.bounds.reverse_flow import ReverseFlow, least_carried, longest_walk, most_within, product
from learnopt.engines.bounds.trunk import resistance_times
from learnopt.engines.clock import GoesOn, always
from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import block_path_weight, derive_bounds
from learnopt.network import Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import DisjointSets
from learnopt.physics import PowerFlow
from learnopt.physics.sweep import problem_grid

DIRECTIONS = 6
"""Directions of the power plane tried."""
OVERSHOOTS = np.linspace(0.0, 0.1, 11)
"""Relative rises of the tangent currents over the lossless ones that are tried (s of eq. 27)."""
RESERVES = (0.0, 0.02, 0.05, 0.1, 0.2)
"""Shares of the voltage drop of the main component that are tried as cover for a rise by the other (eq. 28)."""
MOST_AID = 10.0
VOLTAGE_PASSES = 3


@dataclass(frozen=True)
class MixedMetric:
    """Injections and constant of the bound [pu].

    Parameters
    ----------
    i1, i2
        Real injections, shape (n_bus,).
    constant
        [pu]
    value
        The bound at the reference tree [pu], -inf where nothing is proven.
    """

    i1: Floats
    i2: Floats
    constant: float
    value: float


class _OutOfTimeError(Exception):
    """No time is left for the bound under way."""


class _Component:
    """Data of a problem in units of its largest root voltage; ``metric`` tries one direction of the power plane."""

    def __init__(
        self, problem: ReconfigurationProblem, flow: PowerFlow, cutoff: float, goes_on: GoesOn = always
    ) -> None:
        net = problem.network
        self.problem, self.flow, self._goes_on = problem, flow, goes_on
        self.root2 = root2 = float(net.substation_vm.max()) ** 2
        self.fed = fed = ~net.is_substation
        self.r, self.x = net.r / root2, net.x / root2
        self.s = np.where(fed, problem.p + 1j * problem.q, 0.0)
        self.cutoff = cutoff
        usable = self.usable = problem.usable & (problem.blocks.block >= 0)
        # Power drawn by the shunts at squared voltage 1: an element each for branch ends and buses.
        ends = np.concatenate([net.from_bus[usable], net.to_bus[usable], np.arange(net.n_bus)])
        half = (net.g - 1j * problem.b)[usable] / 2
        drawn = np.concatenate([half, half, net.g_shunt - 1j * net.b_shunt]) * root2
        kept = fed[ends] & (drawn != 0)
        self.shunt_bus, self.shunt = ends[kept], drawn[kept]
        bounds = derive_bounds(problem, Arcs.of(problem), cutoff)
        self.proven = bounds.proven
        self.v_low = float(np.min(bounds.w_min[fed], initial=1.0)) / root2
        self.v_high = float(np.max(bounds.w_max[fed], initial=0.0)) / root2
        resistive = self.r[usable] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.x[usable] / self.r[usable]
        self.ratio = ratio[resistive]
        self.reactive_coupler = bool((self.x[usable][~resistive] > 0).any())
        self.block_path = self.longest(self.r)
        self.laterals, self.meshed = strip_laterals(problem, usable)
        grid = problem_grid(problem)
        self.known: dict[bytes, ReverseFlow] = {}
        self.adjacency = grid.start, grid.via, grid.other

    def look(self) -> None:
        """Give up where no time is left."""
        if not self._goes_on():
            raise _OutOfTimeError

    def steepest(self) -> float:
        """Largest direction (tangent) for which no branch turns the voltage the wrong way."""
        return float(np.min(self.ratio, initial=np.inf))

    def lowest(self, turn: complex, v_high: float) -> tuple[Floats, Floats]:
        """Least injections of both components, whatever is closed and at any voltage."""
        s, shunt = self.s * turn.conjugate(), self.shunt * turn.conjugate()
        g, m = s.real.copy(), s.imag.copy()
        np.add.at(g, self.shunt_bus, np.minimum(shunt.real, 0.0) * v_high)
        np.add.at(m, self.shunt_bus, np.minimum(shunt.imag, 0.0) * v_high)
        return g, m

    def lateral_sums(self, g: Floats) -> LateralSums:
        """Sums of the main component over laterals."""
        below, within, energy = g.copy(), np.zeros(len(g)), np.zeros(len(g))
        group = np.arange(len(g))
        for k, above, _ in self.laterals:
            below[above] += below[k]
        for k, above, branch in reversed(self.laterals):
            group[k] = group[above]
            within[k] = within[above] + self.r[branch] * below[k]
            energy[group[k]] += self.r[branch] * below[k] ** 2
        load, first, second = (np.bincount(group, g * within**power, len(g)).astype(float) for power in range(3))
        return LateralSums(group, load, first, second, energy, self.problem.network.is_substation)

    def reach(self, load: Floats) -> tuple[Floats, Ints]:
        """Largest reverse flow above each bus, and the part of the network that it stays in (eq. 29).

        Parts are numbered from 0; -1 where no reverse flow is possible.
        """
        net = self.problem.network
        sources = np.flatnonzero(load < 0)
        positive = np.maximum(load, 0.0)
        graph = (*self.adjacency, self.meshed, net.is_substation, positive)
        carried = np.empty((len(sources), net.n_bus))
        for row, source in zip(carried, sources.tolist(), strict=True):
            self.look()
            row[:] = least_carried(*graph, source)
        order = np.argsort(carried, axis=0, kind="stable")
        generation = np.cumsum(-load[sources][order], axis=0)
        most = np.max(generation * (1 + 1e-9) - np.take_along_axis(carried, order, axis=0), axis=0)
        inside = (most > 0) & ~net.is_substation
        sets = DisjointSets(net.n_bus)
        for e in np.flatnonzero(self.meshed & inside[net.from_bus] & inside[net.to_bus]):
            sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
        part = np.full(net.n_bus, -1)
        part[inside] = np.unique([sets.find(int(k)) for k in np.flatnonzero(inside)], return_inverse=True)[1]
        return np.maximum(most, 0.0), part

    def reverse(
        self,
        load: Floats,
        other: Floats,
        shunt: Floats,
        v_high: float,
        losing: Floats | None = None,
        lifting: Floats | None = None,
    ) -> ReverseFlow:
        """Reverse flows of one component with these injections, ``other`` being those of the other component.

        Parameters
        ----------
        shunt
            This component of what the shunts draw at squared voltage 1.
        losing, lifting
            Lengths of the branches for squared currents and for the rise by reverse flows; r if absent.
        """
        if not (load < 0).any():
            return ReverseFlow()
        losing, lifting = (self.r if given is None else given for given in (losing, lifting))
        key = b"".join(a.tobytes() for a in (load, other, shunt, losing, lifting, np.float64(v_high)))
        if key not in self.known:
            self.known[key] = self._reverse(load, other, shunt, v_high, losing, lifting)
        return self.known[key]

    def aided(self, g: Floats, m: Floats, aid: float, v_high: float, lifting: Floats | None = None) -> ReverseFlow:
        """Reverse flows of n = m + aid g. A power is g + jm = jn + (1 - j aid) g: so much of g comes on top of n.

        Without what shunts may add: eq. 28 needs the rises and losses alone.
        """
        none = np.zeros(len(self.shunt))
        return self.reverse(m + aid * g, math.hypot(1, aid) * g, none, v_high, lifting=lifting)

    def _reverse(
        self, load: Floats, other: Floats, shunt: Floats, v_high: float, losing: Floats, lifting: Floats
    ) -> ReverseFlow:
        lowest = min(math.sqrt(self.v_low), 1.0)
        current = np.abs(self.s) / lowest if lowest > 0 else np.where(self.s != 0, math.inf, 0.0)
        np.add.at(current, self.shunt_bus, np.abs(self.shunt) * max(v_high, 1.0))
        slack, both = np.zeros(len(load)), np.zeros(len(load))
        np.add.at(slack, self.shunt_bus, np.abs(shunt) * v_high)
        np.add.at(both, self.shunt_bus, np.abs(self.shunt) * v_high)
        # Laterals: their flows are known. Each leaves its sums at the bus that it hangs from.
        load, other = load.copy(), np.abs(other)
        length = np.stack([np.hypot(self.r, self.x), losing], axis=1)
        depth, rise, widest = np.zeros((len(load), 2)), np.zeros(len(load)), np.zeros(len(load))
        backward = []
        for k, above, branch in self.laterals:
            reached = depth[k] + length[branch]
            own = lifting[branch] * max(0.0, -load[k])
            if load[k] < 0:
                # Nothing is proven where the current is not, even over no resistance.
                lost = current[k] ** 2 * reached[1] if math.isfinite(current[k]) else math.inf
                backward.append((lost, slack[k], other[k] ** 2 * reached[1]))
            depth[above] = np.maximum(depth[above], reached)
            widest[above] = max(widest[above], widest[k], abs(load[k]))
            rise[above] = max(rise[above], rise[k] + own)
            for values in (load, current, slack, both, other):
                values[above] += values[k]
                values[k] = 0.0
        side_loss, side_slack, side_other = np.sum(backward, axis=0) if backward else (0.0, 0.0, 0.0)
        side_rise = float(rise.max())
        load[self.problem.network.is_substation] = 0.0
        positive = np.maximum(load, 0.0)
        rises, losses, slacks, others = [0.0], [0.0], [0.0], [0.0]
        most, part = self.reach(load) if (load < 0).any() else (load, np.full(len(load), -1))
        for number in range(int(part.max()) + 1):
            self.look()
            around = part == number
            total = float(-load[around & (load < 0)].sum())
            budget = total * (1 + 1e-9)
            far, path, risen, joint = longest_walk(
                *self.adjacency, self.meshed, around, length, lifting, positive, most, depth, budget
            )
            if math.isinf(far):
                far, path, risen = (
                    self.longest(length[:, 0]),
                    self.longest(losing),
                    product(total, self.longest(lifting)),
                )
            drawn, cross = most_within(around, load, total, current), most_within(around, load, total, other)
            lossless = max(total, float(widest[around].max())) + cross + float(both[around].sum())
            lost, loss = product(drawn**2, far), product(drawn**2, path)  # sums of |z| l and of length times l
            for _ in range(2):
                widest_current = (lossless + lost) / lowest if lowest > 0 else math.inf
                lost = min(lost, product(product(widest_current, drawn), far))
                loss = min(loss, product(product(widest_current, drawn), path))
                widest_loss = product(product(widest_current, drawn), joint)
            rises.append(risen)
            losses.append(min(product(risen, loss), widest_loss) + product(side_rise, loss))
            others.append(product(cross**2, min(joint, product(risen, path))) + product(side_rise * cross**2, path))
            slacks.append(float(slack[around].sum()))
        highest = max(rises) + side_rise

        return ReverseFlow(
            highest,
            float(sum(losses) + product(highest, side_loss)),
            float(sum(others) + product(highest, side_other)),
            float(
                sum(product(a + side_rise, b) for a, b in zip(rises, slacks, strict=True))
                + product(highest, side_slack)
            ),
        )

    def longest(self, length: Floats) -> float:
        """No path from a substation is longer."""
        return float(np.nanmax(block_path_weight(self.problem, np.where(self.usable, length, 0.0)), initial=0.0))

    def metric(self, tangent: float, reserve: float, reactive_part: bool) -> MixedMetric:
        """The bound for one direction, one reserve and with or without column i2, at the best overshoot."""
        none = MixedMetric(np.zeros(0), np.zeros(0), -math.inf, -math.inf)
        turn = (1 + 1j * tangent) / math.hypot(1, tangent)
        cos, sin = turn.real, turn.imag
        # Per unit of resistance: what a flow of the main component drops and loses, and one of the other drops.
        along, across = cos + sin * self.ratio, cos * self.ratio - sin
        kappa = float(np.min(along, initial=np.inf))
        if not math.isfinite(kappa):
            return none
        kept = kappa - reserve
        crossing = across > 0
        aid = float(np.min((along - kept)[crossing] / across[crossing], initial=MOST_AID))
        active = cos * self.r + sin * self.x
        reactive = np.maximum(cos * self.x - sin * self.r, 0.0)
        excess = float(np.max(along - kept - aid * across, initial=0.0))
        if self.reactive_coupler:
            aid, excess = min(aid, tangent), excess if tangent == 0.0 else math.inf
        v_high, shunt = self.v_high, self.shunt * turn.conjugate()
        for _ in range(VOLTAGE_PASSES):
            if not math.isfinite(v_high):
                return none
            g, m = self.lowest(turn, v_high)
            back, aided = self.reverse(g, m, shunt.real, v_high), self.aided(g, m, aid, v_high, reactive)
            rise = 2 * product(excess + kept, back.rise) + 2 * aided.rise
            v_high = min(v_high, 1.0 + rise)
        over = max(0.0, v_high - 1.0)
        low = -back.rise
        high = 1.0 - self.v_low + 2 * product(excess, back.rise) + 2 * aided.rise
        lifted_loss = self.reverse(g, m, shunt.real, v_high, losing=active).rise_loss
        high = max(high / (2 * kept), 0.0)
        own_error = 0.0
        if not reactive_part:
            m = np.zeros_like(m)
        else:
            back_m = self.reverse(m, g, shunt.imag, v_high, losing=reactive)
            own_error = 2 * back_m.rise_slack + 2 * back_m.rise_loss + 2 * kept * back.rise_other

        def potentials(y: Floats) -> Floats:
            flow = self.flow
            n_roots = len(self.problem.network.substations)
            return resistance_times(flow.order, flow.parent, flow.feed, n_roots, self.r, np.ascontiguousarray(y))

        laterals = self.lateral_sums(g)
        slope, base = laterals.cubic_tangent(potentials(g), low, high)
        energy = float(g @ potentials(g)) + float(m @ potentials(m))
        best = none
        for s in OVERSHOOTS:
            first, second = kappa * max(1 - over, 0.0), kept * (1 + s)
            surplus = max(second - first, 0.0)
            cubic = 2 * (1 + s) * (min(first, second) + surplus / 2)
            error = 2 * (1 + s) * product(1 + 2 * kappa * high, back.rise_slack + lifted_loss)
            error += 2 * (1 + s) ** 2 * product(excess, back.rise_loss) + (1 + s) * product(surplus, back.rise_loss)
            # The voltage that the other component may raise: a constant, or a share of everything.
            raised = 2 * (1 + s) ** 2 * aided.rise_loss
            lift = 2 * (1 + s) ** 2 * aided.rise
            if product(lift, energy) < raised:
                raised = 0.0
            else:
                lift = 0.0
            error += raised + own_error
            share = 1.0 - lift - s * s
            if share <= 0 or not math.isfinite(error) or cubic <= 0:
                continue
            factor, lost = laterals.factors(cubic / share * slope, self.block_path)
            if not factor.size:
                continue
            constant = cubic * base - error - share * lost
            i1, i2 = math.sqrt(share) * g * factor, math.sqrt(1 - lift) * m
            value = float(i1 @ potentials(i1) + i2 @ potentials(i2)) + constant
            if not value > best.value:
                break  # it rises with the overshoot, then falls
            best = MixedMetric(i1, i2, constant, value)
        return best


def mixed_metric(
    problem: ReconfigurationProblem, flow: PowerFlow, cutoff: float, goes_on: GoesOn = always
) -> MixedMetric:
    """The best bound over a few directions of the power plane, touching the tree of a power flow.

    Parameters
    ----------
    problem
        One scenario, ratios gone (:mod:`learnopt.network.rescaling`).
    flow
        Power flow of the reference; it decides how tight the bound is, never whether it holds.
    cutoff
        The bound holds for configurations that respect the limits in force with a loss of at most this [pu].
    goes_on
        There is time. Where there is none the best of the directions tried by then is returned.
    """
    best = MixedMetric(np.zeros(0), np.zeros(0), -math.inf, -math.inf)
    if not goes_on():
        return best
    component = _Component(problem, flow, cutoff, goes_on)
    try:
        for metric in _tried(component) if component.proven else ():
            best = max(best, metric, key=lambda each: each.value)
    except _OutOfTimeError:
        pass
    return best


def _tried(component: _Component) -> Iterator[MixedMetric]:
    """The bounds of a few directions, with and without column i2, and of a few reserves for each."""
    s = component.s.sum()
    most = min(component.steepest(), 1.5 * abs(s.imag / s.real) if s.real else 1.0)
    tangents = np.linspace(0.0, most, DIRECTIONS) if 0 < most < math.inf else np.zeros(1)
    for reactive_part, reserves in ((True, RESERVES[:1]), (False, RESERVES)):
        # Over the directions the bound rises and falls, and so it does over the reserves; the best reserve grows.
        first, highest = 0, -math.inf
        for tangent in tangents:
            least, values = first, []
            for reserve in reserves[least:]:
                component.look()
                metric = component.metric(float(tangent), reserve, reactive_part)
                yield metric
                values.append(metric.value)
                if len(values) > 1 and not values[-1] > values[-2]:
                    break
            first = least + int(np.argmax(values))
            if highest > max(values):
                break
            highest = max(values)
