"""Shrinking a problem by decisions, with the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learnopt.learned.policy import Decision, consistent
from learnopt.network import Bools, Certificate, Floats, ReconfigurationProblem, Result


@dataclass(frozen=True)
class Reduction:
    """A problem in which decided switches are locked.

    Locked-open branches leave the graph, and what then lies in no loop is no variable of any engine: the reduced
    problem is smaller, not just tighter. Branches keep their place, so configurations need no translation; what has to
    be undone on the way back is the meaning of the bound.

    Parameters
    ----------
    problem, reduced
        The full problem and the smaller one.
    fixed_closed, fixed_open
        bool, shape (n_branch,): undecided switches of the full problem that the reduced one leaves no choice, decided
        or implied.
    """

    problem: ReconfigurationProblem
    reduced: ReconfigurationProblem
    fixed_closed: Bools
    fixed_open: Bools

    @classmethod
    def apply(cls, problem: ReconfigurationProblem, decisions: NDArray[np.int8]) -> Reduction:
        """Lock the decided switches; locks of the scenario stay."""
        locked = np.where(decisions == Decision.FREE, problem.locked, decisions).astype(np.int8)
        reduced = problem.replace(locked=locked)
        settled = undecided(problem) & ~undecided(reduced)
        joined = settled & reduced.usable & ~reduced.free & (reduced.blocks.block >= 0)
        return cls(problem, reduced, joined, settled & ~joined)

    @classmethod
    def with_proven(
        cls,
        problem: ReconfigurationProblem,
        proven: ReconfigurationProblem,
        decisions: NDArray[np.int8],
        p_closed: Floats,
    ) -> Reduction:
        """Lock the decided switches and those that are proven; a decision that contradicts these is dropped.

        Parameters
        ----------
        proven
            The problem with what bounds exclude locked; the problem itself where that is nothing.
        """
        if proven is problem:
            return cls.apply(problem, decisions)
        left = np.where(proven.free, decisions, Decision.FREE).astype(np.int8)
        union = consistent(proven, left, p_closed)
        locked = np.where(problem.free, proven.locked, Decision.FREE)
        return cls.apply(problem, np.where(proven.free, union, locked))

    @property
    def n_free(self) -> int:
        """Switches that are left to decide."""
        return int(np.count_nonzero(undecided(self.reduced)))

    def invert(self, result: Result) -> Result:
        """A result of the reduced problem as one of the full problem: the same configuration, nothing proven."""
        return replace(result, certificate=Certificate.NONE, dual_bound_kw=None)


def undecided(problem: ReconfigurationProblem) -> Bools:
    """bool, shape (n_branch,): switches that are closed in some radial configurations and open in others.

    A free switch in a loop with branches that must all be closed is not among them: it is open in every one.
    """
    core = problem.core
    mask = np.zeros(problem.network.n_branch, dtype=bool)
    mask[core.branches[core.tail != core.head]] = True
    return mask
