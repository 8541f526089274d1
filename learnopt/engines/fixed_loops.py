"""Fixed loops in words, and the refusal of what is built on spanning trees."""

from __future__ import annotations

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.network import ReconfigurationProblem


def told_fixed_loops(problem: ReconfigurationProblem) -> str:
    """How many loops of branches that stay closed there are, with an example."""
    chords = np.flatnonzero(problem.chords)
    loops = "1 fixed loop" if len(chords) == 1 else f"{len(chords)} fixed loops"
    return f"{loops} of branches that stay closed (branch {problem.network.branch_ids[chords[0]]!r} closes one)"


def refuse_fixed_loops(problem: ReconfigurationProblem, who: str, advice: str) -> None:
    """Raise UnsupportedError where a problem has fixed loops, for what is built on spanning trees."""
    if problem.chords.any():
        raise UnsupportedError(f"{who} knows radial states only, the network has {told_fixed_loops(problem)}: {advice}")
