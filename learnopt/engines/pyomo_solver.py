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
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.common.log import LoggingIntercept
from pyomo.opt import TerminationCondition

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
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
from learnopt.formulations.distflow import DistFlowData, build_reconfiguration, constraint_current_cone
from learnopt.network import Certificate, Configuration, Floats, Ints, ReconfigurationProblem, Result, Status
from learnopt.physics import evaluate, power_flow

DEFAULT_GAP = 1e-4
SMALLEST_GAP = 1e-5
"""What tolerances common to all solvers allow to prove; a smaller gap asked for counts as this one."""
ROUNDING = 1e-6
"""Relative margin taken off a bound for the tolerances of the solver."""
RANDOM_STARTS = 8
NEIGHBOURS = 30
ROOT_ROUNDS = 15
ROOT_PROGRESS = 1e-3
"""Stop the rounds on the linear relaxation when one raises the bound by less than this share."""
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


@dataclass(frozen=True)
class Run:
    """Outcome of one solve by Pyomo; the model holds the solution if ``solved``."""

    solved: bool
    infeasible: bool
    bound: float


@dataclass
class _State:
    """What is known so far: incumbent, bound [kW], and everything evaluated."""

    problem: ReconfigurationProblem
    gap: float
    limit: float
    watch: Stopwatch
    incumbent: Configuration | None = None
    objective: float = math.inf
    bound: float = -math.inf
    seen: set[Configuration] = field(default_factory=set)

    def offer(self, configuration: Configuration | None) -> None:
        """Take a configuration as incumbent if the judge finds it feasible and better."""
        if configuration is None or configuration in self.seen:
            return
        self.seen.add(configuration)
        evaluation = evaluate(self.problem, configuration)
        if not evaluation.feasible or not self.problem.admits(configuration):
            return
        objective = evaluation.loss_kw + self.problem.switching_cost * self.problem.operations(configuration)
        if objective < self.objective:
            self.incumbent, self.objective = configuration, objective

    @property
    def closed(self) -> bool:
        """Bound and incumbent have met within the gap."""
        if not math.isfinite(self.objective):
            return False
        return self.objective - self.bound <= self.gap * max(abs(self.objective), 1e-9)

    @property
    def cutoff(self) -> float:
        """Nothing is of interest unless it is better than the incumbent by more than the gap."""
        return self.objective - 0.9 * self.gap * abs(self.objective)

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.limit - self.watch.elapsed

    @property
    def stopped(self) -> Status:
        """Status of a run that ends without proof."""
        return Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE


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
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch)) is not None:
            return failure
        solver = self.load()
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        limit = math.inf if options.time_limit is None else options.time_limit
        state = _State(problem, gap, limit, watch)
        try:
            status, message = self._prove(solver, state, options.seed, start)
        except KeyboardInterrupt:
            status, message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        return conclude(
            problem,
            self.name,
            watch,
            configuration=state.incumbent,
            status=status,
            certificate=Certificate.AC,
            dual_bound_kw=state.bound if status is not Status.INFEASIBLE else None,
            message=message,
            engine_version=" ".join([self.choice.pyomo_name, ".".join(map(str, solver.version() or ()))]).strip(),
        )

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

    def _prove(self, solver: Any, state: _State, seed: int, start: Configuration | None) -> tuple[Status, str]:
        problem, watch = state.problem, state.watch
        kw = problem.network.base.kw
        with watch.stage("incumbent"):
            found = find_incumbent(problem, start, np.random.default_rng(seed), RANDOM_STARTS, 0.2 * state.limit, watch)
            state.offer(found)
        if not problem.free.any():
            return self._without_choice(state)
        with watch.stage("build"):
            data = DistFlowData.of(problem, state.objective / kw)
            model = build_reconfiguration(data)
            define_cuts(model)
            tangents = None
            if self.choice.conic:
                constraint_current_cone(model, data)
            else:
                tangents = Tangents(model, data)
                points = [state.incumbent or found]
                if points[0] is not None:
                    points += LocalSearch(problem).neighbours(points[0], NEIGHBOURS)
                for point in points:
                    tangents.at_configuration(point)

        def raise_bound(value: float) -> None:
            if data.bounds.proven and math.isfinite(value):
                state.bound = max(state.bound, value - ROUNDING * abs(value))

        if tangents is not None:
            with watch.stage("root"):
                self._root(solver, state, model, tangents, raise_bound)
        while not state.closed:
            if state.remaining <= 0:
                return state.stopped, f"Time limit of {state.limit:g} s reached."
            cutoff = math.inf
            if state.incumbent is not None:
                cutoff = state.cutoff
                set_cutoff(model, cutoff)
            with watch.stage("solver"):
                run = self.run(solver, model, state.remaining)
            if run.infeasible:
                if state.incumbent is not None:
                    raise_bound(cutoff)
                    break
                if data.bounds.proven:
                    return Status.INFEASIBLE, "No radial configuration respects the limits: a relaxation is infeasible."
                return Status.NO_SOLUTION, f"No configuration was found; {data.bounds.reason}."
            raise_bound(min(run.bound, cutoff))
            if not run.solved:
                if state.remaining > 0:
                    return state.stopped, "The solver stopped without a solution; the result is what was known before."
                continue
            with watch.stage("tangents"):
                proposal = proposed_configuration(model, data)
                repeated = proposal in state.seen
                state.offer(proposal)
                if (better := LocalSearch(problem).improve(proposal)) is not None:
                    state.offer(better[0])
                added = 0
                if tangents is not None:
                    added = tangents.at_solution() + tangents.at_configuration(proposal)
                if repeated or not added:
                    exclude(model, data, proposal)  # it has been evaluated
        if not data.bounds.proven:
            return state.stopped, f"No certificate: {data.bounds.reason}."
        if not state.closed:
            return state.stopped, "The solver's tolerances leave a larger gap than asked for."
        return Status.OPTIMAL, f"AC optimum within a gap of {state.gap:g}."

    @staticmethod
    def _without_choice(state: _State) -> tuple[Status, str]:
        """Nothing to decide: the judge has the last word on the only configuration."""
        if state.incumbent is not None:
            state.bound = state.objective
            return Status.OPTIMAL, "The only radial configuration."
        only = radial_start(state.problem)
        evaluation = evaluate(state.problem, only)
        reasons = "; ".join([*state.problem.faults(only), *evaluation.violations][:3])
        proven = evaluation.converged or not state.problem.admits(only)
        status = Status.INFEASIBLE if proven else Status.NO_SOLUTION
        return status, f"The only radial configuration is not feasible: {reasons}."

    def _root(self, solver: Any, state: _State, model: Any, tangents: Tangents, raise_bound: Any) -> None:
        """Tangents at solutions of the linear relaxation, as long as they raise its bound."""
        set_integrality(model, False)
        previous = -math.inf
        for _ in range(ROOT_ROUNDS):
            if state.remaining <= 0:
                break
            run = self.run(solver, model, state.remaining)
            if not run.solved or not math.isfinite(run.bound):
                break
            raise_bound(run.bound)
            if not tangents.at_solution() or run.bound < previous + ROOT_PROGRESS * abs(run.bound):
                break
            previous = run.bound
        set_integrality(model, True)

    def run(self, solver: Any, model: Any, time_limit: float) -> Run:
        """Solve the model as it is; a solution is loaded into it."""
        arguments: dict[str, Any] = {"load_solutions": False}
        if math.isfinite(time_limit):
            arguments["timelimit"] = max(time_limit, LEAST_TIME)
        if self.choice.options:
            arguments["options"] = dict(self.choice.options)
        try:
            with _quiet():
                results = solver.solve(model, **arguments)
        except InfeasibleConstraintException:
            return Run(False, True, math.inf)
        except Exception as error:
            if "license" in str(error).lower():
                text = f"engine {self.name!r}: the licence does not take this model ({error}); use engine milp"
                raise UnsupportedError(text) from error
            raise
        condition = results.solver.termination_condition
        if condition == TerminationCondition.userInterrupt:
            raise KeyboardInterrupt
        none = condition in (TerminationCondition.infeasible, TerminationCondition.infeasibleOrUnbounded)
        solved = not none and len(results.solution) > 0
        if solved:
            with _quiet():
                model.solutions.load_from(results)
        try:
            bound = float(results.problem.lower_bound)
        except (TypeError, ValueError):
            bound = -math.inf
        return Run(solved, none, bound if math.isfinite(bound) else -math.inf)


