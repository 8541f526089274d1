"""Switches of a pandapower net: which of them the decision of a branch moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.io.pandapower.tables import Element, Tables
from learnopt.io.pandapower.trafo3w import SIDES, star_point
from learnopt.network import Bools


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
    end: Any
    closed: bool
    manual: bool


class Switches:
    """Switches at the ends of lines and transformers: one decision per branch, however many switches it has.

    In the present state a branch is open at both ends, at one, or at none. The decision of a branch that is open at one
    end, or has switches at one end only, is at that end; else all its switches move together.
    """

    def __init__(self, tables: Tables) -> None:
        switch, bus = tables["switch"], tables["bus"]
        closed, manual = switch.flags("closed", True), manual_switches(switch)
        self._at: dict[tuple[str, str], list[Switch]] = {}
        for row, (et, element, end) in enumerate(
            zip(switch.texts("et"), switch.texts("element"), switch.references("bus", bus), strict=True)
        ):
            if et in ("l", "t", "t3") and not element:
                switch.bad.append(f"switch {switch.index[row]}: element has no value (NaN or null): give one")
            elif et in ("l", "t", "t3"):
                found = Switch(str(switch.index[row]), end, bool(closed[row]), bool(manual[row]))
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

    def moving(self, et: str, index: Any, ends: tuple[Any, Any]) -> list[Switch]:
        """Those that the decision of the branch moves."""
        found = self.of(et, index, ends)
        end = _deciding_end(found)
        return found if end is None else [switch for switch in found if switch.end == end]

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
            "manual": any(switch.manual for switch in self.moving(et, element.index[row], ends)),
            "switch_end": _deciding_end(found),
        }


def _deciding_end(found: list[Switch]) -> Any:
    """The one end that is open, or the one that has switches; None if both ends move together."""
    for candidates in ({s.end for s in found if not s.closed}, {s.end for s in found}):
        if len(candidates) == 1:
            return candidates.pop()
    return None


def moving_switches(tables: Tables) -> dict[str, list[str]]:
    """Index of the switches that each branch moves, by the id of the branch; none for one without a switch."""
    switches, bus, triple, switch = Switches(tables), tables["bus"], tables["trafo3w"], tables["switch"]
    found = {
        f"switch {index}": [str(index)] for index, et in zip(switch.index, switch.texts("et"), strict=True) if et == "b"
    }
    for et, kind, ends in (("l", "line", ("from_bus", "to_bus")), ("t", "trafo", ("hv_bus", "lv_bus"))):
        element = tables[kind]
        pairs = zip(*(element.references(end, bus) for end in ends), strict=True)
        for index, pair in zip(element.index, pairs, strict=True):
            found[f"{kind} {index}"] = [s.index for s in switches.moving(et, index, pair)]
    for side in SIDES:
        for index, terminal in zip(triple.index, triple.references(f"{side}_bus", bus), strict=True):
            leg = f"{index} {side}"
            found[f"trafo3w {leg}"] = [s.index for s in switches.moving("t3", leg, (terminal, star_point(index)))]
    return found
