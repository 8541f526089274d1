"""Phases in a case file: what buses, branches, loads and substations say of them, checked, and written again.

Keys and units: ``docs/formats.md``. A file that has none of these keys is balanced, and none of this is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, StrictStr

from learnopt.io.controls_json import FileId, Number
from learnopt.io.violations import FINITE, Rule, Violations, at_least_zero
from learnopt.network import Floats, Network
from learnopt.network.phase_data import (
    ABC,
    LEAST_VOLTAGE,
    MOST_VOLTAGE,
    PhaseBranch,
    PhaseData,
    PhaseLoad,
    SourceImpedance,
    Triple,
    Windings,
    is_circulant,
    of_sequences,
    sequences,
)
from learnopt.network.topology import DisjointSets

Matrix = list[list[Number]]
_STEPS = {"YNyn": (0.0,), "Dd": (0.0,), "Dyn": (30.0, -30.0), "Dy": (30.0, -30.0), "Yd": (30.0, -30.0),
          "YNd": (30.0, -30.0)}  # fmt: skip
"""Connections of transformers, and the shifts that they have but for whole thirds of a turn [degree]."""
_AT_LEAST_ONE = Rule(" from 1 to 10 [pu]", 1.0, 10.0)
_PERCENT = Rule(" from 0 to 100", 0.0, 100.0)


class PhaseLoadRecord(BaseModel):
    """A load or a generator, phase by phase; a misspelt key would be a phase without load, so none is passed over."""

    model_config = ConfigDict(extra="forbid")

    bus: FileId
    name: StrictStr = ""
    connection: Literal["wye", "delta"] = "wye"
    p_kw: Number | None = None
    q_kvar: Number | None = None
    p_a_kw: Number | None = None
    p_b_kw: Number | None = None
    p_c_kw: Number | None = None
    q_a_kvar: Number | None = None
    q_b_kvar: Number | None = None
    q_c_kvar: Number | None = None
    current_percent: Number = 0.0
    impedance_percent: Number = 0.0
    vm_min_pu: Number = LEAST_VOLTAGE
    vm_max_pu: Number = MOST_VOLTAGE


class _Bus(Protocol):
    id: Any
    phases: str | None
    p_kw: float
    q_kvar: float
    p_gen_kw: float
    q_gen_kvar: float
    shunt_p_kw: float
    shunt_q_kvar: float
    kv: float | None


class BranchPhases(BaseModel):
    """Keys of a branch that speak of phases."""

    phases: StrictStr | None = None
    r0_ohm: Number | None = None
    x0_ohm: Number | None = None
    b0_us: Number | None = None
    r_matrix_ohm: Matrix | None = None
    x_matrix_ohm: Matrix | None = None
    b_matrix_us: Matrix | None = None
    connection: StrictStr | None = None
    ratio_a: Number | None = None
    ratio_b: Number | None = None
    ratio_c: Number | None = None
    r0_magnetising_ohm: Number | None = None
    x0_magnetising_ohm: Number | None = None
    from_share: Number | None = None


class SourcePhases(BaseModel):
    """Keys of a substation that speak of phases: what it has in the zero and in the negative sequence."""

    r0_ohm: Number | None = None
    x0_ohm: Number | None = None
    r2_ohm: Number | None = None
    x2_ohm: Number | None = None


def states_phases(case: Any) -> bool:
    """A typed case has some key that speaks of phases."""
    return bool(
        case.loads
        or case.generation
        or any(bus.phases is not None for bus in case.buses)
        or any(getattr(branch, key) is not None for branch in case.branches for key in BranchPhases.model_fields)
        or any(
            getattr(data, key) is not None
            for data in (case.substation_data or {}).values()
            for key in SourcePhases.model_fields
        )
    )


def phases_of_case(case: Any, buses: Mapping[str, int], wrong: Violations) -> PhaseData | None:
    """Phases of a typed case whose ids and plain numbers are right; None, with violations, where its phases are not.

    Parameters
    ----------
    case
        A :class:`~learnopt.io.case_json.CaseRecord` that :func:`states_phases`.
    buses
        Index of each bus by its id.
    """
    before = len(wrong.found)
    at = {str(b.id): case.base_kv if b.kv is None else b.kv for b in case.buses}
    own = [_letters(branch.phases or ABC, f"branch {branch.id!r}", wrong) for branch in case.branches]
    branches = [_branch(branch, phases, at, wrong) for branch, phases in zip(case.branches, own, strict=True)]
    bus_phases = _bus_phases(case, own, buses, wrong)
    loads = [
        _load(record, bus_phases[buses[str(record.bus)]], buses, f"{what} at bus {record.bus!r}", feeds, wrong)
        for what, records, feeds in (("load", case.loads, False), ("generation", case.generation, True))
        for record in records
        if str(record.bus) in buses
    ]
    for record in (*case.loads, *case.generation):
        wrong.known(record.bus, buses, "loads and generation: bus", "is not a bus")
    if len(wrong.found) > before:
        return None
    loads = [one for k, bus in enumerate(case.buses) for one in _of_bus(bus, k, bus_phases[k])] + loads
    _check_supply(case, own, bus_phases, buses, wrong)
    sources = [_source(str(s), (case.substation_data or {}).get(str(s)), wrong) for s in case.substations]
    found = PhaseData(bus_phases, tuple(one for one in branches if one), tuple(loads), tuple(sources))
    return found if len(wrong.found) == before else None


def _letters(phases: str, what: str, wrong: Violations) -> str:
    """Phases in the order of the alphabet."""
    letters = "".join(sorted(phases))
    if not phases or set(phases) - set(ABC) or len(set(phases)) < len(phases):
        wrong.add(f"{what}: phases = {phases!r} must be some of a, b, c, each once: 'abc', 'ab', 'c'")
        return ABC
    return letters


def _bus_phases(case: Any, own: Sequence[str], buses: Mapping[str, int], wrong: Violations) -> tuple[str, ...]:
    """Phases of every bus: those that it states, else those of its branches; all three of a substation."""
    found: list[set[str]] = [set() for _ in case.buses]
    for branch, phases in zip(case.branches, own, strict=True):
        for end in (branch.from_, branch.to):
            found[buses[str(end)]] |= set(phases)
    for substation in case.substations:
        found[buses[str(substation)]] |= set(ABC)
    result = []
    for bus, present in zip(case.buses, found, strict=True):
        stated = "".join(sorted(present)) if bus.phases is None else _letters(bus.phases, f"bus {bus.id!r}", wrong)
        if more := present - set(stated):
            wrong.add(
                f"bus {bus.id!r}: phases = {bus.phases!r}, but a branch brings {', '.join(sorted(more))}: add them, or "
                "take them from the branch"
            )
        result.append(stated)
    return tuple(result)


def _branch(branch: Any, phases: str, kv: Mapping[str, float], wrong: Violations) -> PhaseBranch | None:
    """One branch with its matrices; None, with violations, where they cannot be."""
    what, n, before = f"branch {branch.id!r}", len(phases), len(wrong.found)
    wrong.numbers(
        branch,
        what,
        {"b0_us": FINITE, "from_share": Rule(" from 0 to 1", 0.0, 1.0)}
        | dict.fromkeys(("r0_ohm", "x0_ohm", "r0_magnetising_ohm", "x0_magnetising_ohm"), at_least_zero("ohm"))
        | dict.fromkeys(("ratio_a", "ratio_b", "ratio_c"), Rule(" from 0.1 to 10", 0.1, 10.0)),
    )
    ratios = [branch.ratio, *(getattr(branch, f"ratio_{p}") for p in ABC)]
    turned = any(one is not None for one in ratios) or bool(branch.shift_deg) or bool(branch.g_us)
    turned = turned or kv[str(branch.from_)] != kv[str(branch.to)]
    if turned and branch.connection is None:
        wrong.add(
            f"{what}: is a transformer (ratio, shift_deg, g_us or kv say so): state its connection, one of "
            f"{', '.join(_STEPS)}"
        )
        return None
    matrices = [_matrix(branch, key, n, what, wrong) for key in ("r_matrix_ohm", "x_matrix_ohm", "b_matrix_us")]
    if (matrices[0] is None) != (matrices[1] is None):
        wrong.add(f"{what}: r_matrix_ohm and x_matrix_ohm belong together: give both or none")
    if matrices[0] is not None and any(getattr(branch, k) is not None for k in ("r_ohm", "x_ohm", "r0_ohm", "x0_ohm")):
        wrong.add(f"{what}: r_matrix_ohm says it all: leave out r_ohm, x_ohm, r0_ohm and x0_ohm")
    if matrices[2] is not None and (branch.b_us is not None or branch.b0_us is not None):
        wrong.add(f"{what}: b_matrix_us says it all: leave out b_us and b0_us")
    if branch.connection is not None and (any(m is not None for m in matrices) or branch.b0_us is not None):
        wrong.add(f"{what}: a transformer has r_ohm, x_ohm, r0_ohm, x0_ohm, b_us and g_us, no matrices")
    core = [
        key for key in ("r0_magnetising_ohm", "x0_magnetising_ohm", "from_share") if getattr(branch, key) is not None
    ]
    if core and branch.connection is None:
        wrong.add(f"{what}: {core[0]} belongs to a transformer: state its connection, or leave it out")
    if len(wrong.found) > before:
        return None
    if branch.connection is not None:
        return _transformer(branch, phases, what, wrong)
    r, x, b = matrices
    if r is None or x is None:
        r = of_sequences(branch.r_ohm, branch.r_ohm if branch.r0_ohm is None else branch.r0_ohm, n)
        x = of_sequences(branch.x_ohm, branch.x_ohm if branch.x0_ohm is None else branch.x0_ohm, n)
    if b is None:
        charging = branch.b_us or 0.0
        b = of_sequences(charging, charging if branch.b0_us is None else branch.b0_us, n)
    for key, matrix in (("resistance", r), ("charging", b)):
        least = float(np.linalg.eigvalsh(matrix).min())
        if least < -1e-9 * max(float(np.abs(matrix).max()), 1e-12):
            wrong.add(
                f"{what}: its {key} matrix has the eigenvalue {least:.4g}: it would give power away; look for a mutual "
                "value larger than the own ones"
            )
    found = PhaseBranch(phases, r, x, b, switchable=branch.switchable is not False)
    allowed = -1e-6 * float(np.abs(r).max() + np.abs(x).max())  # rounding, of switches that have next to none
    if found.equivalent_ohm.imag < allowed or (np.diag(x) < allowed).any():
        wrong.add(f"{what}: its reactance is below 0 (series capacitors are not modelled)")
    return found


def _matrix(branch: Any, key: str, n: int, what: str, wrong: Violations) -> Floats | None:
    """A symmetric matrix of n rows, which may be given as its lower triangle."""
    rows = getattr(branch, key)
    if rows is None:
        return None
    lengths = [len(row) for row in rows]
    if lengths not in ([n] * n, list(range(1, n + 1))):
        wrong.add(
            f"{what}: {key} has rows of {lengths} numbers: {n} phases need {n} rows of {n}, or the lower triangle"
        )
        return None
    before = len(wrong.found)
    for row in rows:
        for value in row:
            wrong.number(value, f"{what}: {key}", FINITE)
    if len(wrong.found) > before:
        return None
    matrix = np.array([[rows[max(i, j)][min(i, j)] for j in range(n)] for i in range(n)], dtype=float)
    full = lengths == [n] * n
    if full and not np.allclose(matrix, np.array(rows, dtype=float), rtol=1e-6, atol=1e-12):
        wrong.add(f"{what}: {key} must be symmetric")
        return None
    return matrix


def _transformer(branch: Any, phases: str, what: str, wrong: Violations) -> PhaseBranch | None:
    """A branch with windings."""
    if branch.connection not in _STEPS:
        wrong.add(f"{what}: connection = {branch.connection!r} must be one of {', '.join(_STEPS)}")
        return None
    if phases != ABC and branch.connection != "YNyn":
        wrong.add(f"{what}: a transformer of phases {phases!r} has grounded stars: connection = 'YNyn'")
    steps, shift = _STEPS[branch.connection], branch.shift_deg or 0.0
    if min(abs((shift - step + 60) % 120 - 60) for step in steps) > 1e-6:
        allowed = sorted({(step + turn + 180) % 360 - 180 for step in steps for turn in (0, 120, 240)})
        wrong.add(
            f"{what}: shift_deg = {shift:g} is no shift of {branch.connection}: one of "
            f"{', '.join(f'{one:g}' for one in allowed)}"
        )
    if phases != ABC and shift:
        wrong.add(f"{what}: shift_deg = {shift:g} of a transformer of phases {phases!r}: give 0")
    each = [getattr(branch, f"ratio_{p}") for p in phases]
    common = 1.0 if branch.ratio is None else branch.ratio
    if branch.ratio is not None and any(one is not None for one in each):
        wrong.add(f"{what}: ratio and ratio_a, ratio_b, ratio_c exclude each other")
    if extra := [p for p in ABC if p not in phases and getattr(branch, f"ratio_{p}") is not None]:
        wrong.add(f"{what}: ratio_{extra[0]} of a phase that it has not")
    ratio = tuple(common if one is None else float(one) for one in each)
    magnetising = complex(branch.r0_magnetising_ohm or 0.0, branch.x0_magnetising_ohm or 0.0)
    if phases != ABC and (magnetising or branch.r0_ohm is not None or branch.x0_ohm is not None):
        wrong.add(f"{what}: a transformer of phases {phases!r} has no zero sequence of its own: leave it out")
    more = [
        0.0 if zero is None else (zero - own) / 3
        for zero, own in ((branch.r0_ohm, branch.r_ohm), (branch.x0_ohm, branch.x_ohm))
    ]
    if any(more) and not branch.connection.endswith("n"):
        wrong.add(f"{what}: r0_ohm and x0_ohm of {branch.connection}, whose to side passes no zero sequence: leave out")
    if min(more) < 0:
        wrong.add(f"{what}: r0_ohm and x0_ohm of a transformer must not be less than r_ohm and x_ohm")
    if (branch.b_us or 0.0) > 0:
        wrong.add(f"{what}: b_us = {branch.b_us} of a transformer with phases must be <= 0 (its magnetising current)")
    eye = np.eye(len(phases))
    share = 0.5 if branch.from_share is None else branch.from_share
    windings = Windings(branch.connection, ratio, shift, 3 * more[0], 3 * more[1], magnetising, share)
    if len(set(ratio)) > 1 and not windings.by_phase:
        wrong.add(
            f"{what}: ratios that differ by phase belong to grounded stars (YNyn) without a zero sequence of their own"
        )
    return PhaseBranch(
        phases,
        branch.r_ohm * eye,
        branch.x_ohm * eye,
        (branch.b_us or 0.0) * eye,
        branch.g_us or 0.0,
        windings,
        branch.switchable is not False,
    )


def _load(
    record: PhaseLoadRecord, phases: str, buses: Mapping[str, int], what: str, feeds: bool, wrong: Violations
) -> PhaseLoad:
    """One load of the list, on the phases of its bus."""
    delta = record.connection == "delta"
    there = [p for k, p in enumerate(ABC) if p in phases and (not delta or ABC[(k + 1) % 3] in phases)]
    wrong.numbers(record, what, dict.fromkeys(("current_percent", "impedance_percent"), _PERCENT))
    wrong.numbers(record, what, {"vm_min_pu": Rule(" from 0.1 to 1 [pu]", 0.1, 1.0), "vm_max_pu": _AT_LEAST_ONE})
    if record.current_percent + record.impedance_percent > 100:
        wrong.add(f"{what}: current_percent and impedance_percent add up to more than 100")
    if feeds and (record.current_percent or record.impedance_percent):
        wrong.add(f"{what}: is constant power: leave out current_percent and impedance_percent")
    power: list[Triple] = []
    for key, unit in (("p", "kw"), ("q", "kvar")):
        common = getattr(record, f"{key}_{unit}")
        own = {p: getattr(record, f"{key}_{p}_{unit}") for p in ABC}
        wrong.number(common, f"{what}: {key}_{unit}")
        for p, value in own.items():
            wrong.number(value, f"{what}: {key}_{p}_{unit}")
            if value and p not in there:
                pair = f"phases {p} and {ABC[(ABC.index(p) + 1) % 3]}" if delta else f"phase {p}"
                wrong.add(
                    f"{what}: {key}_{p}_{unit} = {value:g}, but {pair} of its bus are not there: it has {phases!r}"
                )
        if common is not None and any(value is not None for value in own.values()):
            wrong.add(
                f"{what}: {key}_{unit} is the sum of equal phases, {key}_a_{unit} one phase: give one or the other"
            )
        if common and not there:
            wrong.add(f"{what}: a delta needs two phases, its bus has {phases!r}")
        equal = (common or 0.0) / max(len(there), 1)
        a, b, c = (equal * (p in there) if common is not None else float(own[p] or 0.0) for p in ABC)
        power.append((a, b, c))
    if (record.current_percent or record.impedance_percent) and min(power[0]) < 0:
        wrong.add(
            f"{what}: an active power below 0 must be constant power: leave out its shares, or list it as generation"
        )
    shares = (record.current_percent / 100, record.impedance_percent / 100)
    within = (record.vm_min_pu, record.vm_max_pu)
    return PhaseLoad(buses[str(record.bus)], power[0], power[1], delta, *shares, feeds, record.name, *within)


def _of_bus(bus: _Bus, k: int, phases: str) -> list[PhaseLoad]:
    """What a bus itself states, in equal parts on its phases."""

    def equal(value: float) -> tuple[float, float, float]:
        a, b, c = (value / len(phases) if p in phases else 0.0 for p in ABC)
        return a, b, c

    found = []
    for p, q, impedance, feeds in (
        (bus.p_kw + bus.p_gen_kw, bus.q_kvar + bus.q_gen_kvar, 0.0, False),
        (bus.p_gen_kw, bus.q_gen_kvar, 0.0, True),
        (bus.shunt_p_kw, bus.shunt_q_kvar, 1.0, False),
    ):
        if p or q:
            found.append(PhaseLoad(k, equal(p), equal(q), impedance=impedance, feeds=feeds))
    return found


def _source(name: str, data: Any, wrong: Violations) -> SourceImpedance:
    if data is None:
        return SourceImpedance()
    keys = tuple(SourcePhases.model_fields)
    wrong.numbers(data, f"substation_data {name!r}", dict.fromkeys(keys, at_least_zero("ohm")))
    r0, x0, r2, x2 = (getattr(data, key) or 0.0 for key in keys)
    return SourceImpedance(complex(r2, x2), complex(r0, x0))


def _check_supply(
    case: Any, own: Sequence[str], bus_phases: Sequence[str], buses: Mapping[str, int], wrong: Violations
) -> None:
    """Every phase of every bus is reached from a substation with all switches closed; windings join all phases."""
    sets = DisjointSets(3 * len(buses))

    def join(tail: int, head: int, phases: Iterable[int]) -> None:
        for p in phases:
            sets.join(3 * tail + p, 3 * head + p)

    roots = [buses[str(s)] for s in case.substations]
    for first, other in pairwise([*roots, roots[0]]):
        join(first, other, range(3))
    for branch, phases in zip(case.branches, own, strict=True):
        join(buses[str(branch.from_)], buses[str(branch.to)], (ABC.index(p) for p in phases))
    for bus, phases in zip(case.buses, bus_phases, strict=True):
        k = buses[str(bus.id)]
        dark = [p for i, p in enumerate(ABC) if p in phases and sets.find(3 * k + i) != sets.find(3 * roots[0] + i)]
        if dark:
            wrong.add(
                f"bus {bus.id!r}: phase {', '.join(dark)} has no path to a substation: a branch on the way lacks it, "
                "or the bus has phases too many"
            )


def phase_keys(network: Network) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """What a case file says of the phases of a network.

    Returns
    -------
    Of each bus, of each branch (instead of its impedances in the balanced network), and of each substation.
    """
    phases = network.phases
    assert phases is not None, "a network with phases"
    branches = [_branch_keys(one) for one in phases.branches]
    sources = [
        {
            key: value
            for key, value in zip(
                SourcePhases.model_fields,
                (one.zero_ohm.real, one.zero_ohm.imag, one.negative_ohm.real, one.negative_ohm.imag),
                strict=True,
            )
            if value
        }
        for one in phases.sources
    ]
    return [{"phases": one} for one in phases.bus_phases], branches, sources


def _branch_keys(branch: PhaseBranch) -> dict[str, Any]:
    """Impedances of one branch: of the sequences where that says all."""
    record: dict[str, Any] = {} if branch.phases == ABC else {"phases": branch.phases}
    if (windings := branch.windings) is not None:
        record["connection"] = windings.connection
        for key, matrix in (("r_ohm", branch.r_ohm), ("x_ohm", branch.x_ohm), ("b_us", branch.b_us)):
            record[key] = _digits(matrix[0, 0])
        if branch.g_us:
            record["g_us"] = branch.g_us
        if windings.r0_ohm or windings.x0_ohm:
            record["r0_ohm"] = _digits(branch.r_ohm[0, 0] + windings.r0_ohm)
            record["x0_ohm"] = _digits(branch.x_ohm[0, 0] + windings.x0_ohm)
        if windings.magnetising_ohm:
            record["r0_magnetising_ohm"] = _digits(windings.magnetising_ohm.real)
            record["x0_magnetising_ohm"] = _digits(windings.magnetising_ohm.imag)
            record["from_share"] = windings.from_share
        if windings.shift_deg:
            record["shift_deg"] = windings.shift_deg
        if len(set(windings.ratio)) == 1:
            return record | {"ratio": windings.ratio[0]}
        return record | {f"ratio_{p}": one for p, one in zip(branch.phases, windings.ratio, strict=True)}
    if branch.phases == ABC and all(is_circulant(m) for m in (branch.r_ohm, branch.x_ohm)):
        for key, matrix in (("r", branch.r_ohm), ("x", branch.x_ohm)):
            positive, zero = sequences(matrix)
            record |= {f"{key}_ohm": _digits(positive), f"{key}0_ohm": _digits(zero)}
    else:
        record |= {"r_matrix_ohm": _rows(branch.r_ohm), "x_matrix_ohm": _rows(branch.x_ohm)}
    if not branch.b_us.any():
        return record
    if branch.phases == ABC and is_circulant(branch.b_us):
        record["b_us"], record["b0_us"] = map(_digits, sequences(branch.b_us))
    else:
        record["b_matrix_us"] = _rows(branch.b_us)
    return record


def load_keys(network: Network) -> dict[str, list[dict[str, Any]]]:
    """The lists ``loads`` and ``generation`` of a case file; neither where it has none."""
    assert network.phases is not None, "a network with phases"
    found: dict[str, list[dict[str, Any]]] = {"loads": [], "generation": []}
    for load in network.phases.loads:
        record: dict[str, Any] = {"bus": network.bus_ids[load.bus]}
        if load.name:
            record["name"] = load.name
        if load.delta:
            record["connection"] = "delta"
        for p, kw, kvar in zip(ABC, load.kw, load.kvar, strict=True):
            if kw or kvar:
                record |= {f"p_{p}_kw": kw, f"q_{p}_kvar": kvar}
        if load.current:
            record["current_percent"] = 100 * load.current
        if load.impedance:
            record["impedance_percent"] = 100 * load.impedance
        if load.vm_min != LEAST_VOLTAGE:
            record["vm_min_pu"] = load.vm_min
        if load.vm_max != MOST_VOLTAGE:
            record["vm_max_pu"] = load.vm_max
        found["generation" if load.feeds else "loads"].append(record)
    return {key: records for key, records in found.items() if records}


def _digits(value: float) -> float:
    return float(f"{value:.12g}")


def _rows(matrix: Floats) -> list[list[float]]:
    return [[_digits(v) for v in row] for row in matrix.tolist()]
