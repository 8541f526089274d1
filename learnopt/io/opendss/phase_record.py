"""A master file with its phases as a case file: kept only where the circuit that is written of it has the same loss.

Everything is read from the engine in the present state: matrices of lines from their primitive admittances, loads at
the power that OpenDSS gives them, shunts as admittances. What a case file has no word for is named, and nothing is
written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import admittance, each, terminals
from learnopt.io.opendss.exported import ExportedTool
from learnopt.io.opendss.loads import PRODUCERS, is_shunt, rated_power, voltage_shares
from learnopt.io.opendss.setting import set_switches
from learnopt.io.opendss.tool import OpenDSSTool
from learnopt.io.stations import equipment
from learnopt.network import Network
from learnopt.network.phase_data import ABC
from learnopt.network.switchgear import BEHIND

WITHIN = 1e-4
"""Relative difference of the losses of the file and of what was written of it."""
_ROUNDING = 1e-9


class UnwrittenPhasesError(Exception):
    """Why a file cannot be written with its phases, in words."""


def case_in_phases(network: Network, tool: OpenDSSTool) -> Network:
    """The network of a master file with its phases, to be written.

    Parameters
    ----------
    network
        What was read from it, every switch operable.
    tool
        The file.

    Raises
    ------
    UnwrittenPhasesError
        Naming what has no word in a case file, or the losses that differ.
    """
    case = network_to_dict(replace(network, phases=None))
    at = {str(bus): k for k, bus in enumerate(network.bus_ids)}
    with tool.opened() as dss:
        case["loads"], case["generation"] = [], []
        for bus in case["buses"]:
            for key in ("p_kw", "q_kvar", "p_gen_kw", "q_gen_kvar", "shunt_p_kw", "shunt_q_kvar"):
                bus.pop(key, None)
        for name, record, feeds in _injections(dss, network, at):
            if str(record["bus"]) not in at:
                raise UnwrittenPhasesError(f"{name} is at bus {record['bus']}, which is part of another one")
            case["generation" if feeds else "loads"].append(record)
        set_switches(dss, network, np.ones(network.n_branch, dtype=bool))
        dss.Solution.BuildYMatrix(0, 0)  # to be read only
        for e, branch in enumerate(case["branches"]):
            for key in ("r_ohm", "x_ohm", "b_us", "g_us", "ratio", "shift_deg"):
                branch.pop(key, None)
            branch |= _branch(dss, network, e) | {"switchable": bool(network.operable_in_phases[e])}
    case["taps"], case["capacitors"], case["generators"] = [], [], []
    try:
        made = network_from_dict(case, network.name)
    except DataError as error:
        raise UnwrittenPhasesError(error.violations[0]) from None
    ours = ExportedTool(made).state(made, made.normal_configuration)
    theirs = tool.state(network, network.normal_configuration).loss_kw
    if not ours.converged or not abs(ours.loss_kw / theirs - 1) <= WITHIN:
        raise UnwrittenPhasesError(
            f"written with them it would lose {ours.loss_kw:.7g} kW, the file loses {theirs:.7g} kW"
        )
    return made


def _branch(dss: Any, network: Network, e: int) -> dict[str, Any]:
    """Phases of one branch, all of whose switches are closed."""
    name = str(network.branch_ids[e])
    parts = [part.removesuffix(BEHIND) for part in equipment(name)]
    if any(dss.Circuit.SetActiveElement(part) < 0 for part in parts):
        raise UnwrittenPhasesError(f"{name} is part of an element only")
    if parts[0].startswith("transformer."):
        return _transformer(dss, network, e, parts)
    z: dict[tuple[str, str], complex] = {}
    b: dict[tuple[str, str], float] = {}
    for part in parts:
        dss.Circuit.SetActiveElement(part)
        (_, tail), *others = terminals(dss)[: 1 if part.startswith("vsource.") else 2]
        y = admittance(dss)
        size = len(tail)
        live = [k for k in range(size) if 1 <= tail[k] <= 3]
        if others and (list(others[0][1]) != list(tail) or any(n > 3 for n in tail)):
            raise UnwrittenPhasesError(f"{part} exchanges phases, or has a conductor beyond them")
        series = -y[:size, size:] if others else y[:size, :size]
        impedance = np.linalg.inv(series[np.ix_(live, live)])
        shunt = (y[:size, :size] - series)[np.ix_(live, live)].imag * 2e6 if others else np.zeros((len(live),) * 2)
        phases = [ABC[tail[k] - 1] for k in live]
        for i, p in enumerate(phases):
            for j, q in enumerate(phases):
                z[p, q], b[p, q] = complex(impedance[i, j] + impedance[j, i]) / 2, float(shunt[i, j] + shunt[j, i]) / 2
    letters = "".join(p for p in ABC if (p, p) in z)
    record: dict[str, Any] = {"phases": letters}
    if network.r[e] == 0 == network.x[e]:  # the switch of a line that stays energised behind it
        return record | {"r_ohm": 0.0, "x_ohm": 0.0}
    r, x = ({pair: getattr(one, part) for pair, one in z.items()} for part in ("real", "imag"))
    for key, values in (("r_matrix_ohm", r), ("x_matrix_ohm", x), ("b_matrix_us", b)):
        record[key] = [[values.get((p, q), 0.0) for q in letters] for p in letters]
    largest = max(abs(v) for row in record["b_matrix_us"] for v in row)
    if largest < _ROUNDING:
        del record["b_matrix_us"]
    if math.isfinite(network.i_max[e]):
        record["ampacity_a"] = float(network.i_max[e] * network.i_base[e]) * 3 / len(letters)
    return record


def _transformer(dss: Any, network: Network, e: int, parts: list[str]) -> dict[str, Any]:
    """Phases of a transformer of two windings, or of single-phase units side by side."""
    base = float(network.kv[network.from_bus[e]]), float(network.kv[network.to_bus[e]])
    ratio: dict[str, float] = {}
    impedances, iron, sides = [], [], set()
    for part in parts:
        dss.Circuit.SetActiveElement(part)
        dss.Transformers.Name(part.partition(".")[2])
        if dss.Transformers.NumWindings() != 2:
            raise UnwrittenPhasesError(f"{part} has {dss.Transformers.NumWindings()} windings")
        ends, n = terminals(dss), dss.CktElement.NumPhases()
        volts, r, letters, delta = [], 0.0, [], []
        for w in (1, 2):
            dss.Transformers.Wdg(w)
            volts.append(dss.Transformers.kV() * dss.Transformers.Tap() * (1 if n > 1 else math.sqrt(3)))
            r += dss.Transformers.R() / 100
            nodes = [int(node) for node in ends[w - 1][1]]
            delta.append(bool(dss.Transformers.IsDelta()))
            grounded = len(nodes) > n and nodes[n] == 0
            if not delta[-1] and (not grounded or (n == 1 and not 1 <= nodes[0] <= 3)):
                raise UnwrittenPhasesError(f"{part} has a winding between phases, or a star without ground")
            letters.append([ABC[node - 1] for node in nodes[:n] if 1 <= node <= 3])
        if n not in (1, 3) or (n == 1 and (any(delta) or letters[0] != letters[1])) or len(letters[0]) != n:
            raise UnwrittenPhasesError(f"{part} has a winding between phases, or exchanges them")
        if not ratio.keys().isdisjoint(letters[0]):
            raise UnwrittenPhasesError(f"{part} stands beside another unit of the same phase")
        dss.Transformers.Wdg(2)
        kva = dss.Transformers.kVA() * (3 if n == 1 else 1)
        ohm = volts[1] ** 2 / (kva / 1e3) * (base[0] / base[1]) ** 2  # at the from end, behind the ratio
        impedances.append(ohm * complex(r, dss.Transformers.Xhl() / 100))
        losses = [float(_text(dss, f"? {part}.{key}")) / 100 for key in ("%noloadloss", "%imag")]
        iron.append(tuple(1e6 * one / ohm for one in losses))
        sides.add(("D" if delta[0] else "YN", "d" if delta[1] else "yn"))
        ratio |= dict.fromkeys(letters[0], volts[0] / volts[1] * base[1] / base[0])
    if len(sides) > 1:
        raise UnwrittenPhasesError(f"{parts[0]} and its neighbours are connected in different ways")
    present = "".join(p for p in ABC if p in ratio)
    z, (g, magnetising) = np.mean(impedances), np.mean(iron, axis=0)
    record: dict[str, Any] = {
        "phases": present, "connection": "".join(sides.pop()), "r_ohm": float(z.real), "x_ohm": float(z.imag),
        "g_us": float(g), "b_us": -float(magnetising), "shift_deg": math.degrees(network.shift[e]),
    }  # fmt: skip
    values = [ratio[p] for p in present]
    if max(values) - min(values) < _ROUNDING:
        record["ratio"] = values[0]
    else:
        record |= {f"ratio_{p}": ratio[p] for p in present}
    if math.isfinite(network.i_max[e]):
        record["ampacity_a"] = float(network.i_max[e] * network.i_base[e]) * 3 / len(present)
    return record


def _injections(dss: Any, network: Network, at: Mapping[str, int]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Name, record and whether it feeds, of everything that hangs on one bus."""
    for name in each(dss.Loads):
        if dss.CktElement.Enabled() and not is_off(dss):
            yield from ((f"load.{name}", record, False) for record in _load(dss, network, at, f"load.{name}"))
    floating = _floating_buses(dss)
    for full in dss.Circuit.AllElementNames():
        kind = full.lower().partition(".")[0]
        dss.Circuit.SetActiveElement(full)
        if kind not in (*PRODUCERS, "capacitor", "reactor") or not dss.CktElement.Enabled() or is_off(dss):
            continue
        bus, nodes = terminals(dss)[0]
        if kind in PRODUCERS:
            power = np.array(dss.CktElement.Powers())
            record: dict[str, Any] = {"bus": bus, "name": full.lower()}
            if bus in floating and dss.CktElement.NumPhases() == 3:  # nothing flows to ground there
                yield full.lower(), record | {"connection": "delta", **_total(power)}, True
                continue
            for k, node in enumerate(nodes):
                if not 1 <= node <= 3 and abs(power[2 * k]) > _ROUNDING:
                    raise UnwrittenPhasesError(f"{full.lower()} feeds a conductor beyond phases")
                if 1 <= node <= 3:
                    record |= {f"p_{ABC[node - 1]}_kw": -power[2 * k], f"q_{ABC[node - 1]}_kvar": -power[2 * k + 1]}
            yield full.lower(), record, True
        elif is_shunt(dss) and bus in at:
            yield from (
                (full.lower(), one, False) for one in _shunt(admittance(dss), bus, nodes, _kv(network, at, bus))
            )


