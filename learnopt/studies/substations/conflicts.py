"""Why no plan exists: which demands and which limits cannot be met, by elastic relaxation.

Elastic programming: Chinneck (2008), doi:10.1007/978-0-387-74932-7, chapter 6. The sums are proven by the dual bound;
the place where they fall is one of possibly several.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from learnopt.engines.milp import highs
from learnopt.formulations.expansion import Give, build_expansion
from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.squares import PIECES, Squares

_LISTED = 6
_NOTHING = 1e-6
_WHOLE_PLAN = ("exits", "substations")
"""Kinds of slack that belong to no stage."""


def explain_conflicts(problem: ExpansionProblem, time_limit: float = 30.0) -> list[str]:
    """Sentences that say which demands cannot be reached or served, and which limits would have to give."""
    cut_off = unreachable(problem)
    sentences = cut_off + _elastic(problem, Give.DEMAND, time_limit / 2)
    if not cut_off:  # no limit can make up for a route that does not exist
        sentences += _elastic(problem, Give.LIMITS, time_limit / 2)
    return sentences


def unreachable(problem: ExpansionProblem) -> list[str]:
    """One sentence per demand without any way over routes to a site."""
    links, reached = problem.links, set(range(problem.n_site))
    grown = True
    while grown:
        new = {int(h) for t, h in zip(links.tail, links.head, strict=True) if int(t) in reached} - reached
        grown = bool(new)
        reached |= new
    ids = problem.node_ids
    return [
        f"Proven: demand {ids[j]!r} has no way over the routes to any site; add a route to it."
        for j in range(problem.n_site, problem.n_node)
        if j not in reached and any(problem.demand(t, j) > 0 for t in range(len(problem.stages)))
    ]


def _elastic(problem: ExpansionProblem, give: Give, time_limit: float) -> list[str]:
    """What must give at least, and where it does so in the best plan found."""
    pyomo_model = build_expansion(problem, give)
    model = highs.CompiledModel(pyomo_model)
    Squares(problem, pyomo_model, model).spread(PIECES)
    run = model.solve(gap=1e-4, time_limit=time_limit)
    if run.outcome is highs.Outcome.INFEASIBLE:
        what = "leaving demand unserved" if give is Give.DEMAND else "exceeding limits"
        return [f"Proven: not even {what} makes a plan possible."]
    proven = max(run.bound - _NOTHING * (1 + abs(run.bound)), 0.0) if math.isfinite(run.bound) else 0.0
    sentences = []
    if give is Give.DEMAND and proven > _NOTHING:
        total = sum(problem.total_mva(t) for t in range(len(problem.stages)))
        sentences.append(f"Proven: within the limits at least {proven:.4g} MVA of {total:g} MVA stay unserved.")
    if give is Give.LIMITS and proven > _NOTHING:
        sentences.append(f"Proven: to serve every demand, relative excesses of limits add up to at least {proven:.2%}.")
    if run.values is None:
        return sentences
    keys = list(pyomo_model.slack)
    columns = model.columns([pyomo_model.slack[key] for key in keys])
    amounts = np.where(columns >= 0, run.values[columns], 0.0)
    order = [k for k in np.argsort(-amounts, kind="stable") if amounts[k] > 10 * _NOTHING]
    sentences += [_sentence(problem, keys[k], float(amounts[k])) for k in order[:_LISTED]]
    if len(order) > _LISTED:
        sentences.append(f"And {len(order) - _LISTED} smaller ones.")
    return sentences


def _sentence(problem: ExpansionProblem, key: tuple[Any, ...], amount: float) -> str:
    """What one slack says."""
    kind, ids = key[0], problem.node_ids
    at = f" in stage {problem.stages[key[-1]].name!r}" if len(problem.stages) > 1 and kind not in _WHOLE_PLAN else ""
    if kind == "demand":
        demand = problem.demand(key[2], key[1])
        return f"Demand {ids[key[1]]!r} lacks {amount:.4g} of {demand:g} MVA{at} in the plan that serves most."
    if kind == "capacity":
        _, i, s, _ = key
        size = problem.sizes[s]
        needed = f"{size.capacity_mva * (1 + amount):.4g} MVA instead of {size.capacity_mva:g} MVA"
        return f"Then size {size.name!r} at site {ids[i]!r} delivers {needed}{at}."
    if kind == "line":
        _, e, k, _ = key
        line, route = problem.line_types[k], problem.routes[e].id
        needed = f"{line.capacity_mva * (1 + amount):.4g} MVA instead of {line.capacity_mva:g} MVA"
        return f"Then line {line.name!r} on route {route!r} carries {needed}{at}."
    if kind == "exits":
        allowed = problem.sites[key[1]].exits
        return f"Then {math.ceil(allowed * (1 + amount) - _NOTHING)} lines leave site {ids[key[1]]!r}, {allowed} may."
    if kind == "substations":
        allowed = problem.max_substations
        return f"Then there are {math.ceil(allowed * (1 + amount) - _NOTHING)} substations, {allowed} may be."
    if kind == "loss":
        limit = problem.loss_limit_percent or 0.0
        return f"Then the lines lose {limit * (1 + amount):.4g} % instead of {limit:g} %{at}."
    largest = max(problem.sizes[s].capacity_mva for s in problem.sites[key[1]].sizes)
    return f"Then {largest * amount:.4g} MVA more are left when site {ids[key[1]]!r} loses a transformer{at}."
