"""Sections of the report beside the pictures of the network: order, feeders, loadings, rankings, controls, data."""

from __future__ import annotations

import numpy as np

from learnopt.network.names import branch_label, bus_label, open_labels
from learnopt.physics.balance import UPSTREAM
from learnopt.report.configuration.feeders import feeders
from learnopt.report.configuration.front import front_chart
from learnopt.report.configuration.gap_curve import gap_rows, gap_story
from learnopt.report.configuration.head import head_rows
from learnopt.report.configuration.order import (
    interrupted,
    reasons,
    step_rows,
    travels,
)
from learnopt.report.configuration.story import Story
from learnopt.report.configuration.text import pareto_point, settings_rows
from learnopt.report.drawing.loading import loading_html
from learnopt.report.kit.chart import chart_html
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.page import table
from learnopt.studies.configuration.switching_order import PlanState, normal_state
from learnopt.studies.inspection.inspection import Severity
from learnopt.wording import counted

_LISTED = 60
"""Rows of a table; of more the largest are shown."""
_CONDUCTORS, _UNBALANCED = 15, 8
"""Branches and buses that are listed phase by phase."""


def switching_order(story: Story) -> str:
    """The steps from the normal configuration, with the state after each."""
    if story.result.configuration is None:
        return ""
    if not story.operations:
        return "<section><h2>Switching plan</h2><p>None needed: the feeder is in this configuration.</p></section>"
    net, steps = story.problem.network, story.operations
    head, rows = step_rows(net, steps)
    found = {o.state for o in steps}
    notes = []
    if PlanState.INTERRUPTED in found:
        worst = max(steps, key=lambda o: (o.customers or 0, o.interrupted_kw))
        apart = any(o.reason for o in steps if o.state is PlanState.INTERRUPTED)
        why = "Phases that differ are not joined" if apart else "Paralleling is forbidden"
        notes.append(
            f"{why}: a switch is opened first, and what hangs behind it is without supply until the "
            f"next closing, at most {interrupted(worst)} (step {worst.step})."
        )
    elif PlanState.LOOPED in found:
        notes.append(
            "In this order no load that has supply loses it. A tie is closed before its partner is opened, so one loop "
            "is closed for a moment; currents in it are computed with the voltages and angles of the sources."
        )
    if PlanState.RESTORING in found or not story.before.converged:
        notes.append("Buses without supply at the start are restored by the first closings.")
    notes += [*reasons(steps), *travels(net, steps)]
    if story.result.settings:
        set_first = settings_rows(story.problem, *story.result.settings)
        listed = "; ".join(" ".join(row) for row in set_first)
        notes.append(f"Controls are set before the first step: {listed}.")
    numeric = [k for k, name in enumerate(head) if name in ("step", "lowest voltage", "highest loading")]
    return (
        "<section><h2>Switching plan</h2>"
        + table((), head_rows(story.problem, story.result, steps, story.head), kind="facts")
        + "".join(f"<p class=note>{escaped(note)}</p>" for note in notes)
        + table(head, rows, numeric, "plan")
        + "</section>"
    )


def controls(story: Story) -> str:
    """Values of taps, capacitors and generators."""
    problem, settings = story.problem, story.result.settings
    if not settings:
        return ""
    rows = settings_rows(problem, *settings)
    net = problem.network
    note = f"Set together with the switches; kvar at nominal voltage ({net.base.v_base:g} kV)."
    body = table(("control", "where", "setting"), rows, (2,))
    return f"<section><h2>Controls</h2><p class=note>{note}</p>{body}</section>"


