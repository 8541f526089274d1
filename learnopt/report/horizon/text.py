"""The plan of a horizon for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType

from learnopt.network import Certificate
from learnopt.network.held import held_to_dicts
from learnopt.network.names import branch_label, bus_label, labels, open_names
from learnopt.report.configuration.text import UNKNOWN_ORIGIN, settings_to_dict
from learnopt.report.kit.numbers import finite, moment, number, percent
from learnopt.report.kit.origin import EQUIVALENT, origin_to_dict, with_origin
from learnopt.report.kit.terminal import Listing, Paragraph, paragraphs
from learnopt.studies.configuration.isolation import isolation_in_words
from learnopt.studies.horizon import HorizonPlan, HorizonProblem
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

Times = NDArray[np.datetime64]
COMPARISON_HEAD = ("", "energy lost", "operations", "saved by the plan")


def horizon_to_dict(
    problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> dict[str, Any]:
    """The object that ``horizon --json`` prints; strict JSON, null for what is not known."""
    net = problem.network
    bound = None if plan.certificate is Certificate.NONE else finite(plan.dual_bound_kwh)
    return {
        "case": net.name,
        "status": plan.status.value,
        "message": plan.message,
        "held_limits": held_to_dicts(net, problem.limits),
        "isolation": isolation_in_words(problem.together),
        **origin_to_dict(origin),
        "certificate": plan.certificate.value,
        "steps": problem.n_steps,
        "hours": float(problem.hours.sum()),
        "energy_kwh": finite(plan.energy_kwh),
        "switching_cost_kwh": problem.switching_cost,
        "objective_kwh": finite(plan.objective_kwh),
        "dual_bound_kwh": bound,
        "gap": None if bound is None else finite(plan.gap),
        "bounds_kwh": {"ac": finite(plan.ac_bound_kwh), "model": finite(plan.model_bound_kwh)},
        "operations": sum(plan.operations) if plan.configurations else None,
        "control_cost_kwh": problem.control_cost,
        "control_changes": sum(plan.changes) if plan.settings else None,
        "normal_energy_kwh": finite(plan.normal_kwh),
        "normal_violations": plan.normal_violations,
        "static": None
        if plan.static is None
        else {
            "open_branches": net.open_ids(plan.static),
            "energy_kwh": finite(plan.static_kwh),
            "objective_kwh": finite(plan.static_objective_kwh),
            "dual_bound_kwh": finite(plan.static_bound_kwh),
            "operations": problem.operations(problem.initial, plan.static),
        },
        "days": _days(problem, plan, times),
        "plan": [_step(problem, plan, times, t) for t in range(len(plan.configurations))],
        "candidates": plan.candidates,
        "rounds": plan.rounds,
        "nodes": plan.nodes,
        "solve_time_s": plan.solve_time_s,
        "stage_times_s": dict(plan.stage_times_s),
    }


def _step(problem: HorizonProblem, plan: HorizonPlan, times: Times, t: int) -> dict[str, Any]:
    """What the plan does in one step."""
    net, configuration, evaluation = problem.network, plan.configurations[t], plan.evaluations[t]
    before = plan.configurations[t - 1] if t else problem.initial
    changed = (configuration.closed != before.closed) & problem.counted
    step = {
        "time": str(times[t]),
        "hours": float(problem.hours[t]),
        "open_branches": net.open_ids(configuration),
        "open_branch_names": open_names(net, configuration),
        "closed": [net.branch_ids[e] for e in np.flatnonzero(changed & configuration.closed)],
        "opened": [net.branch_ids[e] for e in np.flatnonzero(changed & ~configuration.closed)],
        "closed_names": [net.branch_names[e] for e in np.flatnonzero(changed & configuration.closed)],
        "opened_names": [net.branch_names[e] for e in np.flatnonzero(changed & ~configuration.closed)],
        "operations": plan.operations[t],
        "loss_kw": evaluation.loss_kw,
        "dual_bound_kw": finite(float(plan.step_bound_kw[t])),
        "min_voltage_pu": evaluation.min_voltage_pu,
        "max_loading": evaluation.max_loading if np.isfinite(net.i_max).any() else None,
    }
    if plan.phases:
        step["max_unbalance"] = finite(plan.phases[t].unbalance)
    if plan.settings:
        step |= {"control_changes": plan.changes[t], **settings_to_dict(problem.together, plan.settings[t])}
    return step


def _days(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> list[dict[str, Any]]:
    """Energy lost and operations of each calendar day."""
    if not plan.configurations:
        return []
    day = times.astype("datetime64[D]")
    energy = problem.hours * np.array([e.loss_kw for e in plan.evaluations])
    operations = np.array(plan.operations)
    return [
        {
            "date": str(date),
            "energy_kwh": float(energy[day == date].sum()),
            "operations": int(operations[day == date].sum()),
        }
        for date in np.unique(day)
    ]


def controls_over_time(problem: HorizonProblem, plan: HorizonPlan, times: Times) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table: every control in every step at which something of it changes."""
    net, kw = problem.network, problem.network.base.kw
    head = [
        "time",
        *(f"tap {branch_label(net, tap.branch)}" for tap in problem.controls.taps),
        *(f"capacitor {bus_label(net, bank.bus)} [kvar]" for bank in problem.controls.capacitors),
        *(f"generator {g.id} [kW, kvar]" for g in problem.controls.generators),
    ]
    rows: list[list[str]] = []
    for time, settings in zip(times, plan.settings, strict=True):
        values = [
            *(tap.text(value) for tap, value in zip(problem.controls.taps, settings.taps, strict=True)),
            *(f"{value * kw:.0f}" for value in settings.capacitors),
            *(
                f"{p * kw:.0f}, {q * kw:.0f}" if on else "off"
                for (p, q), on in zip(settings.generators, settings.on, strict=True)
            ),
        ]
        if not rows or values != rows[-1][1:]:
            rows.append([moment(time), *values])
    return head, rows


