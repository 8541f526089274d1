"""Risk in all phases of an unbalanced file: worst case and CVaR by weighted means, each searched and judged in phases.

The worst case is the largest of all weighted means, so the cutting planes of the CVaR find it too, with any weights
(:mod:`.risk`); every bound is one of the search in phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.network import Certificate, Configuration, Evaluation, Floats, ReconfigurationProblem, Result
from learnopt.network.unbalanced import PhaseCircuit
from learnopt.physics.phase_judge import evaluation_of, solved_states, summary_of, unfed_bus, without_solution
from learnopt.studies.configuration.risk import Risk, RiskStudy, answer_of
from learnopt.studies.configuration.switching_order import normal_state


def solve_risk_in_phases(
    problem: ReconfigurationProblem,
    circuits: Sequence[PhaseCircuit],
    mean: PhaseCircuit,
    risk: Risk,
    level: float,
    options: SolveOptions,
    start: Configuration | None = None,
) -> Result:
    """As :func:`.risk.solve_risk`, in all phases.

    Parameters
    ----------
    circuits, mean
        One per scenario of the problem, and one of the mean loads, open.
    """
    study = PhaseRisk(problem.judged_by("expected"), circuits, mean, risk, level, options)
    return study.told(answer_of(study, start))


class PhaseRisk(RiskStudy):
    """The study of one problem in all phases; parameters as of :func:`solve_risk_in_phases`."""

    in_phases = True

    def __init__(
        self,
        problem: ReconfigurationProblem,
        circuits: Sequence[PhaseCircuit],
        mean: PhaseCircuit,
        risk: Risk,
        level: float,
        options: SolveOptions,
    ) -> None:
        super().__init__(problem, risk, level, options)
        self.circuits, self.mean = circuits, mean
        self._fed = solved_states(circuits, normal_state(problem))

    def expected(self, start: Configuration | None = None) -> Result:
        """The least expected loss; its certificate is that of all other searches."""
        result = super().expected(start)
        if result.certificate is Certificate.MODEL:
            self.options = replace(self.options, certify=Certificate.MODEL)
        return result

    def worst(self, start: Result) -> Result:
        """The least worst case, by cutting planes and then by enumeration."""
        return self.averse(start)

    def told(self, result: Result) -> Result:
        """The result with what is to be said of its phases."""
        if result.configuration is None or result.phases is not None:
            return result
        states = solved_states(self.circuits, result.configuration)
        present = evaluation_of(self.problem, self._fed) if self._fed else None
        return replace(result, phases=summary_of(self.circuits[0].tool, self.problem.network, states, present))

    def _solve(self, problem: ReconfigurationProblem, start: Configuration | None, k_best: int = 1) -> Result:
        left = None if self.options.time_limit is None else max(self.limit - self.watch.elapsed, 1e-3)
        options = replace(self.options, time_limit=left)
        result = PhaseTreeEngine(self._circuits(problem), k_best).solve(problem, options, start)
        self.nodes += result.nodes
        if result.configuration is not None and len(problem.situations) > 1:
            self._see(result.configuration)
        return result

    def _circuits(self, problem: ReconfigurationProblem) -> Sequence[PhaseCircuit]:
        """Those of a problem of this study: of all scenarios, of one, or of the mean."""
        if len(problem.situations) > 1:
            return self.circuits
        alone = [member is problem for member in self.problem.members]
        return [self.circuits[alone.index(True)] if any(alone) else self.mean]

    def _losses(self, configuration: Configuration) -> Floats:
        judged = self._judged(configuration)
        return np.array([one.loss_kw for one in judged.situations] if judged.feasible else [np.inf])

    def _judged(self, configuration: Configuration) -> Evaluation:
        states = solved_states(self.circuits, configuration)
        if not states:
            return without_solution(self.problem)
        found = evaluation_of(self.problem, states)
        pairs = zip(states, self._fed, strict=len(self._fed) > 0)
        unfed = [said for pair in pairs if (said := unfed_bus(self.problem.network, *pair))]
        return replace(found, violations=(*found.violations, *unfed)) if unfed else found

    def _in_every_scenario(self, mean: Result) -> Evaluation:
        assert mean.configuration is not None
        return self._judged(mean.configuration)
