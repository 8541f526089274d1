"""A slice of the random orders: none hurts, and exports move the devices of the order."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import orders

COUNT = 24


def test_no_order_hurts() -> None:
    """Nets and case files with outages, locks and tags: the walk finds nothing, whatever the planner thinks."""
    found = [orders.examined(seed) for seed in range(COUNT)]
    assert [(seed, bad) for seed, _, bad in found if bad] == []
    assert {"net", "case file"} <= {kind for _, kind, _ in found}


def test_the_walk_sees_what_hurts() -> None:
    """Orders spoilt by hand: without isolation, with a tagged device, with a closing onto the fault."""
    spoilt: dict[str, int] = {}
    for seed in range(COUNT):
        found = orders.order_of(seed)
        if found is None:
            continue
        one, problem, _, plan = found
        steps = [orders.operation_to_dict(problem, o) for o in plan]
        assert orders.complaints(one, steps) == []
        rushed = [s for s in steps if s["state"] != "isolating" or s["action"] == "earth"]
        spoilt["rushed"] = spoilt.get("rushed", 0) + bool(orders.complaints(one, rushed))
        isolating = [s for s in steps if s["state"] == "isolating" and s["action"] == "open"]
        if isolating:
            again = [*steps, {**isolating[0], "action": "close"}]
            spoilt["closed"] = spoilt.get("closed", 0) + bool(orders.complaints(one, again))
    assert all(count > 2 for count in spoilt.values())
    assert set(spoilt) == {"rushed", "closed"}


@pytest.mark.parametrize("seed", [0, 3])
def test_a_draw_comes_from_its_seed_alone(seed: int) -> None:
    """Twice the same."""
    assert orders.draw(seed) == orders.draw(seed)
