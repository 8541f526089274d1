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
def other_seed(other_dataset: Path) -> Path:
    """Feeders of another seed, in a folder ``held_out``."""
    return other_dataset


def under_seed(data: Path, folder: Path, seed: int) -> Path:
    """A dataset under a manifest of another seed."""
    shutil.copytree(data, folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seed": seed}))
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
    shutil.rmtree(wide)
    under_seed(other_seed, wide, 99)
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


def test_training_data_is_refused_whatever_its_folder_or_manifest_says(
    labelled_dataset: Path, other_dataset: Path, tmp_path: Path
) -> None:
    """Trained in a folder ``held_out``, put under another seed: not calibrated on, now or after a calibration."""
    trained = shutil.copytree(labelled_dataset, tmp_path / "held_out")
    train(TrainingConfig(epochs=1, test_share=0.2, model=ModelConfig(hidden=4, layers=1)), trained, tmp_path / "a")
    renamed = under_seed(labelled_dataset, tmp_path / "renamed", 99)
    for _ in range(2):
        for data in (labelled_dataset, renamed):
            with pytest.raises(DataError, match="of the training data"):
                recalibrate(tmp_path / "a", data, tmp_path / "b")
        recalibrate(tmp_path / "a", other_dataset, tmp_path / "a")
    uses = [(entry["use"], entry["dataset"]) for entry in load_card(tmp_path / "a").split["seen"]]
    assert uses == [("training", "held_out"), ("calibration", "held_out")]


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
