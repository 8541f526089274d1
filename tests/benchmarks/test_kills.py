"""A slice of the kills: a worker and the command itself, on a cluster of two; and the check notices what it should."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from learnopt.dataset.store import finish_labels
from learnopt.errors import DataError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

pytest.importorskip("distributed", reason="Dask distributed is not installed (extra cluster)")
import kills


def test_nothing_is_lost_and_nothing_done_twice(tmp_path: Path) -> None:
    """Rows are those of the serial run, and no process is left over."""
    outcome = kills.campaign(2, 2, 7, tmp_path, ("worker", "command"), shards=10, tell=lambda _: None)
    assert outcome.problems == []
    assert outcome.kills == {"worker": 1, "command": 1}


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    """Other labels, a missing shard, and what a killed writer has left."""
    serial = kills._serial(tmp_path, 7, 2)
    assert list(kills._differences(serial, shutil.copytree(serial, tmp_path / "same"))) == []
    copied = shutil.copytree(serial, tmp_path / "other")
    (copied / ".labels-00009.parquet.1-ab.partial").write_bytes(b"")
    shutil.copy(copied / "labels-00000.parquet", copied / "labels-00001.parquet")
    with pytest.raises(DataError, match="checksum"):
        list(kills._differences(serial, copied))
    kills._without_labels(copied)
    finish_labels(copied)
    told = list(kills._differences(serial, copied))
    assert "labels differ" in told
    assert any("partial" in each for each in told)
    (copied / "labels-00001.parquet").unlink()
    assert list(kills._differences(serial, copied)) == ["1 of 2 shards"]
