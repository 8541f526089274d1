"""pandapower as the source tool: its power flow of a state is the judge's."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandapower_nets as pn
import pytest
from test_pandapower import NETS, RING, ring

from learnopt.io import load
from learnopt.io.export import pandapower_in_state
from learnopt.io.pandapower.reader import case_from_pandapower_json
from learnopt.io.sources import load_with_source
from learnopt.network import Configuration, ReconfigurationProblem, Scenario, Settings
from learnopt.physics import evaluate


@pytest.mark.parametrize("name", NETS)
def test_present_state(name: str) -> None:
    """Loss, lowest voltages, loading and what the sources give, for every kind of element."""
    loaded = case_from_pandapower_json(NETS[name], "net.json").loaded
    net = loaded.network
    assert loaded.source is not None
    state = loaded.source.state(net, net.normal_configuration)
    judged = evaluate(ReconfigurationProblem.of(net), net.normal_configuration)
    assert state.converged, state.reason
    assert state.loss_kw == pytest.approx(judged.loss_kw, rel=1e-3 if name == "constant current" else 1e-6)
    places = {str(bus): k for k, bus in enumerate(net.bus_ids)}
    for bus, vm in state.vm.items():
        assert judged.vm[places[bus]] == pytest.approx(vm, abs=1e-4 if name == "constant current" else 1e-6)
    assert state.max_loading == pytest.approx(np.nanmax(judged.loading), rel=1e-3)
    assert set(state.heads_kw) == {str(net.bus_ids[k]) for k in net.substations}
    shunts = net.base.kw * float((net.g_shunt * judged.vm**2).sum())
    p = net.base.kw * float(net.p_load.sum())
    assert sum(state.heads_kw.values()) == pytest.approx(p + shunts + judged.loss_kw, rel=1e-3)
    assert ("voltage-dependent" in " ".join(loaded.explained)) == name.startswith("constant")


def test_switches_taps_and_loads_are_set() -> None:
    """Another configuration, another tap, other loads, an outage; the tables stay as they are."""
    raw = ring(trafo=[pn.trafo(0, 1, tap_side="lv"), pn.trafo(0, 1, in_service=False)])
    loaded = case_from_pandapower_json(raw, "net.json").loaded
    net, tool = loaded.network, loaded.source
    assert tool is not None
    problem = ReconfigurationProblem.of(net, controls=net.controls)
    (tap,) = net.controls.taps
    assert tap.positions is not None
    base = tool.state(net, net.normal_configuration)
    for open_id, position in (("line 1", 3), ("line 3", 12)):
        settings = Settings((float(tap.positions[position]),))
        configuration = net.configuration([open_id])
        found = tool.state(net, configuration, settings)
        expected = evaluate(problem.applied(settings), configuration)
        # pandapower's impedance follows a tap on the low-voltage side.
        assert min(found.vm.values()) == pytest.approx(expected.min_voltage_pu, abs=0.01)
        assert found.loss_kw != pytest.approx(base.loss_kw, rel=1e-3)
        written = pandapower_in_state(raw, net, configuration, settings)
        loss, lowest = pn.reference(written)
        assert found.loss_kw == pytest.approx(loss, rel=1e-6)
        assert min(found.vm.values()) == pytest.approx(lowest, abs=1e-6)
    heavy = replace(Scenario.nominal(net), p_load=1.5 * net.p_load, p_gen=0.2 * net.p_load)
    found = tool.state(net, net.normal_configuration, scenario=heavy)
    judged = evaluate(ReconfigurationProblem.of(net, scenario=heavy), net.normal_configuration)
    assert found.loss_kw == pytest.approx(judged.loss_kw, rel=1e-6)
    assert found.load_kw == pytest.approx(1.5 * base.load_kw)
    assert found.generation_kw == pytest.approx(0.2 * base.load_kw)
    assert tool.state(net, net.normal_configuration) == base


def test_what_does_not_converge_is_said() -> None:
    """Far too much load."""
    loads: list[dict[str, Any]] = copy.deepcopy(RING["load"])
    loads[0]["p_mw"] = 5000.0
    loaded = case_from_pandapower_json(ring(load=loads), "net.json").loaded
    assert loaded.source is not None
    state = loaded.source.state(loaded.network, loaded.network.normal_configuration)
    assert not state.converged
    assert "does not converge" in state.reason


def test_every_way_to_a_net_has_its_tool(tmp_path: Path) -> None:
    """A file, a network of pandapower; older files too. A case file has none."""
    path = tmp_path / "net.json"
    path.write_text(json.dumps(NETS["ring"]), encoding="utf-8")
    for source in (str(path), "pandapower:create_cigre_network_mv"):
        loaded = load_with_source(source)
        assert loaded.source is not None
        assert loaded.source.name == "pandapower"
        state = loaded.source.state(loaded.network, Configuration(~loaded.network.normally_open))
        assert state.converged, state.reason
    assert load_with_source("case33").source is None
    assert load("case33").n_bus == 33
