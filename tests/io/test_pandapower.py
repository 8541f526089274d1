"""pandapower nets: the power flow is pandapower's, and switches keep the user's names."""

from __future__ import annotations

import copy
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandapower
import pandapower.networks
import pandapower_nets as pn
import pytest

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import load, sources
from learnopt.io.pandapower.reader import PandapowerCase, case_from_pandapower_json, network_from_pandapower
from learnopt.network import ReconfigurationProblem, Settings
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate
from learnopt.studies.inspection.reconcile import reconcile

ONE_IN_TEN_THOUSAND = 1e-4
FEEDER = {0: 110.0, 1: 20.0, 2: 20.0, 3: 20.0, 4: 20.0}
RING = {
    "ext_grid": [pn.grid(0)],
    "trafo": [pn.trafo(0, 1)],
    "line": [pn.line(1, 2, length_km=4.0), pn.line(2, 3, length_km=3.0), pn.line(3, 4), pn.line(4, 1, length_km=5.0)],
    "switch": [pn.switch(2, 1, "l"), pn.switch(3, 1, "l"), pn.switch(3, 2, "l", closed=False), pn.switch(1, 3, "l")],
    "load": [pn.load(2, 2.0, 0.6), pn.load(3, 1.5, 0.4), pn.load(4, 2.5, 0.8)],
}


def ring(buses: dict[int, float] | None = None, **changes: Any) -> dict[str, Any]:
    """A ring of four cables behind a transformer, open at bus 3 of line 2; with further buses and other tables."""
    return pn.net(FEEDER | (buses or {}), **copy.deepcopy(RING | changes))


