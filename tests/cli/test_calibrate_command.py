"""``calibrate``: thresholds of other feeders, and data or checkpoints that would make them untrue."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from invocation import invoke

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.generator import FeederConfig
from learnopt.learned.labels import label_dataset
from learnopt.learning.checkpoint import load_checkpoint

CapSys = pytest.CaptureFixture[str]


def write_json(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; None removes one."""
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))


@pytest.fixture
def held_out(other_dataset: Path) -> Path:
    """Feeders that the tiny checkpoint was not trained on."""
    return other_dataset


def test_calibrates_in_place_and_elsewhere(
    capsys: CapSys, held_out: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """A checkpoint of the older rule is refused by evaluate, calibrated by calibrate, then taken; tables state it."""
    old = tmp_path / "old"
    shutil.copytree(tiny_checkpoint, old)
    write_json(old / "card.json", fixing_rule=None)
    refused = invoke(capsys, "evaluate", "--checkpoint", old, "--data", held_out)
    assert refused.code == 2
    assert "learnopt calibrate" in refused.err
    outcome = invoke(capsys, "calibrate", "--checkpoint", old, "--data", held_out, "--out", tmp_path / "new", "--json")
    assert outcome.code == 0
    assert outcome.json["checkpoint"] == str(tmp_path / "new")
    assert outcome.json["calibration"]["n_feeders"] == 17  # of thirty, the middle 55 %
    assert outcome.json["metrics"]["test"]["fixing"].keys() == {"0.001", "0.01", "0.05", "0.1"}
    assert load_checkpoint(tmp_path / "new").name == "tiny"
    assert invoke(capsys, "evaluate", "--checkpoint", old, "--data", held_out).code == 2  # --out left it alone
    shown = invoke(capsys, "calibrate", "--checkpoint", old, "--data", held_out)
    assert shown.code == 0
    assert f"{outcome.json['metrics']['test']['n']} test instances" in " ".join(shown.out.split())
    assert load_checkpoint(old).thresholds == load_checkpoint(tmp_path / "new").thresholds


def test_refuses_what_would_state_an_untrue_risk(
    capsys: CapSys, held_out: Path, labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Training data, too few feeders, no labels, no folder to write: exit code 2, what to do, nothing written."""
    seed = json.loads((labelled_dataset / "manifest.json").read_text())["seed"]
    feeder = FeederConfig(buses=(10, 12), substations=(1, 1), loops=(2, 2))
    generate(GenerateConfig(seed=9, n_feeders=2, scenarios_per_feeder=1, feeder=feeder), tmp_path / "few")
    bare = tmp_path / "bare"
    shutil.copytree(tmp_path / "few", bare)
    label_dataset(tmp_path / "few")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out"
    tiny = ["--checkpoint", tiny_checkpoint]
    for arguments, said in (
        ([*tiny, "--data", labelled_dataset, "--out", out], [f"seed {seed}", "another seed"]),
        ([*tiny, "--data", tmp_path / "few", "--out", out], ["2 feeders", "label more"]),
        ([*tiny, "--data", bare, "--out", out], ["0 feeders", "label more"]),
        ([*tiny, "--data", tmp_path / "empty", "--out", out], ["learnopt generate"]),
        (["--checkpoint", tmp_path / "empty", "--data", held_out, "--out", out], ["learnopt train"]),
        (["--data", held_out], ["--out"]),
    ):
        outcome = invoke(capsys, "calibrate", *arguments, "--json")
        assert outcome.code == 2, arguments
        assert all(word in " ".join(outcome.json["errors"]) for word in said), outcome.json
        assert not out.exists()
