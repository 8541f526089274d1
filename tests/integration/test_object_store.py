"""Datasets in an object store: made, solved, learned from and measured there as in a folder, with the same bytes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import BUCKET, s3_server

import learnopt.datasets
from learnopt.cli.app import run
from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.places import Remote, names_in, place_of, write_bytes
from learnopt.learned.training import train
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig

CONFIG = """
seed = 5
n_feeders = 3
scenarios_per_feeder = 2
shard_size = 2
charging = false
[feeder]
buses = [10, 12]
substations = [1, 1]
loops = [2, 2]
"""


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """A bucket."""
    with s3_server():
        yield f"s3://{BUCKET}"


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    """Run one that succeeds."""
    monkeypatch.setattr(sys, "argv", ["learnopt", *words])
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 0


def contents(address: str | Path) -> dict[str, bytes]:
    """Files of a dataset by name; the folder is called by two of them."""
    folder = place_of(address)
    return {name: (folder / name).read_bytes() for name in names_in(folder)}


def test_made_and_solved_there(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By processes that write their own shards: the bytes are those of the folder, times of solving apart."""
    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    there = f"{store}/sets/small"
    for out in (there, "small"):
        command(monkeypatch, "generate", "--config", "c.toml", "--out", out, "--json")
    assert contents(there) == contents("small")
    assert len(contents("small")) == 7
    command(monkeypatch, "label", there, "--workers", "2", "--json")
    command(monkeypatch, "label", "small", "--workers", "1", "--json")
    ours, theirs = contents("small"), contents(there)
    assert theirs.keys() == ours.keys()
    timed = {name for name in ours if name.startswith("labels-")} | {"manifest.json", "croissant.json"}
    assert {name: theirs[name] for name in theirs.keys() - timed} == {name: ours[name] for name in ours.keys() - timed}
    here, far = ([replace_times(r) for r in read_labels(place_of(p))] for p in ("small", there))
    assert far == here
    assert len(far) == 6


def replace_times(record: object) -> object:
    """A label without its time and its problem, which has arrays."""
    kept = {key: value for key, value in vars(record).items() if key not in ("solve_time_s", "problem")}
    return kept | {"configuration": kept["configuration"].closed.tobytes()}


def test_learned_from_and_measured_there(
    store: str,
    labelled_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The weights are those from the folder, and so is what evaluation says; graphs and tables come from there too."""
    there = f"{store}/sets/{labelled_dataset.name}"
    for name, content in contents(labelled_dataset).items():
        write_bytes(place_of(f"{there}/{name}"), content)
    config = TrainingConfig(name="tiny", epochs=1, calibration_share=0.3, test_share=0.2,
                            model=ModelConfig(hidden=4, layers=1))  # fmt: skip
    cards = [train(config, place_of(data), tmp_path / name, workers=w).card
             for name, data, w in (("far", there, 2), ("near", labelled_dataset, 1))]  # fmt: skip
    assert cards[0].weights_sha256 == cards[1].weights_sha256
    assert cards[0].split == cards[1].split
    capsys.readouterr()
    said = []
    for data in (there, str(labelled_dataset)):
        command(monkeypatch, "evaluate", "--data", data, "--checkpoint", str(tmp_path / "far"), "--no-baselines",
                "--json")  # fmt: skip
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    graphs = learnopt.datasets.load(there)
    assert len(graphs) == len(learnopt.datasets.load(labelled_dataset))
    assert graphs[3].y.tolist() == learnopt.datasets.load(labelled_dataset)[3].y.tolist()
    assert learnopt.datasets.table(there).equals(learnopt.datasets.table(labelled_dataset))


def test_damage_there_is_noticed(store: str, labelled_dataset: Path) -> None:
    """One flipped byte of an object."""
    there = Remote(f"{store}/damaged")
    for name, content in contents(labelled_dataset).items():
        write_bytes(there / name, content)
    content = bytearray((there / "labels-00001.parquet").read_bytes())
    content[len(content) // 2] ^= 1
    write_bytes(there / "labels-00001.parquet", bytes(content))
    with pytest.raises(DataError, match=r"s3://box/damaged/labels-00001.parquet.*\n.*checksum"):
        list(read_labels(there))


def test_no_dataset_there(store: str) -> None:
    """Told as of a folder."""
    with pytest.raises(DataError, match=r"s3://box/empty.*\n.*not a dataset"):
        read_manifest(place_of(f"{store}/empty"))
