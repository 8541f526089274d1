"""Horizons with controls and rules over time, against every sequence of configurations and settings."""

from __future__ import annotations

import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from horizons import brute_force_controlled, controlled_horizon, random_horizon

from learnopt.errors import DataError
from learnopt.network import Certificate, Configuration, Status
from learnopt.physics import evaluate
from learnopt.studies.horizon import plan_horizon
from learnopt.studies.horizon.by_milp import MilpStep
from learnopt.studies.horizon.labels import ruled_path


@pytest.mark.parametrize("seed", range(14))
def test_plan_against_all_sequences(seed: int) -> None:
    """Rules are kept, the bound is below every sequence; one model of all steps proves the optimum."""
    problem = controlled_horizon(seed)
    best = brute_force_controlled(problem)
    milp = seed % 2 == 0
    plan = plan_horizon(problem, gap=1e-4, milp=milp)
    assert plan.status is not Status.INFEASIBLE or best == math.inf
    if plan.certificate is Certificate.AC:
        assert plan.dual_bound_kwh <= best * (1 + 1e-6) + 1e-9
    if not plan.configurations:
        assert best == math.inf or not milp
        return
    assert plan.objective_kwh >= best * (1 - 1e-6) - 1e-9, "better than the best of all"
    if plan.status is Status.OPTIMAL:
        assert plan.objective_kwh <= best * (1 + 1.1e-4) + 1e-6
    if milp:
        assert plan.status is Status.OPTIMAL
    assert problem.rests(plan.settings)
    assert sum(plan.changes) == sum(problem.device_changes(plan.settings))
    states = np.array([problem.initial.closed, *(c.closed for c in plan.configurations)])
    moved = (states[1:] != states[:-1]).sum(axis=0) * problem.counted
    assert problem.switch_caps is None or (moved <= problem.switch_caps).all()
    for step, configuration, settings in zip(problem.steps, plan.configurations, plan.settings, strict=True):
        assert evaluate(step.applied(settings), configuration).feasible


@pytest.mark.parametrize("seed", range(40))
def test_labels_against_all_sequences(seed: int) -> None:
    """Caps of single switches, rests of devices and costs of changes: the cheapest of all sequences is found."""
    rng = np.random.default_rng([seed, 17])
    problem = controlled_horizon(seed, n_steps=4)
    n, m = 5, problem.network.n_branch
    energy = rng.uniform(1, 3, (4, n))
    energy[rng.random(energy.shape) < 0.15] = np.inf
    closed = rng.random((n, m)) < 0.5
    devices = rng.choice([0.0, 0.5], (n, 2))
    best = math.inf
    for sequence in product(range(n), repeat=4):
        states = [problem.initial, *(Configuration(closed[k]) for k in sequence)]
        operations = [problem.operations(a, b) for a, b in pairwise(states)]
        moved = sum(((a.closed != b.closed) & problem.counted).astype(int) for a, b in pairwise(states))
        if problem.max_operations is not None and sum(operations) > problem.max_operations:
            continue
        if problem.switch_caps is not None and (moved > problem.switch_caps).any():
            continue
        values = [devices[k] for k in sequence]
        before, last, changes = problem.devices, [-math.inf] * 2, 0
        if problem.rested is not None:
            last = [-float(r) for r in problem.rested]
        rested = True
        for begin, now in zip(problem.begins, values, strict=True):
            for d in range(2):
                if before is not None and abs(now[d] - before[d]) > 1e-9:
                    rested &= begin - last[d] >= problem.rest_hours[d]
                    last[d], changes = begin, changes + 1
            before = now
        if rested:
            cost = problem.switching_cost * sum(operations) + problem.control_cost * changes
            best = min(best, energy[range(4), list(sequence)].sum() + cost)
    path = ruled_path(problem, energy, closed, devices)
    assert (path is None) == (best == math.inf)
    if path is not None:
        states = [problem.initial, *(Configuration(closed[k]) for k in path)]
        cost = problem.switching_cost * sum(problem.operations(a, b) for a, b in pairwise(states))
        values = [devices[k] for k in path]
        before = [values[0] if problem.devices is None else problem.devices, *values]
        cost += problem.control_cost * sum(int((abs(a - b) > 1e-9).sum()) for a, b in pairwise(before))
        assert energy[range(4), path].sum() + cost == pytest.approx(best)


def test_resumes_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps proven before are not proven again, settings included, and the plan is the same."""
    problem = controlled_horizon(1)
    whole = plan_horizon(problem)

    def killed(what: str, done: int, _total: int) -> None:
        if what == "steps" and done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_horizon(problem, out=tmp_path, progress=killed)
    assert len(list((tmp_path / "steps").iterdir())) == 2
    proven = []
    prove = MilpStep.__call__
    monkeypatch.setattr(MilpStep, "__call__", lambda proof, t, *rest: proven.append(t) or prove(proof, t, *rest))
    again = plan_horizon(problem, out=tmp_path)
    assert proven == [2]
    assert (again.configurations, again.settings) == (whole.configurations, whole.settings)
    assert again.dual_bound_kwh == pytest.approx(whole.dual_bound_kwh)


@pytest.mark.parametrize("milp", [False, True])
def test_windows(milp: bool) -> None:
    """Limited knowledge is no better than full knowledge, keeps the rules, and has the bound of full knowledge."""
    problem = controlled_horizon(4)
    known, rolling = plan_horizon(problem, milp=True), plan_horizon(problem, window=2, milp=milp)
    assert rolling.objective_kwh >= known.dual_bound_kwh
    assert rolling.dual_bound_kwh <= known.objective_kwh
    assert problem.rests(rolling.settings)


@pytest.mark.parametrize("seed", range(12))
def test_cap_of_each_switch_without_controls(seed: int) -> None:
    """The plan keeps the cap, with the same bound as without it or better; no operation at all where it is zero."""
    free = random_horizon(seed, switching_cost=0.01)
    tight = plan_horizon(free)
    for cap in (0, 1):
        problem = random_horizon(seed, switching_cost=0.01, max_operations_per_switch=cap)
        plan = plan_horizon(problem)
        if not plan.configurations:
            continue
        states = np.array([problem.initial.closed, *(c.closed for c in plan.configurations)])
        assert ((states[1:] != states[:-1]).sum(axis=0) <= cap).all()
        if tight.certificate is Certificate.AC:
            assert plan.objective_kwh >= tight.dual_bound_kwh - 1e-9


@pytest.mark.parametrize(
    ("rules", "sentence"),
    [
        ({"capacitor_hours": 2.0}, "no capacitor is set"),
        ({"tap_hours": 2.0}, "no tap with positions"),
        ({"control_cost": 1.0}, "no capacitor, no stepped tap"),
        ({"control_cost": -1.0}, "control_cost = -1.0 must be"),
        ({"capacitor_hours": math.nan}, "capacitor_hours = nan must be"),
        ({"max_operations_per_switch": -1}, "max_operations_per_switch = -1 must be >= 0"),
    ],
)
def test_bad_rules(rules: dict, sentence: str) -> None:
    """Each names the rule, its value and what to do."""
    with pytest.raises(DataError, match=sentence):
        random_horizon(1, **rules)
