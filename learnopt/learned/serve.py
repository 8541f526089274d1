"""A feeder as JSON in, switch states as JSON out: what a model server answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from learnopt.engines import SolveOptions
from learnopt.errors import DataError
from learnopt.io import network_from_dict
from learnopt.io.scenario_json import scenario_set_from_dict
from learnopt.learned.belief import Belief
from learnopt.learned.engine import LearnedEngine
from learnopt.network import Limits, ReconfigurationProblem
from learnopt.studies.configuration.held import solve_holding


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
    text) and ``learned``; or ``errors``, a list of sentences, where the input is bad. Plain JSON values.
    """
    try:
        network = network_from_dict(_parsed(feeder, "feeder"), "feeder")
        drawn = scenario_set_from_dict(_parsed(scenario, "scenario"), network, "scenario") if scenario else None
        problem = ReconfigurationProblem.of(network, drawn, limits=Limits.of(network))
    except DataError as error:
        return {"errors": error.messages}
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


def _parsed(text: str, subject: str) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError) as error:
        raise DataError(subject, [f"not JSON: {error}"]) from None
