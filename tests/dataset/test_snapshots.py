"""Snapshots of one feeder become a dataset, in the order of time; sides are whole days."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learnopt.dataset.snapshots import generate_snapshots, is_snapshots, snapshot_time, split_days
from learnopt.dataset.store import read_instances, read_manifest
from learnopt.errors import DataError
from learnopt.io.profiles.series import Profiles
from learnopt.network import Limits, Network


def hours(network: Network, n: int, scale: float = 1.0) -> Profiles:
    """Loads that grow by the hour."""
    times = np.datetime64("2026-03-02T00:00:00") + np.arange(n) * np.timedelta64(1, "h")
    factor = scale * (1 + np.arange(n))[:, None] / n
    return Profiles.net(times, factor * network.p_load, factor * network.q_load, (), network.n_branch)


def test_every_time_is_an_instance(case33: Network, tmp_path: Path) -> None:
    """Loads, names and limits come back as they went in, over the borders of shards."""
    profiles = hours(case33, 5)
    manifest = generate_snapshots(case33, profiles, tmp_path, limits="file", shard_size=2)
    assert is_snapshots(manifest)
    assert (manifest.n_instances, manifest.n_shards) == (5, 3)
    found = [i.problem for shard in range(3) for i in read_instances(tmp_path, shard)]
    assert [snapshot_time(p) for p in found] == list(profiles.times)
    assert np.allclose([p.p for p in found], profiles.p, rtol=1e-14)
    assert found[0].limits == Limits.of(case33)


def test_interrupted_run_is_completed(case33: Network, tmp_path: Path) -> None:
    """A kill after the first shard costs the others only; the end is the same to the byte."""

    def kill(done: int, total: int) -> None:
        raise KeyboardInterrupt

    profiles = hours(case33, 5)
    with pytest.raises(KeyboardInterrupt):
        generate_snapshots(case33, profiles, tmp_path / "a", shard_size=2, progress=kill)
    generate_snapshots(case33, profiles, tmp_path / "a", shard_size=2)
    generate_snapshots(case33, profiles, tmp_path / "b", shard_size=2)
    assert read_manifest(tmp_path / "a") == read_manifest(tmp_path / "b")


def test_other_loads_do_not_mix(case33: Network, case16: Network, tmp_path: Path) -> None:
    """A folder of other profiles is refused, and so are profiles of another network."""
    generate_snapshots(case33, hours(case33, 3), tmp_path)
    with pytest.raises(DataError, match="snapshots"):
        generate_snapshots(case33, hours(case33, 3, scale=0.9), tmp_path)
    with pytest.raises(DataError, match="33 buses"):
        generate_snapshots(case33, hours(case16, 3), tmp_path / "other")


def test_sides_are_whole_days_in_order() -> None:
    """No day is on two sides, every side lies after the one before, and every instant is on one side."""
    times = np.datetime64("2026-03-02T00:00:00") + np.arange(24 * 10) * np.timedelta64(1, "h")
    sides = split_days(times, [0.1, 0.2, 0.3])
    assert [len(side) for side in sides] == [4 * 24, 24, 2 * 24, 3 * 24]
    assert [k for side in sides for k in side] == list(range(240))
    assert split_days(times[::7], [0.0, 0.2])[1] == []
    with pytest.raises(DataError, match="2 days do not suffice"):
        split_days(times[:48], [0.1, 0.1])
