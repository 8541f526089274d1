r"""Branch and cut over linear relaxations: configurations first, then conductors where that does not decide.

At a node the relaxation is solved by HiGHS from the last basis, with tangents added until they no longer help. What is
branched on, each by trial solves of a few candidates: whether a branch is closed, whether it feeds in one direction,
and, once the configuration is integral, whether a conductor is thicker than some tau. Tangents hold everywhere, so
every node profits from all. A copy whose reduced cost lifts the node above the cutoff is excluded below the node.

The bound is the least over open nodes and over everything discarded, and so valid at any time.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from learnopt.engines.base import Stopwatch
from learnopt.engines.milp import highs
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.engines.milp.tangents import Tangents
from learnopt.formulations.conductor_selection import ConductorData, build_conductor_selection
from learnopt.network import Bools, Floats
from learnopt.network.conductors import ConductorPlan, ConductorProblem
from learnopt.physics import power_flow

ROUNDING = 1e-7
"""Relative margin taken off a bound for the tolerances of the linear solver."""
_INTEGRAL = 1e-5
_MOST_ROUNDS = 60
"""Relaxations of one node."""
_LEAST_PROGRESS = 2e-4
"""A round that closes less than this share of the distance to the cutoff, twice, ends the cut loop of a node."""
_CANDIDATES = 6
"""Branchings tried by solving both children."""

Kind = Literal["state", "feeding", "conductor"]


class Incumbent(Protocol):
    """What the search asks of the keeper of the best plan."""

    problem: ConductorProblem
    cost: float

    def complete(self, plan: ConductorPlan) -> bool:
        """Offer a plan and what its configuration can be made of; False where it is known."""
        ...

    def doubts(self, plan: ConductorPlan) -> bool:
        """The power flow of a plan that was offered is not settled."""
        ...


@dataclass(frozen=True)
class Node:
    """A part of the plans.

    Parameters
    ----------
    bound
        Proven cost of every plan in it.
    excluded
        bool, shape (n_choice,): copies that it does not use.
    feeding, state
        bool, shape (n_group,): groups that it certainly uses (:attr:`ConductorData.feeding`, ``state``).
    """

    bound: float
    excluded: Bools
    feeding: Bools
    state: Bools


class Relaxation:
    """Linear relaxation of a conductor problem in HiGHS, its tangents and its decisions."""

    def __init__(self, problem: ConductorProblem, cost_cutoff: float) -> None:
        self.data = ConductorData.of(problem, cost_cutoff)
        model = build_conductor_selection(self.data)
        self._relaxation = HighsRelaxation(self.data.flow, model=model)
        self._compiled = self._relaxation.model
        self._tangents = Tangents(self.data.flow.arcs, self._relaxation.add_tangents, self._relaxation.cuttable)
        self.choice = np.flatnonzero(~self.data.flow.arcs.fixed)
        self._always = np.flatnonzero(self.data.flow.arcs.fixed)
        self._b = self._compiled.columns([model.b[int(a)] for a in self.choice])
        self._f = self._compiled.columns([model.f[g] for g in range(len(self.data.feeding))])
        self._z = self._compiled.columns([model.z[e] for e in range(len(self.data.state))])
        place = {int(a): i for i, a in enumerate(self.choice)}
        self.feeding = [np.array([place[a] for a in group], dtype=np.int64) for group in self.data.feeding]
        self.state = [np.array([place[a] for a in group], dtype=np.int64) for group in self.data.state]

    def root(self) -> Node:
        """All plans."""
        none = [np.zeros(len(x), dtype=bool) for x in (self.choice, self.feeding, self.state)]
        return Node(-math.inf, *none)

    def solve(self, node: Node, time_limit: float) -> highs.SolverRun:
        """Relaxation of a node, with the tangents there are."""
        self._compiled.bound(self._b, np.zeros(len(self._b)), np.where(node.excluded, 0.0, 1.0))
        self._compiled.bound(self._f, node.feeding.astype(float), np.ones(len(self._f)))
        self._compiled.bound(self._z, node.state.astype(float), np.ones(len(self._z)))
        return self._compiled.solve_relaxation(time_limit)

    def cut(self, run: highs.SolverRun, tolerance: float) -> int:
        """Tangents where a solution lies outside the cone; returns how many."""
        return self._tangents.at_values(*self._relaxation.arc_values(run), tolerance)

    def touch(self, problem: ConductorProblem, plan: ConductorPlan) -> int:
        """Tangents at the power flow of a plan, for all conductors of the branches in use."""
        equipped = problem.equipped(plan.conductor)
        flow = power_flow(equipped, plan.configuration)
        return self._tangents.at_power_flow(flow, equipped.network) if flow.converged else 0

    def usage(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """Share in use of each copy, of each branch and direction, and of each branch."""
        return values[self._b], values[self._f], values[self._z]

    def excludable(self, run: highs.SolverRun, cutoff: float) -> Bools:
        """Copies that no plan below the cutoff uses, by reduced cost."""
        if run.reduced_costs is None or not math.isfinite(cutoff):
            return np.zeros(len(self.choice), dtype=bool)
        return run.bound + run.reduced_costs[self._b] > cutoff + ROUNDING * abs(cutoff)

    def plan(self, share: Floats) -> ConductorPlan:
        """The plan of an integral configuration: of each branch in use the conductor of largest share."""
        picked = [int(group[share[group].argmax()]) for group in self.feeding if share[group].sum() > 0.5]
        return self.data.plan(np.concatenate([self._always, self.choice[np.array(picked, dtype=np.int64)]]))

    def children(self, node: Node, kind: Kind, index: int, split: int = 0) -> list[Node]:
        """Two nodes that share the plans of a node.

        Parameters
        ----------
        kind, index
            ``state`` (closed or open), ``feeding`` (used in this direction or not), or ``conductor`` (copies up to
            ``split`` or above, of this branch and direction).
        """
        members = (self.state if kind == "state" else self.feeding)[index]
        low = node.excluded.copy()
        if kind == "conductor":
            high = node.excluded.copy()
            low[members[split + 1 :]] = True
            high[members[: split + 1]] = True
            return [replace(node, excluded=low), replace(node, excluded=high)]
        low[members] = True
        forced = (node.state if kind == "state" else node.feeding).copy()
        forced[index] = True
        used = replace(node, state=forced) if kind == "state" else replace(node, feeding=forced)
        return [used, replace(node, excluded=low)]


class BranchAndCut:
    """Best-first search over the nodes of a relaxation.

    Parameters
    ----------
    incumbent
        Keeper of the best plan.
    tolerance
        Squared current [pu] by which a solution may lie outside the cone.
    gap
        Relative gap to prove.
    """

    def __init__(self, relaxation: Relaxation, incumbent: Incumbent, tolerance: float, gap: float) -> None:
        self._relaxation = relaxation
        self._incumbent = incumbent
        self._tolerance = tolerance
        self._gap = gap
        self._open: list[tuple[float, int, Node]] = []
        self._order = itertools.count()
        self._discarded = math.inf  # least bound of what was given up
        self.nodes = 0
        self.complete = False
        """Nothing is left that could hold a plan better than the gap allows."""

    @property
    def cutoff(self) -> float:
        """Only plans below this are of interest."""
        return self._incumbent.cost * (1 - 0.9 * self._gap)

    @property
    def bound(self) -> float:
        """Proven cost of every plan; infinite where there is none."""
        return min(self._discarded, self._open[0][0] if self._open else math.inf)

    def run(self, watch: Stopwatch, time_limit: float) -> None:
        """Search until the gap is proven or the time is over."""
        self._push(self._relaxation.root())
        while self._open and self._open[0][0] < self.cutoff:
            if watch.elapsed >= time_limit:
                return
            # The node stays in the heap until its children are there: the bound is valid whenever this is left.
            node = self._open[0][2]
            children = self._expand(node, watch, time_limit)
            heapq.heappop(self._open)
            self.nodes += 1
            for child in children:
                self._push(child)
        self.complete = True

    def _push(self, node: Node) -> None:
        if node.bound >= self.cutoff:
            self._discarded = min(self._discarded, node.bound)
        else:
            heapq.heappush(self._open, (node.bound, next(self._order), node))

    def _expand(self, node: Node, watch: Stopwatch, time_limit: float) -> list[Node]:
        """Children of a node; itself with a better bound where time ran out or tangents at a new plan may help."""
        relaxation = self._relaxation
        slow, added = 0, 0
        previous = -math.inf
        values = np.zeros(0)
        for _ in range(_MOST_ROUNDS):
            run = relaxation.solve(node, time_limit - watch.elapsed)
            if run.outcome is highs.Outcome.INFEASIBLE:
                return []
            if run.outcome is not highs.Outcome.OPTIMAL or run.values is None:
                return [node]
            excluded = node.excluded | relaxation.excludable(run, self.cutoff)
            node = replace(node, bound=_raised(node, run), excluded=excluded)
            if node.bound >= self.cutoff:
                return [node]
            values = run.values
            added = relaxation.cut(run, self._tolerance)
            if not added:
                break
            distance = self.cutoff if math.isfinite(self.cutoff) else 2 * abs(run.bound)
            slow = slow + 1 if run.bound - previous < _LEAST_PROGRESS * abs(distance) else 0
            if slow == 2:
                break
            previous = run.bound
        share, feeding, state = relaxation.usage(values)
        if (np.minimum(feeding, 1 - feeding) < _INTEGRAL).all():
            plan = relaxation.plan(share)
            fresh = self._incumbent.complete(plan)
            if node.bound >= self.cutoff or (relaxation.touch(self._incumbent.problem, plan) and fresh):
                return [node]
        return self._branch(node, share, feeding, state, watch, time_limit)

    def _branch(
        self, node: Node, share: Floats, feeding: Floats, state: Floats, watch: Stopwatch, time_limit: float
    ) -> list[Node]:
        """The children of the candidate whose trial solves raise the bounds most."""
        candidates = self._candidates(share, feeding, state)
        if not candidates:
            return self._split_what_is_left(node, self._relaxation.plan(share))
        best: tuple[float, list[Node]] = -math.inf, []
        for kind, index, split in candidates[:_CANDIDATES]:
            pair = []
            for child in self._relaxation.children(node, kind, index, split):
                run = self._relaxation.solve(child, time_limit - watch.elapsed)
                if run.outcome is highs.Outcome.INFEASIBLE:
                    continue
                if run.outcome is not highs.Outcome.OPTIMAL:
                    return [node]
                pair.append(replace(child, bound=_raised(child, run)))
            gains = [min(child.bound, self.cutoff) - node.bound for child in pair]
            most = self.cutoff - node.bound if math.isfinite(self.cutoff) else max([1.0, *gains])
            gains += [most] * (2 - len(pair))
            score = max(min(gains), 1e-6) * max(max(gains), 1e-6)
            if score > best[0]:
                best = score, pair
            if all(child.bound >= self.cutoff for child in pair):
                break
        return best[1]

    def _candidates(self, share: Floats, feeding: Floats, state: Floats) -> list[tuple[Kind, int, int]]:
        """What is fractional, most fractional first; conductors only where the configuration is integral."""
        found: list[tuple[float, Kind, int, int]] = []
        kinds: tuple[tuple[Kind, Floats], ...] = (("state", state), ("feeding", feeding))
        for kind, value in kinds:
            off = np.minimum(value, 1 - value)
            found += [(float(off[i]), kind, int(i), 0) for i in np.flatnonzero(off > _INTEGRAL)]
        if not found:
            premium = self._relaxation.data.premium[self._relaxation.choice]
            for g, members in enumerate(self._relaxation.feeding):
                part = np.cumsum(share[members])
                off = np.minimum(part, part[-1] - part)[:-1]
                if len(off) and off.max() > _INTEGRAL:
                    split = int(off.argmax())
                    found.append((float(off[split]) * float(np.ptp(premium[members])), "conductor", g, split))
        return [(kind, index, split) for _, kind, index, split in sorted(found, key=lambda c: -c[0])]

    def _split_what_is_left(self, node: Node, plan: ConductorPlan) -> list[Node]:
        """Children of a node whose relaxation is integral, with a plan that is known and no better than the best."""
        for g, members in enumerate(self._relaxation.feeding):
            left = np.flatnonzero(~node.excluded[members])
            if len(left) and not node.feeding[g]:
                return self._relaxation.children(node, "feeding", g)
            if len(left) > 1:
                return self._relaxation.children(node, "conductor", g, int(left[0]))
        # One plan is left, and it was judged: worse than the best, or against a limit; or its bound is all there is.
        if self._incumbent.doubts(plan):
            self._discarded = min(self._discarded, node.bound)
        return []


def _raised(node: Node, run: highs.SolverRun) -> float:
    """Bound of a node after a relaxation, less the tolerances of the linear solver."""
    return max(node.bound, run.bound - ROUNDING * abs(run.bound))
