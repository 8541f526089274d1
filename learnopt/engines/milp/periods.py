"""Several periods in one mixed-integer model (:mod:`learnopt.formulations.periods`), by outer approximation.

The rounds are those of :mod:`learnopt.engines.milp.outer_approximation`, with tangents in every period: the model is
always a relaxation, so its dual bound holds for the AC energy of every plan; every plan it proposes goes to the
independent power flow. The constants of each period are proven for the losses that a plan as good as the incumbent can
have in it (:mod:`learnopt.engines.milp.ceilings`), and switches whose other state costs more are fixed in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from learnopt.engines.base import PICOWATT, SolveOptions, Stopwatch, unsettled
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.fixed_loops import refuse_fixed_loops
from learnopt.engines.milp.ceilings import Ceilings
from learnopt.engines.milp.coupled import DEVICES, TIED, Coupled, Plan, follow
from learnopt.engines.milp.engine import DEFAULT_GAP, SMALLEST_GAP
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.joint_model import JointModel
from learnopt.engines.milp.outer_approximation import Effort
from learnopt.engines.milp.rounding import least_of
from learnopt.network import Floats, Status
from learnopt.physics import evaluate, power_flow

RELATIVE_SHARE = 0.3
"""Share of the gap by which a squared current of a proposed solution may lie outside the cone."""
DOUBT = "Some power flows could not be settled; the bound leaves room for them."


@dataclass
class PeriodsResult:
    """What is known: the best plan with its objective, and a proven bound [kWh]; ``proven`` says whether it is one.

    ``cap_kwh``: least bound of the plans with a configuration that was left aside without its power flow being settled;
    no bound rises above it.
    """

    status: Status = Status.NO_SOLUTION
    message: str = ""
    plan: Plan | None = None
    objective_kwh: float = math.inf
    bound_kwh: float = -math.inf
    cap_kwh: float = math.inf
    proven: bool = True
    nodes: int = 0
    found: list[Plan] = field(default_factory=list)


def solve_periods(
    coupled: Coupled,
    options: SolveOptions,
    start: Plan | None = None,
    step_bounds_kw: Floats | None = None,
    effort: Effort | None = None,
) -> PeriodsResult:
    """Solve periods as one model.

    Parameters
    ----------
    start
        A plan to be beaten, of any quality; one that breaks a rule is ignored.
    step_bounds_kw
        Proven bounds of the loss of each period alone [kW], shape (n_period,); 0 where NaN or absent.
    """
    run = _Run(coupled, options, effort or Effort(), step_bounds_kw)
    try:
        run.result.status, run.result.message = run.solve(start)
    except KeyboardInterrupt:
        run.result.status, run.result.message = Status.INTERRUPTED, "Interrupted; this is the best plan so far."
    result = run.result
    result.bound_kwh = min(result.bound_kwh, result.objective_kwh)
    return result


class _Run:
    """One call of :func:`solve_periods`."""

    def __init__(self, coupled: Coupled, options: SolveOptions, effort: Effort, bounds: Floats | None) -> None:
        self.coupled, self.effort, self.watch = coupled, effort, Stopwatch()
        self.gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        self.limit = math.inf if options.time_limit is None else options.time_limit
        self.result = PeriodsResult()
        self.ceilings = Ceilings(coupled, bounds)
        self._seen: set[Plan] = set()
        self._excluded: list[tuple[int | None, Plan]] = []

    @property
    def cutoff(self) -> float:
        """Nothing is of interest unless it is better than the incumbent by more than the gap [kWh]."""
        best = self.result.objective_kwh
        return best - 0.9 * self.gap * abs(best) if math.isfinite(best) else math.inf

    @property
    def closed(self) -> bool:
        best, bound = self.result.objective_kwh, self.result.bound_kwh
        return math.isfinite(best) and best - bound <= self.gap * max(abs(best), PICOWATT)

    @property
    def remaining(self) -> float:
        return self.limit - self.watch.elapsed

    @property
    def stopped(self) -> Status:
        return Status.NO_SOLUTION if self.result.plan is None else Status.FEASIBLE

    def solve(self, start: Plan | None) -> tuple[Status, str]:
        """Status and message; the result holds the rest."""
        refuse_fixed_loops(self.coupled.horizon.steps[0], "one model of several periods", {"controls": None})
        if reasons := self.coupled.horizon.steps[0].contradictions:
            return Status.INFEASIBLE, "No radial configuration exists: " + "; ".join(reasons)
        if start is not None:
            self.offer(start)
        while True:
            if (end := self._prove()) is not None:
                return end

    def offer(self, plan: Plan) -> None:
        """Take a plan as incumbent if the judge finds it feasible and better."""
        if plan in self._seen:
            return
        self._seen.add(plan)
        objective = self.coupled.objective(plan)
        if math.isfinite(objective):
            self.result.found.append(plan)
        if objective < self.result.objective_kwh:
            self.result.plan, self.result.objective_kwh = plan, objective

    def _prove(self) -> tuple[Status, str] | None:
        """Rounds from the incumbent as it is; None where a first incumbent was found, to start over with it."""
        coupled, effort, result = self.coupled, self.effort, self.result
        steps, plan = coupled.horizon.steps, result.plan
        slack = result.objective_kwh + 1e-6 * abs(result.objective_kwh) + PICOWATT
        if plan is not None and len(steps) > 1 and not coupled.worst and not self.ceilings.bounds.any():
            self.ceilings.bound_periods(plan, slack, self.watch, self.limit)
        ceiling = math.inf
        if plan is not None and effort.probing and not coupled.horizon.controls:
            ceiling = self.cutoff
            reduced = self.ceilings.fixed(plan, ceiling)
            if reduced is None:
                self._raise(ceiling, ceiling)
                return self._settled(True)
            steps = reduced
        model = JointModel(coupled, steps, self.ceilings.losses_kw(slack), result.objective_kwh, self.gap)
        result.proven = result.proven and model.proven
        if plan is not None:
            self._touch(model, plan)
        for t, excluded in self._excluded:
            model.exclude(excluded, t)

        def heard(bound: float, _nodes: int) -> None:
            if model.proven:
                self._raise(min(bound, self.cutoff), ceiling)

        previous = -math.inf
        for _ in range(effort.root_rounds):
            run = model.compiled.solve_relaxation(self.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                return self._infeasible(model.proven, ceiling)
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                break
            heard(run.bound, 0)
            added = model.cut(run)
            if self.closed or not added or run.bound < previous + effort.root_progress * abs(run.bound):
                break
            previous = run.bound
        while not self.closed:
            if self.remaining <= 0:
                return self.stopped, f"Time limit of {self.limit:g} s reached."
            cutoff = self.cutoff
            run = model.compiled.solve(
                cutoff=cutoff, gap=effort.mip_gap_share * self.gap, time_limit=self.remaining,
                heuristics=math.isinf(cutoff), watch=heard,
            )  # fmt: skip
            result.nodes += run.nodes
            heard(min(run.bound, cutoff), 0)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.FAILED:
                return self.stopped, "The solver reported an error; the result is what was known before."
            if run.outcome is Outcome.INFEASIBLE:
                if math.isinf(cutoff):
                    return self._infeasible(model.proven, ceiling)
                break  # nothing is left below the cutoff
            if run.values is None:
                continue
            if not self._learn(model, run) and not self.closed:
                return self.stopped, "The relaxation of the controls is met: no tangent cuts deeper."
            if plan is None and result.plan is not None:
                return None
        return self._settled(model.proven)

    def _settled(self, proven: bool) -> tuple[Status, str]:
        if not proven:
            return self.stopped, "No certificate: a constant of the relaxation could not be proven."
        if not self.closed and self.result.cap_kwh < math.inf:
            return self.stopped, DOUBT
        if not self.closed:
            return self.stopped, "The solver's tolerances leave a larger gap than asked for."
        return Status.OPTIMAL, f"AC optimum within a gap of {self.gap:g}."

    def _infeasible(self, proven: bool, ceiling: float) -> tuple[Status, str]:
        if self.result.plan is not None:
            if math.isfinite(ceiling) and proven:  # the fixings excluded the incumbent, and nothing else is left
                self._raise(ceiling, ceiling)
                return self._settled(True)
            return self.stopped, "The relaxation became infeasible by rounding; nothing further is proven."
        if not proven:
            return Status.NO_SOLUTION, "No plan was found; a constant of the relaxation could not be proven."
        if self.result.cap_kwh < math.inf:
            return Status.NO_SOLUTION, f"No plan was found. {DOUBT}"
        return Status.INFEASIBLE, "No plan respects the limits and rules: a relaxation of the problem is infeasible."

    def _raise(self, value: float, ceiling: float) -> None:
        value = min(value, ceiling)
        if math.isfinite(value):
            value = min(value - self.effort.rounding * abs(value), self.result.cap_kwh)
            self.result.bound_kwh = max(self.result.bound_kwh, value)

    def _touch(self, model: JointModel, plan: Plan) -> int:
        """Tangents at the AC points of a plan, and of exchanges near it."""
        added = 0
        for t, step in enumerate(self.coupled.horizon.steps):
            applied = plan.applied(step, t)
            alone = applied.replace(switching_cost=0.0, max_operations=None)
            points = [plan.configurations[t]]
            if not self.result.nodes:
                points += LocalSearch(alone).neighbours(points[0], self.effort.neighbours)
            added += sum(model.touch(t, power_flow(applied, each), applied) for each in points)
        return added

    def _learn(self, model: JointModel, run: SolverRun) -> bool:
        """Evaluate what a solution proposes, and cut the solution off; False where that cannot be done."""
        horizon = self.coupled.horizon
        added = model.cut(run, RELATIVE_SHARE * self.gap)
        proposal = model.proposal(run)
        repeated = proposal in self._seen
        refused: list[int] = []
        doubted: list[int] = []
        for t, step in enumerate(horizon.steps):
            applied = proposal.applied(step, t)
            added += model.touch(t, power_flow(applied, proposal.configurations[t]), applied)
            if not horizon.controls and not (judged := evaluate(step, proposal.configurations[t])).feasible:
                refused.append(t)
                if unsettled(step, proposal.configurations[t], judged):
                    doubted.append(t)
        self.offer(proposal)
        if horizon.controls:
            better = follow(horizon, proposal, TIED if self.coupled.tied else DEVICES)
            self.offer(better)
            added += self._touch(model, better)
            return added > 0
        for t in refused:
            if t in doubted:
                self._leave_aside(model, proposal, t)
            self._exclude(model, proposal, t)
        if not refused and (repeated or not added):
            self._exclude(model, proposal, None)
        return True

    def _leave_aside(self, model: JointModel, plan: Plan, t: int) -> None:
        """Cap the bound by what the model proves of all plans with the configuration of one period."""
        result, least = self.result, -math.inf
        if model.proven:
            rounds = self.effort.root_rounds
            least = least_of(model.parts[t], plan.configurations[t], model.cut, rounds, lambda: self.remaining)
        if math.isfinite(least):
            least -= self.effort.rounding * abs(least)
        result.cap_kwh = min(result.cap_kwh, max(least, result.bound_kwh))

    def _exclude(self, model: JointModel, plan: Plan, t: int | None) -> None:
        model.exclude(plan, t)
        self._excluded.append((t, plan))
