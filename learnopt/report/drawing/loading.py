"""Loadings before and after: the most loaded branches as bars."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from learnopt.network import Evaluation, Floats, ReconfigurationProblem
from learnopt.network.names import branch_label, short
from learnopt.report.drawing.axes import paper, quiet
from learnopt.report.drawing.colours import INK, LINE, VIOLATED
from learnopt.report.drawing.profile import AFTER, BEFORE
from learnopt.report.kit.numbers import escaped
from learnopt.report.kit.sheet import Key, legend

_SHOWN = 24
"""Branches in the picture."""


def loading_figure(
    problem: ReconfigurationProblem, before: Evaluation | None, after: Evaluation | None
) -> Figure | None:
    """Highest loadings, or currents where no ampacity is known; None without a power flow.

    A branch is shown if it is among the most loaded ones before or after.
    """
    found = _most_loaded(problem, before, after)
    if found is None:
        return None
    net, (states, chosen, highest, rated) = problem.network, found
    figure = paper(10.0, 0.9 + 0.27 * max(len(chosen), 2))
    axes = figure.add_subplot()
    rows = np.arange(len(chosen))
    thick = 0.8 / len(states)
    for i, (label, colour, values) in enumerate(states):
        offset = (i - 0.5 * (len(states) - 1)) * thick
        axes.barh(rows + offset, values[chosen], 0.92 * thick, color=colour, label=label, zorder=2)
    axes.set_yticks(
        rows, [short(net.branch_ids[e], branch_label(net, e), 30) for e in chosen], fontsize=8, parse_math=False
    )
    axes.set_ylim(len(chosen) - 0.4, -0.6)
    if rated and highest > 60:
        axes.axvline(100, color=VIOLATED, linewidth=1, linestyle=(0, (6, 3)), zorder=3)
    axes.set_xlabel("loading [% of the ampacity]" if rated else "current [A]", color=LINE)
    quiet(axes, "x", ("top", "right", "left"))
    figure.legend(frameon=False, labelcolor=INK, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def loading_html(problem: ReconfigurationProblem, before: Evaluation | None, after: Evaluation | None) -> str:
    """The same as bars of a page, names and values beside them at any width; "" without a power flow."""
    found = _most_loaded(problem, before, after)
    if found is None:
        return ""
    states, chosen, highest, rated = found
    whole = max(100.0, highest) if rated else highest
    unit = "%" if rated else "A"
    rows = []
    for e in chosen:
        bars = "".join(f'<i style="width:{100 * v[e] / whole:.1f}%;background:{tone}"></i>' for _, tone, v in states)
        values = " → ".join(f"{v[e]:.0f}" for _, _, v in states)
        limit = f'<b style="left:calc({100 * 100 / whole:.1f}% - 2px)"></b>' if rated else ""
        rows.append(
            f"<li><span>{escaped(branch_label(problem.network, e))}</span><div>{bars}{limit}</div>"
            f"<span>{values} {unit}</span></li>"
        )
    keys = [Key("square", tone, word, 2, tone) for word, tone, _ in states]
    if rated:
        keys.append(Key("line", VIOLATED, "ampacity", 2))
    return f'<ul class="bars">{"".join(rows)}</ul>{legend(keys)}'


def _most_loaded(
    problem: ReconfigurationProblem, before: Evaluation | None, after: Evaluation | None
) -> tuple[list[tuple[str, str, Floats]], list[int], float, bool] | None:
    """States (name, colour, loading [%] or current [A]), branches, highest value, and whether ampacities are known."""
    rated = bool(np.isfinite(problem.network.i_max).any())
    states = [
        (label, colour, 100 * e.loading if rated else e.current_a)
        for label, colour, e in (("before", BEFORE, before), ("after", AFTER, after))
        if e is not None and e.converged
    ]
    if not states:
        return None
    if len(states) == 1:
        states = [("now", *states[0][1:])]
    highest = np.max([values for _, _, values in states], axis=0) * problem.network.own_branch
    chosen = [e for e in np.argsort(-highest, kind="stable")[:_SHOWN].tolist() if highest[e] > 0]
    return states, chosen, float(highest.max(initial=0)), rated
