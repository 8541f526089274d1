"""Scenario files: loads, generation, outages, locked switches of one or several moments (``datasets/README.md``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import describe_validation_error, read_json
from learnopt.io.controls_json import FileId, Number
from learnopt.io.violations import LARGEST, near_miss
from learnopt.network import Id, Network, Scenario, Situations

_LOCKS = {"open": 0, "closed": 1}
_OTHER_WORDS = {
    **dict.fromkeys(("outages", "outage", "out", "faults", "failed", "in_service", "opened"), "out_of_service"),
    **dict.fromkeys(("locks", "lock", "fixed", "switches", "states", "closed", "open"), "locked"),
    **dict.fromkeys(("tags", "tag", "do_not_operate"), "tagged"),
    **dict.fromkeys(("demand", "demands", "consumption"), "loads"),
    **dict.fromkeys(("generators", "gen", "pv", "injection", "injections", "sgen"), "generation"),
}
"""What people write for keys that are spelt otherwise."""


class PowerRecord(BaseModel):
    """Power at one bus. A misspelt key would be a load of zero, so unknown keys are refused here."""

    model_config = ConfigDict(extra="forbid")

    p_kw: Number = 0.0
    q_kvar: Number = 0.0


class ScenarioRecord(BaseModel):
    """A whole scenario file. A misspelt outage would be none at all, so unknown keys are refused.

    ``notes`` are for people; ``weight`` counts among several scenarios.
    """

    model_config = ConfigDict(extra="forbid")

    notes: Any = None
    weight: Any = 1.0
    name: StrictStr | None = None
    loads: dict[str, PowerRecord] = {}
    generation: dict[str, PowerRecord] = {}
    out_of_service: list[FileId] = []
    locked: dict[str, Literal["open", "closed"]] = {}
    tagged: list[FileId] = []


def scenario_from_dict(raw: Any, network: Network, subject: str) -> Scenario:
    """Build a scenario of a network from a parsed scenario file.

    Buses listed in ``loads`` replace what the case file has there, load and generation, all others keep it;
    ``generation`` is added. Where an
    id is asked for, a name that is unique does as well.

    Raises
    ------
    DataError
        With every violation at once: unknown ids, wrong types, numbers that are not finite.
    """
    bad = _unknown_keys(raw)
    if bad:
        raise DataError(subject, bad)
    try:
        record = ScenarioRecord.model_validate(raw)
    except ValidationError as error:
        raise DataError(subject, describe_validation_error(error, raw)) from None
    place: dict[str, dict[str, int]] = {part: {} for part in ("loads", "generation", "locked")}
    for part, powers in (("loads", record.loads), ("generation", record.generation)):
        for bus, power in powers.items():
            _find(network.find_bus, bus, part, place[part], bad)
            for quantity, value in (("p_kw", power.p_kw), ("q_kvar", power.q_kvar)):
                if not abs(value) <= LARGEST:
                    bad.append(f"{part}: bus {bus!r}: {quantity} = {value} must be a finite number")
    outages: dict[str, int] = {}
    for branch in record.out_of_service:
        _find(network.find_branch, branch, "out_of_service", outages, bad, again=True)
    for name in record.locked:
        _find(network.find_branch, name, "locked", place["locked"], bad)
    tags = _tags(network, record, bad)
    if bad:
        raise DataError(subject, sorted(bad))

    nominal = Scenario.nominal(network)
    p_load, q_load = nominal.p_load.copy(), nominal.q_load.copy()
    p_gen, q_gen = nominal.p_gen.copy(), nominal.q_gen.copy()
    given = list(place["loads"].values())
    p_gen[given] = q_gen[given] = 0.0  # what is given stands for all that the file has at the bus
    for part, powers, p, q in (
        ("loads", record.loads, p_load, q_load),
        ("generation", record.generation, p_gen, q_gen),
    ):
        for bus, power in powers.items():
            k, added = place[part][bus], part == "generation"
            p[k] = power.p_kw / network.base.kw + added * p[k]
            q[k] = power.q_kvar / network.base.kw + added * q[k]
    switch_of = {e: switch for switch, e in network.switchgear.behind.items()}
    out_of_service = np.zeros(network.n_branch, dtype=bool)
    out_of_service[[switch_of.get(e, e) for e in outages.values()]] = True
    locked = np.full(network.n_branch, -1, dtype=np.int8)
    for e in tags.held:
        locked[e] = 0 if network.normally_open[e] else 1
    for name, state in record.locked.items():
        locked[place["locked"][name]] = _LOCKS[state]
    name = record.name or Path(subject).stem
    return Scenario(p_load, q_load, p_gen, q_gen, out_of_service, locked, name=name, tagged=tags.devices)


def _find(
    find: Callable[[Id], tuple[int | None, str]],
    text: Id,
    part: str,
    found: dict[str, int],
    bad: list[str],
    again: bool = False,
) -> None:
    """Add the index that an id or name means, or a sentence that says why there is none; ``again``: twice is once."""
    index, why = find(text)
    if index is None:
        bad.append(f"{part}: {why}")
    elif index in found.values() and not again:
        other = next(name for name, k in found.items() if k == index)
        bad.append(f"{part}: {text!r} and {other!r} are the same: give it once")
    else:
        found[str(text)] = index


class _Tags(NamedTuple):
    """Devices with a tag "do not operate", and the branches that keep their state for it."""

    devices: tuple[Id, ...]
    held: tuple[int, ...]


def _tags(network: Network, record: ScenarioRecord, bad: list[str]) -> _Tags:
    """What is tagged: a device, or a branch with all its devices.

    A branch keeps its state where a tagged device would have to move: one that opens it, or one that is open.
    """
    gear = network.switchgear
    devices: list[int] = []
    held: list[int] = []
    for text in record.tagged:
        device, _ = network.find_device(text)
        branch, why = network.find_branch(text)
        if branch is None:
            bad.append(f"tagged: {why}")
        elif device is None or str(text) in network.branch_index:
            held.append(branch)
            devices += gear.of_branch.get(branch, ())
        else:
            devices.append(device)
            if device in gear.openers(branch) or not gear.devices[device].closed:
                held.append(branch)
    return _Tags(tuple(gear.devices[k].id for k in dict.fromkeys(devices)), tuple(held))


def _unknown_keys(raw: Any) -> list[str]:
    """A sentence for each key that a scenario file does not have, with the key that was meant."""
    if not isinstance(raw, dict):
        return []
    known = [*(key for key in ScenarioRecord.model_fields if key not in ("notes", "weight")), "scenarios"]
    bad = []
    for key in raw:
        if key in ScenarioRecord.model_fields:
            continue
        name = str(key)
        meant = _OTHER_WORDS.get(name.lower()) or near_miss(name, known)
        hint = f"{meant!r} is" if meant else f"these are {', '.join(known)}, and notes for people"
        bad.append(f"{name!r} is not a key of a scenario file; {hint}")
    for part in ("loads", "generation"):
        powers = raw.get(part)
        for bus, power in powers.items() if isinstance(powers, dict) else ():
            for key in power if isinstance(power, dict) else ():
                if key not in PowerRecord.model_fields:
                    keys = " and ".join(PowerRecord.model_fields)
                    bad.append(f"{part}.{bus}.{key} is not a known key: power has {keys}")
    return bad


def read_scenario_json(path: Path, network: Network) -> Scenario:
    """Read a scenario file of a network."""
    return scenario_from_dict(read_json(path), network, str(path))


def scenario_set_from_dict(raw: Any, network: Network, subject: str) -> Scenario | Situations:
    """Build what a scenario file describes: one scenario, or those of its list ``scenarios``, each with a ``weight``.

    Raises
    ------
    DataError
        With every violation of all scenarios at once.
    """
    if not isinstance(raw, dict) or "scenarios" not in raw:
        return scenario_from_dict(raw, network, subject)
    listed = raw["scenarios"]
    if not isinstance(listed, list) or not listed:
        raise DataError(subject, ["scenarios must be a list of at least one scenario"])
    bad = [
        f"{key!r} beside 'scenarios' has no effect: write it into each scenario"
        for key in raw
        if key not in ("scenarios", "notes")
    ]
    scenarios, weights = [], []
    for k, entry in enumerate(listed):
        weight = entry.get("weight", 1.0) if isinstance(entry, dict) else 1.0
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not abs(weight) <= LARGEST:
            bad.append(f"scenarios[{k}]: weight = {repr(weight)[:60]} must be a number, finite and at most 1e12")
        weights.append(weight)
        try:
            scenarios.append(scenario_from_dict(entry, network, f"{Path(subject).stem}[{k}]"))
        except DataError as error:
            bad += [f"scenarios[{k}]: {violation}" for violation in error.violations]
    if bad:
        raise DataError(subject, sorted(bad))
    try:
        return Situations(tuple(scenarios), np.array(weights, dtype=float))
    except DataError as error:
        raise DataError(subject, error.violations) from None


def read_scenarios_json(path: Path, network: Network) -> Scenario | Situations:
    """Read a scenario file of a network that may list several scenarios."""
    return scenario_set_from_dict(read_json(path), network, str(path))


def scenario_to_dict(scenario: Scenario, network: Network) -> dict[str, Any]:
    """The scenario file: loads of all buses, generation where there is some (to 12 digits)."""
    kw = network.base.kw

    def powers(p: np.ndarray, q: np.ndarray, kept: np.ndarray) -> dict[str, dict[str, float]]:
        return {
            str(network.bus_ids[k]): {"p_kw": float(f"{p[k] * kw:.12g}"), "q_kvar": float(f"{q[k] * kw:.12g}")}
            for k in np.flatnonzero(kept)
        }

    states = {code: state for state, code in _LOCKS.items()}
    return {
        "name": scenario.name,
        "loads": powers(scenario.p_load, scenario.q_load, np.ones(network.n_bus, dtype=bool)),
        "generation": powers(scenario.p_gen, scenario.q_gen, (scenario.p_gen != 0) | (scenario.q_gen != 0)),
        "out_of_service": [network.branch_ids[e] for e in np.flatnonzero(scenario.out_of_service)],
        "locked": {
            str(network.branch_ids[e]): states[int(scenario.locked[e])] for e in np.flatnonzero(scenario.locked >= 0)
        },
        **({"tagged": list(scenario.tagged)} if scenario.tagged else {}),
    }
