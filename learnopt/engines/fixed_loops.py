"""Fixed loops for engines that know spanning trees only: reduced, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from learnopt.engines.base import SERVED_LOOPED, SolveOptions
from learnopt.errors import UnsupportedError
from learnopt.network import Configuration, ReconfigurationProblem, Result
from learnopt.network.loop_reduction import refuse_fixed_loops, without_fixed_loops
from learnopt.physics import evaluate


def solve_without_loops(
    name: str,
    solve: Callable[[ReconfigurationProblem, SolveOptions, Configuration | None], Result],
    problem: ReconfigurationProblem,
    options: SolveOptions,
    start: Configuration | None,
) -> Result:
    """The result of a problem with fixed loops by an engine that knows radial states only, as one of the whole problem.

    Parameters
    ----------
    name, solve
        Of the engine.

    Raises
    ------
    UnsupportedError
        If some loop is more than circuits side by side (:mod:`learnopt.network.loop_reduction`), or if the currents of
        such circuits exceed a rating that the one in their place does not show.
    """
    reduced = without_fixed_loops(problem)
    if reduced is None:
        refuse_fixed_loops(problem, f"engine {name!r}", SERVED_LOOPED)
    assert reduced is not None
    one = None if start is None else Configuration(start.closed & ~problem.chords)
    result = solve(reduced, options, one)
    if result.configuration is None:
        return result
    whole = Configuration(result.configuration.closed | problem.chords)
    evaluation = evaluate(problem.applied(result.settings), whole)
    if evaluation.violations:
        raise UnsupportedError(
            f"engine {name!r} does not see the ratings of circuits in parallel: {evaluation.violations[0]}",
            SERVED_LOOPED,
        )
    return replace(result, configuration=whole, evaluation=evaluation)
