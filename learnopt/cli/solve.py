"""``learnopt solve``."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from learnopt.api.solution import ParetoFront, Solution
from learnopt.api.unused import of_balanced, of_solve
from learnopt.cli.options import (
    AcceptOption,
    BalancedOption,
    CaseArgument,
    CheckpointOption,
    ControlsOption,
    HourOption,
    JsonOption,
    MaxUnbalanceOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    RemoteOnlyOption,
    ReportOption,
    ScenarioOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    as_flag,
    enforced,
    said,
    show,
    stderr,
    tell,
    tell_unused,
)
from learnopt.engines import Progress
from learnopt.errors import DataError
from learnopt.io.files import check_writable
from learnopt.learned.choice import solver_names
from learnopt.network import Certificate
from learnopt.studies.configuration.risk import Risk
from learnopt.studies.configuration.solve import AUTO
from learnopt.studies.configuration.switching_order import Paralleling

EngineName = StrEnum("EngineName", {name: name for name in solver_names()})  # type: ignore[misc]
DEFAULT_ENGINE = EngineName(AUTO)
ENGINE_HELP = f"Method; {AUTO} picks one and says why: {', '.join(name for name in solver_names() if name != AUTO)}."


def solve(
    case: CaseArgument,
    scenario: ScenarioOption = None,
    engine: Annotated[EngineName, typer.Option(metavar="NAME", help=ENGINE_HELP)] = DEFAULT_ENGINE,
    certify: Annotated[
        Certificate | None, typer.Option(help="Proof wanted: ac, model or none. Each engine has its default.")
    ] = None,
    gap: Annotated[
        float | None,
        typer.Option(
            help="Relative gap to stop at (milp 1e-4, tree 0). Without it or a limit auto and tree are content with "
            "0.5 % after a minute; 0 asks for the optimum."
        ),
    ] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds; the best found by then is returned.")] = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes of branch and bound; the answer is then the same on every machine.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of the tree search, all cores if absent; the answer is the same.")
    ] = None,
    checkpoint: CheckpointOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    max_unbalance: MaxUnbalanceOption = None,
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
    risk_level: Annotated[
        float | None, typer.Option(help="With --risk, level of the CVaR: 0.9 (default) is the mean of the worst tenth.")
    ] = None,
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
    report: ReportOption = None,
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
    from learnopt.api.configuration import pareto as solve_front
    from learnopt.api.configuration import solve as solve_one

    check_writable(report=report)
    if export is not None:
        from learnopt.report.configuration.export import check_export

        check_export(export)
    if pareto:
        refuse_beside_pareto(
            switching_cost=switching_cost,
            balance_weight=balance_weight,
            risk=risk,
            controls=controls != "none",
        )
    tell_unused(
        [
            *of_solve(
                engine=engine.value,
                certify=certify,
                gap=gap,
                node_limit=node_limit,
                threads=threads,
                checkpoint=checkpoint,
                risk=risk,
                risk_level=risk_level,
                strict_limits=strict_limits,
                limits=enforced(no_limits),
                vmin=vmin,
                vmax=vmax,
            ),
        ]
    )
    cores = os.cpu_count() or 1
    given: dict[str, Any] = {
        "scenario": scenario, "engine": engine.value, "certify": certify, "gap": gap, "time_limit": time_limit,
        "node_limit": node_limit, "threads": cores if threads is None else threads, "k_best": k_best,
        "limits": enforced(no_limits), "vmin": vmin, "vmax": vmax, "strict_limits": strict_limits,
        "charging": not no_charging, "max_operations": max_operations, "remote_only": remote_only,
        "paralleling": paralleling, "author": author, "checked_by": checked_by, "data_time": data_time,
        "hour": hour, "accept_differences": accept_differences,
        "source_check": not no_source_check, "max_unbalance": max_unbalance, "balanced": balanced,
    }  # fmt: skip
    with stderr.status(escape(f"Solving {case} ...")) as live:

        def progress(known: Progress) -> None:
            live.update(escape(progress_line(case, known)))

        answer: Solution | ParetoFront
        if pareto:
            answer = solve_front(case, progress=progress, **given)
        else:
            answer = solve_one(
                case, progress=progress, checkpoint=checkpoint, risk=risk, controls=controls,
                risk_level=risk_level, balance_weight=balance_weight, switching_cost=switching_cost, **given,
            )  # fmt: skip
    solution = answer.solution if isinstance(answer, ParetoFront) else answer
    tell_unused(of_balanced(balanced, solution.origin.equivalent))
    tell(scenario or case, answer.notes)
    if not answer.found:
        with stderr.status("Looking for the limits that conflict ..."):
            _ = solution.conflicts
    if export is not None and answer.found:
        solution.export(export)
        said(f"Switch states written to {export}")
    return show(answer, json_output, report)


def refuse_beside_pareto(**options: object) -> None:
    """Raise DataError for options that a front does not take."""
    if given := [as_flag(name, None) for name, value in options.items() if value]:
        raise DataError(
            "options", [f"--pareto shows all trade-offs of loss and operations: leave out {' and '.join(given)}"]
        )


def progress_line(case: str, progress: Progress) -> str:
    """What is known so far, in one line."""
    from learnopt.report.configuration.gap_curve import milestones

    known = [f"{progress.elapsed_s:.0f} s"]
    if progress.incumbent_kw is not None:
        known.append(f"best {progress.incumbent_kw:.3f} kW")
    if progress.bound_kw is not None:
        known.append(f"bound {progress.bound_kw:.3f} kW")
    if progress.gap is not None:
        known.append(f"gap {progress.gap:.2%}")
    if before := milestones(progress.curve):
        known.append("before: " + ", ".join(f"{100 * p.gap:.2g} % at {p.seconds:.0f} s" for p in before if p.gap))
    if progress.nodes:
        known.append(f"{progress.nodes} nodes")
    return f"Solving {case} ... " + ", ".join(known)
