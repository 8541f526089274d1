"""A result as JSON, as words and as a table for the terminal. Needs no matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from rich.console import Group, RenderableType

from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    LearnedSummary,
    PhaseSetting,
    PhaseSummary,
    ReconfigurationProblem,
    Result,
    RiskSummary,
    Settings,
    Status,
)
from learnopt.network.held import held_to_dicts
from learnopt.network.names import branch_label, bus_label, label, lowest_bus, open_labels, open_names
from learnopt.network.open_ends import open_ends
from learnopt.network.topology import radiality_faults, unfed_buses
from learnopt.network.totals import totals
from learnopt.network.unbalanced import TAPS
from learnopt.physics import evaluate_as_it_is, evaluate_as_operated
from learnopt.physics.balance import balance_index, feeder_currents
from learnopt.report.configuration.gap_curve import gap_story
from learnopt.report.configuration.head import BLANK, Head, head_rows, head_to_dict
from learnopt.report.configuration.order import operation_to_dict, plan_of, plan_table, reasons, travels
from learnopt.report.configuration.staying import staying
from learnopt.report.kit.numbers import finite, number, percent
from learnopt.report.kit.origin import EQUIVALENT, origin_to_dict, with_origin
from learnopt.report.kit.terminal import Listing, Paragraph, paragraphs
from learnopt.studies.configuration.switching_order import Operation, normal_state
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

UNKNOWN_ORIGIN = Origin()
"""Of a network that no file is known of."""
IN_PHASES = "this feeder in all its phases"
THIS_FEEDER = "this feeder"
_OPTIMAL_GAP = 1e-6
"""Relative gap below which a bound counts as reached."""


def proven_bound_kw(result: Result) -> float | None:
    """Dual bound [kW] where a certificate gives it a meaning for the full problem, else None."""
    return None if result.certificate is Certificate.NONE else finite(result.dual_bound_kw)


def initial_evaluation(problem: ReconfigurationProblem, result: Result | None = None) -> Evaluation:
    """AC power flow before reconfiguration, branches out of service open, loops closed where they are.

    Of an answer in all phases that of the same tool.
    """
    if result is not None and result.phases is not None and result.phases.present is not None:
        return result.phases.present
    return evaluate_as_it_is(problem, normal_state(problem))


def rated(problem: ReconfigurationProblem) -> bool:
    """Some branch has an ampacity, so that a loading means something."""
    return bool(np.isfinite(problem.network.i_max).any())


def substations_rated(problem: ReconfigurationProblem) -> bool:
    """Some substation has a rating."""
    net = problem.network
    return bool(np.isfinite(net.substation_s_max).any() or np.any(net.substation_s_min > 0))


def result_to_dict(
    problem: ReconfigurationProblem,
    result: Result,
    plan: list[Operation] | None = None,
    origin: Origin = UNKNOWN_ORIGIN,
    head: Head = BLANK,
) -> dict[str, Any]:
    """The object that ``solve --json`` prints; strict JSON, null for what is not known.

    ``dual_bound_kw`` and ``gap`` are null without a certificate for the full problem, ``max_loading`` without any
    ampacity. ``plan`` is that of :func:`plan_of` where it is not given.
    """
    net, found = problem.network, result.evaluation
    bound = proven_bound_kw(result)
    plan = plan_of(problem, result) if plan is None else plan
    answer: dict[str, Any] = {
        "case": net.name,
        "engine": result.engine,
        "engine_version": result.engine_version,
        "status": result.status.value,
        "message": result.message,
        **origin_to_dict(origin),
        "open_branches": None if result.configuration is None else net.open_ids(result.configuration),
        "open_branch_names": None if result.configuration is None else open_names(net, result.configuration),
        "loss_kw": finite(result.loss_kw),
        "initial_loss_kw": finite(initial_evaluation(problem, result).loss_kw),
        "objective_kw": finite(result.objective_kw),
        "dual_bound_kw": bound,
        "certificate": result.certificate.value,
        "gap": None if bound is None else finite(result.gap),
        "min_voltage_pu": None if found is None else finite(found.min_voltage_pu),
        "max_loading": None if found is None or not rated(problem) else finite(found.max_loading),
        "violations": [] if found is None else list(found.violations),
        "as_operated": operated_to_dict(problem, result),
        "powers": totals(net, problem.scenario).to_dict(),
        "held_limits": held_to_dicts(net, problem.limits),
        "operations": [operation_to_dict(problem, o) for o in plan],
        "leave_as_it_is": bool(staying(problem, result, initial_evaluation(problem, result))),
        "manual_operations": sum(o.manual for o in plan),
        "order": head_to_dict(problem, result, plan, head),
        "nodes": result.nodes,
        "solve_time_s": finite(result.solve_time_s),
        "gap_curve": [asdict(point) for point in result.gap_curve],
        "stage_times_s": {stage: finite(seconds) for stage, seconds in result.stage_times_s.items()},
    }
    if result.settings:
        answer |= settings_to_dict(problem, *result.settings)
    if found is not None and result.configuration is not None and result.phases is None:
        answer |= balance_to_dict(problem, result.configuration, found)
    if result.alternatives:
        answer["alternatives"] = [
            {
                "open_branches": net.open_ids(a.configuration),
                "open_branch_names": open_names(net, a.configuration),
                "loss_kw": a.loss_kw,
                "operations": problem.operations(a.configuration),
            }
            for a in result.alternatives
        ]
        answer["rest_bound_kw"] = finite(result.rest_bound_kw)
    if len(problem.situations) > 1 and found is not None:
        answer["objective"] = problem.objective
        answer["scenarios"] = [
            {"name": s.name, "weight": float(w), "loss_kw": e.loss_kw, "min_voltage_pu": e.min_voltage_pu}
            for s, w, e in zip(problem.situations, problem.weights, found.situations, strict=True)
        ]
        for entry, settings in zip(answer["scenarios"], result.settings, strict=False):
            entry |= settings_to_dict(problem, settings)
    if result.iterations:
        answer["iterations"] = [asdict(iteration) for iteration in result.iterations]
    if result.phases is not None and result.configuration is not None:
        answer["phases"] = phases_to_dict(result.phases)
    if result.risk is not None:
        answer["risk"] = {k: finite(v) if isinstance(v, float) else v for k, v in asdict(result.risk).items()}
    if result.learned is not None:
        learned = asdict(result.learned)
        answer["learned"] = {k: finite(v) if isinstance(v, float) else v for k, v in learned.items()}
    return answer


def phases_to_dict(phases: PhaseSummary) -> dict[str, Any]:
    """What a power flow of all phases says besides loss and lowest voltage, which stand in their own keys."""
    return {
        "tool": phases.tool,
        "lowest_bus": phases.lowest_bus,
        "max_voltage_pu": finite(phases.highest_pu),
        "highest_bus": phases.highest_bus,
        "max_unbalance": finite(phases.unbalance),
        "unbalance_bus": phases.unbalance_bus,
        **({} if phases.flow is None else {"max_return_a": finite(float(np.nanmax(phases.flow.return_a)))}),
        **({"controls": [asdict(one) for one in phases.controls]} if phases.controls else {}),
    }


def settings_to_dict(problem: ReconfigurationProblem, *settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Every control with its value: taps (position, pu), capacitors [kvar at 1 pu], generators [kW, kvar].

    Parameters
    ----------
    settings
        Of one load situation or more: a value that is not the same in all is null.
    """
    each = [_settings_to_dict(problem, one) for one in settings]
    return {
        kind: [
            {key: value if all(one[kind][k][key] == value for one in each) else None for key, value in row.items()}
            for k, row in enumerate(rows)
        ]
        for kind, rows in each[0].items()
    }


