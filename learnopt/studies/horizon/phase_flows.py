"""Power flows of a horizon in all phases: candidates and plans judged by the tool of an unbalanced file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from learnopt.network import Configuration, Evaluation, Floats, HorizonProblem, PhaseSummary, ReconfigurationProblem
from learnopt.network.unbalanced import PhaseCircuit, PhaseState
from learnopt.physics.phase_judge import evaluation_of, solved_states, summary_of, unfed_bus, without_solution


class PhaseFlows:
    """Every candidate in every step, as the tool of the file computes it.

    Parameters
    ----------
    problem
        The horizon.
    circuits
        One per step.
    """

    def __init__(self, problem: HorizonProblem, circuits: Sequence[PhaseCircuit]) -> None:
        self.problem, self.circuits = problem, circuits
        self._fed: list[PhaseState | None] = [
            next(iter(solved_states([circuit], problem.initial)), None) for circuit in circuits
        ]

    @property
    def tool(self) -> str:
        """Name of the tool, for people."""
        return self.circuits[0].tool

    def losses(self, configurations: Sequence[Configuration]) -> Floats:
        """Losses in each step [kW], ``inf`` where a limit is broken or a phase without supply, shape (n, n_step)."""
        losses = np.full((len(configurations), self.problem.n_steps), math.inf)
        for t, step in enumerate(self.problem.steps):
            for k, configuration in enumerate(configurations):
                judged = self.judged(step, t, configuration)
                if judged.feasible:
                    losses[k, t] = judged.loss_kw
        return losses

    def judged(self, step: ReconfigurationProblem, t: int, configuration: Configuration) -> Evaluation:
        """A configuration in step ``t`` by the limits of a problem; a phase that loses its supply is a violation."""
        states = solved_states(self.circuits[t : t + 1], configuration)
        if not states:
            return without_solution(step)
        found, fed = evaluation_of(step, states), self._fed[t]
        unfed = "" if fed is None else unfed_bus(step.network, states[0], fed)
        return replace(found, violations=(*found.violations, unfed)) if unfed else found

    def present(self) -> list[Evaluation]:
        """The state before the first step, in each step."""
        return [self.judged(step, t, self.problem.initial) for t, step in enumerate(self.problem.steps)]

    def summary(self, t: int, configuration: Configuration) -> PhaseSummary | None:
        """What to say of a configuration in step ``t`` beside its evaluation; None without a power flow."""
        states = solved_states(self.circuits[t : t + 1], configuration)
        return summary_of(self.tool, self.problem.network, states, None) if states else None
