"""Lines and sources of an OpenDSS circuit as branches of the positive sequence.

Every element stands for the three-phase power that flows through it. A line of n phases with impedance matrix Z, whose
phases share the power evenly, loses ``|S / (n V)|^2 w^H Z w``, w being the balanced unit phasors of its phases; the
branch of impedance z loses ``|S / (3 V)|^2 3 z``. Both are equal for

    z = 3 w^H Z w / n^2

which is z1 of a line of three phases, 3 z for a lateral of one phase, and gives the same voltage drop per unit. Shunt
admittances of n phases are ``w^H Y w / 3`` by the same comparison. Behind a centre-tapped transformer the two hot legs
are in opposition, w = (1, -1).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.opendss.banks import Piece, bank, phases_of
from learnopt.io.opendss.engine import admittance, balanced, each, opposed, terminals
from learnopt.io.opendss.transformers import per_unit
from learnopt.io.stations import Link
from learnopt.network.phase_data import ABC
from learnopt.wording import agreeing, counted

UNSTATED_AMPERES = 400.0
"""OpenDSS's rating of lines that state none [A]."""
LEFT_OUT = "open switches of one or two phases are left out"
"""What the note of such switches starts with; its list follows a colon."""
BY_PHASE = (
    "open switches of one or two phases stay open in the balanced network, which would feed three phases through them; "
    "answers in all phases may close them"
)
"""The same for those that some state closes."""
OPEN_END = "_open"
"""Ending of the fictitious bus at the open end of a tie, as the IEEE 123-bus feeder has it."""


NEGLIGIBLE = 1e-5
"""Shunt admittance that an open switch may leave energised without a bus of its own [MVA at nominal voltage]."""


@dataclass(frozen=True)
class SwitchState:
    """Whether a switch is open, and the terminal, 1 or 2, at which it acts; 0 if the line is open at both."""

    is_open: bool
    terminal: int


def switch_states(dss: Any, notes: list[str]) -> dict[str, SwitchState]:
    """Lines that are switches, and their states; all become enabled and closed in the engine, to be measured.

    A switch is a line with ``Switch=yes``, with a SwtControl, or with an open terminal. Disabled ones are open. It acts
    at the terminal that is open, else at that of its SwtControl, else at the first one.
    """
    controlled: dict[str, int] = {}
    for _ in each(dss.SwtControls):
        controlled[dss.SwtControls.SwitchedObj().lower()] = dss.SwtControls.SwitchedTerm()
    states: dict[str, SwitchState] = {}
    left_out = 0
    for name in dss.Lines.AllNames():
        dss.Circuit.SetActiveElement(f"Line.{name}")
        enabled = dss.CktElement.Enabled()
        phases, ends = dss.CktElement.NumPhases(), (1, 2)
        opened = [dss.CktElement.IsOpen(end, k + 1) for end in ends for k in range(phases)] if enabled else [True]
        dss.Text.Command(f"? Line.{name}.Switch")
        is_switch = dss.Text.Result().lower().startswith(("y", "t")) or f"line.{name.lower()}" in controlled
        ends_open = [all(opened[end * phases : (end + 1) * phases]) or not enabled for end in range(2)]
        whole = any(ends_open)
        if not enabled and not is_switch:
            left_out += 1
        elif is_switch or whole:
            acts = controlled.get(f"line.{name.lower()}", 1) if not whole else 1 + ends_open.index(True)
            states[f"line.{name.lower()}"] = SwitchState(whole, 0 if all(ends_open) else acts)
            if not enabled:
                dss.Text.Command(f"Line.{name}.Enabled=yes")
            if any(opened):
                dss.Text.Command(f"Close Line.{name} 1")
                dss.Text.Command(f"Close Line.{name} 2")
    if left_out:
        notes.append(f"{counted(left_out, 'line is', 'lines are')} disabled, without being switches, and left out")
    dss.Solution.BuildYMatrix(0, 0)
    return states


