"""Many feeders for one command: a CSV or TOML file that lists them, a folder or a pattern of case files.

.. code-block:: text

    name,case,scenario,vmin                 [options]                for all of them
    north,north.json,,0.95                  time_limit = 10
    south,south.dss,,
    centre,case33,evening.json,0.93         [[feeder]]
                                            case = "north.json"
                                            vmin = 0.95

Files are looked for beside the list. ``name`` may be left out where cases are named differently.
"""

from __future__ import annotations

import csv
import glob
import hashlib
import io
import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from learnopt._version import __version__
from learnopt.errors import DataError
from learnopt.io.cases import case_names
from learnopt.io.csv_folder import is_csv_folder
from learnopt.io.files import read_text
from learnopt.io.sources import READERS
from learnopt.wording import suggestion

OPTIONS: Mapping[str, type] = {
    "engine": str,
    "certify": str,
    "gap": float,
    "time_limit": float,
    "node_limit": int,
    "limits": str,
    "vmin": float,
    "vmax": float,
    "strict_limits": bool,
    "controls": str,
    "charging": bool,
    "switching_cost": float,
    "max_operations": int,
    "remote_only": bool,
    "max_unbalance": float,
    "hour": float,
    "accept_differences": bool,
    "balanced": bool,
}
"""Options of ``solve`` that a feeder may have of its own, and their types."""
_NAMED = ("name", "case", "scenario")
_MOST_BYTES = 64 * 2**20
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_SAID = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
_BESIDE = (".dss", ".csv", ".txt")
"""Files that an OpenDSS file may redirect to."""


