"""Switches of a pandapower net: which of them the decision of a branch moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.io.pandapower.tables import Element, Tables
from learnopt.network import Bools, Device


def manual_switches(switch: Element) -> Bools:
    """Switches operated by hand, as a column ``operation`` of one's own says (``remote`` or ``manual``)."""
    words = [text.strip().lower() for text in switch.texts("operation")]
    switch.bad.extend(
        f"switch {switch.index[row]}: operation = {word!r} must be 'remote' or 'manual'"
        for row, word in enumerate(words)
        if word not in ("", "nan", "none", "remote", "manual")
    )
    return np.array([word == "manual" for word in words], dtype=bool)


@dataclass(frozen=True)
class Switch:
    """A switch at the end of a branch."""

    index: str
    name: str
    end: Any
    closed: bool
    manual: bool


class Switches:
    """Switches at the ends of lines and transformers: one decision per branch, however many switches it has.

    In the present state a branch is open at both ends, at one, or at none. What a branch leaves energised that is open
    at one end, or has switches at one end only, stays in the network behind its switch. Which switch opens a branch
    that has one at both ends is a rule of :mod:`learnopt.network.switchgear`.
    """

    def __init__(self, tables: Tables) -> None:
        switch, bus = tables["switch"], tables["bus"]
        closed, manual, names = switch.flags("closed", True), manual_switches(switch), switch.texts("name")
        self._at: dict[tuple[str, str], list[Switch]] = {}
        for row, (et, element, end) in enumerate(
            zip(switch.texts("et"), switch.texts("element"), switch.references("bus", bus), strict=True)
        ):
            if et in ("l", "t", "t3") and not element:
                switch.bad.append(f"switch {switch.index[row]}: element has no value (NaN or null): give one")
            elif et in ("l", "t", "t3"):
                found = Switch(str(switch.index[row]), names[row], end, bool(closed[row]), bool(manual[row]))
                self._at.setdefault((et, element.removesuffix(".0")), []).append(found)
            elif et != "b":
                switch.bad.append(f"switch {switch.index[row]}: et = {et!r} must be 'b', 'l', 't' or 't3'")
        for et, kind in (("l", "line"), ("t", "trafo"), ("t3", "trafo3w")):
            known = {str(i) for i in tables[kind].index}
            unknown = sorted({key for e, key in self._at if e == et} - known)
            tables.bad.extend(f"a switch stands at {kind} {key}, which the net does not have" for key in unknown)

    def of(self, et: str, index: Any, ends: tuple[Any, Any]) -> list[Switch]:
        """Switches of a branch; of a leg ``0 mv`` those at its terminal."""
        if et != "t3":
            return self._at.get((et, str(index)), [])
        return [switch for switch in self._at.get((et, str(index).split()[0]), []) if switch.end in ends]

    def state(self, et: str, element: Element, row: int, ends: tuple[Any, Any]) -> dict[str, Any]:
        """Of a branch: whether it is switchable, open, moved by hand, and the end at which its switch acts."""
        found = self.of(et, element.index[row], ends)
        element.bad.extend(
            f"{element.kind} {element.index[row]}: a switch of it is at bus {switch.end}, not one of its ends"
            for switch in found
            if switch.end is not None and switch.end not in ends
        )
        return {
            "switchable": bool(found),
            "is_open": not all(switch.closed for switch in found),
            "manual": _manual(found),
            "switch_end": _deciding_end(found),
            "devices": tuple(
                Device(f"switch {s.index}", s.name, "", s.end, s.manual, s.closed) for s in found if s.end is not None
            ),
        }


def _deciding_end(found: list[Switch]) -> Any:
    """The one end that is open, or the one that has switches; None if both ends move together."""
    for candidates in ({s.end for s in found if not s.closed}, {s.end for s in found}):
        if len(candidates) == 1:
            return candidates.pop()
    return None


def _manual(found: list[Switch]) -> bool:
    """Somebody has to travel to close a branch, at one of its open switches, or to open it where none is remote."""
    opened = [switch.manual for switch in found if not switch.closed]
    return any(opened) if opened else bool(found) and all(switch.manual for switch in found)
