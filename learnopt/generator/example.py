"""A feeder to try things out on, with all that a command asks for: scenarios, a day, four weeks and a year of loads.

Riverbend is made up: a 10 kV town network of 24 stations on one primary substation, three cables out of it, five ties
between them. One seed gives the same bytes everywhere.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.generator.year import synthetic_year
from learnopt.io import Profiles
from learnopt.io.case_json import case_from_json
from learnopt.io.files import write_atomically
from learnopt.network import Network

_FEEDERS = {
    "N": ("Mill Lane", "Old Bakery", "Orchard Road", "Water Tower", "Hilltop", "Quarry", "Sawmill", "North Farm"),
    "C": ("Market Square", "Town Hall", "School", "Library", "Hospital", "Station Road", "Brewery", "Eastgate"),
    "S": ("Harbour", "Fish Market", "Boatyard", "Ferry", "Lighthouse", "Meadow", "Allotments", "South Farm"),
}
"""Stations along the three cables out of the substation, in their order: north, centre, south."""
_FEED = "P"
_TIES = (("N3", "C4"), ("N8", "C6"), ("C3", "S3"), ("C8", "S6"), ("N5", "C8"))
_CABLE = {"r_ohm": 0.206, "x_ohm": 0.105, "ampacity_a": 280.0}
"""10 kV aluminium cable of 150 mm2, per km."""
_PEAK_KW = {"N": (260.0, 600.0), "C": (200.0, 380.0), "S": (40.0, 120.0)}
"""Range of the peak load of a station: the north has grown, the south has not."""
_MANUAL = ("N2", "C2", "C7", "S3", "S5")
"""Stations whose incoming cable is switched by a crew."""
_DAY = "2025-01-15"
_WEEKS = ("2025-01-06", 28)


def example_feeder(rng: np.random.Generator) -> dict[str, Any]:
    """Case file (``datasets/README.md``) of Riverbend: loads, lengths and customers are drawn, the rest is fixed."""
    buses: list[dict[str, Any]] = [{"id": _FEED, "name": "Riverbend 110/10", "x": 0.0, "y": 0.0}]
    branches: list[dict[str, Any]] = []
    place = {_FEED: (0.0, 0.0)}
    for row, (feeder, names) in enumerate(_FEEDERS.items()):
        before = _FEED
        for k, name in enumerate(names, start=1):
            station = f"{feeder}{k}"
            load = round(float(rng.uniform(*_PEAK_KW[feeder])), -1)
            place[station] = (round(0.8 * k + float(rng.normal(0, 0.08)), 2), round(1.2 * (1 - row), 2))
            x, y = place[station]
            buses.append(
                {"id": station, "name": name, "p_kw": load, "q_kvar": round(0.33 * load), "x": x, "y": y}
                | {"customers": int(load * rng.uniform(0.3, 0.7))}
            )
            branches.append(_cable(before, station, place) | {"operation": _operation(station)})
            before = station
    for k, (start, end) in enumerate(_TIES, start=1):
        branches.append(_cable(start, end, place) | {"id": f"T{k}", "normally_open": True})
    return {
        "name": "riverbend",
        "title": "Riverbend, a town that does not exist (learnopt example)",
        "source": "made up by `learnopt example`",
        "base_kv": 10.0,
        "substations": [_FEED],
        "voltage_limits": {"vmin_pu": 0.95, "vmax_pu": 1.05},
        "buses": buses,
        "branches": branches,
        "capacitors": [{"bus": "N7", "steps_kvar": [300, 300]}],
    }


def _operation(station: str) -> str:
    return "manual" if station in _MANUAL else "remote"


def _cable(start: str, end: str, place: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """A cable along the straight way, a third longer; its id is that of the station it leads to."""
    (x, y), (u, v) = place[start], place[end]
    km = 1.33 * float(np.hypot(x - u, y - v))
    return {
        "id": f"K-{end}",
        "from": start,
        "to": end,
        "r_ohm": round(_CABLE["r_ohm"] * km, 4),
        "x_ohm": round(_CABLE["x_ohm"] * km, 4),
        "ampacity_a": _CABLE["ampacity_a"],
    }


def example_scenario() -> dict[str, Any]:
    """A scenario file: a cable is out, and the brewery draws more than usual."""
    return {
        "name": "cable Harbour - Fish Market out",
        "out_of_service": ["K-S2"],
        "loads": {"C7": {"p_kw": 420, "q_kvar": 140}},
    }


def example_scenarios(feeder: dict[str, Any]) -> dict[str, Any]:
    """A file of three weighted scenarios: the peak, a night at a third of it, a sunny noon with 2.4 MW from roofs."""

    def scaled(factor: float) -> dict[str, dict[str, float]]:
        loaded = [bus for bus in feeder["buses"] if "p_kw" in bus]
        return {
            bus["id"]: {"p_kw": round(factor * bus["p_kw"]), "q_kvar": round(factor * bus["q_kvar"])} for bus in loaded
        }

    roofs = {station: {"p_kw": 600} for station in ("N5", "S4", "S6", "S8")}
    return {
        "scenarios": [
            {"name": "winter evening", "weight": 2, "loads": scaled(1.0)},
            {"name": "night", "weight": 5, "loads": scaled(0.35)},
            {"name": "sunny noon", "weight": 1, "loads": scaled(0.6), "generation": roofs},
        ]
    }


def write_example(directory: Path, rng: np.random.Generator) -> list[Path]:
    """Write the example into a folder, new or without files of these names; returns what was written.

    Raises
    ------
    DataError
        If the folder holds a file of one of the names, which is never replaced.
    """
    feeder = example_feeder(rng)
    network = case_from_json(feeder, "example")
    year = synthetic_year(network, rng)
    files: dict[str, Callable[[Path], object]] = {
        "feeder.json": lambda path: _write_json(path, feeder),
        "now.json": lambda path: _write_json(path, example_scenario()),
        "several.json": lambda path: _write_json(path, example_scenarios(feeder)),
        "day.csv": lambda path: _write_profile(path, network, year, _from(year, _DAY, 24)),
        "weeks.csv": lambda path: _write_profile(path, network, year, _from(year, _WEEKS[0], 24 * _WEEKS[1])[::2]),
        "year.csv": lambda path: _write_profile(path, network, year, np.arange(len(year))),
    }
    there = [name for name in files if (directory / name).exists()]
    if there:
        raise DataError(str(directory), [f"{', '.join(there)} exist already: give another folder"])
    directory.mkdir(parents=True, exist_ok=True)
    for name, write in files.items():
        write_atomically(directory / name, write)
    return [directory / name for name in files]


def _from(year: Profiles, day: str, hours: int) -> np.ndarray:
    """Indices of so many hours from midnight of a day."""
    first = int(np.searchsorted(year.times, np.datetime64(day, "s")))
    return np.arange(first, first + hours)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _write_profile(path: Path, network: Network, year: Profiles, chosen: np.ndarray) -> None:
    """Wide CSV: an instant per row, active power [kW] of each loaded station per column."""
    loaded = np.flatnonzero(network.p_load)
    kw = np.round(year.p[np.ix_(chosen, loaded)] * network.base.kw, 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["time", *(f"{network.bus_ids[bus]}.p_kw" for bus in loaded)])
        for instant, row in zip(year.times[chosen], kw, strict=True):
            rows.writerow([str(instant)[:16], *row])
