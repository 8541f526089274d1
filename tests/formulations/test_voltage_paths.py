"""Voltages over all paths contain every AC state with every setting of the controls, and are closer than before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network, random_network
from instances import all_configurations

from learnopt.formulations.arcs import Arcs
from learnopt.formulations.bounds import derive_bounds, derive_closer_bounds
from learnopt.formulations.voltage_paths import MOST_FAILURES, Paths, Window, window_over_paths
from learnopt.network import Capacitor, Controls, Generator, ReconfigurationProblem, Settings, Tap
from learnopt.physics import power_flow


def controlled(seed: int) -> ReconfigurationProblem:
    """Seven buses and three loops with banks, a tap changer and a generator, no limits."""
    rng = np.random.default_rng([seed, 7])
    net = random_network(rng, 7, 3, n_substations=1 + seed % 2)
    buses = np.arange(1 + seed % 2, 7)
    bank = Capacitor(int(rng.choice(buses)), (0.2, 0.6))
    tap = Tap(int(rng.integers(net.n_branch)), 0.94, 1.06, 0.06)
    p, q = rng.uniform(0.1, 1.5, 2)
    controls = Controls((tap,), (bank,), (Generator("G", int(rng.choice(buses)), 0.0, p, 0.0, q, switchable=True),))
    return ReconfigurationProblem.of(replace(net, controls=controls), controls=controls)


@pytest.mark.parametrize("seed", range(12))
def test_every_state_with_every_setting_lies_inside(seed):
    """Configurations with settings at and between their ends, cutoffs at losses of some of them."""
    problem, rng = controlled(seed), np.random.default_rng(seed)
    (tap,), (bank,), (generator,) = problem.controls.taps, problem.controls.capacitors, problem.controls.generators
    states = []
    for configuration in all_configurations(problem):
        for _ in range(4):
            on = bool(rng.random() < 0.7)
            share = rng.choice([0.0, 0.5, 1.0], 2)
            power = (share[0] * generator.p_max, share[1] * generator.q_max) if on else (0.0, 0.0)
            steps = (float(rng.choice(bank.choices)),)
            flow = power_flow(
                problem.applied(Settings((float(rng.choice(tap.positions)),), steps, (power,), (on,))), configuration
            )
            if flow.converged:
                states.append((flow.loss, np.abs(flow.v)))
    states.sort(key=lambda state: state[0])
    arcs, closer_somewhere = Arcs.of(problem), False
    for cutoff in (states[0][0], states[len(states) // 4][0], states[-1][0]):
        bounds = derive_closer_bounds(problem, arcs, cutoff * (1 + 1e-12))
        before = derive_bounds(problem, arcs, cutoff * (1 + 1e-12))
        closer_somewhere |= bool((bounds.w_max < before.w_max - 1e-6).any())
        for loss, vm in states:
            if loss <= cutoff:
                assert (vm**2 <= bounds.w_max * (1 + 1e-9)).all()
                assert (vm**2 >= bounds.w_min * (1 - 1e-9)).all()
    assert closer_somewhere


def test_capacitor_at_the_end_of_a_line():
    """By hand: one path; the voltage rises by no more than what the bank leaves over the load."""
    network = make_network([(0, 1, 1.0, 1.0)], {1: (1000, 0)})
    x = network.r[0]
    paths = Paths(
        start=np.array([0, 1, 2]),
        branch=np.array([0, 0]),
        other=np.array([1, 0]),
        root=np.array([True, False]),
        vm=np.array([1.0, 0.0]),
        r=np.array([x]),
        x=np.array([x]),
        weight=np.array([2 * x]),
        fixed_drop=np.zeros(1),
        stretch=np.ones(1),
        p=np.array([0.0, 0.2]),
        q=np.array([0.0, 0.1]),
        generation=0.0,
        leading=0.5,
    )
    found = window_over_paths(paths, Window(np.array([1.0, 0.1]), np.array([1.0, 3.0])), 1.0)
    assert found.high[1] == pytest.approx(np.sqrt(1 + 2 * x * (0.5 - 0.1 - 0.2)), abs=1e-8)
    assert found.low[1] == pytest.approx(1 - np.sqrt(2 * x), abs=1e-8)


def test_too_many_paths_leave_what_was_known():
    """A complete graph has too many; the search for them ends after a few buses."""
    n = 14
    ends = np.array([(a, b) for a in range(n) for b in range(n) if a != b])
    pairs = {tuple(sorted(pair)): e for e, pair in enumerate(map(tuple, ends[ends[:, 0] < ends[:, 1]].tolist()))}
    m = len(pairs)
    paths = Paths(
        start=np.searchsorted(ends[:, 0], np.arange(n + 1)),
        branch=np.array([pairs[tuple(sorted(pair))] for pair in ends.tolist()]),
        other=ends[:, 1],
        root=np.arange(n) == 0,
        vm=np.where(np.arange(n) == 0, 1.0, 0.0),
        **{name: np.full(m, 0.01) for name in ("r", "x", "weight")},
        fixed_drop=np.zeros(m),
        stretch=np.ones(m),
        p=np.zeros(n),
        q=np.zeros(n),
        generation=0.0,
        leading=0.0,
    )
    known = Window(np.full(n, 0.2), np.full(n, 2.0))
    found = window_over_paths(paths, known, 1.0)
    assert n - 1 > MOST_FAILURES
    assert (found.low == known.low).all()
    assert (found.high == known.high).all()
