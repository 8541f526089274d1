"""Better plans around a good one, for answers now: nothing is proven.

What the plan and the linear relaxation have in common is held, and the small mixed-integer model that is left is solved
with the plan as cutoff: relaxation induced neighbourhoods (Danna, Rothberg, Le Pape 2005,
doi:10.1007/s10107-004-0518-7). The next neighbourhood holds less. Voltages are taken to be near those of the plan: with
windows that are proven the relaxation is often too loose to tell anything, where no limits are set above all.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.rounds import Effort, Rounds
from learnopt.formulations.voltage_paths import Window
from learnopt.network import Evaluation

NEARNESS = (0.4, 0.1)
"""Distances from the plan up to which binaries of the relaxation are held at it, one neighbourhood after the other."""
NODES, PROPOSALS = 30, 3
"""Nodes of the mixed-integer model in each neighbourhood, and solutions of it without progress until it is left."""
MOST_BUSES = 600
"""Buses of all load situations together for which that is a matter of seconds."""
FALL, RISE = 0.05, 0.02
"""How far voltages may lie below the lowest and above the highest of the plan [pu]."""


class Neighbourhoods(Rounds):
    """Rounds that look around an incumbent and prove nothing.

    Parameters
    ----------
    search
        With a plan; it is updated on the way, so that an interrupt loses nothing.
    """

    def __init__(self, search: Incumbent) -> None:
        assert search.plan is not None
        windows = tuple(map(_around, search.coupled.judged(search.plan)))
        super().__init__(search, Effort(), partial(JointModel, windows=windows))

    def improve(self) -> None:
        """Look around until no neighbourhood has anything better."""
        if (model := self.relaxed()) is not None:
            self.look(model)

    def relaxed(self) -> JointModel | None:
        """The model near the voltages of the incumbent, cut and rounded; None where there is no time for it."""
        with self.search.watch.stage("build"):
            model = self._model(self.coupled.steps)
        assert isinstance(model, JointModel)
        with self.search.watch.stage("root"):
            self._root(model, self.coupled.steps)
        return None if self.search.over else model

    def look(self, model: JointModel) -> None:
        """Look around the incumbent in such a model."""
        with self.search.watch.stage("neighbourhoods"):
            for nearness in NEARNESS:
                while not self.search.over and self._improved_within(model, nearness):
                    pass

    def solve_rest(self, model: JointModel, nodes: int) -> None:
        """Solve what is not held, with the incumbent as cutoff, until nothing better is left or nodes are used up."""
        search = self.search
        with search.watch.stage("held"):
            while nodes > 0 and not search.over:
                found = self._next(model, nodes)
                nodes -= max(found.nodes, 1)
                if found.values is None or not self._learn(model, found):
                    return

    def _next(self, model: JointModel, nodes: int) -> SolverRun:
        """A quick solution of what is not held; without values where there is none below the cutoff."""
        search, cutoff = self.search, self.search.cutoff
        found = model.solve_held(cutoff, self.effort.mip_gap_share * search.gap, search.remaining, nodes)
        search.nodes += found.nodes
        if found.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        # HiGHS returns solutions above the cutoff, too.
        return found if found.objective < cutoff else replace(found, values=None)

    def _improved_within(self, model: JointModel, nearness: float) -> bool:
        """Search one neighbourhood of the incumbent; whether that gave a better one."""
        search, known, plan = self.search, self.search.objective, self.search.plan
        run = model.solve_relaxation(search.remaining)
        if run.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        if plan is None or run.values is None or run.outcome is not Outcome.OPTIMAL:
            return False
        nodes, idle = NODES, 0
        while nodes > 0 and idle < PROPOSALS and not search.over:
            before = search.objective
            model.hold_common(plan, run, nearness)
            try:
                found = self._next(model, nodes)
            finally:
                model.release()
            nodes -= max(found.nodes, 1)
            if found.values is None or not self._learn(model, found):
                break
            idle = 0 if search.objective < before else idle + 1
        return search.objective < known * (1 - search.gap)


def look_around(search: Incumbent) -> None:
    """Better plans around the incumbent, where there is one and its situations are few enough for that to be quick."""
    if worth_looking(search):
        Neighbourhoods(search).improve()


def worth_looking(search: Incumbent) -> bool:
    """There is an incumbent, and its situations are few enough."""
    horizon = search.coupled.horizon
    return search.plan is not None and horizon.n_steps * horizon.network.n_bus <= MOST_BUSES


def _around(evaluation: Evaluation) -> Window:
    """Voltages near those of a plan."""
    vm = evaluation.vm
    return Window(np.full(len(vm), np.nanmin(vm) - FALL), np.full(len(vm), np.nanmax(vm) + RISE))
