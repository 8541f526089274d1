"""The switching order in words, as JSON and as a table: what is done, by whom, and what it leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from learnopt.network import Network, ReconfigurationProblem, Result
from learnopt.report.kit.numbers import finite, number
from learnopt.studies.configuration.switching_order import (
    Operation,
    Paralleling,
    PlanState,
    normal_state,
    switching_plan,
)

_PLACES = 12
"""Places of a crew that are listed."""


def plan_of(
    problem: ReconfigurationProblem, result: Result, paralleling: Paralleling = Paralleling.ALLOWED
) -> list[Operation]:
    """Operations from the normal configuration to the result, controls set first; empty without a configuration."""
    if result.configuration is None:
        return []
    applied = problem.applied(result.settings)
    return switching_plan(applied, normal_state(problem), result.configuration, paralleling)


def operation_to_dict(problem: ReconfigurationProblem, operation: Operation) -> dict[str, Any]:
    """One step of the switching plan as JSON; null for what is not known."""
    return {
        "step": operation.step,
        "branch": operation.branch_id,
        "name": operation.name,
        "action": operation.action.value,
        "manual": operation.manual,
        "state": operation.state.value,
        "loss_kw": finite(operation.loss_kw),
        "min_voltage_pu": finite(operation.min_voltage_pu),
        "max_loading": finite(operation.max_loading),
        "customers_interrupted": operation.customers,
        "interrupted_kw": operation.interrupted_kw,
        "interrupted_buses": [problem.network.bus_ids[k] for k in operation.unfed],
        "reason": operation.reason,
    }


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
        place = f"{o.name or o.branch_id} ({net.bus_ids[net.from_bus[o.branch]]} – {net.bus_ids[net.to_bus[o.branch]]})"
        if not places or places[-1] != place:
            places.append(place)
    route = ", then ".join(places[:_PLACES]) + (f", and {len(places) - _PLACES} more" if len(places) > _PLACES else "")
    numbers = ", ".join(str(o.step) for o in steps)
    s, places_s = ("" if len(steps) == 1 else "s"), ("" if len(places) == 1 else "s")
    return [
        f"{len(steps)} of {len(operations)} steps by a crew on the spot (step{s} {numbers}), {len(places)} "
        f"place{places_s} in this order: {route}."
    ]


def reasons(operations: Sequence[Operation]) -> list[str]:
    """Sentences on the steps whose order is not the usual one."""
    return [f"Step {o.step}: {o.reason}." for o in operations if o.reason]


def state_after(operation: Operation) -> str:
    """The state after an operation in words, with its loss."""
    loss = "no power flow solution" if operation.loss_kw is None else f"{number(operation.loss_kw)} kW"
    words = {
        PlanState.RADIAL: loss,
        PlanState.LOOPED: "loop closed",
        PlanState.RESTORING: "restoring supply",
        PlanState.INTERRUPTED: f"{interrupted(operation)} without supply",
    }
    return words[operation.state]


def interrupted(operation: Operation) -> str:
    """Who is without supply after an operation: customers where they are known, else load."""
    if operation.customers is not None:
        return f"{operation.customers} customer{'' if operation.customers == 1 else 's'}"
    return f"{number(operation.interrupted_kw)} kW"


def plan_table(operations: list[Operation]) -> Table:
    """The switching plan for the terminal; loadings where they are known."""
    loaded = any(o.max_loading is not None for o in operations)
    named = any(o.name for o in operations)
    crew = any(o.manual for o in operations)
    head = [
        "step",
        "branch",
        *(["device"] if named else []),
        "action",
        *(["by"] if crew else []),
        "loss after",
        "lowest voltage",
    ]
    table = Table(title="switching plan", title_justify="left")
    for column in [*head, *(["highest loading"] if loaded else [])]:
        left = column in ("branch", "device", "action", "by")
        table.add_column(column, justify="left" if left else "right")
    for o in operations:
        row = [str(o.step), str(o.branch_id), *([o.name] if named else []), o.action.value]
        row += [*([operated_by(o)] if crew else []), state_after(o)]
        row.append("–" if o.min_voltage_pu is None else f"{o.min_voltage_pu:.4f} pu")
        if loaded:
            row.append("–" if o.max_loading is None else f"{100 * o.max_loading:.0f} %")
        table.add_row(*map(Text, row))
    return table
