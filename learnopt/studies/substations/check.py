"""The checker of plans: every rule of the problem, on the plan alone. It shares no code with the model."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.plan import ExpansionPlan, stage_loss
from learnopt.wording import counted

TOLERANCE = 1e-6
"""Slack of every limit, relative to the limit or to the total demand."""
_UNITS = 1e4
"""Integer units of power per MVA in the maximum flow; N-1 is checked to one unit per node."""


def check_plan(problem: ExpansionProblem, plan: ExpansionPlan) -> list[str]:
    """One sentence per rule that a plan breaks; empty where it keeps them all."""
    found = _check_built(problem, plan)
    if found:  # flows over things that are not there mean nothing
        return found
    for t, stage in enumerate(problem.stages):
        sentences = _check_flows(problem, plan, t)
        if problem.n_minus_1:
            sentences += _check_outages(problem, plan, t)
        found += [f"stage {stage.name!r}: {sentence}" for sentence in sentences]
    return found


def _check_built(problem: ExpansionProblem, plan: ExpansionPlan) -> list[str]:
    """Substations and lines that may not be built, or not so many of them."""
    found = []
    sites = [s.site for s in plan.substations]
    for s in plan.substations:
        if s.size not in problem.sites[s.site].sizes:
            found.append(f"site {problem.sites[s.site].id!r} may not have size {problem.sizes[s.size].name!r}")
    for line in plan.lines:
        if line.line_type not in problem.routes[line.route].types:
            name, kind = problem.routes[line.route].id, problem.line_types[line.line_type].name
            found.append(f"route {name!r} may not have line {kind!r}")
    routes = [line.route for line in plan.lines]
    found += [f"site {problem.sites[k].id!r} is built twice" for k in set(sites) if sites.count(k) > 1]
    found += [f"route {problem.routes[k].id!r} is built twice" for k in set(routes) if routes.count(k) > 1]
    if len(sites) > problem.max_substations:
        found.append(
            f"{counted(len(sites), 'substation is', 'substations are')} built, at most {problem.max_substations} may be"
        )
    stage_of_line = {line.route: line.stage for line in plan.lines}
    for flow in plan.flows:
        route = problem.routes[flow.route]
        if stage_of_line.get(flow.route, len(problem.stages)) > flow.stage:
            found.append(
                f"route {route.id!r} carries power in stage {problem.stages[flow.stage].name!r} and is not built"
            )
        if {flow.tail, flow.head} != set(route.ends):
            found.append(f"route {route.id!r} does not join the nodes of its flow")
    return found


def _check_flows(problem: ExpansionProblem, plan: ExpansionPlan, t: int) -> list[str]:
    """Balance, capacities, exits, direction and loss in one stage."""
    found, flows, ids = [], plan.at_stage(t), problem.node_ids
    slack = TOLERANCE * max(problem.total_mva(t), 1e-9)
    routes = [flow.route for flow in flows]
    found += [f"route {problem.routes[e].id!r} is used twice" for e in set(routes) if routes.count(e) > 1]
    power = np.zeros(problem.n_node)
    for flow in flows:
        line = problem.line_types[plan.type_of_route[flow.route]]
        power[flow.head] += flow.mva
        power[flow.tail] -= flow.mva
        if not -slack <= flow.mva <= line.capacity_mva * (1 + TOLERANCE) + slack:
            name = problem.routes[flow.route].id
            found.append(f"route {name!r} carries {flow.mva:.4f} MVA, its line {line.capacity_mva:g} MVA")
    size = {s.site: problem.sizes[s.size] for s in plan.substations if s.stage <= t}
    for j in range(problem.n_site, problem.n_node):
        if abs(power[j] - problem.demand(t, j)) > slack:
            found.append(f"node {ids[j]!r} gets {power[j]:.4f} MVA and needs {problem.demand(t, j):g} MVA")
    for i, site in enumerate(problem.sites):
        capacity = size[i].capacity_mva if i in size else 0.0
        if not -slack <= -power[i] <= capacity * (1 + TOLERANCE) + slack:
            found.append(f"site {site.id!r} delivers {-power[i]:.4f} MVA, it has {capacity:g} MVA")
        exits = sum(flow.tail == i for flow in flows)
        if exits > (site.exits if i in size else 0):
            found.append(
                f"{counted(exits, 'line leaves', 'lines leave')} site {site.id!r}, {site.exits if i in size else 0} may"
            )
    if (
        problem.radial
        and not ExpansionPlan(tuple(s for s in plan.substations if s.stage <= t), plan.lines, flows).is_radial()
    ):
        found.append("the plan is not radial")
    loss = stage_loss(problem, plan, t)
    if loss.counted_mw > loss.limit_mw * (1 + TOLERANCE):
        found.append(f"the lines lose {loss.counted_mw:.5f} MW, at most {loss.limit_mw:.5f} MW may be lost")
    return found


def _check_outages(problem: ExpansionProblem, plan: ExpansionPlan, t: int) -> list[str]:
    """Demand left without supply when a substation loses a transformer: a maximum flow over everything built."""
    found = []
    lines = [line for line in plan.lines if line.stage <= t]
    size = {s.site: problem.sizes[s.size] for s in plan.substations if s.stage <= t}
    for i, site in enumerate(problem.sites):
        taken = sum(i in problem.routes[line.route].ends for line in lines)
        if taken > (site.exits if i in size else 0):
            found.append(
                f"{counted(taken, 'line is', 'lines are')} built at site {site.id!r}, "
                f"{site.exits if i in size else 0} may be"
            )
    source, sink = problem.n_node, problem.n_node + 1
    for out in size:
        capacity = np.zeros((sink + 1, sink + 1))
        for line in lines:
            a, b = problem.routes[line.route].ends
            capacity[a, b] += problem.line_types[line.line_type].capacity_mva
            capacity[b, a] += problem.line_types[line.line_type].capacity_mva
        for i, bought in size.items():
            limit = problem.emergency_loading
            capacity[source, i] = bought.firm_mva(limit) if i == out else bought.capacity_mva * limit
        needed = [problem.demand(t, j) for j in range(problem.n_site, problem.n_node)]
        capacity[problem.n_site : source, sink] = needed
        # Only the sum of the flow is asked for: capacities above the total demand never bind, and int32 holds it.
        whole = np.ceil(np.minimum(capacity, problem.total_mva(t)) * _UNITS).astype(np.int32)
        flow = maximum_flow(csr_array(whole), source, sink).flow_value / _UNITS
        if flow < problem.total_mva(t) - problem.n_node / _UNITS:
            missing = problem.total_mva(t) - flow
            found.append(
                f"without a transformer of site {problem.sites[out].id!r} {missing:.4f} MVA cannot be supplied"
            )
    return found
