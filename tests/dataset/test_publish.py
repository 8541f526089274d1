"""``datasets/build.py publish``: a folder for others, complete, of at most a size, read back by their means."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pyarrow.parquet as pq
import pytest

import learnopt.datasets
from learnopt.dataset.manifest import read_manifest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def build() -> ModuleType:
    """The script."""
    spec = importlib.util.spec_from_file_location("dataset_build", ROOT / "datasets" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_dataset_is_published_whole(build: ModuleType, labelled_dataset: Path, tmp_path: Path) -> None:
    """Leading shards within the size; licence, card, Croissant; what others read is what was labelled."""
    out = tmp_path / "out"
    whole = sum(path.stat().st_size for path in labelled_dataset.glob("*.parquet"))
    assert build.main(["publish", str(labelled_dataset), str(out), "--megabytes", str(0.7 * whole / 1e6)]) == 0
    names = {path.name for path in out.iterdir()}
    assert {"LICENSE", "README.md", "croissant.json", "manifest.json"} <= names
    size = sum(path.stat().st_size for path in out.glob("*.parquet"))
    assert 0 < size <= 0.7 * whole
    assert (out / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    frame = learnopt.datasets.table(out).to_pandas()
    rows = pq.read_table(sorted(out.glob("labels-*.parquet"))[0]).to_pylist()
    assert frame["loss_kw"].tolist()[: len(rows)] == [row["loss_kw"] for row in rows]
    assert len(learnopt.datasets.load(out)) == (frame["status"] == "optimal").sum()
    assert len(frame) == read_manifest(out).n_instances
    files = {each["name"] for each in json.loads((out / "croissant.json").read_text())["distribution"]}
    assert files
    told = "".join((out / name).read_text() for name in ("README.md", "croissant.json", "manifest.json"))
    assert str(tmp_path) not in told
    assert str(labelled_dataset.parent) not in told


def test_one_command_draws_labels_and_publishes(build: ModuleType, tmp_path: Path) -> None:
    """From a configuration, as many shards as the size needs; nothing else is left."""
    config = tmp_path / "tiny.toml"
    config.write_text(
        "seed = 3\nn_feeders = 40\nscenarios_per_feeder = 1\nshard_size = 2\nlimits = 'none'\ncharging = false\n"
        "[feeder]\nbuses = [8, 10]\nsubstations = [1, 1]\nloops = [1, 2]\n"
    )
    assert build.main(["publish", str(config), str(tmp_path / "out"), "--megabytes", "0.15"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tiny.toml"]
    assert sum(path.stat().st_size for path in (tmp_path / "out").glob("*.parquet")) <= 150_000
    assert 0 < len(learnopt.datasets.load(tmp_path / "out")) <= 40


def test_given_feeders_need_a_licence(build: ModuleType, case33: object, tmp_path: Path) -> None:
    from learnopt.dataset.manifest import Manifest

    Manifest(seed=0, n_feeders=1, scenarios_per_feeder=1, shard_size=1, sources={"mine": "ab"}).write(tmp_path)
    with pytest.raises(SystemExit, match="--licence FILE"):
        build.main(["publish", str(tmp_path), str(tmp_path / "out")])
