"""``learnopt example``: files to try every command on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from learnopt.cli.options import JsonOption

SEED = 7
"""Of the example: with it, its figures in the documentation come out."""

_WHAT = {
    "feeder.json": "a 10 kV feeder: 24 named stations, five ties",
    "now.json": "a scenario: one cable out, one load higher",
    "several.json": "three scenarios: winter evening, night, noon",
    "day.csv": "24 hours of loads",
    "weeks.csv": "four weeks of loads, every second hour",
    "year.csv": "a year of hourly loads",
}


def example(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write; files in it are never replaced.")],
    json_output: JsonOption = False,
) -> None:
    """Write a made-up feeder with scenarios and load profiles, to try every command on."""
    import numpy as np

    from learnopt.generator.example import write_example

    written = write_example(directory, np.random.default_rng(SEED))
    if json_output:
        typer.echo(json.dumps({"directory": str(directory), "files": [path.name for path in written]}))
        return
    width = max(len(str(path)) for path in written)
    for path in written:
        typer.echo(f"{path!s:<{width}}  {_WHAT[path.name]}")  # never wrapped: a path stays whole
