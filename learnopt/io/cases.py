"""Named cases: the published feeders that travel with learnopt (``datasets/README.md`` says where each comes from)."""

from __future__ import annotations

from typing import Any

from learnopt.errors import DataError
from learnopt.io.case_json import read_case_json, read_json
from learnopt.io.resources import data_root
from learnopt.network import Network
from learnopt.wording import suggestion


def case_index() -> dict[str, dict[str, Any]]:
    """Name -> ``{file, sha256, buses, branches, loops, title, doi, source, licence}``, smallest case first."""
    index: dict[str, dict[str, Any]] = read_json(data_root("cases") / "index.json")
    return index


def case_names() -> list[str]:
    """Names of the cases that travel with learnopt, smallest first."""
    return list(case_index())


def load_case(name: str) -> Network:
    """Network of a named case.

    Raises
    ------
    DataError
        If there is no case of that name; the message lists the names.
    """
    index = case_index()
    if name not in index:
        raise DataError(name, [f"not a named case{suggestion(name, index)}; the named cases are {', '.join(index)}"])
    return read_case_json(data_root("cases") / index[name]["file"])
