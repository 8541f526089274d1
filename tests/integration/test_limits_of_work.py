"""Where no time limit is set no answer depends on the clock: one that races changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TypeVar

import numpy as np
import pytest
from horizons import random_horizon
from instances import random_problem

from learnopt.engines import SolveOptions, load_engine
from learnopt.learned.labels import LABEL_OPTIONS
from learnopt.network import Capacitor, Controls, Limits, Network, ReconfigurationProblem
from learnopt.studies.configuration.explain import explain_infeasibility
from learnopt.studies.horizon import HorizonPlan, plan_horizon
from learnopt.studies.savings import Savings, SavingsProblem, savings_study

HURRY = 1e4
"""Seconds that pass between two looks at the clock."""
Answer = TypeVar("Answer")


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Answer]], Answer]:
    """Run something while hours pass between any two looks at the clock."""

    def run(work: Callable[[], Answer]) -> Answer:
        hours = count(0.0, HURRY)
        with monkeypatch.context() as patched:
            patched.setattr(time, "perf_counter", lambda: next(hours))
            return work()

    return run


def planned(plan: HorizonPlan) -> tuple[object, ...]:
    """What a plan says, without its times."""
    return plan.status, plan.configurations, plan.objective_kwh, plan.dual_bound_kwh, plan.static, plan.nodes


def studied(savings: Savings) -> list[tuple[object, ...]]:
    """What a study says, without its times."""
    return [(s.configurations, s.used.tolist(), s.energy_mwh, s.bound_mwh) for s in savings.strategies]


def study_of(network: Network) -> SavingsProblem:
    """Twenty steps around the turn of a month."""
    rng = np.random.default_rng(5)
    shape = rng.uniform(0.3, 1.4, (20, 1)) * rng.uniform(0.4, 1.5, (20, network.n_bus))
    times = np.datetime64("2025-01-30T16:00:00", "s") + np.arange(20) * np.timedelta64(3 * 3600, "s")
    return SavingsProblem(network, times, network.p_load * shape, network.q_load * shape, np.full(20, 3.0))


def test_the_clock_races(hurried: Callable[..., object], case33: Network) -> None:
    """A time limit of an hour is over at once: the other tests can fail."""
    plan = hurried(lambda: plan_horizon(random_horizon(3, ("generation",)), time_limit=3600.0))
    assert isinstance(plan, HorizonPlan)
    assert plan.solve_time_s > 3600.0
    result = load_engine("tree").solve(ReconfigurationProblem.of(case33), SolveOptions())
    late = hurried(
        lambda: load_engine("tree").solve(ReconfigurationProblem.of(case33), SolveOptions(time_limit=3600.0))
    )
    assert (result.status, late.status) == ("optimal", "feasible")  # type: ignore[attr-defined]


@pytest.mark.parametrize("engine", ["tree", "milp", "hybrid", "exchange", "enumerate"])
def test_engines(hurried: Callable[..., object], engine: str) -> None:
    """Status, configuration, objective, bound and nodes."""
    problem = random_problem(4)

    def answered(options: SolveOptions) -> tuple[object, ...]:
        r = load_engine(engine).solve(problem, options)
        return r.status, r.configuration, r.objective_kw, r.dual_bound_kw, r.nodes, r.message

    for options in (SolveOptions(), SolveOptions(node_limit=3), LABEL_OPTIONS):
        assert hurried(lambda given=options: answered(given)) == answered(options)


@pytest.mark.parametrize("features", [(), ("generation", "capacitors")])
@pytest.mark.parametrize("node_limit", [None, 40])
def test_horizon(hurried: Callable[..., object], features: tuple[str, ...], node_limit: int | None) -> None:
    """With a node limit as without, where the tight bounds apply and where they do not."""
    problem = random_horizon(2, features, switching_cost=0.1)
    at_leisure = planned(plan_horizon(problem, node_limit=node_limit))
    assert hurried(lambda: planned(plan_horizon(problem, node_limit=node_limit))) == at_leisure


@pytest.mark.parametrize("node_limit", [None, 10])
def test_horizon_as_one_model(hurried: Callable[..., object], node_limit: int | None) -> None:
    """All steps in one mixed-integer model, and steps with controls, count nodes, too."""
    problem = random_horizon(2, switching_cost=0.1)
    settable = replace(problem, controls=Controls(capacitors=(Capacitor(problem.network.n_bus - 1, (0.1, 0.2)),)))
    for asked in (problem, settable):
        at_leisure = planned(plan_horizon(asked, node_limit=node_limit, milp=True))
        assert hurried(lambda one=asked: planned(plan_horizon(one, node_limit=node_limit, milp=True))) == at_leisure


@pytest.mark.parametrize("node_limit", [None, 300])
def test_savings(hurried: Callable[..., object], case33: Network, node_limit: int | None) -> None:
    """Candidates, strategies and bounds; with a node limit as without."""
    problem = study_of(case33)
    at_leisure = studied(savings_study(problem, node_limit=node_limit))
    assert hurried(lambda: studied(savings_study(problem, node_limit=node_limit))) == at_leisure


def test_conflicts(hurried: Callable[..., object], case16: Network) -> None:
    """Every sentence about the limits that conflict."""
    problem = ReconfigurationProblem.of(case16, limits=Limits(vm_min=0.985))
    at_leisure = explain_infeasibility(problem)
    assert any("Proven" in sentence for sentence in at_leisure)
    assert hurried(lambda: explain_infeasibility(problem)) == at_leisure


def test_node_limits_bound_the_work(case33: Network) -> None:
    """Fewer nodes, and a bound that is no better; one search may end a little above its share."""
    whole = plan_horizon(random_horizon(2, switching_cost=0.1))
    little = plan_horizon(random_horizon(2, switching_cost=0.1), node_limit=4)
    assert little.configurations
    assert little.nodes <= max(whole.nodes, 4 + 6)
    problem = study_of(replace(case33))
    free, tight = savings_study(problem), savings_study(problem, node_limit=100)
    assert tight.proven_steps <= 100
    for a, b in zip(free.strategies, tight.strategies, strict=True):
        if a.bound_mwh is not None and b.bound_mwh is not None:
            assert b.bound_mwh <= a.bound_mwh * (1 + 1e-3)
