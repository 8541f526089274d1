"""A configuration that was checked, as JSON, for the terminal and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from learnopt.io.files import write_text
from learnopt.network.held import held_in_words, held_to_dicts
from learnopt.network.names import branch_label, bus_label, lowest_bus, open_labels, open_names
from learnopt.report.configuration.text import balance_to_dict, phases_to_dict, rated
from learnopt.report.kit.numbers import escaped, number
from learnopt.report.kit.origin import origin_to_dict, warnings_html, with_origin
from learnopt.report.kit.terminal import Listing, paragraphs
from learnopt.studies.configuration.check import Check
from learnopt.studies.configuration.isolation import isolation_in_words
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted


def check_to_dict(check: Check, origin: Origin) -> dict[str, Any]:
    """The object that ``check --json`` prints; null for what is not known without a power flow."""
    problem, evaluation = check.problem, check.evaluation
    net, known = problem.network, evaluation.converged
    lowest = lowest_bus(net, evaluation.vm) if known else 0
    return {
        "case": net.name,
        "open_branches": net.open_ids(check.configuration),
        "open_branch_names": open_names(net, check.configuration),
        "radial": not check.faults,
        "fixed_loops": int(problem.chords.sum()),
        "converged": known,
        "loss_kw": evaluation.loss_kw if known else None,
        "min_voltage_pu": evaluation.min_voltage_pu if known else None,
        "min_voltage_bus": net.bus_ids[lowest] if known else None,
        "min_voltage_bus_name": net.bus_names[lowest] if known else None,
        "max_loading": evaluation.max_loading if known and rated(problem) else None,
        "voltages_pu": {str(bus): float(vm) for bus, vm in zip(net.bus_ids, evaluation.vm, strict=True)}
        if known
        else None,
        "operations": problem.operations(check.configuration),
        **balance_to_dict(problem, check.configuration, evaluation),
        "violations": list(check.violations),
        "held_limits": held_to_dicts(net, problem.limits),
        "isolation": isolation_in_words(check.problem),
        "note": check.note,
        **({} if check.phases is None else {"phases": phases_to_dict(check.phases)}),
        **origin_to_dict(origin),
    }


def check_rows(check: Check) -> list[tuple[str, str]]:
    """Figures in words: name and value."""
    problem, evaluation, net = check.problem, check.evaluation, check.problem.network
    fixed = int(problem.chords.sum())
    radial = "yes" if not check.faults else "no"
    rows = [("radial", f"{radial}, but for {counted(fixed, 'fixed loop')}" if fixed else radial)]
    if not evaluation.converged:
        rows.append(("power flow", "none"))
    else:
        lowest = lowest_bus(net, evaluation.vm)
        rows += [
            ("loss", f"{number(evaluation.loss_kw)} kW"),
            ("lowest voltage", f"{evaluation.min_voltage_pu:.4f} pu (bus {bus_label(net, lowest)})"),
            ("highest loading", _loading(check)),
        ]
    if (phases := check.phases) is not None:
        where = [bus_label(net, net.bus_index[str(bus)]) for bus in (phases.highest_bus, phases.unbalance_bus)]
        rows.append(("highest voltage of a phase", f"{phases.highest_pu:.4f} pu (bus {where[0]})"))
        rows.append(("voltage unbalance", f"{100 * phases.unbalance:.2f} % (bus {where[1]})"))
    opened = ", ".join(open_labels(net, check.configuration)) or "none"
    return [*rows, ("open branches", opened), ("operations", str(problem.operations(check.configuration)))]


def _loading(check: Check) -> str:
    if not rated(check.problem):
        return "not known: the file has no ampacities"
    worst = int(np.argmax(check.evaluation.loading))
    return f"{100 * check.evaluation.max_loading:.0f} % (branch {branch_label(check.problem.network, worst)})"


def check_sentences(check: Check) -> list[str]:
    """What is said below the figures: violations, held limits, a second power flow."""
    held = held_in_words(check.problem.network, check.problem.limits)
    rest = (held, *isolation_in_words(check.problem), check.note)
    return [*(f"  - {violation}" for violation in check.violations), *filter(None, rest)]


def check_table(check: Check, origin: Origin) -> RenderableType:
    """The figures and what is violated, for the terminal."""
    table = Listing(("", check.problem.network.name), check_rows(check))
    return Group(with_origin(origin, table), *paragraphs(check_sentences(check)))


def write_check_report(path: Path, check: Check, origin: Origin) -> None:
    """Write the check as one self-contained HTML file, with a diagram and voltages where there is a power flow."""
    from learnopt.report.drawing.diagram_html import one_line_html
    from learnopt.report.drawing.one_line import one_line
    from learnopt.report.drawing.profile import phase_chart, phase_profiles, profile_chart, voltage_profile
    from learnopt.report.kit.chart import chart_html
    from learnopt.report.kit.page import page, table

    problem, net = check.problem, check.problem.network
    title = f"Check of {net.title or net.name}"
    opened = ", ".join(map(str, net.open_ids(check.configuration)))
    sections = [
        f"<header><h1>{escaped(title)}</h1><p>{escaped(net.name)} · open: {escaped(opened)}</p></header>",
        warnings_html(origin),
        f"<section><h2>Figures</h2>{table((), check_rows(check), kind='facts')}</section>",
        "<section><h2>What it breaks</h2>"
        + (table((), [(sentence,) for sentence in check.violations]) if check.violations else "<p>nothing</p>")
        + "".join(f"<p>{escaped(s)}</p>" for s in check_sentences(check)[len(check.violations) :])
        + "</section>",
    ]
    if not check.faults and check.evaluation.converged:
        scene = one_line(problem, check.configuration, check.evaluation, net.normal_configuration)
        sections.append(f"<section><h2>One-line diagram</h2>{one_line_html([scene])}</section>")
        profile = voltage_profile(problem, check.configuration, check.evaluation)
        by_phase = None if check.phases is None else check.phases.voltage
        if profile is not None:
            chart = profile_chart(problem, None, profile)
            if by_phase is not None:
                chart = phase_chart(problem, phase_profiles(problem, check.configuration, check.evaluation, by_phase))
            voltages = chart_html(chart)
            sections.append(f"<section><h2>Voltage profile</h2>{voltages}</section>")
    write_text(path, page(title, sections))
