"""Results made by hand for the tests of pictures and texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status
from learnopt.physics import evaluate


def solved(problem: ReconfigurationProblem, configuration: Configuration, **changes: Any) -> Result:
    """A result with this configuration, proven optimal for the AC power flow unless ``changes`` say otherwise."""
    evaluation = evaluate(problem, configuration)
    result = Result(
        status=Status.OPTIMAL,
        engine="milp",
        engine_version="1.0",
        certificate=Certificate.AC,
        configuration=configuration,
        evaluation=evaluation,
        objective_kw=evaluation.loss_kw,
        dual_bound_kw=0.999 * evaluation.loss_kw,
        solve_time_s=0.5,
        stage_times_s={"build": 0.1, "solve": 0.4},
    )
    return replace(result, **changes)


def failed(status: Status, message: str) -> Result:
    """A result without a configuration."""
    return Result(status=status, engine="milp", engine_version="1.0", message=message)
