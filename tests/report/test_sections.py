"""Sections of the report and the figures in them."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network
from report_results import solved

from learnopt.network import Alternative, Network, ReconfigurationProblem, Scenario, Situations
from learnopt.physics import evaluate
from learnopt.physics.balance import UPSTREAM
from learnopt.report.configuration.feeders import feeders
from learnopt.report.configuration.page import report_html
from learnopt.report.configuration.text import plan_of
from learnopt.report.drawing.map_layout import layout_of
from learnopt.studies.configuration.switching_order import Paralleling

OPTIMUM = [7, 9, 14, 32, 37]


def headings(page: str) -> list[str]:
    """Headings of the sections, in order."""
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_every_section_is_there(case33: Network) -> None:
    """Several scenarios, a front, alternatives and notes of an importer each have their section."""
    one = Scenario.nominal(case33)
    day = Situations((replace(one, name="noon"), replace(one, p_load=0.5 * one.p_load, name="night")), np.ones(2))
    problem = ReconfigurationProblem.of(case33, day)
    normal = solved(problem, case33.normal_configuration)
    target = case33.configuration(OPTIMUM)
    loss = evaluate(problem, target).loss_kw
    result = solved(problem, target, alternatives=(Alternative(target, loss, loss),))
    plan = plan_of(problem, result, Paralleling.FORBIDDEN)
    page = report_html(problem, result, plan=plan, front=[normal, result], notes=["two couplers were merged"])
    assert headings(page)[1:] == [
        "Switching plan", "One-line diagram", "Voltage profile", "Highest loadings", "Loss by feeder", "Scenarios",
        "Loss against operations", "Best configurations", "Limits violated", "Data", "Problem", "Solution",
    ]  # fmt: skip
    for words in ("two couplers were merged", "Paralleling is forbidden", "without supply", "noon", "night"):
        assert words in page, words


def test_feeders_share_the_loss(case33: Network) -> None:
    """Two outlets at bus 2, as in the papers; losses and loads add up before and after."""
    problem = ReconfigurationProblem.of(case33)
    for state in (case33.normal_configuration, case33.configuration(OPTIMUM)):
        judged = evaluate(problem, state)
        found = feeders(problem, state, judged)
        assert [case33.branch_ids[e] for e in found if e != UPSTREAM] == [2, 18]
        assert sum(f.loss_kw for f in found.values()) == pytest.approx(judged.loss_kw)
        assert sum(f.load_kw for f in found.values()) == pytest.approx(3715.0)
        assert sum(f.n_bus for f in found.values()) == case33.n_bus


def test_outlets_lie_behind_couplers_and_transformers() -> None:
    """The lines of both busbars are outlets; transformer and coupler belong to none of them."""
    net = make_network(
        [(0, 1, 0.1, 1, {"ratio": 1.02}), (1, 2, 0, 0), (1, 3, 1, 1), (2, 4, 1, 1), (4, 5, 0, 0), (5, 6, 1, 1)],
        {3: (100, 30), 4: (50, 10), 6: (10, 1)},
    )
    problem = ReconfigurationProblem.of(net)
    judged = evaluate(problem, net.normal_configuration)
    found = feeders(problem, net.normal_configuration, judged)
    assert {net.branch_ids[e]: round(f.load_kw) for e, f in found.items() if e != UPSTREAM} == {3: 100, 4: 60}
    assert found[UPSTREAM].loss_kw > 0


def test_map_keeps_shape_and_tells_buses_apart() -> None:
    """Distances keep their proportions, degrees are turned into lengths, buses in one place are drawn apart."""
    rows = [(0, 1, 1, 1), (1, 2, 1, 1), (1, 2, 1, 1, {"normally_open": True}), (2, 3, 1, 1)]
    net = make_network(rows, {3: (10, 1)})
    assert not layout_of(net).on_map
    flat = layout_of(replace(net, coordinates=np.array([[0.0, 0.0], [300.0, 0.0], [300.0, 400.0], [300.0, 400.0]])))
    assert flat.on_map
    place = np.column_stack([flat.x, flat.y])
    assert np.hypot(*(place[2] - place[1])) == pytest.approx(4 / 3 * np.hypot(*(place[1] - place[0])))
    assert np.hypot(*(place[3] - place[2])) > 0.3
    assert not np.allclose(flat.routes[1][1], flat.routes[2][1]), "a parallel branch takes another way"
    north = layout_of(replace(net, coordinates=np.array([[8.0, 60.0], [8.2, 60.0], [8.2, 60.1], [8.3, 60.1]])))
    sides = np.abs(np.diff(np.column_stack([north.x, north.y]), axis=0)).max(axis=1)
    assert sides[0] == pytest.approx(sides[1], rel=0.01), "a degree of longitude is half one of latitude there"
