"""Regulators and capacitors of an OpenDSS circuit as devices with positions: each unit by itself, phase by phase."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.io.opendss.classes import is_off
from learnopt.io.opendss.engine import each, terminals
from learnopt.io.opendss.loads import is_shunt
from learnopt.network.phase_data import ABC
from learnopt.network.unbalanced import CAPACITORS, TAPS, PhaseDevice


def devices(dss: Any) -> tuple[PhaseDevice, ...]:
    """Transformers with a regulator control, and banks of capacitors with their steps.

    Where some capacitors have a control it is those that can be operated, else all.
    """
    return (*_regulators(dss), *_capacitors(dss))


def _regulators(dss: Any) -> list[PhaseDevice]:
    found: dict[str, PhaseDevice] = {}
    controls = [(dss.RegControls.Transformer().lower(), dss.RegControls.TapWinding()) for _ in each(dss.RegControls)]
    for name, winding in controls:
        dss.Transformers.Name(name)
        if not dss.CktElement.Enabled():
            continue
        dss.Transformers.Wdg(winding)
        low, high, count = dss.Transformers.MinTap(), dss.Transformers.MaxTap(), dss.Transformers.NumTaps()
        present = round((dss.Transformers.Tap() - low) / (high - low) * count) - count // 2
        values = tuple(np.linspace(low, high, count + 1).tolist())
        full = f"transformer.{name}"
        found[full] = PhaseDevice(full, TAPS, _phases(dss), -(count // 2), values, present, winding)
    return list(found.values())


def _capacitors(dss: Any) -> list[PhaseDevice]:
    controlled = {dss.CapControls.Capacitor().lower() for _ in each(dss.CapControls)}
    found = []
    for name in each(dss.Capacitors):
        if not dss.CktElement.Enabled() or is_off(dss) or not is_shunt(dss):
            continue
        if controlled and name.lower() not in controlled:
            continue
        steps = dss.Capacitors.NumSteps()
        values = tuple((dss.Capacitors.kvar() * np.arange(steps + 1) / steps).tolist())
        present = int(sum(max(state, 0) for state in dss.Capacitors.States()))
        found.append(PhaseDevice(f"capacitor.{name.lower()}", CAPACITORS, _phases(dss), 0, values, present))
    return found


def _phases(dss: Any) -> str:
    nodes = terminals(dss)[0][1].tolist()
    return "".join(ABC[node - 1] for node in sorted({int(node) for node in nodes if 1 <= node <= 3}))


def operate(dss: Any, device: PhaseDevice, position: int) -> None:
    """Move a device."""
    name, at = device.element.partition(".")[2], position - device.first
    if device.kind == TAPS:
        dss.Transformers.Name(name)
        dss.Transformers.Wdg(device.winding)
        dss.Transformers.Tap(device.values[at])
        return
    dss.Capacitors.Name(name)
    steps = len(device.values) - 1
    dss.Capacitors.States([int(k < at) for k in range(steps)])
