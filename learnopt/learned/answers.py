"""The best answer so far of one solve: switches, and what the controls are set to in every load situation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import PENALTY, LocalSearch
from learnopt.engines.milp.coupled import Plan, with_recourse
from learnopt.network import Configuration, ReconfigurationProblem, Result, Settings, Status
from learnopt.physics import evaluate


class Best:
    """Best answer to a problem, by compiled AC power flows; limit violations count as heavy losses.

    Attributes
    ----------
    configuration
        None before there is one.
    settings
        Of the controls in each load situation; empty without controls.
    merit
        Objective [kW], above :data:`~learnopt.engines.exchange.PENALTY` times the base where a limit is violated.
    """

    def __init__(self, problem: ReconfigurationProblem) -> None:
        self.problem = problem
        self.configuration: Configuration | None = None
        self.settings: tuple[Settings, ...] = ()
        self.merit = math.inf
        self._common: Settings | None = None  # the same for all situations
        self._tried: set[Configuration] = set()

    def offer(
        self, configuration: Configuration | None, settings: Sequence[Settings] = (), merit: float | None = None
    ) -> None:
        """Take an answer where it is better.

        Parameters
        ----------
        settings
            Of the controls in each situation. Where there are controls and none are given they are set here: in turns
            with the switches for the mean loads, then for each situation what may follow its loads.
        merit
            Where it is known [kW].
        """
        if configuration is None:
            return
        common = self._common
        if self.problem.controls and not settings:
            found = None if configuration in self._tried else settle_from_each_step(self.problem.mean, configuration)
            self._tried.add(configuration)
            if found is None:
                return
            configuration, common, _ = found
            settings, merit = self.followed(configuration, common), None
        merit = merit_of(self.problem.applied(settings), configuration) if merit is None else merit
        if merit < self.merit:
            self.configuration, self.settings, self.merit = configuration, tuple(settings), merit
            self._common = common

    def offer_plan(self, plan: Plan | None) -> None:
        """Take a plan of one configuration where it is better; it may leave situations without weight out."""
        if plan is None:
            return
        configuration, settings, before = plan.configurations[0], plan.settings, self.merit
        if settings and len(settings) < len(self.problem.situations):
            settings = self.followed(configuration, settings[0])
        self.offer(configuration, settings)
        if self.merit < before:
            self._common = None

    @property
    def common(self) -> Settings | None:
        """What :meth:`held` holds the controls at; None where there is none."""
        return self._common or next(iter(self.settings), None)

    def followed(self, configuration: Configuration, common: Settings | None = None) -> tuple[Settings, ...]:
        """Settings in each situation: discrete parts the same in all, what may follow its loads set anew.

        Parameters
        ----------
        common
            Where they start; absent = where :meth:`held` holds them.
        """
        return with_recourse(self.problem, configuration, common or self.common).settings

    @property
    def feasible(self) -> bool:
        """There is an answer, and the judge finds that it respects every limit in every situation."""
        if self.configuration is None:
            return False
        return evaluate(self.problem.applied(self.settings), self.configuration).feasible

    def held(self, problem: ReconfigurationProblem) -> ReconfigurationProblem:
        """A problem with its controls held where the best answer has them, the same in all situations."""
        return problem.applied(self.common)

    def of_held(self, result: Result) -> Result:
        """A result found with the controls held, as one of the problem that sets them."""
        if result.configuration is not None:
            return replace(result, settings=self.followed(result.configuration), objective_kw=None)
        # With other settings there may be an answer.
        return replace(result, status=Status.NO_SOLUTION) if result.status is Status.INFEASIBLE else result


def merit_of(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    """Objective of a configuration in all load situations [kW], infinite where one has no power flow.

    Where a limit is violated it is the merit of the worst situation: no loss is as dear.
    """
    found = [LocalSearch(member).improve(configuration, max_trials=0) for member in problem.members]
    merits = [math.inf if each is None else each[1] for each in found]
    worst = max(merits)
    return worst if worst >= PENALTY * problem.network.base.kw else problem.total(merits)
