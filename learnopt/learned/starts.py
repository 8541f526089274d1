"""A good configuration from a prediction, in milliseconds, and how sure one may be of each of its switches.

Branch exchange starts from the present configuration, the most probable tree and drawn ones; kicks guided by the
prediction then shake the best of them for fixed load currents, thousands a second
(:mod:`learnopt.engines.arcs.iterated`), and exchange by AC power flow has the last word. On feeders like those of the
training this is the optimum in most cases, which makes it what fixing starts from: a switch is fixed in its state
here where the model agrees and another state is dear (:mod:`learnopt.learning.confidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from learnopt.engines.arcs.iterated import DRAWS, IteratedExchange
from learnopt.engines.exchange import LocalSearch, radial_start
from learnopt.learning.confidence import Confidence
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Prediction
from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.physics import power_flow

SAMPLES = 4
"""Trees drawn from the prediction."""
KICKS = 100
"""Guided kicks of the best start."""
LARGE = 300
"""Switches to decide from which on exchange by AC power flow is kept for the best of :data:`ANSWERS` answers of
:func:`anytime`; the published thresholds are calibrated below."""
ANSWERS = 16
BATCH, PATIENCE = 50, 6
"""Kicks between two answers of :func:`anytime`, and answers without progress before it starts from a drawn tree."""

SURE, ROUNDS = 0.9, 32
"""Decoding step by step opens branches that are open with this probability together, and predicts at most so often."""

_NONE = np.zeros((0, DRAWS))
"""No kick: exchange alone."""

Found = tuple[Configuration, float]
"""A configuration and its merit [kW]: objective, plus a penalty for limits that it violates."""


class Guide(Protocol):
    """What exchange is guided by: a prediction, or the belief about several load situations."""

    @property
    def graph(self) -> DecisionGraph:
        """What is undecided."""
        ...

    @property
    def p_closed(self) -> Floats:
        """Probability that a branch is closed, shape (n_branch,)."""
        ...

    @property
    def most_probable(self) -> Configuration:
        """The configuration of largest probability."""
        ...

    def sample(self, n: int, rng: np.random.Generator) -> list[Configuration]:
        """Independent draws."""
        ...


def learned_start(
    problem: ReconfigurationProblem,
    prediction: Guide,
    rng: np.random.Generator,
    samples: int = SAMPLES,
    further: Iterable[Configuration] = (),
) -> Found | None:
    """Best configuration of exchange from predicted starts, then of guided kicks; None where none has a power flow.

    Parameters
    ----------
    further
        Other starts.
    """
    search = LocalSearch(problem)
    if prediction.graph.n_undecided >= LARGE:
        candidates = [_best_of(problem, islice(anytime(problem, lambda _: prediction, rng), ANSWERS)), *further]
    else:
        candidates = [prediction.most_probable, *prediction.sample(samples, rng), radial_start(problem), *further]
    found = [search.improve(each) for each in dict.fromkeys(candidates) if problem.admits(each)]
    best = min((each for each in found if each is not None), key=lambda each: each[1], default=None)
    if best is None or not prediction.graph.n_loops:
        return best
    kicked = guided_kicks(problem, prediction, best[0], rng, KICKS)
    better = search.improve(kicked) if kicked != best[0] and problem.admits(kicked) else None
    return best if better is None or better[1] >= best[1] else better


def settled(problem: ReconfigurationProblem, start: Configuration) -> Configuration:
    """What exchange makes of a radial configuration with load currents held at 1 pu; the start where that is barred.

    Milliseconds: costs of exchanges are exact in this model, and there is no power flow. The cap on operations is what
    can bar an answer of lower loss. It helps what is decoded step by step; :func:`learned_start` is faster and closer
    to the optimum (``benchmarks/learning.py``).
    """
    exchange = held_currents(problem, start, np.ones(problem.network.n_bus, dtype=complex))
    exchange.kick(_NONE)
    found = exchange.configuration
    return found if problem.admits(found) else start


def _best_of(problem: ReconfigurationProblem, configurations: Iterable[Configuration]) -> Configuration:
    """The one of least AC loss; the first where none has a power flow."""
    distinct = list(dict.fromkeys(configurations))
    flows = [power_flow(problem, each) for each in distinct]
    losses = [flow.loss if flow.converged else np.inf for flow in flows]
    return distinct[int(np.argmin(losses))]


def guided_kicks(
    problem: ReconfigurationProblem, prediction: Guide, start: Configuration, rng: np.random.Generator, kicks: int
) -> Configuration:
    """Iterated exchange from a configuration with a power flow, its load currents held.

    Kicks close branches that the prediction would rather have closed and open those that it would rather have open.
    """
    exchange = held_currents(problem, start, power_flow(problem, start).v, prediction)
    exchange.kick(rng.random((kicks, DRAWS)))
    return exchange.configuration


def anytime(
    problem: ReconfigurationProblem, predict: Callable[[ReconfigurationProblem], Guide], rng: np.random.Generator
) -> Iterator[Configuration]:
    """Ever more configurations for large networks, from exchange with load currents held; the caller judges by AC.

    The present configuration and what exchange makes of it come first, before the prediction: milliseconds on a
    thousand buses. Then guided kicks of the better of that and the most probable tree; what :data:`PATIENCE` batches of
    kicks leave as it is comes as often, and a drawn tree is next.
    """
    yield (start := radial_start(problem))
    exchange = held_currents(problem, start, np.ones(problem.network.n_bus, dtype=complex))
    exchange.kick(_NONE)
    yield (first := exchange.configuration)
    prediction, flow = predict(problem), power_flow(problem, first)
    exchange = held_currents(problem, first, flow.v, prediction)
    value = exchange.kick(_NONE)
    exchange.restart(prediction.most_probable)
    if exchange.kick(_NONE) > value:
        exchange.restart(first)
    while True:
        idle, before = 0, np.inf
        while idle < PATIENCE:
            value = exchange.kick(rng.random((BATCH, DRAWS)))
            idle, before = (0 if value < before else idle + 1), value
            yield exchange.configuration
        exchange.restart(prediction.sample(1, rng)[0])


def held_currents(
    problem: ReconfigurationProblem,
    start: Configuration,
    v: NDArray[np.complex128],
    prediction: Guide | None = None,
) -> IteratedExchange:
    """Iterated exchange with the load currents of voltages ``v`` [pu], shape (n_bus,), guided by a prediction."""
    net = problem.network
    current = np.conj((problem.p + 1j * problem.q) / np.where(v == 0, 1.0, v))
    operation = np.where(net.normal_configuration.closed, -1.0, 1.0) * problem.free
    return IteratedExchange(
        problem,
        start,
        np.column_stack([current.real, current.imag]),
        net.r,
        operation * problem.switching_cost / net.base.kw,
        None if prediction is None else 1.0 - prediction.p_closed,
    )


def confidence_in(problem: ReconfigurationProblem, prediction: Prediction, found: Found | None) -> Confidence:
    """How sure one may be of each switch of a configuration; of none where there is no configuration."""
    if found is None:
        return Confidence.none(prediction)
    configuration = prediction.graph.canonical(found[0])
    rise = LocalSearch(problem).least_rise(configuration, prediction.graph.alike)
    return Confidence.of(prediction, configuration, rise / max(found[1], 1e-12))


def confidence_for_fixing(problem: ReconfigurationProblem, prediction: Prediction) -> Confidence:
    """Confidence as fixing uses it, the same for the same problem and prediction."""
    return confidence_in(problem, prediction, learned_start(problem, prediction, np.random.default_rng(0)))
