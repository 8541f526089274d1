"""A network in all its phases as the text of an OpenDSS circuit: a pure function, nothing is run here.

==============  ========================================================================================
substations     a Vsource at the bus, stiff in the positive sequence, with the impedances of the others
lines           ``Line.NAME`` with its matrices, at the nodes of its phases
transformers    grounded stars: a unit per phase, ``Transformer.NAME_a``; all others one unit of three phases, whose
                core is a third winding in delta where the zero sequence magnetises it
loads           one element per phase or pair of phases: models 1, 2 or 8 (ZIP)
generation      one Generator per phase or pair of phases
==============  ========================================================================================

Open branches are opened at both ends. Names are the ids of the network where OpenDSS can read them, else numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Floats, Id, Network
from learnopt.network.phase_data import ABC, PhaseBranch, PhaseData, PhaseLoad, Windings

_HERTZ = 60.0
"""Frequency that capacitances are written at; susceptances stay what they are."""
_STIFF_OHM = 1e-7
"""Reactance of a source, which must have some."""
_COUPLER_OHM = 1e-6
"""Impedance of a branch that has none: OpenDSS inverts it."""
_KVA = 1000.0
"""Rating of transformers that state none, to which their impedances refer."""
_LEAST_PERCENT = 1e-6
"""Reactance of a transformer at least."""
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True)
class Circuit:
    """The text, and how the elements of the network are called in it.

    Parameters
    ----------
    text
        A master file.
    network
        The same network, with the ids that its elements have in OpenDSS: ``line.e7``, ``vsource.source``.
    """

    text: str
    network: Network


def circuit_of(network: Network) -> Circuit:
    """The circuit of a network with phases, in its present state, with its nominal loads.

    Raises
    ------
    DataError
        If the network has no phases.
    """
    phases = network.phases
    if phases is None:
        raise DataError(network.name, ["has no phases: an OpenDSS circuit is written of networks that state them"])
    buses, branches = _names(network.bus_ids, "b"), _names(network.branch_ids, "e")
    elements = [_elements(name, one) for name, one in zip(branches, phases.branches, strict=True)]
    if len({one.lower() for parts in elements for one in parts}) < sum(map(len, elements)):  # t_a beside phase a of t
        branches = [f"e{e}" for e in range(network.n_branch)]
        elements = [_elements(name, one) for name, one in zip(branches, phases.branches, strict=True)]
    sources = ["source", *(f"source_{buses[k]}" for k in network.substations[1:].tolist())]
    lines = ["Clear", f"Set DefaultBaseFrequency={_HERTZ:g}"]
    lines += _sources(network, phases, buses, sources)
    for e, branch in enumerate(phases.branches):
        lines += _branch(network, e, branch, branches[e], buses)
        if network.normally_open[e]:
            lines += [f"Open {one} {end}" for one in elements[e] for end in (1, 2)]
    for k, load in enumerate(phases.loads):
        lines += _load(network, load, f"{'g' if load.feeds else 'd'}{k}", buses)
    levels = sorted({float(kv) for kv in network.kv})
    lines += [f"Set VoltageBases=[{' '.join(map(repr, levels))}]", "CalcVoltageBases", "Solve", ""]
    named = list(buses)
    for k, source in zip(network.substations.tolist(), sources, strict=True):
        named[k] = f"vsource.{source.lower()}"
    renamed = replace(
        network,
        bus_ids=tuple(name.lower() for name in named),
        branch_ids=tuple(" + ".join(one.lower() for one in parts) for parts in elements),
        devices=(),
        phases=None,
    )
    return Circuit("\n".join(lines), renamed)


def _names(ids: Sequence[Id], letter: str) -> list[str]:
    """A name for each id, with a letter in front where it begins with none; numbers where some cannot be read."""
    named = [str(i) if str(i)[0].isalpha() else f"{letter}{i}" for i in map(str, ids) if i]
    if all(map(_PLAIN.fullmatch, named)) and len({one.lower() for one in named}) == len(ids):
        return named
    return [f"{letter}{k}" for k in range(len(ids))]


def _elements(name: str, branch: PhaseBranch) -> list[str]:
    """Full names of the elements that a branch is."""
    if branch.windings is None:
        return [f"Line.{name}"]
    if branch.windings.by_phase:
        return [f"Transformer.{name}_{p}" for p in branch.phases]
    return [f"Transformer.{name}"]


def _sources(network: Network, phases: PhaseData, buses: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    for s, k in enumerate(network.substations.tolist()):
        one = phases.sources[s]
        z2 = one.negative_ohm or complex(0, _STIFF_OHM)
        z0 = one.zero_ohm or complex(0, _STIFF_OHM)
        what = "Circuit.feeder" if s == 0 else f"Vsource.{names[s]}"
        yield (
            f"New {what} bus1={buses[k]} basekv={float(network.kv[k])!r} pu={float(network.substation_vm[s])!r} "
            f"angle={math.degrees(network.substation_va[s])!r} basefreq={_HERTZ:g} Z1=[0, {_STIFF_OHM!r}] "
            f"Z2=[{z2.real!r}, {z2.imag!r}] Z0=[{z0.real!r}, {z0.imag!r}]"
        )


def _branch(network: Network, e: int, branch: PhaseBranch, name: str, buses: Sequence[str]) -> Iterator[str]:
    """Commands for one branch."""
    i, j = int(network.from_bus[e]), int(network.to_bus[e])
    amperes = float(network.i_max[e] * network.i_base[e]) * 3 / len(branch.phases)
    if branch.windings is not None:
        yield from _transformer(network, e, branch, branch.windings, name, (buses[i], buses[j]), amperes)
        return
    nodes = "".join(f".{ABC.index(p) + 1}" for p in branch.phases)
    r, x = branch.r_ohm, branch.x_ohm
    if not r.any() and not x.any():
        r = x = _COUPLER_OHM * np.eye(len(branch.phases))
    nanofarads = branch.b_us * 1e3 / (2 * math.pi * _HERTZ)
    yield (
        f"New Line.{name} phases={len(branch.phases)} bus1={buses[i]}{nodes} bus2={buses[j]}{nodes} "
        f"rmatrix={_triangle(r)} xmatrix={_triangle(x)} cmatrix={_triangle(nanofarads)} length=1 units=none "
        f"normamps={amperes if math.isfinite(amperes) else 0.0!r}"
    )


def _transformer(
    network: Network,
    e: int,
    branch: PhaseBranch,
    windings: Windings,
    name: str,
    buses: tuple[str, str],
    amperes: float,
) -> Iterator[str]:
    """Commands for one transformer: a unit per phase between grounded stars, else one of three phases."""
    i, j = int(network.from_bus[e]), int(network.to_bus[e])
    kv = float(network.kv[i]), float(network.kv[j])
    rated = math.sqrt(3) * kv[0] * amperes if math.isfinite(amperes) else _KVA
    percent = 100 * rated / 1e3 / kv[0] ** 2
    z = percent * complex(branch.r_ohm[0, 0], branch.x_ohm[0, 0])
    iron, magnetising = (1e-2 / percent * float(one) for one in (branch.g_us, -branch.b_us[0, 0]))
    shunt = f"%noloadloss={iron!r} %imag={max(magnetising, 0.0)!r}"
    if windings.by_phase:
        for p, ratio in zip(branch.phases, windings.ratio, strict=True):
            node, kva = ABC.index(p) + 1, rated / 3
            yield (
                f"New Transformer.{name}_{p} phases=1 windings=2 buses=[{buses[0]}.{node}.0 {buses[1]}.{node}.0] "
                f"conns=[wye wye] kvs=[{kv[0] * ratio / math.sqrt(3)!r} {kv[1] / math.sqrt(3)!r}] "
                f"kvas=[{kva!r} {kva!r}] %Rs=[{z.real / 2!r} {z.real / 2!r}] XHL={_reactance(z)!r} {shunt} "
                f"normhkva={kva!r} ppm_antifloat=0"
            )
        return
    first = re.match("YN|Y|D", windings.connection)
    assert first is not None, "checked when it was read"
    sides = (first.group().lower(), windings.connection[first.end() :])
    lead, turns = _rotation(sides, windings.shift_deg)
    lead ^= kv[0] * windings.ratio[0] < kv[1]  # OpenDSS means the side of lower voltage
    order = [(coil - turns) % 3 + 1 for coil in range(3)]
    neutral = {"d": "", "y": ".4", "yn": ".0"}
    ends = [
        f"{buses[0]}.1.2.3{neutral[sides[0]]}",
        f"{buses[1]}.{order[0]}.{order[1]}.{order[2]}{neutral[sides[1]]}",
    ]
    kvs, conns = [kv[0] * windings.ratio[0], kv[1]], ["delta" if side == "d" else "wye" for side in sides]
    legs, own = [z / 2, z / 2], ""
    if windings.magnetising_ohm:
        # A delta without load, behind which only the zero sequence finds a way; at a bus whose name no other can have.
        ends, kvs, conns = [*ends, f"{name}#core"], [*kvs, kv[1]], [*conns, "delta"]
        share = windings.from_share
        legs = [share * z, (1 - share) * z, percent * windings.magnetising_ohm]
        own = f"XHT={_reactance(legs[0] + legs[2])!r} XLT={_reactance(legs[1] + legs[2])!r} "
    yield (
        f"New Transformer.{name} phases=3 windings={len(legs)} buses=[{' '.join(ends)}] conns=[{' '.join(conns)}] "
        f"kvs=[{_listed(kvs)}] kvas=[{_listed([rated] * len(legs))}] %Rs=[{_listed([leg.real for leg in legs])}] "
        f"XHL={_reactance(z)!r} {own}{shunt} normhkva={rated!r} leadlag={'lead' if lead else 'lag'}"
    )
    if windings.r0_ohm or windings.x0_ohm:  # of the neutral of the to side: three times as much in the zero sequence
        factor = (kv[1] / kv[0]) ** 2 / 3
        yield (
            f"Edit Transformer.{name} wdg=2 bus={ends[1].removesuffix('.0')}.4 rneut={windings.r0_ohm * factor!r} "
            f"xneut={windings.x0_ohm * factor!r}"
        )


def _reactance(z: complex) -> float:
    """Of a pair of windings [%], which OpenDSS must have some of."""
    return max(z.imag, _LEAST_PERCENT)


def _listed(values: Sequence[float]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _rotation(sides: tuple[str, str], shift_deg: float) -> tuple[bool, int]:
    """Whether the delta leads, and by how many thirds of a turn the phases of the to side are exchanged."""
    if (sides[0] == "d") == (sides[1] == "d"):
        return False, round(shift_deg / 120) % 3
    for lead, step in ((False, 30.0), (True, -30.0)):
        turns = (shift_deg - step) / 120
        if abs(turns - round(turns)) < 1e-6:
            return lead, round(turns) % 3
    raise AssertionError(f"a shift of {shift_deg} degrees was checked when it was read")


def _load(network: Network, load: PhaseLoad, name: str, buses: Sequence[str]) -> Iterator[str]:
    """Commands for one load or generator."""
    kv = float(network.kv[load.bus])
    for k, p in enumerate(ABC):
        kw, kvar = float(load.kw[k]), float(load.kvar[k])
        if not kw and not kvar:
            continue
        nodes = f"{k + 1}.{(k + 1) % 3 + 1}" if load.delta else f"{k + 1}"
        rated = kv if load.delta else kv / math.sqrt(3)
        kind, model = "Load", "model=1"
        if load.feeds:
            kind, model = "Generator", "model=1 status=fixed"
        elif load.impedance == 1:
            model = "model=2"
        elif load.impedance or load.current:
            z, i = load.impedance, load.current
            shares = f"{z!r} {i!r} {1 - z - i!r}"
            model = f"model=8 zipv=[{shares} {shares} 0]"
        yield (
            f"New {kind}.{name}_{p} phases=1 bus1={buses[load.bus]}.{nodes} conn={'delta' if load.delta else 'wye'} "
            f"kv={rated!r} kw={kw!r} kvar={kvar!r} {model} vminpu={load.vm_min!r} vmaxpu={load.vm_max!r}"
            + ("" if load.feeds else " vlowpu=0.2")
        )


def _triangle(matrix: Floats) -> str:
    """The lower triangle of a matrix."""
    return "[" + " | ".join(" ".join(repr(float(v)) for v in row[: k + 1]) for k, row in enumerate(matrix)) + "]"
