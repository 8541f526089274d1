"""Case files: JSON with three-phase kW and kvar, ohm per phase, line-to-line kV (schema in ``datasets/README.md``)."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.controls_json import ControlsRecord, FileId, Number, controls_from_record, controls_to_dict
from learnopt.io.files import read_text
from learnopt.io.phases_json import (
    BranchPhases,
    PhaseLoadRecord,
    SourcePhases,
    load_keys,
    phase_keys,
    phases_of_case,
    states_phases,
)
from learnopt.io.places import Place
from learnopt.io.violations import FINITE, Rule, Violations, at_least_zero, positive
from learnopt.network import Base, Controls, Device, Floats, Network
from learnopt.network.phase_data import PhaseData
from learnopt.network.phase_equivalent import edited_since, with_phases
from learnopt.network.topology import merged_nodes, network_blocks
from learnopt.wording import counted

_MOST_BYTES = 256 * 2**20
_UNION_MEMBERS = {"int", "str", "float", "bool"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class BusRecord(_Record):
    """One bus of a case file."""

    id: FileId
    p_kw: Number = 0.0
    q_kvar: Number = 0.0
    p_gen_kw: Number = 0.0
    q_gen_kvar: Number = 0.0
    shunt_p_kw: Number = 0.0
    shunt_q_kvar: Number = 0.0
    kv: Number | None = None
    name: StrictStr = ""
    x: Number | None = None
    y: Number | None = None
    customers: StrictInt | None = None
    vm_min_pu: Number | None = None
    vm_max_pu: Number | None = None
    phases: StrictStr | None = None


class BranchRecord(_Record, BranchPhases):
    """One branch of a case file; ``switchable: null`` counts as switchable, ``operation: null`` as remote.

    Impedances are required, as ``r_ohm`` and ``x_ohm`` or as matrices of its phases.
    """

    id: FileId
    from_: FileId = Field(alias="from")
    to: FileId
    r_ohm: Number | None = None
    x_ohm: Number | None = None
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


class SubstationRecord(_Record, SourcePhases):
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
    loads: tuple[PhaseLoadRecord, ...] = ()
    generation: tuple[PhaseLoadRecord, ...] = ()


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


_KV = Rule(" > 0 [kV line-to-line], from 0.001 to 10000", 1e-3, 1e4)
_BUS = {
    "p_kw": FINITE,
    "q_kvar": FINITE,
    "shunt_p_kw": at_least_zero("kW at 1 pu"),
    "shunt_q_kvar": FINITE,
    "x": FINITE,
    "y": FINITE,
    "kv": Rule(" [kV line-to-line], from 0.001 to 10000", 1e-3, 1e4),
    "vm_min_pu": positive("pu"),
    "vm_max_pu": positive("pu"),
}
_BRANCH = {
    "r_ohm": at_least_zero("ohm"),
    "x_ohm": at_least_zero("ohm", " (series capacitors are not modelled)"),
    "g_us": at_least_zero("microsiemens"),
    "shift_deg": FINITE,
}
_CHARGING = at_least_zero("microsiemens", " (only a transformer may have less)")
_SUBSTATION = {
    "v_pu": Rule(" > 0, from 0.01 to 100 [pu]", 1e-2, 1e2),
    "va_deg": FINITE,
    "s_min_kva": at_least_zero("kVA"),
}


def network_from_record(case: CaseRecord, subject: str) -> Network:
    """Build a network from a typed case, checking its meaning.

    Raises
    ------
    DataError
        With every violation: duplicate or unknown ids, numbers that are not finite or have the wrong sign, no
        substation, buses without a path to a substation.
    """
    wrong = Violations(subject)
    buses = {str(b.id): k for k, b in enumerate(case.buses)}
    wrong.number(case.base_kv, "base_kv", _KV)
    _check_ids(case, buses, wrong)
    for bus in case.buses:
        wrong.numbers(bus, f"bus {bus.id!r}", _BUS)
        if bus.customers is not None and bus.customers < 0:
            wrong.add(f"bus {bus.id!r}: customers = {bus.customers} must be >= 0")
    for k, branch in enumerate(case.branches):
        _check_branch(branch, f"branches[{k}]", buses, wrong)
    lowest, highest = _voltage_limits(case, wrong)
    _check_substations(case, wrong)
    base = Base(v_base=case.base_kv)
    controls = controls_from_record(case, buses, {str(b.id): e for e, b in enumerate(case.branches)}, base, wrong)
    _check_devices(case, wrong)
    wrong.stop()
    phases = phases_of_case(case, buses, wrong) if states_phases(case) else None
    wrong.stop()
    network = _build(case, base, buses, lowest, highest, controls, phases)
    islanded = np.flatnonzero(~network_blocks(network).fed[merged_nodes(network)])
    if len(islanded):
        names = ", ".join(repr(network.bus_ids[k]) for k in islanded[:10]) + (" ..." if len(islanded) > 10 else "")
        raise DataError(
            subject, [f"island: {counted(len(islanded), 'bus has', 'buses have')} no path to a substation: bus {names}"]
        )
    return network


def _check_ids(case: CaseRecord, buses: Mapping[str, int], wrong: Violations) -> None:
    """Ids are unique and can be written; there are buses and substations."""
    lists = {"bus": [b.id for b in case.buses], "branch": [b.id for b in case.branches]}
    for what, ids in lists.items():
        wrong.add(*(f"{what} id {i} must be a finite number or text" for i in ids if str(i) in ("nan", "inf", "-inf")))
        wrong.unique(f"{what} id", ids)
    wrong.unique("substation", case.substations, "list each substation once")
    wrong.require(bool(case.buses), "buses is empty: a network needs at least one bus")
    wrong.require(bool(case.substations), "substations is empty: at least one bus must be a substation")
    for substation in case.substations:
        wrong.known(substation, buses, "substation", "is not a bus")


def _check_branch(branch: BranchRecord, place: str, buses: Mapping[str, int], wrong: Violations) -> None:
    what = f"branch {branch.id!r}"
    if branch.r_matrix_ohm is None and branch.x_matrix_ohm is None:
        for key in ("r_ohm", "x_ohm"):
            wrong.require(getattr(branch, key) is not None, f"{place}.{key} (id {branch.id!r}) is missing")
    wrong.known(branch.from_, buses, f"{what}: from =", "is not a bus")
    wrong.known(branch.to, buses, f"{what}: to =", "is not a bus")
    wrong.require(branch.from_ != branch.to, f"{what}: from and to are both {branch.to!r}")
    wrong.numbers(branch, what, _BRANCH)
    passive = branch.ratio is None and branch.g_us is None
    wrong.number(branch.b_us, f"{what}: b_us", _CHARGING if passive else FINITE)
    if branch.ratio is not None and not 0.1 <= branch.ratio <= 10:
        wrong.add(f"{what}: ratio = {branch.ratio} must be from 0.1 to 10: it is off-nominal, 1 at the neutral tap")
    if branch.ampacity_a is not None and not branch.ampacity_a >= 1e-12:
        wrong.add(f"{what}: ampacity_a = {branch.ampacity_a} must be > 0 [A], or null where unknown")


def _voltage_limits(case: CaseRecord, wrong: Violations) -> tuple[list[float | None], list[float | None]]:
    """Lower and upper limit of each bus: its own, or that of all."""
    limits = case.voltage_limits or VoltageLimitsRecord()
    wrong.numbers(limits, "voltage_limits", {"vmin_pu": positive("pu"), "vmax_pu": positive("pu")})
    if limits.vmin_pu and limits.vmax_pu and limits.vmin_pu > limits.vmax_pu:
        wrong.add(f"voltage_limits: vmin_pu = {limits.vmin_pu} exceeds vmax_pu = {limits.vmax_pu}")
    lowest = [limits.vmin_pu if b.vm_min_pu is None else b.vm_min_pu for b in case.buses]
    highest = [limits.vmax_pu if b.vm_max_pu is None else b.vm_max_pu for b in case.buses]
    for bus, low, high in zip(case.buses, lowest, highest, strict=True):
        own = bus.vm_min_pu is not None or bus.vm_max_pu is not None
        if own and low and high and low > high:
            wrong.add(f"bus {bus.id!r}: its lower voltage limit {low} pu exceeds the upper, {high} pu")
    return lowest, highest


def _check_substations(case: CaseRecord, wrong: Violations) -> None:
    roots = {str(s) for s in case.substations}
    for key, record in (case.substation_data or {}).items():
        what = f"substation_data {key!r}"
        wrong.known(key, roots, "substation_data:", "is not in substations")
        wrong.numbers(record, what, _SUBSTATION)
        if record.s_max_kva is not None and not record.s_max_kva > 0:
            wrong.add(f"{what}: s_max_kva = {record.s_max_kva} must be > 0 [kVA]")
        elif record.s_min_kva and record.s_max_kva and record.s_min_kva > record.s_max_kva:
            wrong.add(f"{what}: s_min_kva = {record.s_min_kva} exceeds s_max_kva = {record.s_max_kva}")


def _check_devices(case: CaseRecord, wrong: Violations) -> None:
    """Devices that stand nowhere, or whose states are not that of their branch."""
    branches = {str(b.id): b for b in case.branches}
    wrong.unique("device id", (d.id for d in case.devices))
    open_of: dict[str, bool] = {}
    for device in case.devices:
        what, branch = f"device {device.id!r}", branches.get(str(device.branch))
        if branch is None:
            wrong.add(f"{what}: branch {device.branch!r} is not in branches")
            continue
        if device.bus is not None and str(device.bus) not in (str(branch.from_), str(branch.to)):
            wrong.add(f"{what}: bus {device.bus!r} is not an end of branch {device.branch!r}")
        key = str(device.branch)
        open_of[key] = open_of.get(key, False) or device.normally_open
    for key, is_open in open_of.items():
        if is_open != branches[key].normally_open:
            states = "one of its devices is" if is_open else "none of its devices is"
            wrong.add(f"branch {key!r}: normally_open = {branches[key].normally_open}, but {states} normally open")


def _per_unit(values: Iterable[float | None], unit: float | Floats = 1.0, absent: float = 0.0) -> Floats:
    """Values in units, shape (n,)."""
    return np.array([absent if v is None else v for v in values], dtype=float) / unit


def _build(
    case: CaseRecord,
    base: Base,
    index: Mapping[str, int],
    lowest: list[float | None],
    highest: list[float | None],
    controls: Controls,
    phases: PhaseData | None,
) -> Network:
    """The network of a case without faults."""
    buses, branches = case.buses, case.branches
    share = [1.0] * len(branches) if phases is None else [len(one.phases) / 3 for one in phases.branches]
    rated = [None if b.ampacity_a is None else b.ampacity_a * part for b, part in zip(branches, share, strict=True)]
    kv = np.array([case.base_kv if b.kv is None else b.kv for b in buses])
    from_bus = np.array([index[str(b.from_)] for b in branches], dtype=np.int64)
    z_base = kv[from_bus] ** 2 / base.s_base
    i_base = base.i_base * base.v_base / kv[from_bus]
    data = case.substation_data or {}
    stations = [data.get(str(s), SubstationRecord()) for s in case.substations]
    located = [(b.x, b.y) for b in buses if b.x is not None and b.y is not None]
    counted = any(b.customers is not None for b in buses)
    network = Network(
        name=case.name,
        title=case.title,
        source=case.source,
        base=base,
        bus_ids=tuple(b.id for b in buses),
        p_load=_per_unit((b.p_kw for b in buses), base.kw),
        q_load=_per_unit((b.q_kvar for b in buses), base.kw),
        branch_ids=tuple(b.id for b in branches),
        from_bus=from_bus,
        to_bus=np.array([index[str(b.to)] for b in branches], dtype=np.int64),
        r=_per_unit((b.r_ohm for b in branches), z_base),
        x=_per_unit((b.x_ohm for b in branches), z_base),
        b=_per_unit((b.b_us for b in branches), 1e6 / z_base),
        i_max=_per_unit(rated, i_base, math.inf),
        switchable=np.array([b.switchable is not False for b in branches], dtype=bool),
        normally_open=np.array([b.normally_open for b in branches], dtype=bool),
        substations=np.array([index[str(s)] for s in case.substations], dtype=np.int64),
        substation_vm=_per_unit(s.v_pu for s in stations),
        substation_va=np.radians([s.va_deg for s in stations]),
        substation_s_min=_per_unit((s.s_min_kva for s in stations), base.kw),
        substation_s_max=_per_unit((s.s_max_kva for s in stations), base.kw, math.inf),
        vm_min=_per_unit(lowest),
        vm_max=_per_unit(highest, absent=math.inf),
        g=_per_unit((b.g_us for b in branches), 1e6 / z_base),
        ratio=_per_unit((b.ratio for b in branches), absent=1.0),
        shift=np.radians([b.shift_deg or 0.0 for b in branches]),
        g_shunt=_per_unit((b.shunt_p_kw for b in buses), base.kw),
        p_fed=_per_unit((b.p_gen_kw for b in buses), base.kw),
        q_fed=_per_unit((b.q_gen_kvar for b in buses), base.kw),
        b_shunt=_per_unit((-b.shunt_q_kvar for b in buses), base.kw),
        kv=kv,
        bus_names=tuple(b.name for b in buses),
        branch_names=tuple(b.name for b in branches),
        coordinates=np.array(located, dtype=float) if len(located) == len(buses) else None,
        customers=np.array([b.customers or 0 for b in buses], dtype=np.int64) if counted else None,
        controls=controls,
        manual=np.array([b.operation == "manual" for b in branches], dtype=bool),
        devices=tuple(
            Device(d.id, d.name, d.branch, d.bus, d.operation == "manual", not d.normally_open) for d in case.devices
        ),
    )
    return network if phases is None else with_phases(network, phases)


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


def read_json(path: Place) -> Any:
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
    """The case file of a network: reading it back gives the same network to rounding (1e-12 relative).

    Raises
    ------
    DataError
        For a network with phases whose loads or branches were changed without them.
    """
    if changed := edited_since(network):
        raise DataError(
            network.name,
            [f"{', '.join(changed)} were changed without its phases: change network.phases, or set it to None"],
        )
    base = network.base
    z_base = network.branch_kv**2 / base.s_base

    def si(value: float, unit: float) -> float:
        return float(f"{value * unit:.12g}")

    # A limit that all buses share is said once.
    common = {
        key: float(limit[0]) if 0 < limit[0] < math.inf and (limit == limit[0]).all() else None
        for key, limit in (("vm_min_pu", network.vm_min), ("vm_max_pu", network.vm_max))
    }

    own_buses, own_branches, own_sources = ([], [], []) if network.phases is None else phase_keys(network)

    def bus_power(k: int) -> dict[str, Any]:
        if network.phases is not None:  # all that is drawn and fed is in the lists of loads and generation
            return own_buses[k]
        extras = {"p_kw": si(network.p_load[k], base.kw), "q_kvar": si(network.q_load[k], base.kw)}
        if network.g_shunt[k] or network.b_shunt[k]:
            extras |= {"shunt_p_kw": si(network.g_shunt[k], base.kw), "shunt_q_kvar": si(-network.b_shunt[k], base.kw)}
        if network.p_fed[k] or network.q_fed[k]:
            extras |= {"p_gen_kw": si(network.p_fed[k], base.kw), "q_gen_kvar": si(network.q_fed[k], base.kw)}
        return extras

    def bus_extras(k: int) -> dict[str, Any]:
        extras: dict[str, Any] = {}
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

    def branch_impedance(e: int) -> dict[str, Any]:
        if network.phases is not None:
            return own_branches[e]
        return {
            "r_ohm": si(network.r[e], z_base[e]),
            "x_ohm": si(network.x[e], z_base[e]),
            "b_us": si(network.b[e], 1e6 / z_base[e]),
        }

    def switchable(e: int) -> bool:
        return bool(network.operable_in_phases[e]) if network.phases is not None else bool(network.switchable[e])

    def ampacity(e: int) -> float | None:
        if not math.isfinite(network.i_max[e]):
            return None
        conductors = 3 if network.phases is None else len(network.phases.branches[e].phases)
        return si(network.i_max[e], network.i_base[e] * 3 / conductors)

    def branch_extras(e: int) -> dict[str, Any]:
        extras: dict[str, Any] = {}
        if network.phases is None:
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
        "buses": [{"id": bus, **bus_power(k), **bus_extras(k)} for k, bus in enumerate(network.bus_ids)],
        "branches": [
            {
                "id": branch,
                "from": network.bus_ids[network.from_bus[e]],
                "to": network.bus_ids[network.to_bus[e]],
                **branch_impedance(e),
                "normally_open": bool(network.normally_open[e]),
                "switchable": switchable(e),
                "ampacity_a": ampacity(e),
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
            **(own_sources[s] if own_sources else {}),
        }
        for s, k in enumerate(network.substations)
    }
    if network.devices:
        case["devices"] = [device_record(device) for device in network.devices]
    if network.phases is not None:
        case |= load_keys(network)
    return case | controls_to_dict(network)
