"""The controls of a case file: ``capacitors``, ``taps`` and ``generators``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from learnopt.network import Base, Capacitor, Controls, Generator, Network, Tap

Number = Annotated[float, Field(strict=True)]
"""A JSON number; NaN and infinity are looked for later, by name of the object."""
FileId = StrictInt | StrictStr | Annotated[float, Field(strict=True)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore")


class CapacitorRecord(_Record):
    """A bank: one of its steps is connected, or none."""

    bus: FileId
    steps_kvar: list[Number]


class TapRecord(_Record):
    """A tap changer at the from end of a branch; without a step any value between the limits."""

    branch: FileId
    min_pu: Number
    max_pu: Number
    step_pu: Number | None = None


class GeneratorRecord(_Record):
    """A generator that can be dispatched; one that is switchable may be off."""

    id: FileId
    bus: FileId
    p_min_kw: Number = 0.0
    p_max_kw: Number
    q_min_kvar: Number = 0.0
    q_max_kvar: Number = 0.0
    switchable: StrictBool = False


class ControlsRecord(_Record):
    """The three lists of a case file."""

    capacitors: list[CapacitorRecord] = []
    taps: list[TapRecord] = []
    generators: list[GeneratorRecord] = []


def controls_from_record(
    record: ControlsRecord, buses: Mapping[str, int], branches: Mapping[str, int], base: Base
) -> tuple[Controls, list[str]]:
    """Controls, and every violation by name of the control."""
    bad: list[str] = []

    def known(what: str, value: Any, index: Mapping[str, int], kind: str) -> int:
        if str(value) not in index:
            bad.append(f"{what}: {value!r} is not a {kind}")
        return index.get(str(value), 0)

    capacitors = []
    for c in record.capacitors:
        what = f"capacitor at bus {c.bus!r}"
        if not c.steps_kvar or not all(math.isfinite(s) and s > 0 for s in c.steps_kvar):
            bad.append(
                f"{what}: steps_kvar = {c.steps_kvar} must be numbers > 0 [kvar at 1 pu]; off is always possible"
            )
        capacitors.append(Capacitor(known(what, c.bus, buses, "bus"), tuple(s / base.kw for s in c.steps_kvar)))
    taps = []
    for t in record.taps:
        what = f"tap of branch {t.branch!r}"
        if not 0.5 <= t.min_pu <= t.max_pu <= 2.0:
            bad.append(f"{what}: min_pu = {t.min_pu} and max_pu = {t.max_pu} must increase and lie from 0.5 to 2 [pu]")
        if t.step_pu is not None and not 1e-4 <= t.step_pu < math.inf:
            bad.append(f"{what}: step_pu = {t.step_pu} must be >= 0.0001 [pu], or null for any value between")
        taps.append(Tap(known(what, t.branch, branches, "branch"), t.min_pu, t.max_pu, t.step_pu))
    generators = []
    for g in record.generators:
        what = f"generator {g.id!r}"
        for key, low, high in (("p", g.p_min_kw, g.p_max_kw), ("q", g.q_min_kvar, g.q_max_kvar)):
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                unit = "kw" if key == "p" else "kvar"
                bad.append(
                    f"{what}: {key}_min_{unit} = {low} and {key}_max_{unit} = {high} must be finite and increase"
                )
        bus = known(what, g.bus, buses, "bus")
        p_min, p_max, q_min, q_max = (v / base.kw for v in (g.p_min_kw, g.p_max_kw, g.q_min_kvar, g.q_max_kvar))
        generators.append(Generator(g.id, bus, p_min, p_max, q_min, q_max, g.switchable))
    for kind, keys in (
        ("capacitor at bus", [c.bus for c in record.capacitors]),
        ("tap of branch", [t.branch for t in record.taps]),
        ("generator", [g.id for g in record.generators]),
    ):
        names = [str(k) for k in keys]
        bad += [f"{kind} {k!r} is there twice" for k in dict.fromkeys(names) if names.count(k) > 1]
    return Controls(tuple(taps), tuple(capacitors), tuple(generators)), bad


def controls_to_dict(network: Network) -> dict[str, Any]:
    """The three lists of a case file, those that are not empty."""
    kw = network.base.kw

    def si(value: float) -> float:
        return float(f"{value * kw:.12g}")

    lists: dict[str, list[dict[str, Any]]] = {
        "capacitors": [
            {"bus": network.bus_ids[c.bus], "steps_kvar": [si(s) for s in c.steps]} for c in network.controls.capacitors
        ],
        "taps": [
            {"branch": network.branch_ids[t.branch], "min_pu": t.low, "max_pu": t.high, "step_pu": t.step}
            for t in network.controls.taps
        ],
        "generators": [
            {
                "id": g.id,
                "bus": network.bus_ids[g.bus],
                "p_min_kw": si(g.p_min),
                "p_max_kw": si(g.p_max),
                "q_min_kvar": si(g.q_min),
                "q_max_kvar": si(g.q_max),
                "switchable": g.switchable,
            }
            for g in network.controls.generators
        ],
    }
    return {key: values for key, values in lists.items() if values}
