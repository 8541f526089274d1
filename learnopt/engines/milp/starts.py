"""Plans to begin with: switches and controls improved in turns, and the tree search where it sees more."""

from __future__ import annotations

import math

import numpy as np

from learnopt.engines.base import SolveOptions
from learnopt.engines.dispatch import settle, settle_from_each_step
from learnopt.engines.exchange import find_incumbent, random_start
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, Configuration

RANDOM_STARTS = 8
"""Random trees for the incumbent: more of them make a bad cutoff unlikely, each costs milliseconds."""
START_SHARE, START_NODES = 0.2, 20_000
"""Share of the time limit for a start, and nodes of the tree search for it."""


def offer_starts(search: Incumbent, start: Configuration | None, random_starts: int = RANDOM_STARTS) -> None:
    """Offer configurations of one decision for all situations, with their controls set.

    Branch exchange sees the mean loads. Where that is not all there is to see, the tree search looks too.

    Parameters
    ----------
    start
        A configuration given, of any quality.
    random_starts
        Random trees to start from.
    """
    coupled, together = search.coupled, search.coupled.together
    mean = together.mean
    rng = np.random.default_rng(search.options.seed)
    found = find_incumbent(mean, start, rng, random_starts, search.limit, search.watch)
    settings = None
    if mean.controls and found is not None:
        settled = settle_from_each_step(mean, found, goes_on=lambda: search.remaining > 0)
        found, settings, _ = settled or (found, None, 0.0)
    if found is not None:
        search.offer(coupled.served(found, settings))
    if mean is not together:
        held = together.applied(settings)
        options = SolveOptions(
            certify=Certificate.MODEL,
            time_limit=None if math.isinf(search.limit) else max(START_SHARE * search.limit, 1e-9),
            node_limit=START_NODES,
            seed=search.options.seed,
        )
        for configuration in (TreeSearchEngine().solve(held, options, found).configuration, start):
            if configuration is not None:
                search.offer(coupled.served(configuration, settings))
    if mean.controls:
        _more_starts(search, rng, random_starts)


def _more_starts(search: Incumbent, rng: np.random.Generator, random_starts: int) -> None:
    """Switches and controls improved in turns from random trees, until something is admissible."""
    mean = search.coupled.together.mean
    for _ in range(random_starts):
        if search.plan is not None or search.remaining <= 0:
            return
        if (settled := settle(mean, random_start(mean, rng), goes_on=lambda: search.remaining > 0)) is not None:
            search.offer(search.coupled.served(*settled[:2]))
