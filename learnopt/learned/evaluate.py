"""The same metrics for a model and for its rivals, on feeders that the model has not learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.places import Place
from learnopt.learned.baselines import Untrained, solving_baselines
from learnopt.learned.starts import ROUNDS, SURE, confidence_for_fixing, settled
from learnopt.learned.training import proven_pairs
from learnopt.learned.unseen import Unseen, unseen
from learnopt.learning.baselines import Baseline, all_baselines
from learnopt.learning.checkpoint import directory_of, load_card, load_checkpoint
from learnopt.learning.evaluation import Metrics, evaluate_predictions
from learnopt.learning.predict import Predictor
from learnopt.learning.rival import OwnModel
from learnopt.learning.training import Pair, split_by_feeder
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.parallel import HERE, Workers, run_tasks

AND_EXCHANGE = ", exchange"
"""Behind the name of a rival: its configuration, improved like ours is."""
MODEL = "model"
_CHUNK = 50
"""Instances of a task: each takes some hundredths of a second."""
Job = tuple[Callable[..., Any], Iterable[tuple[Any, ...]]]
"""A function, and the arguments of its calls."""
OURS = (MODEL, "model, step by step", f"model, step by step{AND_EXCHANGE}", "model and exchange")


@dataclass(frozen=True)
class Evaluated:
    """What was measured, and on what.

    Parameters
    ----------
    methods
        Metrics by method, ``model`` first.
    sentence
        Where the numbers come from.
    feeders
        Feeders that were measured on; empty for snapshots of one feeder.
    """

    methods: Mapping[str, Metrics]
    sentence: str
    feeders: frozenset[int] = field(default_factory=frozenset)


def evaluate(
    checkpoint: Path | str,
    data: Place,
    baselines: bool = True,
    rivals: Sequence[OwnModel] = (),
    seed: int = 0,
    workers: Workers = HERE,
) -> Evaluated:
    """Metrics of a model and of its rivals on the proven labels of a dataset.

    Feeders that the model has learned from are left out. Rivals that learn are fitted on those, or, where there are
    none, on half of the feeders; everything is measured on the others, so that all see them for the first time.

    Parameters
    ----------
    rivals
        Somebody's own models; each is measured with exchange after it besides.
    workers
        Do what solves (exchange, kicks, baselines that solve); models predict here. The figures do not depend on them.

    Returns
    -------
    By method: ``model`` (most probable tree), ``model, step by step``, the same with exchange at held currents after
    it, ``model and exchange`` (where fixing starts), then rivals and baselines.

    Raises
    ------
    DataError
        If no feeder is left to measure on (:func:`learnopt.learned.unseen.unseen`) or has a proven label.
    """
    checkpoint = directory_of(checkpoint)
    sides = unseen(load_card(checkpoint), data)
    pairs, feeders = proven_of(data, sides.measured)
    if not pairs:
        problem = f"no proven labels among the {len(sides.measured)} feeders to measure on"
        raise DataError(str(data), [f"{problem}: run `learnopt label` on the folder with more time"])
    # Rivals first: what is wrong in one is told at once.
    learning: list[Baseline] = [*rivals, *(all_baselines(seed) if baselines else [])]
    fitted: list[Pair] = []
    if any(not isinstance(each, OwnModel) or each.learns for each in learning):
        fitted = proven_of(data, sides.learned)[0] if sides.learned else []
        if not fitted and len(set(feeders)) > 1:
            on = split_by_feeder(feeders, [0.5], np.random.default_rng(seed))
            fitted, pairs = ([pairs[i] for i in side] for side in on)
            kept = frozenset(int(feeders[i]) for i in on[1])
            sides = Unseen(kept, sides.test & kept, sides.learned)
    for each in learning:
        if fitted:
            each.fit(fitted)
        elif isinstance(each, OwnModel) and each.learns:
            raise DataError(str(data), [f"one feeder: nothing is left to fit rival {each.name!r} on"])
    learned = [each for each in learning if fitted and not isinstance(each, OwnModel)]
    methods: list[Baseline] = [*rivals, *(solving_baselines() if baselines else []), *learned]
    told_apart((*OURS, *(method.name for method in methods)))
    theirs = measure_rivals(methods, pairs, workers)
    measured = _ours(load_checkpoint(checkpoint), pairs, workers) | theirs
    return Evaluated(measured, f"{len(pairs)} instances, {sides.sentence}", sides.measured)


def told_apart(names: Iterable[str]) -> None:
    """Refuse two methods of one name: they would be one row.

    Raises
    ------
    DataError
        With each name.
    """
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise DataError("rivals", [f"two methods are called {name!r}: give yours another name" for name in twice])


def proven_of(data: Place, feeders: Collection[int]) -> tuple[list[Pair], list[str]]:
    """Pairs with a proven label of some feeders, and the feeder of each."""
    pairs, owners, _ = proven_pairs(read_labels(data, feeders))
    return pairs, owners


def _ours(predictor: Predictor, pairs: Sequence[Pair], workers: Workers) -> dict[str, Metrics]:
    """Metrics of the model, alone and with what improves it."""
    problems, labels = [p for p, _ in pairs], [y for _, y in pairs]
    decoded = [predictor.predict_step_by_step(p, SURE, ROUNDS) for p in problems]
    predictions = [predictor.predict(p) for p in problems]
    confidences, improved = _each(
        [
            (confidence_for_fixing, zip(problems, predictions, strict=True)),
            (settled, zip(problems, decoded, strict=True)),
        ],
        workers,
    )
    answers: tuple[Any, ...] = (
        predictions,
        decoded,
        improved,
        [confidence.configuration for confidence in confidences],
    )
    return {
        name: evaluate_predictions(problems, labels, found, confidences if name == MODEL else None)
        for name, found in zip(OURS, answers, strict=True)
    }


def measure_rivals(methods: Sequence[Baseline], pairs: Sequence[Pair], workers: Workers = HERE) -> dict[str, Metrics]:
    """Metrics of baselines and rivals; of rivals with exchange after them too."""
    problems, labels = [p for p, _ in pairs], [y for _, y in pairs]
    # Models stay in this process: somebody's own may not be one that can be sent.
    found = {m.name: [m.predict(p) for p in problems] for m in methods if not isinstance(m, Untrained)}
    jobs: dict[str, Job] = {m.name: (m.predict, zip(problems)) for m in methods if isinstance(m, Untrained)}
    jobs |= {
        f"{m.name}{AND_EXCHANGE}": (_improved, zip(problems, found[m.name], strict=True))
        for m in methods
        if isinstance(m, OwnModel)
    }
    found |= dict(zip(jobs, _each(list(jobs.values()), workers), strict=True))
    names = [name for m in methods for name in (m.name, f"{m.name}{AND_EXCHANGE}") if name in found]
    return {name: evaluate_predictions(problems, labels, found[name]) for name in names}


def _each(jobs: Sequence[Job], workers: Workers) -> list[list[Any]]:
    """Answers of several functions for each of their items, some items a task; all in one map."""
    tasks: list[tuple[int, Callable[..., Any], list[tuple[Any, ...]]]] = []
    for number, (function, items) in enumerate(jobs):
        every = list(items)
        tasks += [(number, function, every[k : k + _CHUNK]) for k in range(0, len(every), _CHUNK)]
    found: list[list[Any]] = [[] for _ in jobs]
    for (number, _, _), answers in zip(tasks, run_tasks(_some, tasks, workers), strict=True):
        found[number] += answers
    return found


def _some(task: tuple[int, Callable[..., Any], list[tuple[Any, ...]]]) -> list[Any]:
    _, function, items = task
    return [function(*item) for item in items]


def _improved(problem: ReconfigurationProblem, configuration: Configuration) -> Configuration:
    """What exchange makes of a rival's configuration; itself where it is not admissible."""
    return settled(problem, configuration) if problem.admits(configuration) else configuration