def _total(power: np.ndarray) -> dict[str, float]:
    return {"p_kw": -float(power[0::2].sum()), "q_kvar": -float(power[1::2].sum())}


def _floating_buses(dss: Any) -> set[str]:
    """Buses at a delta winding that a star with ground does not feed."""
    found = set()
    for _ in each(dss.Transformers):
        ends = terminals(dss)
        for w, (bus, _nodes) in enumerate(ends[1:], start=2):
            dss.Transformers.Wdg(w)
            if dss.Transformers.IsDelta():
                found.add(bus)
    return found


def _kv(network: Network, at: Mapping[str, int], bus: str) -> float:
    if bus not in at:
        raise UnwrittenPhasesError(f"bus {bus} is part of another one")
    return float(network.kv[at[bus]])


def _load(dss: Any, network: Network, at: Mapping[str, int], name: str) -> Iterator[dict[str, Any]]:
    """A load as constant power, constant current and constant impedance, each with its phases."""
    bus, nodes = terminals(dss)[0]
    kv, n = _kv(network, at, bus), dss.CktElement.NumPhases()
    lines = [int(node) for node in nodes if 1 <= node <= 3]
    if n == 3:
        letters, delta = list(ABC), bool(dss.Loads.IsDelta())
    elif n == 1 and len(lines) == 2:
        pair = {(1, 2): "a", (2, 3): "b", (1, 3): "c"}[min(lines), max(lines)]
        letters, delta = [pair], True
    elif n == len(lines) and not dss.Loads.IsDelta() and (len(nodes) == n or nodes[n] == 0):
        letters, delta = [ABC[node - 1] for node in lines], False
    else:
        raise UnwrittenPhasesError(f"{name} is connected in a way that a case file has no word for")
    p, q = (one / n for one in rated_power(dss))
    rated = dss.Loads.kV() / (1.0 if delta or n == 1 else math.sqrt(3))
    level = kv / (1.0 if delta else math.sqrt(3)) / rated
    shares = voltage_shares(dss)
    if shares is None:
        raise UnwrittenPhasesError(f"{name} has a model that a case file has no word for")
    of_p, of_q = shares
    within = {"vm_min_pu": dss.Loads.Vminpu() / level, "vm_max_pu": dss.Loads.Vmaxpu() / level}
    for k, key in ((0, ""), (1, "current_percent"), (2, "impedance_percent")):
        part = complex(p * of_p[k], q * of_q[k]) * level**k
        if abs(part) <= _ROUNDING:
            continue
        record: dict[str, Any] = {"bus": bus, "name": name} | ({"connection": "delta"} if delta else {})
        for letter in letters:
            record |= {f"p_{letter}_kw": part.real, f"q_{letter}_kvar": part.imag}
        yield record | within | ({key: 100.0} if key else {})