def _settings_to_dict(problem: ReconfigurationProblem, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    net, controls = problem.network, problem.controls
    kw = net.base.kw
    return {
        "taps": [
            {
                "branch": net.branch_ids[tap.branch],
                "branch_name": net.branch_names[tap.branch],
                "position": tap.number(value),
                "tap_pu": value,
            }
            for tap, value in zip(controls.taps, settings.taps, strict=True)
        ],
        "capacitors": [
            {"bus": net.bus_ids[bank.bus], "bus_name": net.bus_names[bank.bus], "kvar": round(value * kw, 9)}
            for bank, value in zip(controls.capacitors, settings.capacitors, strict=True)
        ],
        "generators": [
            {
                "id": g.id,
                "bus": net.bus_ids[g.bus],
                "bus_name": net.bus_names[g.bus],
                "on": on,
                "mode": g.mode,
                "p_kw": p * kw,
                "q_kvar": q * kw,
            }
            for g, (p, q), on in zip(controls.generators, settings.generators, settings.on, strict=True)
        ],
    }


def settings_rows(problem: ReconfigurationProblem, *settings: Settings) -> list[tuple[str, str, str]]:
    """Every control with where it is and its value, in words; parameters as of :func:`settings_to_dict`."""
    found = settings_to_dict(problem, *settings)
    varies = "differs between the scenarios"
    rows = [
        (
            "tap changer",
            f"branch {label(tap['branch'], tap['branch_name'])}",
            varies if tap["tap_pu"] is None else control.text(tap["tap_pu"]),
        )
        for tap, control in zip(found["taps"], problem.controls.taps, strict=True)
    ]
    rows += [
        (
            "capacitor bank",
            f"bus {label(bank['bus'], bank['bus_name'])}",
            f"{number(bank['kvar'])} kvar" if bank["kvar"] else "off",
        )
        for bank in found["capacitors"]
    ]
    rows += [
        (
            "generator",
            f"{g['id']} at bus {label(g['bus'], g['bus_name'])}",
            "off"
            if not g["on"]
            else varies
            if None in (g["p_kw"], g["q_kvar"])
            else f"{number(g['p_kw'])} kW, {number(g['q_kvar'])} kvar",
        )
        for g in found["generators"]
    ]
    return rows


def balance_to_dict(
    problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation
) -> dict[str, Any]:
    """Feeder currents by the id of the branch at the head, and their balance index; null without a power flow."""
    net = problem.network
    currents = feeder_currents(net, configuration, evaluation.current_a) if evaluation.converged else None
    return {
        "load_balance_index": balance_index(net, configuration, evaluation),
        "feeder_currents_a": None if currents is None else {str(net.branch_ids[e]): i for e, i in currents.items()},
    }


def pareto_point(problem: ReconfigurationProblem, point: Result) -> dict[str, Any]:
    """One point of the front of loss against operations, as ``solve --pareto --json`` prints it."""
    assert point.configuration is not None
    return {
        "operations": problem.operations(point.configuration),
        "loss_kw": finite(point.loss_kw),
        "dual_bound_kw": proven_bound_kw(point),
        "certificate": point.certificate.value,
        "open_branches": problem.network.open_ids(point.configuration),
        "open_branch_names": open_names(problem.network, point.configuration),
    }


def pareto_rows(
    problem: ReconfigurationProblem, points: Sequence[Result]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of a table of the front of loss against operations."""
    rows: list[tuple[str, ...]] = []
    for point in points:
        one = pareto_point(problem, point)
        bound = "–" if one["dual_bound_kw"] is None else number(one["dual_bound_kw"], 7)
        rows.append((str(one["operations"]), number(one["loss_kw"], 7), bound, one["certificate"]))
    return ("operations", "loss [kW]", "bound [kW]", "proof"), rows


def pareto_table(problem: ReconfigurationProblem, points: Sequence[Result]) -> RenderableType:
    """The front of loss against operations for the terminal."""
    head, rows = pareto_rows(problem, points)
    return Listing(head, rows, (0, 1, 2), "least loss by number of operations")


@dataclass(frozen=True)
class Conclusion:
    """What a result means, in words for people who do not solve such problems every day.

    Parameters
    ----------
    headline
        One short sentence.
    sentences
        What is proven, what is not, and about what.
    good
        A configuration was found.
    """

    headline: str
    sentences: tuple[str, ...]
    good: bool


def verdict(problem: ReconfigurationProblem, result: Result, origin: Origin = UNKNOWN_ORIGIN) -> Conclusion:
    """Status and certificate in words; never claims more than the certificate does, nor about another network."""
    if result.phases is not None:
        return _verdict(problem, result, IN_PHASES)
    if not origin.equivalent:
        return _verdict(problem, result, THIS_FEEDER)
    found = _verdict(problem, result, EQUIVALENT)
    if result.certificate is Certificate.NONE and result.status is not Status.INFEASIBLE:
        about = f"All of this is about {EQUIVALENT}: the file is unbalanced."
        return replace(found, sentences=(about, *found.sentences))
    about = f"Proven for {EQUIVALENT} only: the file is unbalanced, and nothing is proven about its phases."
    headline = f"{found.headline.rstrip('.')} (for the balanced equivalent only)."
    return replace(found, headline=headline, sentences=(about, *found.sentences))


def _verdict(problem: ReconfigurationProblem, result: Result, subject: str) -> Conclusion:
    """The verdict on a network, which ``subject`` names."""
    said = (result.message,) if result.message else ()
    if result.configuration is None:
        headline = {
            Status.INFEASIBLE: "Proven: no configuration satisfies this problem.",
            Status.INTERRUPTED: "Stopped before any configuration was found.",
        }.get(result.status, "No configuration was found within the limits of the run.")
        rest = () if result.status is Status.INFEASIBLE else ("None is excluded either: a longer run may find one.",)
        return Conclusion(headline, said + rest, good=False)

    stopped: tuple[str, ...] = ("The run was stopped before it ended.",) if result.status is Status.INTERRUPTED else ()
    if advice := staying(problem, result, initial_evaluation(problem, result)):
        stopped = (advice, *stopped)
    stopped += _about_loops(problem) + _about_open_ends(problem, result)
    if result.evaluation is not None and result.evaluation.violations:
        stopped += (f"This configuration violates limits ({len(result.evaluation.violations)}).",)
    bound, objective = proven_bound_kw(result), finite(result.objective_kw)
    if bound is None or objective is None:
        return Conclusion(
            "A configuration was found; nothing is proven about better ones.",
            stopped + _unproven(result) + said,
            good=True,
        )
    but_for = ", fixed loops apart," if problem.chords.any() else ""
    whom = f"No radial configuration of {subject}{but_for}{_conditions(problem)}"
    verb = "lose less than" if problem.switching_cost == 0 else "cost less, loss and switching together, than"
    kind = "worst" if problem.worst_case else "weighted mean"
    mean = "" if len(problem.situations) == 1 else f" in the {kind} of {len(problem.situations)} scenarios"
    claim = f"{whom} can {verb} {number(bound, 6)} kW{mean}"
    optimal = result.status is Status.OPTIMAL
    if result.certificate is Certificate.MODEL:
        approximate = (
            f"{claim} in the model that was solved, but those that were found to lose more by AC power flow.",
            "The model approximates the AC power flow, so a configuration with a slightly lower AC loss is not "
            "excluded. The loss of this configuration was computed by an independent AC power flow.",
        )
        headline = "Optimal for a model of the power flow." if optimal else "A bound for a model of the power flow."
        return Conclusion(headline, stopped + approximate + said, good=True)
    excess = max(objective - bound, 0.0)
    share = percent(excess / max(abs(objective), 1e-12))
    if excess <= _OPTIMAL_GAP * abs(objective):
        headline, distance = "Proven optimal.", "to rounding the least possible"
    else:
        headline = (
            f"Proven optimal within {share}." if optimal else f"Proven to be within {share} of the best possible."
        )
        distance = f"at most {number(excess, 3)} kW ({share}) above the best possible"
    this = "loses" if problem.switching_cost == 0 else "costs"
    sentences = (
        f"{claim}.",
        f"This one {this} {number(objective, 6)} kW, {distance}.",
        f"The bound holds for the full AC power flow{'' if subject == THIS_FEEDER else ' of ' + subject}; the loss was "
        "computed by an independent power flow.",
    )
    return Conclusion(headline, stopped + sentences + said, good=True)


def operated(problem: ReconfigurationProblem, result: Result) -> Evaluation | None:
    """The answer with cables opened at one end energised from the other; None where that is no difference."""
    if result.configuration is None or result.phases is not None:  # phases are judged as the file has its switches
        return None
    return evaluate_as_operated(problem.applied(result.settings), result.configuration)


def operated_to_dict(problem: ReconfigurationProblem, result: Result) -> dict[str, Any] | None:
    """The same as JSON, with the branches that are opened at one end."""
    found = operated(problem, result)
    if found is None or result.configuration is None:
        return None
    return open_ends_to_dict(problem, open_ends(problem, result.configuration), found)


def open_ends_to_dict(problem: ReconfigurationProblem, branches: Iterable[int], found: Evaluation) -> dict[str, Any]:
    """What branches that are opened at one end change, as JSON; the lowest voltage is that of what has supply."""
    fed = found.vm[found.vm > 0]
    return {
        "open_at_one_end": [problem.network.branch_ids[e] for e in branches],
        "loss_kw": finite(found.loss_kw),
        "min_voltage_pu": float(fed.min()) if len(fed) else None,
        "max_loading": finite(found.max_loading) if rated(problem) else None,
        "violations": list(found.violations),
    }


def _about_open_ends(problem: ReconfigurationProblem, result: Result) -> tuple[str, ...]:
    """What differs where the order opens one of two switches of a cable."""
    found = operated(problem, result)
    if found is None or result.loss_kw is None:
        return ()
    return (open_ends_in_words(len(open_ends(problem, result.configuration or normal_state(problem))), found),)


def open_ends_in_words(n: int, found: Evaluation) -> str:
    """What branches that are opened at one end change, in a sentence."""
    some = counted(n, "branch that is", "branches that are")
    broken = f", and limits are violated ({len(found.violations)})" if found.violations else ""
    loss = "has no power flow" if not found.converged else f"loses {number(found.loss_kw, 6)} kW{broken}"
    return (
        f"Computed with open branches dead at both ends. The order opens {some} switched at both ends at one of them: "
        f"energised from the other, the feeder {loss}."
    )


def _about_loops(problem: ReconfigurationProblem) -> tuple[str, ...]:
    """Loops that every state has, and those that only the present one has."""
    sentences = []
    if n_fixed := int(problem.chords.sum()):
        some = counted(n_fixed, "fixed loop is", "fixed loops are")
        sentences.append(f"{some} closed in every configuration and computed meshed: radial is meant but for that.")
    present = normal_state(problem).closed
    if (
        not problem.network.by_phase
        and radiality_faults(problem.network, present)
        and not unfed_buses(problem.network, present).any()
    ):
        sentences.append("The present state is not radial: its loss is that of its closed loops.")
    return tuple(sentences)


def _unproven(result: Result) -> tuple[str, ...]:
    """What it means that there is no certificate."""
    learned = result.learned
    if learned is None:
        return ("A configuration with a lower loss may exist: this run gives no bound for the problem.",)
    fixed, kind = learned.fixed_closed + learned.fixed_open, learned_class(learned)
    if not fixed + learned.fixed_devices:
        return (f"No switch was fixed by prediction ({kind}); this run gives no bound for the problem.",)
    devices = learned.fixed_devices + learned.free_devices
    controls = f" and {learned.fixed_devices} of {counted(devices, 'device')}" if devices else ""
    sentences = [
        f"{fixed} of {fixed + learned.free} undecided switches{controls} were fixed by prediction before solving, so "
        "nothing is proven for the full problem: a better configuration may use one that was fixed the other way "
        f"({kind}).",
    ]
    if learned.reduced_bound_kw is not None and math.isfinite(learned.reduced_bound_kw):
        sentences.append(
            f"With those switches fixed, none of the remaining choices is below {number(learned.reduced_bound_kw, 6)} "
            "kW; this bound holds for the reduced problem only."
        )
    return tuple(sentences)


def learned_class(learned: LearnedSummary) -> str:
    """The class whose threshold was used, and the threshold."""
    if learned.threshold is None:
        return f"class {learned.family}: no threshold"
    return f"class {learned.family}: confidence of at least {learned.threshold:.4g}"


def _conditions(problem: ReconfigurationProblem) -> str:
    """Which configurations the bound speaks of."""
    net, limits = problem.network, problem.limits
    wants = []
    if (
        any(problem.voltage_ranges)
        or (limits.ampacity and rated(problem))
        or (limits.substations and substations_rated(problem))
    ):
        wants.append("limits")
    if np.any(problem.locked >= 0) or np.any(~net.switchable):
        wants.append("locked switches")
    if np.any(problem.out_of_service):
        wants.append("outages")
    if problem.max_operations is not None:
        wants.append("cap on operations")
    if not wants:
        return ""
    listed = wants[0] if len(wants) == 1 else ", ".join(wants[:-1]) + " and " + wants[-1]
    return f" that respects the {listed} of this study"


def summary_rows(problem: ReconfigurationProblem, result: Result) -> list[tuple[str, str, str]]:
    """Figures before and after: (name, before, after)."""
    before, after = initial_evaluation(problem, result), result.evaluation

    def pair(name: str, text: Any) -> tuple[str, str, str]:
        shown = [text(e) if e is not None and e.converged else "–" for e in (before, after)]
        return name, shown[0], shown[1]

    net = problem.network

    def lowest(e: Evaluation) -> str:
        return f"{e.min_voltage_pu:.4f} pu (bus {bus_label(net, lowest_bus(net, e.vm))})"

    def highest(e: Evaluation) -> str:
        return f"{100 * e.max_loading:.0f} % (branch {branch_label(net, int(np.argmax(e.loading)))})"

    rows = [pair("loss", lambda e: f"{number(e.loss_kw)} kW"), pair("lowest voltage", lowest)]
    rows.append(pair("highest loading", highest) if rated(problem) else ("highest loading", "–", "–"))
    if (phases := result.phases) is not None and after is not None:
        where = [bus_label(net, net.bus_index[str(bus)]) for bus in (phases.highest_bus, phases.unbalance_bus)]
        rows[1] = ("lowest voltage of a phase", *rows[1][1:])
        rows.append(("highest voltage of a phase", "–", f"{phases.highest_pu:.4f} pu (bus {where[0]})"))
        rows.append(("voltage unbalance", "–", f"{100 * phases.unbalance:.2f} % (bus {where[1]})"))
    counted = before.converged and result.phases is None
    loops = len(radiality_faults(net, normal_state(problem).closed)) if counted else 0
    # Without a power flow its sentences are reasons why there is none, and no limits.
    violated = "–" if after is None else str(len(after.violations))
    broken = str(len(before.violations) - loops) if before.converged or result.phases is not None else "–"
    return [*rows, ("limits violated", broken, violated)]


def _risk_table(risk: RiskSummary) -> Listing:
    """What uncertainty costs."""
    values = (
        ("expected loss", risk.expected_kw),
        ("conditional value at risk", risk.cvar_kw),
        ("worst loss", risk.worst_kw),
        ("price of robustness", risk.price_of_robustness_kw),
        ("value of the stochastic solution", risk.stochastic_solution_kw),
        ("expected value of perfect information", risk.perfect_information_kw),
    )
    rows = [(name, number(value, 5)) for name, value in values]
    return Listing(("", "kW"), rows, (1,), f"over the scenarios (least {risk.measure})")


def _position(setting: PhaseSetting) -> str:
    unit = "pu" if setting.kind == TAPS else "kvar"
    return f"{setting.position} ({setting.value:.5g} {unit})"


def result_table(
    problem: ReconfigurationProblem,
    result: Result,
    plan: list[Operation] | None = None,
    origin: Origin = UNKNOWN_ORIGIN,
    head: Head = BLANK,
) -> RenderableType:
    """A summary for the terminal: figures before and after, verdict, switching plan (:func:`plan_of` if not given)."""
    net = problem.network
    words = verdict(problem, result, origin)
    title = f"{net.name}: {result.status.value}"
    figures = Listing(("", "before", "after"), summary_rows(problem, result), title=title)
    parts: list[RenderableType] = [figures, Paragraph(words.headline, "bold"), *paragraphs(words.sentences)]
    if result.configuration is not None:
        ids = ", ".join(open_labels(net, result.configuration))
        parts.append(Paragraph(f"open branches: {ids}"))
        if result.settings:
            settings = settings_rows(problem, *result.settings)
            title = "controls, set before the first step"
            parts.append(Listing(("control", "where", "setting"), settings, title=title))
        if result.phases is not None and (set_by_phase := result.phases.controls):
            moved = [(one.element, one.phases, str(one.before), _position(one)) for one in set_by_phase]
            title = "controls, set before the first step"
            parts.append(Listing(("control", "phases", "before", "setting"), moved, title=title))
        operations = plan_of(problem, result) if plan is None else plan
        if operations:
            parts += [plan_table(net, operations), *paragraphs([*reasons(operations), *travels(net, operations)])]
            rows = head_rows(problem, result, operations, head)[1:]
            parts += paragraphs(f"{name}: {value}" for name, value in rows)
            if result.phases is not None and plan is None:
                parts.append(Paragraph(f"Figures of the steps are those of {EQUIVALENT}."))
    if result.alternatives:
        ranked = [
            (
                str(rank),
                number(a.loss_kw, 7),
                str(problem.operations(a.configuration)),
                ", ".join(open_labels(net, a.configuration)),
            )
            for rank, a in enumerate(result.alternatives, 1)
        ]
        columns = ("rank", "loss [kW]", "operations", "open branches")
        parts.append(Listing(columns, ranked, (0, 1, 2), "best configurations"))
    if result.risk is not None:
        parts.append(_risk_table(result.risk))
    if story := gap_story(result.gap_curve):
        parts.append(Paragraph(story, "dim"))
    parts.append(Paragraph(f"{result.engine} {result.engine_version}, {result.solve_time_s:.2f} s", "dim"))
    return with_origin(origin, Group(*parts))
