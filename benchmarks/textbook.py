r"""The rival: minimum-loss reconfiguration as a textbook writes it, on HiGHS with default options.

What a competent engineer types in from the literature, without the ideas of ``learnopt``: one binary per branch, flows
of either sign, big-M from the total load, losses by tangents at fixed points, one solve.

=====================================  ========================================================================
part                                   source
=====================================  ========================================================================
branch flow equations with losses      Baran & Wu (1989), doi:10.1109/61.25627
big-M voltage equation per branch      Jabr, Singh, Pal (2012), doi:10.1109/TPWRS.2011.2180406; Taylor & Hover (2012),
                                       doi:10.1109/TPWRS.2012.2184307
parent variables, one parent per bus   Jabr, Singh, Pal (2012), same
connectivity by a second commodity     Lavorato, Franco, Rider, Romero (2012), doi:10.1109/TPWRS.2011.2161349
squared current by linear pieces       Franco, Rider, Lavorato, Romero (2013), doi:10.1016/j.epsr.2012.12.005, at
                                       nominal voltage; here as tangents, so that no further binaries are needed
=====================================  ========================================================================

The squared current is that of the highest nominal voltage and substation ratings see active power only, so the model's
objective and bound are those of an approximation; the configuration is evaluated by the same AC judge as every other.
"""

from __future__ import annotations

import math
from dataclasses import replace

import highspy
import numpy as np

from learnopt.engines import SolveOptions, Stopwatch, conclude
from learnopt.engines.base import infeasible
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status

NAME = "textbook HiGHS"
PIECES = 20
"""Tangents per half axis of a flow."""
LOSS_SHARE = 0.2
"""A flow is at most the total load and this share of it for losses."""
LOWEST_VOLTAGE = 0.5
"""Where no voltage limit is enforced [pu]."""


