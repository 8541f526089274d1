"""Searches stopped at any look at the clock: what they return is weaker, holds, and claims no proof it has not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import numpy as np
import pytest
from instances import all_configurations, random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.bounds.mixed_bound import mixed_metric
from learnopt.engines.exchange import radial_start
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Certificate, Configuration, Network, ReconfigurationProblem, Status
from learnopt.physics import evaluate, power_flow

MIXED = ("generation", "charging")


def looks(number: int) -> Callable[[], bool]:
    """There is time at the first so many looks."""
    seen = count()
    return lambda: next(seen) < number


@contextmanager
def a_second_per_look(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that goes on by a second whenever somebody looks: a time limit is one of looks."""
    seconds = count(0.0, 1.0)
    with monkeypatch.context() as patched:
        patched.setattr(time, "perf_counter", lambda: next(seconds))
        yield


def losses_of(problem: ReconfigurationProblem) -> list[tuple[float, Configuration]]:
    """Objective [kW] of every configuration within the limits, the best first."""
    found = []
    for tree in all_configurations(problem):
        judged = evaluate(problem, tree)
        if judged.feasible and problem.admits(tree):
            found.append((judged.loss_kw + problem.switching_cost * problem.operations(tree), tree))
    return sorted(found, key=lambda each: each[0])


@pytest.mark.parametrize("seed", range(10))
def test_bound_for_mixed_signs(seed: int) -> None:
    """The more directions are tried the better it is; none at all is nothing."""
    problem = random_problem(seed, MIXED, n_bus=(5, 9), n_loops=(1, 3), load=(0.1, 0.6))
    flow = power_flow(problem, radial_start(problem))
    if not flow.converged:
        pytest.skip("no reference")
    values = [mixed_metric(problem, flow, flow.loss, looks(n)).value for n in (0, 1, 2, 5, 20, 10**6)]
    assert values[0] == -np.inf
    assert values == sorted(values)
    assert values[-1] == mixed_metric(problem, flow, flow.loss).value


@pytest.mark.parametrize("features", [(), MIXED])
@pytest.mark.parametrize("seed", range(8))
def test_fixing(seed: int, features: tuple[str, ...]) -> None:
    """What is below the cutoff stays, no more is fixed than with time, and no bound is above the optimum."""
    problem = random_problem(seed, features, n_bus=(6, 9), n_loops=(2, 4), load=(0.1, 0.6))
    known = losses_of(problem)
    cutoff, incumbent = known[len(known) // 2]
    kw = problem.network.base.kw
    bounds: list[float] = []
    free = []
    for number in (0, 1, 3, 10, 10**6):
        reduced = fix_by_bounds(problem, incumbent, cutoff / kw, goes_on=looks(number), learn=bounds.append)
        assert all(reduced.admits(tree) for value, tree in known if value < cutoff * (1 - 1e-9))
        free.append(int(np.count_nonzero(reduced.free)))
    assert all(bound * kw <= known[0][0] * (1 + 1e-9) for bound in bounds)
    assert features or bounds
    assert free == sorted(free, reverse=True)


@pytest.mark.parametrize("features", [(), MIXED])
@pytest.mark.parametrize("engine", ["tree", "milp", "hybrid"])
@pytest.mark.parametrize("limit", [1, 4, 12, 30, 70])
def test_engines(monkeypatch: pytest.MonkeyPatch, limit: int, engine: str, features: tuple[str, ...]) -> None:
    """Bound below, answer above the optimum wherever the time ends; no optimum is claimed that is none."""
    problem = random_problem(limit, features, n_bus=(6, 9), n_loops=(2, 4), load=(0.1, 0.6))
    best = losses_of(problem)[0][0]
    for certify in (Certificate.AC, None):
        with a_second_per_look(monkeypatch):
            found = load_engine(engine).solve(problem, SolveOptions(certify, time_limit=float(limit)))
        assert found.status in (Status.OPTIMAL, Status.FEASIBLE)
        assert found.objective_kw >= best * (1 - 1e-9)
        if found.certificate is Certificate.AC:
            assert found.dual_bound_kw <= best * (1 + 1e-7)
            assert found.status is not Status.OPTIMAL or found.objective_kw <= best * (1 + 2e-4)


def test_no_time_is_a_bound_all_the_same(case33: Network) -> None:
    """The MILP keeps the root's bound of the tree search, and builds no model that it has no time for."""
    found = load_engine("milp").solve(ReconfigurationProblem.of(case33), SolveOptions(time_limit=1e-9))
    assert (found.status, found.certificate) == (Status.FEASIBLE, Certificate.AC)
    assert 0.8 * 139.55 < found.dual_bound_kw < 139.56
    assert "build" not in found.stage_times_s


def test_no_time_with_mixed_signs() -> None:
    """No metric is made: nothing but that losses are not negative is proven, and nobody is told to enforce limits."""
    problem = random_problem(2, MIXED, n_bus=(6, 9), n_loops=(2, 4), load=(0.1, 0.6))
    assert SearchSpace.of(problem).space.n_loops >= 1
    found = load_engine("tree").solve(problem, SolveOptions(Certificate.AC, time_limit=1e-9))
    assert found.status is Status.FEASIBLE
    assert "Time limit of" in found.message
    assert "enforce limits" not in found.message
