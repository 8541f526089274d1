"""``learnopt convert``: a network of any source as a file that people can edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from learnopt.cli.options import CaseArgument, HourOption, stderr
from learnopt.io import network_to_dict, read_source, write_csv_folder
from learnopt.io.files import write_text


def convert(
    case: CaseArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Case file (.json), or a new folder of CSV tables.")],
    hour: HourOption = None,
) -> None:
    """Write a network as a JSON case file or as a folder of CSV tables."""
    loaded = read_source(case, hour)
    network = loaded.network
    for note in loaded.notes:
        stderr.print(f"{case}: {note}", highlight=False, markup=False)
    if out.suffix.lower() == ".json":
        text = json.dumps(network_to_dict(network), indent=1, ensure_ascii=False) + "\n"
        write_text(out, text)
    else:
        write_csv_folder(network, out)
    stderr.print(f"Written to {out}", highlight=False, markup=False)
