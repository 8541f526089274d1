"""Readers and writers: one entry, :func:`load`, for named cases and files of every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict, network_to_dict, read_case_json
from learnopt.io.cases import case_index, case_names, load_case
from learnopt.io.matpower import read_matpower
from learnopt.io.profiles import Profiles, read_profiles, read_scenarios
from learnopt.io.resources import data_root
from learnopt.io.scenario_json import read_scenario_json, scenario_to_dict
from learnopt.network import Network

READERS: Mapping[str, Callable[[Path], Network]] = {
    ".json": read_case_json,
    ".m": read_matpower,
}
"""Reader of each file ending: a new format is one line here."""


def load(source: str | Path) -> Network:
    """Network of a named case or of a file.

    Raises
    ------
    DataError
        If there is nothing of that name, if the format is unknown, or if the file breaks the rules of its format.
    UnsupportedError
        If the file asks for something that learnopt does not model.
    """
    if str(source) in case_names():
        return load_case(str(source))
    path = Path(source)
    reader = READERS.get(path.suffix.lower())
    known = f"learnopt reads the named cases {', '.join(case_names())} and files ending in {', '.join(READERS)}"
    if path.is_dir():
        raise DataError(str(source), [f"is a folder, not a case file; {known}"])
    if not path.exists():
        raise DataError(str(source), [f"there is no such file and no named case of that name; {known}"])
    if reader is None:
        raise DataError(str(source), [f"the file format {path.suffix or 'without ending'!r} is not known; {known}"])
    return reader(path)


__all__ = [
    "READERS",
    "Profiles",
    "case_index",
    "case_names",
    "data_root",
    "load",
    "load_case",
    "network_from_dict",
    "network_to_dict",
    "read_case_json",
    "read_matpower",
    "read_profiles",
    "read_scenario_json",
    "read_scenarios",
    "scenario_to_dict",
]
