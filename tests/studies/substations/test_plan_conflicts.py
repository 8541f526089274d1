"""Why there is no plan: the demand or the limit that cannot be met is named, with a proven amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learnopt.network import Status
from learnopt.network.expansion import ExpansionProblem, LineType, Route, Site, Stage, SubstationSize
from learnopt.studies.substations.engine import plan_substations


def street(**changes: object) -> ExpansionProblem:
    """One site feeds 2 MVA, then 1 MVA, over two routes of 1 km; everything is just large enough."""
    problem = ExpansionProblem(
        name="street",
        currency="k",
        kv=10.0,
        power_factor=1.0,
        sizes=(SubstationSize("3 MVA", 3.0, 10.0, transformers=2),),
        sites=(Site("A", (0,), 1),),
        demand_ids=("near", "far"),
        coordinates=np.array([[0.0, 0], [1, 0], [2, 0]]),
        line_types=(LineType("line", 3.0, 1.0, r=0.1),),
        routes=(Route("first", (0, 1), 1.0, (0,)), Route("second", (1, 2), 1.0, (0,))),
        stages=(Stage("all years", np.array([2.0, 1.0])),),
        max_substations=1,
    )
    return problem.replace(**changes)


def test_the_street_can_be_planned() -> None:
    """Without a change there is a plan: what follows is due to the change."""
    assert plan_substations(street()).status is Status.OPTIMAL


CASES = {
    "substation too small": (
        {"sizes": (SubstationSize("2 MVA", 2.0, 10.0),)},
        ["at least 1 MVA of 3 MVA", "'2 MVA' at site 'A' delivers 3 MVA instead of 2 MVA"],
    ),
    "line too thin": (
        {"line_types": (LineType("wire", 2.5, 1.0),)},
        ["at least 0.5 MVA of 3 MVA", "line 'wire' on route 'first' carries 3 MVA instead of 2.5 MVA"],
    ),
    "no way to a demand": (
        {"routes": (Route("first", (0, 1), 1.0, (0,)),)},
        ["demand 'far' has no way over the routes to any site"],
    ),
    "no exit": ({"sites": (Site("A", (0,), 0),)}, ["at least 3 MVA of 3 MVA"]),
    "too much loss": (
        {"loss_limit_percent": 0.1},
        ["Then the lines lose 0.33"],
    ),
    "no firm power": ({"n_minus_1": True}, ["1.5 MVA more are left when site 'A' loses a transformer"]),
}


@pytest.mark.parametrize("name", CASES)
def test_conflicts_are_named(name: str) -> None:
    """Every way to be infeasible says what is short and by how much."""
    changes, expected = CASES[name]
    result = plan_substations(street(**changes))
    assert result.status is Status.INFEASIBLE
    assert result.dual_bound is None
    for sentence in expected:
        assert any(sentence in found for found in result.conflicts), result.conflicts


def test_number_of_substations() -> None:
    """Two distant demands, one substation allowed: the number is what gives."""
    two = street(
        sites=(Site("A", (0,), 1), Site("B", (0,), 1)),
        coordinates=np.zeros((4, 2)),
        routes=(Route("a", (0, 2), 1.0, (0,)), Route("b", (1, 3), 1.0, (0,))),
    )
    result = plan_substations(two)
    assert result.status is Status.INFEASIBLE
    assert any("there are 2 substations, 1 may be" in found for found in result.conflicts), result.conflicts
    assert plan_substations(two.replace(max_substations=2)).status is Status.OPTIMAL


def test_the_stage_is_named() -> None:
    """Demand that grows beyond the substation fails in the later stage only."""
    stages = (Stage("now", np.array([2.0, 1.0])), Stage("later", np.array([2.5, 1.0])))
    result = plan_substations(street(stages=stages, line_types=(replace(street().line_types[0], capacity_mva=9.0),)))
    assert result.status is Status.INFEASIBLE
    assert any("in stage 'later'" in found for found in result.conflicts), result.conflicts
    assert not any("in stage 'now'" in found for found in result.conflicts)
