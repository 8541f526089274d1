r"""Substation siting, sizing and feeder routing as a fixed-charge mixed-integer linear model.

Read it as the paper would print it. Sets: stages t, sites i with sizes s, links l = (tail, head, route, line type).
Variables: :math:`\delta_{ist}` site i has size s; :math:`\beta_{lt}` the link is in use; :math:`P_{lt}` its power
[MVA]; :math:`G_{ist}` power that the substation delivers; :math:`y_{ekt}` route e is built with line type k.

.. math::

    \min\ & \textstyle\sum a_s\,\Delta\delta_{ist} + \sum b_s G_{ist} + \sum c_k L_e\,\Delta y_{ekt}
            + \sum d_k L_e P_{lt} + \sum q_k L_e h_{lt}                                        && (1) \\
    & \textstyle\sum_{l \to j} P_{lt} - \sum_{j \to l} P_{lt} = D_{jt}                          && (2) \\
    & P_{lt} \le P^{\max}_k \beta_{lt}                                                          && (3) \\
    & \textstyle\sum_{i \to l} \beta_{lt} \le N_F \sum_s \delta_{ist}                           && (4) \\
    & \textstyle\sum_{i,s} \delta_{ist} \le N_{\max}                                            && (5) \\
    & \textstyle\sum_{l \in e} \beta_{lt} \le y_{et} \le 1                                      && (6) \\
    & \textstyle\sum_l z_{lt} \le \tfrac{Z_{\max}}{100} \cos\varphi \sum_j D_{jt}               && (7)

with :math:`\Delta` what a stage adds, :math:`h_{lt}` the square of the power, :math:`z_{lt}` the loss of a line. Costs
are times the stage's present worth factors. Numbers in parentheses are those of Türkay, *Distribution System Planning
Using Mixed Integer Programming*; (2) is an equality here, which is the same where power costs something. Differences
from the print are listed in ``docs/methods/substations.md``.

:math:`h \ge P^2 / \beta` is replaced by its tangents :math:`h \ge 2 S_0 P - S_0^2 \beta`, each valid for every plan:
:math:`(P - S_0)^2 \ge 0` where the link is in use, and all three are 0 where it is not. The model is a relaxation of
the problem with exact quadratic costs and losses, so its dual bound bounds the cost of every plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.network.expansion import ExpansionProblem


class Give(Enum):
    """What may give in an elastic model."""

    NOTHING = "the plan supplies every demand within every limit"
    DEMAND = "demand may stay unserved"
    LIMITS = "limits may be exceeded"


def build_expansion(problem: ExpansionProblem, give: Give = Give.NOTHING) -> pyo.ConcreteModel:
    """Least-cost plan; or the least that must give, where something may."""
    model = pyo.ConcreteModel(name=problem.name)
    define_sets(model, problem)

    variable_site_built(model)
    variable_site_supply(model, problem)
    variable_link_used(model)
    variable_link_power(model, problem)
    variable_route_built(model, problem)
    variable_squares(model, problem)
    variable_slack(model, problem, give)

    if give is Give.NOTHING:
        objective_cost(model, problem)
    else:
        objective_slack(model, problem)

    constraint_site_size(model, problem)
    constraint_site_balance(model, problem)
    constraint_site_capacity(model, problem)
    constraint_demand_balance(model, problem)
    constraint_link_capacity(model, problem)
    constraint_exits(model, problem)
    constraint_substations(model, problem)
    constraint_one_direction(model, problem)
    constraint_loss(model, problem)
    constraint_built_stays(model)
    constraint_feeding_lines(model, problem, give)
    constraint_transformer_outage(model, problem)
    return model


def define_sets(model: Any, problem: ExpansionProblem) -> None:
    """Stages, site sizes, links, and the links into and out of each node and of each route."""
    links = problem.links
    model.stages = pyo.Set(initialize=range(len(problem.stages)), ordered=True)
    model.sites = pyo.Set(initialize=range(problem.n_site), ordered=True)
    model.offers = pyo.Set(
        initialize=[(i, s) for i, site in enumerate(problem.sites) for s in site.sizes], ordered=True
    )
    model.links = pyo.Set(initialize=range(len(links)), ordered=True)
    model.into = {k: np.flatnonzero(links.head == k).tolist() for k in range(problem.n_node)}
    model.out_of = {k: np.flatnonzero(links.tail == k).tolist() for k in range(problem.n_node)}
    members: dict[tuple[int, int], list[int]] = {}
    for link in range(len(links)):
        members.setdefault((int(links.route[link]), int(links.line_type[link])), []).append(link)
    model.of_option = members
    model.options = pyo.Set(initialize=list(members), ordered=True)
    on_route: dict[int, list[tuple[int, int]]] = {}
    for option in members:
        on_route.setdefault(option[0], []).append(option)
    model.on_route = on_route


def variable_site_built(model: Any) -> None:
    r"""delta_ist: size s stands at site i in stage t."""
    model.delta = pyo.Var(model.offers, model.stages, domain=pyo.Binary)


def variable_site_supply(model: Any, problem: ExpansionProblem) -> None:
    r"""G_ist: power that the substation delivers [MVA]."""
    model.G = pyo.Var(model.offers, model.stages, domain=pyo.NonNegativeReals)


def variable_link_used(model: Any) -> None:
    r"""beta_lt: the link is in use."""
    model.beta = pyo.Var(model.links, model.stages, domain=pyo.Binary)


def variable_link_power(model: Any, problem: ExpansionProblem) -> None:
    r"""P_lt: power over the link [MVA], (8)."""
    model.P = pyo.Var(model.links, model.stages, domain=pyo.NonNegativeReals)


def variable_route_built(model: Any, problem: ExpansionProblem) -> None:
    r"""y_ekt: route e carries line type k. With one stage and no reserve a line is built exactly where it is used."""
    if len(problem.stages) == 1 and not problem.n_minus_1:
        model.y = {(*o, 0): sum(model.beta[link, 0] for link in members) for o, members in model.of_option.items()}
    else:
        model.y = pyo.Var(model.options, model.stages, domain=pyo.Binary)


def variable_squares(model: Any, problem: ExpansionProblem) -> None:
    r"""h_lt, H_ist: squares of powers [MVA^2] where a cost or a loss depends on them; tangents are added later."""
    of_line, of_site = squared(problem)
    chosen = [link for link in model.links if of_line[int(problem.links.line_type[link])]]
    offers = [offer for offer in model.offers if of_site[offer[1]]]
    model.h = pyo.Var(chosen, model.stages, domain=pyo.NonNegativeReals)
    model.H = pyo.Var(offers, model.stages, domain=pyo.NonNegativeReals)


def squared(problem: ExpansionProblem) -> tuple[list[bool], list[bool]]:
    """Whether the square of its power matters, per line type and per substation size."""
    limited = problem.loss_limit_percent is not None and problem.loss_tangent is None
    lines = [k.loss_cost > 0 or (limited and k.r > 0) for k in problem.line_types]
    return lines, [s.loss_cost > 0 for s in problem.sizes]


def tangent_row(at: float) -> tuple[float, float, float]:
    r"""Coefficients of h, P and beta in :math:`h - 2 S_0 P + S_0^2 \beta \ge 0`."""
    return 1.0, -2 * at, at**2


def variable_slack(model: Any, problem: ExpansionProblem, give: Give) -> None:
    """What gives, by what it belongs to: MVA of demand, or the share by which a limit is exceeded."""
    stages, n_site = range(len(problem.stages)), problem.n_site
    keys: list[tuple[Any, ...]] = []
    if give is Give.DEMAND:
        keys = [("demand", j, t) for t in stages for j in range(n_site, problem.n_node) if problem.demand(t, j) > 0]
    elif give is Give.LIMITS:
        keys = [("capacity", *offer, t) for offer in model.offers for t in stages]
        keys += [("line", *option, t) for option in model.options for t in stages]
        keys += [("exits", i) for i in model.sites] + [("substations",)]
        keys += [("loss", t) for t in stages] if problem.loss_limit_percent is not None else []
        keys += [("outage", i, t) for i in model.sites for t in stages] if problem.n_minus_1 else []
    model.slacks = pyo.VarList(domain=pyo.NonNegativeReals)
    model.slack = {}
    for key in keys:
        model.slack[key] = model.slacks.add()
        if key[0] == "demand":
            model.slack[key].setub(problem.demand(key[2], key[1]))


def slack(model: Any, *key: Any) -> Any:
    """The slack of a row, or the number 0 where the row may not give."""
    return model.slack.get(key, 0.0)


def cost_scale(problem: ExpansionProblem) -> float:
    """Money that one unit of the objective stands for: the solver sees costs around 1."""
    costs = [size.fixed_cost + size.yearly_cost(size.capacity_mva) for size in problem.sizes]
    costs += [r.length_km * problem.line_types[k].fixed_cost for r in problem.routes for k in r.types]
    return max(costs, default=0.0) or 1.0


def objective_cost(model: Any, problem: ExpansionProblem) -> None:
    r"""(1): fixed and variable cost of substations and lines, present worth, over ``cost_scale``."""
    links = problem.links
    scale = cost_scale(problem)
    cost: Any = 0.0
    for t, stage in enumerate(problem.stages):
        build, run = stage.fixed_factor / scale, stage.variable_factor / scale
        for i, s in model.offers:
            size = problem.sizes[s]
            added = model.delta[i, s, t] - (model.delta[i, s, t - 1] if t else 0.0)
            cost += build * size.fixed_cost * added + run * size.variable_cost * model.G[i, s, t]
            if size.loss_cost > 0:
                cost += run * size.loss_cost * model.H[i, s, t]
        for e, k in model.options:
            price = build * problem.line_types[k].fixed_cost * problem.routes[e].length_km
            cost += price * (model.y[e, k, t] - (model.y[e, k, t - 1] if t else 0.0))
        for link in model.links:
            line, km = problem.line_types[links.line_type[link]], problem.routes[links.route[link]].length_km
            cost += run * line.variable_cost * km * model.P[link, t]
            if line.loss_cost > 0:
                cost += run * line.loss_cost * km * model.h[link, t]
    model.objective = pyo.Objective(expr=cost + 0.0, sense=pyo.minimize)


def objective_slack(model: Any, problem: ExpansionProblem) -> None:
    """What gives, in sum."""
    model.objective = pyo.Objective(expr=sum(model.slack.values()) + 0.0, sense=pyo.minimize)


def constraint_site_size(model: Any, problem: ExpansionProblem) -> None:
    r"""At most one size stands at a site."""
    several = [i for i, site in enumerate(problem.sites) if len(site.sizes) > 1]

    def rule(_: Any, i: int, t: int) -> Any:
        return built(model, problem, i, t) <= 1

    model.site_size = pyo.Constraint(several, model.stages, rule=rule)


def built(model: Any, problem: ExpansionProblem, site: int, stage: int) -> Any:
    r""":math:`\sum_s \delta_{ist}`: whether a substation stands at a site."""
    return sum(model.delta[site, s, stage] for s in problem.sites[site].sizes)


def constraint_site_balance(model: Any, problem: ExpansionProblem) -> None:
    r"""A substation delivers what leaves it less what other substations transfer to it."""

    def rule(_: Any, i: int, t: int) -> Any:
        supply = sum(model.G[i, s, t] for s in problem.sites[i].sizes)
        transferred = sum(model.P[link, t] for link in model.into[i])
        return supply + transferred == sum(model.P[link, t] for link in model.out_of[i])

    model.site_balance = pyo.Constraint(model.sites, model.stages, rule=rule)


def constraint_site_capacity(model: Any, problem: ExpansionProblem) -> None:
    r"""A substation delivers at most its capacity, and nothing where it is not built."""

    def rule(_: Any, i: int, s: int, t: int) -> Any:
        capacity = problem.sizes[s].capacity_mva
        return model.G[i, s, t] <= capacity * (model.delta[i, s, t] + slack(model, "capacity", i, s, t))

    model.site_capacity = pyo.Constraint(model.offers, model.stages, rule=rule)


def constraint_demand_balance(model: Any, problem: ExpansionProblem) -> None:
    r"""(2): what arrives at a node less what goes on is its demand."""

    def rule(_: Any, j: int, t: int) -> Any:
        if not (model.into[j] or model.out_of[j]) and problem.demand(t, j) == 0:
            return pyo.Constraint.Skip
        net = sum(model.P[link, t] for link in model.into[j]) - sum(model.P[link, t] for link in model.out_of[j])
        return net + slack(model, "demand", j, t) == problem.demand(t, j)

    nodes = range(problem.n_site, problem.n_node)
    model.demand_balance = pyo.Constraint(nodes, model.stages, rule=rule)


def constraint_link_capacity(model: Any, problem: ExpansionProblem) -> None:
    r"""(3): thermal limit of a line in use; never more than the demand that lies beyond its tail."""
    links = problem.links

    def rule(_: Any, link: int, t: int) -> Any:
        e, k = int(links.route[link]), int(links.line_type[link])
        beyond = problem.total_mva(t) - problem.demand(t, int(links.tail[link]))
        limit = min(problem.line_types[k].capacity_mva, beyond) * model.beta[link, t]
        return model.P[link, t] <= limit + problem.line_types[k].capacity_mva * slack(model, "line", e, k, t)

    model.link_capacity = pyo.Constraint(model.links, model.stages, rule=rule)
    if model.slack:  # what gives is a limit: an unused line carries nothing still

        def unused(_: Any, link: int, t: int) -> Any:
            return model.P[link, t] <= problem.total_mva(t) * model.beta[link, t]

        model.unused = pyo.Constraint(model.links, model.stages, rule=unused)


def constraint_exits(model: Any, problem: ExpansionProblem) -> None:
    r"""(4): no line leaves a site without substation, and at most N_F leave a substation."""

    def rule(_: Any, i: int, t: int) -> Any:
        if not model.out_of[i]:
            return pyo.Constraint.Skip
        exits = problem.sites[i].exits
        leaving = sum(model.beta[link, t] for link in model.out_of[i])
        return leaving <= exits * (built(model, problem, i, t) + slack(model, "exits", i))

    model.exits = pyo.Constraint(model.sites, model.stages, rule=rule)
    if model.slack:  # more exits than allowed, but of a substation that is there
        leaving = [link for i in model.sites for link in model.out_of[i]]

        def stands(_: Any, link: int, t: int) -> Any:
            return model.beta[link, t] <= built(model, problem, int(problem.links.tail[link]), t)

        model.stands = pyo.Constraint(leaving, model.stages, rule=stands)


def constraint_substations(model: Any, problem: ExpansionProblem) -> None:
    r"""(5): at most N_max substations; what is built stays, so the last stage has most."""
    last = len(problem.stages) - 1
    count = sum(built(model, problem, i, last) for i in model.sites)
    model.substations = pyo.Constraint(expr=count <= problem.max_substations * (1 + slack(model, "substations")))


def constraint_one_direction(model: Any, problem: ExpansionProblem) -> None:
    r"""(6): one line type and one direction per route; only a line that is built is used."""
    derived = isinstance(model.y, Mapping)

    def one_type(_: Any, e: int, t: int) -> Any:
        if derived and sum(len(model.of_option[option]) for option in model.on_route[e]) == 1:
            return pyo.Constraint.Skip
        return sum(model.y[(*option, t)] for option in model.on_route[e]) <= 1

    model.one_direction = pyo.Constraint(list(model.on_route), model.stages, rule=one_type)
    if not derived:

        def used(_: Any, e: int, k: int, t: int) -> Any:
            return sum(model.beta[link, t] for link in model.of_option[e, k]) <= model.y[e, k, t]

        model.used = pyo.Constraint(model.options, model.stages, rule=used)


def constraint_loss(model: Any, problem: ExpansionProblem) -> None:
    r"""(7), summed over the lines: loss at most a share of the active power demanded, (11).

    The loss is the tangent :math:`A \beta + B P` where the problem gives one, else :math:`r_k L_e h / V^2`.
    """
    if problem.loss_limit_percent is None:
        return
    links, tangent = problem.links, problem.loss_tangent

    def rule(_: Any, t: int) -> Any:
        loss: Any = 0.0
        for link in model.links:
            e, k = int(links.route[link]), int(links.line_type[link])
            if tangent is not None:
                loss += tangent.fixed_mw * model.beta[link, t] + tangent.per_mva * model.P[link, t]
            elif problem.line_types[k].r > 0:
                loss += problem.line_loss_mw(e, k, 1.0) * model.h[link, t]
        if isinstance(loss, float):
            return pyo.Constraint.Skip
        return loss <= problem.loss_limit_mw(t) * (1 + slack(model, "loss", t))

    model.loss = pyo.Constraint(model.stages, rule=rule)


def constraint_built_stays(model: Any) -> None:
    r"""What is built in a stage stands in the next."""
    later = [t for t in model.stages if t]

    def site(_: Any, i: int, s: int, t: int) -> Any:
        return model.delta[i, s, t - 1] <= model.delta[i, s, t]

    model.site_stays = pyo.Constraint(model.offers, later, rule=site)
    if later:

        def line(_: Any, e: int, k: int, t: int) -> Any:
            return model.y[e, k, t - 1] <= model.y[e, k, t]

        model.line_stays = pyo.Constraint(model.options, later, rule=line)


def constraint_feeding_lines(model: Any, problem: ExpansionProblem, give: Give) -> None:
    r"""Lines that feed a node: at least one where there is demand, exactly one in a radial plan.

    In a radial plan the one line carries at least the demand of its head: :math:`P_{lt} \ge D_{jt} \beta_{lt}`. In the
    other plans the row only tightens the relaxation.
    """
    nodes = range(problem.n_site, problem.n_node)

    def rule(_: Any, j: int, t: int) -> Any:
        feeding, needed = sum(model.beta[link, t] for link in model.into[j]), problem.demand(t, j) > 0
        if not model.into[j]:
            return pyo.Constraint.Skip
        if problem.radial:
            return feeding == 1 if needed and give is not Give.DEMAND else feeding <= 1
        return feeding >= 1 if needed and give is Give.NOTHING else pyo.Constraint.Skip

    model.feeding_lines = pyo.Constraint(nodes, model.stages, rule=rule)
    if problem.radial and give is Give.NOTHING:
        head = problem.links.head

        def least(_: Any, link: int, t: int) -> Any:
            demand = problem.demand(t, int(head[link]))
            return model.P[link, t] >= demand * model.beta[link, t] if demand > 0 else pyo.Constraint.Skip

        model.least_power = pyo.Constraint(model.links, model.stages, rule=least)


def constraint_transformer_outage(model: Any, problem: ExpansionProblem) -> None:
    r"""N-1: for every site there is a flow over built lines when its substation lacks one transformer.

    The flow of the outage :math:`F` has any direction and no cost: lines are switched. Substation i delivers at most
    its firm power, the others their capacity at emergency loading. Every built line takes an exit, switched on or not.
    """
    if not problem.n_minus_1:
        return
    stages, sites = range(len(problem.stages)), range(problem.n_site)
    arcs = [(e, way) for e in range(len(problem.routes)) for way in (0, 1)]
    arcs = [(e, way) for e, way in arcs if e in model.on_route]
    model.F = pyo.Var(arcs, sites, stages, domain=pyo.NonNegativeReals)
    model.outage_supply = pyo.Var(sites, sites, stages, domain=pyo.NonNegativeReals)
    model.outage = pyo.ConstraintList()

    def tail(e: int, way: int) -> int:
        return problem.routes[e].ends[way]

    leaving = {k: [(e, w) for e, w in arcs if tail(e, w) == k] for k in range(problem.n_node)}
    arriving = {k: [(e, w) for e, w in arcs if tail(e, 1 - w) == k] for k in range(problem.n_node)}
    for t in stages:
        for i in sites:
            lines = sum(model.y[(*option, t)] for e, _ in leaving[i] for option in model.on_route[e])
            if leaving[i]:
                model.outage.add(
                    lines <= problem.sites[i].exits * (built(model, problem, i, t) + slack(model, "exits", i))
                )
        for out in sites:
            for e, way in arcs:
                limit = sum(
                    problem.line_types[k].capacity_mva * (model.y[e, k, t] + slack(model, "line", e, k, t))
                    for _, k in model.on_route[e]
                )
                model.outage.add(model.F[e, way, out, t] <= limit)
            for k in range(problem.n_node):
                net = sum(model.F[e, w, out, t] for e, w in leaving[k]) - sum(
                    model.F[e, w, out, t] for e, w in arriving[k]
                )
                if k >= problem.n_site:
                    if leaving[k]:
                        model.outage.add(net == slack(model, "demand", k, t) - problem.demand(t, k))
                    continue
                if leaving[k]:
                    model.outage.add(net == model.outage_supply[k, out, t])
                able = sum(
                    (
                        problem.sizes[s].firm_mva(problem.emergency_loading)
                        if k == out
                        else problem.sizes[s].capacity_mva * problem.emergency_loading
                    )
                    * model.delta[k, s, t]
                    for s in problem.sites[k].sizes
                )
                largest = max(problem.sizes[s].capacity_mva for s in problem.sites[k].sizes)
                model.outage.add(model.outage_supply[k, out, t] <= able + largest * slack(model, "outage", out, t))
