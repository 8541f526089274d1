"""Small conductor problems, and every plan of one: the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from learnopt.io import network_from_dict
from learnopt.network import Configuration, Limits, ReconfigurationProblem
from learnopt.network.conductors import Conductor, ConductorPlan, ConductorProblem, EnergyCosts
from learnopt.physics import power_flow
from learnopt.studies.conductors.engine import assess
from tests.instances import all_configurations

COSTS = EnergyCosts("unit", 0.06, 0.4, 8760.0, 0.08, 25.0)
CATALOGUE = (
    Conductor("thin", 1.6, 0.37, 140.0, 800.0),
    Conductor("middle", 0.7, 0.34, 240.0, 2000.0),
    Conductor("thick", 0.26, 0.32, 450.0, 4800.0),
)


def small_problem(
    rng: np.random.Generator,
    *,
    n_bus: int = 6,
    extra: int = 2,
    vm_min: float | None = 0.93,
    generation: bool = False,
    charging: bool = False,
    **rules: object,
) -> ConductorProblem:
    """A tree with some ties, loads that make conductors matter, one catalogue."""
    branches = [(int(rng.integers(0, k)), k) for k in range(1, n_bus)]
    while len(branches) < n_bus - 1 + extra:
        a, b = (int(k) for k in rng.choice(n_bus, 2, replace=False))
        branches.append((a, b))
    sign = np.where(rng.random(n_bus) < 0.3, -1.0, 1.0) if generation else np.ones(n_bus)
    case = {
        "name": "small",
        "base_kv": 11.0,
        "substations": [0],
        "buses": [
            {"id": k, "p_kw": float(sign[k] * rng.uniform(50, 900)), "q_kvar": float(rng.uniform(10, 400))}
            for k in range(n_bus)
        ],
        "branches": [
            {"id": e, "from": a, "to": b, "r_ohm": 1.0, "x_ohm": 1.0, "normally_open": e >= n_bus - 1,
             "b_us": float(rng.uniform(0, 200)) if charging else 0.0}
            for e, (a, b) in enumerate(branches)
        ],
    }  # fmt: skip
    network = network_from_dict(case, "small")
    feeder = ReconfigurationProblem.of(network, limits=Limits(vm_min, 1.05 if generation else 1.0, True, True))
    return ConductorProblem(
        feeder=feeder,
        catalogue=CATALOGUE,
        length_km=rng.uniform(0.3, 3.0, len(branches)),
        installed=np.ones(len(branches), dtype=np.int64),
        allowed=np.ones((len(branches), len(CATALOGUE)), dtype=bool),
        costs=COSTS,
        **rules,  # type: ignore[arg-type]
    )


def plans_of(problem: ConductorProblem, configuration: Configuration) -> Iterator[ConductorPlan]:
    """Every choice of conductors for the closed branches; open ones get the cheapest."""
    used = np.flatnonzero(configuration.closed)
    for choice in product(*(np.flatnonzero(problem.options[e]) for e in used)):
        conductor = np.where(problem.options, problem.investment, np.inf).argmin(axis=1)
        conductor[used] = choice
        yield ConductorPlan(configuration, conductor)


def follows_rule(problem: ConductorProblem, plan: ConductorPlan) -> bool:
    """No closed branch is thicker than the one that feeds it."""
    flow = power_flow(problem.equipped(plan.conductor), plan.configuration)
    for k in np.flatnonzero(flow.parent >= 0):
        above = int(flow.parent[k])
        if flow.parent[above] >= 0 and plan.conductor[flow.feed[k]] > plan.conductor[flow.feed[above]]:
            return False
    return True


def cost_of(problem: ConductorProblem, plan: ConductorPlan) -> float:
    """Annual cost by the sweep; infinite where the judge or a rule objects."""
    evaluation, reasons = assess(problem, plan)
    if reasons or not evaluation.converged:
        return np.inf
    if problem.no_thicker_downstream and not follows_rule(problem, plan):
        return np.inf
    return problem.investment_cost(plan.conductor) + problem.costs.per_kw * evaluation.loss_kw


def least_costs(problem: ConductorProblem) -> list[tuple[Configuration, float]]:
    """Of every radial configuration the least cost of all choices of conductors."""
    return [
        (c, min(cost_of(problem, plan) for plan in plans_of(problem, c))) for c in all_configurations(problem.feeder)
    ]
