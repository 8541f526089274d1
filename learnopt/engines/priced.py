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

from learnopt.engines.tree_kernel import FINISHED, RUNNING, open_bound, search
from learnopt.engines.tree_search import PROOF_GAP, _flows, _injections, _Run, ac_obstacles, tree_loss
from learnopt.network import Certificate, Configuration, Floats, ReconfigurationProblem

NODES = 50_000
"""Nodes of one search; where they do not suffice the bound of what is left open counts."""


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
        For the ``model`` certificate: load currents are held at the voltages of this configuration.
    certify
        ``ac`` or ``model``; where the AC bound does not cover the problem the certificate is ``model``.
    gap
        Relative distance below the value to beat at which subtrees are given up.
    """
    kw = problem.network.base.kw
    prices = np.asarray(prices_kw) / kw
    run = _Run.of(problem)
    core = run.decisions.branch
    decided = problem.usable & ~problem.free
    constant = float(prices[decided].sum() + np.minimum(prices[core], 0.0).sum())
    decisions = run.decisions._replace(
        close_cost=np.maximum(prices[core], 0.0), open_cost=np.maximum(-prices[core], 0.0)
    )
    run = replace(run, decisions=decisions)
    prove_ac = certify is Certificate.AC and not ac_obstacles(problem)
    cost = float(decisions.close_cost @ reference.closed[core] + decisions.open_cost @ ~reference.closed[core])
    if prove_ac:
        flows = _flows(problem, reference)
        run, columns, metric_constant = run.ac_metric(flows)
        upper = flows[0].loss + cost
    else:
        injection = _injections(problem, calibration, _flows(problem, calibration)[0])[:, None]
        columns = np.concatenate([injection.real, injection.imag], axis=1) * run.root_vm
        metric_constant = np.zeros(run.n_parts)
        upper = tree_loss(problem, reference, injection) + cost
    # A little above its value, or the reference would be excluded by rounding and the bound would lie above it.
    frames = run.frames(columns, metric_constant, upper * (1 + 2 * PROOF_GAP), max(gap, PROOF_GAP))
    found: list[Configuration] = []
    outcome = RUNNING
    while outcome != FINISHED and frames.scalars[1] < NODES:
        budget = NODES - int(frames.scalars[1])
        outcome = search(run.decisions, run.trunk, frames, run.base_closed, budget, True)
        if frames.scalars[4] > len(found):
            found.append(Configuration(frames.best_closed))
    bound = min(open_bound(frames), float(frames.best[0] * frames.best[1])) + constant
    return PricedBound(
        bound_kw=bound * kw if math.isfinite(bound) else -math.inf,
        certificate=Certificate.AC if prove_ac else Certificate.MODEL,
        found=tuple(c for c in found if c != reference),
        nodes=int(frames.scalars[1]),
    )
