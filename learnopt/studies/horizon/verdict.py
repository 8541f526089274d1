"""The answer of a horizon: the plan as the independent power flow sees it, beside what is proven."""

from __future__ import annotations

import math

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
        static: Result,
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
            The best single configuration of all steps.
        proven
            Bounds of every plan.
        """
        problem, pool = self.problem, self.pool
        plan, settings = pool.along(path), pool.settings(path)
        applied = [step.applied(settings[t]) if settings else step for t, step in enumerate(problem.steps)]
        evaluations = tuple(evaluate(step, c) for step, c in zip(applied, plan, strict=True))
        refused = [t for t, e in enumerate(evaluations) if not e.feasible]
        if refused:
            message = f"Step {refused[0]}: {'; '.join(evaluations[refused[0]].violations[:3])}"
            return self.without_plan(
                Status.NO_SOLUTION, f"The independent power flow does not accept the plan. {message}"
            )
        energy = float(problem.hours @ np.array([e.loss_kw for e in evaluations]))
        operations = tuple(int(n) for n in pool.operations(path))
        changes = tuple(problem.device_changes(settings)) if settings else ()
        objective = energy + problem.switching_cost * sum(operations) + problem.control_cost * sum(changes)
        certificate = proven.certificate(objective)
        bound = min(proven.of(certificate), objective)
        known = certificate is not Certificate.NONE
        # A bound of the model for the voltages of another plan settles nothing of this one.
        speaks = certificate is Certificate.AC or proven.held == plan
        doubt = self._doubt(applied, plan, evaluations, objective, proven)
        if doubt:
            known, certificate, bound = False, Certificate.NONE, -math.inf
        settled = known and speaks and objective - bound <= max(self.gap, AGREEMENT) * objective + PICOWATT
        of_steps = [math.nan if r.bound_kw is None else r.bound_kw for r in records]
        static_counts = certificate is not Certificate.AC or static.certificate is Certificate.AC
        hours = float(problem.hours.sum())
        normal = evaluate_as_it_is(problem.together.replace(max_operations=None), problem.initial)
        return HorizonPlan(
            status=Status.OPTIMAL if settled else Status.FEASIBLE,
            certificate=certificate,
            message=" ".join(filter(None, [doubt, self._message(settled, certificate, speaks)])),
            configurations=plan,
            evaluations=evaluations,
            settings=settings,
            operations=operations,
            changes=changes,
            energy_kwh=energy,
            objective_kwh=objective,
            dual_bound_kwh=bound if known else None,
            ac_bound_kwh=min(proven.ac_kwh, objective) if math.isfinite(proven.ac_kwh) and not doubt else None,
            model_bound_kwh=(
                min(proven.model_kwh, objective)
                if math.isfinite(proven.model_kwh) and proven.held == plan and not doubt
                else None
            ),
            step_bound_kw=ac_kw if certificate is Certificate.AC else np.array(of_steps),
            normal_kwh=normal.loss_kw * hours if normal.feasible else None,
            normal_violations=sum(not e.feasible for e in normal.situations),
            static=static.configuration,
            static_kwh=None if static.loss_kw is None else static.loss_kw * hours,
            static_objective_kwh=None if static.objective_kw is None else static.objective_kw * hours,
            static_bound_kwh=static.dual_bound_kw * hours
            if static.dual_bound_kw is not None and static_counts
            else None,
            candidates=len(pool.configurations),
            rounds=self.work.rounds,
            nodes=self.work.nodes,
            solve_time_s=self.work.watch.elapsed,
            stage_times_s=dict(self.work.watch.stages),
        )

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
        plan: tuple[Configuration, ...],
        evaluations: tuple[Evaluation, ...],
        objective: float,
        proven: Proven,
    ) -> str:
        """Why nothing is proven of a plan, whatever the bounds; empty where judge, sweep and AC bound fit together."""
        for step, configuration, judged in zip(steps, plan, evaluations, strict=True):
            if reason := disagreement(step, configuration, judged):
                return f"Nothing is proven: in step {step.scenario.name!r} {reason}."
        if math.isfinite(proven.ac_kwh) and proven.ac_kwh > objective * (1 + AGREEMENT) + PICOWATT:
            return f"Nothing is proven: the bound of {proven.ac_kwh:.7g} kWh lies above the plan's {objective:.7g} kWh."
        return ""

    def _message(self, settled: bool, certificate: Certificate, speaks: bool) -> str:
        sentences = []
        if self.window is not None:
            sentences.append(
                f"Each step was decided with {self.window} steps known; the bound is that of full knowledge."
            )
        elif not settled and self.work.late:
            sentences.append(f"Time limit of {self.work.limit:g} s reached.")
        elif not settled:
            sentences.append("The bound stopped rising before the gap was reached.")
        if certificate is Certificate.MODEL:
            whose = "the plan" if speaks else "another plan"
            sentences.append(f"The bound holds for load currents held at the voltages of {whose}.")
        return " ".join(sentences)
