"""Iron losses as prices of the tree search, against every configuration of random networks.

Equation numbers are those of section 6 of ``docs/methods/ac_bound.md``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from instances import feasible_flows, random_problem

from learnopt.engines import SolveOptions
from learnopt.engines.bounds import iron
from learnopt.engines.bounds.iron import iron_loss, least_iron_loss, least_sum
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import Certificate, ReconfigurationProblem, Status
from learnopt.physics import evaluate

RULES = ("shunts", "couplers", "voltages", "voltage limits", "ampacity", "lock", "outage", "cost", "cap")
SIGNS = ("generation", "capacitors", "charging")


def draw(seed: int, signs: bool, ratios: bool = False) -> ReconfigurationProblem:
    """A problem with iron losses on two branches of five, from a share of the copper losses to many times as much."""
    rng = np.random.default_rng([21, seed])
    has = [f for f in (*(SIGNS if signs else ()), *RULES) if rng.random() < 0.3]
    problem = random_problem(
        seed, has, n_bus=(4, 10), n_loops=(1, 4), load=((0.05, 0.5), (0.2, 1.5), (0.3, 4))[seed % 3]
    )
    net = problem.network
    g = np.where(rng.random(net.n_branch) < 0.4, rng.uniform(0, 0.03, net.n_branch) * rng.choice([0.1, 1.0]), 0.0)
    net = replace(net, g=g, b=np.where(g > 0, -rng.uniform(0, 0.03, net.n_branch), net.b))
    if not signs:
        net = replace(net, b_shunt=np.minimum(net.b_shunt, 0.0))
    if ratios:
        net = replace(net, ratio=np.where(rng.random(net.n_branch) < 0.4, rng.uniform(0.9, 1.1, net.n_branch), 1.0))
    return problem.replace(network=net)


@pytest.mark.parametrize("mutant", ["", "no drop", "every direction but one"])
def test_no_closed_branch_loses_less_than_its_price(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """(33), (34), with and without a cutoff, also across transformers off their nominal ratio."""
    if mutant == "no drop":
        monkeypatch.setattr(iron, "_largest_drop", lambda _, arcs, __: np.zeros(len(arcs)))
    elif mutant:
        monkeypatch.setattr(iron, "_cheapest_way", lambda *_: np.inf)
    broken, seen, close = 0, 0, 0
    for seed in range(100):
        problem = draw(seed, signs=seed % 2 == 0, ratios=seed % 3 == 0)
        flows = feasible_flows(problem)
        middle = flows[len(flows) // 2][1].loss * (1 + 1e-9) if flows else 0.0
        for cutoff in (np.inf, middle) if flows else ():
            price = least_iron_loss(problem, cutoff)
            for configuration, flow in flows:
                if flow.loss > cutoff:
                    continue
                true = iron_loss(problem, flow.v)
                used = configuration.closed & (problem.network.g > 0)
                broken += bool((price[used] > true[used] * (1 + 1e-9)).any())
                assert least_sum(problem, price) <= price[configuration.closed].sum() + 1e-12
                seen += int(used.sum())
                close += int((price[used] > 0.98 * true[used]).sum())
    assert (broken > 0) == bool(mutant)
    assert seen > 500
    assert close > 0.1 * seen


@pytest.mark.parametrize("signs", [False, True])
def test_optimum_with_iron_losses_is_that_of_enumeration(signs: bool) -> None:
    """The AC proof counts iron losses; without capacitive elements or generation it is that of the tight bound."""
    proven = tight = 0
    for seed in range(60):
        problem = draw(seed, signs)
        flows = feasible_flows(problem)
        if not flows:
            continue
        result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
        if result.certificate is not Certificate.AC:
            continue
        least = min(evaluate(problem, c).loss_kw + problem.switching_cost * problem.operations(c) for c, _ in flows)
        assert result.dual_bound_kw is not None
        assert result.dual_bound_kw <= least * (1 + 1e-7) + 1e-9
        if result.status is Status.OPTIMAL:
            assert result.objective_kw == pytest.approx(least, rel=1e-6, abs=1e-9)
            proven += 1
            tight += not mixed_signs(problem)
    assert proven > 25
    assert tight > 20 or signs
