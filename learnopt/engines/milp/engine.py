"""The MILP engine: outer approximation (:mod:`learnopt.engines.milp.rounds`) on HiGHS, driven directly."""

from __future__ import annotations

from learnopt.engines.base import SolveOptions, Stopwatch, infeasible
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.milp import highs
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.neighbourhoods import look_around
from learnopt.engines.milp.results import DEFAULT_GAP, SMALLEST_GAP, searching, solve_by_rounds
from learnopt.engines.milp.rounds import Effort
from learnopt.network import Configuration, ReconfigurationProblem, Result


class MilpEngine:
    """Mixed-integer outer approximation with an AC certificate.

    Parameters
    ----------
    effort
        Effort of its parts.
    """

    name = "milp"

    def __init__(self, effort: Effort | None = None) -> None:
        self.effort = effort or Effort()

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the AC optimum within ``options.gap`` (1e-4 by default), or return the gap reached.

        The certificate is ``ac``, or ``none`` where a constant of the relaxation could not be proven (the message says
        which). Ctrl-C returns incumbent and bound.
        """
        watch, serves = Stopwatch(), {"several_scenarios": True, "controls": True, "fixed_loops": True}
        if (failure := infeasible(problem, self.name, watch, **serves)) is not None:
            return failure
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = searching(problem, self.name, gap, options, watch)
        version = f"HiGHS {highs.VERSION}"
        return solve_by_rounds(problem, search, JointModel, self.effort, start, version, look_around)
