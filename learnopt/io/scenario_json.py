"""Scenario files: loads, generation, outages, locked switches of one or several moments (``datasets/README.md``)."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import FileId, Number, describe_validation_error, read_json
from learnopt.network import Network, Scenario, Situations

_LARGEST_WEIGHT = 1e12
_LARGEST_KW = 1e12
_LOCKS = {"open": 0, "closed": 1}
_OTHER_WORDS = {
    **dict.fromkeys(("outages", "outage", "out", "faults", "failed", "in_service", "opened"), "out_of_service"),
    **dict.fromkeys(("locks", "lock", "fixed", "switches", "states", "closed", "open"), "locked"),
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


def scenario_from_dict(raw: Any, network: Network, subject: str) -> Scenario:
    """Build a scenario of a network from a parsed scenario file.

    Buses listed in ``loads`` replace the load of the case file, all others keep it; ``generation`` is added.

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
    for part, powers in (("loads", record.loads), ("generation", record.generation)):
        for bus, power in powers.items():
            if bus not in network.bus_index:
                bad.append(f"{part}: bus {bus!r} is not in network {network.name!r}")
            for quantity, value in (("p_kw", power.p_kw), ("q_kvar", power.q_kvar)):
                if not abs(value) <= _LARGEST_KW:
                    bad.append(f"{part}: bus {bus!r}: {quantity} = {value} must be a finite number")
    for part, branches in (("out_of_service", record.out_of_service), ("locked", record.locked)):
        bad += [
            f"{part}: branch {branch!r} is not in network {network.name!r}"
            for branch in branches
            if str(branch) not in network.branch_index
        ]
    if bad:
        raise DataError(subject, sorted(bad))

    p_load, q_load = network.p_load.copy(), network.q_load.copy()
    p_gen, q_gen = np.zeros(network.n_bus), np.zeros(network.n_bus)
    for powers, p, q in ((record.loads, p_load, q_load), (record.generation, p_gen, q_gen)):
        for bus, power in powers.items():
            p[network.bus_index[bus]] = power.p_kw / network.base.kw
            q[network.bus_index[bus]] = power.q_kvar / network.base.kw
    out_of_service = np.zeros(network.n_branch, dtype=bool)
    out_of_service[[network.branch_index[str(b)] for b in record.out_of_service]] = True
    locked = np.full(network.n_branch, -1, dtype=np.int8)
    for branch, state in record.locked.items():
        locked[network.branch_index[branch]] = _LOCKS[state]
    return Scenario(p_load, q_load, p_gen, q_gen, out_of_service, locked, name=record.name or Path(subject).stem)


def _unknown_keys(raw: Any) -> list[str]:
    """A sentence for each key that a scenario file does not have, with the key that was meant."""
    if not isinstance(raw, dict):
        return []
    known = [key for key in ScenarioRecord.model_fields if key not in ("notes", "weight")]
    bad = []
    for key in raw:
        if key in ScenarioRecord.model_fields:
            continue
        name = str(key)
        meant = _OTHER_WORDS.get(name.lower()) or next(iter(get_close_matches(name.lower(), known, n=1)), "")
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
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not abs(weight) <= _LARGEST_WEIGHT:
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
    }
