"""Savings: against every configuration in every step, with all steps and with clusters of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import random_network
from instances import all_configurations

from learnopt.api.question import read_profile
from learnopt.engines import SolveOptions
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import DataError
from learnopt.generator.year import HOURS, synthetic_year
from learnopt.network import Certificate, Configuration, Limits, Network, ReconfigurationProblem, Result
from learnopt.physics import evaluate
from learnopt.studies.configuration.solve import warm_up
from learnopt.studies.savings import Period, SavingsProblem, savings_study
from learnopt.studies.savings.bound import HourlyBound
from learnopt.studies.savings.profile import savings_problem
from learnopt.studies.savings.representatives import clusters
from learnopt.studies.savings.searches import Searches

STEPS = 40


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """What a machine compiles first counts against no time limit."""
    warm_up("tree", SolveOptions(certify=Certificate.AC))


def study_of(network: Network, seed: int, **changes: object) -> SavingsProblem:
    """Forty days around the end of a year, loads of random shape and size."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(0.2, 1.6, (STEPS, 1)) * rng.uniform(0.3, 1.7, (STEPS, network.n_bus))
    times = np.datetime64("2025-12-10T00:00:00", "s") + np.arange(STEPS) * np.timedelta64(86400, "s")
    hours = rng.uniform(1, 3, STEPS)
    return SavingsProblem(network, times, network.p_load * shape, network.q_load * shape, hours, **changes)  # type: ignore[arg-type]


def brute_force(problem: SavingsProblem) -> tuple[list[Configuration], np.ndarray]:
    """Every configuration, and its loss in every step by the judge [kW], NaN where limits are not met."""
    everything = all_configurations(problem.of_steps(np.arange(1)))
    losses = np.full((problem.n_steps, len(everything)), np.nan)
    for k, configuration in enumerate(everything):
        for t, single in enumerate(evaluate(problem.of_steps(np.arange(problem.n_steps)), configuration).scenarios):
            losses[t, k] = single.loss_kw if single.feasible else np.nan
    return everything, losses


