"""A feeder as JSON in, switch states as JSON out: what a model server answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from learnopt.engines import SolveOptions
from learnopt.errors import DataError, LearnoptError
from learnopt.io import network_from_dict
from learnopt.io.scenario_json import scenario_set_from_dict
from learnopt.learned.belief import Belief
from learnopt.learned.engine import LearnedEngine
from learnopt.network import Limits, ReconfigurationProblem
from learnopt.studies.configuration.held import solve_holding
from learnopt.studies.configuration.solve import MANY_LOOPS, warm_up
from learnopt.tracking.served import Answers, serve


def answer(engine: LearnedEngine, feeder: str, scenario: str | None = None) -> dict[str, Any]:
    """Solve one feeder in fast mode, which counts its work: the answer does not depend on how busy the server is.

    Parameters
    ----------
    feeder
        Text of a case file; its limits are enforced.
    scenario
        Text of a scenario file.

    Returns
    -------
    ``status``, ``open_branches`` (ids, None without an answer), ``loss_kw``, ``p_closed`` (probability by branch id, as
    text) and ``learned``. Plain JSON values.

    Raises
    ------
    DataError
        With everything that is wrong in the feeder or the scenario.
    """
    network = network_from_dict(_parsed(feeder, "feeder"), "feeder")
    drawn = scenario_set_from_dict(_parsed(scenario, "scenario"), network, "scenario") if scenario else None
    problem = ReconfigurationProblem.of(network, drawn, limits=Limits.of(network))
    options = SolveOptions()
    problem, result = solve_holding(problem, lambda one: engine.solve(one, options))
    opened = None if result.configuration is None else network.open_ids(result.configuration)
    belief = [] if problem.contradictions else Belief.of(engine.predictor, problem).p_closed.tolist()
    return {
        "status": str(result.status),
        "open_branches": opened,
        "loss_kw": result.loss_kw,
        "p_closed": dict(zip(map(str, network.branch_ids), belief, strict=False)),
        "learned": None if result.learned is None else asdict(result.learned),
        "message": result.message,
    }


def answers(engine: LearnedEngine, rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Answers to the rows of a request, and what is wrong in it: with a bad row there are no answers.

    Parameters
    ----------
    rows
        ``feeder`` and, where there is one, ``scenario``.
    """
    found, wrong = [], []
    for number, row in enumerate(rows, 1):
        try:
            found.append(answer(engine, row["feeder"], row.get("scenario") or None))
        except LearnoptError as error:
            place = f"row {number}: " if len(rows) > 1 else ""
            wrong += [f"{place}{sentence}" for sentence in error.messages]
    return ([], wrong) if wrong else (found, [])


def get_ready(engine: LearnedEngine, feeder: str) -> None:
    """Import and compile what answers need, so that the first request does not wait for it.

    Parameters
    ----------
    feeder
        Text of a small case file: solved as a request would be, as it is and with generation.
    """
    case = json.loads(feeder)
    generation = {"generation": {case["buses"][-1]["id"]: {"p_kw": 500.0}}}
    for scenario in (None, json.dumps(generation)):
        answer(engine, feeder, scenario)
    warm_up(engine, SolveOptions(), MANY_LOOPS + 1)


def serve_checkpoint() -> None:
    """Declare to MLflow, which is loading a model, what answers: the learned engine around the model's checkpoint."""

    def load(checkpoint: Path, ready_with: str | None) -> Answers:
        engine = LearnedEngine(checkpoint)
        if ready_with is not None:
            get_ready(engine, ready_with)
        return partial(answers, engine)

    serve(load)


def _parsed(text: str, subject: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise DataError(subject, [f"not JSON: {error}"]) from None