def comparison(problem: HorizonProblem, plan: HorizonPlan) -> list[tuple[str, str, str, str]]:
    """Rows of text, columns as in :data:`COMPARISON_HEAD`."""

    def saving(other: float | None) -> str:
        if other is None or plan.energy_kwh is None:
            return "–"
        saved = number(other - plan.energy_kwh)
        share = "" if saved == "0" else f" ({percent((other - plan.energy_kwh) / max(other, 1e-12))})"
        return f"{saved} kWh{share}"

    normal = f"{number(plan.normal_kwh, 5)} kWh"
    if plan.normal_violations:
        normal = f"not admissible in {counted(plan.normal_violations, 'step')}"
    rows = [("normal configuration", normal, "0", saving(plan.normal_kwh))]
    if plan.static is not None:
        operations = problem.operations(problem.initial, plan.static)
        energy = f"{number(plan.static_kwh, 5)} kWh"
        rows.append(("best single configuration", energy, str(operations), saving(plan.static_kwh)))
    if plan.configurations:
        rows.append(("plan", f"{number(plan.energy_kwh, 5)} kWh", str(sum(plan.operations)), ""))
    return rows


def proof(plan: HorizonPlan, origin: Origin) -> str:
    """What is proven, in a sentence, and about what."""
    about = f" This holds for {EQUIVALENT} only: the file is unbalanced." if origin.equivalent else ""
    return _proof_of(plan) + about


def _proof_of(plan: HorizonPlan) -> str:
    if not plan.configurations:
        return "There is no plan."
    if plan.certificate is Certificate.NONE or plan.dual_bound_kwh is None or plan.gap is None:
        return "Nothing is proven about other plans."
    holds = "AC losses" if plan.certificate is Certificate.AC else "a model of the power flow"
    above = percent(plan.gap)
    apart = f"{above} above" if above.startswith("less") else f"at most {above} above"
    return (
        f"No plan costs less than {number(plan.dual_bound_kwh, 6)} kWh ({holds}); this one costs "
        f"{number(plan.objective_kwh, 6)} kWh, {apart}."
    )


def move_rows(steps: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """When which switches are closed and opened, a row for each step with operations."""
    return [
        (moment(step["time"]), *(labels(step[key], step[f"{key}_names"]) or "–" for key in ("closed", "opened")))
        for step in steps
        if step["operations"]
    ]


def horizon_table(
    problem: HorizonProblem, plan: HorizonPlan, times: Times, origin: Origin = UNKNOWN_ORIGIN
) -> RenderableType:
    """A summary for the terminal: energies, proof, operations over time."""
    title = f"{problem.network.name}: {plan.status.value}"
    energies = Listing(COMPARISON_HEAD, comparison(problem, plan), (2,), title)
    parts: list[RenderableType] = [energies, Paragraph(proof(plan, origin), "bold")]
    if plan.message:
        parts.append(Paragraph(plan.message))
    parts += paragraphs(isolation_in_words(problem.together))
    moves = [step for step in horizon_to_dict(problem, plan, times)["plan"] if step["operations"]]
    if moves:
        parts.append(Listing(("time", "close", "open"), move_rows(moves), title="switching"))
    if plan.settings:
        head, rows = controls_over_time(problem, plan, times)
        parts.append(Listing(head, rows, range(1, len(head)), "controls, where they change"))
    effort = f"{counted(plan.candidates, 'candidate')}, {counted(plan.rounds, 'round')}, {plan.solve_time_s:.2f} s"
    parts.append(Paragraph(effort, "dim"))
    return with_origin(origin, Group(*parts))
