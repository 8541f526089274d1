"""A restoration as JSON, as words and as a table for the terminal."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from learnopt.network import Certificate, Status
from learnopt.network.names import branch_label, bus_label, open_names
from learnopt.report.configuration.order import operation_to_dict, plan_table, reasons, travels, what
from learnopt.report.configuration.text import UNKNOWN_ORIGIN, open_ends_in_words, open_ends_to_dict, rated
from learnopt.report.kit.numbers import finite, number
from learnopt.report.kit.origin import origin_to_dict, with_origin
from learnopt.report.kit.terminal import Paragraph, paragraphs
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.restoration.reliability import hours_until, weights
from learnopt.studies.restoration.search import Target
from learnopt.studies.restoration.study import CUT_OFF, DEAD, LIMITS, Restoration
from learnopt.wording import counted

_NAMED = 12
"""Buses or switches that a sentence names."""
_WHY = {
    DEAD: "stay dead with the fault until it is repaired",
    CUT_OFF: "have no way to a source",
    LIMITS: "do not fit within the limits",
}


def restoration_to_dict(restoration: Restoration, origin: Origin = UNKNOWN_ORIGIN) -> dict[str, Any]:
    """The object that ``restore --json`` prints; strict JSON, null for what is not known.

    ``restored_kw`` is all consumption with supply after the plan, ``bound_kw`` what no plan exceeds.
    """
    outage, found, net = restoration.outage, restoration.found, restoration.problem.network
    gear, zone, judged = net.switchgear, outage.zone, restoration.evaluation
    configuration, operated = restoration.configuration, restoration.operated
    left = None if operated is None else open_ends_to_dict(restoration.problem, restoration.open_at_one_end, operated)
    return {
        "case": net.name,
        "fault": outage.fault.to_list(net),
        "status": found.status.value,
        "certificate": found.certificate.value,
        "message": found.message,
        **origin_to_dict(origin),
        "isolated": {
            "open": [gear.devices[k].id for k in zone.opened],
            "kept_open": [gear.devices[k].id for k in zone.kept_open],
            "dead_buses": [net.bus_ids[k] for k in sorted(zone.buses)],
            "dead_branches": [net.branch_ids[e] for e in sorted(zone.lines)],
            "dead_kw": float(outage.load_kw[outage.dead].sum()),
        },
        "total_kw": restoration.total_kw,
        "lost_kw": restoration.lost_kw,
        "restored_kw": None if configuration is None else restoration.restored_kw,
        "unserved_kw": None if configuration is None else restoration.total_kw - restoration.restored_kw,
        "bound_kw": restoration.bound_kw,
        "hours": restoration.hours,
        "pickup": outage.strain.pickup,
        "emergency": outage.strain.emergency,
        "unserved_kwh": None if configuration is None else finite(restoration.unserved_kwh),
        "situations": _situations(restoration),
        "restored_weighted_kw": None if configuration is None else float(outage.value_kw[restoration.served].sum()),
        "bound_weighted_kw": restoration.bound_weighted_kw,
        "objectives": {
            "unserved_weighted_kw": _target(found.unserved),
            "operations": _target(found.operations),
            "loss_kw": _target(found.loss),
        },
        "open_branches": None if configuration is None else net.open_ids(configuration),
        "open_branch_names": None if configuration is None else open_names(net, configuration),
        "not_served": [
            {
                "bus": net.bus_ids[k],
                "bus_name": net.bus_names[k],
                "load_kw": float(outage.load_kw[k]),
                "reason": why,
            }
            for k, why in restoration.not_served
        ],
        "loss_kw": finite(restoration.loss_kw),
        "min_voltage_pu": None if judged is None else finite(judged.min_voltage_pu),
        "max_loading": None if judged is None or not rated(restoration.problem) else finite(judged.max_loading),
        "violations": [] if judged is None else list(judged.violations),
        "as_operated": left,
        "n_operations": None if found.operations.value is None else int(found.operations.value),
        "isolating_operations": len(zone.opened),
        "operations": [operation_to_dict(restoration.problem, o) for o in restoration.operations],
        "crews": crews_to_dict(restoration),
        "return": [operation_to_dict(restoration.problem, o) for o in restoration.way_back[0]],
        "return_message": restoration.way_back[1],
        "runs": found.runs,
        "solve_time_s": finite(restoration.solve_time_s),
    }


def _situations(restoration: Restoration) -> list[dict[str, Any]]:
    """The plan in each of several situations."""
    judged, scenarios = restoration.evaluation, restoration.problem.situations.scenarios
    if judged is None or len(scenarios) == 1:
        return []
    limited = rated(restoration.problem)
    return [
        {
            "name": scenario.name,
            "loss_kw": finite(each.loss_kw),
            "min_voltage_pu": finite(each.min_voltage_pu),
            "max_loading": finite(each.max_loading) if limited else None,
        }
        for scenario, each in zip(scenarios, judged.situations, strict=True)
    ]


def strain_in_words(restoration: Restoration) -> list[str]:
    """Factors on loads and ratings until the repair."""
    strain, said = restoration.outage.strain, []
    if strain.pickup > 1:
        said.append(f"loads that lost their supply {number(strain.pickup)} times theirs at first")
    if strain.emergency > 1:
        said.append(f"ratings {number(strain.emergency)} times those of the network")
    return [f"Until the repair: {', '.join(said)}."] if said else []


def hours_in_words(restoration: Restoration) -> list[str]:
    """What the plan comes to over the hours until the repair."""
    judged, energy = restoration.evaluation, restoration.unserved_kwh
    if judged is None or restoration.hours is None or energy is None:
        return []
    names = [scenario.name for scenario in restoration.problem.situations]
    lowest = min(range(len(names)), key=lambda k: judged.situations[k].min_voltage_pu)
    voltage = f"{judged.situations[lowest].min_voltage_pu:.4f} pu at {names[lowest]}"
    hours = counted(round(restoration.hours), "hour")
    said = f"The plan holds in each of {hours} until the repair, lowest voltage {voltage}; loads are their mean"
    return [f"{said}, and {number(energy)} kWh are not served." if energy > 0 else f"{said}."]


def _target(target: Target) -> dict[str, Any]:
    return {"value": finite(target.value), "bound": finite(target.bound), "proven": target.proven}


def headline(restoration: Restoration) -> str:
    """The answer in a sentence."""
    if restoration.configuration is None:
        none = {Status.INFEASIBLE: "No plan is within the limits"}
        return none.get(restoration.status, "No plan was found") + "."
    total, restored = restoration.total_kw, restoration.restored_kw
    said = f"{number(restored)} of {number(total)} kW have supply"
    missing = total - restored
    return said + (f", {number(missing)} kW have not." if missing > 1e-9 else ", all of it.")


def sentences(restoration: Restoration) -> list[str]:
    """What is isolated, who stays without supply and why, and what is proven."""
    net, outage = restoration.problem.network, restoration.outage
    gear = net.switchgear
    said = [f"Fault: {', '.join(outage.fault.labels(net))}; {number(restoration.lost_kw)} kW lose their supply."]
    opened = [gear.devices[k].label for k in outage.zone.opened]
    said.append(f"Isolated by opening {_some(opened)}." if opened else "Nothing has to be opened to isolate it.")
    for reason, words in _WHY.items():
        buses = [k for k, why in restoration.not_served if why == reason]
        if buses:
            load = float(outage.load_kw[buses].sum())
            said.append(f"{_some([bus_label(net, k) for k in buses])} ({number(load)} kW) {words}.")
    said += proofs(restoration)
    said += crews_in_words(restoration)
    said += way_back_in_words(restoration)
    said += strain_in_words(restoration) + hours_in_words(restoration)
    if restoration.operated is not None:
        said.append(open_ends_in_words(len(restoration.open_at_one_end), restoration.operated))
    if restoration.found.message:
        said.append(restoration.found.message)
    return said


def crews_to_dict(restoration: Restoration) -> dict[str, Any] | None:
    """Who carries out which step, and when; null where nobody asked, or no schedule was found in time."""
    if restoration.crews is None:
        return None
    schedule = restoration.crews.schedule
    steps = [
        {"step": o.step, "crew": None if crew is None else crew + 1, "begin_min": begin, "end_min": end}
        for o, crew, begin, end in zip(restoration.operations, schedule.crew, schedule.begin, schedule.end, strict=True)
    ]
    return {
        "crews": restoration.crews.crews,
        "minutes": schedule.minutes,
        "bound_minutes": finite(schedule.bound),
        "proven": schedule.proven,
        "minutes_without_supply": _minutes_without_supply(restoration),
        "steps": steps,
    }


def _minutes_without_supply(restoration: Restoration) -> float:
    """Mean minutes without supply until the last step, by customers or load: what the fault adds to SAIDI till then."""
    assert restoration.crews is not None
    hours, _ = hours_until(restoration, [end / 60 for end in restoration.crews.schedule.end], 0.0)
    count, _ = weights(restoration.problem.network, restoration.outage.load_kw)
    return float(60 * count @ hours / count.sum()) if count.sum() > 0 else 0.0


def crews_in_words(restoration: Restoration) -> list[str]:
    """When the last step ends, and the way of each crew."""
    if restoration.crews is None:
        return []
    plan, steps = restoration.crews, restoration.operations
    schedule = plan.schedule
    proof = "no schedule ends earlier: proven" if schedule.proven else f"none before {number(schedule.bound)} min"
    mean = number(_minutes_without_supply(restoration))
    said = [
        f"With {counted(plan.crews, 'crew')} the last step ends after {number(schedule.minutes)} min, {proof}; "
        f"until then a customer is without supply for {mean} min on average over the network."
    ]
    for k in range(plan.crews):
        done = sorted((schedule.begin[i], i) for i, crew in enumerate(schedule.crew) if crew == k)
        if done:
            way = ", ".join(f"step {steps[i].step} at {number(begin)} min" for begin, i in done)
            said.append(f"Crew {k + 1}: {way}.")
    return said


def way_back_in_words(restoration: Restoration) -> list[str]:
    """The steps to the state before the fault, in a sentence."""
    steps, why = restoration.way_back
    if why:
        return [f"After the repair there is no ordered way back: {why}."]
    if not steps:
        return []
    net = restoration.problem.network
    before = [{k for k, _ in restoration.not_served}, *(set(o.unfed) for o in steps)]
    interrupted = [o.step for o, earlier in zip(steps, before, strict=False) if set(o.unfed) - earlier]
    cut = f"supply is interrupted in {counted(len(interrupted), 'step')}" if interrupted else "no supply is interrupted"
    done = _some([f"{o.action.value} {what(net, o)}" for o in steps])
    return [f"Back after the repair, {cut}: {done}."]


def proofs(restoration: Restoration) -> list[str]:
    """What is proven of each objective, in their order."""
    found = restoration.found
    if restoration.configuration is None:
        return []
    if found.certificate is Certificate.NONE:
        return ["Nothing is proven of this plan."]
    of = " of the calibrated-current model" if found.certificate is Certificate.MODEL else ""
    most = "No plan supplies more" if not restoration.weighted else "No plan supplies more by its priorities"
    said = []
    if found.unserved.proven:
        said.append(f"{most}: proven{of}.")
    elif restoration.bound_weighted_kw is not None:
        said.append(f"{most} than {number(restoration.bound_weighted_kw)} kW: proven{of}.")
    n = int(found.operations.value or 0)
    count = f"{counted(n, 'operation')} after isolating"
    loss = "–" if restoration.loss_kw is None else f"{number(restoration.loss_kw, 6)} kW lost"
    fewest = {True: ", fewest by proof", False: ""}[found.operations.proven]
    least = {True: ", least by proof", False: ""}[found.loss.proven]
    if found.loss.bound is not None and not found.loss.proven:
        least = f", at least {number(found.loss.bound, 6)} kW by proof"
    if found.operations.bound is not None and not found.operations.proven:
        fewest = f", at least {int(found.operations.bound)} by proof"
    return [*said, f"{count}{fewest}; {loss}{least}."]


def _some(labels: list[str]) -> str:
    more = f" and {len(labels) - _NAMED} more" if len(labels) > _NAMED else ""
    return ", ".join(labels[:_NAMED]) + more


def restoration_table(restoration: Restoration, origin: Origin = UNKNOWN_ORIGIN) -> RenderableType:
    """What the terminal shows."""
    net, steps = restoration.problem.network, restoration.operations
    parts: list[RenderableType] = [
        Paragraph(f"{net.name}: {restoration.status.value}, certificate {restoration.certificate.value}"),
        Paragraph(headline(restoration), "bold"),
        *paragraphs(sentences(restoration)),
    ]
    if steps:
        parts += [plan_table(net, steps), *paragraphs([*reasons(steps), *travels(net, steps)])]
    if restoration.configuration is not None:
        # What has no switch is dead with the fault; nobody opens it.
        is_open = ~restoration.configuration.closed & (net.switchable | net.normally_open)
        opened = [branch_label(net, int(e)) for e in np.flatnonzero(is_open)]
        parts.append(Paragraph(f"open branches: {_some(opened)}"))
    parts.append(Paragraph(f"restore, {restoration.solve_time_s:.2f} s", "dim"))
    return with_origin(origin, Group(*parts))