@dataclass(frozen=True)
class RegionFeeder:
    """A feeder of a region, and how it is to be solved.

    Parameters
    ----------
    name
        Names its row; unique.
    case
        What :func:`learnopt.load` takes: a named case, a code, or the absolute path of a file or folder.
    scenario
        Absolute path of a scenario file, None = the loads of the case.
    options
        Of ``solve``, by name.
    """

    name: str
    case: str
    scenario: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A checksum of what its answer depends on: files by their content, options, the version of learnopt."""
        digest = hashlib.sha256(__version__.encode())
        digest.update(json.dumps([self.case, self.scenario, sorted(self.options.items())]).encode())
        for path in (Path(self.case), Path(self.scenario or "")):
            for each in _files(path):
                digest.update(f"\n{each.name}\n".encode())
                digest.update(hashlib.sha256(each.read_bytes()).digest())
        return digest.hexdigest()[:16]


def read_region(*sources: str | Path, options: Mapping[str, Any] | None = None) -> list[RegionFeeder]:
    """The feeders of lists, of folders, of patterns such as ``feeders/*.json``, and single case files.

    Parameters
    ----------
    options
        For all feeders that do not say otherwise.

    Raises
    ------
    DataError
        With everything that is wrong in the lists. What is wrong in the file of a feeder is told where it is solved.
    """
    problems: list[str] = []
    found = [feeder for source in sources for feeder in _of_source(str(source), dict(options or {}), problems)]
    problems += [
        f"{n} feeders are called {name!r}: give each a name of its own (column or key `name` of a list)"
        for name, n in Counter(feeder.name for feeder in found).items()
        if n > 1
    ]
    if not found and not problems:
        problems.append("no feeder is there")
    if problems:
        raise DataError(", ".join(map(str, sources)), problems)
    return found


def _of_source(source: str, given: dict[str, Any], problems: list[str]) -> list[RegionFeeder]:
    """Feeders of one source; what is wrong in a list goes to the problems."""
    path, folder = Path(source), Path()
    kind = path.suffix.lower()
    if kind == ".toml":
        shared, rows = _toml(path)
        given |= shared
    elif kind == ".csv":
        rows = _csv(path)
    else:
        rows = [{"case": each} for each in _found(path, source)]
    if kind in (".toml", ".csv"):
        folder = path.parent
    given = _checked(given, "options", problems, known=OPTIONS)
    values = [_checked(row, f"feeder {k}", problems) for k, row in enumerate(rows, 1)]
    problems += [
        f"feeder {k} has no case: name a file, a folder, or a named case"
        for k, row in enumerate(values, 1)
        if not row.get("case")
    ]
    return [
        RegionFeeder(
            _name(row),
            _case(folder, row["case"]),
            str((folder / row["scenario"]).absolute()) if row.get("scenario") else None,
            {**given, **{key: value for key, value in row.items() if key not in _NAMED}},
        )
        for row in values
        if row.get("case")
    ]


def _found(path: Path, pattern: str) -> list[str]:
    """A case, case files of a folder, or those of a pattern; also folders of tables."""
    if _is_no_path(pattern) or path.is_file() or is_csv_folder(path):
        return [pattern]
    if path.is_dir():
        found: Iterable[Path] = path.iterdir()
    elif glob.has_magic(pattern):
        found = map(Path, glob.glob(pattern, recursive=True))
    else:
        known = "a CSV or TOML file that lists feeders, a folder of case files, or a pattern such as 'feeders/*.json'"
        raise DataError(pattern, [f"there is no such file or folder: give {known}"])
    return sorted(
        str(each)
        for each in found
        if not each.name.startswith(".")
        and ((each.is_file() and each.suffix.lower() in READERS) or (each.is_dir() and is_csv_folder(each)))
    )


def _csv(path: Path) -> list[dict[str, Any]]:
    text = read_text(path, _MOST_BYTES)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    try:
        head, *lines = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    except (csv.Error, ValueError) as error:
        raise DataError(str(path), [f"is no CSV table of feeders: {error}"]) from None
    head = [name.strip() for name in head]
    problems = [f"two columns are called {name!r}" for name, n in Counter(head).items() if n > 1]
    problems += [
        f"line {k} has {len(line)} cells, the first line {len(head)}"
        for k, line in enumerate(lines, 2)
        if line and len(line) != len(head)
    ]
    if problems:
        raise DataError(str(path), problems)
    # An empty cell says nothing.
    return [
        {key: cell.strip() for key, cell in zip(head, line, strict=True) if cell.strip()} for line in lines if any(line)
    ]


def _toml(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    try:
        table = tomllib.loads(read_text(path, _MOST_BYTES))
    except tomllib.TOMLDecodeError as error:
        raise DataError(str(path), [f"not TOML: {error}"]) from None
    shared, rows = table.get("options", {}), table.get("feeder", [])
    problems = [
        f"{key!r} is not known{suggestion(key, ('options', 'feeder'))}: write [options] and [[feeder]]"
        for key in table.keys() - {"options", "feeder"}
    ]
    if not isinstance(shared, dict) or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        problems.append("write one table [options] and a table [[feeder]] for each feeder")
    if problems:
        raise DataError(str(path), problems)
    return shared, rows


def _checked(
    row: Mapping[str, Any], where: str, problems: list[str], known: Iterable[str] = (*_NAMED, *OPTIONS)
) -> dict[str, Any]:
    """Values of a feeder with their types; what is wrong goes to the problems."""
    names, values = tuple(known), {}
    for key, value in row.items():
        if key not in names:
            problems.append(f"{where}: {key!r} is not known{suggestion(key, names)}; known are {', '.join(names)}")
            continue
        kind = OPTIONS.get(key, str)
        found = _value(kind, value)
        if found is None:
            problems.append(f"{where}: {key} = {value!r} must be {_SAID[kind]}")
        else:
            values[key] = found
    return values


def _value(kind: type, value: Any) -> Any:
    """A value of a type, as a cell of CSV or as TOML has it; None where it is none."""
    if kind is bool:
        return value if isinstance(value, bool) else _WORDS.get(str(value).lower())
    if kind is str:
        return value if isinstance(value, str) and value else None
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        return None
    return kind(number)


def _name(row: Mapping[str, Any]) -> str:
    """Its own, or the case and the scenario."""
    if row.get("name"):
        return str(row["name"])
    case, scenario = str(row.get("case", "")), row.get("scenario")
    named = case if _is_no_path(case) else Path(case).stem
    return f"{named}, {Path(scenario).stem}" if scenario else named


def _case(folder: Path, case: str) -> str:
    """As another process finds it: a name, or an absolute path."""
    return case if _is_no_path(case) else str((folder / case).absolute())


def _is_no_path(case: str) -> bool:
    return case in case_names() or case.startswith(("simbench:", "pandapower:"))


def _files(path: Path) -> list[Path]:
    """What is read of a case: the file, for OpenDSS also those around it, or the files of a folder."""
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.is_file()) if path.name else []
    if not path.is_file():
        return []
    if path.suffix.lower() != ".dss":
        return [path]
    return sorted(each for each in path.parent.rglob("*") if each.is_file() and each.suffix.lower() in _BESIDE)