def extended(kind: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    return [*RING[kind], *rows]


COUPLED = {
    "ext_grid": [pn.grid(0), pn.grid(1)],
    "trafo": [pn.trafo(0, 2), pn.trafo(1, 3, sn_mva=40.0, tap_pos=-2)],
    "line": [pn.line(2, 4, length_km=6.0), pn.line(3, 4, length_km=2.0), pn.line(3, 5, parallel=2)],
    "switch": [pn.switch(0, 1, "b"), pn.switch(2, 3, "b"), pn.switch(2, 0, "l"), pn.switch(4, 1, "l", closed=False)],
    "load": [pn.load(4, 3.0, 1.0), pn.load(5, 4.0, 1.0)],
}

NETS = {
    "ring": ring(),
    "tap on the low side": ring(trafo=[pn.trafo(0, 1, tap_side="lv", tap_pos=3, parallel=2)]),
    "phase shifter": ring(trafo=[pn.trafo(0, 1, tap_changer_type="Ideal", tap_step_percent=0.0, tap_step_degree=5.0)]),
    "tap without changer": ring(trafo=[pn.trafo(0, 1, tap_changer_type=None)]),
    "rated off nominal": ring(trafo=[pn.trafo(0, 1, vn_hv_kv=115.0, vn_lv_kv=21.0)]),
    "parallel lines, conductance": ring(line=[pn.line(1, 2, parallel=2, g_us_per_km=2.0), *RING["line"][1:]]),
    "generation and storage": ring(
        sgen=[{"bus": 3, "p_mw": 4.0, "q_mvar": 0.2, "scaling": 0.9, "in_service": True}],
        storage=[{"bus": 4, "p_mw": -1.0, "q_mvar": 0.1, "scaling": 1.0, "in_service": True}],
    ),
    "shunts": ring(
        shunt=[
            {"bus": 3, "p_mw": 0.1, "q_mvar": -1.2, "vn_kv": 20.0, "step": 2, "in_service": True},
            {"bus": 4, "p_mw": 0.0, "q_mvar": -0.5, "vn_kv": 21.0, "step": 1, "in_service": True},
        ]
    ),
    "constant impedance": ring(load=extended("load", pn.load(1, 5.0, 2.0, **dict.fromkeys(pn.SHARES[:2], 60.0)))),
    "constant current": ring(load=[pn.load(4, 4.0, 1.0, const_i_p_percent=100.0, const_i_q_percent=100.0)]),
    "switch with impedance": pn.net(
        FEEDER | {5: 20.0},
        **RING
        | {"switch": extended("switch", pn.switch(4, 5, "b", z_ohm=0.5)), "load": extended("load", pn.load(5, 1.0))},
    ),
    "out of service": ring(
        line=extended("line", pn.line(2, 4, in_service=False)), load=extended("load", pn.load(3, 9.0, in_service=False))
    ),
    "three windings": ring(
        trafo=[], trafo3w=[pn.trafo3w(0, 1, 5)], buses={5: 10.0}, load=[*RING["load"], pn.load(5, 6.0, 2.0)]
    ),
    "three windings, tap below": ring(
        trafo=[],
        trafo3w=[pn.trafo3w(0, 1, 5, tap_side="mv", tap_pos=2)],
        buses={5: 10.0},
        load=[*RING["load"], pn.load(5, 6.0)],
    ),
    "two grids, two transformers": pn.net({0: 110.0, 1: 110.0, 2: 20.0, 3: 20.0, 4: 20.0, 5: 20.0}, **COUPLED),
}


def read(raw: dict[str, Any]) -> PandapowerCase:
    return case_from_pandapower_json(raw, "net.json")


def test_shares_of_older_files():
    """One share for both powers, as pandapower wrote it before 3.2."""
    new = read(NETS["constant impedance"]).network
    row = {**pn.load(1, 5.0, 2.0), "const_z_percent": 60.0, "const_i_percent": 0.0}
    rows = [{**r, "const_z_percent": 0.0, "const_i_percent": 0.0} for r in RING["load"]]
    old = read(ring(load=[*rows, row])).network
    assert old.p_load.tolist() == new.p_load.tolist()
    assert old.g_shunt.tolist() == new.g_shunt.tolist()


@pytest.mark.parametrize("name", NETS)
def test_base_loss_is_pandapowers(name: str):
    """Loss and lowest voltage of the present state, to 0.01 %."""
    case = read(NETS[name])
    loss, lowest = pn.reference(NETS[name])
    net = case.network
    found = evaluate(ReconfigurationProblem.of(net), net.normal_configuration)
    assert radiality_faults(net, net.normal_configuration.closed) == []
    # A current is modelled as half power, half impedance: equal to second order.
    assert found.loss_kw == pytest.approx(loss, rel=1e-3 if name == "constant current" else ONE_IN_TEN_THOUSAND)
    assert found.min_voltage_pu == pytest.approx(lowest, abs=2e-5)


@pytest.mark.parametrize("side", ["hv", "lv"])
def test_tap_changers_become_controls(side: str):
    """A position set as a control is the net read at that position, but for the impedance of a low-voltage tap."""
    net = read(ring(trafo=[pn.trafo(0, 1, tap_side=side)])).network
    (tap,) = net.controls.taps
    assert net.branch_ids[tap.branch] == "trafo 0"
    assert len(tap.positions) == 19
    problem = ReconfigurationProblem.of(net, controls=net.controls)
    for position, moved in ((-9, -1 if side == "hv" else 0), (3, 6 if side == "hv" else 12)):
        found = problem.applied(Settings((float(tap.positions[moved]),)))
        other = read(ring(trafo=[pn.trafo(0, 1, tap_side=side, tap_pos=position)])).network
        expected = evaluate(ReconfigurationProblem.of(other), other.normal_configuration)
        assert found.network.ratio[tap.branch] == pytest.approx(other.ratio[tap.branch])
        close = 1e-6 if side == "hv" else 0.01
        assert evaluate(found, net.normal_configuration).min_voltage_pu == pytest.approx(
            expected.min_voltage_pu, abs=close
        )
    for changes in ({"tap_changer_type": "Ideal"}, {"tap_min": None}, {"tap_step_degree": 90.0}, {"tap_pos": 12}):
        assert not read(ring(trafo=[pn.trafo(0, 1, **changes)])).network.controls.taps


def test_base_loss_of_oberrhein(monkeypatch):
    """177 MV buses, two transformers, charging, and six lines that are open at one end."""
    net = load("pandapower:mv_oberrhein")
    assert (net.name, len(net.substations), net.n_loops, net.base.v_base) == ("MV Oberrhein", 2, 6, 20.0)
    assert net.open_ids(net.normal_configuration) == [f"line {i}" for i in (8, 23, 31, 66, 88, 188)]
    assert net.coordinates is not None
    assert net.branch_names[net.branch_index["trafo 114"]] == "HV/MV Transformer 0"
    # The function ends with a power flow that pandapower 3.1 cannot do with pandas 3, see reference().
    monkeypatch.setattr(sys.modules[pandapower.networks.mv_oberrhein.__module__], "runpp", lambda net: None)
    loss, _ = pn.reference(pandapower.networks.mv_oberrhein())
    assert evaluate(ReconfigurationProblem.of(net), net.normal_configuration).loss_kw == pytest.approx(
        loss, rel=ONE_IN_TEN_THOUSAND
    )


def test_slack_generators_are_sources():
    """A generator that is slack holds its voltage as an external grid does."""
    slack = {"bus": 0, "p_mw": 0.0, "vm_pu": 1.02, "slack": True, "in_service": True}
    net = read(ring(ext_grid=[], gen=[slack])).network
    assert (net.substations.tolist(), net.substation_vm.tolist()) == ([0], [1.02])


def test_legs_of_three_windings_have_switches_of_their_own():
    """A switch at one terminal opens that leg; legs of negative impedance are refused."""
    tables = {"trafo": [], "trafo3w": [pn.trafo3w(0, 1, 5)], "buses": {5: 10.0}}
    net = read(ring(**tables, switch=extended("switch", pn.switch(5, 0, "t3", closed=False)))).network
    legs = [net.branch_index[f"trafo3w 0 {side}"] for side in ("hv", "mv", "lv")]
    assert net.switchable[legs].tolist() == net.normally_open[legs].tolist() == [False, False, True]
    tables["trafo3w"] = [pn.trafo3w(0, 1, 5, vk_lv_percent=40.0)]
    with pytest.raises(UnsupportedError, match="trafo3w 0 has a leg of negative impedance"):
        read(ring(**tables))


def test_one_decision_per_line():
    """Two switches at a line are one branch that is open if one of them is; a line without a switch stays as it is."""
    net = read(NETS["ring"]).network
    assert [i for i in net.branch_ids if "behind" not in str(i)] == ["line 0", "line 1", "line 2", "line 3", "trafo 0"]
    assert [net.branch_ids[e] for e in np.flatnonzero(net.switchable)] == ["line 1", "line 2", "line 3"]
    assert net.open_ids(net.normal_configuration) == ["line 2"]


def test_name_of_a_line_in_two_parts_means_its_switch():
    """What tables print, a name, is what options take: the fixed part behind the switch does not make it ambiguous."""
    net = read(NETS["ring"]).network
    fixed, switch = net.branch_index["line 2 behind its switch"], net.branch_index["line 2"]
    names = tuple("Ring 2" if e in (fixed, switch) else name for e, name in enumerate(net.branch_names))
    assert replace(net, branch_names=names).find_branch("Ring 2") == (switch, "")


def test_charging_of_an_open_line_stays():
    """Line 2 is open at bus 3: it is energised from bus 4, and not at all when it is open at both ends."""
    net = read(NETS["ring"]).network
    fixed = net.branch_index["line 2 behind its switch"]
    loose = net.bus_index["line 2 at 3"]
    assert {net.from_bus[fixed], net.to_bus[fixed]} == {loose, net.bus_index["4"]}
    assert net.b[fixed] > 0 == net.b[net.branch_index["line 2"]]
    both = read(ring(switch=extended("switch", pn.switch(4, 2, "l", closed=False)))).network
    assert both.b[both.branch_index["line 2"]] == pytest.approx(net.b[fixed])
    assert "line 2 at 3" not in both.bus_ids


def test_stations_are_contracted_and_said_so():
    """Coupled grids are one substation, coupled transformers one branch; the notes name them and where buses went."""
    case = read(NETS["two grids, two transformers"])
    assert {"line 0", "line 1", "line 2", "trafo 0 + trafo 1"} <= set(case.network.branch_ids)
    assert not {"trafo 0", "trafo 1", "switch 0", "switch 1"} & set(case.network.branch_ids)
    assert len(case.network.substations) == 1
    assert {bus: case.bus_of[bus] for bus in range(6)} == {0: 0, 1: 0, 2: 2, 3: 2, 4: 4, 5: 5}
    assert "trafo 0 + trafo 1 work in parallel" in " ".join(case.notes)
    # With the low-voltage coupler open the transformers are two branches again.
    apart = copy.deepcopy(COUPLED)
    apart["switch"][1]["closed"] = False
    net = read(pn.net({0: 110.0, 1: 110.0, 2: 20.0, 3: 20.0, 4: 20.0, 5: 20.0}, **apart)).network
    assert {"trafo 0", "trafo 1", "switch 1"} <= set(net.branch_ids)


def test_voltage_limits_of_each_bus():
    """The narrowest of the buses that were joined, none where the file has a stand-in, none at loose ends."""
    raw = pn.net({0: 110.0, 1: 110.0, 2: 20.0, 3: 20.0, 4: 20.0, 5: 20.0}, **COUPLED)
    body = json.loads(raw["_object"]["bus"]["_object"])
    limits = [(0.9, 1.1), (0.9, 1.1), (0.95, 1.06), (0.97, 1.08), (None, 2.0), (0.92, 1.04)]
    body["columns"] += ["min_vm_pu", "max_vm_pu"]
    body["data"] = [[*row, *pair] for row, pair in zip(body["data"], limits, strict=True)]
    raw["_object"]["bus"]["_object"] = json.dumps(body)
    net = read(raw).network
    found = {bus: (low, high) for bus, low, high in zip(net.bus_ids, net.vm_min, net.vm_max, strict=True)}
    assert found[2] == (0.97, 1.06)
    assert found[4] == (0.0, math.inf)
    assert found[5] == (0.92, 1.04)
    assert found["line 0 at 2"] == (0.0, math.inf)


def test_couplers_that_are_decisions_stay():
    """A bus-bus switch in no station loop is a switchable branch without impedance."""
    raw = pn.net(FEEDER | {5: 20.0}, **RING | {"switch": extended("switch", pn.switch(4, 5, "b", closed=False))})
    raw["_object"]["line"] = pn.table([*RING["line"], pn.line(1, 5)])
    net = read(raw).network
    e = net.branch_index["switch 4"]
    assert (net.r[e], net.x[e], net.switchable[e], net.normally_open[e]) == (0.0, 0.0, True, True)


def test_notes_say_what_has_no_effect():
    """What is left out or assumed is said: taps without a changer, elements out of service, buses without a source."""
    assert "tap position has no effect" in " ".join(read(NETS["tap without changer"]).notes)
    assert "1 line is not in service" in " ".join(read(NETS["out of service"]).notes)
    assert "half power" in " ".join(read(NETS["constant current"]).notes)
    lonely = read(pn.net(FEEDER | {9: 20.0}, **RING))
    assert "1 bus has no path to a source" in " ".join(lonely.notes)
    assert 9 not in lonely.network.bus_ids
    assert "no switch" in " ".join(read(ring(switch=[])).notes)


@pytest.mark.parametrize(("share", "apart"), [(0.3, False), (0.5, True)])
def test_loads_whose_phases_differ_are_reduced_and_said(share: float, apart: bool):
    """The sum of the phases counts; where they differ every answer says that it is about the balanced equivalent."""
    row = {"bus": 3, "scaling": 1.0, "in_service": True} | dict.fromkeys(("p_b_mw", "p_c_mw"), 0.3) | {"p_a_mw": share}
    case = read(ring(asymmetric_load=[row | dict.fromkeys(("q_a_mvar", "q_b_mvar", "q_c_mvar"), 0.1)]))
    assert case.network.p_load.sum() == pytest.approx(read(ring()).network.p_load.sum() + 0.6 + share)
    assert [said.partition(":")[0] for said in case.explained] == ["imbalance"] * apart
    assert reconcile(case.loaded).origin.equivalent == apart


def test_rows_out_of_service_need_no_numbers():
    """What is out of service is left out, complete or not, known or not."""
    rows = extended("load", pn.load(3, math.nan, in_service=False))
    net = read(ring(load=rows, xward=[{"bus": 3, "in_service": False}])).network
    assert net.p_load.tolist() == read(ring()).network.p_load.tolist()


def test_controllers_and_tables_of_ones_own_are_named():
    """They change nothing that is computed, and the notes say so."""
    notes = " ".join(read(ring(controller=[{"object": None, "in_service": True}], coordinates=[{"x": 1.0}])).notes)
    assert "controllers are not simulated" in notes
    assert "controller 0" in notes
    assert "coordinates" in notes


def test_files_and_objects_agree(tmp_path: Path):
    """A JSON file is recognised by what it holds, and gives what the object gives."""
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(NETS["ring"]), encoding="utf-8")
    from_file = load(path)
    from_object = network_from_pandapower(pandapower.from_json(str(path))).network
    assert from_file.branch_ids == from_object.branch_ids
    assert (from_file.r == from_object.r).all()
    assert (from_file.p_load == from_object.p_load).all()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            ring(gen=[{"bus": 3, "p_mw": 1.0, "vm_pu": 1.0, "slack": False, "in_service": True}]),
            "gen 0 (holding a voltage",
        ),
        (ring(xward=[{"bus": 3, "in_service": True}]), "xward 0"),
        (ring(motor=[{"bus": 3, "in_service": True}]), "motor 0"),
        (ring(bus_dc=[{"vn_kv": 10.0, "in_service": True}]), "bus_dc 0"),
        (ring(electrolyser=[{"bus": 3, "in_service": True}]), "electrolyser 0"),
        (ring(trafo=[pn.trafo(0, 1), pn.trafo(0, 1, shift_degree=0.0)]), "different phase shift in parallel"),
        (ring(trafo=[pn.trafo(0, 1), pn.trafo(0, 1, tap_pos=3)]), "trafo 0 (0.9700), trafo 1 (1.0450)"),
        (ring(trafo=[pn.trafo(0, 1, tap_dependency_table=True)]), "tap-dependent"),
    ],
    ids=[
        *("PV generator", "xward", "motor", "direct current", "table of one's own", "unequal shifts in parallel"),
        *("unequal taps in parallel", "tap table"),
    ],
)
def test_what_is_not_modelled_is_named(raw: dict[str, Any], said: str):
    """Elements with an effect and no model are refused by name, never dropped."""
    with pytest.raises(UnsupportedError) as error:
        read(raw)
    assert said in str(error.value)


