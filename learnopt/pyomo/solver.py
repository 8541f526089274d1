"""The solver ``learnopt`` of Pyomo: ``pyo.SolverFactory("learnopt")``."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.opt import SolverResults, TerminationCondition

from learnopt._version import __version__
from learnopt.api.configuration import solve
from learnopt.engines import Progress
from learnopt.errors import DataError, LearnoptError
from learnopt.formulations.exported import load_state, violated
from learnopt.network import Certificate, Configuration, Result, Status
from learnopt.pyomo.recognise import Exported, asked
from learnopt.wording import near_matches

OPTIONS = ("engine", "certify", "gap", "time_limit", "node_limit", "threads", "seed", "checkpoint")
"""Options of the solver: those of :func:`learnopt.solve` that say how to solve and not what."""
AGREEMENT = 1e-6
"""Largest violation of a row, and relative difference of the objective, of the state that is loaded."""
_NEARLY = 0.95
"""Share of a time limit from which on it was what ended a solve."""
_log = logging.getLogger("learnopt")


@pyo.SolverFactory.register("learnopt", doc="Reconfiguration of distribution networks, exact and certified (learnopt)")
class LearnoptSolver:
    """Solves models of :func:`learnopt.pyomo.model`, and refuses others by name.

    Parameters
    ----------
    options
        As attribute of the same name: ``engine``, ``certify``, ``gap``, ``time_limit`` [s], ``node_limit``,
        ``threads``, ``seed``, ``checkpoint``, as :func:`learnopt.solve` takes them.
    """

    def __init__(self, options: Mapping[str, Any] | None = None, **more: Any) -> None:
        more.pop("type", None)
        self.options: dict[str, Any] = {**(options or {}), **more}

    def __enter__(self) -> LearnoptSolver:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def available(self, exception_flag: bool = True) -> bool:
        """It is."""
        return True

    def license_is_valid(self) -> bool:
        """None is needed."""
        return True

    def version(self) -> tuple[int, ...]:
        """Version of learnopt."""
        return tuple(int(part) for part in __version__.split("+")[0].split(".")[:3] if part.isdigit())

    def solve(
        self,
        model: Any,
        *,
        tee: bool = False,
        timelimit: float | None = None,
        load_solutions: bool = True,
        warmstart: bool = False,
        options: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> SolverResults:
        """Solve a model, load its variables with the AC state that was found, return what is known.

        Parameters
        ----------
        tee
            Print what is known while solving.
        timelimit
            Seconds, as ``options["time_limit"]``.
        load_solutions
            Give the variables their values where a state was found.
        warmstart
            Begin at the present values of ``closed``.
        options
            For this call, over those of the solver.

        Returns
        -------
        Results of Pyomo: ``problem.upper_bound`` is the objective of the state found, ``problem.lower_bound`` is proven
        for the model as it is written (-inf without such a proof), ``solver.gap`` their relative distance,
        ``solver.certificate`` what is proven (``ac``, ``model``, ``none``), ``solver.open_branches`` the answer. The
        termination condition is ``optimal`` with an AC certificate within the gap asked for, never without.

        Raises
        ------
        UnsupportedError
            If the model is not as learnopt exported it, or the engine does not serve it.
        DataError
            If there is no option of a name.
        """
        chosen = _chosen({**self.options, **(options or {}), **more}, timelimit)
        export = asked(model)
        start = None if not warmstart else [branch for branch, state in model.closed.items() if not pyo.value(state)]
        progress = _print_progress if tee else None
        answer = solve(export.problem, start=start, progress=progress, strict_limits=True, source_check=False, **chosen)
        result = answer.result
        outcome = _outcome(export, result, chosen.get("time_limit"))
        if tee:
            print(outcome.message)
        if outcome.loaded is not None:
            _check(export, result)
            if load_solutions:
                load_state(model, export.data, outcome.loaded)
        elif load_solutions:
            _log.warning("learnopt found nothing to load: %s", outcome.message)
        return _results(export, result, outcome, answer.open_branches)


@dataclass(frozen=True)
class _Outcome:
    """A result as Pyomo tells it: why it ended, what is loaded, in plain words."""

    condition: TerminationCondition
    loaded: Configuration | None
    message: str


def _chosen(given: Mapping[str, Any], timelimit: float | None) -> dict[str, Any]:
    """Options as :func:`learnopt.solve` takes them."""
    unknown = [name for name in given if name not in OPTIONS]
    if unknown:
        near = {name: "".join(f", perhaps {each}" for each in near_matches(name, OPTIONS)[:1]) for name in unknown}
        raise DataError(
            "options of SolverFactory('learnopt')",
            [f"{name}: no such option{near[name]}; there are {', '.join(OPTIONS)}" for name in unknown],
        )
    chosen = {name: value for name, value in given.items() if value is not None}
    if timelimit is not None:
        chosen["time_limit"] = float(timelimit)
    return chosen


def _outcome(export: Exported, result: Result, time_limit: float | None) -> _Outcome:
    """What a result means for the model as it is written."""
    most = export.record.loss_at_most_kw
    if result.loss_kw is not None and result.loss_kw > most * (1 + AGREEMENT):
        bound, cost = result.dual_bound_kw, export.problem.switching_cost
        none = result.certificate is Certificate.AC and cost == 0 and bound is not None and bound > most
        said = f"the best state found loses {result.loss_kw:.6g} kW, the model holds states of at most {most:.6g} kW"
        return _Outcome(
            TerminationCondition.infeasible if none else TerminationCondition.noSolution,
            None,
            f"{said}: export it with a larger loss_at_most_kw",
        )
    timed_out = time_limit is not None and result.solve_time_s >= _NEARLY * time_limit
    match result.status:
        case Status.OPTIMAL if result.certificate is Certificate.AC:
            condition = TerminationCondition.optimal
        case Status.INFEASIBLE:
            condition = TerminationCondition.infeasible
        case Status.INTERRUPTED:
            condition = TerminationCondition.userInterrupt
        case _ if timed_out:
            condition = TerminationCondition.maxTimeLimit
        case Status.NO_SOLUTION:
            condition = TerminationCondition.noSolution
        case _:
            condition = TerminationCondition.feasible
    message = f"{result.status.value}, certificate {result.certificate.value}. {result.message}".strip()
    return _Outcome(condition, result.configuration, message)


def _check(export: Exported, result: Result) -> None:
    """The state obeys every row of the model, and costs what it is said to: seen on the model, not on the search.

    Raises
    ------
    LearnoptError
        If not, which is a fault of learnopt.
    """
    assert result.configuration is not None
    assert result.objective_kw is not None
    fresh = export.model
    flow = load_state(fresh, export.data, result.configuration)
    broken = violated(fresh, AGREEMENT) if flow.converged else ["the power flow"]
    cost = pyo.value(fresh.objective)
    if not broken and abs(cost - result.objective_kw) > AGREEMENT * max(abs(result.objective_kw), 1e-6):
        broken = [f"the objective ({cost:.9g} kW in the model, {result.objective_kw:.9g} kW by the judge)"]
    if broken:
        raise LearnoptError(
            f"the state found does not fit the model {fresh.name!r}: {', '.join(broken[:5])}. This is a fault of "
            "learnopt, please report it"
        )


def _results(export: Exported, result: Result, outcome: _Outcome, opened: Any) -> SolverResults:
    """All that is known, where users of Pyomo look for it."""
    found, model = SolverResults(), export.model
    proven = result.dual_bound_kw if result.certificate is Certificate.AC else None
    has_state = outcome.loaded is not None and result.objective_kw is not None
    problem, solver = found.problem, found.solver
    problem.name = model.name
    problem.sense = pyo.minimize
    problem.lower_bound = -math.inf if proven is None else proven
    problem.upper_bound = result.objective_kw if has_state else math.inf
    problem.number_of_objectives = 1
    problem.number_of_constraints = sum(1 for _ in model.component_data_objects(pyo.Constraint))
    problem.number_of_variables = sum(1 for _ in model.component_data_objects(pyo.Var))
    problem.number_of_binary_variables = sum(v.is_binary() for v in model.component_data_objects(pyo.Var))
    solver.name = "learnopt"
    solver.termination_condition = outcome.condition
    solver.status = TerminationCondition.to_solver_status(outcome.condition)
    solver.message = outcome.message
    solver.wallclock_time = result.solve_time_s
    solver.certificate = result.certificate.value
    solver.engine = result.engine
    solver.gap = result.gap if has_state and proven is not None else None
    solver.open_branches = list(opened) if has_state else None
    return found


def _print_progress(known: Progress) -> None:
    """A line of what is known."""
    best = "-" if known.incumbent_kw is None else f"{known.incumbent_kw:.6g} kW"
    bound = "-" if known.bound_kw is None else f"{known.bound_kw:.6g} kW"
    print(f"{known.elapsed_s:8.2f} s  {known.nodes:>9} nodes  best {best}  bound {bound}", flush=True)
