"""The search over conductors against enumeration on random circuits of several phases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from random_circuits import Case, radial_losses, random_case

from learnopt.engines.phases.search import Choice, Leaves, is_radial, search
from learnopt.physics.held_currents import LoopModel, loop_model

EVERYTHING = 10**9


def connected_case(seed: int) -> tuple[Case, dict[tuple[bool, ...], float]]:
    """The first circuit from this seed on that has a radial state."""
    while True:
        case = random_case(seed)
        if losses := radial_losses(case):
            return case, losses
        seed += 1000


def free(model: LoopModel) -> Choice:
    return Choice.free(len(model.rows) - 1)


def run(case: Case, choice: Choice, keep: int, limit: int = EVERYTHING) -> tuple[Leaves, float]:
    model = loop_model(case.circuit)
    meshed, constant, saved = model.meshed(case.current)
    loss = float((case.current.conj() @ (case.circuit.resistance @ case.current)).real)
    return search(model, meshed[:, None], constant[:, None], choice, keep, limit), loss - saved


@pytest.mark.parametrize("seed", [*range(60), 809, 1129])
def test_every_radial_state_and_its_loss(seed: int) -> None:
    """All states, none twice, each with the loss that Kirchhoff's law gives; the rest is then empty."""
    case, losses = connected_case(seed)
    model = loop_model(case.circuit)
    leaves, meshed = run(case, free(model), len(losses) + 5)
    found = {tuple(opened.tolist()): meshed + cost for opened, cost in zip(leaves.opened, leaves.cost, strict=True)}
    assert found.keys() == losses.keys()
    assert len(leaves.cost) == len(losses)
    for state, loss in found.items():
        assert loss == pytest.approx(losses[state], rel=1e-7)
        assert is_radial(model, np.array(state))
    assert leaves.complete
    assert leaves.rest == np.inf


@pytest.mark.parametrize("seed", range(60, 90))
def test_best_states_with_prices_and_locks(seed: int) -> None:
    """The three cheapest of what locks leave, prices of operations included, and a bound of all others."""
    case, losses = connected_case(seed)
    rng = np.random.default_rng(seed)
    n = case.circuit.n_switch
    state = np.array(list(losses)[int(rng.integers(len(losses)))])
    locked = rng.random(n) < 0.2
    price_open, price_closed = rng.uniform(0, 2, n), rng.uniform(0, 2, n)
    choice = replace(
        Choice.free(n),
        may_open=~locked | state,
        must_open=locked & state,
        price_open=price_open,
        price_closed=price_closed,
    )
    costs = {
        opened: loss + float(np.where(opened, price_open, price_closed).sum())
        for opened, loss in losses.items()
        if all(not lock or is_open == chosen for lock, is_open, chosen in zip(locked, opened, state, strict=True))
    }
    leaves, meshed = run(case, choice, 3)
    expected = sorted(costs.values())
    assert meshed + leaves.cost == pytest.approx(expected[:3], rel=1e-7)
    assert meshed + leaves.rest <= (expected[3] if len(expected) > 3 else np.inf) * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(110, 150))
def test_states_within_a_cap_of_operations(seed: int) -> None:
    """All of them and no other, whatever the state before: that one radial, meshed, or with parts cut off."""
    case, losses = connected_case(seed)
    rng = np.random.default_rng(seed)
    n = case.circuit.n_switch
    before = rng.random(n) < 0.5 if seed % 2 else np.array(list(losses)[int(rng.integers(len(losses)))])
    counted = rng.random(n) < 0.9
    operations = {state: int(((np.array(state) != before) & counted).sum()) for state in losses}
    for cap in range(max(operations.values()) + 1):
        choice = replace(Choice.free(n), operated_open=~before & counted, operated_closed=before & counted, cap=cap)
        leaves, _ = run(case, choice, len(losses) + 5)
        found = {tuple(opened.tolist()) for opened in leaves.opened}
        assert found == {state for state, count in operations.items() if count <= cap}
        assert (leaves.complete, leaves.rest) == (True, np.inf)


@pytest.mark.parametrize("seed", range(90, 110))
def test_a_stopped_search_bounds_what_it_has_not_seen(seed: int) -> None:
    """With few nodes, the best found and the bound of the rest enclose the optimum."""
    case, losses = connected_case(seed)
    for limit in (1, 2, 4, 8):
        leaves, meshed = run(case, free(loop_model(case.circuit)), 1, limit)
        best = meshed + float(leaves.cost.min(initial=np.inf))
        assert min(best, meshed + leaves.rest) <= min(losses.values()) * (1 + 1e-9)


def test_several_situations_add_up() -> None:
    """Currents of two situations, by the roots of their weights, cost the weighted sum."""
    case, losses = connected_case(7)
    model = loop_model(case.circuit)
    other = Case(case.circuit, case.current * (0.3 - 1.1j), case.tail, case.head, case.n_node)
    columns, constants, base = [], [], 0.0
    for one, weight in ((case, 0.25), (other, 0.75)):
        meshed, constant, saved = model.meshed(one.current)
        columns.append(np.sqrt(weight) * meshed)
        constants.append(np.sqrt(weight) * constant)
        base += weight * (float((one.current.conj() @ (one.circuit.resistance @ one.current)).real) - saved)
    leaves = search(model, np.stack(columns, axis=1), np.stack(constants, axis=1), free(model), 1, EVERYTHING)
    second = radial_losses(other)
    expected = min(0.25 * losses[state] + 0.75 * second[state] for state in losses)
    assert base + leaves.cost[0] == pytest.approx(expected, rel=1e-7)
