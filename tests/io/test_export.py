"""Exported switch states: other tools compute the loss that we report."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pandapower_nets as pn
import pytest
from conftest import make_network

from learnopt.errors import DataError
from learnopt.io import network_from_dict
from learnopt.io.export import network_in_state, opendss_script, pandapower_in_state, pandapower_json
from learnopt.io.pandapower.reader import case_from_pandapower_json
from learnopt.network import Network, ReconfigurationProblem
from learnopt.network.open_ends import as_operated
from learnopt.physics import evaluate

OPTIMUM = [7, 9, 14, 32, 37]
RING = pn.net(
    {0: 110.0, 1: 20.0, 2: 20.0, 3: 20.0, 4: 20.0, 5: 20.0},
    ext_grid=[pn.grid(0)],
    trafo=[pn.trafo(0, 1)],
    line=[pn.line(1, 2, length_km=4.0), pn.line(2, 3, length_km=3.0), pn.line(3, 4), pn.line(4, 1, length_km=5.0)],
    switch=[
        *(pn.switch(bus, line, "l") for line, ends in enumerate([(1, 2), (2, 3)]) for bus in ends),
        pn.switch(3, 2, "l", closed=False),
        pn.switch(4, 2, "l", closed=False),
        pn.switch(1, 3, "l"),
        pn.switch(4, 5, "b"),
    ],
    load=[pn.load(2, 2.0, 0.6), pn.load(3, 1.5, 0.4), pn.load(5, 2.5, 0.8)],
)


def test_pandapower_computes_the_loss_that_we_report() -> None:
    """Line 1 opens at one end, line 2 closes at both; nothing else in the file changes."""
    before = copy.deepcopy(RING)
    net = case_from_pandapower_json(RING, "net.json").network
    target = net.configuration(["line 1"])
    written = json.loads(json.dumps(pandapower_in_state(RING, net, target)))
    assert before == RING
    again = case_from_pandapower_json(written, "net.json").network
    assert again.open_ids(again.normal_configuration) == ["line 1"]
    loss, lowest = pn.reference(written)
    judged = evaluate(*as_operated(ReconfigurationProblem.of(net), target))
    assert judged.loss_kw == pytest.approx(loss, rel=1e-4)
    assert judged.min_voltage_pu == pytest.approx(lowest, abs=2e-5)
    rows = [json.loads(each["_object"]["switch"]["_object"])["data"] for each in (RING, written)]
    assert [k for k, (was, now) in enumerate(zip(*rows, strict=True)) if was != now] == [2, 4, 5]
    changed = [kind for kind in RING["_object"] if RING["_object"][kind] != written["_object"][kind]]
    assert changed == ["switch"]


def test_couplers_legs_and_branches_without_a_switch() -> None:
    """A coupler is its own switch, a leg has those of its terminal, a branch without switch goes out of service."""
    raw = pn.net(
        {0: 110.0, 1: 20.0, 2: 10.0, 3: 20.0},
        ext_grid=[pn.grid(0)],
        trafo3w=[pn.trafo3w(0, 1, 2)],
        line=[pn.line(1, 3)],
        switch=[pn.switch(1, 3, "b", closed=False), pn.switch(2, 0, "t3")],
        load=[pn.load(2, 1.0), pn.load(3, 1.0)],
    )
    net = case_from_pandapower_json(raw, "net.json").network
    written = pandapower_in_state(raw, net, net.configuration(["line 0", "trafo3w 0 lv"]))["_object"]
    switches, lines = (json.loads(written[kind]["_object"]) for kind in ("switch", "line"))
    assert [row[switches["columns"].index("closed")] for row in switches["data"]] == [True, False]
    assert lines["data"][0][lines["columns"].index("in_service")] is False


def test_nets_made_by_pandapower_are_written_too() -> None:
    """A net by name becomes a file; another source is no net."""
    raw = pandapower_json("pandapower:mv_oberrhein")
    assert raw is not None
    net = case_from_pandapower_json(raw, "pandapower:mv_oberrhein").network
    assert net.open_ids(net.normal_configuration) == [f"line {i}" for i in (8, 23, 31, 66, 88, 188)]
    assert pandapower_json("case33") is None


def test_case_file_in_the_new_state(case33: Network) -> None:
    """Read again, the case is normally in the configuration written."""
    target = case33.configuration(OPTIMUM)
    again = network_from_dict(json.loads(json.dumps(network_in_state(case33, target))), "f.json")
    assert again.open_ids(again.normal_configuration) == OPTIMUM
    assert evaluate(ReconfigurationProblem.of(again), again.normal_configuration).loss_kw == pytest.approx(
        139.551, abs=1e-3
    )


def test_opendss_computes_the_loss_that_we_report(case33: Network) -> None:
    """The script, run on the feeder in its normal state, leads OpenDSS to our loss."""
    dss = pytest.importorskip("opendssdirect")
    names = tuple(f"cable {i}" if i % 2 else "" for i in case33.branch_ids)  # names with blanks, and none
    net = replace(case33, branch_names=names)
    kw, z = net.base.kw, net.base.z_base
    dss.Text.Command("clear")
    dss.Text.Command(
        f"new circuit.feeder bus1={net.bus_ids[net.substations[0]]} basekv={net.base.v_base} pu=1.0 "
        "r1=0 x1=1e-9 r0=0 x0=1e-9"
    )
    for e in range(net.n_branch):
        name = names[e] or str(net.branch_ids[e])
        dss.Text.Command(
            f"new 'line.{name}' bus1={net.bus_ids[net.from_bus[e]]} bus2={net.bus_ids[net.to_bus[e]]} length=1 "
            f"r1={net.r[e] * z} x1={net.x[e] * z} r0={net.r[e] * z} x0={net.x[e] * z} c1=0 c0=0"
        )
        if net.normally_open[e]:
            dss.Text.Command(f"open 'line.{name}' term=1")
    for k in np.flatnonzero(net.p_load):
        dss.Text.Command(
            f"new load.{k} bus1={net.bus_ids[k]} kv={net.base.v_base} kw={net.p_load[k] * kw} "
            f"kvar={net.q_load[k] * kw} model=1 vminpu=0.5"
        )
    target = net.configuration(OPTIMUM)
    moved = np.flatnonzero(target.closed != net.normal_configuration.closed)
    for command in opendss_script(net, [(int(e), bool(target.closed[e])) for e in moved]).splitlines():
        dss.Text.Command(command)
    dss.Text.Command("set tolerance=1e-8")
    dss.Text.Command("solve")
    assert dss.Solution.Converged()
    assert dss.Circuit.Losses()[0] / 1e3 == pytest.approx(139.551, rel=1e-4)


def test_no_name_escapes_its_quotes_or_its_comment() -> None:
    """Ids become one command each; what OpenDSS cannot read in any quotes is refused by name."""
    hostile = "1\nclear"
    net = make_network([(0, "a\nclear", 1, 1, {"id": "x y"}), (0, "b", 1, 1, {"id": hostile})], {"b": (1, 0)})
    script = opendss_script(net, [(0, False)])
    assert script.splitlines()[1:] == ["open 'Line.x y' term=1  ! branch x y: 0 - a clear"]
    with pytest.raises(DataError, match="plain one"):
        opendss_script(net, [(1, True)])
    quotes = replace(net, branch_names=("\"'()[]{}", ""))
    with pytest.raises(DataError):
        opendss_script(quotes, [(0, True)])
    prefixed = make_network([(0, 1, 1, 1, {"id": "Line.650632 + line.b"})], {1: (1, 0)})
    commands = [line.split("  !")[0] for line in opendss_script(prefixed, [(0, True)]).splitlines()[1:]]
    assert commands == ["close Line.650632 term=1", "close line.b term=1"]