class TextbookEngine:
    """The big-M branch-flow model on HiGHS: default options, one thread, a time limit if asked for."""

    name = NAME

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Solve the approximation; certificate ``model``. A start is ignored, as is ``options.gap`` where absent."""
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch)) is not None:
            return failure
        with watch.stage("build"):
            solver, closed = build(problem)
        solver.setOptionValue("threads", 1)
        if options.gap is not None:
            solver.setOptionValue("mip_rel_gap", options.gap)
        if options.time_limit is not None:
            solver.setOptionValue("time_limit", max(options.time_limit - watch.elapsed, 0.1))
        with watch.stage("solver"):
            solver.run()
        info, ended = solver.getInfo(), solver.getModelStatus()
        configuration = None
        if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible:
            values = np.array(solver.getSolution().col_value)
            configuration = Configuration(values[[z.index for z in closed]] > 0.5)
        status = Status.NO_SOLUTION if configuration is None else Status.FEASIBLE
        if ended == highspy.HighsModelStatus.kOptimal:
            status = Status.OPTIMAL
        result = conclude(
            problem,
            self.name,
            watch,
            configuration=configuration,
            status=status,
            certificate=Certificate.MODEL,
            dual_bound_kw=info.mip_dual_bound,
            message=f"Big-M branch flow with squared currents at nominal voltage: {solver.modelStatusToString(ended)}.",
            nodes=max(int(info.mip_node_count), 0),
            engine_version=f"HiGHS {solver.version()}",
        )
        # Its bound is that of its own model, which the AC loss need not be near: optimal is what the solver says.
        return result if result.configuration is None else replace(result, status=status)


def build(problem: ReconfigurationProblem) -> tuple[highspy.Highs, list]:
    """The model and its branch binaries, in branch order."""
    net, limits = problem.network, problem.limits
    charging, tail, head = problem.b, net.from_bus, net.to_bus
    buses, branches = range(net.n_bus), range(net.n_branch)
    fed = np.flatnonzero(~net.is_substation)
    h = highspy.Highs()
    h.silent()

    # Big-M from the data as a whole, as textbooks do.
    flow_max = (1 + LOSS_SHARE) * float(np.abs(problem.p[fed]).sum() + np.abs(problem.q[fed]).sum() + charging.sum())
    nominal = float(net.substation_vm.max()) ** 2
    lower = np.where(problem.vm_min > 0, problem.vm_min, LOWEST_VOLTAGE) ** 2
    upper = problem.vm_max**2
    v_min = float(lower[fed].min()) if fed.size else LOWEST_VOLTAGE**2
    v_max = max(nominal, float(np.where(np.isfinite(upper), upper, 1.1**2)[fed].max(initial=0.0)))
    ell_max = np.minimum(2 * flow_max**2 / v_min, problem.i_max**2)
    voltage_m = v_max - min(v_min, float(net.substation_vm.min()) ** 2)

    usable, must_close = problem.usable, problem.must_close
    z = [h.addVariable(float(must_close[e]), float(usable[e]), type=highspy.HighsVarType.kInteger) for e in branches]
    feeds_head = [h.addBinary() for _ in branches]  # tail is the parent of head
    feeds_tail = [h.addBinary() for _ in branches]
    P = [h.addVariable(-flow_max, flow_max) for _ in branches]
    Q = [h.addVariable(-flow_max, flow_max) for _ in branches]
    p_sqr = [h.addVariable(0.0, flow_max**2) for _ in branches]
    q_sqr = [h.addVariable(0.0, flow_max**2) for _ in branches]
    ell = [h.addVariable(0.0, ell_max[e]) for e in branches]
    connection = [h.addVariable(-float(net.n_bus), float(net.n_bus)) for _ in branches]
    v = [h.addVariable(float(lower[k]), min(v_max, float(upper[k]))) for k in buses]
    for k, vm in zip(net.substations, net.substation_vm, strict=True):
        h.changeColBounds(v[k].index, vm**2, vm**2)

    into: list[list[int]] = [[] for _ in buses]
    out_of: list[list[int]] = [[] for _ in buses]
    for e in branches:
        out_of[tail[e]].append(e)
        into[head[e]].append(e)

    # Radiality: one parent per bus, none for a substation; a unit of a commodity reaches every bus.
    for e in branches:
        h.addConstr(feeds_head[e] + feeds_tail[e] == z[e])
        h.addConstr(connection[e] <= net.n_bus * z[e])
        h.addConstr(connection[e] >= -net.n_bus * z[e])
    for k in buses:
        parents = h.qsum([feeds_head[e] for e in into[k]] + [feeds_tail[e] for e in out_of[k]])
        if into[k] or out_of[k]:
            h.addConstr(parents == float(not net.is_substation[k]))
    for k in fed:
        h.addConstr(h.qsum(connection[e] for e in into[k]) - h.qsum(connection[e] for e in out_of[k]) == 1.0)

    # Balance, with the charging of closed branches at nominal voltage.
    for k in fed:
        h.addConstr(
            h.qsum(P[e] - net.r[e] * ell[e] for e in into[k]) - h.qsum(P[e] for e in out_of[k]) == float(problem.p[k])
        )
        injected = h.qsum(0.5 * nominal * charging[e] * z[e] for e in into[k] + out_of[k])
        h.addConstr(
            h.qsum(Q[e] - net.x[e] * ell[e] for e in into[k]) - h.qsum(Q[e] for e in out_of[k]) + injected
            == float(problem.q[k])
        )

    points = np.linspace(0.0, flow_max, PIECES + 1)[1:]
    for e in branches:
        # Voltage along a closed branch.
        r, x = net.r[e], net.x[e]
        drop = v[tail[e]] - v[head[e]] - 2 * r * P[e] - 2 * x * Q[e] + (r**2 + x**2) * ell[e]
        h.addConstr(drop + voltage_m * z[e] <= voltage_m)
        h.addConstr(drop - voltage_m * z[e] >= -voltage_m)
        # No flow over an open branch.
        for flow in (P[e], Q[e]):
            h.addConstr(flow - flow_max * z[e] <= 0.0)
            h.addConstr(flow + flow_max * z[e] >= 0.0)
        h.addConstr(ell[e] - ell_max[e] * z[e] <= 0.0)
        # Squared current at nominal voltage.
        for point in points:
            for side in (point, -point):
                h.addConstr(p_sqr[e] - 2 * side * P[e] >= -(side**2))
                h.addConstr(q_sqr[e] - 2 * side * Q[e] >= -(side**2))
        h.addConstr(nominal * ell[e] - p_sqr[e] - q_sqr[e] >= 0.0)

    if limits.substations:
        for s, k in enumerate(net.substations):
            drawn = h.qsum(P[e] for e in out_of[k]) - h.qsum(P[e] for e in into[k])
            if math.isfinite(net.substation_s_max[s]):
                h.addConstr(drawn <= float(net.substation_s_max[s] - problem.p[k]))
    kw = net.base.kw
    loss = h.qsum(kw * net.r[e] * ell[e] for e in branches)
    if problem.switching_cost > 0 or problem.max_operations is not None:
        normal, counted = net.normal_configuration.closed, ~problem.out_of_service
        operations = h.qsum((1 - z[e]) if normal[e] else 1 * z[e] for e in branches if counted[e])
        if problem.max_operations is not None:
            h.addConstr(operations <= problem.max_operations)
        loss += problem.switching_cost * operations
    set_objective(h, loss)
    return h, z


def set_objective(h: highspy.Highs, expression: highspy.highs.highs_linear_expression) -> None:
    """Minimise a linear expression, without solving."""
    columns, costs = expression.unique_elements()
    for column, cost in zip(columns, costs, strict=True):
        h.changeColCost(int(column), float(cost))
    h.changeObjectiveOffset(float(expression.constant or 0.0))
