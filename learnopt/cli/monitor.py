"""``learnopt monitor``: a model in use against exact answers, over time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from learnopt.cli.history import HistoryCaseOption, HistoryProfileOption, history
from learnopt.cli.options import NOT_FOUND, CheckpointOption, JsonOption, StoreOption, TrackOption, stdout
from learnopt.cli.tracked import log_monitored, tracked
from learnopt.report.kit.terminal import Listing, Paragraph

if TYPE_CHECKING:
    from learnopt.learned.monitoring import Monitored


def monitor(
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR_OR_URL",
            help="Labelled dataset, repeatable in the order of time; with --case the folder to keep its answers in.",
        ),
    ] = None,
    case: HistoryCaseOption = None,
    profile: HistoryProfileOption = None,
    checkpoint: CheckpointOption = None,
    every: Annotated[
        str,
        typer.Option(metavar="PERIOD", help="Periods of one's own feeder: day, week or month; of many each dataset."),
    ] = "week",
    level: Annotated[float, typer.Option(help="Chance of a false alarm that this look may have.")] = 0.01,
    track: TrackOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compare a model with exact answers over time, and say when to calibrate it again or to train it again.

    Only what the model has not learned from counts. Exit code 0: keep it; 1: recalibrate or retrain.
    """
    from learnopt.api.question import chosen
    from learnopt.learned.monitoring import Every, Verdict
    from learnopt.learned.monitoring import monitor as run_monitor
    from learnopt.learning.checkpoint import REFERENCE, directory_of, load_card

    periods = chosen(Every, "every", every)
    source = directory_of(checkpoint or REFERENCE)
    load_card(source)  # a folder without a checkpoint is told before anything is solved
    with history(data, case, profile) as folders, tracked(track, store, "monitor", source, folders) as run:
        found = run_monitor(source, folders, periods, level)
        if run is not None:
            log_monitored(run, found)
    if json_output:
        typer.echo(json.dumps(found.as_dict(), allow_nan=False))
    else:
        _show(found)
    raise typer.Exit(0 if found.verdict is Verdict.KEEP else NOT_FOUND)


def _show(found: Monitored) -> None:
    units = f"{found.unit}s"
    head = ("period", units, "instances", "exact tree %", "mean regret %", "max regret %", "unusual %")
    rows = [
        (
            period.name,
            str(period.units),
            str(period.metrics.n),
            f"{100 * period.metrics.tree_rate:.1f}",
            f"{period.metrics.mean_regret_percent:.3f}",
            f"{period.metrics.max_regret_percent:.2f}",
            f"{100 * period.unusual:.1f}",
        )
        for period in (*found.periods, found.whole)
    ]
    stdout.print(Listing(head, rows, range(1, 7)))
    claims = [
        *((f"wrong fixings, {100 * risk.alpha:g} %", risk) for risk in found.risks),
        ("unusual, 1 %", found.novelty),
    ]
    tests = [
        (
            name,
            f"{100 * risk.rate:.2f}",
            f"{risk.p_value:.2g}",
            "-" if risk.seen_from is None else f"{100 * risk.seen_from:.1f}",
            "broken" if risk.broken else "kept",
        )
        for name, risk in claims
    ]
    stdout.print(Listing(("stated", f"{units} %", "p", "seen from %", ""), tests, range(1, 4)))
    if found.shifts:
        moved = ", ".join(f"{shift.feature} {_spreads(shift.spreads)}" for shift in found.shifts)
        stdout.print(Paragraph(f"Moved from the training feeders, in their spreads: {moved}."))
    for reason in found.reasons:
        stdout.print(Paragraph(reason))
    stdout.print(Paragraph(f"{found.verdict.value.capitalize()}: {_ADVICE[found.verdict.value]} ({found.sentence})."))


def _spreads(value: float) -> str:
    """A shift; what hardly varied in the training has no size."""
    return f"{value:+.1f}" if abs(value) < 1000 else "beyond measure"


_ADVICE = {
    "keep": "nothing speaks against this model",
    "recalibrate": "learnopt calibrate with these answers states a risk that holds for them",
    "retrain": "learnopt train --from this checkpoint on these answers, or a larger training",
}
