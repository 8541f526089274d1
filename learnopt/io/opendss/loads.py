"""Loads, generators, PV systems, storages, capacitors and shunt reactors of an OpenDSS circuit, at their buses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import admittance, balanced, disconnected, each, terminals
from learnopt.wording import agreeing, counted

_SHARES: Mapping[int, tuple[float, float]] = {
    1: (0.0, 0.0),
    2: (1.0, 1.0),
    3: (0.0, 1.0),
    5: (0.5, 0.5),
    6: (0.0, 0.0),
    7: (0.0, 1.0),
}
"""Share of p and of q that each load model draws as an impedance; a current is half power, half impedance."""
PRODUCERS = ("generator", "pvsystem", "storage")
_FACTORS = (1.0, np.sqrt(3.0), 2.0)
_THREE_PHASES = (2, 3)
"""Numbers of phases whose rated voltage is that between lines."""


@dataclass(frozen=True)
class Injection:
    """What one element draws: constant power, which a load shape multiplies, and a shunt at nominal voltage [kW, kvar].

    ``shape`` is "" where there is none.
    """

    id: str
    bus: str
    kw: float = 0.0
    kvar: float = 0.0
    shunt_kw: float = 0.0
    shunt_kvar: float = 0.0
    shape: str = ""

    @property
    def feeds(self) -> bool:
        """It generates, as a kind of element and now: a storage may also draw."""
        return self.id.startswith(PRODUCERS) and self.kw < 0


def injections(
    dss: Any, kv: Mapping[str, float], notes: list[str], explained: list[str], subject: str
) -> list[Injection]:
    """Everything that hangs on one bus.

    Parameters
    ----------
    notes, explained
        What was assumed; what of it may make OpenDSS's loss another one.

    Raises
    ------
    UnsupportedError
        For capacitors in series.
    """
    off = disconnected(dss)
    found = [*_loads(dss, kv, notes, explained), *_producers(dss, kv, notes, off)]
    for kind, collection in (("capacitor", dss.Capacitors), ("reactor", dss.Reactors)):
        for name in each(collection):
            if is_off(dss):
                off.append(f"{kind}.{name}")
                continue
            (bus, nodes), *others = terminals(dss)
            if not is_shunt(dss):
                if kind == "capacitor":
                    raise UnsupportedError(f"{subject}: {kind}.{name} is in series, which is not modelled")
                continue
            if bus not in kv:
                notes.append(f"{kind}.{name} is at bus {bus}, which has no voltage, and left out")
                continue
            v = np.concatenate([balanced(nodes), *(balanced(n) for _, n in others)]) * kv[bus] * 1e3 / np.sqrt(3)
            power = complex(v @ np.conj(admittance(dss) @ v)) / 1e3
            found.append(Injection(f"{kind}.{name}", bus, shunt_kw=max(power.real, 0.0), shunt_kvar=power.imag))
    if off:
        notes.append(
            f"{counted(len(off), 'element is', 'loads, generators and shunts are')} "
            f"disconnected (Open) and left out: {_some(off)}"
        )
    return found


def is_shunt(dss: Any) -> bool:
    """The active capacitor or reactor hangs on one bus."""
    (bus, _), *others = terminals(dss)
    return not others or others[0][0] == bus or not others[0][1].any()


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")


def impedance_share(dss: Any) -> tuple[float, float]:
    """Share of p and of q of the active load that counts as an impedance."""
    model = int(dss.Loads.Model())
    if model == 4:
        return dss.Loads.CVRwatts() / 2, dss.Loads.CVRvars() / 2
    if model == 8:
        zip_v = dss.Loads.ZipV()
        return zip_v[0] + zip_v[1] / 2, zip_v[3] + zip_v[4] / 2
    return _SHARES.get(model, (0.0, 0.0))


def rated_power(dss: Any) -> tuple[float, float]:
    """Power of the active load at its rated voltage [kW, kvar], as its admittance in OpenDSS has it.

    So it holds all that scales a load: ``LoadMult``, ``status``, growth, allocation and load shapes.
    """
    y, phases, delta = admittance(dss), dss.CktElement.NumPhases(), dss.Loads.IsDelta()
    branch = -y[0, 1] if delta else y[0, 0]
    rated = dss.Loads.kV() / (np.sqrt(3) if phases in _THREE_PHASES and not delta else 1.0)
    power = phases * complex(branch).conjugate() * rated**2 * 1e3
    return power.real, power.imag


def voltage_shares(dss: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """Shares of constant power, current and impedance of the active load, of p and of q; None of other laws."""
    model = int(dss.Loads.Model())
    power, current, impedance = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
    if model == 8:
        zip_v = dss.Loads.ZipV()
        return (zip_v[2], zip_v[1], zip_v[0]), (zip_v[5], zip_v[4], zip_v[3])
    known = {1: (power, power), 2: (impedance, impedance), 3: (power, impedance), 5: (current, current)}
    known |= {6: (power, power), 7: (power, impedance)}
    return known.get(model)


def _loads(dss: Any, kv: Mapping[str, float], notes: list[str], explained: list[str]) -> list[Injection]:
    """Loads at the power that OpenDSS gives them at rated voltage."""
    result, impedance, current = [], 0, 0
    outside, unusual = [], 0
    unsupplied: list[str] = []
    for name in each(dss.Loads):
        if not dss.CktElement.Enabled():
            continue
        bus, nodes = terminals(dss)[0]
        if bus not in kv:
            unsupplied.append(f"load.{name}")
            continue
        p, q = rated_power(dss)
        model = int(dss.Loads.Model())
        unusual += model not in (4, 8, *_SHARES)
        of_p, of_q = impedance_share(dss)
        impedance += bool(of_p or of_q)
        current += model in (4, 5, 8)
        rated, nominal = dss.Loads.kV(), kv[bus] / np.sqrt(3)
        factor = min(((nominal * f / rated) for f in _FACTORS), key=lambda ratio: abs(np.log(ratio))) ** 2
        flat = dss.CktElement.VoltagesMagAng()[0::2]
        level = np.mean([flat[k] for k, n in enumerate(nodes) if 1 <= n <= 3] or [nominal * 1e3]) / nominal / 1e3
        if not dss.Loads.Vminpu() <= level / np.sqrt(factor) <= dss.Loads.Vmaxpu() and model != 2:
            outside.append(f"load.{name}")
        shape = dss.Loads.Yearly() or dss.Loads.Daily()
        result.append(
            Injection(
                f"load.{name}",
                bus,
                p * (1 - of_p),
                q * (1 - of_q),
                p * of_p * factor,
                q * of_q * factor,
                shape.lower(),
            )
        )
    if impedance:
        notes.append(
            f"{impedance} of {counted(len(result), 'load')} {agreeing(impedance, 'depends', 'depend')} "
            "on the voltage: their constant-impedance share is a shunt at "
            "their bus and does not follow load shapes"
        )
    if current:
        explained.append(f"the current-like share of {counted(current, 'load')} counts as half power, half impedance")
    if outside:
        explained.append(
            f"{counted(len(outside), 'load is', 'loads are')} "
            "outside of Vminpu and Vmaxpu in OpenDSS's solution, where it makes them "
            f"impedances; here they keep their model: {_some(outside)}"
        )
    if unsupplied:
        notes.append(
            f"{counted(len(unsupplied), 'load is', 'loads are')} "
            f"at buses without a voltage base, and left out: {_some(unsupplied)}"
        )
    if unusual:
        explained.append(
            f"{counted(unusual, 'load has', 'loads have')} a model that is not known and count as constant power"
        )
    return result


def _producers(dss: Any, kv: Mapping[str, float], notes: list[str], off: list[str]) -> list[Injection]:
    """Everything else that converts power, at its output in OpenDSS's solution."""
    result = []
    for full in dss.Circuit.AllElementNames():
        kind, _, name = full.lower().partition(".")
        if kind not in PRODUCERS:
            continue
        dss.Circuit.SetActiveElement(full)
        if not dss.CktElement.Enabled():
            continue
        bus = terminals(dss)[0][0]
        if bus not in kv:
            off.append(f"{kind}.{name}")
            continue
        total = dss.CktElement.TotalPowers()
        shape = ""
        if kind in ("generator", "pvsystem"):
            shape = _property(dss, full, "yearly") or _property(dss, full, "daily")
        result.append(Injection(f"{kind}.{name}", bus, float(total[0]), float(total[1]), shape=shape.lower()))
    if result:
        total = sum(one.kw for one in result)
        notes.append(
            f"{counted(len(result), 'generator is', 'generators (PV systems, storages) are')} "
            "negative load at present output, together "
            f"{-total:.4g} kW"
        )
    return result


def _property(dss: Any, element: str, name: str) -> str:
    dss.Text.Command(f"? {element}.{name}")
    return str(dss.Text.Result()).strip()
