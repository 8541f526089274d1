"""``learnopt solve``."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from learnopt.cli.options import (
    AcceptOption,
    BalancedOption,
    CaseArgument,
    ControlsOption,
    HourOption,
    JsonOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    RemoteOnlyOption,
    ScenarioOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    build_problem,
    read_case,
    stderr,
    stdout,
)
from learnopt.engines import Progress, SolveOptions
from learnopt.errors import DataError
from learnopt.io.files import check_writable
from learnopt.learned.choice import engine_of, solver_names
from learnopt.network import Certificate, ReconfigurationProblem, Result, Status
from learnopt.report.configuration.export import check_export, write_export
from learnopt.report.configuration.head import Head
from learnopt.report.configuration.order import plan_of
from learnopt.report.configuration.text import pareto_point, pareto_table, result_table, result_to_dict
from learnopt.studies.configuration.balance import solve_balanced
from learnopt.studies.configuration.held import solve_holding
from learnopt.studies.configuration.in_phases import solve_in_phases
from learnopt.studies.configuration.risk import Risk, solve_risk
from learnopt.studies.configuration.solve import AUTO, MILP, TREE, front, warm_up
from learnopt.studies.configuration.solve import solve as run_solve
from learnopt.studies.configuration.switching_order import Paralleling

NO_CONFIGURATION = 1

EngineName = StrEnum("EngineName", {name: name for name in solver_names()})  # type: ignore[misc]
DEFAULT_ENGINE = EngineName(AUTO)


def solve(
    case: CaseArgument,
    scenario: ScenarioOption = None,
    engine: Annotated[EngineName, typer.Option(help="Method; auto picks one and says why.")] = DEFAULT_ENGINE,
    certify: Annotated[
        Certificate | None, typer.Option(help="Proof wanted: ac, model or none. Each engine has its default.")
    ] = None,
    gap: Annotated[float | None, typer.Option(help="Relative gap to stop at (milp 1e-4, tree 0).")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; the best found by then is returned.")] = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes of branch and bound; the answer is then the same on every machine.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the tree search, all cores if absent; the answer is the same.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Checkpoint of the learned engine; the reference one if absent.")
    ] = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    remote_only: RemoteOnlyOption = False,
    switching_cost: Annotated[float, typer.Option(help="Cost of one switching operation \\[kW].")] = 0.0,
    max_operations: Annotated[int | None, typer.Option(help="Cap on switching operations.")] = None,
    pareto: Annotated[
        bool, typer.Option("--pareto", help="Least loss for every number of operations, each point proven.")
    ] = False,
    k_best: Annotated[int, typer.Option(help="Prove this many best configurations.")] = 1,
    risk: Annotated[
        Risk | None, typer.Option(help="Of several scenarios: least expected loss, CVaR or worst case, and its price.")
    ] = None,
    risk_level: Annotated[float, typer.Option(help="Level of the CVaR: 0.9 is the mean of the worst tenth.")] = 0.9,
    controls: ControlsOption = "none",
    balance_weight: Annotated[
        float | None, typer.Option(help="Price of the balance index of the feeders \\[kW]: least loss + price * index.")
    ] = None,
    paralleling: Annotated[
        Paralleling, typer.Option(help="Switching order: may a loop be closed for a moment, or is opened first?")
    ] = Paralleling.ALLOWED,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    no_source_check: NoSourceCheckOption = False,
    balanced: BalancedOption = False,
    author: Annotated[str, typer.Option(help="Head of the switching order: who made it.")] = "",
    checked_by: Annotated[str, typer.Option(help="Head of the switching order: who checked it.")] = "",
    data_time: Annotated[str, typer.Option(help="Head of the switching order: time of loads and switch states.")] = "",
    json_output: JsonOption = False,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a self-contained page.")] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The new switch states: .json (case or pandapower net), .dss (OpenDSS), .csv (steps)."
        ),
    ] = None,
) -> int:
    """Find the radial configuration of least loss, and say what is proven.

    Exit code 0: a configuration was returned; 1: none exists or none was found in the limits; 2: bad input.
    """
    imported = read_case(case, accept_differences, hour)
    problem = build_problem(
        imported.network, scenario, vmin, vmax, no_limits, no_charging, switching_cost, max_operations, controls,
        remote_only,
    )  # fmt: skip
    cores = os.cpu_count() or 1
    options = SolveOptions(certify, gap, time_limit, node_limit, threads=cores if threads is None else threads)
    check_writable(report=report)
    if export is not None:
        check_export(export)
    if pareto and switching_cost:
        raise DataError("options", ["--pareto and --switching-cost exclude each other: the front shows all trade-offs"])
    if balance_weight is not None and (risk is not None or pareto or k_best != 1 or engine.value not in (AUTO, TREE)):
        raise DataError("options", ["--balance-weight goes with the tree search alone, without --risk and rankings"])
    if risk is not None and (pareto or k_best != 1 or engine.value not in (AUTO, TREE, MILP)):
        raise DataError("options", ["--risk goes with --engine auto, tree or milp, without --pareto and --k-best"])
    if risk is not None and engine.value == TREE and problem.controls:
        raise DataError("options", ["--engine tree sets switches only, controls are given: use --engine auto or milp"])
    with stderr.status(escape(f"Solving {problem.network.name} ...")) as live:
        chosen = engine_of(engine.value, checkpoint)
        warm_up(chosen, options, problem.network.n_loops)
        options = replace(options, progress=lambda p: live.update(escape(progress_line(problem.network.name, p))))
        points: list[Result] = []

        def run(asked: ReconfigurationProblem) -> Result:
            points[:] = front(asked, chosen, options) if pareto else []
            if risk is not None:
                return solve_risk(asked, risk, risk_level, options, engine.value == MILP)
            if balance_weight is not None:
                return solve_balanced(asked, balance_weight, options)
            if points and k_best == 1:
                return points[-1]
            return run_solve(asked, chosen, options, k_best=k_best)

        plain = risk is None and balance_weight is None and not pareto
        found = None
        if plain and not balanced:
            found = solve_in_phases(imported, problem, chosen, options, k_best=k_best, hold=not strict_limits)
        if found is not None:
            result = found
        elif strict_limits:
            result = run(problem)
        else:
            problem, result = solve_holding(problem, run)
    conflicts: list[str] = []
    if result.status in (Status.INFEASIBLE, Status.NO_SOLUTION):
        from learnopt.studies.configuration.explain import explain_infeasibility

        with stderr.status("Looking for the limits that conflict ..."):
            conflicts = explain_infeasibility(problem, min(5.0, time_limit or 5.0))
        result = replace(result, message=" ".join([result.message.rstrip(".") + ".", *conflicts]))
    plan = plan_of(problem, result, paralleling)
    head = Head(author, checked_by, data_time)
    origin = imported.answered(problem, result, check=not no_source_check)
    if export is not None and result.configuration is not None:
        write_export(export, case, problem, result, plan, hour, head)
        stderr.print(f"Switch states written to {export}", highlight=False, markup=False)
    if report is not None:
        from learnopt.report.configuration.page import write_report

        write_report(report, problem, result, plan=plan, front=points, notes=imported.notes, origin=origin, head=head)
        stderr.print(f"Report written to {report}", highlight=False, markup=False)
    if json_output:
        answer = result_to_dict(problem, result, plan, origin, head) | {"conflicts": conflicts}
        if pareto:
            answer["pareto"] = [pareto_point(problem, point) for point in points]
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        stdout.print(result_table(problem, result, plan, origin, head))
        if points:
            stdout.print(pareto_table(problem, points))
    return 0 if result.configuration is not None else NO_CONFIGURATION


def progress_line(case: str, progress: Progress) -> str:
    """What is known so far, in one line."""
    known = [f"{progress.elapsed_s:.0f} s"]
    if progress.incumbent_kw is not None:
        known.append(f"best {progress.incumbent_kw:.3f} kW")
    if progress.bound_kw is not None:
        known.append(f"bound {progress.bound_kw:.3f} kW")
    if progress.gap is not None:
        known.append(f"gap {progress.gap:.2%}")
    if progress.nodes:
        known.append(f"{progress.nodes} nodes")
    return f"Solving {case} ... " + ", ".join(known)
