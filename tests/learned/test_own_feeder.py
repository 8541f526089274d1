"""Tuning on the snapshots of one feeder: from given weights, by time, measured against persistence."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnopt.dataset.snapshots import generate_snapshots
from learnopt.dataset.store import read_labels
from learnopt.errors import DataError
from learnopt.io.profiles.series import Profiles
from learnopt.learned.labels import label_dataset
from learnopt.learned.own_feeder import TUNING, evaluate_snapshots, persistence, read_snapshots, tune
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.learning.rival import OwnModel
from learnopt.learning.training import fit
from learnopt.network import Configuration, Network, ReconfigurationProblem, Scenario

SHORT = replace(TUNING, epochs=2, validation_share=0.2, calibration_share=0.2, test_share=0.2)


@pytest.fixture(scope="module")
def snapshots(case33: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five days of six snapshots each, homes and offices at different hours, labelled. Read only."""
    folder = tmp_path_factory.mktemp("snapshots") / "own"
    rng = np.random.default_rng(4)
    times = np.datetime64("2026-03-02T00:00:00") + np.arange(30) * np.timedelta64(4, "h")
    office = rng.random(case33.n_bus) < 0.5
    noon = np.abs(np.arange(30) % 6 - 3)[:, None] / 3
    factor = np.where(office, 1.2 - noon, 0.2 + noon) * rng.lognormal(sigma=0.05, size=(30, case33.n_bus))
    profiles = Profiles.net(times, factor * case33.p_load, factor * case33.q_load, (), case33.n_branch)
    generate_snapshots(case33, profiles, folder, charging=False, shard_size=16)
    label_dataset(folder)
    return folder


