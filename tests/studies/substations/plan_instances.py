"""Tiny planning problems, drawn at random: small enough to enumerate, tight enough that every limit matters."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.network.expansion import ExpansionProblem, LineType, Route, Site, Stage, SubstationSize

PAIRS = ((0, 2), (0, 3), (1, 3), (1, 4), (2, 3), (3, 4), (2, 4))
"""Routes between two sites (0, 1) and three demands (2, 3, 4)."""


def tiny(seed: int, n_route: int = 6, n_type: int = 1, quadratic: bool = False, **changes: Any) -> ExpansionProblem:
    """Two sites, three demands, two sizes; capacities of the order of the demands."""
    rng = np.random.default_rng(seed)
    demand = np.round(rng.uniform(0.5, 3.0, 3), 2)
    if rng.random() < 0.2:
        demand[rng.integers(3)] = 0.0
    total = float(demand.sum())

    def size(share: float, price: float) -> SubstationSize:
        variable, loss = (0.0, 0.6) if quadratic else (float(rng.uniform(0, 3)), 0.0)
        return SubstationSize(f"{share}", round(share * total, 3), price, variable, loss, transformers=2)

    def line(capacity: float, price: float) -> LineType:
        variable, loss = (0.0, 0.4) if quadratic else (float(rng.uniform(0, 1)), 0.0)
        return LineType(f"{capacity}", capacity, price, variable, loss, r=0.2, x=0.2)

    routes = tuple(
        Route(f"r{e}", PAIRS[k], float(np.round(rng.uniform(0.5, 3.0), 2)), tuple(range(n_type)))
        for e, k in enumerate(sorted(rng.choice(len(PAIRS), n_route, replace=False)))
    )
    problem = ExpansionProblem(
        name=f"tiny {seed}",
        currency="k",
        kv=10.0,
        power_factor=0.9,
        sizes=(size(0.7, 8.0), size(1.1, 11.0)),
        sites=(Site("A", (0, 1), int(rng.integers(1, 4))), Site("B", (0,) if rng.random() < 0.3 else (0, 1), 2)),
        demand_ids=(1, 2, 3),
        coordinates=rng.uniform(0, 3, (5, 2)),
        line_types=(line(round(0.6 * total, 3), 1.0), line(round(1.2 * total, 3), 1.8))[:n_type],
        routes=routes,
        stages=(Stage("all years", demand),),
        max_substations=int(rng.integers(1, 3)),
    )
    return problem.replace(**changes)
