"""Make a dataset of random scenarios, on synthetic feeders or on given ones."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.records import Instance
from learnopt.dataset.store import create_dataset, missing_shards, name_files, write_shard
from learnopt.errors import DataError
from learnopt.generator import (
    FeederConfig,
    PhaseConfig,
    ScenarioConfig,
    config_from_table,
    random_feeder,
    random_scenario,
    split_phases,
)
from learnopt.generator.config import FORBID_UNKNOWN
from learnopt.io.case_json import network_to_dict
from learnopt.io.cases import load_case
from learnopt.io.places import Place
from learnopt.network import Limits, Network, ReconfigurationProblem, Situations
from learnopt.parallel import HERE, Workers, run_tasks


@dataclass(frozen=True)
class GenerateConfig:
    """What :func:`generate` makes; loads from TOML with tables ``[feeder]``, ``[scenario]`` and ``[phases]``.

    Parameters
    ----------
    seed
        Every instance follows from it and from its indices.
    n_feeders
        Number of synthetic feeders; leave it out where ``cases`` are given.
    cases
        Feeders to use instead of synthetic ones, by name.
    scenarios_per_feeder
        Scenarios drawn for each feeder.
    shard_size
        Instances per file: what a killed run loses at most.
    limits
        ``none``: solve without operating limits; ``file``: with those of the case files.
    charging
        Use the line charging of the case files.
    phases
        How feeders become unbalanced ones; None = they stay balanced.
    """

    seed: int
    scenarios_per_feeder: int
    n_feeders: int = 0
    cases: tuple[str, ...] = ()
    shard_size: int = 128
    limits: Literal["none", "file"] = "none"
    charging: bool = True
    feeder: FeederConfig = field(default_factory=FeederConfig)
    scenario: ScenarioConfig = field(default_factory=ScenarioConfig)
    phases: PhaseConfig | None = None
    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        problems = []
        if self.seed < 0:
            problems.append(f"seed = {self.seed} must be >= 0")
        if self.scenarios_per_feeder < 1:
            problems.append(f"scenarios_per_feeder = {self.scenarios_per_feeder} must be >= 1")
        if self.shard_size < 1:
            problems.append(f"shard_size = {self.shard_size} must be >= 1")
        if self.cases and self.n_feeders:
            problems.append(f"n_feeders = {self.n_feeders} and cases = {list(self.cases)}: give one of the two")
        if not self.cases and self.n_feeders < 1:
            problems.append(f"n_feeders = {self.n_feeders} must be >= 1, or list cases")
        if len(set(self.cases)) < len(self.cases):
            problems.append(f"cases = {list(self.cases)} must name each case once")
        if self.phases is not None and not self.charging:
            problems.append("charging = false with [phases]: in all phases lines have their charging, leave it out")
        if problems:
            raise DataError("dataset config", problems)

    @classmethod
    def from_toml(cls, path: Path) -> GenerateConfig:
        """Read a TOML file.

        Raises
        ------
        DataError
            With everything that is wrong in the file.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(str(path), [f"not TOML: {error}"]) from None
        # Each table on its own, so that problems in all of them are reported at once.
        problems: list[str] = []
        parts = {"feeder": FeederConfig, "scenario": ScenarioConfig, "phases": PhaseConfig}
        for name, kind in parts.items():
            if name == "phases" and name not in table:
                continue
            try:
                table[name] = config_from_table(kind, table.get(name, {}), str(path))
            except DataError as error:
                problems += [f"[{name}] {violation}" for violation in error.violations]
                table.pop(name)
        try:
            config = config_from_table(cls, table, str(path))
        except DataError as error:
            problems += error.violations
        if problems:
            raise DataError(str(path), problems)
        return config


