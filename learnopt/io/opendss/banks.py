"""Units side by side as one branch: banks of single-phase transformers with their jumpers, lines of different phases.

Phases carry even shares of the power. With shares s_i and impedances z_i of the units, each as if it carried all of it,
the loss is ``|S|^2 sum s_i^2 z_i``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.opendss.engine import terminals
from learnopt.io.stations import Link
from learnopt.network.phase_data import ABC
from learnopt.wording import counted

_UNEVEN = 1e-9
"""Difference of ratios from which they are not the same."""


@dataclass(frozen=True)
class Piece:
    """A link before pieces of different phases are joined, with its phases."""

    link: Link
    phases: frozenset[int]


@dataclass(frozen=True)
class Units:
    """Single-phase transformers between the same two buses; ``open_delta`` if each has a winding between phases."""

    pieces: list[Piece]
    open_delta: bool


def banks(
    units: Mapping[frozenset[Any], Units],
    jumpers: Mapping[frozenset[Any], Sequence[Piece]],
    notes: list[str],
    explained: list[str],
    subject: str,
) -> list[Link]:
    """Units side by side as one branch each, with the closed lines that carry the phases without a unit.

    Raises
    ------
    UnsupportedError
        If a line bridges a unit that is off its neutral tap: a current would circulate between the two.
    """
    result, names, deltas, uneven = [], [], 0, []
    for key, group in units.items():
        pieces, across = list(group.pieces), list(jumpers.get(key, ()))
        served = frozenset().union(*(piece.phases for piece in pieces))
        free = [piece for piece in across if not piece.phases & served]
        if bridging := [piece for piece in across if piece.phases & served and not group.open_delta]:
            refuse_bridges(bridging, [piece.link for piece in pieces], subject)
        if across and not group.open_delta:
            pieces += free
        one = bank(pieces)
        if group.open_delta:
            deltas += 1
            one = replace(one, z=one.z * 4 / 3, ampacity=one.ampacity * math.sqrt(3) / 2)
        if free and not group.open_delta:
            one = replace(one, id=" + ".join(piece.link.id for piece in group.pieces), kind="trafo", taps=())
            notes.append(
                f"{one.id} has no unit in all phases: {', '.join(piece.link.id for piece in free)} carries the others, "
                "and is part of the bank"
            )
        elif across:
            notes.append(
                f"closed lines across {one.id} belong to it and are left out: "
                + ", ".join(piece.link.id for piece in across)
            )
        ratios = [piece.link.ratio for piece in pieces]
        if max(ratios) - min(ratios) > _UNEVEN:
            uneven.append(one.id)
        result.append(one)
        names += [one.id] if len(pieces) > 1 else []
    if names:
        notes.append(
            f"{counted(len(names), 'bank of single units is', 'banks of single units are')} "
            f"one branch each, at the mean of their ratios: "
            + ", ".join(names[:5])
            + (" ..." if len(names) > 5 else "")
        )
    if uneven:
        explained.append(
            f"{counted(len(uneven), 'bank has', 'banks have')} "
            f"phases on different taps, taken at their mean: {', '.join(uneven[:5])}"
        )
    if deltas:
        explained.append(
            f"{counted(deltas, 'bank is an open delta', 'banks are open deltas')}, "
            "each unit carrying 1/sqrt(3) of the power"
        )
    return result


def refuse_bridges(bridging: Sequence[Piece], bridged: Sequence[Link], subject: str) -> None:
    """Refuse closed lines across transformers that are not on their neutral tap."""
    off = [link for link in bridged if abs(link.ratio - 1) > _UNEVEN]
    if off:
        raise UnsupportedError(
            f"{subject}: {', '.join(piece.link.id for piece in bridging)} is closed across "
            f"{', '.join(f'{link.id} (ratio {link.ratio:.4f})' for link in off)}: a current circulates between the "
            "two. Open the line, or set the taps to neutral"
        )


def phases_of(dss: Any) -> frozenset[int]:
    """Phases of the first terminal of the active element, its neutrals left out."""
    return frozenset(terminals(dss)[0][1].tolist()) & {1, 2, 3}


def bank(pieces: Sequence[Piece]) -> Link:
    """Pieces side by side as one branch: each carries the share of its phases, the ratio is the mean of the phases.

    With shares s_i of the power the loss is ``|S|^2 sum s_i^2 z_i``. Pieces of the same phases share it by their
    admittances instead. One tap moves all.
    """
    carried = frozenset().union(*(piece.phases for piece in pieces))
    first = replace(pieces[0].link, phases="".join(ABC[k - 1] for k in sorted(carried)))
    if len(pieces) == 1:
        return first
    links = [piece.link for piece in pieces]
    count = np.array([max(len(piece.phases), 1) for piece in pieces], dtype=float)
    ratios = [link.ratio if link.from_bus == first.from_bus else 1 / link.ratio for link in links]
    apart = len(carried) == sum(len(piece.phases) for piece in pieces)
    if apart:
        share = count / count.sum()
        z = complex(sum(s**2 * link.z for s, link in zip(share, links, strict=True)))
        ampacity = float(min(link.ampacity / s for s, link in zip(share, links, strict=True)))
    else:
        z = 1 / sum(1 / link.z for link in links) if all(link.z for link in links) else 0j
        ampacity = sum(link.ampacity for link in links)
    return replace(
        first,
        id=" + ".join(link.id for link in links),
        z=z,
        y=sum(link.y for link in links),
        ratio=float(np.average(ratios, weights=count)),
        ampacity=ampacity,
        taps=first.taps if all(link.taps for link in links) else (),
        tap_numbers=first.tap_numbers if all(link.taps for link in links) else (),
    )
