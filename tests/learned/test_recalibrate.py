"""Calibrating anew changes what is stated, not the weights, and never on the data of the training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from learnopt.dataset.store import read_labels
from learnopt.errors import CheckpointError, DataError
from learnopt.learned.recalibrate import recalibrate
from learnopt.learned.training import train
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig


@pytest.fixture
def other_seed(labelled_dataset: Path, tmp_path: Path) -> Path:
    """The dataset under a manifest of another seed."""
    folder = tmp_path / "held_out"
    shutil.copytree(labelled_dataset, folder)
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"seed": values["seed"] + 1}))
    return folder


def test_thresholds_of_other_feeders(tiny_checkpoint: Path, other_seed: Path, tmp_path: Path) -> None:
    """Sides by feeder, weights untouched but for the scale of the novelty, same bytes on a second run."""
    card = recalibrate(tiny_checkpoint, other_seed, tmp_path / "a")
    feeders = {r.feeder_index for r in read_labels(other_seed)}
    assert card.calibration["n_feeders"] == round(0.7 * len(feeders)) - round(0.15 * len(feeders))
    assert card.metrics["test"]["n"] == card.data["calibrated_on"]["pairs"]["test"]
    assert card.training == load_card(tiny_checkpoint).training
    assert load_checkpoint(tmp_path / "a").thresholds == card.thresholds
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_checkpoint, tmp_path / "a"))
    assert [k for k in before if not np.array_equal(before[k], after[k])] in ([], ["novelty.limit"])
    again = recalibrate(tmp_path / "a", other_seed, tmp_path / "b")
    assert again == card
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_several_datasets(tiny_checkpoint: Path, other_seed: Path, tmp_path: Path) -> None:
    """Feeders of both count, each keeps its order, metrics are given of each; one seed or one name twice is refused."""
    wide = tmp_path / "wide"
    shutil.copytree(other_seed, wide)
    with pytest.raises(DataError, match=r"seed 4 of .*held_out"):
        recalibrate(tiny_checkpoint, [other_seed, wide], tmp_path / "c")
    values = json.loads((wide / "manifest.json").read_text())
    (wide / "manifest.json").write_text(json.dumps(values | {"seed": 99}))
    alone = recalibrate(tiny_checkpoint, other_seed, tmp_path / "a")
    both = recalibrate(tiny_checkpoint, [other_seed, wide], tmp_path / "b")
    assert both.calibration["n_feeders"] == 2 * alone.calibration["n_feeders"]
    assert both.metrics["test"]["n"] == 2 * alone.metrics["test"]["n"]
    assert both.metrics["test_held_out"] == both.metrics["test_wide"]
    assert both.data["calibrated_on"]["wide"]["seed"] == 99
    shutil.copytree(wide, tmp_path / "again" / "wide")
    with pytest.raises(DataError, match="one name"):
        recalibrate(tiny_checkpoint, [wide, tmp_path / "again" / "wide"], tmp_path / "c")


def test_training_data_is_refused(tiny_checkpoint: Path, labelled_dataset: Path, tmp_path: Path) -> None:
    """A seed that the model was trained on would state a risk that does not hold."""
    seed = load_card(tiny_checkpoint).data["seed"]
    with pytest.raises(DataError, match=f"seed {seed} of the training data"):
        recalibrate(tiny_checkpoint, labelled_dataset, tmp_path / "c")


def test_training_data_is_refused_whatever_its_folder_is_called(
    labelled_dataset: Path, other_seed: Path, tmp_path: Path
) -> None:
    """Trained on two datasets, one in a folder ``held_out``: neither is calibrated on, now or after a calibration."""
    config = TrainingConfig(epochs=1, test_share=0.2, model=ModelConfig(hidden=4, layers=1))
    train(config, [labelled_dataset, other_seed], tmp_path / "a")
    fresh = tmp_path / "fresh"
    shutil.copytree(other_seed, fresh)
    values = json.loads((fresh / "manifest.json").read_text())
    (fresh / "manifest.json").write_text(json.dumps(values | {"seed": 99}))
    for _ in range(2):
        for data in (labelled_dataset, other_seed):
            with pytest.raises(DataError, match="of the training data"):
                recalibrate(tmp_path / "a", data, tmp_path / "b")
        recalibrate(tmp_path / "a", fresh, tmp_path / "a")


def test_older_rule_is_refused_and_mended(tiny_checkpoint: Path, other_seed: Path, tmp_path: Path) -> None:
    """Thresholds of another formula mean nothing: the checkpoint says so until it is calibrated again."""
    old = tmp_path / "old"
    shutil.copytree(tiny_checkpoint, old)
    values = json.loads((old / "card.json").read_text())
    del values["fixing_rule"]
    (old / "card.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"fixing rule 1.*learnopt calibrate"):
        load_checkpoint(old)
    recalibrate(old, other_seed, old)
    load_checkpoint(old)
