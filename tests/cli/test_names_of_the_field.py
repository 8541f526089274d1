"""A pandapower net as a utility has it: what is told of it speaks of its own buses, cables, names and tap positions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandapower
import pytest
from invocation import invoke
from pandapower_nets import grid, line, load, net, reference, switch, trafo

import learnopt

CapSys = pytest.CaptureFixture[str]
NAMES = ["UW 110 kV", "UW 20 kV", "Kirchplatz (A2)", "Bahnhof", "Rathaus", "Schule"]
CONTROLLABLE = {"p_mw": 0.4, "q_mvar": 0.0, "scaling": 1.0, "in_service": True, "controllable": True}


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ring of four stations behind a transformer, open at one end of a cable; a cable with one switch only; PV."""
    ends = [(1, 2), (2, 3), (3, 4), (4, 5), (5, 1)]
    lines = [line(a, b, name=f"Kabel {k}", length_km=2.0) for k, (a, b) in enumerate(ends)]
    switches = [
        switch(bus, k, "l", closed=(k, bus) != (3, 5))
        for k, pair in enumerate(ends)
        for bus in (pair if k != 1 else pair[:1])
    ]
    raw = net(
        {0: 110.0} | dict.fromkeys(range(1, 6), 20.0),
        line=lines,
        trafo=[trafo(0, 1, name="T1", tap_pos=-2)],
        switch=[{**one, "name": f"LTS {k}"} for k, one in enumerate(switches)],
        load=[load(k, 1.0 + 0.3 * k, 0.3) for k in range(2, 6)],
        sgen=[{**CONTROLLABLE, "bus": 4, "name": "PV Rathaus"}],
        ext_grid=[grid(0, 1.0)],
    )
    table = json.loads(raw["_object"]["bus"]["_object"])
    column = {name: k for k, name in enumerate(table["columns"])}
    for row, name in zip(table["data"], NAMES, strict=True):
        row[column["name"]] = name
    limits = {"min_vm_pu": [0.0, 0.95, 0.9, 0.9, 0.9, 0.9], "max_vm_pu": [2.0, 1.1, 1.05, 1.05, 1.05, 1.05]}
    table["columns"] += list(limits)
    table["data"] = [[*row, *(values[k] for values in limits.values())] for k, row in enumerate(table["data"])]
    raw["_object"]["bus"]["_object"] = json.dumps(table)
    path = tmp_path_factory.mktemp("city") / "city.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    return path


def test_inspect_counts_what_the_file_has(capsys: CapSys, city: Path) -> None:
    """Six buses, not those besides that stand for ends of cables; limits by bus; what is controllable and held."""
    found = invoke(capsys, "inspect", city, "--json").json
    assert (found["buses"], found["branches"], found["couplers"]) == (6, 6, 0)
    assert found["auxiliary_buses"] == 2
    assert found["kv_levels"] == {"110": 1, "20": 5}
    assert found["reduction"]["buses"] == 6
    assert found["rated_branches"] == 6
    text = " ".join(invoke(capsys, "inspect", city).out.replace("│", " ").split())
    assert "6 buses, 6 branches, 1 transformer, 0 couplers, 1 substation; 2 ends of cables" in text
    assert "voltage at least 0.9 to 0.95 pu, at most 1.05 to 1.1 pu by bus (own limits at every bus)" in text
    assert "110 kV (1 bus), 20 kV (5 buses)" in text
    assert " 1 tap " in text
    assert "PV Rathaus (sgen 0) stays at the power of the file" in text


def test_controllable_generators_are_told_to_be_held(capsys: CapSys, city: Path) -> None:
    """Whoever asks for generators hears by name which are not set; whoever asks for taps only does not."""
    told = "PV Rathaus (sgen 0) is controllable in the file and held"
    said = " ".join(invoke(capsys, "solve", city, "--controls", "generators").err.split())
    assert told in said
    assert "the case has no generators to set" in said
    assert told not in learnopt.solve(city, controls="taps").notes


