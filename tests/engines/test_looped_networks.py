"""Engines on networks with fixed loops against brute force with a meshed power flow that shares no code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from loop_oracle import held_loss, looped_problem, meshed_flow, states

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.enumeration import count_configurations
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.errors import UnsupportedError
from learnopt.learned.choice import engine_of
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Situations, Status
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.studies.configuration.solve import choose_engine, front, solve

SEEDS = range(24)


def losses(problem: ReconfigurationProblem) -> dict[Configuration, float]:
    """Loss [kW] of every state, by the oracle."""
    return {Configuration(closed): meshed_flow(problem, closed)[1] for closed in states(problem)}


@pytest.mark.parametrize("seed", SEEDS)
def test_enumeration_is_right(seed: int) -> None:
    """Optimum, bound and number of states are those of brute force; ``auto`` takes it for few states."""
    problem = looped_problem(seed)
    least = losses(problem)
    assert round(count_configurations(problem)) == len(least)
    result = load_engine("enumerate").solve(problem, SolveOptions())
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert result.loss_kw == pytest.approx(min(least.values()), rel=1e-5)
    assert result.dual_bound_kw == pytest.approx(min(least.values()), rel=1e-6)
    assert least[result.configuration] == pytest.approx(min(least.values()), rel=1e-8)
    assert choose_engine(problem, SolveOptions())[0] == ("enumerate" if tight_obstacles(problem) else "tree")


@pytest.mark.parametrize("seed", SEEDS)
def test_limits_hold_in_fixed_loops(seed: int) -> None:
    """With outages, ampacities and voltage limits: what brute force admits, the chords' currents among it."""
    problem = looped_problem(seed, equipment=False, limits=True)
    net = problem.network
    least = np.inf
    for closed in states(problem):
        v, loss = meshed_flow(problem, closed)
        series = np.abs(v[net.from_bus] - v[net.to_bus]) / np.abs(net.r + 1j * net.x)
        low = np.abs(v[~net.is_substation]).min() < problem.limits.vm_min * (1 - 1e-6)
        if not low and not (closed & (series > net.i_max * (1 + 1e-6))).any():
            least = min(least, loss)
    if problem.contradictions:
        assert least == np.inf
        return
    result = load_engine("enumerate").solve(problem, SolveOptions())
    if least == np.inf:
        assert result.configuration is None
    else:
        assert result.loss_kw == pytest.approx(least, rel=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_model_bound_of_the_tree_search(seed: int) -> None:
    """No state loses less than the bound, for the load currents of the answer or by its AC power flow."""
    problem = looped_problem(seed, equipment=False)
    reducible = without_fixed_loops(problem) is not None
    wanted = Certificate.MODEL if reducible else Certificate.AC
    result = load_engine("tree").solve(problem, SolveOptions(certify=wanted))
    assert result.certificate is Certificate.MODEL
    assert reducible or "fixed loop" in result.message
    v, loss = meshed_flow(problem, result.configuration.closed)
    assert result.loss_kw == pytest.approx(loss, rel=1e-7)
    held = ((problem.p + 1j * problem.q) / v).conj()
    model = min(held_loss(problem, closed, held) for closed in states(problem))
    # What is proven speaks of these currents, as they truly split, or of the AC power flow where that was computed.
    each = [
        max(held_loss(problem, closed, held, by_impedance=True), meshed_flow(problem, closed)[1])
        for closed in states(problem)
    ]
    assert min(model, loss) * (1 - 1e-6) <= result.dual_bound_kw <= min(each) * (1 + 1e-6)


@pytest.mark.parametrize("seed", SEEDS[:8])
def test_ranking_front_and_exchange(seed: int) -> None:
    """Every configuration that leaves an engine is one of brute force, with its loss."""
    problem = looped_problem(seed, equipment=False)
    least = losses(problem)
    ranked = solve(problem, k_best=4).alternatives
    assert len({a.configuration for a in ranked}) == len(ranked) == min(4, len(least))
    points = front(problem)
    assert points
    exchanged = solve(problem, "exchange")
    some = [(a.configuration, a.loss_kw) for a in ranked]
    some += [(r.configuration, r.loss_kw) for r in (*points, exchanged)]
    for configuration, loss in some:
        assert loss == pytest.approx(least[configuration], rel=1e-7)
    for point in points:
        operations = problem.operations(point.configuration)
        within = [loss for c, loss in least.items() if problem.operations(c) <= operations]
        assert point.dual_bound_kw <= min(within) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_cap_on_operations(seed: int) -> None:
    """The number of closed branches counts the chords, so that a cap is one on closings."""
    problem = looped_problem(seed, equipment=False).replace(max_operations=2)
    within = {c: loss for c, loss in losses(problem).items() if problem.operations(c) <= 2}
    for engine in ("enumerate", "tree"):
        result = load_engine(engine).solve(problem, SolveOptions())
        assert (result.configuration is None) == (not within)
        if within:
            assert result.loss_kw == pytest.approx(within[result.configuration], rel=1e-7)
            assert result.dual_bound_kw <= min(within.values()) * (1 + 1e-7)
            assert engine == "tree" or result.loss_kw == pytest.approx(min(within.values()), rel=1e-7)


@pytest.mark.parametrize("engine", ["milp", "learned"])
def test_engines_of_radial_states_refuse(engine: str) -> None:
    """By name, with what to use instead."""
    with pytest.raises(UnsupportedError, match=r"2 fixed loops.*use engine=.enumerate., .*without controls"):
        solve(looped_problem(4), engine_of(engine))


def test_auto_never_takes_the_milp() -> None:
    """Neither for more states than can be gone through nor for several scenarios."""
    ring = [(k, (k + 1) % 80, 0.1, 0.1, {"normally_open": k == 40}) for k in range(80)]
    chords = [(k, 40 + k, 0.1, 0.1, {"normally_open": True}) for k in range(1, 30, 6)]
    fixed = [(0, "a", 0.1, 0.1, {"switchable": False}), ("a", 1, 0.1, 0.1, {"switchable": False})]
    fixed.append((0, 1, 0.1, 0.1, {"switchable": False}))
    network = make_network([*ring[1:], *chords, *fixed], dict.fromkeys([*range(1, 80), "a"], (10.0, 2.0)))
    problem = ReconfigurationProblem.of(network)
    several = Situations((problem.scenario, replace(problem.scenario, p_load=1.1 * network.p_load)), np.ones(2))
    for each in (problem, ReconfigurationProblem.of(network, several)):
        for certify in (None, Certificate.AC):
            name, options, _ = choose_engine(each, SolveOptions(certify=certify))
            assert (name, options.certify) == ("tree", Certificate.MODEL)
