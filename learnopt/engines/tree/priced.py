r"""Tree search with a price on every switch: the proven least ``loss + prices of the closed branches``.

The subproblem of Lagrangian decomposition: what couples a configuration to others (switching between hours) becomes a
price of any sign on the state of each branch,

.. math:: \min_x \; \mathrm{loss}(x) + \sum_e \pi_e x_e .

With :math:`\pi_e x_e = \min(\pi_e, 0) + \max(\pi_e, 0)\, x_e + \max(-\pi_e, 0)\, (1 - x_e)` the search sees costs of
closing and of opening that are never negative, and a constant that is added in the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines.clock import GoesOn, always
from learnopt.engines.tree.coverage import ac_obstacles, mixed_signs
from learnopt.engines.tree.currents import power_flows, tree_loss
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.incumbent import PROOF_GAP
from learnopt.engines.tree.kernel import FINISHED, RUNNING
from learnopt.engines.tree.proof import GAP_LADDER
from learnopt.engines.tree.relaxation import Relaxation, ac_relaxation, calibrated, model_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Certificate, Configuration, Floats, ReconfigurationProblem

MARGIN = 0.05
"""The bound for mixed signs is made for values so much above the one to beat, so that it serves other prices too."""
NODES = 50_000
"""Nodes of one search; where they do not suffice the bound of what is left open counts."""
RUNG = 5_000
"""Nodes at each of the gaps that a search with mixed signs goes through."""


@dataclass(frozen=True)
class PricedBound:
    """Outcome of a priced search.

    Parameters
    ----------
    bound_kw
        Proven lower bound of loss plus prices over all admissible configurations [kW].
    certificate
        What the bound holds for.
    found
        Configurations better than the reference that the search met, best last.
    nodes
        Branch-and-bound nodes.
    metric
        With mixed signs the bound that was used, dear to find; it serves other prices of the problem too.
    """

    bound_kw: float
    certificate: Certificate
    found: tuple[Configuration, ...]
    nodes: int
    metric: Relaxation | None = None


def priced_bound(
    problem: ReconfigurationProblem,
    prices_kw: Floats,
    reference: Configuration,
    calibration: Configuration,
    certify: Certificate = Certificate.AC,
    gap: float = PROOF_GAP,
    metric: Relaxation | None = None,
    node_limit: int | None = None,
    goes_on: GoesOn = always,
) -> PricedBound:
    """Bound loss plus prices from below, starting from a configuration that is good at these prices.

    Parameters
    ----------
    problem
        One scenario without switching cost; locks, outages, limits and the cap on operations are respected.
    prices_kw
        Price of each closed branch [kW], any sign, shape (n_branch,).
    reference
        A feasible configuration: its value is to beat, and the AC metric touches it.
    calibration
        For the ``model`` certificate: load currents and iron losses are held at the voltages of this configuration.
    certify
        ``ac`` or ``model``; where the AC bound does not cover the problem the certificate is ``model``.
    gap
        Relative distance below the value to beat at which subtrees are given up.
    metric
        Of an earlier call for this problem.
    node_limit
        Nodes after which the search of a gap ends; None = its own.
    goes_on
        Asked while searching: there is time. Where it says no the bound of what is left open counts.
    """
    kw = problem.network.base.kw
    prices = np.asarray(prices_kw) / kw
    if certify is Certificate.AC and not ac_obstacles(problem):
        return _search(problem, prices, reference, None, gap, node_limit, goes_on, metric)
    return _search(problem, prices, reference, calibration, gap, node_limit, goes_on)


def _search(
    problem: ReconfigurationProblem,
    prices: Floats,
    reference: Configuration,
    calibration: Configuration | None,
    gap: float,
    node_limit: int | None,
    goes_on: GoesOn,
    metric: Relaxation | None = None,
) -> PricedBound:
    """One search, for the AC problem or for load currents and iron losses of a configuration; prices in pu."""
    kw = problem.network.base.kw
    space = SearchSpace.of(problem)
    core = space.decisions.branch
    constant = float(prices[space.base_closed].sum() + np.minimum(prices[core], 0.0).sum())
    decisions = space.decisions._replace(
        close_cost=np.maximum(prices[core], 0.0), open_cost=np.maximum(-prices[core], 0.0)
    )
    space = replace(space, decisions=decisions)
    # The reference need not be a configuration of this part: its value is to beat all the same.
    cost = float(prices @ reference.closed) - constant
    mixed = calibration is None and bool(mixed_signs(problem))
    if calibration is None:
        flows = power_flows(problem, reference)
        upper = flows[0].loss + cost
        # Prices are costs of at least zero here: what is below the value to beat has a loss below it.
        if mixed and metric is not None and metric.cutoff >= upper:
            relaxation = metric.on(space)
        else:
            relaxation = ac_relaxation(space, flows, upper * (1 + (MARGIN if mixed else 2 * PROOF_GAP)), goes_on)
        metric = relaxation if mixed else None
        if not (relaxation.proves or relaxation.space.trunk.iron.any()):
            return PricedBound(-math.inf, Certificate.AC, (), 0)
    else:
        flows = power_flows(problem, calibration)
        injection = calibrated(space, calibration, flows)
        relaxation = model_relaxation(space, injection, flows)
        upper = tree_loss(space.problem, reference, injection) + relaxation.iron_of(reference) + cost
    if upper <= 0:  # a part whose constant alone is above the value to beat
        return PricedBound((constant + upper) * kw, Certificate.MODEL, (), 0)
    # A little above its value, or the reference would be excluded by rounding and the bound would lie above it.
    to_beat, bound, nodes = upper * (1 + 2 * PROOF_GAP), -math.inf, 0
    found: dict[Configuration, None] = {}
    budget = min(RUNG if mixed else NODES, node_limit or NODES)
    ladder = [g for g in GAP_LADDER if g > gap] if mixed else []
    for stage in [*ladder, max(gap, PROOF_GAP)]:
        search = DepthFirst(relaxation, to_beat, stage)
        outcome = RUNNING
        while outcome != FINISHED and search.nodes < budget and goes_on():
            outcome = search.search(min(search.chunk, budget - search.nodes), True)
            if search.improved is not None:
                found[search.improved] = None
        to_beat, nodes = search.to_beat, nodes + search.nodes
        bound = max(bound, search.bound + constant)
        if outcome != FINISHED:
            break
    return PricedBound(
        bound_kw=bound * kw if math.isfinite(bound) else -math.inf,
        certificate=Certificate.AC if calibration is None else Certificate.MODEL,
        found=tuple(c for c in found if c != reference),
        nodes=nodes,
        metric=metric,
    )
