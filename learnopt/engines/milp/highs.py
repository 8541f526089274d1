"""HiGHS, driven directly: a Pyomo model compiled once to matrices, then rows appended and solved again.

The only module that calls HiGHS. Any other Pyomo solver can solve the same model through Pyomo.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import highspy
import numpy as np
import pyomo.environ as pyo
from pyomo.common.errors import InfeasibleConstraintException
from pyomo.opt import WriterFactory

from learnopt.network import Floats, Ints

VERSION = highspy.Highs().version()
"""Version of the HiGHS library in use."""

LEAST_OBJECTIVE = 100.0
"""Objectives are scaled up to this size."""
MOST_DOUBTED = 1000
"""Nodes up to which "no solution" is asked for a second time, by presolve and another seed."""
REPORT_INTERVAL = 0.2
"""Seconds between two reports from inside a run."""


class Outcome(Enum):
    """How a run of the solver ended."""

    OPTIMAL = "optimal within the gap"
    INFEASIBLE = "no solution, or none below the cutoff"
    LIMIT = "stopped by a limit"
    INTERRUPTED = "stopped by the user"
    FAILED = "the solver reported an error"


@dataclass(frozen=True)
class SolverRun:
    """Outcome of one run.

    Parameters
    ----------
    outcome
        How it ended.
    objective
        Objective of ``values``; NaN without a solution.
    bound
        Proven lower bound of the model (at most the cutoff where the model is infeasible below it).
    values
        Column values, None without a solution.
    nodes
        Branch-and-bound nodes.
    reduced_costs
        Of every column of a linear relaxation solved to optimality, per unit of the variable; else None.
    """

    outcome: Outcome
    objective: float
    bound: float
    values: Floats | None
    nodes: int = 0
    reduced_costs: Floats | None = None


class CompiledModel:
    """A minimisation model in HiGHS that grows by rows.

    Parameters
    ----------
    model
        Linear Pyomo model; it is compiled on construction and not looked at again.
    threads
        Threads for HiGHS.
    size
        Order of the objectives to expect. Small ones are scaled up inside: HiGHS's tolerances are absolute, and a
        reduced cost that counts as zero must be small against the objective.
    units
        Variables and the unit in which HiGHS counts them, for those whose values are far below 1: its
        tolerances are absolute there too. Rows are multiplied up to match.
    """

    def __init__(
        self,
        model: pyo.ConcreteModel,
        threads: int = 1,
        size: float = LEAST_OBJECTIVE,
        units: Sequence[tuple[Iterable[Any], float]] = (),
    ) -> None:
        self._infeasible = False
        self._unit = max(1.0, LEAST_OBJECTIVE / size) if size > 0 else 1.0
        self._interrupted = False
        try:
            form = WriterFactory("compile_standard_form").write(model, mixed_form=True)
        except InfeasibleConstraintException:
            # A constraint without variables that does not hold: there is nothing to solve.
            self._infeasible = True
            form = WriterFactory("compile_standard_form").write(_empty_model(), mixed_form=True)
        self._column = {id(variable): k for k, variable in enumerate(form.columns)}
        self._variables = form.columns
        self.n_columns = len(form.columns)
        unit_of = {id(variable): unit for variables, unit in units for variable in variables}
        self._scale = np.array([unit_of.get(id(v), 1.0) for v in form.columns])
        matrix = form.A.tocsr()
        n_rows = self.n_rows = matrix.shape[0]
        coefficients = matrix.data * self._scale[matrix.indices]
        # (An empty row takes the next one's largest coefficient; it has no coefficient to scale.)
        upscale = self._upscale(np.maximum.reduceat(np.append(np.abs(coefficients), 0.0), matrix.indptr[:-1]))
        coefficients *= np.repeat(upscale, np.diff(matrix.indptr))
        sense = np.array([bound_type for _, bound_type in form.rows], dtype=int)
        rhs = np.asarray(form.rhs, dtype=float) * upscale
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.n_columns, n_rows
        costs = np.zeros(self.n_columns)
        cost_matrix = form.c.tocoo()
        costs[cost_matrix.coords[1]] = cost_matrix.data
        lp.col_cost_ = costs * self._unit * self._scale
        self._offset = float(form.c_offset[0]) if len(form.c_offset) else 0.0
        lp.offset_ = self._offset * self._unit
        lp.col_lower_ = np.array([-math.inf if v.lb is None else v.lb for v in form.columns]) / self._scale
        lp.col_upper_ = np.array([math.inf if v.ub is None else v.ub for v in form.columns]) / self._scale
        lp.row_lower_ = np.where(sense == 1, -math.inf, rhs)
        lp.row_upper_ = np.where(sense == -1, math.inf, rhs)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = matrix.indptr
        lp.a_matrix_.index_ = matrix.indices
        lp.a_matrix_.value_ = coefficients
        self._integer = np.array([v.is_integer() or v.is_binary() for v in form.columns], dtype=bool)
        self.n_integers = int(self._integer.sum())
        self._highs = highspy.Highs()
        # No presolve. It takes small coefficients, resistances, for pivots and divides what a row misses by them, and
        # fixes columns by rows that their bounds fulfil by a tolerance only. HiGHS 1.15 cut off optima by forcing rows,
        # by substitution with two terms (bounds up to 5 % too high in 2 of 100 random feeders) and with more (153 times
        # too high at seed 221683 of the attack), and found feasible models of tiny flows infeasible. It saves no time.
        # Without it, too, HiGHS takes models for infeasible that are not (a bound 5 % too high at seed 303479: large
        # flows): so both ways are asked before that is believed.
        self._set(output_flag=False, threads=threads, random_seed=0, presolve="off")
        self._set(small_matrix_value=1e-12)  # a dropped coefficient of a tangent would cut off the AC state
        self._highs.passModel(lp)
        self._mixed = False

    def _upscale(self, largest: Floats) -> Floats:
        """Power of two that brings the largest coefficient of a row near 1, where columns have units of their own."""
        if not (self._scale < 1).any():
            return np.ones(len(largest))
        return np.where(largest > 0, 2.0 ** np.ceil(-np.log2(np.clip(largest, 1e-300, 1.0))), 1.0)

    def columns(self, variables: Sequence[Any]) -> Ints:
        """Column of each Pyomo variable; -1 for one that appears in no row and not in the objective."""
        return np.array([self._column.get(id(v), -1) for v in variables], dtype=np.int64)

    def load(self, values: Floats) -> None:
        """Give a solution to the variables of the Pyomo model."""
        for variable, value in zip(self._variables, values.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)

    def add_rows(self, columns: Ints, coefficients: Floats, lower: Floats) -> None:
        """Append rows of equal length: ``sum(coefficients * x[columns]) >= lower``.

        Parameters
        ----------
        columns, coefficients
            shape (n_rows, n_terms).
        lower
            shape (n_rows,).
        """
        n_rows, n_terms = columns.shape
        if n_terms == 0 and (lower > 0).any():
            self._infeasible = True  # a row without terms that does not hold
        if n_rows and n_terms:
            coefficients = coefficients * self._scale[columns]
            upscale = self._upscale(np.abs(coefficients).max(axis=1))
            coefficients = coefficients * upscale[:, None]
            status = self._highs.addRows(
                n_rows,
                lower * upscale,
                np.full(n_rows, math.inf),
                n_rows * n_terms,
                np.arange(n_rows, dtype=np.int32) * n_terms,
                columns.astype(np.int32).ravel(),
                coefficients.ravel(),
            )
            if status == highspy.HighsStatus.kError:
                raise ValueError(f"HiGHS {VERSION} does not take {n_rows} rows of {n_terms} terms")

    def fix(self, columns: Ints, values: Floats) -> None:
        """Fix columns to values."""
        self.set_bounds(columns, values, values)

    def set_bounds(self, columns: Ints, lower: Floats, upper: Floats) -> None:
        """Change the bounds of columns, be they fixed before or not."""
        scale = self._scale[columns]
        for column, low, high in zip(columns, lower / scale, upper / scale, strict=True):
            self._highs.changeColBounds(int(column), float(low), float(high))

    def bound(self, columns: Ints, lower: Floats, upper: Floats) -> None:
        """Set the bounds of columns, shape (n,) each."""
        self._highs.changeColsBounds(len(columns), columns.astype(np.int32), lower, upper)

    def solve_relaxation(self, time_limit: float = math.inf) -> SolverRun:
        """Solve the linear relaxation, from the last basis."""
        self._integrality(False)
        run = self._run(time_limit)
        return run if run.outcome is not Outcome.INFEASIBLE else self._asked_again(time_limit, math.inf, None, run)

    def solve(
        self,
        *,
        cutoff: float = math.inf,
        gap: float = 1e-5,
        time_limit: float = math.inf,
        heuristics: bool = True,
        node_limit: int | None = None,
        watch: Callable[[float, int], None] | None = None,
        quick: bool = False,
    ) -> SolverRun:
        """Solve the mixed-integer model.

        Parameters
        ----------
        cutoff
            Only solutions with a smaller objective are of interest.
        gap
            Relative gap to stop at, HiGHS's definition: |objective - bound| / |objective|.
        heuristics
            Let HiGHS search for solutions by sub-MIPs; a waste where a good one is in hand.
        node_limit
            Most branch-and-bound nodes; None = no limit.
        watch
            Called on the way with the bound (minus infinity before there is one) and the number of nodes. With it
            Ctrl-C ends the run as ``INTERRUPTED``, with its bound; without it Ctrl-C is raised as ever.
        quick
            With presolve, which is quick where much is fixed. Solutions may be missed and bounds wrong (see the
            constructor): for who takes solutions only, and judges them.
        """
        self._integrality(True)
        self._highs.clearSolver()  # an old solution would be offered again, be it above the cutoff
        self._set(
            objective_bound=cutoff * self._unit,
            mip_rel_gap=gap,
            mip_abs_gap=0.0,
            mip_max_nodes=2**31 - 1 if node_limit is None else node_limit,
            mip_allow_restart=False,
            mip_heuristic_effort=0.05 if heuristics else 0.0,
            mip_heuristic_run_feasibility_jump=heuristics,
            mip_heuristic_run_rins=heuristics,
            mip_heuristic_run_rens=heuristics,
            mip_heuristic_run_root_reduced_cost=heuristics,
        )
        if quick:
            self._set(presolve="on")
            try:
                return self._run(time_limit, cutoff, watch)
            finally:
                self._set(presolve="off")
        started = time.perf_counter()
        run = self._run(time_limit, cutoff, watch)
        if run.outcome is not Outcome.INFEASIBLE or run.nodes > MOST_DOUBTED:
            return run
        return self._asked_again(time_limit - (time.perf_counter() - started), cutoff, watch, run)

    def _asked_again(
        self, time_limit: float, cutoff: float, watch: Callable[[float, int], None] | None, run: SolverRun
    ) -> SolverRun:
        """A run that found no solution, where presolve and another seed find none either: else what that run says.

        A second run that ends at a limit or by an error has not confirmed the first: the verdict is not believed.
        """
        if self._infeasible:
            return run
        self._highs.clearSolver()
        self._set(presolve="on", random_seed=1)
        try:
            again = self._run(time_limit, cutoff, watch)
        finally:
            self._set(presolve="off", random_seed=0)
        return replace(again, nodes=run.nodes + again.nodes)

    def _integrality(self, mixed: bool) -> None:
        if mixed != self._mixed:
            kinds = [
                highspy.HighsVarType.kInteger if i and mixed else highspy.HighsVarType.kContinuous
                for i in self._integer
            ]
            indices = np.arange(self.n_columns, dtype=np.int32)
            self._highs.changeColsIntegrality(
                self.n_columns, indices, np.array([k.value for k in kinds], dtype=np.uint8)
            )
            self._mixed = mixed
            if not mixed:
                self._set(objective_bound=math.inf)

    def _set(self, **options: Any) -> None:
        for key, value in options.items():
            if self._highs.setOptionValue(key, value) == highspy.HighsStatus.kError:
                raise ValueError(f"HiGHS {VERSION} does not take option {key} = {value!r}")

    @contextmanager
    def _listening(self, watch: Callable[[float, int], None] | None) -> Iterator[None]:
        """HiGHS calls back: Ctrl-C stops it, so does what ``watch`` raises, which is raised again afterwards."""
        self._interrupted, raised, due = False, [], time.perf_counter() + REPORT_INTERVAL

        def stop(*_: Any) -> None:
            self._interrupted = True

        def called(event: Any) -> None:
            nonlocal due
            if watch is not None and self._mixed and not self._interrupted and time.perf_counter() >= due:
                due = time.perf_counter() + REPORT_INTERVAL
                try:
                    watch(event.data_out.mip_dual_bound / self._unit, max(int(event.data_out.mip_node_count), 0))
                except BaseException as error:  # must not pass through C++
                    raised.append(error)
                    self._interrupted = True
            if self._interrupted:
                event.interrupt()

        # Python hears of Ctrl-C between two of its own instructions, which are those of the callback.
        main = threading.current_thread() is threading.main_thread()
        previous = signal.signal(signal.SIGINT, stop) if main else None
        callbacks = (self._highs.cbMipInterrupt, self._highs.cbSimplexInterrupt)
        for callback in callbacks:
            callback.subscribe(called)
        try:
            yield
        finally:
            for callback in callbacks:
                callback.unsubscribe(called)
            if main:
                signal.signal(signal.SIGINT, previous or signal.SIG_DFL)
        if raised and not isinstance(raised[0], KeyboardInterrupt):
            raise raised[0]

    def _run(
        self, time_limit: float, cutoff: float = math.inf, watch: Callable[[float, int], None] | None = None
    ) -> SolverRun:
        if self._infeasible:
            return SolverRun(Outcome.INFEASIBLE, math.nan, cutoff, None)
        if self.n_columns == 0:
            return SolverRun(Outcome.OPTIMAL, self._offset, min(self._offset, cutoff), np.zeros(0))
        # HiGHS counts time over the life of the object for linear models, from zero for each mixed-integer run.
        spent = 0.0 if self._mixed else self._highs.getRunTime()
        self._set(time_limit=spent + max(time_limit, 0.0))
        with self._listening(watch):
            self._highs.run()
        status = self._highs.getModelStatus()
        info = self._highs.getInfo()
        kinds = highspy.HighsModelStatus
        outcome = {
            kinds.kOptimal: Outcome.OPTIMAL,
            kinds.kInfeasible: Outcome.INFEASIBLE,
            kinds.kUnboundedOrInfeasible: Outcome.INFEASIBLE,
            kinds.kObjectiveBound: Outcome.INFEASIBLE,
            kinds.kTimeLimit: Outcome.LIMIT,
            kinds.kIterationLimit: Outcome.LIMIT,
            kinds.kSolutionLimit: Outcome.LIMIT,
            kinds.kObjectiveTarget: Outcome.LIMIT,
            kinds.kInterrupt: Outcome.INTERRUPTED,
        }.get(status, Outcome.FAILED)
        if self._interrupted:
            if watch is None:
                raise KeyboardInterrupt
            outcome = Outcome.INTERRUPTED
        solved = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        values = np.array(self._highs.getSolution().col_value) * self._scale if solved else None
        objective = info.objective_function_value / self._unit if solved else math.nan
        if self._mixed:
            bound = info.mip_dual_bound / self._unit if outcome is not Outcome.INFEASIBLE else cutoff
            nodes = max(int(info.mip_node_count), 0)
        else:
            bound = (
                objective if outcome is Outcome.OPTIMAL else (math.inf if outcome is Outcome.INFEASIBLE else -math.inf)
            )
            nodes = 0
        if outcome is Outcome.FAILED:
            bound = -math.inf
        reduced = None
        if not self._mixed and outcome is Outcome.OPTIMAL:
            reduced = np.array(self._highs.getSolution().col_dual) / (self._unit * self._scale)
        return SolverRun(outcome, objective, min(bound, cutoff), values, nodes, reduced)


def _empty_model() -> pyo.ConcreteModel:
    model = pyo.ConcreteModel()
    model.unused = pyo.Var(bounds=(0.0, 1.0))
    model.objective = pyo.Objective(expr=model.unused)
    return model
