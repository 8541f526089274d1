"""A plan as a network, evaluated by the independent AC judge."""

from __future__ import annotations

import math
from typing import Any

from learnopt.io import network_from_dict
from learnopt.network import Evaluation, Network, ReconfigurationProblem
from learnopt.network.costs import current_a
from learnopt.network.expansion import ExpansionProblem
from learnopt.physics import evaluate
from learnopt.studies.substations.plan import ExpansionPlan


def plan_network(problem: ExpansionProblem, plan: ExpansionPlan, stage: int) -> Network:
    """The network that a plan runs in a stage: lines in use, substations at 1.0 pu, demands at the power factor.

    Buses have the ids of the nodes, branches those of the routes; ratings are those of lines and substations. Nodes
    that no line in use reaches are left out.
    """
    flows = plan.at_stage(stage)
    reached = {flow.tail for flow in flows} | {flow.head for flow in flows}
    sizes = {s.site: problem.sizes[s.size] for s in plan.substations if s.stage <= stage and s.site in reached}
    reactive = math.sin(math.acos(problem.power_factor))
    ids = problem.node_ids

    def branch(flow: Any) -> dict[str, Any]:
        line = problem.line_types[plan.type_of_route[flow.route]]
        km = problem.routes[flow.route].length_km
        return {
            "id": problem.routes[flow.route].id,
            "from": ids[flow.tail],
            "to": ids[flow.head],
            "r_ohm": line.r * km,
            "x_ohm": line.x * km,
            "ampacity_a": current_a(line.capacity_mva, problem.kv),
        }

    case = {
        "name": f"{problem.name}, stage {problem.stages[stage].name}",
        "base_kv": problem.kv,
        "substations": [ids[i] for i in sizes],
        "substation_data": {str(ids[i]): {"s_max_kva": 1e3 * size.capacity_mva} for i, size in sizes.items()},
        "buses": [
            {
                "id": ids[k],
                "p_kw": 1e3 * problem.power_factor * problem.demand(stage, k),
                "q_kvar": 1e3 * reactive * problem.demand(stage, k),
            }
            for k in sorted(reached)
        ],
        "branches": [branch(flow) for flow in flows],
        "voltage_limits": {"vmin_pu": problem.vm_min, "vmax_pu": problem.vm_max},
    }
    return network_from_dict(case, f"plan of {problem.name}")


def evaluate_plan(problem: ExpansionProblem, plan: ExpansionPlan) -> tuple[Evaluation | None, ...]:
    """AC power flow of every stage; None where the plan is not radial or nothing is supplied.

    The model balances apparent powers without losses, so a line or substation planned to its limit can be over it here:
    the violations say so.
    """
    evaluations: list[Evaluation | None] = []
    for t in range(len(problem.stages)):
        flows = plan.at_stage(t)
        standing = ExpansionPlan(tuple(s for s in plan.substations if s.stage <= t), plan.lines, flows)
        if not flows or not standing.is_radial():
            evaluations.append(None)
            continue
        network = plan_network(problem, plan, t)
        evaluations.append(evaluate(ReconfigurationProblem.of(network), network.normal_configuration))
    return tuple(evaluations)
