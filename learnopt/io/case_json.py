"""Case files: JSON with three-phase kW and kvar, ohm per phase, line-to-line kV (schema in ``datasets/README.md``)."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.controls_json import ControlsRecord, FileId, Number, controls_from_record, controls_to_dict
from learnopt.io.files import read_text
from learnopt.network import Base, Device, Id, Network
from learnopt.network.topology import merged_nodes, network_blocks

_MOST_BYTES = 256 * 2**20
_LARGEST = 1e12
"""Largest number in the unit of its key: what is beyond is a slip, and overflows."""
_UNION_MEMBERS = {"int", "str", "float", "bool"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class BusRecord(_Record):
    """One bus of a case file."""

    id: FileId
    p_kw: Number = 0.0
    q_kvar: Number = 0.0
    shunt_p_kw: Number = 0.0
    shunt_q_kvar: Number = 0.0
    kv: Number | None = None
    name: StrictStr = ""
    x: Number | None = None
    y: Number | None = None
    customers: StrictInt | None = None
    vm_min_pu: Number | None = None
    vm_max_pu: Number | None = None


class BranchRecord(_Record):
    """One branch of a case file; ``switchable: null`` counts as switchable, ``operation: null`` as remote."""

    id: FileId
    from_: FileId = Field(alias="from")
    to: FileId
    r_ohm: Number
    x_ohm: Number
    normally_open: StrictBool = False
    switchable: StrictBool | None = None
    ampacity_a: Number | None = None
    b_us: Number | None = None
    g_us: Number | None = None
    ratio: Number | None = None
    shift_deg: Number | None = None
    name: StrictStr = ""
    operation: Literal["remote", "manual"] | None = None


class VoltageLimitsRecord(_Record):
    """Voltage limits of every bus that states none of its own; those of substations have no effect."""

    vmin_pu: Number | None = None
    vmax_pu: Number | None = None


class SubstationRecord(_Record):
    """Voltage and rating of one substation."""

    v_pu: Number = 1.0
    va_deg: Number = 0.0
    s_min_kva: Number | None = None
    s_max_kva: Number | None = None


class DeviceRecord(_Record):
    """A switching device of a branch; without ``bus`` the branch itself is the device."""

    id: FileId
    branch: FileId
    bus: FileId | None = None
    name: StrictStr = ""
    operation: Literal["remote", "manual"] | None = None
    normally_open: StrictBool = False


class CaseRecord(ControlsRecord):
    """A whole case file. Unknown keys are ignored."""

    name: StrictStr
    title: StrictStr = ""
    source: StrictStr = ""
    base_kv: Number
    substations: list[FileId]
    buses: list[BusRecord]
    branches: list[BranchRecord]
    voltage_limits: VoltageLimitsRecord | None = None
    substation_data: dict[str, SubstationRecord] | None = None
    devices: tuple[DeviceRecord, ...] = ()


def describe_validation_error(error: ValidationError, raw: Any) -> list[str]:
    """Sentences for a pydantic error, with the id of the object where it has one."""
    sentences = []
    seen = set()
    for problem in error.errors():
        # Members of a union each report; the location without the member's name is one place in the file.
        where = tuple(p for p in problem["loc"] if p not in _UNION_MEMBERS)
        if where in seen:
            continue
        seen.add(where)
        place = ".".join(f"[{p}]" if isinstance(p, int) else p for p in where).replace(".[", "[") or "the file"
        holder = raw
        for part in where[:2]:
            try:
                holder = holder[part]
            except (KeyError, IndexError, TypeError):
                holder = None
                break
        name = f" (id {holder['id']!r})" if isinstance(holder, dict) and "id" in holder and len(where) > 2 else ""
        if problem["type"] == "missing":
            sentences.append(f"{place}{name} is missing")
        elif problem["type"] == "extra_forbidden":
            sentences.append(f"{place}{name} is not a known key")
        elif problem["type"] == "model_type":
            sentences.append(f"{place}{name} must be a JSON object")
        else:
            sentences.append(f"{place}{name} is {_written(problem['input'])}: {problem['msg'].lower()}")
    return sentences


def _written(value: Any) -> str:
    """How a file has it, cut off."""
    try:
        return json.dumps(value, default=str)[:60]
    except (ValueError, RecursionError):  # an integer of thousands of digits, deep nesting
        return f"a {type(value).__name__}"


def _duplicates(ids: list[Id]) -> list[str]:
    """Ids that occur twice, or that would be one JSON key."""
    counts = Counter(str(i) for i in ids)
    return [f"{key!r} occurs {count} times" for key, count in counts.items() if count > 1]


def _device_faults(case: CaseRecord) -> list[str]:
    """Devices that stand nowhere, or whose states are not that of their branch."""
    branches = {str(b.id): b for b in case.branches}
    bad = [f"device id {d}: ids must be unique" for d in _duplicates([d.id for d in case.devices])]
    open_of: dict[str, bool] = {}
    for device in case.devices:
        what, branch = f"device {device.id!r}", branches.get(str(device.branch))
        if branch is None:
            bad.append(f"{what}: branch {device.branch!r} is not in branches")
            continue
        if device.bus is not None and str(device.bus) not in (str(branch.from_), str(branch.to)):
            bad.append(f"{what}: bus {device.bus!r} is not an end of branch {device.branch!r}")
        key = str(device.branch)
        open_of[key] = open_of.get(key, False) or device.normally_open
    for key, is_open in open_of.items():
        if is_open != branches[key].normally_open:
            states = "one of its devices is" if is_open else "none of its devices is"
            bad.append(f"branch {key!r}: normally_open = {branches[key].normally_open}, but {states} normally open")
    return bad


def network_from_record(case: CaseRecord, subject: str) -> Network:
    """Build a network from a typed case, checking its meaning.

    Raises
    ------
    DataError
        With every violation: duplicate or unknown ids, numbers that are not finite or have the wrong sign, no
        substation, buses without a path to a substation.
    """
    bad: list[str] = []

    def finite(value: float | None, what: str, low: float = -math.inf, expected: str = "") -> None:
        if value is not None and not (abs(value) <= _LARGEST and value >= low):
            bad.append(f"{what} = {value} must be a finite number{expected}")

    if not 1e-3 <= case.base_kv <= 1e4:
        bad.append(f"base_kv = {case.base_kv} must be a finite number > 0 [kV line-to-line], from 0.001 to 10000")
    for what, ids in (("bus", [b.id for b in case.buses]), ("branch", [b.id for b in case.branches])):
        bad += [f"{what} id {i} must be a finite number or text" for i in ids if str(i) in ("nan", "inf", "-inf")]
    bad += [f"bus id {d}: ids must be unique" for d in _duplicates([b.id for b in case.buses])]
    bad += [f"branch id {d}: ids must be unique" for d in _duplicates([b.id for b in case.branches])]
    bad += [f"substation {d}: list each substation once" for d in _duplicates(list(case.substations))]
    index = {str(b.id): k for k, b in enumerate(case.buses)}
    if not case.buses:
        bad.append("buses is empty: a network needs at least one bus")
    if not case.substations:
        bad.append("substations is empty: at least one bus must be a substation")
    bad += [f"substation {s!r} is not a bus" for s in case.substations if str(s) not in index]
    for bus in case.buses:
        finite(bus.p_kw, f"bus {bus.id!r}: p_kw")
        finite(bus.q_kvar, f"bus {bus.id!r}: q_kvar")
        finite(bus.shunt_p_kw, f"bus {bus.id!r}: shunt_p_kw", 0.0, " >= 0 [kW at 1 pu]")
        finite(bus.shunt_q_kvar, f"bus {bus.id!r}: shunt_q_kvar")
        finite(bus.x, f"bus {bus.id!r}: x")
        finite(bus.y, f"bus {bus.id!r}: y")
        if bus.kv is not None and not 1e-3 <= bus.kv <= 1e4:
            bad.append(f"bus {bus.id!r}: kv = {bus.kv} must be a finite number [kV line-to-line], from 0.001 to 10000")
        if bus.customers is not None and bus.customers < 0:
            bad.append(f"bus {bus.id!r}: customers = {bus.customers} must be >= 0")
        for key in ("vm_min_pu", "vm_max_pu"):
            own = getattr(bus, key)
            if own is not None and not (math.isfinite(own) and own > 0):
                bad.append(f"bus {bus.id!r}: {key} = {own} must be a finite number > 0 [pu]")
    for branch in case.branches:
        what = f"branch {branch.id!r}"
        for end, value in (("from", branch.from_), ("to", branch.to)):
            if str(value) not in index:
                bad.append(f"{what}: {end} = {value!r} is not a bus")
        if branch.from_ == branch.to:
            bad.append(f"{what}: from and to are both {branch.to!r}")
        finite(branch.r_ohm, f"{what}: r_ohm", 0.0, " >= 0 [ohm]")
        finite(branch.x_ohm, f"{what}: x_ohm", 0.0, " >= 0 [ohm] (series capacitors are not modelled)")
        finite(branch.g_us, f"{what}: g_us", 0.0, " >= 0 [microsiemens]")
        if branch.ratio is None and branch.g_us is None:
            finite(branch.b_us, f"{what}: b_us", 0.0, " >= 0 [microsiemens] (only a transformer may have less)")
        else:
            finite(branch.b_us, f"{what}: b_us")
        if branch.ratio is not None and not 0.1 <= branch.ratio <= 10:
            bad.append(
                f"{what}: ratio = {branch.ratio} must be from 0.1 to 10: it is off-nominal, 1 at the neutral tap"
            )
        finite(branch.shift_deg, f"{what}: shift_deg")
        if branch.ampacity_a is not None and not branch.ampacity_a >= 1e-12:
            bad.append(f"{what}: ampacity_a = {branch.ampacity_a} must be > 0 [A], or null where unknown")
    limits = case.voltage_limits or VoltageLimitsRecord()
    for limit, bound in (("vmin_pu", limits.vmin_pu), ("vmax_pu", limits.vmax_pu)):
        if bound is not None and not (math.isfinite(bound) and bound > 0):
            bad.append(f"voltage_limits: {limit} = {bound} must be a finite number > 0 [pu]")
    if limits.vmin_pu and limits.vmax_pu and limits.vmin_pu > limits.vmax_pu:
        bad.append(f"voltage_limits: vmin_pu = {limits.vmin_pu} exceeds vmax_pu = {limits.vmax_pu}")
    lowest = [limits.vmin_pu if b.vm_min_pu is None else b.vm_min_pu for b in case.buses]
    highest = [limits.vmax_pu if b.vm_max_pu is None else b.vm_max_pu for b in case.buses]
    for bus, low, high in zip(case.buses, lowest, highest, strict=True):
        own = bus.vm_min_pu is not None or bus.vm_max_pu is not None
        if own and low and high and low > high:
            bad.append(f"bus {bus.id!r}: its lower voltage limit {low} pu exceeds the upper, {high} pu")
    roots = {str(s) for s in case.substations}
    data = case.substation_data or {}
    for key, record in data.items():
        if key not in roots:
            bad.append(f"substation_data: {key!r} is not in substations")
        if not 1e-2 <= record.v_pu <= 1e2:
            bad.append(
                f"substation_data {key!r}: v_pu = {record.v_pu} must be a finite number > 0, from 0.01 to 100 [pu]"
            )
        finite(record.va_deg, f"substation_data {key!r}: va_deg")
        finite(record.s_min_kva, f"substation_data {key!r}: s_min_kva", 0.0, " >= 0 [kVA]")
        if record.s_max_kva is not None and not record.s_max_kva > 0:
            bad.append(f"substation_data {key!r}: s_max_kva = {record.s_max_kva} must be > 0 [kVA]")
        elif record.s_min_kva and record.s_max_kva and record.s_min_kva > record.s_max_kva:
            bad.append(
                f"substation_data {key!r}: s_min_kva = {record.s_min_kva} exceeds s_max_kva = {record.s_max_kva}"
            )
    base = Base(v_base=case.base_kv)
    branch_index = {str(b.id): e for e, b in enumerate(case.branches)}
    controls, wrong = controls_from_record(case, index, branch_index, base)
    bad += wrong
    bad += _device_faults(case)
    if bad:
        raise DataError(subject, bad)

    kv = np.array([case.base_kv if b.kv is None else b.kv for b in case.buses])
    from_bus = np.array([index[str(b.from_)] for b in case.branches], dtype=np.int64)
    z_base = kv[from_bus] ** 2 / base.s_base
    i_base = base.i_base * base.v_base / kv[from_bus]
    rated = [data.get(str(s), SubstationRecord()) for s in case.substations]

    def per_unit(values: list[float | None], unit: float | np.ndarray, absent: float = 0.0) -> np.ndarray:
        units = np.broadcast_to(unit, len(values))
        return np.array([absent if v is None else v / u for v, u in zip(values, units, strict=True)], dtype=float)

    located = [(b.x, b.y) for b in case.buses if b.x is not None and b.y is not None]
    counted = [b.customers for b in case.buses if b.customers is not None]

    network = Network(
        name=case.name,
        title=case.title,
        source=case.source,
        base=base,
        bus_ids=tuple(b.id for b in case.buses),
        p_load=per_unit([b.p_kw for b in case.buses], base.kw),
        q_load=per_unit([b.q_kvar for b in case.buses], base.kw),
        branch_ids=tuple(b.id for b in case.branches),
        from_bus=from_bus,
        to_bus=np.array([index[str(b.to)] for b in case.branches], dtype=np.int64),
        r=per_unit([b.r_ohm for b in case.branches], z_base),
        x=per_unit([b.x_ohm for b in case.branches], z_base),
        b=per_unit([b.b_us for b in case.branches], 1e6 / z_base),
        i_max=per_unit([b.ampacity_a for b in case.branches], i_base, math.inf),
        switchable=np.array([b.switchable is not False for b in case.branches], dtype=bool),
        normally_open=np.array([b.normally_open for b in case.branches], dtype=bool),
        substations=np.array([index[str(s)] for s in case.substations], dtype=np.int64),
        substation_vm=np.array([r.v_pu for r in rated], dtype=float),
        substation_va=np.radians([r.va_deg for r in rated]),
        substation_s_min=per_unit([r.s_min_kva for r in rated], base.kw),
        substation_s_max=per_unit([r.s_max_kva for r in rated], base.kw, math.inf),
        vm_min=per_unit(lowest, 1.0),
        vm_max=per_unit(highest, 1.0, math.inf),
        g=per_unit([b.g_us for b in case.branches], 1e6 / z_base),
        ratio=per_unit([b.ratio for b in case.branches], 1.0, 1.0),
        shift=np.radians([b.shift_deg or 0.0 for b in case.branches]),
        g_shunt=per_unit([b.shunt_p_kw for b in case.buses], base.kw),
        b_shunt=per_unit([-b.shunt_q_kvar for b in case.buses], base.kw),
        kv=kv,
        bus_names=tuple(b.name for b in case.buses),
        branch_names=tuple(b.name for b in case.branches),
        coordinates=np.array(located, dtype=float) if len(located) == len(case.buses) else None,
        customers=np.array([b.customers or 0 for b in case.buses], dtype=np.int64) if counted else None,
        controls=controls,
        manual=np.array([b.operation == "manual" for b in case.branches], dtype=bool),
        devices=tuple(
            Device(d.id, d.name, d.branch, d.bus, d.operation == "manual", not d.normally_open) for d in case.devices
        ),
    )
    islanded = np.flatnonzero(~network_blocks(network).fed[merged_nodes(network)])
    if len(islanded):
        names = ", ".join(repr(network.bus_ids[k]) for k in islanded[:10]) + (" ..." if len(islanded) > 10 else "")
        raise DataError(subject, [f"island: {len(islanded)} buses have no path to a substation: bus {names}"])
    return network


def network_from_dict(raw: Any, subject: str) -> Network:
    """Build a network from a parsed case file.

    Raises
    ------
    DataError
        With every violation at once.
    """
    try:
        case = CaseRecord.model_validate(raw)
    except ValidationError as error:
        raise DataError(subject, describe_validation_error(error, raw)) from None
    return network_from_record(case, subject)


def device_record(device: Device) -> dict[str, Any]:
    """A device as a case file has it."""
    record: dict[str, Any] = {"id": device.id, "branch": device.branch}
    if device.bus is not None:
        record["bus"] = device.bus
    if device.name:
        record["name"] = device.name
    if device.manual:
        record["operation"] = "manual"
    return record | {"normally_open": not device.closed}


def read_json(path: Path) -> Any:
    """Parse a JSON file of at most 256 MiB, nested as deep as Python's parser goes (some 1000 levels).

    Raises
    ------
    DataError
        Naming line and column where the text is not JSON; for keys that occur twice in one object.
    """
    text = read_text(path, _MOST_BYTES)
    try:
        return json.loads(text, object_pairs_hook=each_key_once)
    except json.JSONDecodeError as error:
        raise DataError(str(path), [f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"]) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise DataError(str(path), [f"not JSON that can be read: {error}"]) from None


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; JSON leaves open which of two values of one key counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"key {twice[:60]!r} occurs twice in one object: keep one")
    return found


def read_case_json(path: Path) -> Network:
    """Read a case file (units and keys: ``datasets/README.md``).

    Raises
    ------
    DataError
        With every violation at once; one sentence where the file is JSON of another kind.
    """
    return case_from_json(read_json(path), str(path))


def case_from_json(raw: Any, subject: str) -> Network:
    """Build a network from a parsed JSON file; errors as in :func:`read_case_json`."""
    if not isinstance(raw, dict) or "buses" not in raw:
        found = f"its keys are {', '.join(list(raw)[:6])}" if isinstance(raw, dict) and raw else "it has no keys"
        raise DataError(
            subject,
            [f"not a case file: 'buses' is missing ({found}); datasets/README.md says what a case file holds"],
        )
    return network_from_dict(raw, subject)


def network_to_dict(network: Network) -> dict[str, Any]:
    """The case file of a network: reading it back gives the same network to rounding (1e-12 relative)."""
    base = network.base
    z_base = network.branch_kv**2 / base.s_base

    def si(value: float, unit: float) -> float:
        return float(f"{value * unit:.12g}")

    # A limit that all buses share is said once.
    common = {
        key: float(limit[0]) if 0 < limit[0] < math.inf and (limit == limit[0]).all() else None
        for key, limit in (("vm_min_pu", network.vm_min), ("vm_max_pu", network.vm_max))
    }

    def bus_extras(k: int) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if network.g_shunt[k] or network.b_shunt[k]:
            extras = {"shunt_p_kw": si(network.g_shunt[k], base.kw), "shunt_q_kvar": si(-network.b_shunt[k], base.kw)}
        if network.kv[k] != base.v_base:
            extras["kv"] = float(network.kv[k])
        if network.bus_names[k]:
            extras["name"] = network.bus_names[k]
        if network.coordinates is not None:
            extras |= {"x": float(network.coordinates[k, 0]), "y": float(network.coordinates[k, 1])}
        if network.customers is not None:
            extras["customers"] = int(network.customers[k])
        for key, limit in (("vm_min_pu", network.vm_min), ("vm_max_pu", network.vm_max)):
            if common[key] is None and 0 < limit[k] < math.inf:
                extras[key] = float(limit[k])
        return extras

    def branch_extras(e: int) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if network.g[e]:
            extras["g_us"] = si(network.g[e], 1e6 / z_base[e])
        if network.ratio[e] != 1 or network.b[e] < 0:
            extras["ratio"] = float(network.ratio[e])
        if network.shift[e]:
            extras["shift_deg"] = si(network.shift[e], 180 / math.pi)
        if network.branch_names[e]:
            extras["name"] = network.branch_names[e]
        if network.manual[e]:
            extras["operation"] = "manual"
        return extras

    case: dict[str, Any] = {
        "name": network.name,
        "title": network.title,
        "source": network.source,
        "base_kv": base.v_base,
        "substations": [network.bus_ids[k] for k in network.substations],
        "buses": [
            {
                "id": bus,
                "p_kw": si(network.p_load[k], base.kw),
                "q_kvar": si(network.q_load[k], base.kw),
                **bus_extras(k),
            }
            for k, bus in enumerate(network.bus_ids)
        ],
        "branches": [
            {
                "id": branch,
                "from": network.bus_ids[network.from_bus[e]],
                "to": network.bus_ids[network.to_bus[e]],
                "r_ohm": si(network.r[e], z_base[e]),
                "x_ohm": si(network.x[e], z_base[e]),
                "b_us": si(network.b[e], 1e6 / z_base[e]),
                "normally_open": bool(network.normally_open[e]),
                "switchable": bool(network.switchable[e]),
                "ampacity_a": si(network.i_max[e], network.i_base[e]) if math.isfinite(network.i_max[e]) else None,
                **branch_extras(e),
            }
            for e, branch in enumerate(network.branch_ids)
        ],
    }
    if any(common.values()):
        case["voltage_limits"] = {"vmin_pu": common["vm_min_pu"], "vmax_pu": common["vm_max_pu"]}
    case["substation_data"] = {
        str(network.bus_ids[k]): {
            "v_pu": float(network.substation_vm[s]),
            **({"va_deg": si(network.substation_va[s], 180 / math.pi)} if network.substation_va[s] else {}),
            "s_min_kva": si(network.substation_s_min[s], base.kw) or None,
            "s_max_kva": si(network.substation_s_max[s], base.kw)
            if math.isfinite(network.substation_s_max[s])
            else None,
        }
        for s, k in enumerate(network.substations)
    }
    if network.devices:
        case["devices"] = [device_record(device) for device in network.devices]
    return case | controls_to_dict(network)
