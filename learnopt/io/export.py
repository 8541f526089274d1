"""Switch states back into the tool they came from: pandapower nets, OpenDSS scripts, case files.

==============  =====================================================================================================
pandapower      the net as it was read, with the devices of the switching order moved; equipment that the scenario
                takes out of service is so in the net, too. SimBench nets lose their profiles
OpenDSS         taps (regulators are switched off, else they would move them again), capacitors and generators first,
                then ``open`` and ``close`` commands in switching order. Of a master file each switch opens at the
                terminal where it acts and closes wherever it is open; ties to a bus ``NAME_OPEN`` are joined to bus
                ``NAME``. Of other files an element is ``Line.`` or ``Transformer.`` and the name of the branch, its id
                where it has none; an id that starts with its class is taken as it is
case file       ``normally_open`` is the new state, nominal loads stay; taps have their new ratio, capacitors that were
                set are shunts and generators that were set are negative load, and both are no controls any more
CSV             the steps, and before them the controls with their values (:mod:`learnopt.report.configuration.export`)
==============  =====================================================================================================
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from learnopt.errors import DataError
from learnopt.io.case_json import network_to_dict, read_json
from learnopt.io.opendss.tool import switching_commands, tap_windings
from learnopt.io.pandapower.cells import Cell, changed_cells
from learnopt.io.pandapower.reader import pandapower_net
from learnopt.io.pandapower.simbench import simbench_net
from learnopt.io.pandapower.tables import is_pandapower_json, tables_of_json
from learnopt.io.stations import equipment
from learnopt.network import Bools, Configuration, Controls, Network, Settings
from learnopt.network.names import branch_label, ends_label

_CLASSES = ("line.", "transformer.", "reactor.")
"""Ids that start like this are names of OpenDSS."""
_QUOTES = (("'", "'"), ('"', '"'), ("{", "}"), ("[", "]"), ("(", ")"))
"""What OpenDSS accepts around a name with blanks."""


class Step(NamedTuple):
    """One step of a switching order as a tool carries it out.

    Parameters
    ----------
    branch, close
        What is switched, True to close and False to open; None for a step that is no switching, a remark only.
    bus
        Index of the bus at whose end the device stands; None = the branch itself is the device.
    both
        Part the branch from both its buses: it is out of service.
    remark
        The step in words.
    """

    branch: int
    close: bool | None
    bus: int | None = None
    both: bool = False
    remark: str = ""


def network_in_state(
    network: Network,
    configuration: Configuration,
    controls: Controls | None = None,
    settings: Settings | None = None,
    states: Sequence[bool] | None = None,
) -> dict[str, Any]:
    """The case file of a network whose normal state is this configuration with these settings of its controls.

    Capacitors and generators that are set become part of the network, and are left out of its controls.

    Parameters
    ----------
    states
        Whether each device of the switchgear is closed; None = as its rules have it.
    """
    network = network.in_state(configuration, states)
    if controls is None or settings is None:
        return network_to_dict(network)
    ratio, b_shunt = network.ratio.copy(), network.b_shunt.copy()
    p_load, q_load = network.p_load.copy(), network.q_load.copy()
    for tap, value in zip(controls.taps, settings.taps, strict=True):
        ratio[tap.branch] = 1.0 / value
    for bank, value in zip(controls.capacitors, settings.capacitors, strict=True):
        b_shunt[bank.bus] += value
    for generator, (p, q) in zip(controls.generators, settings.generators, strict=True):
        p_load[generator.bus] -= p
        q_load[generator.bus] -= q
    left = replace(
        network.controls,
        capacitors=() if controls.capacitors else network.controls.capacitors,
        generators=() if controls.generators else network.controls.generators,
    )
    return network_to_dict(replace(network, ratio=ratio, b_shunt=b_shunt, p_load=p_load, q_load=q_load, controls=left))


def pandapower_json(source: str) -> dict[str, Any] | None:
    """What ``pandapower.to_json`` writes of the net that a source (as for :func:`load`) names; None if it is no net."""
    for prefix, read in (("simbench:", simbench_net), ("pandapower:", pandapower_net)):
        if source.startswith(prefix):
            import pandapower

            net = read(source.removeprefix(prefix))
            net.pop("profiles", None)
            parsed: dict[str, Any] = json.loads(pandapower.to_json(net))
            return parsed
    path = Path(source)
    raw = read_json(path) if path.suffix.lower() == ".json" and path.is_file() else None
    return raw if is_pandapower_json(raw) else None


def pandapower_in_state(
    raw: Mapping[str, Any],
    network: Network,
    configuration: Configuration,
    settings: Settings | None = None,
    states: Sequence[bool] | None = None,
    out_of_service: Bools | None = None,
) -> dict[str, Any]:
    """A parsed net with the switches of a configuration, and the taps of settings where there are some.

    Parameters
    ----------
    raw
        The file that ``network`` was read from; it is not changed.
    states
        Whether each device of the switchgear is closed; None = as its rules have it.
    out_of_service
        bool, shape (n_branch,): branches that are out of service in the net, too.
    """
    net = copy.deepcopy(dict(raw))
    if isinstance(net["_object"], str):
        net["_object"] = json.loads(net["_object"])
    tables = tables_of_json(net, network.name)
    for kind, cells in changed_cells(tables, network, configuration, settings, out_of_service, states).items():
        _change(net["_object"][kind], cells)
    return net


def _change(table: dict[str, Any], cells: Iterable[Cell]) -> None:
    """Set cells of a table in the layout ``split``."""
    text = isinstance(table["_object"], str)
    body = json.loads(table["_object"]) if text else table["_object"]
    row_of = {str(index): row for row, index in enumerate(body["index"])}
    for cell in cells:
        if cell.column not in body["columns"]:
            body["columns"].append(cell.column)
            for row in body["data"]:
                row.append(True)  # of in_service and closed, the flags that a net may leave out
        body["data"][row_of[cell.index]][body["columns"].index(cell.column)] = cell.value
    table["_object"] = json.dumps(body) if text else body


def opendss_script(
    network: Network,
    steps: Iterable[tuple[Any, ...]],
    settings: Settings | None = None,
    source: str | Path = "",
    hour: float | None = None,
    about: Sequence[str] = (),
) -> str:
    """Commands for OpenDSS, controls first, then in the order of the steps.

    Parameters
    ----------
    steps
        The order, each as a :class:`Step` or the first of its values.
    settings
        Values of the controls of ``network``, in their order.
    source, hour
        What the network was read from: in a master file of OpenDSS itself, taps are those of its windings, and switches
        act at their own terminals.
    about
        Lines to stand on top, as comments.

    Raises
    ------
    DataError
        Listing names that OpenDSS cannot read in any quotes.
    """
    bad: list[str] = []
    lines = [f"! {_one_line(network.name)}: switching order", *(f"! {_one_line(line)}" for line in about)]
    if settings is not None:
        lines += _dss_settings(network, settings, source, hour, bad)
    asked = [Step(*given) for given in steps]
    own = Path(source).suffix.lower() == ".dss"
    moved = [(step.branch, step.close) for step in asked if step.close is not None and not step.both]
    known = iter(switching_commands(Path(source), network, moved, hour) if own and moved else [[]] * len(moved))
    for step in asked:
        elements = _dss_elements(network, step.branch)
        commands = [] if step.close is None or step.both else next(known)
        if elements is None:
            bad.append(
                f"branch {network.branch_ids[step.branch]!r}: OpenDSS can read no such name: give it a plain one"
            )
            continue
        note = _one_line(
            step.remark or f"branch {branch_label(network, step.branch)}: {ends_label(network, step.branch)}"
        )
        if step.close is None:
            lines.append(f"! {note}")
            continue
        command = "close" if step.close else "open"
        terminals = (1, 2) if step.both else (_terminal(network, step),)
        commands = commands or [f"{command} {element} term={t}" for element in elements for t in terminals]
        lines += [f"{one}  ! {note}" for one in commands]
    if bad:
        raise DataError("OpenDSS script", bad)
    return "\n".join(lines) + "\n"


def _terminal(network: Network, step: Step) -> int:
    """Terminal of an element at which a step switches: the first, unless its device stands at the other."""
    e = step.branch
    behind = network.switchgear.behind.get(e)
    if behind is not None:
        loose = {int(network.from_bus[e]), int(network.to_bus[e])}
        return 1 if int(network.from_bus[behind]) in loose else 2
    return 2 if step.bus is not None and step.bus == network.to_bus[e] else 1


def _dss_settings(
    network: Network, settings: Settings, source: str | Path, hour: float | None, bad: list[str]
) -> list[str]:
    """Commands that set the controls; names that cannot be written are added to ``bad``."""
    controls, kw, lines = network.controls, network.base.kw, []
    own = Path(source).suffix.lower() == ".dss"
    windings = tap_windings(Path(source), network, settings, hour) if own and controls.taps else {}
    for tap, value in zip(controls.taps, settings.taps, strict=True):
        branch = network.branch_ids[tap.branch]
        elements = _dss_elements(network, tap.branch)
        if elements is None:
            bad.append(f"branch {branch!r}: OpenDSS can read no such name: give it a plain one")
            continue
        note = _one_line(f"tap of branch {branch}: {tap.text(value)}")
        for element, part in zip(elements, equipment(str(branch)) if own else elements, strict=True):
            winding, position = windings.get(part, (2, value))
            lines.append(f"edit {element} wdg={winding} tap={position:.12g}  ! {note}")
    if lines:
        lines.insert(0, "set controlmode=off  ! regulators would move the taps again")
    for kind, place, p, q in (
        *(("Capacitor", bank.bus, 0.0, v) for bank, v in zip(controls.capacitors, settings.capacitors, strict=True)),
        *(("Generator", g.bus, p, q) for g, (p, q) in zip(controls.generators, settings.generators, strict=True)),
    ):
        if p == 0 == q:
            continue
        bus = _quoted(str(network.bus_ids[place]))
        if bus is None:
            bad.append(f"bus {network.bus_ids[place]!r}: OpenDSS can read no such name: give it a plain one")
            continue
        power = f"kvar={q * kw:.12g}" if kind == "Capacitor" else f"kw={p * kw:.12g} kvar={q * kw:.12g} model=1"
        name = f"{kind}.learnopt_{len(lines)}"
        lines.append(f"new {name} bus1={bus} phases=3 kv={network.kv[place]:.12g} {power}")
    return lines


def _one_line(text: str) -> str:
    """A comment must not end early."""
    text = text.replace("–", "-")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _dss_elements(network: Network, e: int) -> list[str] | None:
    """Elements of a branch; None where a name cannot be written. ``line.a + line.b`` is what the reader joined."""
    name = str(network.branch_ids[e])
    if name.lower().startswith(_CLASSES):
        quoted = [_quoted(part) for part in name.split(" + ")]
    else:
        start, end = network.kv[network.from_bus[e]], network.kv[network.to_bus[e]]
        kind = "Transformer" if network.ratio[e] != 1 or start != end else "Line"
        quoted = [_quoted(f"{kind}.{network.branch_names[e] or name}")]
    return None if None in quoted else [part for part in quoted if part is not None]


def _quoted(name: str) -> str | None:
    """A name as OpenDSS reads it, None where no quotes help."""
    if not name.isprintable():
        return None
    if all(c.isalnum() or c in "._-:+/#" for c in name):
        return name
    return next((f"{left}{name}{right}" for left, right in _QUOTES if left not in name and right not in name), None)
