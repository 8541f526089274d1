"""Which elements of OpenDSS the network stands for: a circuit with others, or open in some phases, is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from learnopt.errors import UnsupportedError
from learnopt.io.opendss.engine import terminals
from learnopt.io.opendss.statements import words

_MODELLED = words("line vsource load transformer capacitor reactor generator pvsystem storage")
_CONTROLS = words(
    "regcontrol capcontrol swtcontrol fuse relay recloser invcontrol expcontrol storagecontroller "
    "gendispatcher upfccontrol espvlcontrol"
)
"""Their settings in the present solution stay; they are not simulated."""
_METERS = words("monitor energymeter sensor")
_INSTEAD: Mapping[str, str] = {
    "fault": "a fault is no state to reconfigure: remove it, or set enabled=no",
    "isource": "a current source is not modelled: replace it by a Generator of its power",
    "indmach012": "a machine whose power depends on voltage and slip is not modelled: replace it by a Load",
    "autotrans": "replace it by a Transformer",
}
_SHUNTS = words("capacitor reactor")
_PHASES = 3
_LISTED = 5
_HOLDS_VOLTAGE = 3
"""Model of a Generator that holds its voltage."""


def refuse_unmodelled(dss: Any, subject: str, notes: list[str]) -> None:
    """Refuse elements in service of classes that are not modelled, and elements that are open in some phases only.

    Raises
    ------
    UnsupportedError
        Naming the elements.
    """
    found: dict[str, list[str]] = {}
    controls: dict[str, int] = {}
    for full in dss.Circuit.AllElementNames():
        kind, _, _name = full.lower().partition(".")
        dss.Circuit.SetActiveElement(full)
        if not dss.CktElement.Enabled():
            continue
        if kind in _CONTROLS:
            controls[kind] = controls.get(kind, 0) + 1
        elif kind not in _MODELLED and kind not in _METERS:
            found.setdefault(kind, []).append(full.lower())
        elif kind in _MODELLED and kind != "vsource":
            _check_phases(dss, full.lower(), subject)
            if kind not in _SHUNTS:
                _check_nodes(dss, full.lower(), subject)
        if kind == "generator":
            dss.Text.Command(f"? {full}.model")
            if int(float(dss.Text.Result() or 1)) == _HOLDS_VOLTAGE:
                raise UnsupportedError(
                    f"{subject}: {full.lower()} has model=3, which holds the voltage of its bus: not modelled. Give it "
                    "the power and the reactive power that it has, with model=1"
                )
    if found:
        kinds = [
            f"{', '.join(names[:_LISTED])}{' ...' if len(names) > _LISTED else ''}"
            + (f" ({_INSTEAD[kind]})" if kind in _INSTEAD else f" (class {kind})")
            for kind, names in found.items()
        ]
        raise UnsupportedError(f"{subject}: not modelled: {'; '.join(kinds)}")
    controls.pop("regcontrol", None)  # their note says more
    controls.pop("swtcontrol", None)
    if controls:
        counted = ", ".join(f"{count} {kind}" for kind, count in controls.items())
        notes.append(f"controls are not simulated, what they set stays as OpenDSS's solution has it: {counted}")


def _check_phases(dss: Any, name: str, subject: str) -> None:
    """Refuse an element with a terminal that is open in some of its phases only."""
    for end, (_, nodes) in enumerate(terminals(dss), 1):
        phases = [k for k, node in enumerate(nodes, 1) if 1 <= node <= 3]
        opened = [k for k in phases if dss.CktElement.IsOpen(end, k)]
        if opened and len(opened) < len(phases):
            which = ", ".join(str(nodes[k - 1]) for k in opened)
            raise UnsupportedError(
                f"{subject}: {name} is open in phase {which} alone at its terminal {end}: a network of three equal "
                "phases has no such state. Open or close all of its phases"
            )


def _check_nodes(dss: Any, name: str, subject: str) -> None:
    """Refuse an element on nodes beyond the three phases alone: a second circuit, a neutral of its own."""
    for bus, nodes in terminals(dss):
        if nodes.max(initial=0) > _PHASES and not ((nodes >= 1) & (nodes <= _PHASES)).any():
            raise UnsupportedError(
                f"{subject}: {name} is connected to node {int(nodes.max())} of bus {bus} and to none of the "
                "phases 1, 2 and 3: conductors beyond three phases are not modelled. Give a second circuit "
                "buses of its own"
            )


def is_off(dss: Any) -> bool:
    """The active element of one terminal is disconnected: ``Open Load.x 1``."""
    return bool(dss.CktElement.IsOpen(1, 0)) and all(
        dss.CktElement.IsOpen(1, k) for k, node in enumerate(terminals(dss)[0][1], 1) if 1 <= node <= 3
    )
