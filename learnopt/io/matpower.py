"""MATPOWER case files (``.m``, version 2) of distribution networks.

The unit conversions that MATPOWER's distribution cases carry at their end are carried out (ohm to per unit, kW to MW).

What is read, and how:

==================  ==================================================================================================
buses of type 3     substations, at the voltage ``VG`` of their generator (``VM`` of the bus without one)
buses of type 2     refused where a generator in service holds their voltage, else as type 1
buses of type 4     isolated: dropped with their branches
other generators    in service: negative load ``PG``, ``QG``
shunts              ``GS`` and ``BS``: admittances of the bus
``BR_STATUS`` 0     normally open
``RATE_A``          current limit at nominal voltage; 0 = none
``VMIN``, ``VMAX``  limits of the bus, but of substations. None where these leave no room (some cases have
                    ``VMIN = VMAX = 1`` at every bus)
``TAP``, ``SHIFT``  ratio and phase shift of the branch; ``VA`` of a bus of type 3 is the angle of the source
switchable          not in the format: every branch counts as switchable
``mpc.switch``      the table of switches that PowerModels defines: couplers ``switch 1`` without impedance
==================  ==================================================================================================

Every other field, and every column that holds something and is not read, is named in the notes. Fields that stand for
further equipment are refused by name. Limits: 32 MiB, 1 MiB for one line.

Ids are the bus numbers of the file, and the row of a branch, from 1. The base voltage is the one most buses have. A
file whose base voltages are all line-to-neutral (``12/sqrt(3)``) is per phase, its powers count three times.

References
----------
MATPOWER User's Manual, appendix B (case format), https://matpower.org/docs/MATPOWER-manual.pdf.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.case_json import network_from_dict
from learnopt.io.files import read_bytes
from learnopt.io.matlab import run_script
from learnopt.io.stations import turned
from learnopt.network import Floats, Network
from learnopt.wording import counted


def _numbered(first: int, names: str) -> list[tuple[str, float]]:
    return [(name, float(first + k)) for k, name in enumerate(names.split())]


# In the order in which MATPOWER's functions idx_bus, idx_brch and idx_gen return them: files name them by position.
IDX_BUS = _numbered(1, "PQ PV REF NONE") + _numbered(
    1, "BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q MU_VMAX MU_VMIN"
)
IDX_BRCH = (
    _numbered(1, "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS")
    + _numbered(14, "PF QF PT QT MU_SF MU_ST")
    + _numbered(12, "ANGMIN ANGMAX")
    + _numbered(20, "MU_ANGMIN MU_ANGMAX")
)
IDX_GEN = (
    _numbered(1, "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN")
    + _numbered(22, "MU_PMAX MU_PMIN MU_QMAX MU_QMIN")
    + _numbered(11, "PC1 PC2 QC1MIN QC1MAX QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF")
)
_LISTS = {"idx_bus": IDX_BUS, "idx_brch": IDX_BRCH, "idx_gen": IDX_GEN}
_COLUMN = {name: int(value) - 1 for constants in _LISTS.values() for name, value in constants}
_MIN_COLUMNS = {"bus": 13, "gen": 8, "branch": 11}
_PV, _REF, _ISOLATED = 2, 3, 4
_KINDS = ("PQ", "PV", "REF", "NONE")
_READ = {
    "bus": ("BUS_I", "BUS_TYPE", "PD", "QD", "GS", "BS", "VM", "VA", "BASE_KV", "VMAX", "VMIN"),
    "gen": ("GEN_BUS", "PG", "QG", "VG", "GEN_STATUS"),
    "branch": ("F_BUS", "T_BUS", "BR_R", "BR_X", "BR_B", "RATE_A", "TAP", "SHIFT", "BR_STATUS"),
}
_MAY_BE_INFINITE = ("RATE_A", "VMAX", "VMIN")
_IDLE = {"ANGMIN": (0.0, -360.0), "ANGMAX": (0.0, 360.0), "BUS_AREA": (0.0, 1.0), "ZONE": (0.0, 1.0)}
"""Values that say nothing, 0 where no others are given."""
_EQUIPMENT = re.compile(
    r"switch|breaker|^dcline$|dc$|^dc|storage|batter|load|shunt|capacitor|facts|svc|converter|trafo|transformer|regulator",
    re.IGNORECASE,
)
"""Names of fields that stand for further equipment or states."""
_MOST_BYTES = 32 * 2**20
_LONGEST_LINE = 2**20
_SWITCH_COLUMNS = 7
_UNLIMITED_MVA = 9900
"""Ratings from here on are stand-ins for "none"."""
_NAMED = 10


def read_matpower(path: Path) -> Network:
    """Read a MATPOWER case file; errors as in :func:`matpower_case`."""
    return matpower_case(path)[0]


def matpower_case(path: Path) -> tuple[Network, tuple[str, ...]]:
    """Read a MATPOWER case file, with what was assumed and what was not read.

    Raises
    ------
    DataError
        Text that is not a version 2 case file, or whose numbers break the rules of a case; all violations at once.
    UnsupportedError
        Statements beyond assignments and arithmetic, generators that hold a voltage, fields of further equipment.
    """
    subject = str(path)
    script = _text(path)
    fields, unread = run_script(script, subject, _LISTS, ["version", "baseMVA", *_MIN_COLUMNS, "switch"])
    bad = [f"mpc.{name} is missing" for name in ("baseMVA", *_MIN_COLUMNS) if name not in fields]
    if bad or str(fields.get("version", "")).removesuffix(".0") != "2":
        found = fields.get("version", "absent")
        bad.insert(0, f"not a MATPOWER case of version 2 (mpc.version is {found}): write it with MATPOWER's savecase")
        raise DataError(subject, bad)
    for name, columns in _MIN_COLUMNS.items():
        shape = np.shape(fields[name])
        if len(shape) != 2 or shape[1] < columns:
            bad.append(f"mpc.{name} must be a matrix of at least {columns} columns, its shape is {shape}")
    base_mva = fields["baseMVA"]
    if not isinstance(base_mva, float) or not 0 < base_mva < np.inf:
        bad.append(f"mpc.baseMVA = {base_mva} must be a number > 0 [MVA]")
    if bad:
        raise DataError(subject, bad)
    _refuse_equipment(script, unread, subject)
    tables = {name: _Table(fields[name]) for name in _MIN_COLUMNS}
    notes = _unread_columns(tables)
    idle = [f"mpc.{name}" for name, content in unread.items() if content]
    if idle:
        notes.append(f"not read, without effect on a power flow: {', '.join(idle)}")
    bad = [problem for name, table in tables.items() for problem in table.without_value(name)]
    if bad:
        raise DataError(subject, bad)
    header = re.search(r"^\s*function\s+\w+\s*=\s*(\w+)[^\n]*\n\s*%+\s*\w+\s+([^\n]+)", script, re.MULTILINE)
    case: dict[str, Any] = {
        "name": header[1] if header else path.stem,
        "title": header[2].strip() if header else "",
        "source": f"MATPOWER case file {path.name}",
    }
    with np.errstate(divide="ignore", invalid="ignore"):  # base voltages of 0 are named by the checks of the case
        case |= _case(tables["bus"], tables["gen"], tables["branch"], float(base_mva), subject, notes)
    switches = _switches(fields.get("switch"), case, subject)
    if switches:
        notes.append(
            f"{counted(len(switches), 'switch of mpc.switch is a coupler', 'switches of mpc.switch are couplers')}; "
            "every branch counts as switchable beside them"
        )
    case["branches"] += switches
    return network_from_dict(case, subject), tuple(notes)


def _text(path: Path) -> str:
    """The text of a file within the limits; only comments and texts of old files are ever in another encoding."""
    content = read_bytes(path, _MOST_BYTES)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > _LONGEST_LINE:
            raise DataError(
                str(path),
                [f"line {number} has {len(line)} bytes: at most {_LONGEST_LINE >> 20} MiB are read in one line"],
            )
    return content.decode("utf-8", errors="replace")


def _refuse_equipment(script: str, unread: Mapping[str, bool], subject: str) -> None:
    """Fields beyond bus, gen and branch that stand for equipment or for switches.

    Raises
    ------
    UnsupportedError
        Naming them.
    """
    found = [f"mpc.{name}" for name, content in unread.items() if content and _EQUIPMENT.search(name)]
    # PowerModels names the columns of a table of one's own in a comment above it.
    for columns, name in re.findall(r"^[ \t]*%column_names%([^\n]*)\n\s*mpc\.(\w+)", script, re.MULTILINE):
        if name != "switch" and re.search("switch|breaker", columns, re.IGNORECASE):
            found.append(f"mpc.{name} (columns {' '.join(columns.split())})")
    if found:
        raise UnsupportedError(
            f"{subject}: not modelled: {', '.join(dict.fromkeys(found))}. Take them out, or put them into mpc.bus, "
            "mpc.gen, mpc.branch, or mpc.switch (f_bus t_bus psw qsw state thermal_rating status)"
        )


def _unread_columns(tables: Mapping[str, _Table]) -> list[str]:
    """A sentence for columns that hold something and are not read."""
    found = []
    for name, constants in (("bus", IDX_BUS), ("gen", IDX_GEN), ("branch", IDX_BRCH)):
        matrix = tables[name].matrix
        named = {_COLUMN[column]: column for column, _ in constants if column in _COLUMN and column not in _KINDS}
        columns = []
        for k in range(matrix.shape[1]):
            column = named.get(k, f"column {k + 1}")
            if column not in _READ[name] and np.any(~np.isin(matrix[:, k], _IDLE.get(column, (0.0,)))):
                columns.append(column)
        if columns:
            found.append(f"{', '.join(columns)} of mpc.{name}")
    return [f"not read, without effect on a power flow: {'; '.join(found)}"] if found else []


def _switches(matrix: Any, case: dict[str, Any], subject: str) -> list[dict[str, Any]]:
    """Couplers of ``mpc.switch``: f_bus t_bus psw qsw state thermal_rating status.

    Raises
    ------
    UnsupportedError
        If the table has other columns.
    """
    if matrix is None or not np.size(matrix):
        return []
    if np.ndim(matrix) != 2 or np.shape(matrix)[1] != _SWITCH_COLUMNS:
        raise UnsupportedError(
            f"{subject}: mpc.switch of shape {np.shape(matrix)} is not known: it must have the columns f_bus t_bus psw "
            "qsw state thermal_rating status"
        )
    bad = []
    kv = {bus["id"]: bus["kv"] for bus in case["buses"]}
    result: list[dict[str, Any]] = []
    for k, (start, end, _, _, state, rating, status) in enumerate(matrix.tolist(), start=1):
        if not {state, status} <= {0.0, 1.0} or not rating >= 0:
            bad.append(
                f"mpc.switch row {k}: state = {state:g}, status = {status:g} must be 0 or 1, thermal_rating >= 0"
            )
            continue
        a, b = _id(start), _id(end)
        if status and a in kv and b in kv and kv[a] != kv[b]:
            bad.append(f"mpc.switch row {k}: couples bus {a} ({kv[a]:g} kV) and bus {b} ({kv[b]:g} kV)")
        if status:
            rated = rating * 1e3 / (sqrt(3.0) * kv[a]) if 0 < rating < _UNLIMITED_MVA and kv.get(a, 0) > 0 else None
            result.append({"id": f"switch {k}", "from": a, "to": b, "r_ohm": 0.0, "x_ohm": 0.0})
            result[-1] |= {"normally_open": not state, "ampacity_a": rated}
    if bad:
        raise DataError(subject, bad)
    return result


class _Table:
    """A matrix of the case with its columns by their MATPOWER names."""

    def __init__(self, matrix: Any) -> None:
        self.matrix: Floats = matrix

    def __getitem__(self, column: str) -> Floats:
        values: Floats = self.matrix[:, _COLUMN[column]]
        return values

    def without_value(self, name: str) -> list[str]:
        """A sentence for every cell that is read and is not a number; only ratings and limits may be infinite."""
        found = []
        for column in _READ[name]:
            wrong = np.isnan(self[column]) if column in _MAY_BE_INFINITE else ~np.isfinite(self[column])
            found += [
                f"mpc.{name} row {k + 1}: {column} = {self[column][k]:g} must be a finite number"
                for k in np.flatnonzero(wrong).tolist()
            ]
        return found

    def where(self, kept: Any) -> _Table:
        """The rows of a mask."""
        return _Table(self.matrix[kept])


def _case(bus: _Table, gen: _Table, branch: _Table, base_mva: float, subject: str, notes: list[str]) -> dict[str, Any]:
    """The tables as a case file: three-phase kW, ohm, ampere; what is assumed is added to the notes."""
    branch_id = np.arange(1, len(branch.matrix) + 1)
    isolated = bus["BUS_I"][bus["BUS_TYPE"] == _ISOLATED]
    bus = bus.where(bus["BUS_TYPE"] != _ISOLATED)
    reached = ~np.isin(branch["F_BUS"], isolated) & ~np.isin(branch["T_BUS"], isolated)
    branch, branch_id = branch.where(reached), branch_id[reached]
    gen = gen.where((gen["GEN_STATUS"] > 0) & ~np.isin(gen["GEN_BUS"], isolated))
    held = np.isin(bus["BUS_I"], gen["GEN_BUS"]) & (bus["BUS_TYPE"] == _PV)
    if held.any():
        names = ", ".join(f"bus {number:g}" for number in bus["BUS_I"][held][:_NAMED]) + (
            " ..." if np.count_nonzero(held) > _NAMED else ""
        )
        raise UnsupportedError(
            f"{subject}: not modelled: generators that hold a voltage (type 2): {names}. Make it a bus of type 1 with "
            "PG and QG, or of type 3 if it is a source"
        )
    roots = bus["BUS_TYPE"] == _REF
    if not roots.any():
        raise DataError(subject, ["no reference bus: at least one bus must have type 3, it becomes the substation"])
    base_kv, per_phase = _base_voltage(bus["BASE_KV"])
    kilo = 3e3 if per_phase else 1e3
    kv = (bus["BASE_KV"] * sqrt(3.0)).round(3) if per_phase else bus["BASE_KV"]
    p, q = bus["PD"].copy(), bus["QD"].copy()
    row = {number: k for k, number in enumerate(bus["BUS_I"])}
    unknown = [f"generator at bus {g:g}: there is no such bus" for g in gen["GEN_BUS"] if g not in row]
    if unknown:
        raise DataError(subject, unknown)
    voltage = {number: {vm} for number, vm in zip(bus["BUS_I"][roots], bus["VM"][roots], strict=True)}
    at_root = np.isin(gen["GEN_BUS"], list(voltage))
    for number in set(gen["GEN_BUS"][at_root]):
        voltage[number] = set(gen["VG"][gen["GEN_BUS"] == number])
    sourceless = [f"{number:g}" for number in voltage if number not in set(gen["GEN_BUS"][at_root])]
    if sourceless:
        notes.append(f"buses of type 3 without a generator in service are sources at their VM: {', '.join(sourceless)}")
    if (~at_root).any():
        notes.append(
            f"{counted(int((~at_root).sum()), 'generator feeds', 'generators feed')} in PG and QG as in the file"
        )
    angle = dict(zip(bus["BUS_I"], bus["VA"], strict=True))
    unclear = [
        f"bus {b:g}: its generators ask for different voltages {sorted(v)}" for b, v in voltage.items() if len(v) > 1
    ]
    if unclear:
        raise DataError(subject, unclear)
    for number, pg, qg in zip(gen["GEN_BUS"][~at_root], gen["PG"][~at_root], gen["QG"][~at_root], strict=True):
        p[row[number]] -= pg
        q[row[number]] -= qg

    limited = (bus["VMIN"] > 0) & (bus["VMIN"] < bus["VMAX"]) & (bus["VMAX"] < np.inf) & ~roots
    meaningless = np.count_nonzero(~limited & ~roots)
    if meaningless:
        some = counted(int(meaningless), "bus has", "buses have")
        notes.append(f"{some} no voltage limits: VMIN = 0, VMAX = Inf, or no room between the two")
    branch_kv = np.array([kv[row[f]] if f in row else base_kv for f in branch["F_BUS"]])
    z_base = branch_kv**2 / (base_mva * kilo / 1e3)
    case: dict[str, Any] = {
        "base_kv": base_kv,
        "substations": [_id(b) for b in voltage],
        "substation_data": {
            str(_id(b)): {"v_pu": float(vm), "va_deg": turned(float(angle[b]))} for b, (vm,) in voltage.items()
        },
        "buses": [
            {
                "id": _id(bus["BUS_I"][k]),
                "p_kw": float(p[k] * kilo),
                "q_kvar": float(q[k] * kilo),
                "shunt_p_kw": float(bus["GS"][k] * kilo),
                "shunt_q_kvar": float(-bus["BS"][k] * kilo),
                "kv": float(kv[k]),
                "vm_min_pu": float(bus["VMIN"][k]) if limited[k] else None,
                "vm_max_pu": float(bus["VMAX"][k]) if limited[k] else None,
            }
            for k in range(len(kv))
        ],
        "branches": [
            {
                "id": int(branch_id[e]),
                "from": _id(branch["F_BUS"][e]),
                "to": _id(branch["T_BUS"][e]),
                "r_ohm": float(branch["BR_R"][e] * z_base[e]),
                "x_ohm": float(branch["BR_X"][e] * z_base[e]),
                "b_us": float(branch["BR_B"][e] / z_base[e] * 1e6),
                "ratio": float(branch["TAP"][e]) or None,
                "shift_deg": turned(float(branch["SHIFT"][e])) or None,
                "normally_open": not branch["BR_STATUS"][e] > 0,
                "ampacity_a": float(branch["RATE_A"][e] * kilo / (sqrt(3.0) * branch_kv[e])) or None,
            }
            for e in range(len(branch_id))
        ],
    }
    return case


def _base_voltage(kv: Floats) -> tuple[float, bool]:
    """Base voltage [kV line-to-line] of most buses, and whether the file is per phase (see the module's text)."""

    def is_round(values: Floats) -> np.ndarray:
        return np.isclose(values, values.round(3), rtol=1e-9, atol=0.0)

    per_phase = bool(np.all(is_round(kv * sqrt(3.0)) & ~is_round(kv)))
    line_to_line = (kv * sqrt(3.0)).round(3) if per_phase else kv
    return float(Counter(line_to_line).most_common(1)[0][0]), per_phase


def _id(number: float) -> int | float:
    """A bus number of the file as an integer; anything else is left for the checks of the case to name."""
    return int(number) if np.isfinite(number) and number == int(number) else float(number)
