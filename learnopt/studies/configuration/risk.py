r"""One configuration for uncertain loads: least expected loss, least conditional value at risk, least worst case.

The conditional value at risk at level :math:`\alpha` is the mean of the worst :math:`1 - \alpha` of the probability,

.. math:: \mathrm{CVaR}_\alpha(x) = \max_{w \in W} \sum_s w_s \, \mathrm{loss}_s(x), \qquad
          W = \{ w \ge 0, \; \sum_s w_s = 1, \; w_s \le \pi_s / (1 - \alpha) \} ,

and every :math:`w \in W` makes a problem of weighted mean loss whose proven bound is a bound of the least CVaR:

1. Cutting planes find the weights: over the configurations seen, a linear program gives the :math:`w` at which the
   least weighted mean is largest; the tree search solves the problem of these weights, and its answer is seen too.
2. Configurations and weights have a duality gap. Where it is open, the k best configurations of the last weights are
   enumerated in order: all others have a weighted mean, hence a CVaR, of at least ``rest_bound_kw``.

Expected loss and worst case need none of this: they are objectives of the problem itself, for the tree search as for
the MILP.

References
----------
Rockafellar & Uryasev (2000), doi:10.21314/JOR.2000.038 (CVaR); Birge & Louveaux (2011), chapter 4,
doi:10.1007/978-1-4614-0237-4 (value of the stochastic solution, expected value of perfect information).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from learnopt.engines import Engine, SolveOptions, Stopwatch, conclude, load_engine
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.incumbent import PROOF_GAP
from learnopt.errors import DataError
from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    Floats,
    ReconfigurationProblem,
    Result,
    RiskSummary,
    Status,
)
from learnopt.physics import evaluate
from learnopt.physics.batch import feasible_losses

MILP_GAP = 1e-4
"""Gap that the MILP proves where none is asked for."""
CUTS = 60
"""Cutting planes before the k best take over."""
FIRST_K, LAST_K = 8, 1024


RISK_LEVEL = 0.9
"""Level of a CVaR where none is given: the mean of the worst tenth."""


class Risk(StrEnum):
    """What is to be least over the scenarios."""

    EXPECTED = "expected"
    """The weighted mean of the losses."""
    CVAR = "cvar"
    """The mean of the worst share 1 - level of the probability."""
    WORST = "worst"
    """The largest loss, whatever the weight of its scenario."""


def risk_of(losses: Floats, weights: Floats, risk: Risk, level: float) -> float:
    """Risk of losses, shape (n_scenario,), with probabilities ``weights``."""
    if risk is Risk.EXPECTED:
        return float(weights @ losses)
    if risk is Risk.WORST:
        return float(losses.max())
    left, total = 1.0 - level, 0.0
    for s in np.argsort(-losses, kind="stable"):
        share = min(left, float(weights[s]))
        total += share * float(losses[s])
        left -= share
        if left <= 0:
            break
    return total / (1.0 - level - max(left, 0.0))


def solve_risk(
    problem: ReconfigurationProblem,
    risk: Risk,
    level: float = 0.9,
    options: SolveOptions | None = None,
    milp: bool = False,
    start: Configuration | None = None,
) -> Result:
    """Solve a problem of several scenarios for a risk, and say what uncertainty costs.

    The objective of the result is the risk plus the switching cost; limits hold in every scenario. ``options.certify``
    is ``ac`` where the AC bound of the tree search covers the problem, unless said otherwise.

    Parameters
    ----------
    milp
        By the MILP instead of the tree search; controls always are.
    start
        Where the search begins.

    Raises
    ------
    DataError
        If the problem has one scenario only, the level is not in (0, 1), or the MILP is to serve a CVaR.
    """
    options = options or SolveOptions()
    bad = [] if 0 < level < 1 else [f"risk_level = {level} must be above 0 and below 1"]
    if len(problem.situations) == 1:
        bad.append("a risk needs several scenarios: give a scenario file with a list, or load profiles")
    milp = milp or bool(problem.controls)
    if milp and risk is Risk.CVAR:
        bad.append("risk = cvar is served by the tree search without controls: use expected or worst")
    if bad:
        raise DataError("risk", bad)
    certify = options.certify or (Certificate.MODEL if tight_obstacles(problem) else Certificate.AC)
    # Bounds of weighted means are what the CVaR and the price of risk rest on, whatever objective the problem names.
    problem = problem.judged_by("expected")
    study = RiskStudy(problem, risk, level, replace(options, certify=Certificate.AC if milp else certify), milp)
    return answer_of(study, start)


def answer_of(study: RiskStudy, start: Configuration | None) -> Result:
    """The answer for the risk of a study, with what uncertainty costs."""
    result = study.expected(start)
    if result.configuration is None:
        return result
    if study.risk is Risk.WORST:
        result = study.worst(result)
    elif study.risk is Risk.CVAR:
        result = study.averse(result)
    return replace(result, risk=study.summary(result), solve_time_s=study.watch.elapsed)


@dataclass(frozen=True)
class _Seen:
    """A configuration that was met: loss of each scenario, and switching cost [kW]."""

    configuration: Configuration
    losses: Floats
    switching: float


class RiskStudy:
    """Everything that is computed about one problem, by its balanced network."""

    def __init__(
        self, problem: ReconfigurationProblem, risk: Risk, level: float, options: SolveOptions, milp: bool = False
    ) -> None:
        self.problem, self.risk, self.level, self.options, self.milp = problem, risk, level, options, milp
        self.gap = (MILP_GAP if milp else 0.0) if options.gap is None else options.gap
        self.watch = Stopwatch()
        self.limit = math.inf if options.time_limit is None else options.time_limit
        self.seen: dict[Configuration, _Seen] = {}
        self.nodes = 0

    in_phases = False
    """Power flows are those of all phases."""

    def expected(self, start: Configuration | None = None) -> Result:
        """The least expected loss."""
        with self.watch.stage("expected"):
            self.neutral = self._solve(self.problem, start)
        return self.neutral

    def worst(self, start: Result) -> Result:
        """The least worst case; the configuration of least expected loss is where the search begins."""
        with self.watch.stage("worst"):
            result = self._solve(self.problem.judged_by("worst"), start.configuration)
        if result.configuration is None:
            return result
        worst = float(result.objective_kw or 0.0)
        return conclude(  # its loss is the weighted mean, as for every risk; the objective is the risk
            self.problem,
            result.engine,
            self.watch,
            configuration=result.configuration,
            status=result.status,
            gap=self.gap,
            certificate=result.certificate,
            dual_bound_kw=result.dual_bound_kw,
            objective=lambda _: worst,
            message=result.message,
            nodes=self.nodes,
            engine_version=result.engine_version,
            settings=result.settings,
        )

    def averse(self, start: Result) -> Result:
        """The least CVaR, by cutting planes and then by enumeration."""
        gap = max(self.options.gap or 0.0, 10 * PROOF_GAP)
        bound, weights, result, answer = -math.inf, self.problem.weights, start, start.configuration
        certificate = start.certificate
        with self.watch.stage("cutting planes"):
            for _ in range(CUTS):
                if result.certificate is not certificate:
                    certificate = Certificate.NONE
                if result.dual_bound_kw is not None:
                    bound = max(bound, result.dual_bound_kw * (1 - PROOF_GAP))
                best = min(self._value(seen) for seen in self.seen.values())
                ceiling, weights = self._weights()
                # Where the configurations seen allow no larger bound the weights are as good as they get.
                if bound >= best * (1 - gap) or ceiling <= bound + gap * abs(bound) or self._late():
                    break
                result = self._solve(self._weighted(weights), answer)
                if result.status is Status.INTERRUPTED or result.configuration is None:
                    break
        with self.watch.stage("enumeration"):
            k = FIRST_K
            while bound < self._best() * (1 - gap) and k <= LAST_K and not self._late():
                ranked = self._solve(self._weighted(weights), answer, k)
                for alternative in ranked.alternatives:
                    self._see(alternative.configuration)
                if ranked.rest_bound_kw is None or ranked.status is Status.INTERRUPTED:
                    break
                rest = ranked.rest_bound_kw * (1 - PROOF_GAP)
                bound = max(bound, min(rest, self._best()))
                k *= 4
        best_seen = min(self.seen.values(), key=self._value)
        settled = certificate is not Certificate.NONE and bound >= self._best() * (1 - gap)
        name = "worst case" if self.risk is Risk.WORST else f"CVaR at level {self.level:g}"
        message = f"Least {name} of {len(self.problem.members)} scenarios."
        if not settled:
            why = f"time limit of {self.limit:g} s" if self._late() else f"{LAST_K} configurations"
            message = f"Smallest {name} found; the proof ended at the {why}."
        elif certificate is Certificate.MODEL:
            message += " Proven for load currents held at the voltages of the optima of weighted means."

        def averse(evaluation: Evaluation) -> float:
            losses = np.array([e.loss_kw for e in evaluation.situations])
            return risk_of(losses, self.problem.weights, self.risk, self.level) + best_seen.switching

        return conclude(
            self.problem,
            "tree",
            self.watch,
            configuration=best_seen.configuration,
            status=Status.OPTIMAL if settled else Status.FEASIBLE,
            gap=self.options.gap or 0.0,
            certificate=certificate,
            dual_bound_kw=bound,
            objective=averse,
            message=message,
            nodes=self.nodes,
            judged=self._judged(best_seen.configuration),
            in_phases=self.in_phases,
        )

    def summary(self, result: Result) -> RiskSummary:
        """Risks of the answer and the price of robustness; figures that a run out of time leaves open are None."""
        problem, weights = self.problem, self.problem.weights
        assert result.evaluation is not None
        assert self.neutral.objective_kw is not None
        losses = np.array([e.loss_kw for e in result.evaluation.situations])
        switching = problem.switching_cost * problem.operations(result.configuration or self.neutral.configuration)  # type: ignore[arg-type]
        with self.watch.stage("value of information"):
            mean = self._solve(problem.mean, self.neutral.configuration)
            of_mean = None
            if mean.configuration is not None:
                tried = self._in_every_scenario(mean)
                if tried.feasible:
                    of_mean = tried.loss_kw + problem.switching_cost * problem.operations(mean.configuration)
            alone = []
            for member in problem.members:
                single = self._solve(member, self.neutral.configuration)
                alone.append(single.objective_kw if single.status is Status.OPTIMAL else None)
        wait_and_see = None if None in alone else float(weights @ np.array(alone, dtype=float))
        neutral = self.neutral.objective_kw
        return RiskSummary(
            measure=self.risk.value,
            level=self.level if self.risk is Risk.CVAR else None,
            expected_kw=float(weights @ losses),
            cvar_kw=risk_of(losses, weights, Risk.CVAR, self.level),
            worst_kw=float(losses.max()),
            price_of_robustness_kw=max(float(weights @ losses) + switching - neutral, 0.0),
            stochastic_solution_kw=None if of_mean is None else of_mean - neutral,
            perfect_information_kw=None if wait_and_see is None else neutral - wait_and_see,
        )

    def _in_every_scenario(self, mean: Result) -> Evaluation:
        """The answer for the mean loads in every scenario: controls that can follow the loads do."""
        assert mean.configuration is not None
        if not mean.settings:
            return evaluate(self.problem, mean.configuration)
        from learnopt.engines.milp.coupled import with_recourse

        plan = with_recourse(self.problem, mean.configuration, mean.settings[0])
        return evaluate(self.problem.applied(plan.settings), mean.configuration)

    def _solve(self, problem: ReconfigurationProblem, start: Configuration | None, k_best: int = 1) -> Result:
        left = None if math.isinf(self.limit) else max(self.limit - self.watch.elapsed, 1e-3)
        engine: Engine = load_engine("milp") if self.milp else TreeSearchEngine(k_best=k_best)
        result = engine.solve(problem, replace(self.options, time_limit=left), start)
        self.nodes += result.nodes
        if result.configuration is not None and len(problem.situations) > 1 and not self.milp:
            self._see(result.configuration)
        return result

    def _see(self, configuration: Configuration) -> None:
        if configuration in self.seen:
            return
        losses = self._losses(configuration)
        if np.isfinite(losses).all():
            switching = self.problem.switching_cost * self.problem.operations(configuration)
            self.seen[configuration] = _Seen(configuration, losses, switching)

    def _losses(self, configuration: Configuration) -> Floats:
        """Loss in each scenario [kW], infinite where it is no answer."""
        losses = feasible_losses(self.problem, [configuration])[0]
        if np.isfinite(losses).all():
            return losses
        judged = evaluate(self.problem, configuration)  # a sweep may miss what the judge finds
        return np.array([e.loss_kw for e in judged.situations] if judged.feasible else [np.inf])

    def _judged(self, configuration: Configuration) -> Evaluation | None:
        """What a judge of its own says of a configuration; None = the one of balanced networks is to be asked."""
        return None

    def _value(self, seen: _Seen) -> float:
        return risk_of(seen.losses, self.problem.weights, self.risk, self.level) + seen.switching

    def _best(self) -> float:
        return min(self._value(seen) for seen in self.seen.values())

    def _late(self) -> bool:
        return self.watch.elapsed >= self.limit

    def _weights(self) -> tuple[float, Floats]:
        """The weights at which the least weighted mean of the configurations seen is largest, and that mean [kW]."""
        probability = self.problem.weights
        n = len(probability)
        upper = np.ones(n) if self.risk is Risk.WORST else np.minimum(probability / (1.0 - self.level), 1.0)
        rows = [np.append(-seen.losses, 1.0) for seen in self.seen.values()]
        # Maximise theta, theta <= w' losses + switching of every configuration.
        from scipy.optimize import linprog  # takes long to load: only where a risk is asked for

        solved = linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=np.array(rows),
            b_ub=np.array([seen.switching for seen in self.seen.values()]),
            A_eq=np.append(np.ones(n), 0.0)[None, :],
            b_eq=[1.0],
            bounds=[*((0.0, u) for u in upper), (None, None)],
        )
        weights = np.clip(solved.x[:n], 0.0, upper)
        return -float(solved.fun), weights / weights.sum()

    def _weighted(self, weights: Floats) -> ReconfigurationProblem:
        """The problem of weighted mean loss; rounding of the weights is far below what is taken off its bound."""
        return self.problem.replace(situations=replace(self.problem.situations, weights=weights))