def test_tuning_leaves_a_card_that_says_where_it_comes_from(
    snapshots: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Origin, days of every side, the rivals on the test days, and a limit of use; same seed, same bytes."""
    outcome = tune(tiny_checkpoint, snapshots, tmp_path / "a", SHORT)
    tune(tiny_checkpoint, snapshots, tmp_path / "b", SHORT)
    card = load_card(tmp_path / "a")
    assert card == outcome.card
    assert card.weights_sha256 == load_card(tmp_path / "b").weights_sha256
    assert card.weights_sha256 != load_card(tiny_checkpoint).weights_sha256
    assert card.data["tuned_from"]["weights_sha256"] == load_card(tiny_checkpoint).weights_sha256
    assert card.data["days"] == {"training": 2, "validation": 1, "thresholds": 1, "test": 1}
    assert card.architecture == load_card(tiny_checkpoint).architecture
    assert card.metrics["test"]["n"] == card.metrics["test_rivals"]["last optimum"]["n"] == 6
    assert all(re.fullmatch(r"[\w ]+", name) for name in card.metrics["test_rivals"])  # MLflow takes no other names
    assert "Tuned to feeder 'case33'" in card.limits_of_use[-1]
    assert all(tau is None for tau in card.thresholds.values())  # one calibration day claims nothing
    assert len(outcome.history) == 3  # before tuning, then two epochs
    assert "train_loss" not in outcome.history[0]


def test_the_start_is_kept_where_tuning_does_harm(snapshots: Path, tiny_checkpoint: Path) -> None:
    """Steps that are far too long cannot make the model worse on the validation days."""
    pairs = read_snapshots(snapshots)[0]
    start = load_checkpoint(tiny_checkpoint).model
    found = fit(replace(SHORT, learning_rate=10.0), pairs[:12], pairs[12:18], start=start)
    losses = [row["validation_loss"] for row in found.history]
    assert found.best_epoch == int(np.argmin(losses)) == 0
    own, theirs = found.model.state_dict(), start.state_dict()
    assert all(own[k].equal(v) for k, v in theirs.items() if not k.startswith("novelty."))


def test_evaluation_is_on_the_test_days_of_tuning(snapshots: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The model does as its card says; rivals see the same snapshots; no rival beats a proven optimum."""
    tune(tiny_checkpoint, snapshots, tmp_path / "c", SHORT)
    metrics = evaluate_snapshots(tmp_path / "c", snapshots).methods
    assert metrics["model"].tree_rate == load_card(tmp_path / "c").metrics["test"]["tree_rate"]
    assert {"reference model", "optimum of yesterday", "last optimum", "nearest neighbour"} <= metrics.keys()
    assert {m.n for m in metrics.values()} == {6}
    assert all(m.mean_regret_percent >= -1e-6 for m in metrics.values())
    json.dumps([m.as_dict() for m in metrics.values()], allow_nan=False)
    assert list(evaluate_snapshots(tmp_path / "c", snapshots, baselines=False).methods) == ["model"]


def test_persistence_is_the_past_only(snapshots: Path) -> None:
    """The label of a day or a step before, never a later one; the present state where that is not admissible."""
    pairs, times, _ = read_snapshots(snapshots)
    labels = [label for _, label in pairs]
    yesterday = persistence(pairs, times, range(30), np.timedelta64(1, "D"))
    assert yesterday[6:] == labels[:24]
    assert persistence(pairs, times, [7], np.timedelta64(4, "h")) == [labels[6]]
    present = pairs[0][0].network.normal_configuration
    assert yesterday[:6] == [present] * 6
    problem = pairs[7][0]
    out = np.array(labels[6].closed & ~present.closed)  # a branch that only the past optimum uses fails
    lost = replace(problem.scenario, out_of_service=out)
    assert isinstance(lost, Scenario)
    failed = [*pairs[:7], (problem.under(lost), labels[7])]
    assert persistence(failed, times[:8], [7], np.timedelta64(4, "h")) == [present]


def test_other_datasets_are_refused(labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Synthetic feeders are no snapshots; too few days and no test days are said before training."""
    with pytest.raises(DataError, match="load profile"):
        tune(tiny_checkpoint, labelled_dataset, tmp_path / "c", SHORT)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"test_share": 0.9}, "5 days"), ({"test_share": 0.0}, "test_share"), ({"label_gap": 0.1}, "label_gap")],
)
def test_settings_that_cannot_be_served(
    snapshots: Path, tiny_checkpoint: Path, tmp_path: Path, change: dict[str, float], message: str
) -> None:
    """An error before a checkpoint is written."""
    with pytest.raises(DataError, match=message):
        tune(tiny_checkpoint, snapshots, tmp_path / "c", replace(SHORT, **change))
    assert not (tmp_path / "c").exists()


def test_labels_of_the_fixture_differ(snapshots: Path) -> None:
    """A single best configuration would make the tests above trivial."""
    assert len({record.configuration for record in read_labels(snapshots)}) > 2


def test_days_that_were_learned_from_are_not_measured(
    snapshots: Path, case33: Network, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Cut to the days of the training there is nothing left; the card says until when, rivals see the days before."""
    tune(tiny_checkpoint, snapshots, tmp_path / "c", SHORT)
    card = load_card(tmp_path / "c")
    *_, own = card.split["seen"]
    assert own["learned_until"] == "2026-03-05"
    assert own["days"]["test"] == "2026-03-06 to 2026-03-06"
    assert card.split["seen"][0] == load_card(tiny_checkpoint).split["seen"][0]  # what the start has seen
    pairs, times, _ = read_snapshots(snapshots)
    early = [k for k, time in enumerate(times) if time < np.datetime64("2026-03-05")]
    cut = Profiles.net(
        times[early], *(np.array([getattr(pairs[k][0], key) for k in early]) for key in "pq"), (), case33.n_branch
    )
    generate_snapshots(case33, cut, tmp_path / "cut", charging=False)
    label_dataset(tmp_path / "cut")
    with pytest.raises(DataError, match="has learned from every day up to 2026-03-05"):
        evaluate_snapshots(tmp_path / "c", tmp_path / "cut")

    class Shown:
        """Says how many pairs it was fitted on."""

        def fit(self, fitted: list) -> None:  # type: ignore[type-arg]
            self.fitted = len(fitted)

        def predict(self, problem: ReconfigurationProblem) -> Configuration:
            return problem.network.normal_configuration

    rival = OwnModel(Shown(), "test:Shown")
    found = evaluate_snapshots(tmp_path / "c", snapshots, rivals=[rival])
    assert rival._model.fitted == 24
    assert found.methods["Shown"] == found.methods["present configuration"]
    assert "2026-03-06 to 2026-03-06; the checkpoint has learned from days up to 2026-03-05" in found.sentence
