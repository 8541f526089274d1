"""Random small horizons, and their optimum by trying every sequence of radial configurations with the judge."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
from instances import all_configurations, random_problem

from learnopt.network import Capacitor, Configuration, Controls, Generator, Settings, Tap
from learnopt.physics import evaluate
from learnopt.studies.horizon import HorizonProblem


def random_horizon(seed: int, features: Collection[str] = (), n_steps: int = 3, **rules: object) -> HorizonProblem:
    """Three steps of unlike loads on a random feeder of one or two loops."""
    rng = np.random.default_rng([seed, 7])
    base = random_problem(seed, features, n_bus=(4, 8), n_loops=(1, 3), load=(0.3, 2.0))
    scenarios = []
    for t in range(n_steps):
        p, q = (load * rng.uniform(0.1, 1.5, len(load)) for load in (base.scenario.p_load, base.scenario.q_load))
        scenarios.append(replace(base.scenario, p_load=p, q_load=q, name=f"step {t}"))
    hours = rng.choice([0.25, 1.0, 2.0], n_steps)
    return HorizonProblem(base.network, tuple(scenarios), hours, base.limits, base.charging, **rules)


def brute_force(problem: HorizonProblem) -> tuple[float, tuple[Configuration, ...] | None]:
    """Least objective [kWh] of all sequences of configurations, by the independent power flow."""
    free = replace(problem, max_operations=None, max_operations_per_step=None)
    trees = all_configurations(free.steps[0])
    loss = []
    for step in free.steps:
        found = [evaluate(step, tree) for tree in trees]
        loss.append([e.loss_kw if e.feasible else math.inf for e in found])
    cap = math.inf if problem.max_operations is None else problem.max_operations
    step_cap = math.inf if problem.max_operations_per_step is None else problem.max_operations_per_step
    best, answer = math.inf, None
    for sequence in product(range(len(trees)), repeat=problem.n_steps):
        states = [problem.initial, *(trees[k] for k in sequence)]
        operations = [problem.operations(a, b) for a, b in pairwise(states)]
        if sum(operations) > cap or max(operations) > step_cap:
            continue
        moved = sum((a.closed != b.closed).astype(int) for a, b in pairwise(states))
        if problem.switch_caps is not None and (moved * problem.counted > problem.switch_caps).any():
            continue
        energy = sum(h * loss[t][k] for t, (h, k) in enumerate(zip(problem.hours, sequence, strict=True)))
        value = energy + problem.switching_cost * sum(operations)
        if value < best:
            best, answer = value, tuple(trees[k] for k in sequence)
    return best, answer


def controlled_horizon(seed: int, n_steps: int = 3) -> HorizonProblem:
    """A small feeder with a bank, a stepped tap and a generator that is on or off, and random rules over time."""
    rng = np.random.default_rng([seed, 13])
    base = random_horizon(seed, ("voltage limits",) if seed % 3 == 0 else (), n_steps)
    net = base.network
    load = float(np.abs(base.scenarios[0].q).sum()) + 0.05
    buses = np.flatnonzero(~net.is_substation)
    q = float(rng.uniform(0.1, 0.3)) * load
    controls = Controls(
        (Tap(int(rng.integers(net.n_branch)), 0.975, 1.025, 0.05),),
        (Capacitor(int(rng.choice(buses)), (0.4 * load, 0.8 * load)),),
        (Generator("G", int(rng.choice(buses)), 0.1 * load, 0.1 * load, q, q, True),),
    )
    rules: dict[str, object] = {
        "switching_cost": float(rng.choice([0.0, 0.05, 0.5])),
        "control_cost": float(rng.choice([0.0, 0.02, 0.2])),
        "capacitor_hours": float(rng.choice([0.0, 1.5, 4.0])),
        "tap_hours": float(rng.choice([0.0, 2.0])),
    }
    if rng.random() < 0.4:
        rules["max_operations"] = int(rng.integers(0, 5))
    if rng.random() < 0.4:
        rules["max_operations_per_switch"] = int(rng.integers(0, 3))
    if rng.random() < 0.3:
        rules["devices"] = np.array([0.0, 0.975])
        rules["rested"] = np.array([0.5, 3.0])
    return replace(base, controls=controls, **rules)


def brute_force_controlled(problem: HorizonProblem) -> float:
    """Least objective [kWh] over all sequences of configurations and settings, by the independent power flow."""
    free = replace(problem, max_operations=None, max_operations_per_switch=None)
    trees = all_configurations(free.steps[0])
    (tap,), (bank,), (generator,) = problem.controls.taps, problem.controls.capacitors, problem.controls.generators
    runs = (((0.0, 0.0), False), ((generator.p_max, generator.q_max), True))
    states = [(tree, step, float(ratio)) for tree in trees for step in bank.choices for ratio in tap.positions]
    loss = np.full((problem.n_steps, len(states)), np.inf)
    for t, member in enumerate(free.steps):
        for k, (tree, step, ratio) in enumerate(states):
            for power, on in runs:
                found = evaluate(member.applied(Settings((ratio,), (step,), (power,), (on,))), tree)
                if found.feasible:
                    loss[t, k] = min(loss[t, k], found.loss_kw)
    caps = problem.switch_caps
    rests, begins = (problem.capacitor_hours, problem.tap_hours), np.cumsum([0, *problem.hours[:-1]])
    best = math.inf

    def extend(t: int, value: float, state: int | None, used: np.ndarray, last: tuple[float, float]) -> None:
        nonlocal best
        if value >= best:
            return
        if t == problem.n_steps:
            best = value
            return
        before = problem.initial if state is None else states[state][0]
        devices = states[state][1:] if state is not None else problem.devices
        for k, (tree, *values) in enumerate(states):
            if not np.isfinite(loss[t, k]):
                continue
            moved = (before.closed != tree.closed) & problem.counted
            total = used + moved
            if problem.max_operations is not None and total.sum() > problem.max_operations:
                continue
            if caps is not None and (total > caps).any():
                continue
            changed = [False, False]
            if devices is not None:
                changed = [abs(a - b) > 1e-9 for a, b in zip(values, devices, strict=True)]
            if any(c and begins[t] - was < rest for c, was, rest in zip(changed, last, rests, strict=True)):
                continue
            after = tuple(float(begins[t]) if c else was for c, was in zip(changed, last, strict=True))
            cost = problem.hours[t] * loss[t, k] + problem.switching_cost * moved.sum()
            extend(t + 1, value + cost + problem.control_cost * sum(changed), k, total, after)

    last = (-math.inf, -math.inf) if problem.rested is None else tuple(-float(r) for r in problem.rested)
    extend(0, 0.0, None, np.zeros(problem.network.n_branch, dtype=int), last)
    return best
