"""The switching order in words, as JSON and as a table: what is done, by whom, and what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from learnopt.network import Network, ReconfigurationProblem, Result
from learnopt.network.names import branch_label, bus_label, ends_label
from learnopt.physics import evaluate_transition
from learnopt.physics.phase_judge import PhaseJudge
from learnopt.report.kit.numbers import finite, number
from learnopt.report.kit.terminal import Listing
from learnopt.studies.configuration.switching_order import (
    Judge,
    Operation,
    Paralleling,
    PlanState,
    normal_state,
    switching_plan,
)
from learnopt.wording import agreeing, counted

ISOLATION_NOTE = (
    "What is out of service is isolated first: every device around it is opened and secured against closing, then it "
    "is earthed. Whatever protection has tripped stays open until then."
)
"""Said wherever an order begins by isolating."""
_THEN = "then: loss; lowest voltage, loading"
_PLACES = 12
"""Places of a crew that are listed."""
_BUSES = 24
"""Buses without supply that a row names."""


def plan_of(
    problem: ReconfigurationProblem,
    result: Result,
    paralleling: Paralleling = Paralleling.ALLOWED,
    judge: Judge | None = None,
) -> list[Operation]:
    """Operations from the normal configuration to the result, controls set first; empty without a configuration.

    Parameters
    ----------
    judge
        Computes the states on the way, where the answer is one in all phases: without it their figures are not known.
    """
    if result.configuration is None:
        return []
    if judge is None:
        judge = evaluate_transition if result.phases is None else PhaseJudge()
    applied = problem.applied(result.settings)
    return switching_plan(applied, normal_state(problem), result.configuration, paralleling, judge)


def operation_to_dict(problem: ReconfigurationProblem, operation: Operation) -> dict[str, Any]:
    """One step of the switching plan as JSON; null for what is not known, and for the branch where a bus is earthed."""
    net = problem.network
    return {
        "step": operation.step,
        "branch": None if operation.on_bus else operation.branch_id,
        "branch_name": None if operation.on_bus else net.branch_names[operation.branch],
        "name": operation.name,
        "device": operation.device,
        "bus": None if operation.bus is None else net.bus_ids[operation.bus],
        "bus_name": None if operation.bus is None else net.bus_names[operation.bus],
        "action": operation.action.value,
        "manual": operation.manual,
        "state": operation.state.value,
        "loss_kw": finite(operation.loss_kw),
        "min_voltage_pu": finite(operation.min_voltage_pu),
        "max_loading": finite(operation.max_loading),
        "customers_interrupted": operation.customers,
        "interrupted_kw": operation.interrupted_kw,
        "interrupted_buses": [net.bus_ids[k] for k in operation.unfed],
        "transferred_kw": finite(operation.transferred_kw),
        "transferred_customers": operation.transferred_customers,
        "reason": operation.reason,
        "violations": list(operation.violations),
    }


def what(net: Network, operation: Operation) -> str:
    """What a step operates: the device by its name, and where it stands."""
    o = operation
    if o.bus is not None and o.on_bus:
        return f"bus {bus_label(net, o.bus)}"
    if o.bus is not None:
        device = branch_label(net, o.branch) if o.device is None else o.name or str(o.device)
        return f"{device} at {bus_label(net, o.bus)}"
    named = branch_label(net, o.branch)
    return named if net.branch_names[o.branch] else f"{named}: {ends_label(net, o.branch)}"


def operated_by(operation: Operation) -> str:
    """Who carries out an operation."""
    return "crew" if operation.manual else "remote"


def travels(net: Network, operations: Sequence[Operation]) -> list[str]:
    """What a crew has to know: the steps it carries out, and its places in their order; empty without such steps."""
    steps = [o for o in operations if o.manual]
    if not steps:
        return []
    places: list[str] = []
    for o in steps:
        place = what(net, o)
        if not places or places[-1] != place:
            places.append(place)
    route = ", then ".join(places[:_PLACES]) + (f", and {len(places) - _PLACES} more" if len(places) > _PLACES else "")
    numbers = ", ".join(str(o.step) for o in steps)
    return [
        f"{len(steps)} of {counted(len(operations), 'step')} by a crew on the spot ({agreeing(len(steps), 'step')} "
        f"{numbers}), {counted(len(places), 'place')} in this order: {route}."
    ]


def reasons(operations: Sequence[Operation]) -> list[str]:
    """Sentences on the steps whose order is not the usual one."""
    isolated = [ISOLATION_NOTE] if any(o.state is PlanState.ISOLATING for o in operations) else []
    return [*isolated, *(f"Step {o.step}: {o.reason}." for o in operations if o.reason), *limits_passed(operations)]


def limits_passed(operations: Sequence[Operation]) -> list[str]:
    """A sentence on the steps after which a limit is broken; empty where every state keeps them all."""
    broken = [o for o in operations if o.violations]
    if not broken:
        return []
    more = len(broken[0].violations) - 1
    others = f", and {more} more" if more else ""
    return [
        f"Limits are passed on the way, after {agreeing(len(broken), 'step')} "
        f"{', '.join(str(o.step) for o in broken)}; after step {broken[0].step}: {broken[0].violations[0]}{others}."
    ]


def state_after(operation: Operation) -> str:
    """The state after an operation in words, with its loss."""
    loss = "no power flow solution" if operation.loss_kw is None else f"{number(operation.loss_kw)} kW"
    dark = f"{interrupted(operation)} without supply"
    words = {
        PlanState.RADIAL: loss,
        PlanState.LOOPED: "loop closed",
        PlanState.ISOLATING: f"isolating; {dark}" if operation.unfed else "isolating",
        PlanState.RESTORING: f"restoring; {dark}",
        PlanState.INTERRUPTED: dark,
    }
    return words[operation.state]


def transferred(operation: Operation) -> str:
    """Load and customers whose supply the step changes; a dash where there are none."""
    o = operation
    if not o.transferred_kw and not o.transferred_customers:
        return "–"
    people = "" if o.transferred_customers is None else f", {_customers(o.transferred_customers)}"
    return f"{number(o.transferred_kw)} kW{people}"


def _customers(count: int) -> str:
    return counted(count, "customer")


def interrupted(operation: Operation) -> str:
    """Who is without supply after an operation: customers where they are known, else load."""
    if operation.customers is not None:
        return _customers(operation.customers)
    return f"{number(operation.interrupted_kw)} kW"


def step_rows(net: Network, steps: Sequence[Operation]) -> tuple[list[str], list[list[str]]]:
    """The steps as a table for a page: heads of the columns that say something, and a row for each step."""
    loaded = any(o.max_loading is not None for o in steps)
    crew = any(o.manual for o in steps)
    dark = any(o.unfed for o in steps)
    head = ["step", "action", *(["by"] if crew else []), "what", "transfers", "state after", "lowest voltage"]
    head += [*(["highest loading"] if loaded else []), *(["loaded buses without supply"] if dark else [])]
    rows: list[list[str]] = []
    unfed = ""
    for o in steps:
        row = [str(o.step), o.action.value, *([operated_by(o)] if crew else []), what(net, o), transferred(o)]
        row += [state_after(o), "–" if o.min_voltage_pu is None else f"{o.min_voltage_pu:.4f} pu"]
        if loaded:
            row.append("–" if o.max_loading is None else f"{100 * o.max_loading:.0f} %")
        if dark:
            more = " …" if len(o.unfed) > _BUSES else ""
            named = ", ".join(bus_label(net, k) for k in o.unfed[:_BUSES]) + more
            row.append("as before" if named and named == unfed else named or "none")
            unfed = named
        rows.append(row)
    return head, rows


def plan_table(net: Network, operations: list[Operation]) -> Listing:
    """The switching plan for the terminal: what is done, and what is then; readable in 80 columns."""
    rows = []
    crew = any(o.manual for o in operations)
    for o in operations:
        who = f" ({operated_by(o)})" if crew else ""
        then = [state_after(o)]
        if o.min_voltage_pu is not None:
            loading = "" if o.max_loading is None else f", {100 * o.max_loading:.0f} %"
            then.append(f"{o.min_voltage_pu:.4f} pu{loading}")
        if o.transferred_kw or o.transferred_customers:
            then.append(f"moves {transferred(o)}")
        rows.append((str(o.step), f"{o.action.value}{who} {what(net, o)}", "; ".join(then)))
    return Listing(("step", "do", _THEN), rows, (0,), "switching plan")