def loss_by_feeder(story: Story) -> str:
    """Loss, net load and current behind every outlet, before and after."""
    problem, target = story.problem, story.result.configuration
    net = problem.network
    before = feeders(problem, normal_state(problem), story.before)
    after = {} if target is None else feeders(problem.applied(story.result.settings), target, story.after)
    heads = sorted({*before, *after}, key=lambda e: (e == UPSTREAM, e))
    if not heads:
        return ""
    shown = heads
    if len(heads) > _LISTED:
        largest = sorted(heads, key=lambda e: -max(f[e].loss_kw if e in f else 0.0 for f in (before, after)))
        shown = sorted(largest[:_LISTED], key=lambda e: (e == UPSTREAM, e))
    rows = []
    for e in shown:
        pair = [f.get(e) for f in (before, after)]
        cells = ["before the outlets" if e == UPSTREAM else branch_label(net, e)]
        for value in ("load_kw", "current_a", "loss_kw"):
            cells += ["–" if f is None else number(getattr(f, value)) for f in pair]
        rows.append(cells)
    total = ["all"]
    for value in ("load_kw", "", "loss_kw"):
        for side in (before, after):
            total.append(number(sum(getattr(f, value) for f in side.values())) if value and side else "–")
    head = ["outlet", "net load before [kW]", "net load after [kW]", "current before [A]", "current after [A]"]
    head += ["loss before [kW]", "loss after [kW]"]
    note = "A feeder is everything behind one outlet of a substation's busbar."
    if len(heads) > len(shown):
        note += f" The {len(shown)} of {len(heads)} with the highest loss."
    body = table(head, [*rows, total], range(1, 7), "totals")
    return f"<section><h2>Loss by feeder</h2><p class=note>{note}</p>{body}</section>"


def loadings(story: Story) -> str:
    """The most loaded branches."""
    bars = loading_html(story.problem, story.before, story.after)
    return f"<section><h2>Highest loadings</h2>{bars}</section>" if bars else ""


def phases(story: Story) -> str:
    """Conductors of the most loaded branches, what neutral and earth return, and where voltages are most unbalanced."""
    summary, net = story.result.phases, story.problem.network
    if summary is None or summary.flow is None:
        return ""
    current, back = summary.flow.phase_a, np.nan_to_num(summary.flow.return_a)
    size = np.nan_to_num(current).max(axis=1)
    loading = story.after.loading if story.after is not None else np.zeros(net.n_branch)
    # The rating is that of the judge, so that the highest phase has the loading of the answer.
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(np.isfinite(net.i_max)[:, None], 100 * current * (loading / size)[:, None], np.nan)

    def cells(e: int) -> tuple[str, ...]:
        each = [
            "–" if np.isnan(one) else f"{number(one)} ({percent:.0f} %)" if percent == percent else number(one)
            for one, percent in zip(current[e].tolist(), share[e].tolist(), strict=True)
        ]
        return (branch_label(net, e), *each, number(back[e]))

    order = np.lexsort((-size, -loading))[:_CONDUCTORS]
    most = int(back.argmax())
    head = ("branch", "a [A]", "b [A]", "c [A]", "neutral and earth [A]")
    words = f"Neutral and earth return at most {number(back[most])} A (branch {branch_label(net, most)})."
    parts = [
        f"<p class=note>{escaped(words)} Of several scenarios the largest.</p>",
        table(head, [cells(e) for e in order.tolist() if size[e] > 0], (1, 2, 3, 4)),
    ]
    if summary.unbalance_at is not None:
        worst = np.argsort(-summary.unbalance_at, kind="stable")[:_UNBALANCED].tolist()
        rows = [
            (bus_label(net, k), f"{100 * summary.unbalance_at[k]:.3f} %") for k in worst if summary.unbalance_at[k] > 0
        ]
        parts.append(
            "<h3>Voltage unbalance (negative over positive sequence)</h3>" + table(("bus", "unbalance"), rows, (1,))
        )
    return f"<section><h2>Loading by phase</h2>{''.join(parts)}</section>"


