"""``learnopt cases``, ``check`` and ``draw``: what a feeder is and how a configuration of it does."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from learnopt.api.unused import of_balanced, of_strict_limits, unused
from learnopt.cli.options import (
    AcceptOption,
    BalancedOption,
    CaseArgument,
    HourOption,
    JsonOption,
    MaxUnbalanceOption,
    NoChargingOption,
    NoLimitsOption,
    NoSourceCheckOption,
    ReportOption,
    ScenarioOption,
    StrictLimitsOption,
    VmaxOption,
    VminOption,
    enforced,
    said,
    show,
    stdout,
    tell,
    tell_unused,
)
from learnopt.errors import DataError
from learnopt.io import case_index
from learnopt.io.files import check_writable
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate
from learnopt.report.kit.origin import EQUIVALENT
from learnopt.report.kit.terminal import Listing, Paragraph
from learnopt.studies.configuration.check import state_of
from learnopt.studies.configuration.switching_order import normal_state

if TYPE_CHECKING:
    from learnopt.api.question import Question

OpenOption = Annotated[
    str | None,
    typer.Option(
        "--open", metavar="IDS", help="Open branches, ids or unique names, comma-separated; the normal ones if absent."
    ),
]


def cases(json_output: JsonOption = False) -> None:
    """List the named cases."""
    index = case_index()
    if json_output:
        typer.echo(json.dumps({"cases": [{"name": name, **entry} for name, entry in index.items()]}))
        return
    head = ("case", "buses", "branches", "loops", "title")
    rows = [(name, *(str(entry[key]) for key in head[1:])) for name, entry in index.items()]
    stdout.print(Listing(head, rows, (1, 2, 3)))
    stdout.print(Paragraph("Sources and licences: learnopt cases --json", "dim"))


def _ids(open_ids: str | None) -> list[str] | None:
    """Ids given on a command line; they may be numbers or strings."""
    return None if open_ids is None else [part.strip() for part in open_ids.split(",") if part.strip()]


def check(
    case: CaseArgument,
    open_ids: OpenOption = None,
    scenario: ScenarioOption = None,
    vmin: VminOption = None,
    vmax: VmaxOption = None,
    no_limits: NoLimitsOption = False,
    strict_limits: StrictLimitsOption = False,
    no_charging: NoChargingOption = False,
    max_unbalance: MaxUnbalanceOption = None,
    hour: HourOption = None,
    accept_differences: AcceptOption = False,
    no_source_check: NoSourceCheckOption = False,
    balanced: BalancedOption = False,
    json_output: JsonOption = False,
    report: ReportOption = None,
) -> int:
    """AC loss, voltages and violations of a given configuration.

    Exit code 0: it is radial, but for fixed loops, and has a power flow (violations are listed); 1: it is not or has
    none; 2: bad input. With loops too many it is computed as it stands, all of them closed.
    """
    from learnopt.api.inspection import check as check_state

    check_writable(report=report)
    tell_unused(unused([of_strict_limits(strict_limits, enforced(no_limits), vmin, vmax)]))
    answer = check_state(
        case, _ids(open_ids), scenario=scenario, limits=enforced(no_limits), vmin=vmin, vmax=vmax,
        strict_limits=strict_limits, charging=not no_charging, max_unbalance=max_unbalance, hour=hour,
        accept_differences=accept_differences, source_check=not no_source_check, balanced=balanced,
    )  # fmt: skip
    tell_unused(of_balanced(balanced, answer.origin.equivalent))
    tell(scenario or case, answer.notes)
    return show(answer, json_output, report)


class Picture(StrEnum):
    """What ``draw`` draws."""

    DIAGRAM = "diagram"
    PROFILE = "profile"
    LOADING = "loading"


def draw(
    case: CaseArgument,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Picture to write: .png, .svg, .pdf; a diagram also as .html.")
    ],
    what: Annotated[
        Picture, typer.Option(help="One-line diagram, voltage profile, or the most loaded branches.")
    ] = Picture.DIAGRAM,
    open_ids: OpenOption = None,
    scenario: ScenarioOption = None,
) -> None:
    """Draw a configuration; with --open, profile and loadings show the normal one beside it.

    Of an unbalanced OpenDSS file the profile is that of its three phases; the other pictures show its balanced
    equivalent.
    """
    from learnopt.api.question import Rules

    question = Rules(scenario=scenario).question(case, accept_differences=True)
    tell(scenario, question.notes)
    problem = question.problem
    configuration = state_of(problem, _ids(open_ids))
    faults = radiality_faults(problem.network, configuration.closed)
    if faults:
        raise DataError(f"{problem.network.name}: configuration to draw", faults)
    reference = None if open_ids is None else normal_state(problem)
    if what is Picture.PROFILE and _draw_phases(out, question, configuration):
        said(f"Drawing of all phases written to {out}")
        return
    if question.origin.equivalent:
        said(f"Drawn is {EQUIVALENT}: the file is unbalanced")
    _draw(what, out, problem, configuration, reference)
    said(f"Drawing written to {out}")


def _draw_phases(out: Path, question: Question, configuration: Configuration) -> bool:
    """Draw the voltage profile of three phases; False where the file is balanced or there is no power flow."""
    from learnopt.studies.configuration.in_phases import check_in_phases

    found = check_in_phases(question.imported, question.problem, configuration)
    if found is None or found.phases is None or found.phases.voltage is None:
        return False
    from learnopt.report.drawing.profile import phase_figure, phase_profiles
    from learnopt.report.kit.files import write_figure

    profiles = phase_profiles(found.problem, configuration, found.evaluation, found.phases.voltage)
    write_figure(out, phase_figure(found.problem, profiles))
    return True


def _draw(
    what: Picture,
    out: Path,
    problem: ReconfigurationProblem,
    configuration: Configuration,
    reference: Configuration | None,
) -> None:
    # Imported late: matplotlib takes a second, and other commands do without.
    from learnopt.report.drawing.files import write_diagram
    from learnopt.report.drawing.loading import loading_figure
    from learnopt.report.drawing.profile import profile_figure, voltage_profile
    from learnopt.report.kit.files import write_figure

    evaluation = evaluate(problem, configuration)
    if what is Picture.DIAGRAM:
        write_diagram(out, problem, configuration, evaluation, reference)
        return
    if not evaluation.converged:
        raise DataError(f"{problem.network.name}: configuration to draw", list(evaluation.violations))
    # Without a configuration to compare with, the state drawn is the one before anything is done.
    before = (configuration, evaluation) if reference is None else (reference, evaluate(problem, reference))
    after = (configuration, None if reference is None else evaluation)
    if what is Picture.PROFILE:
        profiles = [voltage_profile(problem, state, found) for state, found in (before, after)]
        write_figure(out, profile_figure(problem, profiles[0], profiles[1]))
    else:
        figure = loading_figure(problem, before[1], after[1])
        assert figure is not None, "the power flow has a solution"
        write_figure(out, figure)
