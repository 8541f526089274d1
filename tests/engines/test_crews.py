"""Schedules of crews against enumeration of all orders, and what a restoration makes of them."""

from __future__ import annotations

import json
from itertools import permutations, product

import numpy as np
import pytest
from typer.testing import CliRunner

import learnopt
from learnopt.cli.app import app
from learnopt.engines.crews import CrewTask, schedule_crews
from learnopt.errors import DataError

pytest.importorskip("ortools")


def _random(seed: int) -> CrewTask:
    rng = np.random.default_rng(seed)
    n, crews = 5, int(rng.integers(1, 3))
    after = tuple(tuple(j for j in range(i) if rng.random() < 0.3) for i in range(n))
    travel = rng.integers(1, 15, (crews, n + 1, n + 1)).astype(float)
    return CrewTask(rng.integers(1, 9, n).astype(float), rng.random(n) < 0.7, after, travel)


def _least(task: CrewTask) -> float:
    """Every order of the steps and every choice of crews, each step as early as it can."""
    n, best = len(task.minutes), np.inf
    choices = [range(len(task.travel)) if manual else (None,) for manual in task.manual]
    for order in permutations(range(n)):
        if any(order.index(j) > order.index(i) for i in range(n) for j in task.after[i]):
            continue
        for crew in product(*choices):
            end, here = np.zeros(n), dict.fromkeys(range(len(task.travel)), (0, 0.0))
            for i in order:
                ready = max((end[j] for j in task.after[i]), default=0.0)
                k = crew[i]
                if k is not None:
                    place, free = here[k]
                    ready = max(ready, free + task.travel[k, place, i + 1])
                end[i] = ready + task.minutes[i]
                if k is not None:
                    here[k] = (i + 1, end[i])
            best = min(best, end.max())
    return best


@pytest.mark.parametrize("seed", range(6))
def test_schedule_is_the_least_of_all(seed):
    task = _random(seed)
    schedule = schedule_crews(task)
    assert schedule.proven
    assert schedule.minutes == schedule.bound == _least(task)


def test_restoration_tells_who_goes_where(tmp_path):
    """Two earthings by crews; what restores waits for both, the ways overlap."""
    path = tmp_path / "times.csv"
    path.write_text("id,minutes,travel\n7,5,12\nbus 12,5,\n", encoding="utf-8")
    given = ["restore", "case33", "--fault", "branch:7,bus:12", "--vmin", "0.9", "--json"]
    with pytest.raises(DataError, match="bus 12"):
        learnopt.restore("case33", "branch:7", vmin=0.9, crews=2, minutes=path)
    path.write_text("id,minutes,travel\n7,5,12\n12,5,\n", encoding="utf-8")
    one, two = (
        json.loads(CliRunner().invoke(app, [*given, "--crews", str(n), "--minutes", str(path)]).stdout)["crews"]
        for n in (1, 2)
    )
    # Branch 12 has the id of bus 12, and comes first: the bus keeps 20 minutes of way and 10 on the spot.
    assert (two["minutes"], two["proven"]) == (32.0, True)
    assert one["minutes"] == 12.0 + 5.0 + 20.0 + 10.0 + 2.0
    assert sorted(step["crew"] for step in two["steps"] if step["crew"]) == [1, 2]
    assert 0 < two["minutes_without_supply"] < one["minutes_without_supply"]


def test_what_says_nothing_is_refused():
    with pytest.raises(DataError, match="without the number of crews"):
        learnopt.restore("case33", "branch:7", vmin=0.9, minutes={"7": 5.0})
    with pytest.raises(DataError, match="crews = 0"):
        learnopt.restore("case33", "branch:7", vmin=0.9, crews=0)
