"""``learnopt train`` and ``evaluate``: models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from learnopt.api.unused import Unused, unused
from learnopt.cli.completion import checkpoints
from learnopt.cli.history import HistoryCaseOption, HistoryProfileOption, history
from learnopt.cli.options import (
    CheckpointOption,
    JsonOption,
    SchedulerOption,
    StoreOption,
    TrackOption,
    stderr,
    stdout,
    tell_unused,
)
from learnopt.cli.tracked import data_input, log_card, log_methods, told_of, tracked, version_tags
from learnopt.errors import DataError
from learnopt.io.places import place_of
from learnopt.report.kit.terminal import Listing, Paragraph


def train(
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="How to train (see training/configs).")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            autocompletion=checkpoints,
            help="Tune this one (a folder, or reference) on one's own feeder.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="DIR_OR_URL", help="Labelled dataset, instead of the file's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Checkpoint folder, instead of the file's.")] = None,
    store: StoreOption = None,
    system_metrics: Annotated[
        bool, typer.Option("--system-metrics", help="Record processor, memory and GPU use in the run.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from an interrupted training, if there is one.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes that compute features.")] = 1,
    json_output: JsonOption = False,
) -> None:
    """Train a model on exact labels, calibrate it, track the run in MLflow, write a checkpoint.

    With --from, go on from a checkpoint on the snapshots of one feeder (generate --case --profile); --config is then
    optional.
    """
    if config is None and start is None:
        raise DataError("options", ["say how to train with --config FILE.toml, or what to tune with --from CHECKPOINT"])
    from learnopt.learned.own_feeder import TUNING, tune
    from learnopt.learned.training import train as run_train
    from learnopt.learning.config import TrainingConfig
    from learnopt.learning.figures import loss_figure, reliability_figure
    from learnopt.tracking import track_run

    wanted = TUNING if config is None else TrainingConfig.load(config)
    named = (wanted.data,) if isinstance(wanted.data, str) else wanted.data
    datasets = [place_of(folder) for folder in ([data] if data else named) if folder]
    checkpoint = out or Path(wanted.checkpoint or ".")
    missing = [
        f"no {key} folder: set {key} in the file or give the option"
        for key, absent in (("data", not datasets), ("checkpoint", checkpoint == Path()))
        if absent
    ]
    if missing:
        raise DataError("options" if config is None else str(config), missing)
    if start is not None and len(datasets) > 1:
        raise DataError("options", ["--from tunes on the snapshots of one feeder: give one --data folder"])
    alone = Unused("workers", "features of one feeder are computed in one process")
    tell_unused(unused([(start is not None and workers > 1, alone)]))
    inputs = [data_input(folder) for folder in datasets]
    told = f"`{wanted.name}`: trained on {', '.join(each.name for each in inputs)}"
    told += "." if start is None else f", tuned from `{start}`."
    with track_run(store, "learnopt", wanted.name, told, system_metrics=system_metrics) as run:
        run.log_parameters(wanted.as_dict())
        run.log_datasets(inputs)
        how: dict[str, Any] = {"logger": run.lightning_logger(), "progress": not json_output, "resume": resume}
        if start is None:
            outcome = run_train(wanted, datasets, checkpoint, workers=workers, **how)
        else:
            outcome = tune(start, datasets[0], checkpoint, wanted, **how)
        run.log_json(outcome.card.data, "dataset_manifest.json")
        log_card(run, outcome.card)
        run.log_figure(loss_figure(outcome.history), "loss")
        run.log_figure(reliability_figure(outcome.reliability), "reliability")
        run.log_checkpoint(checkpoint)
        run.log_model(checkpoint, version_tags(inputs), description=told_of(outcome.card))
    test = outcome.card.metrics["test"]
    if json_output:
        answer = {"checkpoint": str(checkpoint), "run_id": run.run_id, "metrics": outcome.card.metrics}
        typer.echo(json.dumps(answer, default=str))
        return
    stdout.print(
        f"Checkpoint {checkpoint}: exact tree in {100 * test['tree_rate']:.1f} % of {test['n']} "
        f"test instances, mean regret {test['mean_regret_percent']:.3f} %.",
        highlight=False,
        markup=False,
    )
    # Not broken into lines: it is there to be copied.
    stderr.print(f"Look at the run: {run.view_command}", highlight=False, markup=False, soft_wrap=True)


def calibrate(
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DIR_OR_URL",
            help="Labelled dataset that the model was not trained on; repeatable. With --case the folder to keep its "
            "answers in.",
        ),
    ] = None,
    case: HistoryCaseOption = None,
    profile: HistoryProfileOption = None,
    checkpoint: CheckpointOption = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder to write, if another one.")] = None,
    track: TrackOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Calibrate a checkpoint on feeders that it was not trained on: thresholds with a stated risk, and new metrics.

    On one's own feeder whole days take the place of feeders: snapshots in --data, or its own history with --case and
    --profile.
    """
    from learnopt.dataset.manifest import read_manifest
    from learnopt.dataset.snapshots import is_snapshots
    from learnopt.learned.own_feeder import recalibrate_on_days
    from learnopt.learned.recalibrate import recalibrate
    from learnopt.learning.checkpoint import REFERENCE, directory_of, load_card
    from learnopt.tracking import is_address

    elsewhere = checkpoint in (None, REFERENCE) or is_address(checkpoint)
    if elsewhere and out is None:
        raise DataError("options", [f"say where the calibrated checkpoint {checkpoint or REFERENCE} goes: --out DIR"])
    source = directory_of(checkpoint or REFERENCE)
    target = out or source
    load_card(source)  # a folder without a checkpoint is told before anything is solved
    with history(data, case, profile) as folders, tracked(track, store, "calibrate", source, folders) as run:
        if len(folders) == 1 and is_snapshots(read_manifest(folders[0])):
            card = recalibrate_on_days(source, folders[0], target)
        else:
            card = recalibrate(source, folders, target)
        if run is not None:
            log_card(run, card)
            run.log_checkpoint(target)
            tags = version_tags([data_input(folder) for folder in folders])
            run.log_model(target, tags, description=told_of(card))
    if json_output:
        answer = {"checkpoint": str(target), "calibration": card.calibration, "metrics": card.metrics}
        typer.echo(json.dumps(answer, default=str))
        return
    rows = []
    for alpha, row in card.metrics["test"]["fixing"].items():
        rate = f"{100 * row['failure_rate']:.2f} [{100 * row['failure_low']:.2f}, {100 * row['failure_high']:.2f}]"
        rows.append((alpha, f"{100 * row['coverage']:.1f}", rate, f"{row['free_per_loop']:.2f}"))
    head = ("alpha", "coverage %", "instances with a wrong fixing % [95 %]", "free switches per loop")
    stdout.print(Listing(head, rows, range(4)))
    stdout.print(f"Checkpoint {target}: {card.metrics['test']['n']} test instances", highlight=False, markup=False)