@pytest.mark.parametrize("count", [None, 1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_strategies_and_bounds_against_every_configuration(seed: int, count: int | None) -> None:
    """Exact where every step stands for itself; with clusters no bound is above the truth."""
    problem = study_of(random_network(np.random.default_rng(seed), 9, 3, n_substations=1 + seed % 2), seed)
    study = savings_study(problem, representative_steps=count, gap=1e-4, proof_time=600 if count is None else 0)
    _, losses = brute_force(problem)
    energy = problem.hours[:, None] * losses / 1e3
    season = np.add.reduceat(energy, problem.seasons)
    least = {
        "static": energy.sum(axis=0).min(),
        "seasonal": season.min(axis=1).sum(),
        "hourly": energy.min(axis=1).sum(),
    }
    assert len(problem.seasons) == 2
    assert study.certificate is Certificate.AC
    for name, true in least.items():
        strategy = study[name]
        assert strategy.energy_mwh is not None
        assert strategy.energy_mwh >= true * (1 - 1e-7)
        if strategy.bound_mwh is not None:
            assert strategy.bound_mwh <= true * (1 + 1e-7)
        if count is None:
            assert strategy.energy_mwh == pytest.approx(true, rel=2e-4)
            assert strategy.gap is not None
            assert strategy.gap < 1e-3
    order = [study[name].energy_mwh or np.nan for name in ("present", "static", "seasonal", "hourly")]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_hours_that_follow_from_others_are_bounded_from_below(seed: int) -> None:
    """Proofs stop early at a coarse gap: what they say of the other hours is never above the least loss."""
    network = random_network(np.random.default_rng(20 + seed), 8, 3)
    problem = study_of(network, seed)
    problem = replace(problem, p=problem.p * 3, q=problem.q * 3)
    least = np.nanmin(brute_force(problem)[1], axis=1)
    bound = HourlyBound(problem, Searches(problem, None), 1e-3)
    bound.raise_to(least, [problem.present] * STEPS, 0.3, 600, 10**9)
    assert bound.proven < STEPS
    assert np.count_nonzero(bound.bound_kw) > bound.proven
    assert np.all(bound.bound_kw <= least * (1 + 1e-7))


@pytest.mark.parametrize("seed", range(3))
def test_hours_do_not_follow_where_iron_loses(seed: int) -> None:
    """Iron losses do not grow with the square of the loads: hours are bounded one by one, below the least loss."""
    network = random_network(np.random.default_rng(20 + seed), 8, 3)
    network = replace(network, g=np.where(np.arange(network.n_branch) < 3, 0.02, 0.0))
    problem = study_of(network, seed)
    least = np.nanmin(brute_force(problem)[1], axis=1)
    bound = HourlyBound(problem, Searches(problem, None), 1e-3)
    bound.raise_to(least, [problem.present] * STEPS, 0.3, 600, 10**9)
    assert not bound.monotone
    assert np.all(bound.bound_kw <= least * (1 + 1e-7))


def test_limits_come_before_losses() -> None:
    """Among the configurations of the pool, the fewest hours outside limits win; the judge counts them."""
    network = random_network(np.random.default_rng(2), 9, 3)
    free = savings_study(study_of(network, 2), proof_time=0)
    tight = free["static"].min_voltage_pu + 1e-5
    study = savings_study(study_of(network, 2, limits=Limits(vm_min=tight)), proof_time=0)
    _, losses = brute_force(study.problem)
    assert study["present"].within_limits.sum() < STEPS
    fewest = np.isnan(losses).sum(axis=0).min()
    assert fewest <= (~study["static"].within_limits).sum() <= (~study["present"].within_limits).sum()
    assert study["hourly"].within_limits.sum() >= study["static"].within_limits.sum()
    assert study["static"].bound_mwh is None or study["static"].bound_mwh <= (study["static"].energy_mwh or 0)


def test_generation_has_no_bound_by_convexity() -> None:
    """With generation clusters prove nothing; what is proven hour by hour stays below the truth."""
    network = random_network(np.random.default_rng(4), 8, 2)
    p = network.p_load.copy()
    p[3] = -2 * p.sum()
    study = savings_study(study_of(replace(network, p_load=p), 1), representative_steps=2, gap=1e-3)
    _, losses = brute_force(study.problem)
    assert "only steps proven one by one" in study.message
    least = float(study.problem.hours @ losses.min(axis=1)) / 1e3
    for name in ("static", "seasonal", "hourly"):
        bound = study[name].bound_mwh
        assert bound is None or bound <= least * (1 + 1e-7)


def test_switching_cost_and_locks() -> None:
    """A dear operation is not made; a locked switch is never moved."""
    network = random_network(np.random.default_rng(6), 9, 3)
    assert all(
        s.operations == 0 for s in savings_study(study_of(network, 3, switching_cost=1e9), proof_time=0).strategies
    )
    problem = study_of(network, 3)
    frame = ReconfigurationProblem.of(network).scenario
    locked = np.where(np.arange(network.n_branch) % 2, network.normal_configuration.closed, -1).astype(np.int8)
    study = savings_study(replace(problem, scenario=replace(frame, locked=locked)), proof_time=0)
    for strategy in study.strategies:
        for configuration in strategy.configurations:
            assert np.array_equal(configuration.closed[locked >= 0], problem.present.closed[locked >= 0])


def test_clusters_divide_the_points() -> None:
    """Every point in one group, as many groups as asked for, equal points together."""
    points = np.repeat(np.random.default_rng(0).normal(size=(12, 3)), 2, axis=0)
    groups = clusters(points, np.ones(24), 12)
    assert sorted(np.concatenate(groups).tolist()) == list(range(24))
    assert all(len(group) == 2 and group[1] == group[0] + 1 for group in groups)
    assert len(clusters(points, np.ones(24), 50)) == 12


def test_synthetic_year_and_steps() -> None:
    """One seed, one year; averaged steps keep the energy; weeks begin on Mondays."""
    network = random_network(np.random.default_rng(0), 6, 1)
    problem = ReconfigurationProblem.of(network)
    year = read_profile("synthetic:3", problem.network)
    assert np.array_equal(year.p, synthetic_year(network, np.random.default_rng(3)).p)
    assert len(year) == HOURS
    peak = year.p.max(axis=0)[network.p_load > 0] / network.p_load[network.p_load > 0]
    assert np.all((peak > 0.9) & (peak < 1.6))
    weekly = savings_problem(problem, year, step_hours=24, period="week")
    assert weekly.n_steps == 365
    assert float(weekly.hours @ weekly.p.sum(axis=1)) == pytest.approx(float(year.p.sum()))
    assert {int(day) for day in weekly.seasons[1:] % 7} == {5}  # the year begins on a Wednesday
    assert len(savings_problem(problem, year, period=Period.QUARTER).seasons) == 4
    with pytest.raises(DataError, match="period = 'century'"):
        savings_problem(problem, year, period="century")


class KilledError(Exception):
    """Stands for a kill in the middle of a study."""


@pytest.mark.parametrize("kill_at", [1, 30])
def test_a_killed_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int) -> None:
    """Searches made before the kill are not made again, and the answer is that of a run in one go."""
    problem = study_of(random_network(np.random.default_rng(1), 9, 3), 1)
    solve, left = TreeSearchEngine.solve, [10**6]

    def killed(self: TreeSearchEngine, *arguments: Any) -> Result:
        if left[0] == 0:
            raise KilledError
        left[0] -= 1
        return solve(self, *arguments)

    monkeypatch.setattr(TreeSearchEngine, "solve", killed)
    whole = savings_study(problem, gap=1e-4, threads=1)
    needed = 10**6 - left[0]
    assert needed > kill_at
    left[0] = kill_at
    with pytest.raises(KilledError):
        savings_study(problem, gap=1e-4, directory=tmp_path / "kept", threads=1)
    left[0] = needed - kill_at
    again = savings_study(problem, gap=1e-4, directory=tmp_path / "kept", threads=1)
    assert [(s.energy_mwh, s.bound_mwh) for s in again.strategies] == [
        (s.energy_mwh, s.bound_mwh) for s in whole.strategies
    ]
    left[0] = 0  # everything is known
    savings_study(replace(problem, switching_cost=1.0), gap=1e-4, directory=tmp_path / "kept")


def test_a_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    """Other loads, limits or locks; a torn file is made again."""
    problem = study_of(random_network(np.random.default_rng(1), 9, 3), 1)
    first = savings_study(problem, proof_time=0, directory=tmp_path)
    locked = np.where(problem.present.closed, -1, 0).astype(np.int8)
    for other in (
        replace(problem, p=problem.p * 1.01),
        replace(problem, limits=Limits(vm_min=0.5)),
        replace(problem, scenario=replace(problem.frame, locked=locked)),
    ):
        with pytest.raises(DataError, match="holds a study of another network, profile, limits or locks"):
            savings_study(other, proof_time=0, directory=tmp_path)
    (tmp_path / "searches.json").write_text('{"searches": {"a', encoding="utf-8")
    assert savings_study(problem, proof_time=0, directory=tmp_path)["static"].energy_mwh == first["static"].energy_mwh
