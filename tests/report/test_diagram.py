from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network, random_network
from matplotlib.text import Text

from learnopt.errors import UnsupportedError
from learnopt.network import Network, ReconfigurationProblem
from learnopt.network.totals import totals
from learnopt.physics import evaluate
from learnopt.report.drawing.diagram import one_line_figure
from learnopt.report.drawing.diagram_html import one_line_sheet
from learnopt.report.drawing.files import write_diagram
from learnopt.report.drawing.one_line import one_line
from learnopt.report.drawing.profile import voltage_profile
from learnopt.report.kit.files import figure_bytes

OPTIMUM = [7, 9, 14, 32, 37]
SIGNATURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOCTYPE html>"}


@pytest.mark.parametrize("kind", SIGNATURES)
def test_formats(case33: Network, tmp_path: Path, kind: str) -> None:
    """The ending chooses the format, and nothing else is left in the folder."""
    problem = ReconfigurationProblem.of(case33)
    normal = case33.normal_configuration
    path = tmp_path / f"feeder.{kind}"
    write_diagram(path, problem, normal, evaluate(problem, normal))
    assert path.read_bytes().startswith(SIGNATURES[kind])
    assert list(tmp_path.iterdir()) == [path]


def named_at_the_rim() -> Network:
    """Long names at the ends of a feeder, where a label has least room."""
    rows: list[tuple[object, ...]] = [("Umspannwerk Nord", "s 1", 1, 1)]
    rows += [(f"s {k}", f"s {k + 1}", 1, 1, {"id": f"line {30 + k}"}) for k in range(1, 6)]
    rows += [
        ("s 3", "Waldsiedlung Ost", 1, 1),
        ("Umspannwerk Nord", "s 6", 1, 1, {"normally_open": True, "id": "line 36"}),
    ]
    rows += [("Waldsiedlung Ost", "s 6", 1, 1, {"normally_open": True, "id": "tie of the eastern end"})]
    title = "A feeder whose heading is longer than its picture is wide, as headings of files from the field often are"
    return make_network(rows, {"s 6": (10, 3), "Waldsiedlung Ost": (5, 1)}, ["Umspannwerk Nord"], title=title)  # type: ignore[arg-type]


def drawn_in_large() -> Network:
    """A network whose long ties are shortened."""
    return random_network(np.random.default_rng(3), 200, 3, 12)


@pytest.mark.parametrize("make", [named_at_the_rim, drawn_in_large])
def test_no_text_is_cut_or_meets_another(make: Callable[[], Network]) -> None:
    """Every text of a drawing for paper stands inside the picture, and apart from all others."""
    net = make()
    problem = ReconfigurationProblem.of(net)
    normal = net.normal_configuration
    figure = one_line_figure(problem, normal, evaluate(problem, normal))
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    width, height = figure.canvas.get_width_height()
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts]
    for text, box in boxes:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) >= 0, text
    for i, (one, a) in enumerate(boxes):
        for other, b in boxes[i + 1 :]:
            apart = a.x1 <= b.x0 + 1 or b.x1 <= a.x0 + 1 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart, f"{one!r} meets {other!r}"


def test_unknown_ending_is_refused(case33: Network, tmp_path: Path) -> None:
    """Another ending is an error that lists the endings there are."""
    with pytest.raises(UnsupportedError, match=r"\.png, \.svg, \.pdf, \.html"):
        write_diagram(tmp_path / "a.bmp", ReconfigurationProblem.of(case33), case33.normal_configuration, None)


def test_same_picture_same_bytes(case33: Network) -> None:
    """A drawing is reproducible byte by byte."""
    problem = ReconfigurationProblem.of(case33)
    normal = case33.normal_configuration
    evaluation = evaluate(problem, normal)
    one, two = (figure_bytes(one_line_figure(problem, normal, evaluation), "svg") for _ in range(2))
    assert one == two


