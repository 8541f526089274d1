"""A checkpoint gives back the same predictions, or says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from toy_feeders import TINY, labelled_pairs, trained

from learnopt.errors import CheckpointError
from learnopt.learning import checkpoint
from learnopt.learning.calibration import Calibration
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import HEADS, add_heads, load_card, load_checkpoint, save_checkpoint
from learnopt.learning.classes import CalibratedHeads, ClassCalibration
from learnopt.learning.heads import RelaxationHeads
from learnopt.learning.predict import Predictor

CALIBRATION = Calibration(1.25, {0.01: None, 0.05: 0.97312345678901234}, n_feeders=30, n_instances=60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved checkpoint."""
    card = ModelCard.of(TINY, CALIBRATION, {"feeders": 50}, {"validation": {"tree_rate": 0.5}}, {})
    save_checkpoint(tmp_path / "model", trained().model, card)
    return tmp_path / "model"


def edit_card(folder: Path, **changes: object) -> None:
    """Overwrite keys of the card."""
    values = json.loads((folder / "card.json").read_text()) | changes
    (folder / "card.json").write_text(json.dumps(values))


def test_round_trip(folder: Path) -> None:
    """Probabilities, thresholds and name survive exactly; four files and nothing temporary are left."""
    problem = labelled_pairs()[65][0]
    loaded = load_checkpoint(folder)
    expected = Predictor(trained().model, 1.25).predict(problem)
    np.testing.assert_array_equal(loaded.predict(problem).p_closed, expected.p_closed)
    assert loaded.thresholds == CALIBRATION.thresholds
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "card.json",
        "model.safetensors",
        "reliability.svg",
    ]


def test_card_for_people(folder: Path) -> None:
    """The rendered card states limits of use, seed and that a risk cannot be claimed; metrics stay in the JSON."""
    text = (folder / "README.md").read_text()
    for expected in ("## Limits of use", "training seed 0", "too few calibration feeders", "](reliability.svg)"):
        assert expected in text


def test_saving_twice_gives_the_same_bytes(folder: Path) -> None:
    """Weights and card depend on nothing but their content."""
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    save_checkpoint(folder, trained().model, load_card(folder))
    assert before == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_missing_checkpoint(tmp_path: Path) -> None:
    """A folder without a card says how to get one."""
    with pytest.raises(CheckpointError, match="learnopt train"):
        load_checkpoint(tmp_path)


def test_damaged_weights(folder: Path) -> None:
    """Changed or missing weights are noticed before they are used."""
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum differs"):
        load_checkpoint(folder)
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(folder)


def test_damaged_card(folder: Path) -> None:
    """A card that is not a card is called damaged."""
    (folder / "card.json").write_text("{")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)
    (folder / "card.json").write_text('{"name": "x", "thresholds": {}, "limits_of_use": []}')
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)


def test_wrong_schema_and_architecture(folder: Path) -> None:
    """Other features or another architecture than the weights are refused with advice."""
    edit_card(folder, architecture={"kind": "gnn", "hidden": 17, "layers": 2, "dropout": 0.0})
    with pytest.raises(CheckpointError, match="does not fit its card"):
        load_checkpoint(folder)
    edit_card(folder, feature_schema={"version": 999})
    with pytest.raises(CheckpointError, match="feature schema 999"):
        load_checkpoint(folder)


def test_reference_is_found_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``reference`` is looked up among the published checkpoints."""
    monkeypatch.setattr(checkpoint, "data_root", lambda kind: folder.parent / kind)
    folder.rename(folder.parent / "checkpoints")
    (folder.parent / "checkpoints").rename(folder.parent / "other")
    (folder.parent / "checkpoints").mkdir()
    (folder.parent / "other").rename(folder.parent / "checkpoints" / "reference")
    assert load_checkpoint("reference").temperature == 1.25
    assert load_checkpoint().name == TINY.name


def test_heads_round_trip(folder: Path) -> None:
    """Heads and thresholds by class survive, the card for people has them; without them a checkpoint is what it was."""
    assert load_checkpoint(folder).heads is None
    measured = {"0.05": {"n": 20, "wrong": 1, "low": 0.001, "high": 0.25, "held": 0.7}}
    classes = {"controls": ClassCalibration({0.01: None, 0.05: 0.875}, {0.05: 0.1}, ("controls",), 30, 40, 5, measured)}
    heads = CalibratedHeads(RelaxationHeads(4), classes)
    add_heads(folder, heads, {"training": 50, "text": "random feeders"})
    loaded = load_checkpoint(folder).heads
    assert loaded is not None
    assert loaded.classes == classes
    for name, tensor in heads.model.state_dict().items():
        np.testing.assert_array_equal(loaded.model.state_dict()[name], tensor)
    text = (folder / "README.md").read_text()
    assert "| controls | 30 | 5 % | 0.875 |" in text
    assert "| controls | 30 | 1 % | too few feeders |" in text
    save_checkpoint(folder, trained().model, load_card(folder))
    assert load_checkpoint(folder).heads is None  # calibrated on the belief of what was there before


def test_heads_that_do_not_fit_are_refused(folder: Path) -> None:
    """Damaged, missing, or made for other features: named, with what to do."""
    add_heads(folder, CalibratedHeads(RelaxationHeads(4), {}), {"training": 0, "text": "nothing"})
    described = json.loads((folder / "card.json").read_text())["heads"]
    edit_card(folder, heads=described | {"schema": 0})
    with pytest.raises(CheckpointError, match="root features 0"):
        load_checkpoint(folder)
    edit_card(folder, heads=described | {"hidden": 5})
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(folder)
    edit_card(folder, heads=described)
    (folder / HEADS).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(folder)
    (folder / HEADS).unlink()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(folder)
