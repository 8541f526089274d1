"""Least cost by enumeration: every choice of sizes and lines, then the cheapest flow. Shares nothing with the model.

For one stage. Radial plans: every choice of a feeding line per node. Others, and N-1: a linear program over what is
built (scipy), so costs must be linear there.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import linprog

from learnopt.network.expansion import ExpansionProblem


def least_cost(problem: ExpansionProblem) -> float:
    """Cost of the best plan; ``inf`` if there is none."""
    best = math.inf
    site_choices = itertools.product(*[(None, *site.sizes) for site in problem.sites])
    for sizes in site_choices:
        if sum(s is not None for s in sizes) > problem.max_substations:
            continue
        fixed = sum(problem.sizes[s].fixed_cost for s in sizes if s is not None)
        if fixed >= best:
            continue
        for lines in itertools.product(*[(None, *route.types) for route in problem.routes]):
            cost = fixed + sum(
                problem.line_types[k].fixed_cost * route.length_km
                for route, k in zip(problem.routes, lines, strict=True)
                if k is not None
            )
            if cost >= best or (problem.n_minus_1 and not survives(problem, sizes, lines)):
                continue
            best = min(best, cost + (radial_flow if problem.radial else free_flow)(problem, sizes, lines))
    return best


def arcs_of(problem: ExpansionProblem, lines: tuple[int | None, ...]) -> list[tuple[int, int, int, int]]:
    """(tail, head, route, line type) of both directions of what is built."""
    arcs = []
    for e, (route, k) in enumerate(zip(problem.routes, lines, strict=True)):
        if k is not None:
            a, b = route.ends
            arcs += [(a, b, e, k), (b, a, e, k)]
    return arcs


def radial_flow(problem: ExpansionProblem, sizes: tuple[int | None, ...], lines: tuple[int | None, ...]) -> float:
    """Least variable cost of radial operation over built lines, all of them in use."""
    n_site = problem.n_site
    arcs = [a for a in arcs_of(problem, lines) if a[1] >= n_site]
    into = [[a for a in arcs if a[1] == j] for j in range(n_site, problem.n_node)]
    best = math.inf
    for choice in itertools.product(*[(None, *options) for options in into]):
        used = [a for a in choice if a is not None]
        if len({a[2] for a in used}) < len(used) or (
            not problem.n_minus_1 and len(used) < sum(k is not None for k in lines)
        ):
            continue
        cost = _tree_cost(problem, sizes, {a[1]: a for a in used})
        best = min(best, cost)
    return best


def _tree_cost(
    problem: ExpansionProblem, sizes: tuple[int | None, ...], feeder: dict[int, tuple[int, int, int, int]]
) -> float:
    power = dict.fromkeys(feeder, 0.0)
    delivered = np.zeros(problem.n_site)
    for j in range(problem.n_site, problem.n_node):
        demand = problem.demand(0, j)
        if demand == 0 and j not in feeder:
            continue
        node, steps = j, 0
        while node >= problem.n_site:
            if node not in feeder or steps > problem.n_node:
                return math.inf  # not fed, or a ring
            power[node] += demand
            node, steps = feeder[node][0], steps + 1
        delivered[node] += demand
    cost, loss = 0.0, 0.0
    for head, (_, _, e, k) in feeder.items():
        line, km = problem.line_types[k], problem.routes[e].length_km
        if power[head] > line.capacity_mva * (1 + 1e-9):
            return math.inf
        cost += km * (line.variable_cost * power[head] + line.loss_cost * power[head] ** 2)
        if problem.loss_tangent is not None:
            loss += problem.loss_tangent.fixed_mw + problem.loss_tangent.per_mva * power[head]
        else:
            loss += line.r * km * power[head] ** 2 / problem.kv**2
    if loss > problem.loss_limit_mw(0):
        return math.inf
    for i, site in enumerate(problem.sites):
        exits = sum(arc[0] == i for arc in feeder.values())
        if sizes[i] is None:
            if exits:
                return math.inf
            continue
        size = problem.sizes[sizes[i]]
        if exits > site.exits or delivered[i] > size.capacity_mva * (1 + 1e-9):
            return math.inf
        cost += size.variable_cost * delivered[i] + size.loss_cost * delivered[i] ** 2
    return cost


def _flow(
    problem: ExpansionProblem, arcs: list, supply: list[float], prices: list[float], site_prices: list[float]
) -> float:
    """Least cost of a flow over arcs of given capacity; ``inf`` without one."""
    n_arc, n_site, n_node = len(arcs), problem.n_site, problem.n_node
    balance = np.zeros((n_node, n_arc + n_site))
    for k, (tail, head, *_) in enumerate(arcs):
        balance[tail, k] -= 1
        balance[head, k] += 1
    for i in range(n_site):
        balance[i, n_arc + i] = 1
    demand = [problem.demand(0, j) for j in range(n_node)]
    bounds = [(0, problem.line_types[a[3]].capacity_mva) for a in arcs] + [(0, s) for s in supply]
    answer = linprog(prices + site_prices, A_eq=balance, b_eq=demand, bounds=bounds)
    return answer.fun if answer.status == 0 else math.inf


def free_flow(problem: ExpansionProblem, sizes: tuple[int | None, ...], lines: tuple[int | None, ...]) -> float:
    """Least variable cost of a flow that may split: every orientation of the built lines."""
    n_site, best = problem.n_site, math.inf
    built = [(e, k) for e, k in enumerate(lines) if k is not None]
    supply = [0.0 if s is None else problem.sizes[s].capacity_mva for s in sizes]
    site_prices = [0.0 if s is None else problem.sizes[s].variable_cost for s in sizes]
    for ways in itertools.product((0, 1), repeat=len(built)):
        arcs = [
            (problem.routes[e].ends[w], problem.routes[e].ends[1 - w], e, k)
            for (e, k), w in zip(built, ways, strict=True)
        ]
        if any(head < n_site and tail >= n_site for tail, head, *_ in arcs):
            continue
        exits = [sum(a[0] == i for a in arcs) for i in range(n_site)]
        if any(n > (0 if s is None else site.exits) for n, s, site in zip(exits, sizes, problem.sites, strict=True)):
            continue
        prices = [problem.line_types[k].variable_cost * problem.routes[e].length_km for _, _, e, k in arcs]
        best = min(best, _flow(problem, arcs, supply, prices, site_prices))
    return best


def survives(problem: ExpansionProblem, sizes: tuple[int | None, ...], lines: tuple[int | None, ...]) -> bool:
    """Every demand can be supplied over what is built when any substation loses one transformer."""
    arcs = arcs_of(problem, lines)
    for i, (site, s) in enumerate(zip(problem.sites, sizes, strict=True)):
        if sum(a[0] == i for a in arcs) > (0 if s is None else site.exits):
            return False
    limit = problem.emergency_loading
    for out, lost in enumerate(sizes):
        if lost is None:
            continue
        supply = [0.0 if s is None else problem.sizes[s].capacity_mva * limit for s in sizes]
        size = problem.sizes[lost]
        supply[out] = size.capacity_mva * (size.transformers - 1) / size.transformers * limit
        if math.isinf(_flow(problem, arcs, supply, [0.0] * len(arcs), [0.0] * len(sizes))):
            return False
    return True
