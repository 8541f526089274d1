"""Draw the pictures of README.md and of "How learnopt thinks": the 33-bus system, its loops, a bound, a proof."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from learnopt.engines import SolveOptions, load_engine
from learnopt.io import load
from learnopt.network import Certificate, ReconfigurationProblem, Result
from learnopt.physics import evaluate, power_flow
from learnopt.physics.loop_space import LoopSpace
from learnopt.report.drawing.files import write_diagram
from learnopt.report.drawing.layout import one_line_layout

IMAGES = Path(__file__).parent / "images"
GREY, BLACK, OPEN, SETTLED = "#c4c9d0", "#2b3440", "#D55E00", "#0072B2"
LOOPS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
"""Colours that people tell apart, colour-blind or not."""


def main() -> None:
    """Solve and draw."""
    network = load("case33")
    problem = ReconfigurationProblem.of(network)
    result = load_engine("tree").solve(problem, SolveOptions(certify=Certificate.AC))
    assert result.configuration is not None
    path = IMAGES / "case33.png"
    write_diagram(path, problem, result.configuration, result.evaluation, network.normal_configuration)
    print(f"{path}: {result.loss_kw:.2f} kW, certificate {result.certificate}")
    path = IMAGES / "thinking.svg"
    with mpl.rc_context({"svg.hashsalt": "learnopt", "svg.fonttype": "none", "font.family": "sans-serif"}):
        thinking(problem, result).savefig(path, metadata={"Date": None})
    print(path)


def thinking(problem: ReconfigurationProblem, best: Result) -> Figure:
    """Four panels: the feeder today, its loops, the bound and what it settles, the proof."""
    net = problem.network
    assert best.configuration is not None
    assert best.loss_kw is not None
    closed, answer = net.normal_configuration.closed, best.configuration.closed
    loops = LoopSpace.of(problem)
    drawn = np.conj((problem.p + 1j * problem.q) / power_flow(problem, best.configuration).v)
    flow = loops.meshed_flow(drawn)
    bound = float((net.r * np.abs(flow) ** 2).sum()) * net.base.kw
    settled = np.zeros(net.n_branch, dtype=bool)
    settled[loops.core] = bound + loops.opening_cost(flow) * net.base.kw > best.loss_kw

    figure = Figure(figsize=(11, 5.4), layout="constrained")
    panels = figure.subplots(2, 2).ravel()
    today = evaluate(problem, net.normal_configuration).loss_kw
    ties = [net.branch_ids[e] for e in np.flatnonzero(~closed)]
    titles = (
        ("1  The feeder", f"today {len(ties)} switches are open and {today:.1f} kW are lost"),
        ("2  Its loops", f"all closed: {net.n_loops} loops, one switch of each must open"),
        ("3  A bound", f"currents that may choose lose {bound:.1f} kW: no state loses less; blue must stay closed"),
        ("4  The proof", f"these {len(ties)} open: {best.loss_kw:.2f} kW, and every other choice was excluded"),
    )
    for axes, (title, words) in zip(panels, titles, strict=True):
        axes.set_title(f"{title}\n", loc="left", fontweight="bold", fontsize=12)
        axes.text(0, 1.02, words, transform=axes.transAxes, fontsize=9.5, color=BLACK)
        axes.set_axis_off()
        axes.set_aspect("equal", adjustable="datalim")
    plain = np.full(net.n_branch, 1.6)
    _draw(panels[0], problem, [BLACK if c else GREY for c in closed], plain, ~closed)
    _draw(panels[1], problem, _loop_colours(problem), plain + 0.6, np.zeros_like(closed))
    width = 0.8 + 6 * np.abs(flow) / np.abs(flow).max()
    _draw(panels[2], problem, [SETTLED if s else BLACK for s in settled], width, np.zeros_like(closed))
    _draw(panels[3], problem, [BLACK if c else OPEN for c in answer], plain, ~answer)
    return figure


def _loop_colours(problem: ReconfigurationProblem) -> list[str]:
    """A colour per branch: that of the shortest loop it is on, of a set of loops as short as can be; grey on none."""
    import networkx

    net = problem.network
    graph = networkx.MultiGraph()
    graph.add_edges_from((int(a), int(b), e) for e, (a, b) in enumerate(zip(net.from_bus, net.to_bus, strict=True)))
    colours, length = [GREY] * net.n_branch, np.full(net.n_branch, np.inf)
    for colour, nodes in zip(LOOPS, networkx.minimum_cycle_basis(networkx.Graph(graph)), strict=True):
        on = set(nodes)
        inside = [e for a, b, e in graph.edges(keys=True) if a in on and b in on]
        for e in inside:
            if len(nodes) < length[e]:
                colours[e], length[e] = colour, len(nodes)
    return colours


def _draw(
    axes: Axes, problem: ReconfigurationProblem, colours: list[str], width: np.ndarray, opened: np.ndarray
) -> None:
    """The feeder as in the one-line diagram; open switches dashed, with their ids."""
    net = problem.network
    layout = one_line_layout(net)
    for e, route in enumerate(layout.routes):
        dashes = (0, (3, 2)) if opened[e] else "solid"
        axes.plot(route[:, 0], route[:, 1], color=colours[e], linewidth=width[e], linestyle=dashes, zorder=1)
        if opened[e]:
            x, y = layout.middles[e]
            axes.text(x, y, str(net.branch_ids[e]), fontsize=8, ha="center", va="center", color=BLACK,
                      bbox={"facecolor": "white", "edgecolor": colours[e], "pad": 1.2}, zorder=3)  # fmt: skip
    axes.scatter(layout.x, layout.y, s=9, color=BLACK, zorder=2)
    roots = net.substations
    axes.scatter(layout.x[roots], layout.y[roots], s=60, marker="s", color=BLACK, zorder=2)


if __name__ == "__main__":
    main()
