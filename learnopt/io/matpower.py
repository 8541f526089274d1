"""MATPOWER case files (``.m``, version 2) of distribution networks.

The unit conversions that MATPOWER's distribution cases carry at their end are carried out (ohm to per unit, kW to MW).

What is read, and how:

==================  ==================================================================================================
buses of type 3     substations, at the voltage ``VG`` of their generator (``VM`` of the bus without one)
buses of type 4     isolated: dropped with their branches
other generators    in service: negative load ``PG``, ``QG``; voltage control is not modelled
shunts              ``GS`` and ``BS``: admittances of the bus
``BR_STATUS`` 0     normally open
``RATE_A``          current limit at nominal voltage; 0 = none
``VMIN``, ``VMAX``  the limits that respect every bus but the substations: highest ``VMIN``, lowest ``VMAX``. None where
                    these leave no room (some cases have ``VMIN = VMAX = 1`` at every bus)
``TAP``             ratio of the branch; a phase shift does not change a radial power flow and is left out
switchable          not in the format: every branch counts as switchable
==================  ==================================================================================================

Ids are the bus numbers of the file, and the row of a branch, from 1. The base voltage is the one most buses have. A
file whose base voltages are all line-to-neutral (``12/sqrt(3)``) is per phase, its powers count three times.

References
----------
MATPOWER User's Manual, appendix B (case format), https://matpower.org/docs/MATPOWER-manual.pdf.
"""

from __future__ import annotations

import re
from collections import Counter
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict
from learnopt.io.matlab import run_script
from learnopt.network import Floats, Network


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
_REF, _ISOLATED = 3, 4


def read_matpower(path: Path) -> Network:
    """Read a MATPOWER case file.

    Raises
    ------
    DataError
        Text that is not a version 2 case file, or whose numbers break the rules of a case; all violations at once.
    UnsupportedError
        Statements beyond assignments and arithmetic.
    """
    subject = str(path)
    try:
        # Only comments and texts of old files are ever in another encoding.
        script = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(subject, [f"cannot be read: {error.strerror or error}"]) from None
    fields = run_script(script, subject, _LISTS, ["version", "baseMVA", *_MIN_COLUMNS])
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
    bus, gen, branch = (_Table(fields[name]) for name in ("bus", "gen", "branch"))
    header = re.search(r"^\s*function\s+\w+\s*=\s*(\w+)[^\n]*\n\s*%+\s*\w+\s+([^\n]+)", script, re.MULTILINE)
    case = {
        "name": header[1] if header else path.stem,
        "title": header[2].strip() if header else "",
        "source": f"MATPOWER case file {path.name}",
    }
    return network_from_dict(case | _case(bus, gen, branch, float(base_mva), subject), subject)


class _Table:
    """A matrix of the case with its columns by their MATPOWER names."""

    def __init__(self, matrix: Any) -> None:
        self.matrix: Floats = matrix

    def __getitem__(self, column: str) -> Floats:
        values: Floats = self.matrix[:, _COLUMN[column]]
        return values

    def where(self, kept: Any) -> _Table:
        """The rows of a mask."""
        return _Table(self.matrix[kept])


def _case(bus: _Table, gen: _Table, branch: _Table, base_mva: float, subject: str) -> dict[str, Any]:
    """The tables as a case file: three-phase kW, ohm, ampere."""
    branch_id = np.arange(1, len(branch.matrix) + 1)
    isolated = bus["BUS_I"][bus["BUS_TYPE"] == _ISOLATED]
    bus = bus.where(bus["BUS_TYPE"] != _ISOLATED)
    reached = ~np.isin(branch["F_BUS"], isolated) & ~np.isin(branch["T_BUS"], isolated)
    branch, branch_id = branch.where(reached), branch_id[reached]
    gen = gen.where((gen["GEN_STATUS"] > 0) & ~np.isin(gen["GEN_BUS"], isolated))
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
    unclear = [
        f"bus {b:g}: its generators ask for different voltages {sorted(v)}" for b, v in voltage.items() if len(v) > 1
    ]
    if unclear:
        raise DataError(subject, unclear)
    for number, pg, qg in zip(gen["GEN_BUS"][~at_root], gen["PG"][~at_root], gen["QG"][~at_root], strict=True):
        p[row[number]] -= pg
        q[row[number]] -= qg

    branch_kv = np.array([kv[row[f]] if f in row else base_kv for f in branch["F_BUS"]])
    z_base = branch_kv**2 / (base_mva * kilo / 1e3)
    case: dict[str, Any] = {
        "base_kv": base_kv,
        "substations": [_id(b) for b in voltage],
        "substation_data": {str(_id(b)): {"v_pu": float(vm)} for b, (vm,) in voltage.items()},
        "buses": [
            {
                "id": _id(bus["BUS_I"][k]),
                "p_kw": float(p[k] * kilo),
                "q_kvar": float(q[k] * kilo),
                "shunt_p_kw": float(bus["GS"][k] * kilo),
                "shunt_q_kvar": float(-bus["BS"][k] * kilo),
                "kv": float(kv[k]),
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
                "normally_open": not branch["BR_STATUS"][e] > 0,
                "ampacity_a": float(branch["RATE_A"][e] * kilo / (sqrt(3.0) * branch_kv[e])) or None,
            }
            for e in range(len(branch_id))
        ],
    }
    if not roots.all():
        low, high = float(bus["VMIN"][~roots].max()), float(bus["VMAX"][~roots].min())
        if 0 < low < high:
            case["voltage_limits"] = {"vmin_pu": low, "vmax_pu": high}
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
