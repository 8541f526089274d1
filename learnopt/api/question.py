"""What is asked: from a name, a file or a network and the options of a problem to the problem itself."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.errors import DataError, UnsupportedError
from learnopt.generator.year import synthetic_year
from learnopt.io import (
    Loaded,
    Profiles,
    SourceTool,
    load_with_source,
    loaded_network,
    read_profiles,
    read_scenarios,
)
from learnopt.io.scenario_json import scenario_set_from_dict
from learnopt.learned.choice import engine_of
from learnopt.network import (
    Certificate,
    Configuration,
    Id,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    Situations,
)
from learnopt.network.controls import KINDS
from learnopt.studies.configuration.solve import import_engine
from learnopt.studies.inspection.reconcile import Imported, Origin, reconcile
from learnopt.wording import agreeing

Source: TypeAlias = Network | ReconfigurationProblem | str | Path
"""What can be asked about: a network, a problem, or what :func:`learnopt.load` takes."""
Situation: TypeAlias = Scenario | Situations | Mapping[str, Any] | str | Path | None
"""Loads and states of the switches: a record, the content of a scenario file, a file, or None for those of the case."""
Enforced: TypeAlias = Literal["file", "none"] | Limits
"""Limits to respect: all of the case, none, or a record."""
State: TypeAlias = Configuration | Iterable[Id] | None
"""States of the switches: a record, or the ids of the branches that are open."""

_Choice = TypeVar("_Choice", bound=StrEnum)
_read: WeakKeyDictionary[Network, tuple[tuple[str, ...], SourceTool | None, Origin, tuple[str, ...]]] = (
    WeakKeyDictionary()
)
"""Notes, tool, origin and held controls of every network that was read, as long as it lives. Networks do not change: an
edited one is another, and not that of the file."""


@dataclass(frozen=True, eq=False)
class Question:
    """A problem, and what reading it left to say.

    Parameters
    ----------
    problem
        What is asked.
    imported
        Its network, with the tool of the file that it was read from, where there is one.
    notes
        What was assumed or repaired while the scenario file was read, one sentence each.
    source
        What the network was loaded from, "" where a network or a problem was given.
    hour
        The hour that an OpenDSS file was read at.
    """

    problem: ReconfigurationProblem
    imported: Imported
    notes: tuple[str, ...] = ()
    source: str = ""
    hour: float | None = None

    def __repr__(self) -> str:
        return f"Question({self.problem!r})"

    @property
    def origin(self) -> Origin:
        """What answers have to say of the file."""
        return self.imported.origin

    def refuse_unseen_phases(self) -> None:
        """To be called before the balanced equivalent is asked: it has no unbalance.

        Raises
        ------
        UnsupportedError
            If that is limited and the file is unbalanced.
        """
        if self.problem.limits.unbalance_max is not None and self.origin.equivalent:
            raise UnsupportedError(
                "a limit of voltage unbalance holds in all phases of the file: leave out what asks for its balanced "
                "equivalent (balanced, controls, a worst case, other engines than auto and tree)"
            )


NONE_TO_SET = "the case has no"
"""What the note of a kind of controls that is asked for and missing starts with."""


@dataclass(frozen=True, eq=False)
class Rules:
    """The options of a problem as of :func:`problem`: what a front door gets, before anything is read."""

    scenario: Situation = None
    limits: Enforced = "file"
    vmin: float | None = None
    vmax: float | None = None
    controls: str = "none"
    charging: bool = True
    switching_cost: float = 0.0
    max_operations: int | None = None
    remote_only: bool = False
    hour: float | None = None
    max_unbalance: float | None = None

    def question(self, network: Source, accept_differences: bool = False) -> Question:
        """The problem of these rules; a given problem as it is.

        Raises
        ------
        DataError
            If the input is bad, or a rule is given beside a problem that has its own.
        """
        if isinstance(network, ReconfigurationProblem):
            if given := self._given():
                raise DataError("options", [f"{given}: part of the problem that was given; use its replace()"])
            return Question(network, as_read(network.network))
        if isinstance(network, Network):
            if self.hour is not None:
                raise DataError("options", [f"hour = {self.hour:g} belongs to an OpenDSS file, a network was given"])
            asked, notes = self._problem(network)
            imported = as_read(network)
            return Question(asked, imported, notes + self._uncontrolled(imported.loaded))
        imported = read_file(network, accept_differences, self.hour)
        asked, notes = self._problem(imported.network)
        return Question(asked, imported, notes + self._uncontrolled(imported.loaded), str(network), self.hour)

    def _uncontrolled(self, loaded: Loaded) -> tuple[str, ...]:
        """What is asked for as a control and is none, a sentence each."""
        asked = self.controls.replace(",", " ").split()
        found = []
        if loaded.held and {"all", "generators"} & set(asked):
            found.append(
                f"{', '.join(loaded.held)} {agreeing(len(loaded.held), 'is', 'are')} controllable in the file and held "
                "at its present power all the same: learnopt sets the generators of a case file only (learnopt convert "
                "writes one; list them under generators, and take their power off their buses)"
            )
        missing = [kind for kind in KINDS if kind in asked and not getattr(loaded.network.controls, kind)]
        if asked == ["all"] and not loaded.network.controls:
            missing = ["controls"]
        return (*found, *(f"{NONE_TO_SET} {kind} to set" for kind in missing))

    def _given(self) -> str:
        """Names of the rules that are not at their defaults."""
        return ", ".join(one.name for one in fields(self) if getattr(self, one.name) != one.default)

    def _problem(self, net: Network) -> tuple[ReconfigurationProblem, tuple[str, ...]]:
        """The problem of a network, and the notes of reading its scenario."""
        loads, notes = read_situation(self.scenario, net)
        asked = ReconfigurationProblem.of(
            net,
            loads,
            limits=self._limits(net),
            charging=self.charging,
            switching_cost=self.switching_cost,
            max_operations=self.max_operations,
            controls=net.controls.only(self.controls),
        )
        return asked.remote_only() if self.remote_only else asked, notes

    def _limits(self, net: Network) -> Limits:
        limits = self.limits
        if not isinstance(limits, Limits):
            if limits not in ("file", "none"):
                raise DataError("options", [f"limits = {limits!r} must be 'file', 'none' or a Limits record"])
            limits = Limits.of(net) if limits == "file" else Limits()
        low = limits.vm_min if self.vmin is None else self.vmin
        high = limits.vm_max if self.vmax is None else self.vmax
        most = limits.unbalance_max if self.max_unbalance is None else self.max_unbalance
        return replace(limits, vm_min=low, vm_max=high, unbalance_max=most)


def problem(
    network: Network | str | Path,
    scenario: Situation = None,
    *,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    controls: str = "none",
    charging: bool = True,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    remote_only: bool = False,
    hour: float | None = None,
    accept_differences: bool = False,
) -> ReconfigurationProblem:
    """What is to be solved, from what is at hand.

    Parameters
    ----------
    network
        A network, or what :func:`learnopt.load` takes.
    scenario
        Loads, outages and locks: a record, a mapping read as a scenario file is (``{"out_of_service": [22]}``), a JSON
        file or a load profile (CSV, Parquet; several times are several scenarios). None = the loads of the case.
    limits
        ``file``: all limits of the case; ``none``; or a record.
    vmin, vmax
        Voltage limits of every bus but the substations [pu], instead of those that ``limits`` names.
    controls
        Kinds of controls to set with the switches: ``none``, ``all``, or some of ``taps,capacitors,generators``.
    charging
        Use the line charging of the case.
    switching_cost
        Cost of one operation [kW].
    max_operations
        Cap on operations, None = no cap.
    remote_only
        Nobody travels now: switches operated by hand stay as they are.
    hour, accept_differences
        As of :func:`learnopt.load`.

    Raises
    ------
    DataError
        With every violation of the files and options.
    """
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, controls=controls, charging=charging,
        switching_cost=switching_cost, max_operations=max_operations, remote_only=remote_only, hour=hour,
    )  # fmt: skip
    return rules.question(network, accept_differences).problem


def load(source: str | Path, accept_differences: bool = False, hour: float | None = None) -> Network:
    """A network, compared in its present state with the tool of its file where there is one.

    Parameters
    ----------
    source
        A named case, a file, a folder, or a code (``simbench:1-MV-urban--0-sw``, ``pandapower:mv_oberrhein``).
    accept_differences
        Warn instead of refusing where they differ and nothing explains it.
    hour
        Of an OpenDSS file: the hour of its load shapes to read; None = the snapshot that it describes.

    Raises
    ------
    DataError
        If there is nothing of that name, if the file breaks the rules of its format, or for such a difference.
    UnsupportedError
        If the file asks for something that learnopt does not model, or a package is missing.
    """
    imported = read_file(source, accept_differences, hour)
    for sentence in imported.origin.warnings:
        warnings.warn(sentence, stacklevel=2)
    return imported.network


def read_file(source: str | Path, accept_differences: bool = False, hour: float | None = None) -> Imported:
    """What :func:`load` reads, with what answers have to say of it."""
    return _remembered(reconcile(load_with_source(source, hour), accept_differences))


def _remembered(imported: Imported) -> Imported:
    """The same, to be found again by its network."""
    loaded = imported.loaded
    _read[imported.network] = imported.notes, loaded.source, imported.origin, loaded.held
    return imported


def as_read(network: Network) -> Imported:
    """A network with the tool and the origin of the file that it was read from; with neither where it is of no file."""
    if network.phases is not None and network not in _read:  # made or edited here: OpenDSS computes its phases
        return _remembered(reconcile(loaded_network(network)))
    notes, source, origin, held = _read.get(network, ((), None, Origin(), ()))
    return Imported(Loaded(network, notes, source, held=held), origin)


def read_situation(scenario: Situation, network: Network) -> tuple[Scenario | Situations | None, tuple[str, ...]]:
    """Loads and states of the switches as a record, and the notes of reading them."""
    if isinstance(scenario, str | Path):
        return read_scenarios(Path(scenario), network)
    if isinstance(scenario, Mapping):
        return scenario_set_from_dict(_as_json(scenario), network, "scenario"), ()
    return scenario, ()


SYNTHETIC = "synthetic"
"""A made-up year instead of a profile; ``synthetic:7`` is that of seed 7."""


def profile_source(profile: Profiles | str | Path | None, network: Source) -> Profiles | str:
    """Where loads over time come from: a record, a file, a made-up year, or the SimBench grid itself.

    Raises
    ------
    DataError
        If there is none.
    """
    if isinstance(profile, Profiles):
        return profile
    if profile is not None:
        return str(profile)
    if isinstance(network, str) and network.startswith("simbench:"):
        return network
    raise DataError(
        "options", ["there are no loads over time: only a SimBench grid has its own"], {"profile": ("FILE", SYNTHETIC)}
    )


def made_up(source: Profiles | str) -> bool:
    """The loads are those of a made-up year."""
    return isinstance(source, str) and source.partition(":")[0] == SYNTHETIC


def read_profile(source: Profiles | str, network: Network) -> Profiles:
    """Loads over time: a record, a file, ``simbench:CODE``, or a made-up year (``synthetic``, ``synthetic:7``).

    Raises
    ------
    DataError
        If the file is bad, or the seed no number.
    """
    if isinstance(source, Profiles):
        return source
    if not made_up(source):
        return read_profiles(source, network)
    seed = source.partition(":")[2]
    if seed and not seed.isdigit():
        raise DataError("profile", [f"{source!r}: the seed of a synthetic year is a whole number, as in synthetic:7"])
    return synthetic_year(network, np.random.default_rng(int(seed or 0)))


def _as_json(value: Any) -> Any:
    """Mappings and sequences as a JSON file has them: the keys are text, also where ids are numbers."""
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    return [_as_json(one) for one in value] if isinstance(value, list | tuple) else value


def chosen(kind: type[_Choice], name: str, value: str) -> _Choice:
    """One of the values of an option.

    Raises
    ------
    DataError
        If it has no such value.
    """
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(one.value) for one in kind)
        raise DataError("options", [f"{name} = {value!r} must be one of {known}"]) from None


def optional(kind: type[_Choice], name: str, value: str | None) -> _Choice | None:
    """The same, None where nothing is asked for."""
    return None if value is None else chosen(kind, name, value)


@cache
def warm(engine: str, certify: Certificate | None = None, checkpoint: str | Path | None = None) -> None:
    """Import once, so that the time of a solve is its own."""
    import_engine(engine_of(engine, checkpoint), SolveOptions(certify=certify))
