"""The Pyomo model of a feeder."""

from __future__ import annotations

import math
from typing import Any

from learnopt.api.question import Enforced, Rules, Situation, Source
from learnopt.engines.exchange import LocalSearch, radial_start
from learnopt.errors import DataError, UnsupportedError
from learnopt.formulations.exported import Reconfiguration, build_exported
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.physics import evaluate

ROUNDING = 1e-6
"""Relative slack of the largest loss, so that the state which sets it is in the model."""


def model(
    network: Source,
    *,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    charging: bool = True,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    remote_only: bool = False,
    loss_at_most_kw: float | None = None,
) -> Any:
    """AC reconfiguration as a Pyomo model: its feasible points are the AC states of the radial configurations.

    What is in it: :mod:`learnopt.formulations.exported`. Any solver for mixed-integer programs with quadratic equations
    takes it, ``pyo.SolverFactory("learnopt")`` among them.

    Parameters
    ----------
    network, scenario, limits, vmin, vmax, charging, switching_cost, max_operations, remote_only
        As of :func:`learnopt.problem`.
    loss_at_most_kw
        States that lose more are not in the model [kW]: a smaller number makes it tighter. If absent, the loss of the
        present state, or where that breaks a limit, of a state that respects them.

    Raises
    ------
    DataError
        If the input is bad, or no radial state is admissible.
    UnsupportedError
        If the problem has several load situations, phases or fixed loops, or the constants cannot be proven.
    """
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, switching_cost=switching_cost,
        max_operations=max_operations, remote_only=remote_only,
    )  # fmt: skip
    problem = rules.question(network).problem
    _check(problem)
    if loss_at_most_kw is None:
        loss_at_most_kw = _loss_of_a_state(problem) * (1 + ROUNDING)
    elif not loss_at_most_kw > 0:
        raise DataError("options", [f"loss_at_most_kw = {loss_at_most_kw} must be > 0"])
    record = Reconfiguration(problem, loss_at_most_kw)
    data = record.data
    if not data.bounds.proven:
        raise UnsupportedError(
            f"the constants of the model of {problem.network.name!r} cannot be proven: {data.bounds.reason}"
        )
    return build_exported(record, data)


def _check(problem: ReconfigurationProblem) -> None:
    if problem.contradictions:
        raise DataError(problem.network.name, list(problem.contradictions))
    name = repr(problem.network.name)
    if len(problem.situations) > 1:
        raise UnsupportedError(f"the Pyomo model has one load situation, {name} was given {len(problem.situations)}")
    if problem.controls:
        raise UnsupportedError("the Pyomo model has switches only", {"controls": None})
    if problem.network.phases is not None:
        raise UnsupportedError(f"the Pyomo model is balanced, the file of {name} is not: solve it with learnopt.solve")
    if problem.chords.any():
        raise UnsupportedError(f"the Pyomo model is radial, {name} has loops that no switch can open")


def _loss_of_a_state(problem: ReconfigurationProblem) -> float:
    """Objective of a state within the limits [kW], infinite where exchange finds none: better ones lose no more."""
    state = radial_start(problem)
    if not _within(problem, state):
        found = LocalSearch(problem).improve(state)
        if found is None or not _within(problem, found[0]):
            return math.inf
        state = found[0]
    return evaluate(problem, state).loss_kw + problem.switching_cost * problem.operations(state)


def _within(problem: ReconfigurationProblem, state: Configuration) -> bool:
    return problem.admits(state) and evaluate(problem, state).feasible
