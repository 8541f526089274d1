"""The checker sees every rule that a plan can break."""

from __future__ import annotations

from dataclasses import replace

import pytest

from learnopt.io.planning import load_planning
from learnopt.network.expansion import ExpansionProblem, LossTangent
from learnopt.studies.substations.check import check_plan
from learnopt.studies.substations.engine import plan_substations
from learnopt.studies.substations.plan import BuiltLine, BuiltSubstation, ExpansionPlan, Flow

PROBLEM = load_planning("turkay").replace(radial=True)
PLAN = plan_substations(PROBLEM).plan
assert PLAN is not None


def sized(mva: float) -> ExpansionProblem:
    return PROBLEM.replace(sizes=(replace(PROBLEM.sizes[0], capacity_mva=mva),))


BROKEN: dict[str, tuple[ExpansionProblem, ExpansionPlan, str]] = {
    "demand not met": (PROBLEM, replace(PLAN, flows=PLAN.flows[:-1]), "needs"),
    "substation too small": (sized(28.0), PLAN, "delivers 29"),
    "no substation": (PROBLEM, replace(PLAN, substations=()), "0 may"),
    "line too thin": (
        PROBLEM.replace(line_types=(replace(PROBLEM.line_types[0], capacity_mva=7.0),)),
        PLAN,
        "its line 7 MVA",
    ),
    "line not built": (PROBLEM, replace(PLAN, lines=PLAN.lines[1:]), "is not built"),
    "built twice": (PROBLEM, replace(PLAN, substations=PLAN.substations * 2), "is built twice"),
    "too many substations": (
        PROBLEM.replace(max_substations=1),
        replace(PLAN, substations=(*PLAN.substations, BuiltSubstation(1, 0, 0))),
        "at most 1 may be",
    ),
    "too many exits": (PROBLEM.replace(sites=(replace(PROBLEM.sites[0], exits=3), PROBLEM.sites[1])), PLAN, "3 may"),
    "not radial": (
        PROBLEM,
        replace(
            PLAN,
            lines=(*PLAN.lines, BuiltLine(13, 0, 0)),
            flows=(*PLAN.flows, Flow(0, 13, *PROBLEM.routes[13].ends, 0.0)),
        ),
        "not radial",
    ),
    "too much loss": (PROBLEM.replace(loss_tangent=LossTangent(0.0, 0.2)), PLAN, "at most 4.17600 MW"),
    "N-1": (PROBLEM.replace(n_minus_1=True), PLAN, "4.0000 MVA cannot be supplied"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_rules_are_found(name: str) -> None:
    """Each plan breaks one rule."""
    problem, plan, said = BROKEN[name]
    found = check_plan(problem, plan)
    assert any(said in sentence for sentence in found), found


def test_a_good_plan_breaks_none() -> None:
    """The plan that the others are made from is in order."""
    assert check_plan(PROBLEM, PLAN) == []