def test_taps_are_told_by_position(capsys: CapSys, city: Path, tmp_path: Path) -> None:
    """Table, JSON, CSV, page and net have the same position, the ratio second; the net then loses what is told."""
    steps, written = tmp_path / "steps.csv", tmp_path / "net.json"
    page = tmp_path / "page.html"
    outcome = invoke(capsys, "solve", city, "--controls", "taps", "--export", steps, "--report", page)
    answer = invoke(capsys, "solve", city, "--controls", "taps", "--export", written, "--json").json
    (tap,) = answer["taps"]
    position, ratio = tap["position"], tap["tap_pu"]
    assert isinstance(position, int)
    assert position != -2
    assert f"position {position} ({ratio:.4f} pu)" in " ".join(outcome.out.replace("│", " ").split())
    assert f"position {position} ({ratio:.4f} pu)" in page.read_text(encoding="utf-8")
    (row,) = [one for one in csv.DictReader(steps.open(encoding="utf-8")) if one["action"] == "set tap"]
    assert (row["value"], row["unit"], float(row["tap_pu"])) == (str(position), "position", pytest.approx(ratio))
    again = pandapower.from_json_string(written.read_text(encoding="utf-8"))
    assert again.trafo.at[0, "tap_pos"] == position
    assert reference(again)[0] == pytest.approx(answer["as_operated"]["loss_kw"], rel=1e-4)


def test_ends_of_cables_are_called_by_the_names_of_the_file(capsys: CapSys, city: Path, tmp_path: Path) -> None:
    """No id of an auxiliary bus in tables, steps and pages; in steps stand the ends of the whole cable."""
    page, steps = tmp_path / "page.html", tmp_path / "steps.csv"
    outcome = invoke(capsys, "solve", city, "--report", page, "--export", steps)
    for text in (outcome.out, page.read_text(encoding="utf-8"), steps.read_text(encoding="utf-8")):
        assert "line 3 at 5" not in text
        assert "line 1 at 2" not in text
    rows = list(csv.DictReader(steps.open(encoding="utf-8")))
    assert all(row["from_name"] in NAMES and row["to_name"] in NAMES for row in rows)
    network = learnopt.load(city)
    hidden = [name for name, own in zip(network.bus_names, ~network.auxiliary, strict=True) if not own]
    assert hidden == ["Kabel 1, end at Kirchplatz (A2)", "Kabel 3, end at Schule"]


def test_loadings_name_a_cable_once(city: Path, tmp_path: Path) -> None:
    """A cable and its switch are one bar."""
    page = tmp_path / "page.html"
    learnopt.solve(city).report(page)
    bars = page.read_text(encoding="utf-8").partition('<ul class="bars">')[2].partition("</ul>")[0]
    assert bars.count("Kabel 1 (line 1)") == 1
    assert "behind its switch" not in bars


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (("restore", "--fault", "Kirchplatz"), "did you mean 'Kirchplatz (A2)'?"),
        (("restore", "--fault", "bus:kirchplatz"), "did you mean 'Kirchplatz (A2)'?"),
        (("check", "--open", "Kabl 3"), "did you mean 'Kabel 3',"),
        (("restore", "--fault", "Rathaus", "--priority", "Banhof=3"), "did you mean 'Bahnhof'?"),
    ],
)
def test_near_names_are_told(capsys: CapSys, city: Path, arguments: tuple[str, ...], near: str) -> None:
    """A name that is not quite one is answered with what may be meant."""
    command, *rest = arguments
    outcome = invoke(capsys, command, city, *rest, "--json")
    assert outcome.code == 2
    assert near in " ".join(outcome.json["errors"])


def test_a_file_that_is_not_there_is_answered_with_its_neighbour(capsys: CapSys, city: Path) -> None:
    """Cases and files likewise."""
    assert "did you mean" in " ".join(invoke(capsys, "inspect", city.with_name("citty.json"), "--json").json["errors"])
    assert "did you mean 'case33'" in " ".join(invoke(capsys, "inspect", "case3", "--json").json["errors"])
