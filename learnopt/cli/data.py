"""``learnopt generate`` and ``label``: datasets."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from learnopt.api.unused import Unused, unused
from learnopt.cli.completion import cases_and_files, exact_engines
from learnopt.cli.history import snapshots
from learnopt.cli.options import JsonOption, SchedulerOption, progress_bar, stdout, tell_unused
from learnopt.errors import DataError
from learnopt.io.places import place_of
from learnopt.wording import counted


def generate(
    out: Annotated[
        str, typer.Option(metavar="DIR_OR_URL", help="Folder or s3://BUCKET/FOLDER; an interrupted one is completed.")
    ],
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="What to draw (see training/configs).")
    ] = None,
    case: Annotated[
        str | None,
        typer.Option(
            metavar="CASE_OR_FILE",
            autocompletion=cases_and_files,
            help="Your own feeder, with --profile instead of --config.",
        ),
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Its load profiles (.csv, .parquet, simbench:CODE): a scenario per time."),
    ] = None,
    limits: Annotated[bool, typer.Option(help="With --case: label within the limits of the case.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 = one per core.")] = 1,
    scheduler: SchedulerOption = None,
    json_output: JsonOption = False,
) -> None:
    """Draw synthetic feeders and scenarios, or take the snapshots of a feeder; the same input gives the same bytes."""
    from learnopt.dataset.generate import GenerateConfig
    from learnopt.dataset.generate import generate as run_generate
    from learnopt.parallel import Workers

    alone, own = config is None, scheduler is not None and workers != 1
    tell_unused(
        unused(
            [
                (alone and workers != 1, Unused("workers", "snapshots of one feeder are written by one process")),
                (alone and scheduler is not None, Unused("scheduler", "snapshots of one feeder are written here")),
                (own, Unused("workers", "the scheduler has its own")),
            ]
        )
    )
    own = case is not None and profile is not None
    if own == (config is not None) or (case is None) != (profile is None) or (limits and not own):
        raise DataError("options", ["give either --config, or --case and --profile (with them perhaps --limits)"])
    folder = place_of(out)
    if config is None:
        assert case is not None
        assert profile is not None
        manifest = snapshots(case, profile, folder, limits)
    else:
        who = Workers.of(workers, scheduler)
        with progress_bar() as bar:
            task = bar.add_task("instances", total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            manifest = run_generate(GenerateConfig.from_toml(config), folder, progress=progress, workers=who)
    if json_output:
        typer.echo(json.dumps({"directory": str(out), "instances": manifest.n_instances, "shards": manifest.n_shards}))
    else:
        stdout.print(
            f"{counted(manifest.n_instances, 'instance')} in {counted(manifest.n_shards, 'shard')}: {out}",
            highlight=False,
            markup=False,
        )


def label(
    directory: Annotated[
        str, typer.Argument(metavar="DIR_OR_URL", help="Folder or address (s3://, gs://) of a generated dataset.")
    ],
    engine: Annotated[
        str, typer.Option(autocompletion=exact_engines, help="Exact engine: tree, milp or enumerate.")
    ] = "tree",
    workers: Annotated[int, typer.Option(help="Processes; 0 = one per core.")] = 0,
    scheduler: SchedulerOption = None,
    node_limit: Annotated[
        int | None, typer.Option(help="Nodes per instance; what is not proven by then keeps its gap.")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(help="Seconds per instance instead: labels then depend on the machine.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Solve every instance exactly; run again after an interruption to complete."""
    from learnopt.engines import SolveOptions
    from learnopt.learned.labels import LABEL_NODES, label_dataset
    from learnopt.network import Certificate

    if workers < 0:
        raise DataError("label", [f"workers = {workers} must be >= 0"])
    if node_limit is None and time_limit is None:
        node_limit = LABEL_NODES
    options = SolveOptions(certify=Certificate.AC, time_limit=time_limit, node_limit=node_limit)
    with progress_bar() as bar:
        task = bar.add_task("shards", total=None)
        manifest = label_dataset(
            place_of(directory),
            engine,
            options,
            workers or os.cpu_count() or 1,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            scheduler=scheduler,
        )
    statistics = {} if manifest.labels is None else asdict(manifest.labels)
    if json_output:
        typer.echo(json.dumps({"directory": str(directory), "labels": statistics}))
    else:
        for key, value in statistics.items():
            stdout.print(f"{key}: {value}", highlight=False, markup=False)
