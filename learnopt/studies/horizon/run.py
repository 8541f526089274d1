"""The stages of a plan: proofs of every step, candidates, the bound, one model, rolling decisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.milp.coupled import Coupled, Plan
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    HorizonProblem,
    Ints,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.horizon import SAME
from learnopt.parallel import HERE, Workers
from learnopt.studies.horizon.blocks import StepProof, prove_steps
from learnopt.studies.horizon.devices import Candidate, first_candidates
from learnopt.studies.horizon.phase_flows import PhaseFlows
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.problem import HorizonPlan
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.store import HorizonFolder, StepRecord
from learnopt.studies.horizon.verdict import Verdict
from learnopt.studies.horizon.work import Work

if TYPE_CHECKING:
    from learnopt.engines.milp.results import PeriodsResult

Suggest = Callable[[ReconfigurationProblem], list[Configuration]]

MODEL_SHARE = 0.7
"""Share of the time and nodes left for one model of all steps, or for those of all windows."""


class Proofs(Protocol):
    """What proves the steps and raises the bound: tree search without controls, the MILP with them."""

    ac_kw: Floats
    """AC bounds of the loss of each step [kW], NaN where there is none, shape (n_step,)."""

    @property
    def step_proof(self) -> StepProof:
        """Finds out about one step alone."""
        ...

    def of_steps(self, records: list[StepRecord]) -> Proven:
        """What the bounds of the steps prove together."""
        ...

    def static(self, pool: Pool) -> Result:
        """Best single configuration of all steps, the cost of switching to it included."""
        ...

    def look_ahead(self, pool: Pool, ahead: HorizonProblem, state: Configuration, known: int) -> None:
        """Add candidates for a window, seen from a state."""
        ...

    def raised(self, pool: Pool, proven: Proven, records: list[StepRecord], gap: float) -> Proven:
        """What is proven of every plan after rounds until a gap is reached or nothing new is found."""
        ...

    def raises(self, told: Certificate) -> bool:
        """Rounds would raise the bound of this certificate."""
        ...


class Run:
    """One call of :func:`learnopt.studies.horizon.plan_horizon`, see there for the parameters."""

    def __init__(
        self,
        problem: HorizonProblem,
        work: Work,
        proofs: Proofs,
        gap: float,
        folder: HorizonFolder | None,
        milp: bool,
        suggest: Suggest | None,
        phases: PhaseFlows | None = None,
        workers: Workers = HERE,
    ) -> None:
        self.problem, self.work, self.proofs, self.gap = problem, work, proofs, gap
        self.workers = workers
        self.folder, self.milp, self.suggest = folder, milp, suggest
        self.phases = phases
        self.pool = Pool(problem, phases=phases)
        self.proven = Proven()
        self._suggested: list[tuple[Candidate, int]] = []

    def plan(self, window: int | None) -> HorizonPlan:
        """The plan, each step decided with ``window`` steps known; None = all."""
        stage = self.work.stage
        one_model = self.milp and window is None
        with self.work.watch.stage("steps"):
            records = self._steps()
            failed = [t for t, record in enumerate(records) if not record.configurations]
            if not failed:
                self._candidates(records)
        verdict = Verdict(self.problem, self.pool, self.work, self.gap, window)
        if failed:
            return verdict.on_failed_steps(records, failed)
        self.proven = self.proofs.of_steps(records)
        self.work.answers = True
        static: Result | None = None
        with stage("static"):
            static = self.proofs.static(self.pool)
        # One model of all steps brings its own bound: the sum of those of the steps is enough before it.
        self._bound(records, 1.0 if one_model else self.gap)
        if one_model:
            nothing: str | None = None
            with stage("milp"):
                nothing = self._together()
            if nothing is not None:
                return verdict.without_plan(Status.INFEASIBLE, nothing)
            if self._open():
                self._bound(records, self.gap)
        path = self.pool.best()
        if window is not None:
            with self.work.watch.stage("rolling"):
                path = self._rolling(window)
        if path is None:
            return verdict.without_plan(
                Status.NO_SOLUTION,
                "No sequence of the candidates found respects the caps on operations; none is proven not to exist.",
            )
        with self.work.watch.stage("judge"):
            return verdict.on_plan(path, records, self.proofs.ac_kw, static, self.proven)

    def _steps(self) -> list[StepRecord]:
        """Proof of each step."""
        folder = self.folder
        known = [None if folder is None else folder.read(t) for t in range(self.problem.n_steps)]

        def take(t: int, record: StepRecord) -> None:
            if folder is not None and record.settled:
                folder.write(t, record)

        proof = self.proofs.step_proof
        return prove_steps(self.problem.steps, proof, self.work, known, self._suggestion, take, self.workers)

    def _suggestion(self, t: int) -> Configuration | None:
        """The best configuration suggested for a step; without controls all of them are candidates."""
        step = self.problem.steps[t]
        found = [] if self.suggest is None else [c for c in self.suggest(step) if step.admits(c)]
        if not step.controls:
            self._suggested += [(Candidate(c), t) for c in found]
        return found[0] if found else None

    def _candidates(self, records: list[StepRecord]) -> None:
        """The pool, once all steps are known alone."""
        self.pool = Pool(self.problem, [record.settings[0] for record in records if record.settings], self.phases)
        first = first_candidates(self.problem, records, self._suggested)
        done, total = 0, sum(map(len, first.values()))
        for known, candidates in first.items():
            self.work.report("candidates", done, total)
            self.pool.add(candidates, known)
            done += len(candidates)

    def _bound(self, records: list[StepRecord], gap: float) -> None:
        """Raise what is proven of every plan."""
        self.proven = self.proofs.raised(self.pool, self.proven, records, gap)

    def _open(self) -> bool:
        """The gap is not reached, and rounds would raise the bound that is told."""
        path = self.pool.best()
        if path is None:
            return False
        objective = self.pool.objective_kwh(path)
        told = self.proven.certificate(objective)
        return self.proofs.raises(told) and self.proven.of(told) < objective * (1 - self.gap)

    def _together(self) -> str | None:
        """Candidates and bound of one model of all steps; why there is no plan where it proves so."""
        path = self.pool.best()
        start = None if path is None else Plan(self.pool.along(path), self.pool.settings(path))
        result = self._one_model(self.problem, start, self.proofs.ac_kw)
        if result.status is Status.INFEASIBLE:
            return result.message
        self._take(result.found, self.problem.n_steps)
        if result.proven:
            self.proven = self.proven.with_ac(result.bound_kwh)
        return None

    def _one_model(
        self, problem: HorizonProblem, start: Plan | None, bounds_kw: Floats, share: float = 1.0
    ) -> PeriodsResult:
        """One model of all steps, or of a window: its share of the time there is for them."""
        from learnopt.engines.milp.results import solve_periods  # loads Pyomo and HiGHS

        share, work = share * MODEL_SHARE, self.work
        options = SolveOptions(
            None, self.gap, work.seconds(share), work.nodes_left(share), patience=work.patient(share)
        )
        result = solve_periods(Coupled(problem), options, start, bounds_kw)
        self.work.count(result)
        return result

    def _take(self, plans: list[Plan], known: int) -> None:
        """What plans consist of are candidates."""
        for plan in plans:
            settings = plan.settings or (None,) * len(plan.configurations)
            pairs = zip(plan.configurations, settings, strict=True)
            self.pool.add([Candidate.of(self.problem, *pair) for pair in pairs], known)

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
            known = t + ahead.n_steps - 1
            self.proofs.look_ahead(pool, ahead, state, known)
            if self.milp:
                bounds_kw = self.proofs.ac_kw[t : t + ahead.n_steps]
                self._take(self._one_model(ahead, None, bounds_kw, 1 / (problem.n_steps - t)).found, known)
            choice = pool.next_step(ahead, t)
            if choice is None:
                return None
            after, now = pool.configurations[choice], pool.devices[choice]
            used = used + ((state.closed != after.closed) & problem.counted)
            changed = np.zeros(len(now), dtype=bool) if devices is None else np.abs(now - devices) > SAME
            changed_at, devices, state = np.where(changed, begin, changed_at), now, after
            path.append(choice)
        return np.array(path, dtype=np.int64)
