"""The AC proof with mixed signs: fixing by bounds first, then the search at falling gaps."""

from __future__ import annotations

import numpy as np

from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.incumbent import SearchState
from learnopt.engines.tree.proof import AcProof
from learnopt.engines.tree.relaxation import Relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Configuration

QUICK = 200
"""Nodes of a first search, before anything is fixed: small feeders need no more."""
FEW_LOOPS, USEFUL_SHARE = 8, 0.8
"""With more loops and a bound below this share of the incumbent there, no search with mixed signs would end."""


def prove_mixed(
    state: SearchState, whole: SearchSpace, reference: Configuration, gap: float, budget: Budget
) -> list[str]:
    """Prove the AC problem; why that would be in vain, where it would be, and then the state is as before.

    Where the time is over meanwhile, what the first search has proven stays.
    """
    # Where no bound is proven this one is zero: configurations are gone through, and few may be all.
    if AcProof(state, whole, budget).run(reference, gap, QUICK):
        return []
    space = _fixed(state, whole, gap, budget)
    proof = AcProof(state, space, budget)
    relaxation = proof.relaxation(reference)
    if not budget.left:
        state.stopped()
    elif obstacles := _useless(state, space, relaxation, state.incumbent or reference):
        return obstacles
    else:
        proof.coarse_to_fine(reference, gap)
    return []


def _fixed(state: SearchState, space: SearchSpace, gap: float, budget: Budget) -> SearchSpace:
    """The space of the problem with the switches fixed that bounds decide, so that the next bound is tighter."""
    from learnopt.engines.tree.probing import fix_by_bounds  # loaded with mixed signs only

    if state.incumbent is None or len(state.problem.situations) > 1:
        return space
    cutoff = state.objective_pu * (1 - gap)
    reduced = fix_by_bounds(state.problem, state.incumbent, cutoff, probes=False, goes_on=lambda: budget.left)
    return space if reduced.contradictions else SearchSpace.of(reduced)


def _useless(state: SearchState, space: SearchSpace, relaxation: Relaxation, touched: Configuration) -> list[str]:
    """Why a search with this bound would be in vain; empty where it may end."""
    if not relaxation.proves:
        return ["no bound on voltages could be proven: enforce limits, or give a start that does"]
    value = float(np.max(relaxation.values_of(touched))) + state.switching_pu(touched)
    if space.space.n_loops > FEW_LOOPS and value < USEFUL_SHARE * state.objective_pu:
        return ["reverse flows may be too large for its bound to be of use"]
    return []
