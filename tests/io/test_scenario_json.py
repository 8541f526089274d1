"""Scenario files: by id, replacing, complete in what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.io.scenario_json import read_scenario_json, read_scenarios_json, scenario_from_dict, scenario_to_dict
from learnopt.network import Scenario


def test_listed_buses_are_replaced_and_others_kept(case33):
    """Loads replace, generation adds, both by id."""
    raw = {"loads": {"18": {"p_kw": 10, "q_kvar": 5}}, "generation": {"33": {"p_kw": 500}, "18": {"q_kvar": 7}}}
    scenario = scenario_from_dict(raw, case33, "s.json")
    kept = np.arange(case33.n_bus) != case33.bus_index["18"]
    np.testing.assert_array_equal(scenario.p_load[kept], case33.p_load[kept])
    np.testing.assert_array_equal(scenario.q_load[kept], case33.q_load[kept])
    k = case33.bus_index["18"]
    assert (scenario.p[k], scenario.q[k]) == pytest.approx((0.010, 0.005 - 0.007))
    k = case33.bus_index["33"]
    assert scenario.p[k] == pytest.approx(case33.p_load[k] - 0.5)


def test_states(case33):
    """Outages and locks become flags of their branches; ids may be written as numbers or texts in the list."""
    raw = {"out_of_service": [3, "7"], "locked": {"33": "closed", "9": "open"}}
    scenario = scenario_from_dict(raw, case33, "s.json")
    assert np.flatnonzero(scenario.out_of_service).tolist() == [2, 6]
    assert scenario.locked[[32, 8]].tolist() == [1, 0]
    assert np.count_nonzero(scenario.locked < 0) == 35


def test_empty_file_is_the_nominal_scenario(case33):
    """Every key is optional; notes are for people."""
    scenario, nominal = scenario_from_dict({"notes": ["a night"]}, case33, "s.json"), Scenario.nominal(case33)
    for field in ("p_load", "q_load", "p_gen", "q_gen", "out_of_service", "locked"):
        np.testing.assert_array_equal(getattr(scenario, field), getattr(nominal, field))


def test_round_trip(case33, tmp_path: Path):
    """A scenario written and read again is the same to rounding."""
    rng = np.random.default_rng(4)
    scenario = Scenario(
        p_load=case33.p_load * rng.uniform(0, 2, case33.n_bus),
        q_load=case33.q_load * rng.uniform(0, 2, case33.n_bus),
        p_gen=np.where(rng.random(case33.n_bus) < 0.2, rng.random(case33.n_bus), 0.0),
        q_gen=np.zeros(case33.n_bus),
        out_of_service=rng.random(case33.n_branch) < 0.1,
        locked=rng.integers(-1, 2, case33.n_branch).astype(np.int8),
        name="noon",
    )
    path = tmp_path / "s.json"
    path.write_text(json.dumps(scenario_to_dict(scenario, case33)))
    again = read_scenario_json(path, case33)
    for field in ("p_load", "q_load", "p_gen", "q_gen"):
        np.testing.assert_allclose(getattr(again, field), getattr(scenario, field), rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(again.out_of_service, scenario.out_of_service)
    np.testing.assert_array_equal(again.locked, scenario.locked)
    assert again.name == "noon"
    assert len(scenario_to_dict(scenario, case33)["loads"]) == case33.n_bus


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("[]", ["the file must be a JSON object"]),
        ('{"load": {}}', ["'load' is not a key of a scenario file; 'loads' is"]),
        ('{"outages": [7]}', ["'outages' is not a key of a scenario file; 'out_of_service' is"]),
        ('{"outof_service": [7]}', ["'outof_service' is not a key of a scenario file; 'out_of_service' is"]),
        (
            '{"timestamp": 1, "Locked": {}}',
            ["'timestamp' is not a key of a scenario file; these are name, loads", "'Locked' is not a key"],
        ),
        (
            '{"scenario": {}, "lock": {}}',
            ["'scenario' is not a key", "'lock' is not a key of a scenario file; 'locked'"],
        ),
        ('{"loads": 5}', ["loads is 5: input should be a valid dictionary"]),
        ('{"loads": {"5": 5}}', ["loads.5 must be a JSON object"]),
        ('{"loads": {"5": {"p_kw": "1"}}}', ['loads.5.p_kw is "1": input should be a valid number']),
        ('{"loads": {"5": {"p": 1}}}', ["loads.5.p is not a known key"]),
        ('{"loads": {"99": {}}}', ["loads: bus '99' is not in network 'case33'"]),
        (
            '{"loads": {"5": {"p_kw": NaN}}, "generation": {"6": {"q_kvar": Infinity}}}',
            ["loads: bus '5': p_kw = nan", "generation: bus '6': q_kvar = inf"],
        ),
        ('{"out_of_service": [99, "x"]}', ["out_of_service: branch 99 is not", "out_of_service: branch 'x' is not"]),
        ('{"out_of_service": "7"}', ['out_of_service is "7": input should be a valid list']),
        ('{"out_of_service": [true]}', ["out_of_service[0] is true"]),
        ('{"locked": {"7": "shut"}}', ["locked.7 is \"shut\": input should be 'open' or 'closed'"]),
        ('{"locked": {"70": "open"}}', ["locked: branch '70' is not in network 'case33'"]),
        ('{"locked": ', ["not JSON"]),
    ],
)
def test_broken_files(case33, tmp_path: Path, text, messages):
    """All violations at once, each by name."""
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        read_scenario_json(path, case33)
    assert len(error.value.violations) == len(messages)
    for message in messages:
        assert message in str(error.value)


def test_file_of_several_scenarios(case33, tmp_path):
    """A list of scenarios keeps order, names and weights; one scenario stays one."""
    entries = [{"name": "noon", "weight": 3, "loads": {"18": {"p_kw": 10}}}, {"loads": {"18": {"p_kw": 20}}}]
    path = tmp_path / "day.json"
    path.write_text(json.dumps({"scenarios": entries}))
    day = read_scenarios_json(path, case33)
    assert [s.name for s in day.scenarios] == ["noon", "day[1]"]
    assert day.weights.tolist() == [0.75, 0.25]
    assert day.mean.p_load[case33.bus_index["18"]] == pytest.approx(0.0125)
    path.write_text(json.dumps(entries[0]))
    assert isinstance(read_scenarios_json(path, case33), Scenario)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"scenarios": []}, "at least one"),
        ({"scenarios": [{"weight": "much"}]}, "scenarios[0]: weight"),
        ({"scenarios": [{"weight": -1}]}, "must be finite and >= 0"),
        ({"scenarios": [{}, {"loads": {"nowhere": {}}}]}, "scenarios[1]: loads: bus 'nowhere'"),
        ({"scenarios": [{}], "loads": {}}, "'loads' beside 'scenarios'"),
        ({"scenarios": [{}, {"locked": {"9": "open"}}]}, "locked must be the same"),
        ({"scenarios": [3]}, "scenarios[0]"),
        ({"scenarios": [{}, {"outages": [7]}]}, "scenarios[1]: 'outages' is not a key of a scenario file"),
        ({"scenarios": [{}, {"loads": {"5": {"p": 1}}}]}, "scenarios[1]: loads.5.p is not a known key"),
        ({"scenarios": [{"weight": 10**400}]}, "scenarios[0]: weight = 1000"),
    ],
)
def test_faults_in_a_file_of_several_scenarios(case33, tmp_path, raw, words):
    """A fault names the scenario it is in."""
    path = tmp_path / "day.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(DataError) as refused:
        read_scenarios_json(path, case33)
    assert words in str(refused.value)
