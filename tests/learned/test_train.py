"""Training leaves a calibrated checkpoint with an honest card; evaluation measures everybody on the same feeders."""

from __future__ import annotations

import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import begin_labels, read_instances, read_labels, read_manifest, write_labels
from learnopt.engines import SolveOptions, load_engine
from learnopt.errors import DataError
from learnopt.generator import FeederConfig
from learnopt.learned.evaluate import evaluate
from learnopt.learned.training import UNFINISHED, _training_features, proven_pairs, train
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig
from learnopt.network import Status

CONFIG = TrainingConfig(name="short", epochs=3, test_share=0.2, model=ModelConfig(hidden=8, layers=1))


def test_checkpoint_is_the_outcome(labelled_dataset: Path, tmp_path: Path) -> None:
    """What was saved loads, predicts the same, and the card counts feeders, pairs and metrics."""
    outcome = train(CONFIG, labelled_dataset, tmp_path / "c")
    assert len(outcome.history) == 3
    assert {"train_loss", "validation_loss"} <= outcome.history[0].keys()
    predictor, card = load_checkpoint(tmp_path / "c"), load_card(tmp_path / "c")
    assert card == outcome.card
    problem = next(read_labels(labelled_dataset)).problem
    assert np.array_equal(predictor.predict(problem).theta, outcome.predictor.predict(problem).theta)
    assert predictor.thresholds == outcome.predictor.thresholds
    assert predictor.name == card.name == "short"
    assert card.metrics["test"]["n"] == 12  # six of thirty feeders, two scenarios each
    assert card.data["pairs"] == {"training": 32, "training_not_proven": 0, "validation": 8, "thresholds": 8}
    assert card.data["labels"]["labelled"] == 60
    assert card.data["config"] == read_manifest(labelled_dataset).config
    assert card.calibration["n_feeders"] == 4
    assert all(tau is None for tau in card.thresholds.values())  # four feeders claim nothing


def test_same_seed_same_weights(labelled_dataset: Path, tmp_path: Path) -> None:
    """Bit for bit; another seed gives others."""
    config = replace(CONFIG, epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(replace(config, seed=seed), labelled_dataset, tmp_path / name)
    a, b, c = (load_card(tmp_path / name).weights_sha256 for name in "abc")
    assert a == b != c


def test_any_number_of_workers_reads_every_label_once(tmp_path: Path) -> None:
    """Five feeders of three scenarios in shards of four, so that feeders lie across shards: the same features."""
    wanted = FeederConfig(buses=(10, 12), substations=(1, 1), loops=(2, 2))
    generate(GenerateConfig(seed=1, n_feeders=5, scenarios_per_feeder=3, shard_size=4, feeder=wanted), tmp_path)
    for shard in range(4):
        solved = [(i, load_engine("tree").solve(i.problem, SolveOptions())) for i in read_instances(tmp_path, shard)]
        write_labels(tmp_path, shard, [LabelRecord.of(*each) for each in solved])
    config = replace(CONFIG, partial_states=1)
    (one, drawn), (two, again) = (_training_features({tmp_path: {0, 1, 2, 3, 4}}, config, n) for n in (1, 2))
    assert drawn == again
    assert drawn.total() == 15
    assert all(torch.equal(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))


def test_an_interrupted_training_is_resumed_beside_its_checkpoint(labelled_dataset: Path, tmp_path: Path) -> None:
    """The same weights as without the interruption, and nothing but the checkpoint is left."""

    class Interruption(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 2:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(CONFIG, labelled_dataset, tmp_path / "a", callbacks=[Interruption()])
    assert [path.name for path in (tmp_path / "a").iterdir()] == [UNFINISHED]
    resumed = train(CONFIG, labelled_dataset, tmp_path / "a", resume=True)
    straight = train(CONFIG, labelled_dataset, tmp_path / "b")
    assert resumed.card.weights_sha256 == straight.card.weights_sha256
    assert not (tmp_path / "a" / UNFINISHED).exists()


def test_enough_feeders_give_a_threshold(tiny_checkpoint: Path) -> None:
    """With 19 calibration feeders a risk of 0.05 can be claimed, one of 0.01 cannot."""
    card = load_card(tiny_checkpoint)
    assert card.calibration["n_feeders"] == 19
    assert card.thresholds[0.05] is not None
    assert card.thresholds[0.01] is None


def test_proven_pairs_are_those_of_the_records(labelled_dataset: Path) -> None:
    """One pair and one feeder name per proven label, in order."""
    records = list(read_labels(labelled_dataset))
    pairs, feeders, certificates = proven_pairs(records)
    assert certificates == [r.certificate for r in records]
    assert [y for _, y in pairs] == [r.configuration for r in records]
    assert feeders == [str(r.feeder_index) for r in records]
    assert proven_pairs([]) == ([], [], [])


def test_labels_that_are_not_proven_are_trained_on_within_a_gap(labelled_dataset: Path, tmp_path: Path) -> None:
    """Every third label is made one with a gap of 2 %: trained on where 5 % are allowed, never measured on."""
    folder = tmp_path / "d"
    shutil.copytree(labelled_dataset, folder)
    records = [
        replace(r, status=Status.FEASIBLE, gap=0.02) if k % 3 == 0 else r for k, r in enumerate(read_labels(folder))
    ]
    begin_labels(folder)
    for shard in range(3):
        (folder / f"labels-{shard:05d}.parquet").unlink()  # labels are never replaced
        write_labels(folder, shard, records[20 * shard : 20 * shard + 20])
    config = replace(CONFIG, epochs=1)
    counts = {
        gap: train(replace(config, label_gap=gap), folder, tmp_path / "c").card.data["pairs"]
        for gap in (0.0, 0.01, 0.05)
    }
    assert counts[0.0] == counts[0.01]
    assert counts[0.0]["training_not_proven"] == 0
    assert counts[0.05]["training"] == 32  # two scenarios of sixteen feeders
    assert counts[0.05]["training_not_proven"] == 32 - counts[0.0]["training"] > 0
    assert counts[0.05]["validation"] + counts[0.05]["thresholds"] < 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_share": 0.0}, "test_share = 0"),
        ({"validation_share": 0.0}, "no validation pair"),
        ({"calibration_share": 0.9}, "30 feeders do not suffice"),
    ],
)
def test_shares_that_cannot_be_served(
    labelled_dataset: Path, tmp_path: Path, change: dict[str, float], message: str
) -> None:
    """An error before a checkpoint is written."""
    with pytest.raises(DataError, match=message):
        train(replace(CONFIG, **change), labelled_dataset, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_unlabelled_data_is_said(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Training and evaluation name the command that is missing."""
    feeder = FeederConfig(buses=(10, 12), substations=(1, 1), loops=(2, 2))
    generate(GenerateConfig(seed=1, n_feeders=1, scenarios_per_feeder=1, feeder=feeder), tmp_path / "d")
    with pytest.raises(DataError, match="learnopt label"):
        train(CONFIG, tmp_path / "d", tmp_path / "c")
    with pytest.raises(DataError, match="learnopt label"):
        evaluate(tiny_checkpoint, tmp_path / "d")


def test_damaged_labels_are_refused(labelled_dataset: Path, tmp_path: Path) -> None:
    """A label file that is not the one of the manifest is never trained on."""
    copy = tmp_path / "d"
    shutil.copytree(labelled_dataset, copy)
    (copy / "labels-00001.parquet").write_bytes((copy / "labels-00000.parquet").read_bytes())
    with pytest.raises(DataError, match=r"labels-00001\.parquet"):
        train(CONFIG, copy, tmp_path / "c")
