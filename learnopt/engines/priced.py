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
from itertools import product

import numpy as np
from numpy.typing import NDArray

from learnopt.engines.coverage import ac_obstacles
from learnopt.engines.currents import load_currents, power_flows, tree_loss
from learnopt.engines.depth_first import DepthFirst
from learnopt.engines.incumbent import PROOF_GAP
from learnopt.engines.relaxation import ac_relaxation, model_relaxation
from learnopt.engines.search_space import SearchSpace
from learnopt.engines.tree_kernel import FINISHED, RUNNING
from learnopt.network import Certificate, Configuration, Floats, Ints, ReconfigurationProblem

NODES = 50_000
"""Nodes of one search; where they do not suffice the bound of what is left open counts."""

DECIDED_FIRST = 4
"""Branches with iron losses whose states are gone through one by one."""


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
    """

    bound_kw: float
    certificate: Certificate
    found: tuple[Configuration, ...]
    nodes: int


def priced_bound(
    problem: ReconfigurationProblem,
    prices_kw: Floats,
    reference: Configuration,
    calibration: Configuration,
    certify: Certificate = Certificate.AC,
    gap: float = PROOF_GAP,
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
    """
    kw = problem.network.base.kw
    prices = np.asarray(prices_kw) / kw
    if certify is Certificate.AC and not ac_obstacles(problem):
        return _search(problem, prices, reference, None, gap)
    held = power_flows(problem, calibration)[0]
    prices = prices + _iron_loss(problem, held.v)
    injection = load_currents(problem, calibration, held)[:, None]
    # The relaxation sees the price of a branch once it is decided, so the few large ones are decided first.
    parts = [
        _search(part, prices, reference, injection, gap)
        for part in _states(problem, np.flatnonzero(problem.free & (problem.network.g > 0))[:DECIDED_FIRST])
    ]
    return PricedBound(
        bound_kw=min(part.bound_kw for part in parts),
        certificate=Certificate.MODEL,
        found=tuple(dict.fromkeys(configuration for part in parts for configuration in part.found)),
        nodes=sum(part.nodes for part in parts),
    )


def _states(problem: ReconfigurationProblem, branches: Ints) -> list[ReconfigurationProblem]:
    """The problem split by all states of some branches: together its configurations, each once."""
    parts = []
    for states in product((0, 1), repeat=len(branches)):
        locked = problem.scenario.locked.copy()
        locked[branches] = states
        part = replace(problem, scenario=replace(problem.scenario, locked=locked))
        if not part.contradictions:
            parts.append(part)
    return parts


def _search(
    problem: ReconfigurationProblem,
    prices: Floats,
    reference: Configuration,
    injection: NDArray[np.complex128] | None,
    gap: float,
) -> PricedBound:
    """One search, for the AC problem or for load currents [pu] that are given; prices in pu."""
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
    if injection is None:
        flows = power_flows(problem, reference)
        upper = flows[0].loss + cost
        # Prices are costs of at least zero here: what is below the value to beat has a loss below it.
        relaxation = ac_relaxation(space, flows, upper * (1 + 2 * PROOF_GAP))
    else:
        relaxation = model_relaxation(space, injection)
        upper = tree_loss(problem, reference, injection) + cost
    if upper <= 0:  # a part whose constant alone is above the value to beat
        return PricedBound((constant + upper) * kw, Certificate.MODEL, (), 0)
    # A little above its value, or the reference would be excluded by rounding and the bound would lie above it.
    search = DepthFirst(relaxation, upper * (1 + 2 * PROOF_GAP), max(gap, PROOF_GAP))
    found: dict[Configuration, None] = {}
    outcome = RUNNING
    while outcome != FINISHED and search.nodes < NODES:
        outcome = search.search(NODES - search.nodes, True)
        if search.improved is not None:
            found[search.improved] = None
    bound = search.bound + constant
    return PricedBound(
        bound_kw=bound * kw if math.isfinite(bound) else -math.inf,
        certificate=Certificate.AC if injection is None else Certificate.MODEL,
        found=tuple(c for c in found if c != reference),
        nodes=search.nodes,
    )


def _iron_loss(problem: ReconfigurationProblem, v: NDArray[np.complex128]) -> Floats:
    """Loss in the shunt conductance of each branch at given voltages [pu], were it closed, shape (n_branch,)."""
    net, squared = problem.network, np.abs(v) ** 2
    return 0.5 * net.g * (squared[net.from_bus] / net.ratio**2 + squared[net.to_bus])
