"""A recorded time of one's own feeder as a labelled dataset: what monitoring and calibration take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from learnopt.cli.completion import cases_and_files
from learnopt.cli.options import progress_bar, tell
from learnopt.errors import DataError
from learnopt.io import load_with_source, read_profiles
from learnopt.io.places import Place, place_of

if TYPE_CHECKING:  # datasets need more than the core
    from learnopt.dataset.manifest import Manifest

HistoryCaseOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="CASE_OR_FILE",
        autocompletion=cases_and_files,
        help="Your own feeder, with --profile: its recorded time is solved exactly and taken as the data.",
    ),
]
HistoryProfileOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="FILE", help="Its loads over that time (.csv, .parquet, simbench:CODE).")
]


def snapshots(case: str, profile: str, out: Place, limits: bool) -> Manifest:
    """Write the instants of a profile as a dataset; an interrupted one is completed."""
    from learnopt.dataset.snapshots import generate_snapshots

    loaded = load_with_source(case)
    network = loaded.network
    if loaded.source is None or network.phases is None:  # a file of phases is solved in them
        tell(case, tuple(why for why in loaded.explained if why.startswith("imbalance")))
    profiles = read_profiles(profile, network)
    tell(profile, profiles.notes)
    wanted: Literal["file", "none"] = "file" if limits else "none"
    with progress_bar() as bar:
        task = bar.add_task("instances", total=None)
        return generate_snapshots(
            network, profiles, out, wanted, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


@contextmanager
def history(data: list[str] | None, case: str | None, profile: str | None) -> Iterator[list[Place]]:
    """Labelled datasets: those that are given, or that of a case and its profile, which is kept where ``data`` says.

    Raises
    ------
    DataError
        If neither is given, or both halves of neither.
    """
    if (case is None) != (profile is None) or (case is None and not data):
        raise DataError("options", ["give --data DIR, or --case and --profile"])
    if case is None or profile is None:
        yield [place_of(folder) for folder in data or ()]
        return
    if data and len(data) > 1:
        raise DataError("options", ["with --case and --profile --data names the one folder to keep the answers in"])
    from learnopt.learned.labels import label_dataset

    with TemporaryDirectory() as scratch:
        folder = place_of(data[0]) if data else Path(scratch) / Path(profile).stem
        snapshots(case, profile, folder, limits=False)
        with progress_bar() as bar:
            task = bar.add_task("shards", total=None)
            label_dataset(
                folder,
                workers=os.cpu_count() or 1,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
        yield [folder]
