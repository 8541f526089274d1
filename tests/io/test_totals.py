from __future__ import annotations

from pathlib import Path

import numpy as np
import pandapower_nets as pn
import pytest
from conftest import make_network

from learnopt.io import network_from_dict
from learnopt.io.case_json import network_to_dict
from learnopt.io.pandapower.reader import case_from_pandapower_json
from learnopt.io.profiles.reader import profiles_of_table
from learnopt.io.scenario_json import scenario_from_dict, scenario_to_dict
from learnopt.network import Network, ReconfigurationProblem, Scenario
from learnopt.network.totals import totals
from learnopt.physics import evaluate
from learnopt.studies.inspection.inspection import inspect_network


@pytest.fixture
def sunny() -> Network:
    """Two buses: 1 draws 100 kW beside 40 kW of PV, 2 draws 60 kW and an impedance of 20 kW."""
    raw = network_to_dict(make_network([(0, 1, 1, 1), (1, 2, 1, 1)], {1: (60, 20), 2: (60, 15)}))
    raw["buses"][1] |= {"p_gen_kw": 40.0}
    raw["buses"][2] |= {"shunt_p_kw": 20.0}
    return network_from_dict(raw, "sunny")


def test_one_count_for_inspection_report_and_json(sunny: Network) -> None:
    """Gross load with impedances, generation though the net load of its bus is positive, and net."""
    found = totals(sunny)
    assert (found.load_kw, found.generation_kw, found.net_kw) == pytest.approx((180.0, 40.0, 140.0))
    facts = inspect_network(sunny).facts
    assert {k: facts[k] for k in found.to_dict()} == found.to_dict()
    again = network_from_dict(network_to_dict(sunny), "again")
    assert totals(again) == found
    nominal = Scenario.nominal(sunny)
    assert np.allclose(nominal.p, sunny.p_load)
    assert evaluate(ReconfigurationProblem.of(sunny), sunny.normal_configuration).converged


def test_pv_of_a_pandapower_net_is_generation() -> None:
    """A static generator beside a load is told apart, and the net load stays the difference."""
    raw = pn.net(
        {0: 20.0, 1: 20.0},
        ext_grid=[pn.grid(0)],
        line=[pn.line(0, 1)],
        load=[pn.load(1, 2.0, 0.5)],
        sgen=[{"bus": 1, "p_mw": 3.7, "q_mvar": 0.0, "scaling": 1.0, "in_service": True}],
    )
    found = totals(case_from_pandapower_json(raw, "net.json").network)
    assert (found.load_kw, found.generation_kw, found.net_kw) == pytest.approx((2000.0, 3700.0, -1700.0))


def test_a_scenario_written_is_the_scenario_read(sunny: Network) -> None:
    """Loads given replace what the file has at a bus, generation is added; both survive the way to a file and back."""
    one = scenario_from_dict({"generation": {"2": {"p_kw": 5.0}}}, sunny, "s")
    assert totals(sunny, one).generation_kw == pytest.approx(45.0)
    again = scenario_from_dict(scenario_to_dict(one, sunny), sunny, "s")
    for key in ("p_load", "q_load", "p_gen", "q_gen"):
        assert np.allclose(getattr(again, key), getattr(one, key))
    other = scenario_from_dict({"loads": {"1": {"p_kw": 70.0}}}, sunny, "s")
    assert other.p[1] * sunny.base.kw == pytest.approx(70.0)


def test_scale_moves_loads_only(sunny: Network, tmp_path: Path) -> None:
    """Generation stays, or follows a column of its own; that is told."""
    table = tmp_path / "day.csv"
    table.write_text("time,scale\n2024-06-01 00:00,1\n2024-06-01 01:00,0.5\n", encoding="utf-8")
    found = profiles_of_table(table, sunny)
    kw = sunny.base.kw
    assert (found.p[1, 1:] * kw).tolist() == pytest.approx([50.0 - 40.0, 30.0])
    assert any("generation of 1 bus stays" in note for note in found.notes)
    assert totals(sunny, found.scenario(1)).generation_kw == pytest.approx(40.0)
    table.write_text("time,scale,1.gen_kw\n2024-06-01 00:00,1,40\n2024-06-01 01:00,0.5,10\n", encoding="utf-8")
    found = profiles_of_table(table, sunny)
    assert (found.p[1, 1:] * kw).tolist() == pytest.approx([50.0 - 10.0, 30.0])
    table.write_text("time,scale,generation_scale\n2024-06-01 00:00,1,1\n2024-06-01 01:00,2,0\n", encoding="utf-8")
    found = profiles_of_table(table, sunny)
    assert (found.p[1, 1:] * kw).tolist() == pytest.approx([200.0, 120.0])


def test_a_net_value_that_is_scaled_is_told(tmp_path: Path) -> None:
    """A bus that feeds in, of which nobody says what is load and what generation."""
    net = make_network([(0, 1, 1, 1)], {1: (-60, 0)})
    table = tmp_path / "day.csv"
    table.write_text("time,scale\n2024-06-01 00:00,1\n2024-06-01 01:00,0.5\n", encoding="utf-8")
    assert any("net value" in note for note in profiles_of_table(table, net).notes)
    assert totals(net).generation_kw == pytest.approx(60.0)
