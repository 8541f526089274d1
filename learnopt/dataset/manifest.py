"""The manifest of a dataset: how it was made, what is in it, and checksums of its files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from learnopt._version import __version__
from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN, config_from_table
from learnopt.io.case_json import read_json
from learnopt.io.files import write_text
from learnopt.io.places import Place

SCHEMA_VERSION = 1
"""Raised when files of an older version cannot be read as they are."""
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class LabelStatistics:
    """What the labels of a dataset look like.

    Parameters
    ----------
    labelled
        Instances with a label, failures included.
    status, certificate, engine
        Instances per value; engines with their version.
    distinct_configurations
        Different best configurations, summed over feeders.
    feeders_with_one_configuration
        Feeders whose labels all agree: a constant answer would do there.
    feeders
        Feeders with at least one configuration.
    solve_time_s
        Sum over all labels.
    """

    labelled: int
    status: dict[str, int]
    certificate: dict[str, int]
    engine: dict[str, int]
    distinct_configurations: int
    feeders_with_one_configuration: int
    feeders: int
    solve_time_s: float


@dataclass(frozen=True)
class Manifest:
    """Description of a dataset folder, stored as ``manifest.json``.

    Parameters
    ----------
    seed
        Seed behind every instance.
    n_feeders, scenarios_per_feeder
        Instances are ordered by feeder, then by scenario.
    shard_size
        Instances per shard; the last one may hold fewer.
    limits
        ``none``: problems have no operating limits; ``file``: those of the case files.
    charging
        Problems use the line charging of the case files.
    config
        Everything the instances were made from.
    sources
        SHA-256 of each case file that was given, by name; empty for synthetic feeders.
    files
        SHA-256 of each file of the dataset.
    labels
        None until labelling is finished.
    """

    seed: int
    n_feeders: int
    scenarios_per_feeder: int
    shard_size: int
    limits: Literal["none", "file"] = "none"
    charging: bool = True
    config: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    labels: LabelStatistics | None = None
    learnopt_version: str = __version__
    schema_version: int = SCHEMA_VERSION
    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        problems = [
            f"{name} = {getattr(self, name)} must be >= {least}"
            for name, least in (("seed", 0), ("n_feeders", 1), ("scenarios_per_feeder", 1), ("shard_size", 1))
            if getattr(self, name) < least
        ]
        if problems:
            raise DataError("dataset manifest", problems)

    @property
    def n_instances(self) -> int:
        """Number of instances, generated or still to come."""
        return self.n_feeders * self.scenarios_per_feeder

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return -(-self.n_instances // self.shard_size)

    def places(self, shard: int) -> list[tuple[int, int]]:
        """(feeder index, scenario index) of each instance of a shard, in order."""
        first = shard * self.shard_size
        last = min(first + self.shard_size, self.n_instances)
        return [divmod(k, self.scenarios_per_feeder) for k in range(first, last)]

    @property
    def origin(self) -> dict[str, Any]:
        """What decides the bytes of the instances: all but the files and labels that came of it."""
        plain: dict[str, Any] = json.loads(self.to_json())
        return {k: v for k, v in plain.items() if k not in ("files", "labels")}

    def to_json(self) -> str:
        """Text of ``manifest.json``."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    def write(self, directory: Place) -> None:
        """Replace the manifest of a dataset in one step."""
        write_text(directory / MANIFEST, self.to_json())


def read_manifest(directory: Place) -> Manifest:
    """Manifest of a dataset folder.

    Raises
    ------
    DataError
        If there is none, or it is damaged or of another schema version.
    """
    path = directory / MANIFEST
    if not path.exists():
        raise DataError(str(directory), [f"not a dataset: {MANIFEST} is missing; make one with `learnopt generate`"])
    raw = read_json(path)
    if not isinstance(raw, dict):
        raise DataError(str(path), ["must be a JSON object"])
    if raw.get("schema_version") != SCHEMA_VERSION:
        found = raw.get("schema_version")
        raise DataError(
            str(path),
            [
                f"schema_version = {found!r}, this learnopt reads {SCHEMA_VERSION}: generate the dataset again, or use "
                f"learnopt {raw.get('learnopt_version', '(unknown)')}"
            ],
        )
    return config_from_table(Manifest, raw, str(path))


def sha256(content: bytes) -> str:
    """Checksum of a file, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
