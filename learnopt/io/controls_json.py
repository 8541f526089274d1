"""The controls of a case file: ``capacitors``, ``taps`` and ``generators``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from learnopt.io.violations import Violations
from learnopt.network import Base, Capacitor, Controls, Generator, Network, Tap
from learnopt.network.controls import FIXED_FACTOR, FREE, MODES
from learnopt.wording import counted

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
    """A tap changer at the from end of a branch: limits and step (any value between them without one), or positions.

    What the positions are called in the field, where that is known, stands in their order.
    """

    branch: FileId
    min_pu: Number | None = None
    max_pu: Number | None = None
    step_pu: Number | None = None
    positions_pu: list[Number] = []
    position_numbers: list[StrictInt] = []


class GeneratorRecord(_Record):
    """A generator that can be dispatched; one that is switchable may be off.

    Without limits of its own the reactive power goes as far as the rating, the fixed power factor, or not at all.
    """

    id: FileId
    bus: FileId
    p_min_kw: Number = 0.0
    p_max_kw: Number
    q_min_kvar: Number | None = None
    q_max_kvar: Number | None = None
    switchable: StrictBool = False
    s_max_kva: Number | None = None
    mode: StrictStr | None = None
    power_factor: Number | None = None


class ControlsRecord(_Record):
    """The three lists of a case file."""

    capacitors: list[CapacitorRecord] = []
    taps: list[TapRecord] = []
    generators: list[GeneratorRecord] = []


def controls_from_record(
    record: ControlsRecord, buses: Mapping[str, int], branches: Mapping[str, int], base: Base, wrong: Violations
) -> Controls:
    """Controls; every violation by name of the control."""
    capacitors = []
    for c in record.capacitors:
        what = f"capacitor at bus {c.bus!r}"
        if not c.steps_kvar or not all(math.isfinite(s) and s > 0 for s in c.steps_kvar):
            wrong.add(f"{what}: steps_kvar = {c.steps_kvar} must be numbers > 0 [kvar at 1 pu]; off is always possible")
        wrong.known(c.bus, buses, f"{what}:", "is not a bus")
        capacitors.append(Capacitor(buses.get(str(c.bus), 0), tuple(s / base.kw for s in c.steps_kvar)))
    taps = []
    for t in record.taps:
        what = f"tap of branch {t.branch!r}"
        values = tuple(t.positions_pu)
        low, high = (values[0], values[-1]) if values else (t.min_pu, t.max_pu)
        if values and (t.min_pu, t.max_pu, t.step_pu) != (None, None, None):
            wrong.add(f"{what}: give min_pu, max_pu and step_pu, or positions_pu, not both")
        if any(not a < b for a, b in pairwise(values)):
            wrong.add(f"{what}: positions_pu = {t.positions_pu} must increase")
        if t.position_numbers and len(t.position_numbers) != len(values):
            count = counted(len(t.position_numbers), "position_number", "position_numbers")
            wrong.add(f"{what}: {count} for {counted(len(values), 'value')} of positions_pu")
        if len(set(t.position_numbers)) < len(t.position_numbers):
            wrong.add(f"{what}: position_numbers = {t.position_numbers} must be unique")
        if low is None or high is None or not 0.5 <= low <= high <= 2.0:
            wrong.add(f"{what}: min_pu = {low} and max_pu = {high} must increase and lie from 0.5 to 2 [pu]")
            low = high = 1.0
        if t.step_pu is not None and not 1e-4 <= t.step_pu < math.inf:
            wrong.add(f"{what}: step_pu = {t.step_pu} must be >= 0.0001 [pu], or null for any value between")
        wrong.known(t.branch, branches, f"{what}:", "is not a branch")
        taps.append(Tap(branches.get(str(t.branch), 0), low, high, t.step_pu, values, tuple(t.position_numbers)))
    generators = []
    for g in record.generators:
        wrong.known(g.bus, buses, f"generator {g.id!r}:", "is not a bus")
        generator, bad = _generator(g, buses.get(str(g.bus), 0), base)
        wrong.add(*bad)
        generators.append(generator)
    for kind, keys in (
        ("capacitor at bus", [c.bus for c in record.capacitors]),
        ("tap of branch", [t.branch for t in record.taps]),
        ("generator", [g.id for g in record.generators]),
    ):
        names = [str(k) for k in keys]
        wrong.add(*(f"{kind} {k!r} is there twice" for k in dict.fromkeys(names) if names.count(k) > 1))
    return Controls(tuple(taps), tuple(capacitors), tuple(generators))


def _generator(g: GeneratorRecord, bus: int, base: Base) -> tuple[Generator, list[str]]:
    """A generator, and what of its limits is wrong."""
    what, bad = f"generator {g.id!r}", []
    mode = g.mode if g.mode is not None else FREE if g.power_factor is None else FIXED_FACTOR
    factor = 1.0 if g.power_factor is None else g.power_factor
    rating = math.inf if g.s_max_kva is None else g.s_max_kva
    if mode not in MODES:
        bad.append(f"{what}: mode = {mode!r} must be one of {', '.join(MODES)}")
    if not 0 < abs(factor) <= 1:
        bad.append(
            f"{what}: power_factor = {factor} must lie in (0, 1], or in [-1, 0) where q has the other sign than p"
        )
        factor = 1.0
    if mode == FIXED_FACTOR and g.power_factor is None:
        bad.append(f"{what}: mode = {FIXED_FACTOR!r} needs a power_factor")
    if g.s_max_kva is not None and not 0 < rating < math.inf:
        bad.append(f"{what}: s_max_kva = {rating} must be a finite number > 0 [kVA], or absent")
    room = 0.0 if math.isinf(rating) else rating
    if mode == FIXED_FACTOR:
        room = math.sqrt(max(1 / factor**2 - 1, 0.0)) * max(abs(g.p_min_kw), abs(g.p_max_kw))
    q_min = -room if g.q_min_kvar is None else g.q_min_kvar
    q_max = room if g.q_max_kvar is None else g.q_max_kvar
    for key, low, high in (("p", g.p_min_kw, g.p_max_kw), ("q", q_min, q_max)):
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            unit = "kw" if key == "p" else "kvar"
            bad.append(f"{what}: {key}_min_{unit} = {low} and {key}_max_{unit} = {high} must be finite and increase")
    p_low, p_high, q_low, q_high, s_max = (v / base.kw for v in (g.p_min_kw, g.p_max_kw, q_min, q_max, rating))
    generator = Generator(g.id, bus, p_low, p_high, q_low, q_high, g.switchable, s_max, mode, factor)
    if not bad and generator.available and generator.span[0] > generator.span[1]:
        bad.append(f"{what}: no injection respects {_limits(g, q_min, q_max, mode)} at once")
    return generator, bad


def _limits(g: GeneratorRecord, q_min: float, q_max: float, mode: str) -> str:
    """The limits of a generator in a sentence."""
    limits = [f"p_min_kw = {g.p_min_kw}", f"p_max_kw = {g.p_max_kw}"]
    limits += [f"q_min_kvar = {q_min}", f"q_max_kvar = {q_max}"]
    limits += [] if g.s_max_kva is None else [f"s_max_kva = {g.s_max_kva}"]
    limits += [f"power_factor = {g.power_factor}"] if mode == FIXED_FACTOR else []
    return ", ".join(limits)


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
            {"branch": network.branch_ids[t.branch], "positions_pu": list(t.values)}
            | ({"position_numbers": list(t.numbers)} if t.numbers else {})
            if t.values
            else {"branch": network.branch_ids[t.branch], "min_pu": t.low, "max_pu": t.high, "step_pu": t.step}
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
            | ({} if math.isinf(g.s_max) else {"s_max_kva": si(g.s_max)})
            | ({} if g.mode == FREE and g.power_factor == 1 else {"mode": g.mode, "power_factor": g.power_factor})
            for g in network.controls.generators
        ],
    }
    return {key: values for key, values in lists.items() if values}
