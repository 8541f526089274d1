"""Baselines that solve: what an operator or a sceptic would use instead of a model, behind the learning interface."""

from __future__ import annotations

from collections.abc import Sequence

from learnopt.engines.exchange import LocalSearch, radial_start, sequential_opening
from learnopt.learning.baselines import Baseline
from learnopt.learning.training import Pair
from learnopt.network import Configuration, ReconfigurationProblem


class Untrained(Baseline):
    """Solves, and learns nothing."""

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Nothing to learn."""


class PresentConfiguration(Untrained):
    """Leave the switches as they are (repaired where outages or locks forbid it)."""

    name = "present configuration"

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """The normal configuration, as far as the problem admits it."""
        return radial_start(problem)


class SequentialOpening(Untrained):
    """Close everything, then open the branch of least opening cost until radial (Merlin & Back 1975)."""

    name = "sequential opening"

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """The tree that is left."""
        return sequential_opening(problem)


class ExchangeFromPresent(Untrained):
    """Branch exchange from the present configuration (Civanlar et al. 1988, doi:10.1109/61.193906)."""

    name = "branch exchange"

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """The local optimum; the present configuration where it has no power flow."""
        start = radial_start(problem)
        found = LocalSearch(problem).improve(start)
        return start if found is None else found[0]


def solving_baselines() -> list[Baseline]:
    """One of each."""
    return [PresentConfiguration(), SequentialOpening(), ExchangeFromPresent()]
