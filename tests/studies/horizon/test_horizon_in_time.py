"""A horizon that nobody waits for: limits, patience and Ctrl-C give a plan, with a bound that is weaker and holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from horizons import brute_force, controlled_horizon, random_horizon

import learnopt
from learnopt.api import horizon_study
from learnopt.engines import Patience
from learnopt.engines.tree.priced import priced_bound
from learnopt.generator.example import write_example
from learnopt.network import Certificate, Configuration, Network, ReconfigurationProblem, Result, Status
from learnopt.studies.horizon import HorizonPlan, HorizonProblem, plan_horizon
from learnopt.studies.horizon.bound import _least_in_box
from learnopt.studies.horizon.rounds import Rounds
from learnopt.studies.horizon.work import Work

MIXED = ("generation", "charging")


def holds(problem: HorizonProblem, plan: HorizonPlan) -> None:
    """The plan is one, its bound is below the optimum, and it is optimal only within its gap."""
    best, _ = brute_force(problem)
    assert plan.configurations
    assert plan.objective_kwh >= best * (1 - 1e-9)
    if plan.ac_bound_kwh is not None:
        assert plan.ac_bound_kwh <= best * (1 + 1e-7) + 1e-9
    if plan.status is Status.OPTIMAL and plan.certificate is Certificate.AC:
        assert plan.objective_kwh <= best * (1 + 1e-3) + 1e-9


@pytest.mark.parametrize("features", [(), MIXED])
@pytest.mark.parametrize("seed", range(6))
def test_no_time_at_all(seed: int, features: tuple[str, ...]) -> None:
    """A limit that is over before the first look: a plan all the same, and nothing proven that is not so."""
    problem = random_horizon(seed, features, switching_cost=0.1)
    holds(problem, plan_horizon(problem, time_limit=1e-9))


def test_no_time_with_controls() -> None:
    """The mixed-integer model of every step ends at its root, or before."""
    problem = controlled_horizon(1)
    plan, whole = plan_horizon(problem, time_limit=1e-9), plan_horizon(problem)
    assert plan.configurations
    assert plan.ac_bound_kwh is None or plan.ac_bound_kwh <= whole.objective_kwh * (1 + 1e-9)


@pytest.mark.parametrize("features", [(), MIXED])
@pytest.mark.parametrize("seed", range(6))
def test_content_at_once(seed: int, features: tuple[str, ...]) -> None:
    """Without patience left any bound will do; the message says so unless all was proven."""
    problem = random_horizon(seed, features, switching_cost=0.1)
    plan = plan_horizon(problem, gap=0.0, patience=Patience(0.0, 0.5))
    holds(problem, plan)
    assert plan.status is Status.OPTIMAL or "neither a gap nor a limit was set" in plan.message


def test_patience_that_lasts_changes_nothing() -> None:
    """The answer is that of a call without."""
    problem = random_horizon(3, switching_cost=0.1)
    patient, plain = plan_horizon(problem, patience=Patience(1e9, 0.005)), plan_horizon(problem)
    assert patient.configurations == plain.configurations
    assert (patient.status, patient.dual_bound_kwh, patient.nodes) == (plain.status, plain.dual_bound_kwh, plain.nodes)


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_priced_search_without_time(case33: Network, certify: Certificate) -> None:
    """Nothing is searched, and the root's bound is no better than that of the whole search."""
    problem, held = ReconfigurationProblem.of(case33), case33.normal_configuration
    prices = np.random.default_rng(0).normal(0, 1, case33.n_branch)
    whole = priced_bound(problem, prices, held, held, certify)
    none = priced_bound(problem, prices, held, held, certify, goes_on=lambda: False)
    assert none.nodes == 0
    assert none.bound_kw <= whole.bound_kw * (1 + 1e-9)


def unproven() -> HorizonProblem:
    """A horizon whose steps alone prove less than a millionth."""
    for seed in range(50):
        problem = random_horizon(seed, switching_cost=0.5)
        if plan_horizon(problem, gap=1e-6).rounds > 1:
            return problem
    raise AssertionError("no horizon needs rounds")


def test_interrupted_in_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C once the steps are known: the plan, what is proven by then, and the status says what happened."""
    problem, seen = unproven(), []

    def pressed(*_: object) -> None:
        seen.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(Rounds, "_round", pressed)
    plan = plan_horizon(problem, gap=1e-6)
    holds(problem, plan)
    assert (len(seen), plan.status) == (1, Status.INTERRUPTED)
    assert "Interrupted" in plan.message
    assert plan.ac_bound_kwh is not None


def test_interrupted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever presses again gets out at once, and so does who presses before there is a plan."""
    work = Work(math.inf)
    with pytest.raises(KeyboardInterrupt):
        work.interrupt()
    work.answers = True
    work.interrupt()
    assert work.late
    with pytest.raises(KeyboardInterrupt):
        work.interrupt()


def test_interrupted_before_a_single_configuration_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is there without what it is compared to."""
    from learnopt.studies.horizon.by_tree import TreeProofs

    def pressed(*_: object) -> Result:
        raise KeyboardInterrupt

    monkeypatch.setattr(TreeProofs, "static", pressed)
    plan = plan_horizon(random_horizon(3, switching_cost=0.1))
    assert plan.configurations
    assert plan.static is None
    assert plan.static_kwh is None


def test_least_in_box() -> None:
    """A quadratic whose least point in the box is known: the free one, cut off where its axes are those of the box."""
    rng = np.random.default_rng(0)
    curvature, centre = rng.uniform(1, 100, (3, 4)), rng.uniform(-2, 2, (3, 4))

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float((curvature * (x - centre) ** 2).sum()), 2 * curvature * (x - centre)

    found = _least_in_box(function, np.zeros((3, 4)), Work(math.inf))
    assert found == pytest.approx(np.clip(centre, -1, 1), abs=1e-6)
    late = Work(-1.0)
    assert not _least_in_box(function, np.zeros((3, 4)), late).any()


def test_front_door_is_patient(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where neither gap nor limit is set the answer says how to go on; whoever sets one is obeyed."""
    monkeypatch.setattr(horizon_study, "PATIENCE", Patience(0.0, 0.5))
    folder = tmp_path_factory.mktemp("example")
    write_example(folder, np.random.default_rng(0))
    asked = {"steps": 4, "switching_cost": 1.0, "source_check": False}
    plain = learnopt.horizon(folder / "feeder.json", folder / "day.csv", **asked)
    assert plain.found
    assert plain.gap is not None
    assert plain.status is Status.OPTIMAL or "neither a gap nor a limit was set" in plain.result.message
    obeyed = learnopt.horizon(folder / "feeder.json", folder / "day.csv", gap=1e-3, **asked)
    assert "neither" not in obeyed.result.message
    assert all(isinstance(each, Configuration) for each in obeyed.result.configurations)


def test_the_default_is_a_minute_and_half_a_percent() -> None:
    """As the help says."""
    assert Patience(60.0, 0.005) == horizon_study.PATIENCE
