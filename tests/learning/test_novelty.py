"""Novelty knows the feeders it was fitted to from others, travels with the weights, and makes the policy careful."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from toy_feeders import random_problem

from learnopt.learning.checkpoint import load_checkpoint
from learnopt.learning.features import extract
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.novelty import Novelty, describe
from learnopt.learning.predict import Predictor
from learnopt.network import ReconfigurationProblem


def strange(problem: ReconfigurationProblem) -> ReconfigurationProblem:
    """The same feeder with impedances that differ by orders of magnitude and one load that is nearly all."""
    net = problem.network
    spread = 10.0 ** np.linspace(-3, 3, net.n_branch)
    load = np.where(np.arange(net.n_bus) == net.n_bus - 1, 1e3, 1.0) * net.p_load
    return ReconfigurationProblem.of(replace(net, r=net.r * spread, x=net.x * spread, p_load=load))


def test_novelty_separates_strange_feeders() -> None:
    """One in a hundred calibration feeders lies above 1, a strange feeder far above."""
    problems = [random_problem(seed, 18, 4) for seed in range(120)]
    feeders = [extract(problem) for problem in problems]
    novelty = Novelty()
    novelty.fit(torch.stack([describe(feeder) for feeder in feeders[:80]]))
    assert novelty(feeders[0]) == 0.0  # not calibrated: claims nothing
    novelty.calibrate(feeders[80:])
    values = [novelty(feeder) for feeder in feeders[80:]]
    assert sum(v > 1 for v in values) == 1
    assert novelty(extract(strange(problems[80]))) > 2 * max(values)


def test_novelty_travels_with_the_checkpoint(tiny_checkpoint: Path) -> None:
    """Loaded weights judge as the trained ones did, through the prediction."""
    predictor = load_checkpoint(tiny_checkpoint)
    assert torch.isfinite(predictor.model.novelty.limit)
    problem = random_problem(3, 18, 4)
    usual, odd = predictor.predict(problem).novelty, predictor.predict(strange(problem)).novelty
    assert 0 < usual < odd


def test_ensemble_averages_its_members() -> None:
    """Probabilities are the mean of the members', samples and decoding stay radial, a member alone is as before."""
    torch.manual_seed(0)
    model = build_model(ModelConfig(hidden=8, layers=1, members=3)).eval()
    problem = random_problem(5, 18, 4)
    whole = Predictor(model).predict(problem)
    alone = [Predictor(member).predict(problem) for member in model.members]
    np.testing.assert_allclose(whole.p_closed, np.mean([p.p_closed for p in alone], axis=0), atol=1e-12)
    configurations = [whole.most_probable, *whole.sample(7, np.random.default_rng(0))]
    decoder = Predictor(model)
    configurations += [decoder.predict_step_by_step(problem, *how) for how in ((), (0.6,), (1.0, 2))]
    assert len(configurations) == 11
    assert all(problem.faults(c) == [] for c in configurations)
