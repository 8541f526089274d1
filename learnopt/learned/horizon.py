"""Configurations that a trained model suggests for each step of a horizon: one prediction per step.

They are starts of the proofs and candidates of the plan. What is proven does not depend on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from learnopt.engines.exchange import LocalSearch
from learnopt.learned.starts import SAMPLES, learned_start
from learnopt.learning.checkpoint import REFERENCE, load_checkpoint
from learnopt.learning.predict import Predictor
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.studies.horizon.run import Suggest


def learned_suggestions(predictor: Predictor | Path | str = REFERENCE, seed: int = 0) -> Suggest:
    """A function that gives the predicted configurations of a step, improved by exchange and guided kicks, best first.

    Controls are neutral in what the model sees and in the exchange.
    """
    model = predictor if isinstance(predictor, Predictor) else load_checkpoint(predictor)
    rng = np.random.default_rng(seed)

    def suggest(step: ReconfigurationProblem) -> list[Configuration]:
        plain = step.applied(None)
        if plain.contradictions:
            return []
        prediction, search = model.predict(plain), LocalSearch(plain)
        trees = dict.fromkeys([prediction.most_probable, *prediction.sample(SAMPLES, rng)])
        found = [search.improve(tree) for tree in trees if plain.admits(tree)]
        found.append(learned_start(plain, prediction, rng))
        ranked = sorted((pair for pair in found if pair is not None), key=lambda pair: pair[1])
        return list(dict.fromkeys(configuration for configuration, _ in ranked))

    return suggest
