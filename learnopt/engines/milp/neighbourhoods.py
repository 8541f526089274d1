"""Better plans around a good one, for answers now: nothing is proven.

What the plan and the linear relaxation have in common is held, and the small mixed-integer model that is left is solved
with the plan as cutoff: relaxation induced neighbourhoods (Danna, Rothberg, Le Pape 2005,
doi:10.1007/s10107-004-0518-7). The next neighbourhood holds less. Voltages are taken to be near those of the plan: with
windows that are proven the relaxation is often too loose to tell anything, where no limits are set above all.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from learnopt.engines.milp.highs import Outcome
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.relaxation import SettableRelaxation
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
        search, watch = self.search, self.search.watch
        with watch.stage("build"):
            model = self._model(self.coupled.steps)
        assert isinstance(model, SettableRelaxation)
        with watch.stage("root"):
            self._root(model, self.coupled.steps)
        with watch.stage("neighbourhoods"):
            for nearness in NEARNESS:
                while not search.over and self._improved_within(model, nearness):
                    pass

    def _improved_within(self, model: SettableRelaxation, nearness: float) -> bool:
        """Search one neighbourhood of the incumbent; whether that gave a better one."""
        search, known, plan = self.search, self.search.objective, self.search.plan
        run = model.solve_relaxation(search.remaining)
        if run.outcome is Outcome.INTERRUPTED:
            raise KeyboardInterrupt
        if plan is None or run.values is None or run.outcome is not Outcome.OPTIMAL:
            return False
        nodes, idle, gap = NODES, 0, self.effort.mip_gap_share * search.gap
        while nodes > 0 and idle < PROPOSALS and not search.over:
            before = search.objective
            model.hold_common(plan, run, nearness)
            try:
                found = model.solve_held(search.cutoff, gap, search.remaining, nodes)
            finally:
                model.release()
            nodes -= max(found.nodes, 1)
            search.nodes += found.nodes
            if found.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if found.values is None or not self._learn(model, found):
                break
            idle = 0 if search.objective < before else idle + 1
        return search.objective < known * (1 - search.gap)


def look_around(search: Incumbent) -> None:
    """Better plans around the incumbent, where there is one and its situations are few enough for that to be quick."""
    horizon = search.coupled.horizon
    if search.plan is not None and horizon.n_steps * horizon.network.n_bus <= MOST_BUSES:
        Neighbourhoods(search).improve()


def _around(evaluation: Evaluation) -> Window:
    """Voltages near those of a plan."""
    vm = evaluation.vm
    return Window(np.full(len(vm), np.nanmin(vm) - FALL), np.full(len(vm), np.nanmax(vm) + RISE))