def damaged(kind: str, row: int, **cells: Any) -> dict[str, Any]:
    rows = copy.deepcopy(RING[kind])
    rows[row] |= cells
    return ring(**{kind: rows})


def twice() -> dict[str, Any]:
    """A ring whose loads have a column p_mw twice."""
    raw = ring()
    body = json.loads(raw["_object"]["load"]["_object"])
    body["columns"] = ["p_mw" if c == "q_mvar" else c for c in body["columns"]]
    raw["_object"]["load"]["_object"] = json.dumps(body)
    return raw


BROKEN = {
    "no content": ({"_class": "pandapowerNet", "_module": "pandapower.auxiliary"}, "no content"),
    "no bus": (pn.net({}, ext_grid=[pn.grid(0)]), "the net has no bus"),
    "no source": (ring(ext_grid=[]), "no external grid"),
    "unknown bus": (damaged("line", 1, to_bus=99), "line 1: to_bus = 99 is not a bus"),
    "length missing": (damaged("line", 2, length_km=None), "line 2: length_km has no value"),
    "text for a number": (
        damaged("line", 0, r_ohm_per_km="0,3"),
        "line 0: r_ohm_per_km = '0,3' must be a finite number",
    ),
    "negative": (damaged("line", 0, x_ohm_per_km=-1.0), "line 0: x_ohm_per_km = -1.0 must be a finite number >= 0"),
    "rating of no power": (damaged("trafo", 0, sn_mva=0.0), "trafo 0: sn_mva = 0.0"),
    "resistance above impedance": (damaged("trafo", 0, vkr_percent=12.0), "vkr_percent = 12 exceeds vk_percent = 11.2"),
    "state": (damaged("switch", 0, closed="open"), "switch 0: closed = 'open' must be true or false"),
    "switch at no line": (damaged("switch", 0, element=77), "line 77, which the net does not have"),
    "switch at the wrong bus": (damaged("switch", 0, bus=4), "line 1: a switch of it is at bus 4"),
    "switch of no kind": (damaged("switch", 0, et="x"), "switch 0: et = 'x'"),
    "coupler of two levels": (ring(switch=extended("switch", pn.switch(0, 2, "b"))), "(110 kV) and 2 (20 kV)"),
    "load at no bus": (damaged("load", 0, bus=50), "load 0: bus = 50 is not a bus"),
    "sources at odds": (ring(ext_grid=[pn.grid(0), pn.grid(0, 1.0)]), "differs from another source"),
    "angles at odds": (ring(ext_grid=[pn.grid(0), pn.grid(0) | {"va_degree": 5.0}]), "va_degree = 5.0 differs"),
    "power without value": (damaged("load", 1, p_mw=math.nan), "load 1: p_mw has no value"),
    "reactive power without value": (damaged("load", 2, q_mvar=None), "load 2: q_mvar has no value"),
    "iron losses without value": (damaged("trafo", 0, pfe_kw=None), "trafo 0: pfe_kw has no value"),
    "voltage without value": (damaged("ext_grid", 0, vm_pu=math.nan), "ext_grid 0: vm_pu has no value"),
    "state without value": (damaged("switch", 1, closed=None), "switch 1: closed = None must be true or false"),
    "shares above all": (damaged("load", 0, const_z_p_percent=70.0, const_i_p_percent=60.0), "add up to 130 % of p"),
    "number of 400 digits": (damaged("load", 0, p_mw=10**400), "load 0: p_mw = 1000000000"),
    "column twice": (twice(), "table 'load' is damaged"),
    "frequency": (ring() | {"_object": ring()["_object"] | {"f_hz": "fifty"}}, "f_hz = 'fifty' must be a finite"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_nets(name: str):
    """Tables that break their rules are refused with element, value and rule."""
    raw, said = BROKEN[name]
    with pytest.raises(DataError) as error:
        read(raw)
    assert said in str(error.value)


def test_damaged_tables_and_old_files():
    """A table in another layout, an index that occurs twice, a file of pandapower 1."""
    raw = ring()
    raw["_object"]["line"]["_object"] = '{"columns": ["a"], "index": [0, 1], "data": [[1]]}'
    with pytest.raises(DataError, match="table 'line' is damaged"):
        read(raw)
    raw = ring()
    raw["_object"]["line"] = pn.table(copy.deepcopy(RING["line"]), [0, 1, 1, 3])
    with pytest.raises(DataError, match="line 1 occurs 2 times"):
        read(raw)
    raw["_object"]["version"] = "1.6.1"
    with pytest.raises(UnsupportedError, match=r"pandapower 1\.6\.1"):
        read(raw)


def test_names_and_missing_packages(monkeypatch):
    """An unknown name is bad input; a missing package is said with the command that installs it."""
    with pytest.raises(DataError, match="no function 'mv_nowhere'"):
        load("pandapower:mv_nowhere")
    for package in ("pandapower", "simbench"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UnsupportedError, match=rf"pip install 'learnopt\[{package}\]'"):
            sources.load(f"{package}:anything")