def _shunt(y: np.ndarray, bus: str, nodes: np.ndarray, kv: float) -> Iterator[dict[str, Any]]:
    """An admittance as loads of constant impedance from phases to ground, and between phases."""
    live = [k for k, node in enumerate(nodes) if 1 <= node <= 3]
    own = y[np.ix_(live, live)]
    letters = [ABC[nodes[k] - 1] for k in live]
    to_ground: dict[str, Any] = {}
    between: dict[str, Any] = {}
    for i, p in enumerate(letters):
        _add(to_ground, p, complex(own[i].sum()), kv / math.sqrt(3))
        for j in range(i):
            first = {"ab": "a", "bc": "b", "ac": "c"}["".join(sorted(p + letters[j]))]
            _add(between, first, complex(-own[i, j]), kv)
    for record, connection in ((to_ground, "wye"), (between, "delta")):
        if record:
            yield {"bus": bus, "connection": connection, "impedance_percent": 100.0} | record


def _add(record: dict[str, Any], letter: str, y: complex, kv: float) -> None:
    """The power of an admittance [S] at nominal voltage."""
    power = 1e3 * kv**2 * y.conjugate()
    if abs(power) > 1e-6:
        record |= {f"p_{letter}_kw": max(power.real, 0.0), f"q_{letter}_kvar": power.imag}


def _text(dss: Any, command: str) -> str:
    dss.Text.Command(command)
    return str(dss.Text.Result())
