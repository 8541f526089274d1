"""``solve --export``: the answer in a form that the user's own tool reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from learnopt.errors import UnsupportedError
from learnopt.io.export import Step, network_in_state, opendss_script, pandapower_in_state, pandapower_json
from learnopt.io.files import check_writable, safe_cell, write_atomically, write_text
from learnopt.network import ReconfigurationProblem, Result, Settings
from learnopt.network.names import own_ends
from learnopt.report.configuration.head import BLANK, Head, head_rows
from learnopt.report.configuration.order import operation_to_dict, what
from learnopt.report.configuration.text import settings_to_dict
from learnopt.studies.configuration.switching_order import Action, Operation, PlanState, normal_state, refuse_unsafe

FORMATS = (".json", ".dss", ".csv")


def check_export(path: Path) -> None:
    """Refuse, before anything is solved, a file that could not be written.

    Raises
    ------
    UnsupportedError
        For another ending.
    DataError
        If the folder does not exist.
    """
    if path.suffix.lower() not in FORMATS:
        raise UnsupportedError(f"{path.name}: switch states are written as {', '.join(FORMATS)}")
    check_writable(switch_states=path)


def write_export(
    path: Path,
    source: str,
    problem: ReconfigurationProblem,
    result: Result,
    plan: Sequence[Operation],
    hour: float | None = None,
    head: Head = BLANK,
) -> None:
    """Write the switch states of a result; the ending of the path chooses the format.

    Parameters
    ----------
    source
        What the network was loaded from: a pandapower net is written as one again.
    plan
        Operations from the normal configuration, in order.
    hour
        Of an OpenDSS file: the hour that it was read at.
    head
        Author, time of the data and checked by, on top of the script.
    """
    assert result.configuration is not None, "there is nothing to write without a configuration"
    if result.phases is not None and result.phases.controls:
        raise UnsupportedError("controls that were set phase by phase are in the answer (json), and not exported")
    refuse_unsafe(problem, plan, normal_state(problem))
    net = replace(problem.network, controls=problem.controls)
    settings = result.settings[0] if result.settings else None
    kind, states = path.suffix.lower(), states_after(problem, plan)
    if kind == ".json":
        raw = pandapower_json(source)
        answer = (
            network_in_state(problem.network, result.configuration, problem.controls, settings, states)
            if raw is None
            else pandapower_in_state(raw, net, result.configuration, settings, states, problem.out_of_service)
        )
        text = json.dumps(answer, indent=1, ensure_ascii=False) + "\n"
    elif kind == ".dss":
        about = [f"{name}: {value}" for name, value in head_rows(problem, result, plan, head)]
        steps = [script_step(problem, o) for o in plan]
        text = opendss_script(net, steps, settings, source, hour, about)
    else:
        write_atomically(path, lambda partial: _write_csv(partial, problem, plan, settings))
        return
    write_text(path, text)


def states_after(problem: ReconfigurationProblem, plan: Sequence[Operation]) -> list[bool]:
    """Whether each device of the switchgear is closed at the end of an order."""
    gear = problem.network.switchgear
    states = dict(zip((str(d.id) for d in gear.devices), gear.normal, strict=True))
    for o in plan:
        if o.device is not None:
            states[str(o.device)] = o.action is Action.CLOSE
    return list(states.values())


def script_step(problem: ReconfigurationProblem, operation: Operation) -> Step:
    """A step of the order for a tool: earthing and work on the spot are remarks."""
    o, net = operation, problem.network
    remark = f"step {o.step}, {o.action.value} {what(net, o)}"
    if o.action is Action.EARTH:
        return Step(o.branch, None, remark=remark)
    isolated = o.state is PlanState.ISOLATING and bool(problem.out_of_service[o.branch])
    return Step(o.branch, o.action is Action.CLOSE, o.bus, isolated and o.bus is None, remark)


_CSV = ("step", "action", "manual", "branch", "name", "from", "to", "state", "loss_kw", "min_voltage_pu", "max_loading",
        "customers_interrupted", "interrupted_kw", "reason", "value", "unit", "device", "branch_name", "bus",
        "bus_name", "from_name", "to_name", "transferred_kw", "transferred_customers", "tap_pu")  # fmt: skip


def _write_csv(
    path: Path, problem: ReconfigurationProblem, plan: Sequence[Operation], settings: Settings | None
) -> None:
    """Controls first, as step 0, then the operations."""
    net = problem.network
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _CSV, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in [] if settings is None else _settings_rows(problem, settings):
            writer.writerow({key: safe_cell(value) for key, value in row.items()})
        for o in plan:
            step: dict[str, Any] = operation_to_dict(problem, o)
            start, end = own_ends(net, o.branch)
            ends = {"from": net.bus_ids[start], "to": net.bus_ids[end]}
            ends |= {"from_name": net.bus_names[start], "to_name": net.bus_names[end]}
            writer.writerow({key: safe_cell(value) for key, value in (step | ends).items()})


def _settings_rows(problem: ReconfigurationProblem, settings: Settings) -> list[dict[str, Any]]:
    """A row for every value that is set."""
    found = settings_to_dict(problem, settings)
    net, rows = problem.network, []

    def at_bus(one: dict[str, Any]) -> dict[str, Any]:
        return {"from": one["bus"], "from_name": one["bus_name"], "bus": one["bus"], "bus_name": one["bus_name"]}

    for tap, one in zip(problem.controls.taps, found["taps"], strict=True):
        ends = {"from": net.bus_ids[net.from_bus[tap.branch]], "to": net.bus_ids[net.to_bus[tap.branch]]}
        ends |= {"branch": one["branch"], "branch_name": one["branch_name"], "tap_pu": one["tap_pu"]}
        position = one["position"]
        value = {"value": one["tap_pu"], "unit": "pu"} if position is None else {"value": position, "unit": "position"}
        rows.append({"action": "set tap", **ends, **value})
    for one in found["capacitors"]:
        rows.append({"action": "set capacitor", **at_bus(one), "value": one["kvar"], "unit": "kvar"})
    for one in found["generators"]:
        for key, unit in (("p_kw", "kW"), ("q_kvar", "kvar")):
            name = {"name": one["id"], **at_bus(one)}
            rows.append({"action": "set generator", **name, "value": one[key], "unit": unit})
    return [{"step": 0, **row} for row in rows]