def _quiet() -> LoggingIntercept:
    """Pyomo warns on stdout of what the result says anyway."""
    return LoggingIntercept(module="pyomo", level=logging.CRITICAL)


class Tangents:
    """Tangents of the current cone in a Pyomo model, each added once."""

    def __init__(self, model: Any, data: DistFlowData) -> None:
        self._model, self._data = model, data
        self._seen: set[tuple[int, float, float]] = set()

    def _add(self, arcs: Ints, alpha: Floats, beta: Floats) -> int:
        keys = [(int(a), float(f"{alpha[i]:.5g}"), float(f"{beta[i]:.5g}")) for i, a in enumerate(arcs)]
        fresh = [i for i, key in enumerate(keys) if key not in self._seen]
        self._seen.update(keys)
        add_tangents(self._model, self._data, arcs[fresh].tolist(), alpha[fresh], beta[fresh])
        return len(fresh)

    def at_configuration(self, configuration: Configuration | None) -> int:
        """Touch the cone where a configuration operates; returns the number of new tangents."""
        if configuration is None:
            return 0
        flow = power_flow(self._data.problem, configuration)
        if not flow.converged:
            return 0
        arcs = self._data.arcs
        used = np.flatnonzero(flow.feed[arcs.head] == arcs.branch)
        sending = flow.v[arcs.tail[used]] * np.sqrt(arcs.sending_scale[used])
        ratio = flow.current[arcs.head[used]].conjugate() / sending.conjugate()  # S / |V|^2 before the impedance
        return self._add(used, ratio.real, ratio.imag)

    def at_solution(self) -> int:
        """Touch the cone where the model's solution lies outside it; returns the number of new tangents."""
        p, q, ell, w = arc_values(self._model, self._data)
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (p**2 + q**2) / w
            cut = np.flatnonzero((w > 1e-5) & (needed - ell > 1e-9 + 1e-4 * needed))
        return self._add(cut, p[cut] / w[cut], q[cut] / w[cut])
