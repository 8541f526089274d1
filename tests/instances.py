"""Random small problems with everything a problem can have, and all their configurations by brute force."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from conftest import random_network

from learnopt.formulations.arcs import Arcs
from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem, Scenario, Situations
from learnopt.network.topology import merged_nodes
from learnopt.physics import PowerFlow, evaluate, power_flow

PASSIVE = ("couplers", "voltages", "voltage limits", "ampacity", "ratings", "lock", "outage", "cost", "cap")
"""Features under which the AC bound of the tree search applies."""
FEATURES = ("generation", "capacitors", "charging", *PASSIVE)
EQUIPMENT = ("transformers", "shunts")
"""Further features, drawn apart so that the instances of a seed stay what they were without them."""
BUS_LIMITS = "bus limits"
"""A further feature, drawn apart as well: voltage limits of single buses, about what some configuration has there."""


def random_problem(
    seed: int,
    features: Collection[str] | None = None,
    n_bus: tuple[int, int] = (4, 12),
    n_loops: tuple[int, int] = (1, 4),
    load: tuple[float, float] = (0.3, 4.0),
    network: Network | None = None,
) -> ReconfigurationProblem:
    """A random problem on one or two substations; a fifth of the buses have no load.

    Parameters
    ----------
    features
        What it has, of :data:`FEATURES`, :data:`EQUIPMENT` and :data:`BUS_LIMITS`; each of the first with a chance of a
        quarter where None.
    n_bus, n_loops, load
        Ranges of the number of buses and loops and of the factor on the loads; 4 is near the collapse of long feeders.
    network
        A network to take in place of a random one.
    """
    rng = np.random.default_rng(seed)
    has = set(features) if features is not None else {f for f in FEATURES if rng.random() < 0.25}
    net = network or random_network(
        rng, int(rng.integers(*n_bus)), int(rng.integers(*n_loops)), int(rng.integers(1, 3))
    )
    n, m = net.n_bus, net.n_branch
    loaded = rng.uniform(*load) * (rng.random(n) > 0.2)
    p, q = net.p_load * loaded, net.q_load * loaded
    if "generation" in has:
        p = np.where(rng.random(n) < 0.3, -2 * p, p)
    if "capacitors" in has:
        q = np.where(rng.random(n) < 0.3, -q, q)
    scenario = replace(Scenario.nominal(net), p_load=p, q_load=q)
    limits, rules = Limits(), {}
    if "charging" in has:
        net = replace(net, b=rng.uniform(0, 0.05, m) * (rng.random(m) < 0.7))
    apart = np.random.default_rng([seed, 1])
    if "transformers" in has:
        some = apart.random(m) < 0.4
        net = replace(
            net,
            ratio=np.where(some, apart.uniform(0.93, 1.07, m), 1.0),
            g=np.where(some, apart.uniform(0, 0.02, m), 0.0),
            b=np.where(some, apart.uniform(-0.03, 0.0, m), net.b),
            kv=apart.choice([10.0, 20.0], n),
        )
    if "shunts" in has:
        some = apart.random(n) < 0.4
        g, b = apart.uniform(0, 0.1, n), apart.uniform(-0.1, 0.3, n)
        net = replace(net, g_shunt=np.where(some, g, 0.0), b_shunt=np.where(some, b, 0.0))
    if "couplers" in has:
        real = rng.random(m) > 0.2
        net = replace(net, r=net.r * real, x=net.x * (real | (rng.random(m) < 0.3)))
    if "voltages" in has:
        net = replace(net, substation_vm=rng.uniform(0.98, 1.05, len(net.substations)))
    if "voltage limits" in has:
        high = float(rng.uniform(1.0, 1.06)) if rng.random() < 0.5 else None
        limits = replace(limits, vm_min=float(rng.uniform(0.85, 0.97)), vm_max=high)
    scale = float(np.abs(p).sum()) + 0.01
    if "ampacity" in has:
        net = replace(net, i_max=np.where(rng.random(m) < 0.6, rng.uniform(0.1, 1.0, m) * scale, np.inf))
        limits = replace(limits, ampacity=True)
    if "ratings" in has:
        k = len(net.substations)
        low, high = rng.uniform(0, 0.4 / k, k) * scale, rng.uniform(0.6, 1.5, k) * scale
        net = replace(net, substation_s_min=low, substation_s_max=high)
        limits = replace(limits, substations=True)
    if "lock" in has:
        locked = np.full(m, -1, dtype=np.int8)
        locked[rng.choice(m, size=int(rng.integers(1, 3)), replace=False)] = rng.integers(0, 2)
        scenario = replace(scenario, locked=locked)
    if "outage" in has:
        scenario = replace(scenario, out_of_service=np.arange(m) == rng.integers(m))
    if "cost" in has:
        rules["switching_cost"] = float(rng.uniform(0, 5))
    if "cap" in has:
        rules["max_operations"] = int(rng.integers(0, 5))
    problem = ReconfigurationProblem(net, Situations.of(scenario), limits, **rules)
    return with_bus_limits(problem, seed) if BUS_LIMITS in has else problem


def solvable_problem(
    seed: int,
    features: Collection[str] | None = None,
    *,
    holds: Callable[[ReconfigurationProblem], bool] = lambda problem: True,
    **options: Any,
) -> ReconfigurationProblem:
    """The first :func:`random_problem` of a series of seeds that some configuration solves and for which ``holds``.

    A test that needs it asks every time. Limits are not looked at.
    """
    for draw in range(100):
        problem = random_problem(seed + 100_000 * draw, features, **options)
        if not problem.contradictions and holds(problem):
            return problem
    raise AssertionError(f"no problem of seed {seed} has what the test needs")


def with_bus_limits(problem: ReconfigurationProblem, seed: int) -> ReconfigurationProblem:
    """Lower and upper voltage limits at some buses, just below and above the voltages of a random configuration.

    So they bind: some configurations respect them and others do not.
    """
    rng, net = np.random.default_rng([seed, 2]), problem.network
    states = all_configurations(problem)
    flow = power_flow(problem, states[rng.integers(len(states))]) if states else None
    vm = np.abs(flow.v) if flow is not None and flow.converged else np.full(net.n_bus, 0.95)
    low = np.where(rng.random(net.n_bus) < 0.5, vm * rng.uniform(0.985, 1.0005, net.n_bus), 0.0)
    high = np.where(rng.random(net.n_bus) < 0.3, vm * rng.uniform(1.001, 1.02, net.n_bus), np.inf)
    limits = replace(problem.limits, vm_min=None, vm_max=None, voltage=True)
    return problem.replace(network=replace(net, vm_min=low, vm_max=high), limits=limits)


def several(problem: ReconfigurationProblem, seed: int) -> ReconfigurationProblem:
    """The problem in two to five scenarios of other loads and unequal weights, one of which may be zero."""
    rng = np.random.default_rng([seed, 1])
    n = int(rng.integers(2, 6))
    base = problem.scenario
    scenarios = []
    for k in range(n):
        p, q = (load * rng.uniform(0.2, 1.3, len(load)) for load in (base.p_load, base.q_load))
        scenarios.append(replace(base, p_load=p, q_load=q, name=f"scenario {k}"))
    together = Situations(tuple(scenarios), rng.integers(0, 4, n) + np.eye(n)[0])
    return problem.under(together)


def all_configurations(problem: ReconfigurationProblem) -> list[Configuration]:
    """Every admissible configuration (AC limits not looked at), by trying all sets of branches of the right size."""
    net = problem.network
    choice = np.flatnonzero(problem.usable & ~problem.must_close)
    n_open = len(choice) + int(problem.must_close.sum()) - int(merged_nodes(net).max())
    found = []
    for opened in combinations(choice, n_open) if 0 <= n_open <= len(choice) else ():
        closed = problem.usable.copy()
        closed[list(opened)] = False
        configuration = Configuration(closed)
        if problem.admits(configuration):
            found.append(configuration)
    return found


def feasible_flows(problem: ReconfigurationProblem) -> list[tuple[Configuration, PowerFlow]]:
    """Every configuration that the judge finds feasible, with its power flow, by increasing loss."""
    pairs = [(c, power_flow(problem, c)) for c in all_configurations(problem) if evaluate(problem, c).feasible]
    return sorted(((c, f) for c, f in pairs if f.converged), key=lambda pair: pair[1].loss)


def used_arcs(arcs: Arcs, flow: PowerFlow) -> np.ndarray:
    """Arcs whose branch feeds their head."""
    return np.flatnonzero(flow.feed[arcs.head] == arcs.branch)


def just_rated(problem: ReconfigurationProblem, flow: PowerFlow) -> ReconfigurationProblem:
    """The problem with ampacities that a power flow just meets: the larger end current of each branch that it uses."""
    rating = np.full(problem.network.n_branch, np.inf)
    for k in np.flatnonzero(flow.parent >= 0):
        e = flow.feed[k]
        net = problem.network
        half = 0.5 * (net.g[e] + 1j * problem.b[e])
        up, down = (1, net.ratio[e]) if net.from_bus[e] == k else (net.ratio[e], 1)
        sending, arriving = flow.v[flow.parent[k]] / up, flow.v[k] / down
        ends = abs(flow.current[k] + half * sending) / up, abs(flow.current[k] - half * arriving) / down
        rating[e] = max(ends) * (1 + 1e-9)
    network = replace(problem.network, i_max=rating)
    return problem.replace(network=network, limits=replace(problem.limits, ampacity=True))
