r"""Several periods in one mixed-integer model (:mod:`learnopt.formulations.periods`), by outer approximation.

The rounds are those of :mod:`learnopt.engines.milp.outer_approximation`, with tangents in every period: the model is
always a relaxation, so its dual bound holds for the AC energy of every plan; every plan it proposes goes to the
independent power flow. A plan that is no better than the incumbent, of objective U, has in period t

.. math:: \mathrm{loss}_t \le \Bigl(U - P - \sum_{s \ne t} h_s\,\underline{\mathrm{loss}}_s\Bigr) / h_t

with proven bounds of the losses of the other periods and P the least that prices can add: the constants of each period
are proven for that, and switches whose other state costs more are fixed in it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch
from learnopt.engines.dispatch import Dispatch
from learnopt.engines.exchange import PENALTY, LocalSearch
from learnopt.engines.milp import highs
from learnopt.engines.milp.engine import DEFAULT_GAP, SMALLEST_GAP, HighsRelaxation, light_units
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.outer_approximation import Effort, Tangents
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.formulations.distflow import DistFlowData
from learnopt.formulations.periods import PeriodsData, build_periods
from learnopt.network import Configuration, Floats, HorizonProblem, ReconfigurationProblem, Settings, Status
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import evaluate, power_flow

RELATIVE_SHARE = 0.3
"""Share of the gap by which a squared current of a proposed solution may lie outside the cone."""
BOUND_ROUNDS = 12
"""Tangent rounds for the bound of one period alone."""


@dataclass(frozen=True)
class Plan:
    """A configuration and, where there are controls, settings for each period."""

    configurations: tuple[Configuration, ...]
    settings: tuple[Settings, ...] = ()

    def applied(self, problem: ReconfigurationProblem, t: int) -> ReconfigurationProblem:
        """The problem of period ``t`` with its controls set."""
        return problem.applied(self.settings[t]) if self.settings else problem


@dataclass(frozen=True)
class Coupled:
    """Periods in one model.

    Parameters
    ----------
    horizon
        Loads, durations (weights where tied), costs and rules.
    tied
        The periods are scenarios of one decision: switches, positions and generators on or off are the same in all.
    worst
        The objective is the largest loss, not the weighted sum.
    prices
        Price of each closed branch in each period [kWh], shape (n_period, n_branch); None = none.
    """

    horizon: HorizonProblem
    tied: bool = False
    worst: bool = False
    prices: Floats | None = None

    def objective(self, plan: Plan) -> float:
        """Energy lost, operations, changes and prices [kWh] of a plan, judged; ``inf`` where it breaks a rule."""
        horizon = self.horizon
        if not self._respects_rules(plan):
            return math.inf
        found = [evaluate(plan.applied(step, t), plan.configurations[t]) for t, step in enumerate(horizon.steps)]
        if not all(e.feasible for e in found):
            return math.inf
        losses = np.array([e.loss_kw for e in found])
        total = float(losses.max() if self.worst else horizon.hours @ losses)
        total += horizon.switching_cost * sum(self._operations(plan))
        if plan.settings and not self.tied:
            total += horizon.control_cost * sum(horizon.device_changes(plan.settings))
        if self.prices is not None:
            total += sum(float(p @ c.closed) for p, c in zip(self.prices, plan.configurations, strict=True))
        return total

    def _operations(self, plan: Plan) -> list[int]:
        states = [self.horizon.initial, *plan.configurations]
        return [self.horizon.operations(a, b) for a, b in pairwise(states)]

    def _respects_rules(self, plan: Plan) -> bool:
        horizon, operations = self.horizon, self._operations(plan)
        if not all(step.admits(c) for step, c in zip(horizon.steps, plan.configurations, strict=True)):
            return False
        if horizon.max_operations is not None and sum(operations) > horizon.max_operations:
            return False
        if horizon.max_operations_per_step is not None and max(operations) > horizon.max_operations_per_step:
            return False
        if horizon.switch_caps is not None:
            states = np.array([horizon.initial.closed, *(c.closed for c in plan.configurations)])
            moved = (states[1:] != states[:-1]).sum(axis=0)
            if (moved[horizon.counted] > horizon.switch_caps[horizon.counted]).any():
                return False
        if self.tied and len(set(plan.configurations)) > 1:
            return False
        if not plan.settings:
            return True
        pairs = zip(plan.configurations, plan.settings, strict=True)
        if any(step.faults(*pair) for step, pair in zip(horizon.steps, pairs, strict=True)):
            return False
        if self.tied:
            return len({(s.capacitors, s.on, *(s.taps[k] for k in horizon.stepped_taps)) for s in plan.settings}) == 1
        return horizon.rests(plan.settings)

    def least_price(self) -> float:
        """The least that the prices of any radial configurations add up to [kWh]."""
        if self.prices is None:
            return 0.0
        net = self.horizon.network
        return sum(
            float(row @ maximum_spanning_tree(net, step.usable, -row, step.must_close))
            for row, step in zip(self.prices, self.horizon.steps, strict=True)
        )


@dataclass
class PeriodsResult:
    """What is known: the best plan with its objective, and a proven bound [kWh]; ``proven`` says whether it is one."""

    status: Status = Status.NO_SOLUTION
    message: str = ""
    plan: Plan | None = None
    objective_kwh: float = math.inf
    bound_kwh: float = -math.inf
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
        n = coupled.horizon.n_steps
        self.bounds = np.zeros(n) if bounds is None else np.maximum(np.nan_to_num(bounds, nan=0.0), 0.0)
        self.weights = np.zeros(n) if coupled.worst else coupled.horizon.hours
        self.kw = coupled.horizon.network.base.kw
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
        return math.isfinite(best) and best - bound <= self.gap * max(abs(best), 1e-9)

    @property
    def remaining(self) -> float:
        return self.limit - self.watch.elapsed

    @property
    def stopped(self) -> Status:
        return Status.NO_SOLUTION if self.result.plan is None else Status.FEASIBLE

    def solve(self, start: Plan | None) -> tuple[Status, str]:
        """Status and message; the result holds the rest."""
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

    def ceilings_kw(self, objective: float) -> Floats:
        """Largest loss of each period in a plan of at most this objective [kW], shape (n_period,)."""
        n = len(self.bounds)
        if not math.isfinite(objective):
            return np.full(n, math.inf)
        if self.coupled.worst:
            return np.full(n, max(objective, 0.0))
        left = objective - self.coupled.least_price() - float(self.weights @ self.bounds)
        with np.errstate(divide="ignore"):
            return np.where(self.weights > 0, self.bounds + max(left, 0.0) / self.weights, math.inf)

    def _prove(self) -> tuple[Status, str] | None:
        """Rounds from the incumbent as it is; None where a first incumbent was found, to start over with it."""
        coupled, effort, result = self.coupled, self.effort, self.result
        steps, plan = coupled.horizon.steps, result.plan
        late = plan is None
        if not self.bounds.any() and len(steps) > 1 and not late and not coupled.worst:
            self._bound_periods()
        ceiling = math.inf
        if plan is not None and effort.probing and not coupled.horizon.controls:
            ceiling = self.cutoff
            reduced = self._fixed(plan)
            if reduced is None:
                self._raise(ceiling, ceiling)
                return self._settled(True)
            steps = reduced
        slack = result.objective_kwh + 1e-6 * abs(result.objective_kwh) + 1e-9
        data = [
            DistFlowData.of(step, loss / self.kw) for step, loss in zip(steps, self.ceilings_kw(slack), strict=True)
        ]
        proven = all(one.bounds.proven for one in data)
        result.proven = result.proven and proven
        size = (
            result.objective_kwh
            if not late
            else 0.05
            * self.kw
            * float(sum(w * np.abs(step.p).sum() for w, step in zip(coupled.horizon.hours, steps, strict=True)))
        )
        size = max(abs(size), 1e-9)
        model = build_periods(PeriodsData(coupled.horizon, tuple(data), coupled.tied, coupled.worst, coupled.prices))
        units = [unit for one, block in zip(data, model.period, strict=True) for unit in light_units(one, block)]
        compiled = highs.CompiledModel(model, size=size, units=units)
        parts = [
            HighsRelaxation(one, model=block, compiled=compiled) for one, block in zip(data, model.period, strict=True)
        ]
        tangents = [Tangents(one.arcs, p.add_tangents, p.cuttable) for one, p in zip(data, parts, strict=True)]
        if plan is not None:
            self._touch(plan, tangents)
        for t, excluded in self._excluded:
            _exclude(parts, excluded, t)
        resistance = max(float(coupled.horizon.network.r.sum()), 1e-9)
        tolerance = 0.1 * self.gap * size / self.kw / resistance / max(float(coupled.horizon.hours.sum()), 1.0)

        def heard(bound: float, _nodes: int) -> None:
            if proven:
                self._raise(min(bound, self.cutoff), ceiling)

        previous = -math.inf
        for _ in range(effort.root_rounds):
            run = compiled.solve_relaxation(self.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                return self._infeasible(proven, ceiling)
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                break
            heard(run.bound, 0)
            added = sum(tan.at_values(*p.arc_values(run), tolerance) for tan, p in zip(tangents, parts, strict=True))
            added += sum(p.cut_ratings(run) for p in parts)
            if self.closed or not added or run.bound < previous + effort.root_progress * abs(run.bound):
                break
            previous = run.bound
        while not self.closed:
            if self.remaining <= 0:
                return self.stopped, f"Time limit of {self.limit:g} s reached."
            cutoff = self.cutoff
            run = compiled.solve(
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
                    return self._infeasible(proven, ceiling)
                break  # nothing is left below the cutoff
            if run.values is None:
                continue
            if not self._learn(parts, tangents, tolerance, run) and not self.closed:
                return self.stopped, "The relaxation of the controls is met: no tangent cuts deeper."
            if late and result.plan is not None:
                return None
        return self._settled(proven)

    def _settled(self, proven: bool) -> tuple[Status, str]:
        if not proven:
            return self.stopped, "No certificate: a constant of the relaxation could not be proven."
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
        return Status.INFEASIBLE, "No plan respects the limits and rules: a relaxation of the problem is infeasible."

    def _raise(self, value: float, ceiling: float) -> None:
        value = min(value, ceiling)
        if math.isfinite(value):
            self.result.bound_kwh = max(self.result.bound_kwh, value - self.effort.rounding * abs(value))

    def _bound_periods(self) -> None:
        """A bound of the loss of each period alone, by tangents on its linear relaxation."""
        horizon = self.coupled.horizon
        plan = self.result.plan
        assert plan is not None
        slack = self.result.objective_kwh + 1e-6 * abs(self.result.objective_kwh) + 1e-9
        for t, (step, loss) in enumerate(zip(horizon.steps, self.ceilings_kw(slack), strict=True)):
            if self.remaining < 0.8 * self.limit and math.isfinite(self.limit):
                return
            alone = step.replace(switching_cost=0.0)
            data = DistFlowData.of(alone, loss / self.kw)
            if not data.bounds.proven:
                continue
            part = HighsRelaxation(data, max(loss if math.isfinite(loss) else 0.0, 1.0))
            tangents = Tangents(data.arcs, part.add_tangents, part.cuttable)
            flow = power_flow(plan.applied(step, t), plan.configurations[t])
            if flow.converged:
                tangents.at_power_flow(flow, plan.applied(step, t).network)
            for _ in range(BOUND_ROUNDS):
                run = part.solve_relaxation(max(self.remaining, 0.0))
                if run.outcome is not Outcome.OPTIMAL:
                    break
                self.bounds[t] = max(self.bounds[t], run.bound - 1e-6 * abs(run.bound))
                if not tangents.at_values(*part.arc_values(run), 1e-6) + part.cut_ratings(run):
                    break

    def _fixed(self, plan: Plan) -> tuple[ReconfigurationProblem, ...] | None:
        """The periods with switches fixed whose other state is too dear; None where nothing is below the cutoff."""
        steps = list(self.coupled.horizon.steps)
        ceilings = self.ceilings_kw(self.cutoff)
        for t, ceiling in enumerate(ceilings):
            step = steps[t]
            if self.coupled.tied and t:
                step = step.replace(scenario=replace(step.scenario, locked=steps[t - 1].scenario.locked))
            if step.contradictions:
                return None
            if not math.isfinite(ceiling) or not step.free.any():
                steps[t] = step
                continue
            alone = step.replace(switching_cost=0.0)
            incumbent = plan.configurations[t]
            if not step.admits(incumbent):
                steps[t] = step  # the bound would not touch where it is needed
                continue
            locked = fix_by_bounds(alone, incumbent, ceiling / self.kw).scenario.locked
            steps[t] = step.replace(scenario=replace(step.scenario, locked=locked))
        if self.coupled.tied:
            shared = steps[-1].scenario.locked
            steps = [step.replace(scenario=replace(step.scenario, locked=shared)) for step in steps]
        return None if any(step.contradictions for step in steps) else tuple(steps)

    def _touch(self, plan: Plan, tangents: Sequence[Tangents]) -> int:
        """Tangents at the AC points of a plan, and of exchanges near it."""
        added = 0
        for t, step in enumerate(self.coupled.horizon.steps):
            applied = plan.applied(step, t)
            alone = applied.replace(switching_cost=0.0, max_operations=None)
            points = [plan.configurations[t]]
            if not self.result.nodes:
                points += LocalSearch(alone).neighbours(points[0], self.effort.neighbours)
            for configuration in points:
                if (flow := power_flow(applied, configuration)).converged:
                    added += tangents[t].at_power_flow(flow, applied.network)
        return added

    def _learn(
        self, parts: Sequence[HighsRelaxation], tangents: Sequence[Tangents], tolerance: float, run: SolverRun
    ) -> bool:
        """Evaluate what a solution proposes, and cut the solution off; False where that cannot be done."""
        horizon = self.coupled.horizon
        share = RELATIVE_SHARE * self.gap
        added = sum(tan.at_values(*p.arc_values(run), tolerance, share) for tan, p in zip(tangents, parts, strict=True))
        added += sum(p.cut_ratings(run) for p in parts)
        settings = [p.settings(run) for p in parts] if horizon.controls else []
        proposal = Plan(tuple(p.proposal(run) for p in parts), tuple(s for s in settings if s is not None))
        repeated = proposal in self._seen
        refused: list[int] = []
        for t, step in enumerate(horizon.steps):
            applied = proposal.applied(step, t)
            flow = power_flow(applied, proposal.configurations[t])
            if flow.converged:
                added += tangents[t].at_power_flow(flow, applied.network)
            if not horizon.controls and not evaluate(step, proposal.configurations[t]).feasible:
                refused.append(t)
        self.offer(proposal)
        if horizon.controls:
            held = ("taps", "capacitors", "generators") if self.coupled.tied else ("taps", "capacitors")
            better = follow(horizon, proposal, held)
            self.offer(better)
            added += self._touch(better, tangents)
            return added > 0
        for t in refused:
            self._exclude(parts, proposal, t)
        if not refused and (repeated or not added):
            self._exclude(parts, proposal, None)
        return True

    def _exclude(self, parts: Sequence[HighsRelaxation], plan: Plan, t: int | None) -> None:
        _exclude(parts, plan, t)
        self._excluded.append((t, plan))


def follow(horizon: HorizonProblem, plan: Plan, held: Collection[str]) -> Plan:
    """A plan with its controls settled in each period by AC power flows, the discrete part of some kinds held.

    Parameters
    ----------
    held
        As of :meth:`learnopt.engines.dispatch.Dispatch.improve`.
    """
    settings = []
    for step, configuration, start in zip(horizon.steps, plan.configurations, plan.settings, strict=False):
        found, merit = Dispatch(step, configuration).improve(start, held)
        settings.append(found if merit < PENALTY else start)
    return Plan(plan.configurations, tuple(settings))


def _exclude(parts: Sequence[HighsRelaxation], plan: Plan, t: int | None) -> None:
    """Cut off the configuration of one period, or the sequence of all where ``t`` is None."""
    chosen = range(len(parts)) if t is None else [t]
    columns, count = [], 0
    for k in chosen:
        own, n_closed = parts[k].closed_columns(plan.configurations[k])
        columns.append(own)
        count += n_closed
    row = np.concatenate(columns)
    parts[0].model.add_rows(row[None, :], -np.ones((1, len(row))), np.array([1.0 - count]))