def rankings(story: Story) -> str:
    """The front of loss against operations, and the k best configurations, where they were computed."""
    problem, net, parts = story.problem, story.problem.network, []
    points = [point for point in story.front if point.configuration is not None]
    if points:
        rows = []
        for point in points:
            one = pareto_point(problem, point)
            bound = "–" if one["dual_bound_kw"] is None else number(one["dual_bound_kw"], 7)
            ids = ", ".join(open_labels(net, point.configuration)) if point.configuration else ""
            rows.append((str(one["operations"]), number(one["loss_kw"], 7), bound, one["certificate"], ids))
        head = ("operations", "loss [kW]", "proven bound [kW]", "proof", "open branches")
        picture = chart_html(front_chart(problem, points))
        note = "The least loss that can be reached with a given number of switching operations."
        parts.append(f"<section><h2>Loss against operations</h2><p class=note>{note}</p>{picture}"
                     f"{table(head, rows, (0, 1, 2))}</section>")  # fmt: skip
    if story.result.alternatives:
        best = story.result.alternatives[0].loss_kw
        rows = [
            (
                str(rank),
                number(a.loss_kw, 7),
                f"+{number(a.loss_kw - best, 3)}" if a.loss_kw > best else "–",
                str(problem.operations(a.configuration)),
                ", ".join(open_labels(net, a.configuration)),
            )
            for rank, a in enumerate(story.result.alternatives, 1)
        ]
        head = ("rank", "loss [kW]", "above the best [kW]", "operations", "open branches")
        parts.append(f"<section><h2>Best configurations</h2>{table(head, rows, (0, 1, 2, 3))}</section>")
    return "".join(parts)


def scenarios(story: Story) -> str:
    """Loss and lowest voltage in each of several scenarios, before and after."""
    problem = story.problem
    if len(problem.situations) == 1 or story.after is None:
        return ""
    before = story.before.scenarios or (None,) * len(problem.weights)
    cells = list(zip(problem.situations, problem.weights, before, story.after.situations, strict=True))
    shown = cells if len(cells) <= _LISTED else sorted(cells, key=lambda cell: -cell[3].loss_kw)[:_LISTED]
    rows = []
    for scenario, weight, was, now in shown:
        known = was is not None and was.converged
        rows.append(
            (
                scenario.name,
                f"{100 * weight:.3g} %",
                number(was.loss_kw) if was is not None and known else "–",
                number(now.loss_kw),
                f"{was.min_voltage_pu:.4f}" if was is not None and known else "–",
                f"{now.min_voltage_pu:.4f}",
            )
        )
    note = f"One configuration for {len(cells)} scenarios" + (
        "." if len(shown) == len(cells) else f"; the {len(shown)} with the highest loss."
    )
    head = ("scenario", "weight", "loss before [kW]", "loss after [kW]", "lowest voltage before [pu]", "after [pu]")
    body = table(head, rows, range(1, 6))
    return f"<section><h2>Scenarios</h2><p class=note>{escaped(note)}</p>{body}</section>"


def gap_on_the_way(story: Story) -> str:
    """How the gap fell while the solve ran."""
    curve = story.result.gap_curve
    if not (told := gap_story(curve)):
        return ""
    rows = gap_rows(curve)
    shown = rows if len(rows) <= _LISTED else [rows[round(k)] for k in np.linspace(0, len(rows) - 1, _LISTED)]
    body = table(("seconds", "nodes", "best [kW]", "bound [kW]", "gap"), shown, (0, 1, 2, 3, 4))
    return f"<section><h2>Gap on the way</h2><p class=note>{escaped(told)}</p>{body}</section>"


def data_problems(story: Story) -> str:
    """What looks wrong in the data, errors first; nothing where nothing was looked for."""
    if not story.findings:
        return ""
    counts = [
        counted(n, severity.value)
        for severity in Severity
        if (n := sum(finding.severity is severity for finding in story.findings))
    ]
    rows = [(f.severity.value, f.object, f.value, f.advice) for f in story.findings[:_LISTED]]
    return (
        f"<section><h2>Data</h2><p class=note>{', '.join(counts)} about the data of the case.</p>"
        f"{table(('', 'object', 'found', 'advice'), rows, kind='findings')}</section>"
    )
