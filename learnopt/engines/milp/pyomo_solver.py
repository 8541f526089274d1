"""The DistFlow model on any solver that Pyomo drives: SCIP on the cone itself, any other by outer approximation.

The same relaxation and the same certificate as ``milp``: every solve's dual bound is a lower bound of the AC objective
where the constants are proven, every configuration that the solver proposes is evaluated by AC power flow. A row keeps
the objective below the incumbent, so that the solver is done when it finds the model infeasible, whatever it calls its
gap. What the solver cannot separate by tangents or within its tolerances is excluded once it has been evaluated.

``milp`` is faster; this is for users with a solver of their own, and a rival in the benchmarks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.common.log import LoggingIntercept
from pyomo.opt import TerminationCondition

from learnopt.engines.base import SolveOptions, Stopwatch, infeasible
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.model import cone_tolerance, expected_size
from learnopt.engines.milp.relaxation import LEAST_SHARE
from learnopt.engines.milp.results import DEFAULT_GAP, searching, solve_by_rounds
from learnopt.engines.milp.rounds import Effort
from learnopt.engines.milp.tangents import Tangents
from learnopt.errors import UnsupportedError
from learnopt.formulations.cuts import (
    add_tangents,
    arc_values,
    define_cuts,
    exclude,
    proposed_configuration,
    set_cutoff,
    set_integrality,
)
from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_limits import constraint_current_cone
from learnopt.network import Configuration, Floats, Ints, Network, ReconfigurationProblem, Result
from learnopt.physics import PowerFlow

SMALLEST_GAP = 1e-5
"""What tolerances common to all solvers allow to prove; a smaller gap asked for counts as this one."""
EFFORT = Effort(probing=False, root_rounds=15, root_progress=1e-3, rounding=1e-6)
"""Pyomo hands over the whole model in every round, and solvers keep tolerances of their own."""
LEAST_TIME = 0.1
"""Least time limit passed to a solver [s]."""


@dataclass(frozen=True)
class SolverChoice:
    """A solver as Pyomo knows it.

    Parameters
    ----------
    pyomo_name
        Name for ``pyomo.environ.SolverFactory``.
    conic
        It takes convex quadratic constraints together with binaries, so the cone itself is given to it.
    install
        What to install where it is absent.
    options
        Options in the solver's own names.
    """

    pyomo_name: str
    conic: bool = False
    install: str = "install it so that Pyomo finds it"
    options: Mapping[str, Any] = field(default_factory=dict)


SCIP = SolverChoice(
    "scip_direct",
    conic=True,
    install="pip install 'learnopt[scip]'",
    # By default the cone may be violated by 1e-6 pu, which is much for the squared current of a small branch.
    options={"numerics/feastol": 1e-8},
)
GUROBI = SolverChoice(
    "gurobi_direct_v2",
    install="pip install 'learnopt[gurobi]' (without a licence it takes models of up to 2000 variables and rows)",
)


def scip_engine() -> PyomoEngine:
    """SCIP on the native conic form, through PySCIPOpt."""
    return PyomoEngine(SCIP, "scip")


def gurobi_engine() -> PyomoEngine:
    """Gurobi on the linear form, through gurobipy; its restricted licence is enough for the 33-bus feeder."""
    return PyomoEngine(GUROBI, "gurobi")


class PyomoRelaxation:
    """The DistFlow model in Pyomo; see :class:`~learnopt.engines.milp.relaxation.Relaxation`.

    Parameters
    ----------
    engine
        Runs the solver.
    coupled, _steps, losses_kw, objective, gap
        As of :class:`~learnopt.engines.milp.model.JointModel`: one load situation, no controls, nothing fixed.
    """

    def __init__(
        self,
        engine: PyomoEngine,
        coupled: Coupled,
        _steps: Sequence[ReconfigurationProblem],
        losses_kw: Floats,
        objective: float,
        gap: float,
    ) -> None:
        problem = coupled.together
        self._engine = engine
        self._data = data = DistFlowData.of(problem, float(losses_kw[0]) / problem.network.base.kw)
        self.unproven = "" if data.bounds.proven else data.bounds.reason
        self.model = build_reconfiguration(data)
        define_cuts(self.model)
        self.takes_tangents = not engine.choice.conic
        if engine.choice.conic:
            constraint_current_cone(self.model, data)
        self._tangents = Tangents(data.arcs, self._add_tangents)
        self._tolerance = cone_tolerance(coupled, expected_size(coupled, objective), gap)

    def solve_relaxation(self, time_limit: float) -> SolverRun:
        """Solve without integrality."""
        set_integrality(self.model, False)
        run = self._engine.run(self.model, time_limit)
        set_integrality(self.model, True)
        return run

    def solve(
        self,
        cutoff: float,
        gap: float,
        time_limit: float,
        heuristics: bool,
        watch: Callable[[float, int], None],
        node_limit: int | None = None,
    ) -> SolverRun:
        """Solve below a cutoff [kW], to the solver's own gap; Pyomo hears nothing of it on the way.

        A node limit is looked at between two runs only.
        """
        if math.isfinite(cutoff):
            set_cutoff(self.model, cutoff)
        return self._engine.run(self.model, time_limit)

    def _add_tangents(self, arc: Ints, alpha: Floats, beta: Floats) -> None:
        add_tangents(self.model, self._data, arc.tolist(), alpha, beta)

    def cut(self, run: SolverRun, share: float = LEAST_SHARE) -> int:
        """Tangents that the solution that the model holds violates, where the solver has no cone; returns how many."""
        if not self.takes_tangents:
            return 0
        return self._tangents.at_values(*arc_values(self.model, self._data), self._tolerance, share)

    def touch(self, t: int, flow: PowerFlow, network: Network, spacing: float = 0.0) -> int:
        """Tangents at a power flow; returns how many are new, none where it did not converge."""
        return self._tangents.at_power_flow(flow, network, spacing) if flow.converged else 0

    def proposal(self, run: SolverRun) -> Plan:
        """The configuration of the solution that the model holds."""
        return Plan((proposed_configuration(self.model, self._data),))

    def exclude(self, plan: Plan, t: int | None = None) -> None:
        """Cut off one configuration."""
        exclude(self.model, self._data, plan.configurations[0])


class PyomoEngine:
    """Outer approximation, or the conic model, on a solver driven by Pyomo.

    Parameters
    ----------
    solver
        The solver, or its name in Pyomo (``"cplex"``, ``"cbc"``, ``"highs"``, ...): it must solve mixed-integer linear
        models.
    name
        Name of the engine in results; that of the solver where absent.
    """

    def __init__(self, solver: SolverChoice | str, name: str | None = None) -> None:
        self.choice = SolverChoice(solver) if isinstance(solver, str) else solver
        self.name = name or self.choice.pyomo_name

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the AC optimum within ``options.gap`` (1e-4 by default), or return the gap reached.

        The certificate is ``ac``, or ``none`` where a constant of the relaxation could not be proven. Nodes are not
        counted: Pyomo does not report them.

        Raises
        ------
        UnsupportedError
            If the solver is not installed, or its licence does not take the model.
        """
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch)) is not None:
            return failure
        solver = self.load()
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = searching(problem, self.name, gap, options, watch)
        version = " ".join([self.choice.pyomo_name, ".".join(map(str, solver.version() or ()))]).strip()
        return solve_by_rounds(problem, search, partial(PyomoRelaxation, self), EFFORT, start, version)

    def load(self) -> Any:
        """The Pyomo solver.

        Raises
        ------
        UnsupportedError
            If it is not installed.
        """
        with _quiet():
            solver = pyo.SolverFactory(self.choice.pyomo_name)
            available = solver.available(exception_flag=False)
        if not available:
            raise UnsupportedError(
                f"engine {self.name!r}: the solver {self.choice.pyomo_name!r} is not there; {self.choice.install}"
            )
        return solver

    def run(self, model: Any, time_limit: float) -> SolverRun:
        """Solve the model as it is; a solution is loaded into it, and ``values`` are empty."""
        solver = self.load()
        arguments: dict[str, Any] = {"load_solutions": False}
        if math.isfinite(time_limit):
            arguments["timelimit"] = max(time_limit, LEAST_TIME)
        if self.choice.options:
            arguments["options"] = dict(self.choice.options)
        try:
            with _quiet():
                results = solver.solve(model, **arguments)
        except InfeasibleConstraintException:
            return SolverRun(Outcome.INFEASIBLE, math.nan, math.inf, None)
        except Exception as error:
            if "license" in str(error).lower():
                text = f"engine {self.name!r}: the licence does not take this model ({error}); use engine milp"
                raise UnsupportedError(text) from error
            raise
        condition = results.solver.termination_condition
        if condition == TerminationCondition.userInterrupt:
            raise KeyboardInterrupt
        if condition in (TerminationCondition.infeasible, TerminationCondition.infeasibleOrUnbounded):
            return SolverRun(Outcome.INFEASIBLE, math.nan, math.inf, None)
        try:
            bound = float(results.problem.lower_bound)
        except (TypeError, ValueError):
            bound = -math.inf
        bound = bound if math.isfinite(bound) else -math.inf
        if not results.solution:
            stopped = condition == TerminationCondition.maxTimeLimit
            return SolverRun(Outcome.LIMIT if stopped else Outcome.FAILED, math.nan, bound, None)
        with _quiet():
            model.solutions.load_from(results)
        return SolverRun(Outcome.OPTIMAL, math.nan, bound, np.zeros(0))


def _quiet() -> LoggingIntercept:
    """Pyomo warns on stdout of what the result says anyway."""
    return LoggingIntercept(module="pyomo", level=logging.CRITICAL)
