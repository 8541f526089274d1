"""Fixed loops in words, and what engines that know spanning trees only do about them: reduce them, or refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.network import Configuration, ReconfigurationProblem, Result
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.physics import evaluate

if TYPE_CHECKING:
    from learnopt.engines.base import SolveOptions

SERVED_LOOPED: Mapping[str, object] = {"engine": ("enumerate", "tree", "exchange"), "controls": None}
"""Options of a problem whose states keep loops closed."""


def told_fixed_loops(problem: ReconfigurationProblem) -> str:
    """How many loops of branches that stay closed there are, with an example."""
    chords = np.flatnonzero(problem.chords)
    loops = "1 fixed loop" if len(chords) == 1 else f"{len(chords)} fixed loops"
    return f"{loops} of branches that stay closed (branch {problem.network.branch_ids[chords[0]]!r} closes one)"


def refuse_fixed_loops(
    problem: ReconfigurationProblem, who: str, use: Mapping[str, object] | None = None, advice: str = ""
) -> None:
    """Raise UnsupportedError where a problem has fixed loops, for what is built on spanning trees.

    Parameters
    ----------
    who
        What is built so.
    use, advice
        What to do instead: options (:class:`~learnopt.errors.UnsupportedError`), or in words.
    """
    if problem.chords.any():
        reason = f"{who} knows radial states only, the network has {told_fixed_loops(problem)}"
        raise UnsupportedError(f"{reason}: {advice}" if advice else reason, use)


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
