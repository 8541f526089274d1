"""Stopped early: the bound is close to the best that could have been proven by then, and nothing more is claimed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from instances import PASSIVE, feasible_flows, random_problem, several

from learnopt.engines import Patience, SolveOptions
from learnopt.engines.gap_curve import GapCurve
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.rounds import Effort
from learnopt.engines.tree import engine as tree_search
from learnopt.engines.tree import proof as tree_proof
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import DataError
from learnopt.generator.feeders import FeederConfig, random_feeder
from learnopt.network import Certificate, ReconfigurationProblem, Result, Status

AC = SolveOptions(certify=Certificate.AC)
ENOUGH = 0.02


def feeder(seed: int, buses: int = 90, loops: int = 12) -> ReconfigurationProblem:
    """A made-up feeder of many loops."""
    config = FeederConfig(buses=(buses, buses), loops=(loops, loops), substations=(1, 1), flat_share=0.0)
    return ReconfigurationProblem.of(random_feeder(config, np.random.default_rng(seed)), charging=False)


def tree(problem: ReconfigurationProblem, **options: object) -> Result:
    return TreeSearchEngine().solve(problem, replace(AC, **options))  # type: ignore[arg-type]


@pytest.fixture
def long_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every search counts as long from the first node on."""
    monkeypatch.setattr(tree_proof, "HAND_OVER", 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("gap", [0.02, 0.005])
def test_a_stopped_run_has_proven_what_a_run_with_just_that_gap_proves(
    seed: int, gap: float, long_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With twice its nodes, and a few for the stages."""
    problem = feeder(seed)
    with monkeypatch.context() as without:
        without.setattr(tree_proof, "GAP_LADDER", ())
        just = tree(problem, gap=gap)
    assert just.status is Status.OPTIMAL
    stopped = tree(problem, node_limit=2 * just.nodes + 20)
    assert stopped.gap <= gap * (1 + 1e-6)


def test_straight_to_the_optimum_less_is_proven_by_then(long_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stages are for: over some feeders, the gap of runs stopped after as many nodes."""
    problems, limit = [feeder(seed, 200, 20) for seed in range(3)], 60
    stages = [tree(problem, node_limit=limit).gap for problem in problems]
    monkeypatch.setattr(tree_proof, "GAP_LADDER", ())
    straight = [tree(problem, node_limit=limit).gap for problem in problems]
    assert sum(stages) < sum(straight)


@pytest.mark.parametrize("seed", range(16))
def test_stages_claim_nothing_that_is_not_so(seed: int, long_at_once: None) -> None:
    """Brute force on every passive feature, a cap on operations too: any node limit, any gap."""
    rng = np.random.default_rng(seed)
    features = [f for f in PASSIVE if rng.random() < 0.3]
    problem = random_problem(seed, features, n_bus=(8, 13), n_loops=(3, 6))
    flows = feasible_flows(problem) if not problem.contradictions else []
    best = min((1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows), default=np.inf)
    for options in ({}, {"gap": 0.01}, {"node_limit": 1 + seed}, {"patience": Patience(0.0, 0.01)}):
        result = tree(problem, **options)
        assert result.status is not Status.INFEASIBLE or not flows
        if result.objective_kw is None:
            continue
        assert result.objective_kw >= best * (1 - 1e-9) - 1e-9
        if result.dual_bound_kw is not None:
            assert result.dual_bound_kw <= best * (1 + 1e-9) + 1e-9
        if result.status is Status.OPTIMAL:
            assert result.gap <= max(options.get("gap", 0.0), 1e-6) * (1 + 1e-6)
            assert result.objective_kw <= best * (1 + max(options.get("gap", 0.0), 1e-6) * 1.1) + 1e-9


def test_the_curve_falls_to_the_answer(long_at_once: None) -> None:
    """Time and nodes rise, objective falls, bound rises; the last point is the result; listeners hear the same."""
    heard = []
    result = tree(feeder(1), progress=heard.append)
    curve = result.gap_curve
    assert len(curve) > 3
    for before, after in pairwise(curve):
        assert after.seconds >= before.seconds
        assert after.nodes >= before.nodes
        assert after.objective_kw <= before.objective_kw
        assert (after.bound_kw or 0.0) >= (before.bound_kw or 0.0)
    assert curve[-1].objective_kw == pytest.approx(result.objective_kw, rel=1e-6)
    assert curve[-1].bound_kw == pytest.approx(result.dual_bound_kw, rel=1e-6)
    assert heard[-1].curve == curve
    assert heard[-1].engine == "tree"


def test_areas_tell_one_curve() -> None:
    """Only with the last area is there a configuration of the whole; bounds of areas add up."""
    config = FeederConfig(buses=(60, 60), loops=(6, 6), substations=(4, 4), flat_share=0.0)
    for seed in range(30):
        problem = ReconfigurationProblem.of(random_feeder(config, np.random.default_rng(seed)), charging=False)
        if len(tree_search.areas(problem)) > 1:
            break
    result = tree(problem)
    assert "areas" in result.message
    assert result.gap_curve[0].objective_kw is None
    assert result.gap_curve[-1].bound_kw == pytest.approx(result.dual_bound_kw, rel=1e-6)
    assert all(point.bound_kw <= result.objective_kw * (1 + 1e-9) for point in result.gap_curve)


def test_without_a_certificate_the_curve_has_no_bounds() -> None:
    """What is proven of nothing is not drawn either."""
    curve = GapCurve("x", tree_search.Stopwatch())
    curve.add(10.0, 5.0, 1)
    curve.add(10.0, 8.0, 2)
    curve.add(9.0, 8.5, 3)
    curve.forget_bounds()
    assert [(p.objective_kw, p.bound_kw, p.gap) for p in curve.points] == [(10.0, None, None), (9.0, None, None)]


def test_a_curve_is_thinned_and_keeps_its_end() -> None:
    """Thousand small steps leave some dozen points; nothing is recorded where nothing is new."""
    curve = GapCurve("x", tree_search.Stopwatch())
    for k in range(1000):
        curve.add(100.0, 50.0 + 0.05 * k, k)
        curve.add(100.0, 50.0 + 0.05 * k, k)
    assert len(curve.points) < 120
    assert curve.points[-1].bound_kw == pytest.approx(99.95)
    assert curve.points[-1].gap == pytest.approx(0.0005)


@pytest.mark.parametrize("engine", [TreeSearchEngine(), MilpEngine(Effort(probing=False, root_rounds=3))])
def test_patience_ends_at_its_gap_and_claims_no_more(engine: TreeSearchEngine | MilpEngine) -> None:
    """No optimum is claimed, the sentence says how to go on; without patience the same problem is proven."""
    problem = feeder(0, 60, 8)
    patient = engine.solve(problem, replace(AC, patience=Patience(0.0, ENOUGH)))
    assert patient.status is Status.FEASIBLE
    assert 1e-4 < patient.gap <= ENOUGH
    assert "Content with a gap of" in patient.message
    assert "ask for a gap" in patient.message
    full = engine.solve(problem, AC)
    assert full.status is Status.OPTIMAL
    assert patient.dual_bound_kw <= full.objective_kw * (1 + 1e-9)
    assert engine.solve(problem, replace(AC, patience=Patience(1e9, ENOUGH))).status is Status.OPTIMAL


def test_patience_that_makes_no_sense_is_refused() -> None:
    """A gap of zero would be no patience at all."""
    with pytest.raises(DataError, match="must have seconds >= 0 and a gap between 0 and 1"):
        Patience(60.0, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_of_several_situations_the_bound_of_the_model_is_no_bound_of_the_ac_problem(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is searched first for a good start; where no time is left after it nothing is proven of AC."""
    bounds: list[float | None] = []

    def proof_without_time(proof: tree_proof.AcProof, *_: object, **__: object) -> bool:
        bounds.append(proof.state.bound_kw)
        proof.state.certificate = proof.certificate
        proof.state.stopped()
        return False

    monkeypatch.setattr(tree_proof.AcProof, "prove", proof_without_time)
    result = tree(several(feeder(seed, 30, 4), seed))
    assert bounds == [None]
    assert (result.certificate, result.dual_bound_kw) == (Certificate.NONE, None)
    assert all(point.bound_kw is None for point in result.gap_curve)