def lines(
    dss: Any,
    kv: Mapping[str, float],
    states: Mapping[str, SwitchState],
    split: Collection[str],
    across: Collection[frozenset[Any]],
    notes: list[str],
    subject: str,
) -> tuple[list[Link], dict[frozenset[Any], list[Piece]]]:
    """Lines and series reactors; those of different phases side by side are one branch.

    Parameters
    ----------
    split
        Buses of split-phase services.
    across
        Pairs of buses between which transformers lie; closed lines between them come back apart, by their buses.
    """
    pieces, unstated, ties = [], 0, []
    for name in each(dss.Lines):
        link = _series(dss, f"line.{name}", kv, split)
        if link is None:
            continue
        phases = dss.CktElement.NumPhases()
        rated = dss.CktElement.NormalAmps()
        unstated += rated == UNSTATED_AMPERES
        amperes = rated * min(phases, 3) / 3 if 0 < rated != UNSTATED_AMPERES else math.inf
        link = replace(link, ampacity=amperes)
        if (state := states.get(link.id)) is not None:
            acts = (None, link.from_bus, link.to_bus)[state.terminal] if abs(link.y) > NEGLIGIBLE else None
            link = replace(link, switchable=True, is_open=state.is_open, switch_end=acts)
        far = link.to_bus
        if link.switchable and str(far).endswith(OPEN_END) and str(far).removesuffix(OPEN_END) in kv:
            link = replace(link, to_bus=str(far).removesuffix(OPEN_END), is_open=True, switch_end=None)
            ties.append(f"{link.id} from {link.from_bus} to {link.to_bus}")
        pieces.append(Piece(link, phases_of(dss)))
    for name in each(dss.Reactors):
        link = _series(dss, f"reactor.{name}", kv, split)
        if link is not None:
            pieces.append(Piece(link, phases_of(dss)))
    if unstated:
        some = counted(unstated, "line has", "lines have")
        notes.append(f"{some} OpenDSS's default rating of 400 A, which is taken for none")
    if ties:
        notes.append(f"switches that end on a bus NAME_OPEN are open ties to bus NAME: {', '.join(ties)}")
    few = sum(len(piece.phases) < 3 for piece in pieces)
    if few:
        notes.append(
            f"{few} of {counted(len(pieces), 'line')} {agreeing(few, 'has', 'have')} "
            f"one or two phases: each is a branch of three phases with the same loss "
            "and drop for the same power (z = 3 w'Zw / n^2)"
        )
    jumpers: dict[frozenset[Any], list[Piece]] = {}
    for piece in pieces:
        ends = frozenset((piece.link.from_bus, piece.link.to_bus))
        if ends in across and not piece.link.is_open:
            jumpers.setdefault(ends, []).append(piece)
    apart = {id(piece) for group in jumpers.values() for piece in group}
    return _joined([piece for piece in pieces if id(piece) not in apart], notes, subject), jumpers


def _series(dss: Any, name: str, kv: Mapping[str, float], split: Collection[str]) -> Link | None:
    """The active element between two buses; None for a shunt.

    Raises
    ------
    UnsupportedError
        For a reactance below 0, such as a series capacitor has.
    """
    ends = terminals(dss)
    if len(ends) != 2 or ends[0][0] == ends[1][0] or not ends[1][1].any():
        return None
    (start, nodes), (end, _) = ends
    w = opposed(nodes) if start in split else balanced(nodes)
    n = np.count_nonzero(w)
    if start not in kv or end not in kv or not n:
        return None
    y = admittance(dss)
    size = len(nodes)
    phase = np.flatnonzero(w)
    series = -y[:size, size:][np.ix_(phase, phase)]
    charging = ((y[:size, :size] + y[:size, size:]) + (y[size:, size:] + y[size:, :size]))[np.ix_(phase, phase)]
    w = w[phase]
    z = complex(3 * w.conj() @ np.linalg.inv(series) @ w / n**2)
    shunt = complex(w.conj() @ charging @ w) / 3
    if z.imag < -1e-9 * abs(z):
        raise UnsupportedError(f"{name}: its reactance of {z.imag:.4g} ohm is below 0, which is not modelled")
    z_base = kv[start] ** 2
    z = complex(max(z.real, 0.0), max(z.imag, 0.0)) / z_base
    # The numerical inverse leaves a conductance of the order of rounding.
    real = shunt.real if shunt.real > 1e-6 * abs(shunt.imag) and abs(shunt) > 1e-12 else 0.0
    imag = shunt.imag if shunt.imag > 1e-12 else 0.0
    return Link(name, "line", "", start, end, z=z, y=complex(real, imag) * z_base)


