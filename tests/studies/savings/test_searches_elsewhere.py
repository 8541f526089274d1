"""Searches of a study by the workers of a Dask scheduler: the same study, and none of them made twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_network

from learnopt.studies.savings import Savings, SavingsProblem, savings_study, searches
from learnopt.studies.savings.searches import Search

distributed = pytest.importorskip("distributed", reason="Dask distributed is not installed (extra cluster)")
STEPS = 12


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A scheduler with a worker."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made.scheduler_address


@pytest.fixture
def problem() -> SavingsProblem:
    """Twelve weeks of random loads."""
    rng = np.random.default_rng(1)
    network = random_network(rng, 9, 3)
    shape = rng.uniform(0.2, 1.6, (STEPS, 1)) * rng.uniform(0.3, 1.7, (STEPS, network.n_bus))
    times = np.datetime64("2025-12-10T00:00:00", "s") + np.arange(STEPS) * np.timedelta64(7 * 86400, "s")
    return SavingsProblem(network, times, network.p_load * shape, network.q_load * shape, rng.uniform(1, 3, STEPS))


def told(study: Savings) -> list[Any]:
    """What a study says, to the last bit."""
    return [
        (s.name, s.energy_mwh, s.bound_mwh, s.operations, s.used.tolist(), s.loss_kw.tolist()) for s in study.strategies
    ] + [study.candidates, study.proven_steps, study.certificate, study.message]


@pytest.mark.parametrize("node_limit", [None, 60])
def test_the_same_study(
    problem: SavingsProblem, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node_limit: int | None
) -> None:
    """By a thread, by several, and by a worker, to the last bit; a further run of the folder asks nobody."""
    alone = savings_study(problem, gap=1e-4, node_limit=node_limit, threads=1)
    assert told(savings_study(problem, gap=1e-4, node_limit=node_limit, threads=3)) == told(alone)
    folder = tmp_path / "kept"
    made = savings_study(problem, gap=1e-4, node_limit=node_limit, scheduler=scheduler, directory=folder)
    assert told(made) == told(alone)

    def asked(_: Search) -> None:
        raise AssertionError("a search that is known was made again")

    monkeypatch.setattr(searches, "_search", asked)
    again = savings_study(problem, gap=1e-4, node_limit=node_limit, directory=folder, threads=1)
    assert told(again) == told(alone)
    with pytest.raises(AssertionError, match="known"):
        savings_study(replace(problem, hours=problem.hours * 2), gap=1e-4, node_limit=node_limit, threads=1)