def generate(
    config: GenerateConfig,
    directory: Place,
    networks: Sequence[Network] | None = None,
    progress: Callable[[int, int], None] | None = None,
    shards: Collection[int] | None = None,
    workers: Workers = HERE,
) -> Manifest:
    """Write the instances of a dataset, or those that an interrupted run left out; returns the manifest.

    Feeder f is drawn from ``default_rng([seed, f])``, its scenario s from ``default_rng([seed, f, s + 1])``: any shard
    can be made alone, and more feeders do not change the first ones. (The + 1 matters: numpy seeds ``[a, b]`` and
    ``[a, b, 0]`` alike.) Its phases are split by ``default_rng([seed, f, 0, 1])``.

    Parameters
    ----------
    networks
        Feeders in the order of ``config.cases``, where those are not named cases of learnopt.
    progress
        Called with the number of instances on disk and in total, after every shard.
    shards
        Only these, for a large dataset that is made piece by piece; all where absent.
    workers
        Each makes a shard at a time; the bytes do not depend on them.

    Raises
    ------
    DataError
        If the folder holds another dataset, or cases are not to be had.
    """
    if networks is None:
        networks = [load_case(name) for name in config.cases]
    if len(networks) != len(config.cases):
        raise DataError("dataset config", [f"{len(networks)} networks were given for {len(config.cases)} cases"])
    sources = {}
    for name, network in zip(config.cases, networks, strict=True):
        text = json.dumps(network_to_dict(network), separators=(",", ":"))
        sources[name] = hashlib.sha256(text.encode()).hexdigest()
    manifest = create_dataset(
        directory,
        Manifest(
            seed=config.seed,
            n_feeders=config.n_feeders or len(networks),
            scenarios_per_feeder=config.scenarios_per_feeder,
            shard_size=config.shard_size,
            limits=config.limits,
            charging=config.charging,
            config=_creation_config(config),
            sources=sources,
        ),
    )
    missing = missing_shards(directory)
    done = manifest.n_instances - sum(len(manifest.places(shard)) for shard in missing)

    def take(place: int, files: dict[str, str]) -> None:
        nonlocal done
        name_files(directory, files)
        done += len(manifest.places(wanted[place]))
        if progress is not None:
            progress(done, manifest.n_instances)

    wanted = missing if shards is None else [shard for shard in missing if shard in shards]
    run_tasks(_Making(config, directory.absolute(), tuple(networks)).shard, wanted, workers, take=take)
    return read_manifest(directory)


@dataclass(frozen=True, eq=False)
class _Making:
    """What the shards of a dataset are made from, for any process."""

    config: GenerateConfig
    directory: Place
    networks: tuple[Network, ...]

    def shard(self, shard: int) -> dict[str, str]:
        """Write one shard; returns the checksums of its files."""
        config = self.config
        places = read_manifest(self.directory).places(shard)
        numbers = dict.fromkeys(feeder for feeder, _ in places)
        feeders = dict(enumerate(self.networks)) or {k: drawn_feeder(config.seed, config.feeder, k) for k in numbers}
        if config.phases is not None:
            for k in numbers:
                rng = np.random.default_rng([config.seed, k, 0, 1])
                feeders[k] = split_phases(feeders[k], rng, config.phases)
        return write_shard(self.directory, shard, [_instance(config, feeders[f], f, s) for f, s in places])


def _creation_config(config: GenerateConfig) -> dict[str, Any]:
    """The distributions, as JSON has them; those of feeders only where feeders are drawn."""
    tables = {"scenario": asdict(config.scenario)}
    if not config.cases:
        tables["feeder"] = asdict(config.feeder)
    if config.phases is not None:
        tables["phases"] = asdict(config.phases)
    plain: dict[str, Any] = json.loads(json.dumps(tables))
    return plain


def drawn_feeder(seed: int, config: FeederConfig, index: int) -> Network:
    """The feeder of this number."""
    return random_feeder(config, np.random.default_rng([seed, index]), name=f"synthetic-{seed}-{index}")


def _instance(config: GenerateConfig, network: Network, feeder: int, scenario: int) -> Instance:
    rng = np.random.default_rng([config.seed, feeder, scenario + 1])
    drawn = random_scenario(network, config.scenario, rng, name=f"{config.seed}-{feeder}-{scenario}")
    limits = Limits.of(network) if config.limits == "file" else Limits()
    problem = ReconfigurationProblem(network, Situations.of(drawn), limits, config.charging)
    return Instance(feeder, scenario, config.seed, problem)
