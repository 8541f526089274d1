"""Facts and findings of a network as JSON and for the terminal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from learnopt.network import Network
from learnopt.network.names import bus_label
from learnopt.report.kit.numbers import number
from learnopt.report.kit.origin import EQUIVALENT, with_origin
from learnopt.report.kit.terminal import Cell, Listing, Paragraph
from learnopt.studies.inspection.inspection import Inspection, Severity
from learnopt.studies.inspection.phases import PhaseFacts
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

NOTHING_WRONG = "Nothing looks wrong."
FINDING_HEAD = ("severity", "object", "found", "advice")
_SIZES = {"buses": "bus", "branches": "branch", "transformers": "transformer", "couplers": "coupler"}
_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "dim"}


def inspection_to_dict(found: Inspection, origin: Origin) -> dict[str, Any]:
    """The object that ``inspect --json`` prints; ``errors`` only where there are some."""
    answer: dict[str, Any] = found.facts | {"findings": [asdict(finding) for finding in found.findings]}
    answer["warnings"] = list(origin.warnings)
    answer["balanced_equivalent"] = origin.equivalent
    if errors := found.of(Severity.ERROR):
        answer["errors"] = [f"{finding.object}: {finding.value}" for finding in errors]
    return answer


def inspection_table(found: Inspection, origin: Origin) -> RenderableType:
    """What was read and what looks wrong, for the terminal."""
    facts = Listing(("", found.facts["case"]), fact_rows(found), title=found.facts["title"])
    return Group(with_origin(origin, facts), _findings(found))


def finding_rows(found: Inspection) -> list[tuple[str, str, str, str]]:
    """Rows of text, columns as in :data:`FINDING_HEAD`."""
    return [(one.severity.value, one.object, one.value, one.advice) for one in found.findings]


def _findings(found: Inspection) -> Listing | Paragraph:
    if not found.findings:
        return Paragraph(NOTHING_WRONG)
    rows: list[tuple[Cell, ...]] = [
        (Text(severity, _STYLES[Severity(severity)]), *cells) for severity, *cells in finding_rows(found)
    ]
    return Listing(FINDING_HEAD, rows)


def fact_rows(found: Inspection) -> list[tuple[str, str]]:
    """What was read, in words: name and text."""
    facts = found.facts
    levels = ", ".join(f"{kv} kV ({counted(count, 'bus')})" for kv, count in facts["kv_levels"].items())
    read = ", ".join(counted(facts[key], noun) for key, noun in _SIZES.items())
    parts = facts["auxiliary_buses"]
    rows = {
        "read": f"{read}, {counted(len(facts['substations']), 'substation')}"
        + (f"; {counted(parts, 'end')} of cables behind a switch besides" if parts else ""),
        "voltage levels": levels,
        "loops": f"{facts['loops']} with every switch closed, {facts['loops_closed']} in the present state"
        + (f"; {facts['fixed_loops']} more that stay closed" if facts["fixed_loops"] else ""),
        "switches": f"{facts['switchable']} switchable, {facts['decisions']} of them in loops; {facts['open']} open"
        + (f"; {facts['manual']} operated by hand" if facts["manual"] else ""),
        "to decide": _decision(facts["reduction"]),
        "load": f"{number(facts['load_kw'])} kW, {number(facts['load_kvar'])} kvar",
        "generation": f"{number(facts['generation_kw'])} kW, {number(facts['generation_kvar'])} kvar",
        "net": f"{number(facts['net_kw'])} kW, {number(facts['net_kvar'])} kvar",
        "charging": f"lines {number(facts['charging_kvar'])} kvar, shunts {number(facts['capacitors_kvar'])} kvar",
        "limits": f"{_voltage_limits(facts)}; {counted(facts['rated_branches'], 'branch')} with an ampacity",
        "controls": ", ".join(counted(n, kind[:-1]) for kind, n in facts["controls"].items() if n) or "none",
        "present state": _state(facts),
    }
    if found.phases is not None:
        rows["present state"] += f" ({EQUIVALENT})"
        rows |= _in_phases(found.network, found.phases)
    return list(rows.items())


def _in_phases(net: Network, facts: PhaseFacts) -> dict[str, str]:
    """What the present state is in all phases, in words."""
    where = [
        bus_label(net, net.bus_index[str(bus)])
        for bus in (facts.summary.lowest_bus, facts.summary.highest_bus, facts.summary.unbalance_bus)
    ]
    some = facts.buses[0] + facts.buses[1]
    rows = {
        f"in all phases ({facts.summary.tool})": f"{number(facts.loss_kw)} kW lost, phases {facts.lowest_pu:.4f} (bus "
        f"{where[0]}) to {facts.summary.highest_pu:.4f} pu (bus {where[1]}); voltage unbalance up to "
        f"{100 * facts.summary.unbalance:.2f} % (bus {where[2]})",
        "phases missing": f"{some} of {sum(facts.buses)} buses: {facts.buses[0]} with one phase, {facts.buses[1]} with "
        "two"
        if some
        else "none",
        "neutral and earth": f"return up to {number(facts.return_a)} A (branch {facts.return_branch})",
    }
    for head in facts.heads:
        kw = ", ".join(f"{name} {number(power)}" for name, power in zip("abc", head.kw, strict=True) if power == power)
        returned = "" if head.return_a is None else f"; {number(head.return_a)} A return in neutral and earth"
        apart = "" if head.imbalance is None else f", up to {100 * head.imbalance:.1f} % from their mean"
        rows[head.name] = f"{kw} kW{apart}{returned}"
    return rows


def _voltage_limits(facts: dict[str, Any]) -> str:
    """Voltage limits in words: one range for all, or what each limit ranges over."""
    low, high = facts["voltage_limit_ranges_pu"]
    if low is None and high is None:
        return "no voltage limits"

    def text(ends: list[float] | None) -> str:
        if ends is None:
            return "none"
        return f"{ends[0]:g} pu" if ends[0] == ends[1] else f"{ends[0]:g} to {ends[1]:g} pu"

    limited, buses = facts["voltage_limited_buses"], facts["buses"] - len(facts["substations"])
    some = "" if limited == buses else f" at {limited} of {counted(facts['buses'], 'bus')}"
    if any(ends is not None and ends[0] != ends[1] for ends in (low, high)):
        return f"voltage at least {text(low)}, at most {text(high)} by bus (own limits{some or ' at every bus'})"
    return f"voltage {text(low)} to {text(high)}{some}"


def _decision(size: dict[str, Any] | None) -> str:
    """What the reductions leave of the problem."""
    if size is None:
        return "nothing: no radial state exists"
    if not size["switches"]:
        return "nothing: no switch in a loop"
    exponent = size["log10_configurations"]
    count = number(round(10**exponent), 1) if exponent < 6 else f"10^{exponent:.0f}"
    return (
        f"{counted(size['buses'], 'bus reduces', 'buses reduce')} to {counted(size['nodes'], 'node')} "
        f"({size['laterals']} on laterals), {counted(size['branches'], 'branch')} to "
        f"{counted(size['switches'], 'switch')} in {counted(size['chains'], 'chain')}; {size['loops']} to be open, "
        f"{count} radial configuration{'' if count == '1' else 's'}, {counted(size['parts'], 'independent part')}"
    )


def _state(facts: dict[str, Any]) -> str:
    if facts["loss_kw"] is None:
        return "no power flow" if facts["radial"] or facts["loops_closed"] else "not radial"
    loading = "" if facts["max_loading"] is None else f", highest loading {facts['max_loading']:.0%}"
    return (
        f"{'radial' if facts['radial'] else 'not radial'}, {number(facts['loss_kw'])} kW lost, "
        f"{facts['min_voltage_pu']:.4f} to {facts['max_voltage_pu']:.4f} pu{loading}"
    )
