"""A dataset from a utility's own feeder: every instant of its load profiles is a scenario, in the order of time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Literal

import numpy as np

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.records import Instance
from learnopt.dataset.store import create_dataset, missing_shards, write_instances
from learnopt.errors import DataError
from learnopt.io.case_json import network_to_dict
from learnopt.io.places import Place
from learnopt.io.profiles.clock import Times
from learnopt.io.profiles.series import Profiles
from learnopt.network import Limits, Network, ReconfigurationProblem, Situations

SNAPSHOTS = "snapshots"
"""Key of ``Manifest.config`` that such a dataset has."""


def generate_snapshots(
    network: Network,
    profiles: Profiles,
    directory: Place,
    limits: Literal["none", "file"] = "none",
    charging: bool = True,
    shard_size: int = 128,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Write one instance per instant of the profiles, or those that an interrupted run left out.

    The scenarios are named after their times; nothing is drawn, so the seed of the manifest is 0.

    Parameters
    ----------
    limits, charging, shard_size
        As in :class:`~learnopt.dataset.generate.GenerateConfig`.
    progress
        Called with the number of instances on disk and in total, after every shard.

    Raises
    ------
    DataError
        If the folder holds a dataset of something else, or the profiles are empty or of another network.
    """
    if not len(profiles) or profiles.p.shape[1] != network.n_bus:
        found = f"{len(profiles)} times of {profiles.p.shape[1]} buses"
        raise DataError("profiles", [f"{found} for a network of {network.n_bus} buses: give profiles of this network"])
    digest = hashlib.sha256()
    for array in (profiles.times, profiles.p, profiles.q):
        digest.update(np.ascontiguousarray(array).tobytes())
    case = json.dumps(network_to_dict(network), separators=(",", ":"))
    span = {"from": str(profiles.times[0]), "to": str(profiles.times[-1]), "sha256": digest.hexdigest()}
    manifest = create_dataset(
        directory,
        Manifest(
            seed=0,
            n_feeders=1,
            scenarios_per_feeder=len(profiles),
            shard_size=shard_size,
            limits=limits,
            charging=charging,
            config={SNAPSHOTS: span},
            sources={network.name: hashlib.sha256(case.encode()).hexdigest()},
        ),
    )
    wanted = Limits.of(network) if limits == "file" else Limits()
    missing = missing_shards(directory)
    done = manifest.n_instances - sum(len(manifest.places(shard)) for shard in missing)
    for shard in missing:
        instances = [
            Instance(0, k, 0, ReconfigurationProblem(network, Situations.of(profiles.scenario(k)), wanted, charging))
            for _, k in manifest.places(shard)
        ]
        write_instances(directory, shard, instances)
        done += len(instances)
        if progress is not None:
            progress(done, manifest.n_instances)
    return read_manifest(directory)


def is_snapshots(manifest: Manifest) -> bool:
    """The dataset holds the snapshots of one feeder, in the order of time."""
    return SNAPSHOTS in manifest.config


def snapshot_time(problem: ReconfigurationProblem) -> np.datetime64:
    """Instant of a problem of such a dataset: the name of its scenario."""
    return np.datetime64(problem.scenario.name)


def split_days(times: Times, shares: list[float]) -> list[list[int]]:
    """Split instants by whole days, in the order of time: what is measured lies after what was learned.

    Parameters
    ----------
    times
        datetime64, shape (n,).
    shares
        Share of the *days* of each side but the first, which takes the rest and comes first.

    Returns
    -------
    Positions of the instants of each side. A share > 0 gets one day at least.

    Raises
    ------
    DataError
        If there are fewer days than sides.
    """
    day = np.asarray(times).astype("datetime64[D]")
    days = np.unique(day)
    counts = [max(1, round(share * len(days))) if share > 0 else 0 for share in shares]
    first = len(days) - sum(counts)
    if first < 1:
        raise DataError(
            "split by day", [f"{len(days)} days do not suffice for shares {shares} and training: give more snapshots"]
        )
    ends = np.cumsum([first, *counts])
    side = np.searchsorted(ends, np.searchsorted(days, day), side="right")
    return [np.flatnonzero(side == k).tolist() for k in range(len(shares) + 1)]
