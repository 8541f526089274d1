"""Which feeder is which, across datasets: what was learned from is known again, whatever its folder is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import numpy as np

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import read_network
from learnopt.generator import FeederConfig
from learnopt.io.places import Place
from learnopt.network import Network

_DIGITS = 16
"""Hexadecimal digits of a checksum that a card keeps."""


@dataclass(frozen=True)
class FeederIdentity:
    """A feeder, in whichever dataset it lies.

    Parameters
    ----------
    origin
        What it was drawn from (seed and distribution of feeders), or, of a given feeder, its own checksum.
    number
        Its number among those drawn from there; 0 for a given feeder.
    """

    origin: str
    number: int


def feeder_key(network: Network) -> str:
    """Key of a feeder by what does not change between scenarios: branches, their ids, impedances and substations."""
    digest = hashlib.sha256(repr((network.bus_ids, network.branch_ids)).encode())
    for array in (network.from_bus, network.to_bus, network.r, network.x, network.substations):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def identities(directory: Place) -> list[FeederIdentity]:
    """Identity of each feeder of a dataset: how many scenarios it has, and which, plays no part."""
    manifest = read_manifest(directory)
    if manifest.sources:
        return [FeederIdentity(given_origin(read_network(directory, k)), 0) for k in range(manifest.n_feeders)]
    origin = drawn_origin(manifest.seed, manifest.config.get("feeder", {}))
    return [FeederIdentity(origin, k) for k in range(manifest.n_feeders)]


def given_origin(network: Network) -> str:
    """Origin of a feeder that was given."""
    return f"feeder {feeder_key(network)[:_DIGITS]}"


def drawn_origin(seed: int, feeder: dict[str, object]) -> str:
    """Origin of synthetic feeders: seed, and what of their distribution differs from the usual.

    Parameters
    ----------
    feeder
        Plain values of :class:`~learnopt.generator.FeederConfig`, as a manifest has them.
    """
    usual = json.loads(json.dumps(asdict(FeederConfig())))
    told = {key: value for key, value in feeder.items() if value != usual.get(key)}
    return f"seed {seed}, {_checksum(json.dumps(told, sort_keys=True))}"


def data_checksum(manifest: Manifest) -> str:
    """Checksum of the feeders of a dataset, labels and scenarios aside."""
    return _checksum(*(digest for name, digest in sorted(manifest.files.items()) if name.startswith("feeders-")))


def as_ranges(numbers: Iterable[int]) -> str:
    """Whole numbers for a card: ``0-3, 7``."""
    ordered = np.array(sorted(set(numbers)), dtype=int)
    runs = np.split(ordered, np.flatnonzero(np.diff(ordered) != 1) + 1) if len(ordered) else []
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def from_ranges(text: str) -> set[int]:
    """The numbers of :func:`as_ranges`.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    ends = [[int(end) for end in run.split("-")] for run in text.split(", ") if run]
    return {number for run in ends for number in range(run[0], run[-1] + 1)}


def _checksum(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:_DIGITS]
