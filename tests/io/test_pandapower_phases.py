"""pandapower nets with unequal phases: its own ``runpp_3ph`` against the circuit that is written of what was read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import learnopt
from learnopt.io import network_from_dict, network_to_dict
from learnopt.io.opendss.exported import ExportedTool
from learnopt.io.pandapower.reader import PandapowerCase, network_from_pandapower
from learnopt.network import Scenario

pandapower = pytest.importorskip("pandapower")
pytest.importorskip("opendssdirect")
LINE = {"r0_ohm_per_km": 1.4, "x0_ohm_per_km": 1.1, "c0_nf_per_km": 120.0}


def _net(group: str = "Dyn", iron: float = 0.0) -> Any:
    """A ring at 20 kV, every line with a switch, and a transformer to a line at 0.4 kV; loads of all types."""
    net = pandapower.create_empty_network(f_hz=50)
    mv = [pandapower.create_bus(net, 20.0) for _ in range(4)]
    lv = [pandapower.create_bus(net, 0.4) for _ in range(2)]
    pandapower.create_ext_grid(net, mv[0], vm_pu=1.02, s_sc_max_mva=500.0, rx_max=0.1, r0x0_max=0.2, x0x_max=1.5)
    for k in range(4):
        pandapower.create_line_from_parameters(
            net, mv[k], mv[(k + 1) % 4], 1.0 + k, 0.4 + 0.1 * k, 0.35, 200.0, 0.4, **LINE
        )
        pandapower.create_switch(net, mv[k], k, et="l", closed=k != 3)
    pandapower.create_transformer_from_parameters(
        net, mv[2], lv[0], 0.4, 20.0, 0.4, 1.2, 6.0, iron, iron, shift_degree=150.0 if group == "Dyn" else 0.0,
        vector_group=group, vk0_percent=6.0, vkr0_percent=1.2, mag0_percent=100.0, mag0_rx=0.1, si0_hv_partial=0.9,
    )  # fmt: skip
    pandapower.create_line_from_parameters(
        net, lv[0], lv[1], 0.1, 0.3, 0.08, 0.0, 0.4, r0_ohm_per_km=1.0, x0_ohm_per_km=0.3, c0_nf_per_km=0.0
    )
    pandapower.create_asymmetric_load(net, mv[1], 0.5, 0.1, 0.3, q_a_mvar=0.1, q_b_mvar=0.05, type="wye")
    pandapower.create_asymmetric_load(net, mv[3], 0.1, 0.4, 0.2, q_c_mvar=0.1, type="delta", scaling=1.5)
    pandapower.create_asymmetric_load(net, lv[1], p_a_mw=0.05, p_b_mw=0.01, q_a_mvar=0.01)
    pandapower.create_asymmetric_sgen(net, lv[0], p_c_mw=0.02)
    pandapower.create_load(net, mv[2], 0.4, 0.1)
    pandapower.create_sgen(net, mv[3], 0.1)
    pandapower.create_storage(net, mv[1], 0.05, 1.0)
    return net


def _read(net: Any) -> PandapowerCase:
    return network_from_pandapower(net)


@pytest.mark.parametrize(
    ("group", "iron", "within"), [("Dyn", 0.0, 2e-6), ("YNyn", 0.0, 2e-6), ("Dyn", 0.3, 1e-4)], ids=str
)
def test_both_power_flows_agree_in_all_phases(group: str, iron: float, within: float):
    """Loss, power drawn and the lowest phase of every bus; iron losses stand at one winding in OpenDSS."""
    case = _read(_net(group, iron))
    net, loaded = case.network, case.loaded
    assert loaded.source is not None
    assert "read in all its phases" in " ".join(case.notes)
    rng = np.random.default_rng(0)
    nominal = Scenario.nominal(net)
    other = Scenario(name="other", p_load=nominal.p_load * rng.uniform(0.5, 1.0, net.n_bus), q_load=nominal.q_load,
                     p_gen=nominal.p_gen, q_gen=nominal.q_gen, out_of_service=nominal.out_of_service,
                     locked=nominal.locked)  # fmt: skip
    for configuration, scenario in ((net.normal_configuration, None), (net.configuration(["line 1"]), other)):
        theirs = loaded.source.state(net, configuration, scenario=scenario)
        ours = ExportedTool(net).state(net, configuration, scenario=scenario)
        assert theirs.converged, theirs.reason
        assert ours.loss_kw == pytest.approx(theirs.loss_kw, rel=within)
        assert ours.heads_kw["0"] == pytest.approx(theirs.heads_kw["0"], rel=1e-5)
        assert len(ours.vm.keys() & theirs.vm.keys()) == 5  # all but the source; OpenDSS has loose ends beside
        for bus in ours.vm.keys() & theirs.vm.keys():
            vm = ours.vm[bus]
            assert vm == pytest.approx(theirs.vm[bus], abs=1e-6 + 2 * (within - 2e-6))


def test_the_answer_is_set_in_pandapower_as_well(tmp_path: Any):
    """Judged by OpenDSS, told beside what pandapower finds; a case file of it has the same phases."""
    path = tmp_path / "net.json"
    pandapower.to_json(_net(), str(path))
    answer = learnopt.solve(path)
    told = answer.origin.source
    assert answer.result.phases is not None
    assert answer.result.phases.tool == "OpenDSS"
    assert (told.name, told.reason) == ("pandapower", "")
    assert told.difference == pytest.approx(0.0, abs=2e-6)
    checked = learnopt.check(path)
    assert checked.origin.source.difference == pytest.approx(0.0, abs=2e-6)
    case = network_to_dict(answer.problem.network)
    again = network_from_dict(json.loads(json.dumps(case)), "again")
    state = ExportedTool(again).state(again, answer.configuration)
    assert state.loss_kw == pytest.approx(answer.loss_kw, rel=1e-7)


@pytest.mark.parametrize(
    ("kind", "row", "column", "value", "said"),
    [
        ("line", 2, "x0_ohm_per_km", np.nan, "line 2 has no x0_ohm_per_km"),
        ("trafo", 0, "vector_group", "Yzn", "trafo 0 has the vector group Yzn, in phases there are YNyn and Dyn"),
        ("trafo", 0, "mag0_percent", np.nan, "trafo 0 has no mag0_percent"),
        ("trafo", 0, "shift_degree", 45.0, "branch 'trafo 0': shift_deg = 45 is no shift of Dyn"),
        ("line", 0, "g_us_per_km", 3.0, "line 0 has a conductance"),
    ],
)
def test_what_is_missing_is_named_and_the_net_read_as_balanced(kind: str, row: int, column: str, value: Any, said: str):
    """No value is made up: the balanced equivalent is solved, and every answer says that it is one."""
    net = _net()
    net[kind].loc[row, column] = value
    case = _read(net)
    assert case.network.phases is None
    assert any(
        note == f"read as a balanced network, not in all its phases: {said}" or said in note for note in case.notes
    )
    assert any(one.startswith("imbalance") for one in case.explained)
    assert case.network.p_load.sum() == pytest.approx(_read(_net()).network.p_load.sum())


def test_a_source_without_short_circuit_power_is_stiff_and_that_is_said():
    """Pandapower computes no phases without; OpenDSS does, with the assumption in words."""
    net = _net()
    del net.ext_grid["s_sc_max_mva"]
    case = _read(net)
    assert case.network.phases is not None
    assert "external grids without s_sc_max_mva" in " ".join(case.notes)


def test_less_impedance_in_the_zero_sequence_is_named_and_read_as_balanced():
    """It would be left out otherwise, and the loss be another one than that of ``runpp_3ph``."""
    net = _net("YNyn")
    net.trafo["vk0_percent"] = 3.0
    case = _read(net)
    assert case.network.phases is None
    assert any("less impedance in the zero sequence (vk0_percent = 3" in note for note in case.loaded.notes)
