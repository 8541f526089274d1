"""The report of ``solve --report``: one HTML file that needs no network, for the screen and for paper.

On the screen the pictures can be moved and asked; on paper, and without JavaScript, their labels stand where they fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from learnopt.network import Evaluation, ReconfigurationProblem, Result
from learnopt.network.names import branch_label, bus_label, lowest_bus, open_labels
from learnopt.network.totals import totals
from learnopt.report.configuration.head import BLANK, Head
from learnopt.report.configuration.order import plan_of
from learnopt.report.configuration.sections import (
    controls,
    data_problems,
    gap_on_the_way,
    loadings,
    loss_by_feeder,
    phases,
    rankings,
    scenarios,
    switching_order,
)
from learnopt.report.configuration.story import Story
from learnopt.report.configuration.text import (
    UNKNOWN_ORIGIN,
    initial_evaluation,
    learned_class,
    proven_bound_kw,
    rated,
    substations_rated,
    verdict,
)
from learnopt.report.drawing.colours import feeder_colours
from learnopt.report.drawing.diagram_html import one_line_html
from learnopt.report.drawing.map_layout import layout_of
from learnopt.report.drawing.one_line import OneLine, Scale, one_line, why_unsolved
from learnopt.report.drawing.profile import phase_chart, phase_profiles, profile_chart, voltage_profile
from learnopt.report.kit.chart import chart_html
from learnopt.report.kit.numbers import escaped, number, percent
from learnopt.report.kit.origin import warnings_html
from learnopt.report.kit.page import page, table, tiles
from learnopt.studies.configuration.switching_order import Operation, normal_state
from learnopt.studies.inspection.inspection import inspect_network
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

_LISTED = 40
"""Violations listed in full."""
_BALANCED = "balanced three-phase network, single-phase equivalent, constant-power loads"
_IN_PHASES = "all phases as the file has them, taps held where they are no controls, loads by their own models"


def report_html(
    problem: ReconfigurationProblem,
    result: Result,
    *,
    plan: list[Operation] | None = None,
    front: Sequence[Result] = (),
    notes: Sequence[str] = (),
    origin: Origin = UNKNOWN_ORIGIN,
    head: Head = BLANK,
) -> str:
    """The self-contained page as text.

    Works for every status: without a configuration the page says why there is none and shows the feeder as it is.

    Parameters
    ----------
    plan
        Switching plan, that of :func:`~learnopt.report.configuration.text.plan_of` where it is not given.
    front
        Least loss for every number of operations, where that was computed.
    notes
        What the importer assumed, merged or left out.
    origin
        Differences to the tool of the file, and the answer in it.
    head
        Author, time of the data, checked by.
    """
    net = problem.network
    operations = plan_of(problem, result) if plan is None else plan
    findings = inspect_network(net, notes).findings
    story = Story(
        problem, result, initial_evaluation(problem, result), operations, tuple(front), findings, origin, head
    )
    sections = [
        _header(story),
        warnings_html(origin),
        _tiles(story),
        _verdict(story),
        switching_order(story),
        controls(story),
        _pictures(story),
        _profile(story),
        loadings(story),
        phases(story),
        loss_by_feeder(story),
        scenarios(story),
        rankings(story),
        _violations(story),
        data_problems(story),
        _statement(story),
        _run(story),
        gap_on_the_way(story),
    ]
    return page(f"Reconfiguration of {net.title or net.name}", sections)


def _header(story: Story) -> str:
    net = story.problem.network
    about = f"{net.size_text}, {counted(net.n_loops, 'loop')}, {net.base.v_base:g} kV"
    return (
        f"<header><h1>Reconfiguration of {escaped(net.title or net.name)}</h1>"
        f"<p>{escaped(net.name)} · {about} · scenario {escaped(story.problem.scenario.name)}</p></header>"
    )


def _tiles(story: Story) -> str:
    problem, before, after = story.problem, story.before, story.after
    net = problem.network
    known = before if before.converged else None
    shown = [("loss now", f"{number(known.loss_kw)} kW" if known else "–", "" if known else why_unsolved(before))]
    if after is not None:
        shown.append(("loss after", f"{number(after.loss_kw)} kW", ""))
        if known:
            saved = known.loss_kw - after.loss_kw
            share = percent(abs(saved) / known.loss_kw) if known.loss_kw > 0 else ""
            shown.append(("saving" if saved >= 0 else "additional loss", f"{number(abs(saved))} kW", share))

    def lowest(e: Evaluation) -> str:
        return f"{e.min_voltage_pu:.4f} pu"

    def at(e: Evaluation) -> str:
        return f"bus {bus_label(net, lowest_bus(net, e.vm))}"

    state = after or known
    if state is not None:
        was = f"now {lowest(known)} at {at(known)}; " if known and after else ""
        shown.append(("lowest voltage", lowest(state), f"{was}{'after ' if after else ''}at {at(state)}"))
        if rated(problem):
            worst = branch_label(net, int(np.argmax(state.loading)))
            was = f"now {100 * known.max_loading:.0f} %; " if known and after else ""
            shown.append(("highest loading", f"{100 * state.max_loading:.0f} %", f"{was}branch {worst}"))
        else:
            shown.append(("highest loading", "–", "the case has no ampacities"))
    if story.result.configuration is not None:
        shown.append(("operations", str(len(story.operations)), "from the normal configuration"))
    shown.append(("computing time", f"{story.result.solve_time_s:.2f} s", story.result.engine))
    return tiles(shown)


def _verdict(story: Story) -> str:
    words = verdict(story.problem, story.result, story.origin)
    sentences = "".join(f"<p>{escaped(sentence)}</p>" for sentence in words.sentences)
    kind = "verdict" if words.good else "verdict none"
    return (
        f'<section class="{kind}"><h2>{escaped(words.headline)}</h2>{sentences}'
        f'<p class="note">status: {escaped(story.result.status.value)} · certificate: '
        f"{escaped(story.result.certificate.value)}</p></section>"
    )


def _pictures(story: Story) -> str:
    problem, result = story.problem, story.result
    start, target = normal_state(problem), result.configuration
    layout, scale = layout_of(problem.network), Scale.of(problem, story.before, story.after)
    states = [start] if target is None else [start, target]
    feeders = feeder_colours(problem.network, layout.bars, *states)

    def scene(title: str, **states: object) -> OneLine:
        return one_line(problem, layout=layout, scale=scale, title=title, feeders=feeders, **states)  # type: ignore[arg-type]

    scenes = [scene("Before", configuration=start, evaluation=story.before, reference=target)]
    if target is not None:
        scenes.append(scene("After", configuration=target, evaluation=result.evaluation, reference=start))
    hint = (
        "Buses are at their coordinates, branches are straight lines."
        if layout.on_map
        else "Positions are schematic: columns count branches from the substation."
    )
    return (
        f'<section><h2>One-line diagram</h2><p class="note lead">{hint} <span class="screen-only">Point at a bus or a '
        "switch for its figures. Zoom with + and −, a double click or Ctrl and the wheel, then drag; more ids appear, "
        f"and both pictures move together.</span></p>{one_line_html(scenes)}</section>"
    )


def _profile(story: Story) -> str:
    problem, target = story.problem, story.result.configuration
    before = voltage_profile(problem, normal_state(problem), story.before)
    after = None if target is None else voltage_profile(problem, target, story.result.evaluation)
    if before is None and after is None:
        return ""
    chart = chart_html(profile_chart(problem, before, after))
    voltage = None if story.result.phases is None else story.result.phases.voltage
    if voltage is not None and target is not None and after is not None:
        phases = phase_profiles(problem, target, story.result.evaluation, voltage)
        chart += "<p>Lowest phase of each bus above; below the phases of the answer.</p>"
        chart += chart_html(phase_chart(problem, phases))
    return f"<section><h2>Voltage profile</h2>{chart}</section>"


def _violations(story: Story) -> str:
    def listed(name: str, found: Sequence[str]) -> str:
        if not found:
            return f"<div><h3>{name}</h3><p>none</p></div>"
        rows = [(sentence,) for sentence in found[:_LISTED]]
        if len(found) > _LISTED:
            rows.append((f"… and {len(found) - _LISTED} more",))
        return f"<div><h3>{name}: {len(found)}</h3>{table((), rows)}</div>"

    parts = [listed("Before", story.before.violations)]
    if story.result.evaluation is not None:
        parts.append(listed("After", story.result.evaluation.violations))
    return f'<section><h2>Limits violated</h2><div class="columns">{"".join(parts)}</div></section>'


def _statement(story: Story) -> str:
    problem = story.problem
    net, scenario, limits = problem.network, problem.scenario, problem.limits

    def ids(mask: np.ndarray) -> str:
        chosen = [branch_label(net, e) for e in np.flatnonzero(mask)]
        more = f" and {len(chosen) - 20} more" if len(chosen) > 20 else ""
        return ", ".join(chosen[:20]) + more if chosen else "none"

    def ranged(limit: tuple[float, float]) -> str:
        return f"{limit[0]:g} pu" if limit[0] == limit[1] else f"{limit[0]:g} to {limit[1]:g} pu, bus by bus"

    powers = totals(net, scenario)
    voltage = [
        f"{word} {ranged(limit)}"
        for word, limit in zip(("at least", "at most"), problem.voltage_ranges, strict=True)
        if limit is not None
    ]
    charging = "used" if problem.charging else "left out"
    rows = [
        ("Source of the case", net.source or "not stated"),
        ("Objective", "AC loss" if problem.switching_cost == 0 else "AC loss plus switching cost"),
        ("Load", f"{number(powers.load_kw)} kW, {number(powers.load_kvar)} kvar"),
        ("Generation", f"{number(powers.generation_kw)} kW, {number(powers.generation_kvar)} kvar"),
        ("Load less generation", f"{number(powers.net_kw)} kW, {number(powers.net_kvar)} kvar"),
        ("Voltage limits", " and ".join(voltage) or "not enforced"),
        ("Branch ratings", _enforced(limits.ampacity, rated(problem))),
        ("Substation ratings", _enforced(limits.substations, substations_rated(problem))),
        ("Line charging", charging if np.any(net.b > 0) else "none in the case"),
        ("Switching cost", f"{number(problem.switching_cost)} kW per operation" if problem.switching_cost else "none"),
        ("Cap on operations", "none" if problem.max_operations is None else str(problem.max_operations)),
        ("Free switches", f"{np.count_nonzero(problem.free)} of {counted(net.n_own_branch, 'branch')}"),
        ("Out of service", ids(problem.out_of_service)),
        ("Locked open", ids(problem.locked == 0)),
        ("Locked closed", ids(problem.locked == 1)),
        ("Network model", _BALANCED if story.result.phases is None else _IN_PHASES),
    ]
    return f"<section><h2>Problem</h2>{table((), rows, kind='facts')}</section>"


def _enforced(wanted: bool, known: bool) -> str:
    return ("enforced" if wanted else "not enforced") if known else "none in the case"


def _run(story: Story) -> str:
    result, net = story.result, story.problem.network
    bound = proven_bound_kw(result)
    rows = [
        ("Engine", f"{result.engine} {result.engine_version}"),
        ("Objective", "–" if result.objective_kw is None else f"{number(result.objective_kw, 7)} kW"),
        ("Proven lower bound", "none" if bound is None else f"{number(bound, 7)} kW ({result.certificate.value})"),
        ("Gap", percent(result.gap) if bound is not None and result.gap is not None else "–"),
        ("Branch-and-bound nodes", f"{result.nodes:,}".replace(",", "\u202f")),
        *((f"Time: {stage}", f"{seconds:.3f} s") for stage, seconds in result.stage_times_s.items()),
        ("Time: total", f"{result.solve_time_s:.3f} s"),
    ]
    if result.configuration is not None:
        rows.insert(0, ("Open branches", ", ".join(open_labels(net, result.configuration))))
    if result.learned is not None:
        learned = result.learned
        rows += [
            ("Checkpoint", learned.checkpoint),
            ("The problem has", learned.problem_class),
            ("Class and its confidence threshold", learned_class(learned)),
            (
                "Stated risk of a wrong fixing",
                "none: not calibrated for this class" if learned.alpha is None else percent(learned.alpha),
            ),
            (
                "Switches fixed closed, fixed open, left free",
                f"{learned.fixed_closed}, {learned.fixed_open}, {learned.free}",
            ),
            ("Devices fixed, left free", f"{learned.fixed_devices}, {learned.free_devices}"),
            ("Bound of the reduced problem only", f"{number(learned.reduced_bound_kw, 7)} kW"),
        ]
    return f"<section><h2>Solution</h2>{table((), rows, kind='facts')}</section>"