def test_changes_are_named_in_both_pictures(case33: Network) -> None:
    """Before and after mark the same devices: open ties as to be closed, then as closed."""
    problem = ReconfigurationProblem.of(case33)
    normal, target = case33.normal_configuration, case33.configuration(OPTIMUM)
    before = one_line(problem, normal, evaluate(problem, normal), target)
    after = one_line(problem, target, evaluate(problem, target), normal)
    for scene in (before, after):
        assert [case33.branch_ids[e] for e in np.flatnonzero(scene.marked(closing=True))] == [33, 34, 35, 36]
        assert [case33.branch_ids[e] for e in np.flatnonzero(scene.marked(closing=False))] == [7, 9, 14, 32]
    assert not before.carried_out
    assert after.carried_out
    svg = figure_bytes(one_line_figure(problem, target, evaluate(problem, target), normal), "svg")
    assert b"closed by switching" in svg


def test_branch_losses_add_up(case33: Network) -> None:
    """The losses shown at branches sum to the loss of the judge; open branches lose nothing."""
    problem = ReconfigurationProblem.of(case33)
    normal = case33.normal_configuration
    scene = one_line(problem, normal, evaluate(problem, normal))
    assert scene.loss_kw.sum() == pytest.approx(202.677, abs=1e-3)
    assert not scene.loss_kw[~normal.closed].any()


def test_texts_of_the_mouse(case33: Network) -> None:
    """Hovering tells ids, voltages in pu and kV, loads, currents and losses."""
    problem = ReconfigurationProblem.of(case33)
    normal = case33.normal_configuration
    scene = one_line(problem, normal, evaluate(problem, normal))
    assert scene.bus_text(17) == ["bus 18", "0.9131 pu = 11.560 kV", "load 90.00 kW, 40.00 kvar", "feeder 2"]
    assert scene.branch_text(0)[:2] == ["branch 1 (1 – 2)", "closed"]
    assert scene.branch_text(0)[2].startswith("210.4 A, loss 12.2")
    assert scene.branch_text(32) == ["branch 33 (21 – 8)", "open"]
    assert scene.bus_text(17) in [spot.lines for spot in one_line_sheet(scene).spots]


def test_mouse_tells_load_and_generation_apart(case33: Network) -> None:
    """A bus whose sun is more than its load has both, as the totals count them, and no negative load."""
    fed = np.zeros(case33.n_bus)
    fed[17] = 250.0 / case33.base.kw
    net = replace(case33, p_load=case33.p_load - fed, p_fed=fed)
    problem = ReconfigurationProblem.of(net)
    scene = one_line(problem, net.normal_configuration, None)
    assert scene.bus_text(17)[1:3] == ["load 90.00 kW, 40.00 kvar", "generation 250.0 kW, 0 kvar"]
    assert scene.bus_text(16)[1:2] == ["load 60.00 kW, 20.00 kvar"]
    assert totals(net, problem.scenario).load_kw == pytest.approx(3715.0)


def test_drawn_without_a_power_flow() -> None:
    """Pictures of topology alone, and of a state that is not radial, are drawn."""
    net = random_network(np.random.default_rng(5), 30, 4, 3)
    problem = ReconfigurationProblem.of(net)
    meshed = net.configuration([])
    for evaluation in (None, evaluate(problem, meshed)):
        assert figure_bytes(one_line_figure(problem, meshed, evaluation), "png").startswith(b"\x89PNG")
    assert voltage_profile(problem, meshed, None) is None


def test_profile_follows_the_configuration(case33: Network) -> None:
    """Distance is path resistance in the configuration drawn, and every branch in use is on exactly one path."""
    problem = ReconfigurationProblem.of(case33)
    target = case33.configuration(OPTIMUM)
    evaluation = evaluate(problem, target)
    profile = voltage_profile(problem, target, evaluation)
    assert profile is not None
    ohm = case33.r * case33.base.z_base
    steps = {tuple(sorted(pair)) for path in profile.paths for pair in pairwise(path)}
    closed = np.flatnonzero(target.closed)
    assert steps == {tuple(sorted((case33.from_bus[e], case33.to_bus[e]))) for e in closed}
    assert sum(len(path) - 1 for path in profile.paths) == len(closed)
    assert np.abs(profile.distance[case33.from_bus[closed]] - profile.distance[case33.to_bus[closed]]) == pytest.approx(
        ohm[closed]
    )
