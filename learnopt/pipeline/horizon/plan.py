"""The plan of a horizon: candidates from proofs of every step, dynamic programming, and a bound that closes the gap."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.tree.coverage import ac_obstacles, tight_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.priced import priced_bound
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.errors import DataError
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    HorizonProblem,
    Ints,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)
from learnopt.network.horizon import SAME
from learnopt.physics import evaluate
from learnopt.pipeline.horizon.bound import Prices, best_at, find_prices
from learnopt.pipeline.horizon.pool import Pool
from learnopt.pipeline.horizon.problem import HorizonPlan
from learnopt.pipeline.horizon.store import HorizonFolder, StepRecord

if TYPE_CHECKING:
    from learnopt.engines.milp.periods import PeriodsResult, Plan

Suggest = Callable[[ReconfigurationProblem], list[Configuration]]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

ROUNDS = 30
"""Rounds of the bound; a handful is usual."""
LOOSE_SHARE, LOOSE_SECONDS = 0.3, 2.0
"""Where the tight AC bounds do not apply: gap of a step in the rounds as a share of the gap asked for, and the longest
search for its configurations."""
ROUGH_GAP = 0.02
"""Gap of the AC bound of a step alone there: the rounds that follow are to tighten it."""
USEFUL_SHARE = 0.9
"""AC bounds of mixed signs that are less than this share of the energy lost give way to those of the model."""
MODEL_SHARE = 0.7
"""Share of the time left for one model of all steps."""
STATIC_SHARE = 0.3
"""Share of the time limit for the best single configuration."""


def plan_horizon(
    problem: HorizonProblem,
    *,
    window: int | None = None,
    gap: float = 1e-3,
    time_limit: float | None = None,
    k_best: int = 4,
    out: Path | None = None,
    milp: bool = False,
    suggest: Suggest | None = None,
    progress: Progress | None = None,
) -> HorizonPlan:
    """Plan a horizon.

    1. Tree search proves the least loss of every step and its ``k_best`` configurations, each step starting from the
       answer of the one before; then the best single configuration of all steps, switching to it included.
    2. Dynamic programming over all candidates gives the plan.
    3. Rounds of Lagrangian decomposition (:mod:`learnopt.pipeline.horizon.bound`) raise the bound and add candidates,
       until the gap is reached or no candidate is new.

    Parameters
    ----------
    window
        Steps known ahead: each step is decided in turn with the loads of so many steps from it on (model predictive
        control). None = all are known from the start. The bound is always that of full knowledge.
    gap
        Relative gap at which the rounds stop.
    time_limit
        Seconds for everything; None = no limit.
    k_best
        Configurations proven per step.
    out
        Folder that keeps what is proven of each step; an interrupted run goes on from there.
    milp
        Solve the steps, of each window where there is one, as one mixed-integer model too
        (:mod:`learnopt.engines.milp.periods`): its plans are candidates, its bound counts. For short horizons or
        windows.
    suggest
        Gives configurations worth trying for the problem of a step, the best first: starts and candidates.

    Raises
    ------
    DataError
        If the window, the gap, the time limit or the folder does not fit.
    """
    bad = []
    if window is not None and not 1 <= window <= problem.n_steps:
        bad.append(f"window = {window} must be from 1 to the {problem.n_steps} steps of the profile")
    if not (math.isfinite(gap) and gap >= 0):
        bad.append(f"gap = {gap} must be a finite number >= 0")
    if time_limit is not None and not time_limit > 0:
        bad.append(f"time_limit = {time_limit} must be > 0 [s]")
    if k_best < 1:
        bad.append(f"k_best = {k_best} must be >= 1")
    if bad:
        raise DataError("horizon", bad)
    folder = None if out is None else HorizonFolder(out, problem, k_best)
    seconds = math.inf if time_limit is None else time_limit
    if problem.controls:
        from learnopt.pipeline.horizon.controlled import ControlledRun  # loads the MILP: only where it is needed

        return ControlledRun(problem, seconds, k_best, folder, milp, suggest, progress).plan(window, gap)
    return Run(problem, seconds, k_best, folder, milp, suggest, progress).plan(window, gap)


def step_bounds(records: list[StepRecord]) -> Floats:
    """Bounds of the AC loss of each step [kW], NaN where none is proven, shape (n_step,)."""
    return np.array(
        [math.nan if r.bound_kw is None or r.certificate is not Certificate.AC else r.bound_kw for r in records]
    )


class Run:
    """One call of :func:`plan_horizon`."""

    def __init__(
        self,
        problem: HorizonProblem,
        limit: float,
        k_best: int,
        folder: HorizonFolder | None,
        milp: bool,
        suggest: Suggest | None,
        progress: Progress | None,
    ) -> None:
        self.problem = problem
        self.limit = limit
        self.k_best = k_best
        self.folder = folder
        self.milp = milp
        self.suggest = suggest
        self.report = progress or (lambda _what, _done, _total: None)
        self.watch = Stopwatch()
        self.gap = 0.0
        self.loose = False
        self.metrics: list[Relaxation | None] = [None] * problem.n_steps
        self.nodes = 0
        self.rounds = 0
        self._prepare()

    def _prepare(self) -> None:
        self.pool = Pool(self.problem)
        self.certificate = Certificate.MODEL if tight_obstacles(self.problem.together) else Certificate.AC
        # Only the bound for mixed signs proves something of the AC problem.
        self.loose = self.certificate is Certificate.MODEL and not ac_obstacles(self.problem.together)

    def plan(self, window: int | None, gap: float) -> HorizonPlan:
        """The plan, see :func:`plan_horizon`."""
        self.gap = gap
        with self.watch.stage("steps"):
            records = self._steps()
        failed = [t for t, record in enumerate(records) if not record.configurations]
        if failed:
            return self._failure(records, failed)
        with self.watch.stage("static"):
            static = self._static()
        if self.loose:
            with self.watch.stage("proofs"):
                records = self._prove_steps(records)
        with self.watch.stage("bound"):
            # One model of all steps brings its own bound: the sum of those of the steps is enough before it.
            bound = self._bound(records, 1.0 if self.milp and window is None else gap)
        exact = self.certificate is Certificate.AC  # of the candidates: only then the two bounds compare
        if self.milp and window is None:
            with self.watch.stage("milp"):
                bound, nothing = self._together(records, bound)
            if nothing is not None:
                return self._empty(Status.INFEASIBLE, nothing)
            best = self.pool.best()
            if exact and best is not None and bound < self.pool.objective_kwh(best) * (1 - gap):
                with self.watch.stage("bound"):
                    bound = max(bound, self._bound(records, gap))
        path = self.pool.best()
        if window is not None and window < self.problem.n_steps:
            with self.watch.stage("rolling"):
                path = self._rolling(window, records)
        if path is None:
            message = (
                "No sequence of the candidates found respects the caps on operations; none is proven not to exist."
            )
            return replace(self._empty(Status.NO_SOLUTION, message), certificate=Certificate.NONE)
        with self.watch.stage("judge"):
            return self._judged(path, records, static, bound, gap, window)

    def _solve(
        self,
        problem: ReconfigurationProblem,
        start: Configuration | None,
        k_best: int,
        seconds: float = math.inf,
        gap: float | None = None,
    ) -> Result:
        left = max(min(seconds, self.limit - self.watch.elapsed), 1e-3)
        result = TreeSearchEngine(k_best=k_best).solve(
            problem,
            SolveOptions(certify=self.certificate, time_limit=left if math.isfinite(left) else None, gap=gap),
            start,
        )
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        self.nodes += result.nodes
        return result

    def _effort(self) -> tuple[int, float, float | None]:
        """Number of best configurations, seconds and gap of a step: proven to the end where that is quick."""
        return (1, LOOSE_SECONDS, self.gap) if self.loose else (self.k_best, math.inf, None)

    def _steps(self) -> list[StepRecord]:
        """Proof of each step, with the answer of the step before as start."""
        records: list[StepRecord] = []
        start: Configuration | None = None
        for t, step in enumerate(self.problem.steps):
            self.report("steps", t, self.problem.n_steps)
            record = None if self.folder is None else self.folder.read(t)
            if record is None:
                start = self._suggested(step, t) or start
                record = self._record(step, start)
                if self.folder is not None and record.settled:
                    self.folder.write(t, record)
            records.append(record)
            self._take(record, t)
            if record.configurations:
                start = record.configurations[0]
        self._take_initial()
        if any(record.certificate is not Certificate.AC for record in records):
            self.certificate = Certificate.MODEL
        self.report("steps", self.problem.n_steps, self.problem.n_steps)
        return records

    def _suggested(self, step: ReconfigurationProblem, t: int) -> Configuration | None:
        """The best configuration suggested for a step; those that are candidates by themselves are taken."""
        found = [] if self.suggest is None else [c for c in self.suggest(step) if step.admits(c)]
        if found and not step.controls:
            self.pool.add(found, known=t)
        return found[0] if found else None

    def _record(self, step: ReconfigurationProblem, start: Configuration | None) -> StepRecord:
        """The best configurations of one step, proven."""
        result = self._solve(step, start, *self._effort())
        found = [] if result.configuration is None else [result.configuration]
        found += [a.configuration for a in result.alternatives if a.configuration not in found]
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, tuple(found))

    def _take(self, record: StepRecord, t: int) -> None:
        """Candidates from the record of step ``t``."""
        self.pool.add(record.configurations, known=t)

    def _take_initial(self) -> None:
        self.pool.add([self.problem.initial], known=0)

    def _static(self) -> Result:
        """Best single configuration of all steps, the cost of switching to it included."""
        path = self.pool.best()
        start = None if path is None else self.pool.configurations[int(np.bincount(path).argmax())]
        result = self._solve(self.problem.together, start, 1, STATIC_SHARE * self.limit)
        if result.configuration is not None:
            self.pool.add([result.configuration], known=self.problem.n_steps)
        return result

    def _prove_steps(self, records: list[StepRecord]) -> list[StepRecord]:
        """The records with AC bounds of mixed signs, where these say enough; else as they are."""
        proven: list[StepRecord] = []
        found: list[Configuration] = []
        total = 0.0
        for t, (step, record) in enumerate(zip(self.problem.steps, records, strict=True)):
            if self.watch.elapsed > self.limit:
                return records
            self.report("proofs", t, self.problem.n_steps)
            reference = record.configurations[0]
            nothing = np.zeros(self.problem.network.n_branch)
            priced = priced_bound(step, nothing, reference, reference, Certificate.AC, gap=ROUGH_GAP)
            self.metrics[t], self.nodes = priced.metric, self.nodes + priced.nodes
            found += priced.found
            proven.append(replace(record, certificate=Certificate.AC, bound_kw=priced.bound_kw))
            total += priced.bound_kw * float(self.problem.hours[t])
        self.pool.add(found, known=self.problem.n_steps)
        least = self.pool.energy_kwh.min(axis=1).sum()
        if not total >= USEFUL_SHARE * least:
            return records
        self.certificate = Certificate.AC
        return proven

    def _bound(self, records: list[StepRecord], gap: float) -> float:
        """Proven lower bound of every plan [kWh]; raises it until the gap is reached or nothing new is found."""
        problem, pool = self.problem, self.pool
        hours = problem.hours
        ac = self.certificate is Certificate.AC
        alone = [math.nan if r.bound_kw is None else r.bound_kw for r in records]
        plain = float(np.nan_to_num(hours @ np.array(alone), nan=-math.inf))
        best = plain if ac else -math.inf
        prices: Prices | None = None
        calibrated: list[int] | None = None
        coarse = 1e-3
        while self.rounds < ROUNDS and self.watch.elapsed < self.limit:
            path = pool.best()
            if path is None:
                break
            objective = pool.objective_kwh(path)
            if not ac and path.tolist() != calibrated:
                # The currents of the model are those of the plan: another plan, another model.
                own = all(pool.configurations[k] == r.configurations[0] for k, r in zip(path, records, strict=True))
                best, calibrated = plain if own else -math.inf, path.tolist()
            if best >= objective * (1 - gap) - 1e-12:
                break
            prices = find_prices(pool, prices)
            # Far from the gap asked for, rough proofs do.
            if math.isfinite(best) and objective > 0:
                coarse = min(coarse, max(0.1 * gap, 0.05 * (1 - best / objective)))
            reference, total = best_at(pool, prices), prices.constant(pool)
            found: list[Configuration] = []
            for t, step in enumerate(problem.steps):
                if self.watch.elapsed > self.limit:
                    total = -math.inf  # the round is not complete, what it found is kept
                    break
                self.report(f"bound, round {self.rounds + 1}", t, problem.n_steps)
                priced = priced_bound(
                    step,
                    prices.by_step[t] / hours[t],
                    pool.configurations[reference[t]],
                    pool.configurations[path[t]],
                    self.certificate,
                    gap=max(coarse, LOOSE_SHARE * gap) if self.loose else coarse,
                    metric=self.metrics[t],
                )
                self.metrics[t] = priced.metric or self.metrics[t]
                total += priced.bound_kw * hours[t]
                self.nodes += priced.nodes
                found += priced.found
            self.rounds += 1
            best = max(best, total)
            if not pool.add(found, known=problem.n_steps):
                if coarse <= 0.1 * gap:
                    break
                coarse *= 0.1
        return best

    def _together(self, records: list[StepRecord], bound: float) -> tuple[float, str | None]:
        """The bound with that of one model of all steps, and why there is no plan where it proves so."""
        path = self.pool.best()
        result = self._one_model(self.problem, None if path is None else self._plan_of(path), step_bounds(records))
        if result.status is Status.INFEASIBLE:
            return bound, result.message
        self._take_plans(result.found, self.problem.n_steps)
        if result.proven and math.isfinite(result.bound_kwh):
            if self.certificate is not Certificate.AC:  # that of the model holds for the AC losses themselves
                self.certificate, bound = Certificate.AC, -math.inf
            bound = max(bound, result.bound_kwh)
        return bound, None

    def _one_model(self, problem: HorizonProblem, start: Plan | None, bounds_kw: Floats) -> PeriodsResult:
        from learnopt.engines.milp.periods import Coupled, solve_periods  # loads Pyomo and HiGHS

        left = None if math.isinf(self.limit) else max(MODEL_SHARE * (self.limit - self.watch.elapsed), 0.05)
        result = solve_periods(Coupled(problem), SolveOptions(gap=self.gap, time_limit=left), start, bounds_kw)
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        self.nodes += result.nodes
        return result

    def _take_plans(self, plans: list[Plan], known: int) -> None:
        for plan in plans:
            self._take_plan(plan, known)

    def _take_plan(self, plan: Plan, known: int) -> None:
        self.pool.add(plan.configurations, known)

    def _plan_of(self, path: Ints) -> Plan:
        """A sequence of candidates as a plan."""
        from learnopt.engines.milp.periods import Plan

        return Plan(tuple(self.pool.configurations[k] for k in path))

    def _rolling(self, window: int, records: list[StepRecord]) -> Ints | None:
        """The plan of limited knowledge, decided step by step."""
        problem, pool = self.problem, self.pool
        state, used, path = problem.initial, np.zeros(problem.network.n_branch, dtype=np.int64), []
        devices = problem.devices
        changed_at = np.full(len(problem.rest_hours), -math.inf) if problem.rested is None else -problem.rested
        for t in range(problem.n_steps):
            self.report("rolling", t, problem.n_steps)
            begin = float(problem.begins[t])
            ahead = problem.ahead(t, window, state, used, devices, begin - changed_at)
            self._look_ahead(ahead, t, state)
            if self.milp:
                known = t + ahead.n_steps - 1
                bounds = step_bounds(records[t : t + ahead.n_steps])
                self._take_plans(self._one_model(ahead, None, bounds).found, known)
            choice = pool.next_step(ahead, t)
            if choice is None:
                return None
            after = pool.configurations[choice]
            used = used + ((state.closed != after.closed) & problem.counted)
            state = after
            path.append(choice)
            now = self._devices(choice)
            changed = np.zeros(len(now), dtype=bool) if devices is None else np.abs(now - devices) > SAME
            changed_at, devices = np.where(changed, begin, changed_at), now
        return np.array(path, dtype=np.int64)

    def _look_ahead(self, ahead: HorizonProblem, t: int, state: Configuration) -> None:
        """The best single configuration of a window is a candidate too."""
        result = self._solve(ahead.together, state, 1)
        if result.configuration is not None:
            self.pool.add([result.configuration], known=t + ahead.n_steps - 1)

    def _devices(self, candidate: int) -> Floats:
        """Settings of the devices of a candidate, shape (n_device,)."""
        return np.zeros(0)

    def _settings(self, path: Ints) -> tuple[Settings, ...]:
        """Settings of the controls in each step; empty without controls."""
        return ()

    def _judged(
        self, path: Ints, records: list[StepRecord], static: Result, bound: float, gap: float, window: int | None
    ) -> HorizonPlan:
        problem, pool = self.problem, self.pool
        configurations = tuple(pool.configurations[k] for k in path)
        settings = self._settings(path)
        applied = [step.applied(settings[t]) if settings else step for t, step in enumerate(problem.steps)]
        evaluations = tuple(evaluate(step, c) for step, c in zip(applied, configurations, strict=True))
        refused = [t for t, e in enumerate(evaluations) if not e.feasible]
        if refused:
            message = f"Step {refused[0]}: {'; '.join(evaluations[refused[0]].violations[:3])}"
            return self._empty(Status.NO_SOLUTION, f"The independent power flow does not accept the plan. {message}")
        energy = float(problem.hours @ np.array([e.loss_kw for e in evaluations]))
        operations = tuple(int(n) for n in pool.operations(path))
        changes = tuple(problem.device_changes(settings)) if settings else ()
        objective = energy + problem.switching_cost * sum(operations) + problem.control_cost * sum(changes)
        known = math.isfinite(bound)
        bound = min(bound, objective)
        settled = known and bound >= objective * (1 - gap) - 1e-9
        normal = evaluate(problem.together.replace(max_operations=None), problem.initial)
        hours = float(problem.hours.sum())
        return HorizonPlan(
            status=Status.OPTIMAL if settled else Status.FEASIBLE,
            certificate=self.certificate if known else Certificate.NONE,
            message=self._message(settled, window),
            configurations=configurations,
            evaluations=evaluations,
            settings=settings,
            operations=operations,
            changes=changes,
            energy_kwh=energy,
            objective_kwh=objective,
            dual_bound_kwh=bound if known else None,
            step_bound_kw=np.array([math.nan if r.bound_kw is None else r.bound_kw for r in records]),
            normal_kwh=normal.loss_kw * hours if normal.feasible else None,
            normal_violations=sum(not e.feasible for e in normal.scenarios or (normal,)),
            static=static.configuration,
            static_kwh=None if static.loss_kw is None else static.loss_kw * hours,
            static_objective_kwh=None if static.objective_kw is None else static.objective_kw * hours,
            static_bound_kwh=None if static.dual_bound_kw is None else static.dual_bound_kw * hours,
            candidates=len(pool.configurations),
            rounds=self.rounds,
            nodes=self.nodes,
            solve_time_s=self.watch.elapsed,
            stage_times_s=dict(self.watch.stages),
        )

    def _message(self, settled: bool, window: int | None) -> str:
        sentences = []
        if window is not None and window < self.problem.n_steps:
            sentences.append(f"Each step was decided with {window} steps known; the bound is that of full knowledge.")
        elif not settled and self.watch.elapsed >= self.limit:
            sentences.append(f"Time limit of {self.limit:g} s reached.")
        elif not settled:
            sentences.append("The bound stopped rising before the gap was reached.")
        if self.certificate is Certificate.MODEL:
            sentences.append("The bound holds for load currents held at the voltages of the plan.")
        return " ".join(sentences)

    def _failure(self, records: list[StepRecord], failed: list[int]) -> HorizonPlan:
        excluded = [t for t in failed if records[t].status is Status.INFEASIBLE]
        t = (excluded or failed)[0]
        name = self.problem.scenarios[t].name
        message = f"{len(excluded or failed)} of {self.problem.n_steps} steps have no configuration, first {name!r}: "
        status = Status.INFEASIBLE if excluded else Status.NO_SOLUTION
        return self._empty(status, message + records[t].message)

    def _empty(self, status: Status, message: str) -> HorizonPlan:
        return HorizonPlan(
            status=status,
            message=message,
            candidates=len(self.pool.configurations),
            nodes=self.nodes,
            solve_time_s=self.watch.elapsed,
            stage_times_s=dict(self.watch.stages),
        )