def _joined(pieces: Sequence[Piece], notes: list[str], subject: str) -> list[Link]:
    """One branch for pieces of different phases between the same buses, which carry one power together.

    Raises
    ------
    UnsupportedError
        If some phases between two buses are closed and others open.
    """
    closed: dict[frozenset[Any], list[Piece]] = {}
    for piece in pieces:
        if not piece.link.is_open:
            closed.setdefault(frozenset((piece.link.from_bus, piece.link.to_bus)), []).append(piece)
    for piece in pieces:
        beside = closed.get(frozenset((piece.link.from_bus, piece.link.to_bus)), [])
        if piece.link.is_open and beside and not any(piece.phases & other.phases for other in beside):
            raise UnsupportedError(
                f"{subject}: {piece.link.id} is open and {beside[0].link.id} beside it is closed, in another phase: a "
                "network of three equal phases has no such state. Open or close all of its phases"
            )
    groups: dict[tuple[Any, ...], list[Piece]] = {}
    for piece in pieces:
        link = piece.link
        key = (frozenset((link.from_bus, link.to_bus)), link.switchable, link.is_open)
        groups.setdefault(key, []).append(piece)
    result, joined = [], 0
    for group in groups.values():
        phases = [p for piece in group for p in piece.phases]
        together = len(set(phases)) == len(phases)
        for part in [group] if together else [[piece] for piece in group]:
            joined += len(part) if len(part) > 1 else 0
            result.append(bank(part))
    if joined:
        notes.append(f"{joined} lines of different phases side by side are joined to branches of all their phases")
    return result


def ties_by_phase(
    wires: Sequence[Link], others: Sequence[Link], all_fed: bool, notes: list[str]
) -> tuple[list[Link], list[Link]]:
    """Part the open switches of one or two phases, which a balanced network leaves open, from all other lines.

    Where everything is fed and all other switches have three phases, a radial state closes as many of these ties in
    each phase as in any other: every phase opens its loops, and the switches of three phases open one in each. So ties
    that do not cover all three phases are open in every state; they are left out.

    Parameters
    ----------
    wires, others
        Lines, and all other branches.
    all_fed
        Every node of the circuit has a voltage in the present state.

    Returns
    -------
    Lines without these switches, and those of them that some state may close.
    """
    ties = [link for link in wires if link.is_open and link.phases != ABC]
    if not ties:
        return list(wires), []
    kept = [link for link in wires if not (link.is_open and link.phases != ABC)]
    names = ", ".join(link.id for link in ties)
    whole = all(link.phases == ABC for link in (*kept, *others) if link.switchable)
    if all_fed and whole and len(set().union(*(link.phases for link in ties))) < len(ABC):
        notes.append(f"{LEFT_OUT}, a balanced network would feed three phases through them: {names}")
        return kept, []
    notes.append(f"{BY_PHASE}: {names}")
    return kept, ties


@dataclass(frozen=True)
class SourceVoltage:
    """What a source holds behind its impedance: magnitude [pu] and angle [degree]."""

    pu: float
    degrees: float


def source_loss(dss: Any) -> float:
    """Loss in the impedance of the active source [kW]."""
    nodes = terminals(dss)[0][1]
    z = np.linalg.inv(admittance(dss)[: len(nodes), : len(nodes)])
    flat = np.array(dss.CktElement.Currents())
    current = (flat[0::2] + 1j * flat[1::2])[: len(nodes)]
    with np.errstate(all="ignore"):  # OpenDSS leaves flags of the floating-point unit behind, numpy would report them
        return float((current.conj() @ z @ current).real) / 1e3


def sources(dss: Any, kv: dict[str, float], voltage: dict[str, SourceVoltage]) -> tuple[list[Link], float]:
    """Branches of the source impedances, and the loss inside the sources [kW] in OpenDSS's solution.

    A bus ``vsource.NAME`` behind each impedance joins ``kv`` and, with its voltage, ``voltage``.
    """
    result, loss = [], 0.0
    for name in each(dss.Vsources):
        if not dss.CktElement.Enabled():
            continue
        bus, nodes = terminals(dss)[0]
        if bus not in kv or not balanced(nodes).any():
            continue
        z = np.linalg.inv(admittance(dss)[: len(nodes), : len(nodes)])
        loss += source_loss(dss)
        w = balanced(nodes)
        impedance = complex(3 * w.conj() @ z @ w) / np.count_nonzero(w) ** 2
        inner = f"vsource.{name}"
        kv[inner] = kv[bus]
        pu = dss.Vsources.PU() * per_unit(dss.Vsources.BasekV(), kv[bus])
        voltage[inner] = SourceVoltage(pu, dss.Vsources.AngleDeg())
        result.append(
            Link(inner, "line", "", inner, bus, z=complex(max(impedance.real, 0), impedance.imag) / kv[bus] ** 2)
        )
    return result, loss
