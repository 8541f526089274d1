"""``learnopt convert``: a network of any source as a file that people can edit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from learnopt.cli.options import CaseArgument, HourOption, stderr
from learnopt.io import Loaded, network_to_dict, read_source, write_csv_folder
from learnopt.io.files import write_text
from learnopt.network import Network


def convert(
    case: CaseArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Case file (.json), or a new folder of CSV tables.")],
    hour: HourOption = None,
) -> None:
    """Write a network as a JSON case file or as a folder of CSV tables."""
    loaded = read_source(case, hour)
    network = _in_phases(loaded, case)
    for note in loaded.notes:
        stderr.print(f"{case}: {note}", highlight=False, markup=False)
    if out.suffix.lower() == ".json":
        text = json.dumps(network_to_dict(network), indent=1, ensure_ascii=False) + "\n"
        write_text(out, text)
    else:
        write_csv_folder(network, out)
    stderr.print(f"Written to {out}", highlight=False, markup=False)


def _in_phases(loaded: Loaded, case: str) -> Network:
    """The network with its phases, where the file has unequal ones and a case file has words for all of them."""
    unequal = any(sentence.startswith("imbalance") for sentence in loaded.explained)
    if loaded.network.phases is not None or not unequal:
        return loaded.network
    from learnopt.io.opendss.phase_record import UnwrittenPhasesError, case_in_phases
    from learnopt.io.opendss.tool import OpenDSSTool

    why = "the net says too little of them"
    if isinstance(loaded.source, OpenDSSTool):
        try:
            return case_in_phases(loaded.network, loaded.source)
        except UnwrittenPhasesError as error:
            why = str(error)
    said = f"{case}: PHASES ARE LOST ({why}): what is written is the balanced equivalent, which loses another power"
    stderr.print(said, highlight=False, markup=False)
    return loaded.network
