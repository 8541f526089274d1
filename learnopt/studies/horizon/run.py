"""The stages of a plan: proofs of every step, the bound, one model, rolling decisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.tree.coverage import ac_obstacles, tight_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
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
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.problem import HorizonPlan
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.rounds import Rounds
from learnopt.studies.horizon.store import HorizonFolder, StepRecord
from learnopt.studies.horizon.verdict import Verdict
from learnopt.studies.horizon.work import Work

if TYPE_CHECKING:
    from learnopt.engines.milp.coupled import Plan
    from learnopt.engines.milp.periods import PeriodsResult

Suggest = Callable[[ReconfigurationProblem], list[Configuration]]

LOOSE_SECONDS = 2.0
"""Longest search for the configuration of a step where the tight AC bounds do not apply."""
MODEL_SHARE = 0.7
"""Share of the time left for one model of all steps, or for those of all windows."""
STATIC_SHARE = 0.3
"""Share of the time limit for the best single configuration."""


class Run:
    """One call of :func:`learnopt.studies.horizon.plan_horizon`, see there for the parameters."""

    def __init__(
        self,
        problem: HorizonProblem,
        work: Work,
        gap: float,
        k_best: int,
        folder: HorizonFolder | None,
        milp: bool,
        suggest: Suggest | None,
    ) -> None:
        self.problem, self.work, self.gap, self.k_best = problem, work, gap, k_best
        self.folder, self.milp, self.suggest = folder, milp, suggest
        self.proven = Proven()
        self.ac_kw: Floats = np.full(problem.n_steps, math.nan)
        """AC bounds of the loss of each step [kW], shape (n_step,)."""
        self._prepare()

    def _prepare(self) -> None:
        self.pool = Pool(self.problem)
        together = self.problem.together
        self.certificate = Certificate.MODEL if tight_obstacles(together) else Certificate.AC
        """Of the searches, and of the bound that rounds raise."""
        # Only the bound for mixed signs proves something of the AC problem.
        self.loose = self.certificate is Certificate.MODEL and not ac_obstacles(together)
        self._rounds = Rounds(self.problem, self.pool, self.work, self.loose)

    def plan(self, window: int | None) -> HorizonPlan:
        """The plan, each step decided with ``window`` steps known; None = all."""
        verdict = Verdict(self.problem, self.pool, self.work, self.gap, window)
        stage = self.work.watch.stage
        one_model = self.milp and window is None
        with stage("steps"):
            records = self._steps()
        failed = [t for t, record in enumerate(records) if not record.configurations]
        if failed:
            return verdict.on_failed_steps(records, failed)
        with stage("static"):
            static = self._static()
        # One model of all steps brings its own bound: the sum of those of the steps is enough before it.
        self._bound(records, 1.0 if one_model else self.gap)
        if one_model:
            with stage("milp"):
                nothing = self._together()
            if nothing is not None:
                return verdict.without_plan(Status.INFEASIBLE, nothing)
            if self._open():
                self._bound(records, self.gap)
        path = self.pool.best()
        if window is not None:
            with stage("rolling"):
                path = self._rolling(window)
        if path is None:
            return verdict.without_plan(
                Status.NO_SOLUTION,
                "No sequence of the candidates found respects the caps on operations; none is proven not to exist.",
            )
        with stage("judge"):
            return verdict.on_plan(path, self._settings(path), records, self.ac_kw, static, self.proven)

    def _solve(
        self,
        problem: ReconfigurationProblem,
        start: Configuration | None,
        k_best: int,
        seconds: float = math.inf,
        gap: float | None = None,
    ) -> Result:
        left = max(min(seconds, self.work.left), 1e-3)
        result = TreeSearchEngine(k_best=k_best).solve(
            problem,
            SolveOptions(certify=self.certificate, time_limit=left if math.isfinite(left) else None, gap=gap),
            start,
        )
        self._count(result)
        return result

    def _count(self, result: Result | PeriodsResult) -> None:
        """Its nodes are counted; an interrupt during a search ends the run."""
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        self.work.nodes += result.nodes

    def _steps(self) -> list[StepRecord]:
        """Proof of each step, with the answer of the step before as start."""
        records: list[StepRecord] = []
        start: Configuration | None = None
        for t, step in enumerate(self.problem.steps):
            self.work.report("steps", t, self.problem.n_steps)
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
        self._account(records)
        self.work.report("steps", self.problem.n_steps, self.problem.n_steps)
        return records

    def _account(self, records: list[StepRecord]) -> None:
        """What the bounds of the steps prove together."""
        for t, record in enumerate(records):
            if record.bound_kw is not None and record.certificate is Certificate.AC:
                self.ac_kw[t] = record.bound_kw
        if np.isfinite(self.ac_kw).all():
            self.proven = self.proven.with_ac(float(self.problem.hours @ self.ac_kw))
        elif not self.problem.controls:
            self.certificate = Certificate.MODEL

    def _suggested(self, step: ReconfigurationProblem, t: int) -> Configuration | None:
        """The best configuration suggested for a step; those that are candidates by themselves are taken."""
        found = [] if self.suggest is None else [c for c in self.suggest(step) if step.admits(c)]
        if found and not step.controls:
            self.pool.add(found, known=t)
        return found[0] if found else None

    def _record(self, step: ReconfigurationProblem, start: Configuration | None) -> StepRecord:
        """The best configurations of one step, proven to the end where that is quick."""
        if self.loose:
            result = self._solve(step, start, 1, LOOSE_SECONDS, self.gap)
            if result.configuration is None and result.status is not Status.INFEASIBLE:
                result = self._solve(step, start, 1, gap=self.gap)
        else:
            result = self._solve(step, start, self.k_best)
        found = [] if result.configuration is None else [result.configuration]
        found += [a.configuration for a in result.alternatives if a.configuration not in found]
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, tuple(found))

    def _take(self, record: StepRecord, t: int) -> None:
        """Candidates from the record of step ``t``."""
        self.pool.add(record.configurations, known=t)

    def _take_initial(self) -> None:
        """Candidates once all steps are known."""
        self.pool.add([self.problem.initial], known=0)

    def _static(self) -> Result:
        """Best single configuration of all steps, the cost of switching to it included."""
        path = self.pool.best()
        start = None if path is None else self.pool.configurations[int(np.bincount(path).argmax())]
        result = self._solve(self.problem.together, start, 1, STATIC_SHARE * self.work.limit)
        if result.configuration is not None:
            self.pool.add([result.configuration], known=self.problem.n_steps)
        return result

    def _bound(self, records: list[StepRecord], gap: float) -> None:
        """Raise what is proven; where the AC bound is loose after that of the model, at its prices and for its plan."""
        with self.work.watch.stage("bound"):
            self._raise(records, gap)
        if self.loose:
            with self.work.watch.stage("proofs"):
                self.proven = self._rounds.raised(self.proven, Certificate.AC, records, gap)
            self.ac_kw = self._rounds.ac_kw
            path = self.pool.best()
            if path is not None and self.proven.held != tuple(self.pool.configurations[k] for k in path):
                with self.work.watch.stage("bound"):
                    self._raise(records, gap)  # the searches found a better plan: the model is that of its voltages

    def _raise(self, records: list[StepRecord], gap: float) -> None:
        """Raise the bound of every plan until a gap is reached or nothing new is found."""
        self.proven = self._rounds.raised(self.proven, self.certificate, records, gap)

    def _open(self) -> bool:
        """The gap is not reached, and rounds would raise the bound that is told."""
        path = self.pool.best()
        if path is None:
            return False
        objective = self.pool.objective_kwh(path)
        told = self.proven.certificate(objective)
        return (self.loose or told in (self.certificate, Certificate.NONE)) and self.proven.of(told) < objective * (
            1 - self.gap
        )

    def _together(self) -> str | None:
        """Candidates and bound of one model of all steps; why there is no plan where it proves so."""
        path = self.pool.best()
        result = self._one_model(self.problem, None if path is None else self._plan_of(path), self.ac_kw)
        if result.status is Status.INFEASIBLE:
            return result.message
        self._take_plans(result.found, self.problem.n_steps)
        if result.proven:
            self.proven = self.proven.with_ac(result.bound_kwh)
        return None

    def _one_model(
        self, problem: HorizonProblem, start: Plan | None, bounds_kw: Floats, share: float = 1.0
    ) -> PeriodsResult:
        """One model of all steps, or of a window: its share of the time there is for them."""
        from learnopt.engines.milp.coupled import Coupled  # loads Pyomo and HiGHS
        from learnopt.engines.milp.periods import solve_periods

        left = None if math.isinf(self.work.limit) else max(share * MODEL_SHARE * self.work.left, 0.05)
        result = solve_periods(Coupled(problem), SolveOptions(gap=self.gap, time_limit=left), start, bounds_kw)
        self._count(result)
        return result

    def _rolling(self, window: int) -> Ints | None:
        """The plan of limited knowledge, decided step by step."""
        problem, pool = self.problem, self.pool
        state, used, path = problem.initial, np.zeros(problem.network.n_branch, dtype=np.int64), []
        devices = problem.devices
        changed_at = np.full(len(problem.rest_hours), -math.inf) if problem.rested is None else -problem.rested
        for t in range(problem.n_steps):
            self.work.report("rolling", t, problem.n_steps)
            begin = float(problem.begins[t])
            ahead = problem.ahead(t, window, state, used, devices, begin - changed_at)
            self._look_ahead(ahead, t, state)
            if self.milp:
                known = t + ahead.n_steps - 1
                found = self._one_model(ahead, None, self.ac_kw[t : t + ahead.n_steps], 1 / (problem.n_steps - t)).found
                self._take_plans(found, known)
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

    # What differs where a candidate has settings of devices too.

    def _take_plans(self, plans: list[Plan], known: int) -> None:
        for plan in plans:
            self._take_plan(plan, known)

    def _take_plan(self, plan: Plan, known: int) -> None:
        self.pool.add(plan.configurations, known)

    def _plan_of(self, path: Ints) -> Plan:
        """A sequence of candidates as a plan."""
        from learnopt.engines.milp.coupled import Plan

        return Plan(tuple(self.pool.configurations[k] for k in path))

    def _devices(self, candidate: int) -> Floats:
        """Settings of the devices of a candidate, shape (n_device,)."""
        return np.zeros(0)

    def _settings(self, path: Ints) -> tuple[Settings, ...]:
        """Settings of the controls in each step; empty without controls."""
        return ()
