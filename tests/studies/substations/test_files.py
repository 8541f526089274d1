"""Planning files: what the sample holds, defaults, stages, and every mistake reported at once."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.io.planning import load_planning, planning_from_dict

SMALL: dict[str, Any] = {
    "name": "small",
    "base_kv": 20.0,
    "substation_sizes": [{"name": "10", "capacity_mva": 10.0, "fixed_cost": 5.0}],
    "sites": [{"id": "A"}],
    "demands": [{"id": 1, "mva": 2.0, "x_km": 3.0, "y_km": 4.0}, {"id": 2, "mva": 1.0, "x_km": 3.0}],
    "line_types": [{"name": "wire", "capacity_mva": 5.0, "fixed_cost_per_km": 1.0}],
    "routes": [{"id": "r", "from": "A", "to": 1}, {"id": "s", "from": 1, "to": 2, "length_km": 7.0}],
}


def changed(**changes: Any) -> dict[str, Any]:
    """The small file with other values; None takes a key out."""
    raw = copy.deepcopy(SMALL) | changes
    return {key: value for key, value in raw.items() if value is not None}


def test_sample() -> None:
    """The seed's data: 29 MVA at seven nodes, 14 routes, 19 links."""
    problem = load_planning("turkay")
    assert problem.total_mva(0) == 29.0
    assert (len(problem.sites), len(problem.demand_ids), len(problem.routes), len(problem.links)) == (2, 7, 14, 19)


def test_defaults() -> None:
    """Lengths come from the map where none is given; one stage; every size, line, exit and site allowed."""
    problem = planning_from_dict(SMALL, "small")
    assert [route.length_km for route in problem.routes] == [5.0, 7.0]
    assert (problem.max_substations, problem.sites[0].exits, len(problem.stages)) == (1, 2, 1)
    assert problem.stages[0].fixed_factor == problem.stages[0].variable_factor == 1.0


def test_stages() -> None:
    """Demands of a stage grow or are listed; factors are present worths of a start and of years."""
    stages = [
        {"name": "now", "years": 5.0},
        {"name": "later", "start_year": 5.0, "years": 5.0, "growth": 1.5, "demands": {"2": 9.0}},
    ]
    problem = planning_from_dict(changed(stages=stages, interest_percent=10.0), "small")
    np.testing.assert_allclose(problem.stages[1].demand, [3.0, 9.0])
    assert problem.stages[0].variable_factor == pytest.approx(sum(1.1**-n for n in range(1, 6)))
    assert problem.stages[1].fixed_factor == pytest.approx(1.1**-5)
    assert problem.stages[1].variable_factor == pytest.approx(sum(1.1**-n for n in range(6, 11)))


BROKEN: dict[str, tuple[dict[str, Any], list[str]]] = {
    "two wrong prices": (
        {
            "substation_sizes": [{"name": "10", "capacity_mva": 0.0, "fixed_cost": -5.0}],
            "line_types": [{"name": "wire", "capacity_mva": float("nan"), "fixed_cost_per_km": 1.0}],
        },
        ["capacity_mva = 0.0", "fixed_cost = -5.0", "capacity_mva = nan"],
    ),
    "unknown names": (
        {
            "sites": [{"id": "A", "sizes": ["20"]}],
            "routes": [{"id": "r", "from": "A", "to": 9, "line_types": ["rope"]}],
        },
        ["no substation size '20'", "9 is neither a site nor a demand", "no line type 'rope'"],
    ),
    "ids twice": (
        {"demands": [{"id": "A", "mva": 1.0}, {"id": 1}, {"id": 1}]},
        ["node 'A' occurs 2 times", "node '1' occurs 2 times"],
    ),
    "misspelt key": ({"max_substation": 1}, ["max_substation is not a known key", "looks like 'max_substations'"]),
    "misspelt price": (
        {"line_types": [{"name": "wire", "capacity_mva": 5.0, "fixed_cost_per_km": 1.0, "variable_cost": 3}]},
        ["variable_cost is not a known key"],
    ),
    "missing": ({"demands": None, "base_kv": None}, ["demands is missing", "base_kv is missing"]),
    "nothing": ({"sites": [], "routes": []}, ["sites is empty", "routes is empty"]),
    "no length": (
        {"routes": [{"id": "s", "from": 1, "to": 1}, {"id": "t", "from": "A", "to": 2, "length_km": 0.0}]},
        ["from and to are both 1", "length_km = 0.0"],
    ),
    "general": (
        {
            "power_factor": 1.2,
            "max_substations": 0,
            "emergency_loading": 0.5,
            "loss_limit_percent": -1.0,
            "voltage_limits": {"vmin_pu": 1.1, "vmax_pu": 0.9},
        },
        ["power_factor = 1.2", "max_substations = 0", "emergency_loading = 0.5", "loss_limit_percent", "exceeds"],
    ),
    "stages": (
        {
            "stages": [
                {"name": "a", "years": 5.0, "demands": {"7": 1.0}},
                {"name": "a", "start_year": 3.0, "years": -1.0},
            ]
        },
        [
            "'7' is not a demand",
            "stage 'a' occurs 2 times",
            "lies before the end of the stage before, 5",
            "years = -1.0",
        ],
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_mistake_is_reported(name: str) -> None:
    """One sentence per mistake, all at once, and only a DataError."""
    changes, expected = BROKEN[name]
    with pytest.raises(DataError) as refused:
        planning_from_dict(changed(**changes), "small.json")
    for sentence in expected:
        assert any(sentence in violation for violation in refused.value.violations), refused.value.violations


def test_no_such_file() -> None:
    """The names of the samples are listed."""
    with pytest.raises(DataError, match="turkay"):
        load_planning("none.json")