def evaluate(
    data: Annotated[str, typer.Option(metavar="DIR_OR_URL", help="Labelled dataset.")],
    checkpoint: CheckpointOption = None,
    baselines: Annotated[bool, typer.Option(help="Measure the usual rivals too.")] = True,
    rival: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:CLASS", help="A model of your own, a class with predict(problem); repeatable."),
    ] = None,
    card: Annotated[
        bool, typer.Option("--card", help="Put the comparison on the card of the checkpoint (its README.md).")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes for what solves; 0 = one per core.")] = 1,
    scheduler: SchedulerOption = None,
    track: TrackOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure a model and its rivals on exact labels; of one's own feeder on the last days, against persistence.

    Feeders and days that the model has learned from are left out; where nothing else is there, that is an error.
    """
    from learnopt.dataset.manifest import read_manifest
    from learnopt.dataset.snapshots import is_snapshots
    from learnopt.learning.checkpoint import REFERENCE, directory_of, load_card
    from learnopt.tracking import is_address

    source, folder = checkpoint or REFERENCE, place_of(data)
    if is_address(source):
        if card:
            raise DataError("options", [f"--card writes into a folder, not into {source}"])
        source = str(directory_of(source))
    load_card(source)  # a folder without a checkpoint is told before one without data
    of_one = is_snapshots(read_manifest(folder))
    alone, own = "one feeder is measured in this process", "the scheduler has its own"
    tell_unused(
        unused(
            [
                (of_one and workers != 1, Unused("workers", alone)),
                (of_one and scheduler is not None, Unused("scheduler", alone)),
                (not of_one and scheduler is not None and workers != 1, Unused("workers", own)),
            ]
        )
    )
    # What takes long to load comes after what may be wrong in the command.
    from learnopt.learned.compare import check_comparable, put_on_card
    from learnopt.learned.evaluate import evaluate as run_evaluate
    from learnopt.learned.own_feeder import evaluate_snapshots
    from learnopt.learning.rival import load_rival
    from learnopt.parallel import Workers

    if card:
        check_comparable(folder)
    rivals = [load_rival(source) for source in rival or ()]
    with tracked(track, store, "evaluate", directory_of(source), [folder]) as run:
        if of_one:
            measured = evaluate_snapshots(source, folder, baselines, rivals)
        else:
            measured = run_evaluate(source, folder, baselines, rivals, workers=Workers.of(workers, scheduler))
        if run is not None:
            log_methods(run, measured.methods)
    metrics = measured.methods
    if card:
        put_on_card(source, folder, measured)
    if json_output:
        answer = {name: values.as_dict() for name, values in metrics.items()}
        typer.echo(json.dumps({"measured_on": measured.sentence, "methods": answer}, allow_nan=False))
        return
    head = (
        "method",
        "exact tree %",
        "branches right %",
        "mean regret %",
        "max regret %",
        "not radial",
        "no power flow",
    )
    rows = [
        (
            name,
            f"{100 * m.tree_rate:.1f}",
            f"{100 * m.branch_accuracy:.1f}",
            f"{m.mean_regret_percent:.3f}",
            f"{m.max_regret_percent:.2f}",
            str(m.n_not_admissible),
            str(m.n_not_converged),
        )
        for name, m in metrics.items()
    ]
    stdout.print(Listing(head, rows, range(1, 7)))
    first = metrics["model"]
    stdout.print(Paragraph(measured.sentence))
    stdout.print(f"{first.distinct_labels} distinct labels; ece {first.ece:.4f}", highlight=False)
    fixing = [
        (
            f"{alpha:g}",
            "none" if row.tau is None else f"{row.tau:.3g}",
            f"{100 * row.coverage:.1f}",
            f"{100 * row.risk:.2f}",
            f"{100 * row.failure_rate:.2f} [{100 * row.failure_low:.2f}, {100 * row.failure_high:.2f}]",
            f"{row.free_per_loop:.2f}",
        )
        for alpha, row in first.fixing.items()
    ]
    risks = ("wrong fixings %", "instances with a wrong fixing %")
    stdout.print(Listing(("alpha", "tau", "coverage %", *risks, "free per loop"), fixing, range(6)))
