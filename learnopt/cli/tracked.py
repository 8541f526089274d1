"""What the commands of learning record in MLflow: headline numbers, every number in a table, and the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnopt.cli.options import stderr
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.report.kit.terminal import Paragraph

if TYPE_CHECKING:
    from learnopt.learned.monitoring import Monitored
    from learnopt.learning.card import ModelCard
    from learnopt.learning.evaluation import Metrics
    from learnopt.tracking import DataInput, TrackedRun

HEADLINE_RISK = 0.01
"""Of the stated risks the one among the headlines."""


def headlines(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The few numbers of a model that a list of runs shows, from metrics as plain values."""
    fixing = metrics["fixing"].get(f"{HEADLINE_RISK:g}", {})
    return {
        "test_exact_tree": metrics["tree_rate"],
        "test_mean_regret_percent": metrics["mean_regret_percent"],
        f"test_fixed_at_risk_{HEADLINE_RISK:g}": fixing.get("coverage"),
        f"test_failures_at_risk_{HEADLINE_RISK:g}": fixing.get("failure_rate"),
    }


def data_input(folder: Place, context: str = "training") -> DataInput:
    """A dataset, for a run that takes it."""
    from learnopt.dataset.identity import data_checksum
    from learnopt.dataset.manifest import read_manifest
    from learnopt.tracking import DataInput

    manifest = read_manifest(folder)
    profile = {
        "feeders": manifest.n_feeders,
        "instances": manifest.n_instances,
        "seed": manifest.seed,
        "labels": None if manifest.labels is None else asdict(manifest.labels),
    }
    return DataInput(folder.resolve().name, data_checksum(manifest), folder.resolve().as_uri(), profile, context)


def version_tags(inputs: Sequence[DataInput]) -> dict[str, str]:
    """What a version in the registry says of its origin."""
    from learnopt._version import __version__
    from learnopt.tracking.provenance import git_commit

    data = ", ".join(f"{each.name} {each.digest[:12]}" for each in inputs)
    return {"commit": git_commit() or "none", "data": data, "learnopt": __version__}


def told_of(card: ModelCard) -> str:
    """What the page of a version says first."""
    test = card.metrics["test"]
    return (
        f"`{card.name}`: exact in {100 * test['tree_rate']:.1f} % of {test['n']} test instances, mean regret "
        f"{test['mean_regret_percent']:.3f} %. Weights `{card.weights_sha256[:12]}`. The whole card: README.md and "
        "card.json of the checkpoint, among the artifacts of the run."
    )


def log_card(run: TrackedRun, card: ModelCard) -> None:
    """The numbers of a card: four as metrics beside the four curves of the training, all of them in a table."""
    run.log_metrics(headlines(card.metrics["test"]))
    run.log_all_metrics({**card.metrics, "calibration": card.calibration})


def log_methods(run: TrackedRun, methods: Mapping[str, Metrics]) -> None:
    """An evaluation: the headlines of the model, and a table with a row for each method."""
    run.log_metrics(headlines(methods["model"].as_dict()))
    rows = [{"method": name, **values.as_dict()} for name, values in methods.items()]
    columns = [key for key in rows[0] if key != "fixing"]
    run.log_table(columns, [[row[key] for key in columns] for row in rows], "methods.json")
    run.log_all_metrics({name: values.as_dict() for name, values in methods.items()})


def log_monitored(run: TrackedRun, found: Monitored) -> None:
    """A look at a model in use: curves over the periods, headlines over all of them, tables, and the verdict as tag."""
    from learnopt.learning.figures import monitoring_figure

    for step, period in enumerate(found.periods):
        run.log_metrics({"unusual": period.unusual, **headlines(period.metrics.as_dict())}, "period.", step)
    run.log_metrics({"unusual": found.whole.unusual, **headlines(found.whole.metrics.as_dict())})
    run.log_tags({"verdict": found.verdict.value, "because": " ".join(found.reasons)})
    rows = [{"period": period.name, **headlines(period.metrics.as_dict())} for period in found.periods]
    run.log_table(list(rows[0]), [list(row.values()) for row in rows], "periods.json")
    checks = [asdict(each) for each in (*found.risks, found.novelty)]
    names = [*(f"wrong fixings at {risk.alpha:g}" for risk in found.risks), "unusual"]
    run.log_table(
        ["claim", *checks[0]], [[name, *row.values()] for name, row in zip(names, checks, strict=True)], "claims.json"
    )
    run.log_json(found.as_dict(), "monitored.json")
    run.log_figure(
        monitoring_figure(
            [period.name for period in found.periods],
            [period.metrics.mean_regret_percent for period in found.periods],
            {
                f"wrong fixings at {risk.alpha:g}": [
                    period.metrics.fixing[risk.alpha].failure_rate for period in found.periods
                ]
                for risk in found.risks
            }
            | {"unusual": [period.unusual for period in found.periods]},
        ),
        "monitor",
    )


@contextmanager
def tracked(
    track: bool | None, store: str | None, what: str, checkpoint: Path, data: Sequence[Place]
) -> Iterator[TrackedRun | None]:
    """A run below the one that the checkpoint is from, if that is known; None where nothing is to be recorded.

    Parameters
    ----------
    track, store
        As the options are given: naming a store asks for a record too. Where neither is given, what is done with a
        checkpoint of a run is recorded in the store that holds this run, if it answers.
    """
    from learnopt.tracking import Store
    from learnopt.tracking.registry import origin_of

    place = Store.of(store)
    origin = origin_of(checkpoint, place)
    asked = bool(track) or store is not None
    if track is False or not (asked or (origin is not None and place.exists)):
        yield None
        return
    from learnopt.learning.checkpoint import load_card
    from learnopt.tracking import track_run

    card, inputs, run = load_card(checkpoint), [data_input(folder, what) for folder in data], None
    told = f"{what} `{card.name}` on {', '.join(each.name for each in inputs)}."
    with ExitStack() as stack:
        try:
            run = stack.enter_context(track_run(place, "learnopt", f"{what} {card.name}", told, origin))
        except DataError as error:
            if asked:
                raise
            stderr.print(Paragraph(f"Not recorded: {'; '.join(error.messages)}"))
        if run is not None:
            run.log_parameters({"checkpoint": str(checkpoint), "weights_sha256": card.weights_sha256})
            run.log_datasets(inputs)
        yield run
    if run is not None:
        stderr.print(f"Look at the run: {run.view_command}", highlight=False, markup=False)
