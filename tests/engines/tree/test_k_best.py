"""The k best configurations against brute force."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from instances import PASSIVE, all_configurations, random_problem, several

from learnopt.engines import SolveOptions
from learnopt.engines.tree import ranking
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import DataError
from learnopt.network import Certificate, Configuration, Evaluation, Network, ReconfigurationProblem, Status
from learnopt.physics import evaluate

AC = SolveOptions(certify=Certificate.AC)


def all_objectives(problem: ReconfigurationProblem) -> list[float]:
    """Objective [kW] of every feasible configuration, ascending."""
    found = []
    for configuration in all_configurations(problem):
        evaluation = evaluate(problem, configuration)
        if evaluation.feasible:
            found.append(evaluation.loss_kw + problem.switching_cost * problem.operations(configuration))
    return sorted(found)


@pytest.mark.parametrize("seed", range(80))
def test_k_best_of_brute_force(seed: int) -> None:
    """Same objectives, distinct and feasible configurations, and a bound that no other configuration undercuts."""
    rng = np.random.default_rng([seed, 4])
    problem = random_problem(seed, [f for f in PASSIVE if rng.random() < 0.25])
    if seed % 4 == 0:
        problem = several(problem, seed)
    k = int(rng.integers(2, 12))
    expected = all_objectives(problem)
    result = TreeSearchEngine(k_best=k).solve(problem, AC)
    if not expected:
        assert result.alternatives == ()
        assert result.configuration is None
        return
    assert result.status is Status.OPTIMAL
    found = [alternative.objective_kw for alternative in result.alternatives]
    np.testing.assert_allclose(found, expected[:k], rtol=1e-7, atol=1e-9)
    configurations = [alternative.configuration for alternative in result.alternatives]
    assert len(set(configurations)) == len(configurations)
    assert all(problem.admits(c) and evaluate(problem, c).feasible for c in configurations)
    assert result.objective_kw == pytest.approx(found[0], rel=1e-9)
    rest = expected[k:]
    assert result.rest_bound_kw <= (rest[0] if rest else math.inf) * (1 + 1e-8) + 1e-12
    if len(expected) > k:
        assert result.rest_bound_kw >= found[-1] * (1 - 1e-7) - 1e-9


def test_more_than_there_are(triangle: Network) -> None:
    """Three configurations exist: ten best are three, and nothing is left."""
    result = TreeSearchEngine(k_best=10).solve(ReconfigurationProblem.of(triangle), AC)
    assert len(result.alternatives) == 3
    assert result.rest_bound_kw == math.inf
    assert "these are all" in result.message


def test_equal_losses_are_both_listed() -> None:
    """Two parallel branches of equal impedance: two optima, two entries."""
    net = make_network([(0, 1, 1, 1), (0, 1, 1, 1), (0, 1, 2, 1)], {1: (300, 100)})
    result = TreeSearchEngine(k_best=2).solve(ReconfigurationProblem.of(net), AC)
    first, second = result.alternatives
    assert first.configuration != second.configuration
    assert first.loss_kw == pytest.approx(second.loss_kw, rel=1e-9)


def test_k_best_of_33_bus_against_enumeration(case33: Network) -> None:
    """On the 33-bus feeder the proven ten best under a near cap are those of brute force over all allowed states."""
    problem = ReconfigurationProblem.of(case33, max_operations=2)
    expected = all_objectives_within_two_operations(problem)
    result = TreeSearchEngine(k_best=10).solve(problem, AC)
    np.testing.assert_allclose([a.objective_kw for a in result.alternatives], expected[:10], rtol=1e-8)


def all_objectives_within_two_operations(problem: ReconfigurationProblem) -> list[float]:
    """Objectives of the normal configuration and of every single exchange from it, ascending."""
    net = problem.network
    found = []
    for tie in [None, *np.flatnonzero(net.normally_open)]:
        for cut in [None] if tie is None else np.flatnonzero(~net.normally_open):
            closed = ~net.normally_open
            if tie is not None:
                closed[tie], closed[cut] = True, False
            evaluation = evaluate(problem, Configuration(closed))
            if evaluation.feasible:
                found.append(evaluation.loss_kw)
    return sorted(found)


def test_model_certificate_ranks_too(case16: Network) -> None:
    """The ranking of the model: the answer is in it, all entries distinct and judged."""
    result = TreeSearchEngine(k_best=5).solve(
        ReconfigurationProblem.of(case16), SolveOptions(certify=Certificate.MODEL)
    )
    assert result.certificate is Certificate.MODEL
    assert len({a.configuration for a in result.alternatives}) == 5
    assert result.configuration in {a.configuration for a in result.alternatives}


def test_capacitors_are_ranked_in_ac(case16: Network) -> None:
    """With mixed signs too the k best are those of enumeration, and the bound of the rest is not above the next."""
    problem = ReconfigurationProblem.of(case16)
    losses = sorted(e.loss_kw for c in all_configurations(problem) if (e := evaluate(problem, c)).feasible)
    result = TreeSearchEngine(k_best=5).solve(problem, AC)
    assert result.certificate is Certificate.AC
    assert [a.loss_kw for a in result.alternatives] == pytest.approx(losses[:5], rel=1e-7)
    assert result.rest_bound_kw <= losses[5]


def test_what_the_judge_refuses_takes_no_place(case16: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweeps accept the second and third best, the judge finds them outside a limit: the next ones move up."""
    problem = ReconfigurationProblem.of(case16)
    six = [a.configuration for a in TreeSearchEngine(k_best=6).solve(problem, AC).alternatives]
    real = ranking.evaluate

    def strict(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
        judged = real(problem, configuration)
        return replace(judged, violations=("too much",)) if configuration in six[1:3] else judged

    monkeypatch.setattr(ranking, "evaluate", strict)
    result = TreeSearchEngine(k_best=4).solve(problem, AC)
    assert [a.configuration for a in result.alternatives] == [six[0], *six[3:6]]
    assert result.rest_bound_kw >= result.alternatives[-1].objective_kw * (1 - 1e-8)


def test_what_the_judge_does_not_settle_is_not_silently_missing(
    triangle: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of three configurations has no power flow by the judge: two are listed, and they are not told to be all."""
    problem = ReconfigurationProblem.of(triangle)
    dearest = max(all_configurations(problem), key=lambda c: evaluate(problem, c).loss_kw)
    real = ranking.evaluate

    def doubtful(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
        judged = real(problem, configuration)
        return (
            replace(judged, converged=False, unsettled=True, violations=("no",)) if configuration == dearest else judged
        )

    monkeypatch.setattr(ranking, "evaluate", doubtful)
    result = TreeSearchEngine(k_best=10).solve(problem, AC)
    assert len(result.alternatives) == 2
    assert result.rest_bound_kw == pytest.approx(real(problem, dearest).loss_kw, rel=1e-6)
    assert "not settled" in result.message
    assert "these are all" not in result.message


def test_at_least_one() -> None:
    """Zero best configurations are refused."""
    with pytest.raises(DataError, match="k_best"):
        TreeSearchEngine(k_best=0)
