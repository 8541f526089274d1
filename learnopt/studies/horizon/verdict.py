"""The answer of a horizon: the plan as the independent power flow sees it, beside what is proven."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learnopt.engines.base import AGREEMENT, PICOWATT, disagreement
from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    Floats,
    HorizonProblem,
    Ints,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.result import relative_gap
from learnopt.physics import evaluate, evaluate_as_it_is
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.problem import HorizonPlan
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work


class Verdict:
    """Makes the answer of one call of :func:`learnopt.studies.horizon.plan_horizon`.

    Parameters
    ----------
    problem, pool, work
        The horizon, its candidates, time and effort.
    gap
        Relative gap asked for.
    window
        Steps known ahead; None = all.
    """

    def __init__(self, problem: HorizonProblem, pool: Pool, work: Work, gap: float, window: int | None = None) -> None:
        self.problem, self.pool, self.work, self.gap, self.window = problem, pool, work, gap, window

    def on_plan(
        self,
        path: Ints,
        records: list[StepRecord],
        ac_kw: Floats,
        static: Result | None,
        proven: Proven,
    ) -> HorizonPlan:
        """The answer with a plan.

        Parameters
        ----------
        path
            Candidates of the steps.
        records
            Of the steps alone.
        ac_kw
            AC bounds of the loss of each step [kW], NaN where there is none, shape (n_step,).
        static
            The best single configuration of all steps; None where nobody waited for it.
        proven
            Bounds of every plan.
        """
        judged = self._judged(path)
        if not judged.configurations:
            return judged
        return self._beside(self._proven(judged, records, ac_kw, proven), static)

    def _judged(self, path: Ints) -> HorizonPlan:
        """The plan and what it costs; none where the judge refuses a step."""
        problem, pool = self.problem, self.pool
        configurations, settings = pool.along(path), pool.settings(path)
        steps = [step.applied(settings[t]) if settings else step for t, step in enumerate(problem.steps)]
        phases, pairs = pool.phases, list(zip(steps, configurations, strict=True))
        if phases is None:
            evaluations = tuple(evaluate(step, c) for step, c in pairs)
        else:
            evaluations = tuple(phases.judged(step, t, c) for t, (step, c) in enumerate(pairs))
        refused = [t for t, e in enumerate(evaluations) if not e.feasible]
        if refused:
            reasons = "; ".join(evaluations[refused[0]].violations[:3])
            message = f"The independent power flow does not accept the plan. Step {refused[0]}: {reasons}"
            return self.without_plan(Status.NO_SOLUTION, message)
        energy = float(problem.hours @ np.array([e.loss_kw for e in evaluations]))
        operations = tuple(int(n) for n in pool.operations(path))
        changes = tuple(problem.device_changes(settings)) if settings else ()
        doubt = self._doubt(steps, configurations, evaluations) if phases is None else ""
        summaries = () if phases is None else (phases.summary(t, c) for t, c in enumerate(configurations))
        return replace(
            self.without_plan(Status.FEASIBLE, doubt),
            phases=tuple(summary for summary in summaries if summary is not None),
            configurations=configurations,
            evaluations=evaluations,
            settings=settings,
            operations=operations,
            changes=changes,
            energy_kwh=energy,
            objective_kwh=energy + problem.switching_cost * sum(operations) + problem.control_cost * sum(changes),
        )

    def _proven(self, plan: HorizonPlan, records: list[StepRecord], ac_kw: Floats, proven: Proven) -> HorizonPlan:
        """A plan, its message a doubt or empty, with what is proven of it."""
        objective = plan.objective_kwh
        assert objective is not None
        doubt = plan.message
        if not doubt and math.isfinite(proven.ac_kwh) and proven.ac_kwh > objective * (1 + AGREEMENT) + PICOWATT:
            doubt = (
                f"Nothing is proven: the bound of {proven.ac_kwh:.7g} kWh lies above the plan's {objective:.7g} kWh."
            )
        if doubt:
            proven = Proven()
        certificate = proven.certificate(objective)
        bound = min(proven.of(certificate), objective)
        known = certificate is not Certificate.NONE
        # A bound of the model for the voltages of another plan settles nothing of this one.
        own = proven.held == plan.configurations
        speaks = certificate is Certificate.AC or own
        settled = known and speaks and objective - bound <= max(self.gap, AGREEMENT) * objective + PICOWATT
        gap = relative_gap(objective, bound) if known else math.inf
        of_steps = [math.nan if r.bound_kw is None else r.bound_kw for r in records]
        return replace(
            plan,
            status=Status.OPTIMAL if settled else self._unsettled,
            certificate=certificate,
            message=" ".join(filter(None, [doubt, self._message(settled, certificate, speaks, gap)])),
            dual_bound_kwh=bound if known else None,
            ac_bound_kwh=min(proven.ac_kwh, objective) if math.isfinite(proven.ac_kwh) else None,
            model_bound_kwh=min(proven.model_kwh, objective) if own and math.isfinite(proven.model_kwh) else None,
            step_bound_kw=ac_kw if certificate is Certificate.AC else np.array(of_steps),
        )

    @property
    def _unsettled(self) -> Status:
        return Status.INTERRUPTED if self.work.interrupted else Status.FEASIBLE

    def _beside(self, plan: HorizonPlan, static: Result | None) -> HorizonPlan:
        """A plan with what it is compared to: no switching at all, and one configuration for all steps."""
        hours = float(self.problem.hours.sum())
        normal = self._normal()
        broken = sum(not e.feasible for e in normal)
        energy = None if broken else float(self.problem.hours @ np.array([e.loss_kw for e in normal]))
        plan = replace(plan, normal_kwh=energy, normal_violations=broken)
        if static is None:
            return plan
        counts = plan.certificate is not Certificate.AC or static.certificate is Certificate.AC

        def kwh(kw: float | None) -> float | None:
            return None if kw is None else kw * hours

        return replace(
            plan,
            static=static.configuration,
            static_kwh=kwh(static.loss_kw),
            static_objective_kwh=kwh(static.objective_kw),
            static_bound_kwh=kwh(static.dual_bound_kw) if counts else None,
        )

    def _normal(self) -> Sequence[Evaluation]:
        """The state before the first step in each step."""
        if self.pool.phases is not None:
            return self.pool.phases.present()
        alone = self.problem.together.replace(max_operations=None)
        return evaluate_as_it_is(alone, self.problem.initial).situations

    def without_plan(self, status: Status, message: str) -> HorizonPlan:
        """The answer where there is no plan."""
        return HorizonPlan(
            status=status,
            message=message,
            candidates=len(self.pool.configurations),
            rounds=self.work.rounds,
            nodes=self.work.nodes,
            solve_time_s=self.work.watch.elapsed,
            stage_times_s=dict(self.work.watch.stages),
        )

    def on_failed_steps(self, records: list[StepRecord], failed: list[int]) -> HorizonPlan:
        """The answer where steps have no configuration at all."""
        excluded = [t for t in failed if records[t].status is Status.INFEASIBLE]
        t = (excluded or failed)[0]
        name = self.problem.scenarios[t].name
        message = f"{len(excluded or failed)} of {self.problem.n_steps} steps have no configuration, first {name!r}: "
        status = Status.INFEASIBLE if excluded else Status.NO_SOLUTION
        return self.without_plan(status, message + records[t].message)

    @staticmethod
    def _doubt(
        steps: list[ReconfigurationProblem],
        configurations: tuple[Configuration, ...],
        evaluations: tuple[Evaluation, ...],
    ) -> str:
        """Why nothing is proven of a plan, whatever the bounds; empty where judge and sweep agree in every step."""
        for step, configuration, judged in zip(steps, configurations, evaluations, strict=True):
            if reason := disagreement(step, configuration, judged):
                return f"Nothing is proven: in step {step.scenario.name!r} {reason}."
        return ""

    def _message(self, settled: bool, certificate: Certificate, speaks: bool, gap: float) -> str:
        sentences = []
        if self.window is not None:
            sentences.append(
                f"Each step was decided with {self.window} steps known; the bound is that of full knowledge."
            )
        elif not settled and (self.work.late or self.work.contented):
            sentences.append(self.work.reached(gap))
        elif not settled:
            sentences.append("The bound stopped rising before the gap was reached.")
        if certificate is Certificate.MODEL:
            whose = "the plan" if speaks else "another plan"
            sentences.append(f"The bound holds for load currents held at the voltages of {whose}.")
        return " ".join(sentences)
