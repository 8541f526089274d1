from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from conftest import make_network, random_network

from learnopt.network import Network
from learnopt.report.drawing.layout import one_line_layout


def segments(layout) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(branch, start, end) of the straight parts of the drawn tree."""
    return [
        (e, route[i], route[i + 1])
        for e, route in enumerate(layout.routes)
        if layout.child[e] >= 0
        for i in range(len(route) - 1)
    ]


def crossings(layout) -> list[tuple[int, int]]:
    """Pairs of tree branches that meet anywhere but at a bus they share.

    All parts are horizontal or vertical. Branches that leave one bus on one side share the drop, which is no crossing.
    """
    found = []
    for (e, a, b), (f, c, d) in combinations(segments(layout), 2):
        low1, high1, low2, high2 = np.minimum(a, b), np.maximum(a, b), np.minimum(c, d), np.maximum(c, d)
        low, high = np.maximum(low1, low2), np.minimum(high1, high2)
        if e == f or np.any(low > high + 1e-9):
            continue
        child_e, child_f = int(layout.child[e]), int(layout.child[f])
        if layout.parent[child_e] == layout.parent[child_f]:
            continue  # same drop
        shared = {child_e, int(layout.parent[child_e])} & {child_f, int(layout.parent[child_f])}
        corners = [np.array([layout.x[k], layout.y[k]]) for k in shared]
        if np.allclose(low, high, atol=1e-9) and any(np.allclose(low, corner, atol=1e-9) for corner in corners):
            continue
        if shared & set(layout.bars):
            continue  # anywhere along a bar
        found.append((e, f))
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n_bus", "n_substations"), [(12, 1), (60, 1), (60, 4)])
def test_no_coincident_buses_and_no_crossings(seed: int, n_bus: int, n_substations: int) -> None:
    """On random networks no two buses share a place and tree branches cross nowhere."""
    net = random_network(np.random.default_rng(seed), n_bus, 6, n_substations)
    layout = one_line_layout(net)
    places = {(round(float(x), 6), round(float(y), 6)) for x, y in zip(layout.x, layout.y, strict=True)}
    assert len(places) == net.n_bus
    assert crossings(layout) == []


def test_crossings_are_found() -> None:
    """The test above can fail: exchanging two buses of a picture makes crossings."""
    net = random_network(np.random.default_rng(1), 60, 6)
    layout = one_line_layout(net)
    far = np.argsort(layout.x)
    x, y = layout.x.copy(), layout.y.copy()
    x[[far[5], far[-1]]], y[[far[5], far[-1]]] = x[[far[-1], far[5]]], y[[far[-1], far[5]]]
    moved = replace(layout, x=x, y=y)
    assert crossings(moved)


def test_busbars_behind_a_substation() -> None:
    """A substation that feeds two busbars of many feeders is drawn with three bars, without crossings."""
    bars = [(0, "A", 1, 1), (0, "B", 1, 1), (0, "C", 1, 1)]
    feeders = [(bar, f"{bar}{k}", 1, 1) for bar in "AB" for k in range(7)]
    ends = [(f"{bar}{k}", f"{bar}{k}'", 1, 1) for bar in "AB" for k in range(7)]
    ties = [("A0'", "B0'", 1, 1, {"normally_open": True})]
    net = make_network([*bars, *feeders, *ends, *ties], {"A0'": (100, 0)})
    layout = one_line_layout(net)
    assert {net.bus_ids[k] for k in layout.bars} == {0, "A", "B"}
    assert crossings(layout) == []


def test_same_network_same_picture() -> None:
    """The layout is deterministic."""
    one, two = (one_line_layout(random_network(np.random.default_rng(3), 40, 5, 2)) for _ in range(2))
    assert one.x.tobytes() == two.x.tobytes()
    assert one.y.tobytes() == two.y.tobytes()
    assert np.array_equal(one.middles, two.middles)


def test_parallel_ties_take_different_arcs(parallel_branches: Network) -> None:
    """A tie beside a branch between the same buses is drawn apart from it."""
    layout = one_line_layout(parallel_branches)
    apart = layout.middles[0] - layout.middles[1]
    assert np.hypot(*apart) > 0.2


def test_meshed_normal_state_is_drawn(two_substations: Network, case33: Network) -> None:
    """A network whose normal state is not radial has a picture with every bus and branch."""
    for net in (two_substations, case33):
        meshed = replace(net, normally_open=np.zeros(net.n_branch, dtype=bool))
        layout = one_line_layout(meshed)
        assert len(layout.routes) == net.n_branch
        assert np.count_nonzero(layout.child >= 0) == net.n_bus - len(net.substations)
