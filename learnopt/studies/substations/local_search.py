"""A good radial plan fast: forests improved by feeding one node, with all behind it, from elsewhere.

Given a forest, every line and substation has its cheapest type that carries its power, so the forest is the only
decision. Serves problems of one stage without N-1; what it finds is a start for the exact search and proves nothing.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np

from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.check import check_plan
from learnopt.studies.substations.plan import BuiltLine, BuiltSubstation, ExpansionPlan, Flow

_MOST_SITES = 6
"""Most sites of which every set is tried as a start; of more sites, sets that leave out one or two."""
_SHAKES = 150
"""Random changes tried on the best forest."""
_SHAKEN = (2, 16)
"""Fewest and most nodes moved at random by each."""


def find_plan(problem: ExpansionProblem, rng: np.random.Generator) -> ExpansionPlan | None:
    """The best feasible radial plan of local search from several starts; None where it finds none or does not serve."""
    if len(problem.stages) > 1 or problem.n_minus_1:
        return None
    best: _Forest | None = None
    for sites in _starts(problem):
        forest = _Forest.shortest(problem, sites)
        if forest is not None:
            forest.improve()
            best = forest if best is None or forest.cost < best.cost else best
    if best is None:
        return None
    for _ in range(_SHAKES):
        shaken = best.copy()
        shaken.shake(rng)
        shaken.improve()
        if shaken.cost < best.cost:
            best = shaken
    plan = best.plan()
    return plan if plan is not None and not check_plan(problem, plan) else None


def _starts(problem: ExpansionProblem) -> Iterable[tuple[int, ...]]:
    """Sets of sites to start from."""
    everything = range(problem.n_site)
    fewest = 1 if problem.n_site <= _MOST_SITES else max(problem.n_site - 2, 1)
    for count in range(fewest, min(problem.n_site, problem.max_substations) + 1):
        yield from itertools.combinations(everything, count)
    if problem.max_substations < fewest:
        yield tuple(everything)


class _Forest:
    """Parents of the demand nodes, powers, and the cost with a penalty for what no type can carry."""

    def __init__(self, problem: ExpansionProblem) -> None:
        self.problem = problem
        n_site, n_node = problem.n_site, problem.n_node
        self.demand = [problem.demand(0, k) for k in range(n_node)]
        self.parent = [-1] * n_node
        self.route = [-1] * n_node
        self.power = [0.0] * n_node  # over the link into a node; of a site what it delivers
        self.exits = [0] * n_site
        self.neighbours: list[list[tuple[int, int]]] = [[] for _ in range(n_node)]
        for e, route in enumerate(problem.routes):
            a, b = route.ends
            self.neighbours[a].append((b, e))
            self.neighbours[b].append((a, e))
        stage = problem.stages[0]
        self._lines = [
            [
                (
                    problem.line_types[k].capacity_mva,
                    stage.fixed_factor * problem.line_types[k].fixed_cost * route.length_km,
                    stage.variable_factor * problem.line_types[k].variable_cost * route.length_km,
                    stage.variable_factor * problem.line_types[k].loss_cost * route.length_km,
                )
                for k in route.types
            ]
            for route in problem.routes
        ]
        self._sizes = [
            [
                (
                    problem.sizes[s].capacity_mva,
                    stage.fixed_factor * problem.sizes[s].fixed_cost,
                    stage.variable_factor * problem.sizes[s].variable_cost,
                    stage.variable_factor * problem.sizes[s].loss_cost,
                )
                for s in site.sizes
            ]
            for site in problem.sites
        ]
        dearest = max(cost for offers in (*self._lines, *self._sizes) for _, cost, _, _ in offers)
        self.penalty = 10 * (dearest + 1.0) / max(max(self.demand), 1e-9)
        self.cost = math.inf

    def copy(self) -> _Forest:
        """A forest to change."""
        other = object.__new__(_Forest)
        other.__dict__.update(self.__dict__)
        other.parent, other.route = self.parent.copy(), self.route.copy()
        other.power, other.exits = self.power.copy(), self.exits.copy()
        return other

    @classmethod
    def shortest(cls, problem: ExpansionProblem, sites: Sequence[int]) -> _Forest | None:
        """Every node fed over the cheapest way from the nearest of some sites; None where one cannot be reached."""
        forest = cls(problem)
        n_site = problem.n_site
        distance = [math.inf] * problem.n_node
        heap = [(0.0, i) for i in sites]
        for i in sites:
            distance[i] = 0.0
        order = []
        while heap:
            here, k = heapq.heappop(heap)
            if here > distance[k]:
                continue
            order.append(k)
            for j, e in forest.neighbours[k]:
                there = here + min(cost for _, cost, _, _ in forest._lines[e])
                if j >= n_site and there < distance[j]:
                    distance[j] = there
                    forest.parent[j], forest.route[j] = k, e
                    heapq.heappush(heap, (there, j))
        if any(math.isinf(distance[j]) and forest.demand[j] > 0 for j in range(n_site, problem.n_node)):
            return None
        for k in reversed(order):
            forest.power[k] += forest.demand[k]
            if k >= n_site:
                forest.power[forest.parent[k]] += forest.power[k]
                if forest.parent[k] < n_site:
                    forest.exits[forest.parent[k]] += 1
        forest.cost = forest.total()
        return forest

    def line_cost(self, e: int, power: float) -> float:
        """Cost of the cheapest line of a route that carries a power; beyond the thickest a penalty."""
        return _cheapest(self._lines[e], power, self.penalty)

    def site_cost(self, i: int, power: float, exits: int) -> float:
        """Cost of the cheapest size of a site; nothing where no line leaves it."""
        if exits <= 0:
            return 0.0
        over = max(exits - self.problem.sites[i].exits, 0)
        return _cheapest(self._sizes[i], power, self.penalty) + over * self.penalty

    def total(self) -> float:
        """Cost of the forest with penalties."""
        n_site = self.problem.n_site
        lines = sum(
            self.line_cost(self.route[j], self.power[j]) for j in range(n_site, len(self.parent)) if self.route[j] >= 0
        )
        open_sites = sum(exits > 0 for exits in self.exits)
        over = max(open_sites - self.problem.max_substations, 0) * self.penalty
        return lines + sum(self.site_cost(i, self.power[i], self.exits[i]) for i in range(n_site)) + over

    def _way(self, node: int) -> list[int]:
        """Nodes from a node to its site."""
        way = [node]
        while way[-1] >= self.problem.n_site:
            way.append(self.parent[way[-1]])
        return way

    def gain(self, v: int, u: int, e: int) -> float:
        """What it saves to feed v from u over route e; minus infinity where u hangs behind v."""
        up = self._way(u)
        if v in up:
            return -math.inf
        opened = (u < self.problem.n_site and self.exits[u] == 0) - (
            self.parent[v] < self.problem.n_site and self.exits[self.parent[v]] == 1
        )
        if opened > 0 and sum(exits > 0 for exits in self.exits) + opened > self.problem.max_substations:
            return -math.inf
        n_site, moved = self.problem.n_site, self.power[v]
        down = self._way(self.parent[v])
        saved = self.line_cost(self.route[v], moved) - self.line_cost(e, moved)
        common = set(up) & set(down)
        for way, sign in ((down, -1), (up, 1)):
            for k in way:
                if k not in common and k >= n_site:
                    saved += self.line_cost(self.route[k], self.power[k]) - self.line_cost(
                        self.route[k], self.power[k] + sign * moved
                    )
        old, new = down[-1], up[-1]
        change = {i: [0.0, 0] for i in (old, new)}
        change[old][0] -= moved
        change[new][0] += moved
        change[old][1] -= self.parent[v] < n_site
        change[new][1] += u < n_site
        for i, (power, exits) in change.items():
            saved += self.site_cost(i, self.power[i], self.exits[i])
            saved -= self.site_cost(i, self.power[i] + power, self.exits[i] + int(exits))
        return saved

    def move(self, v: int, u: int, e: int) -> None:
        """Feed v from u over route e."""
        moved, n_site = self.power[v], self.problem.n_site
        for k in self._way(self.parent[v]):
            self.power[k] -= moved
        if self.parent[v] < n_site:
            self.exits[self.parent[v]] -= 1
        self.parent[v], self.route[v] = u, e
        for k in self._way(u):
            self.power[k] += moved
        if u < n_site:
            self.exits[u] += 1

    def improve(self) -> None:
        """Take moves that save until none does."""
        n_site, least = self.problem.n_site, 1e-9 * max(self.cost, 1e-9)
        moving = True
        while moving:
            moving = False
            for v in range(n_site, len(self.parent)):
                if self.route[v] < 0:
                    continue
                options = [(u, e) for u, e in self.neighbours[v] if e != self.route[v]]
                reached = [(u, e) for u, e in options if u < n_site or self.route[u] >= 0]
                saved, u, e = max(((self.gain(v, u, e), u, e) for u, e in reached), default=(0.0, -1, -1))
                if saved > least:
                    self.move(v, u, e)
                    moving = True
        self.cost = self.total()

    def shake(self, rng: np.random.Generator) -> None:
        """Feed some random nodes from random neighbours."""
        count = int(rng.integers(_SHAKEN[0], _SHAKEN[1] + 1))
        for v in rng.integers(self.problem.n_site, len(self.parent), count):
            options = [(u, e) for u, e in self.neighbours[v] if u < self.problem.n_site or self.route[u] >= 0]
            if not options or self.route[v] < 0:
                continue
            u, e = options[int(rng.integers(len(options)))]
            if int(v) not in self._way(u):
                self.move(int(v), u, e)
        self.cost = self.total()

    def plan(self) -> ExpansionPlan | None:
        """The plan of the forest, without lines that carry nothing; None where no type carries a power."""
        problem, n_site = self.problem, self.problem.n_site
        lines, flows = [], []
        for j in range(n_site, problem.n_node):
            e = self.route[j]
            if e < 0 or self.power[j] <= 1e-9:
                continue
            kind = _choice(self._lines[e], self.power[j])
            if kind is None:
                return None
            lines.append(BuiltLine(e, problem.routes[e].types[kind], 0))
            flows.append(Flow(0, e, self.parent[j], j, self.power[j]))
        substations = []
        for i, site in enumerate(problem.sites):
            if self.power[i] > 1e-9:
                size = _choice(self._sizes[i], self.power[i])
                if size is None:
                    return None
                substations.append(BuiltSubstation(i, site.sizes[size], 0))
        return ExpansionPlan(tuple(substations), tuple(sorted(lines, key=lambda line: line.route)), tuple(flows))


_Offer = tuple[float, float, float, float]
"""Capacity, fixed cost, cost per MVA, cost per MVA^2."""


def _choice(offers: Sequence[_Offer], power: float) -> int | None:
    """The cheapest offer that carries a power."""
    able = [
        (fixed + variable * power + square * power**2, k)
        for k, (capacity, fixed, variable, square) in enumerate(offers)
        if power <= capacity * (1 + 1e-9)
    ]
    return min(able)[1] if able else None


def _cheapest(offers: Sequence[_Offer], power: float, penalty: float) -> float:
    """Cost of the cheapest offer that carries a power; of the largest, with a penalty, where none does."""
    best = math.inf
    for capacity, fixed, variable, square in offers:
        if power <= capacity * (1 + 1e-9):
            best = min(best, fixed + (variable + square * power) * power)
    if math.isinf(best):
        capacity, fixed, variable, square = max(offers)
        best = fixed + (variable + square * power) * power + penalty * (1 + power - capacity)
    return best
