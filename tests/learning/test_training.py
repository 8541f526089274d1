"""Training learns, repeats itself, and keeps feeders on one side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from toy_feeders import TINY, labelled_pairs, random_problem, sequential_opening, trained

from learnopt.errors import DataError
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig
from learnopt.learning.training import fit, partial_state, split_by_feeder
from learnopt.network import ReconfigurationProblem


def test_training_learns_the_rule_behind_the_labels() -> None:
    """Validation likelihood improves well beyond the first epoch, and the best epoch is the one kept."""
    model = trained()
    losses = [row["validation_loss"] for row in model.history]
    assert min(losses) < 0.8 * losses[0]
    assert model.metrics["validation_loss"] == min(losses)
    assert model.metrics["validation_branch_accuracy"] > 0.85


def test_same_seed_same_weights() -> None:
    """Two runs with one seed give identical weights; another seed gives others."""
    config = replace(TINY, epochs=2, partial_states=1)
    pairs = labelled_pairs()
    first, again = (fit(config, pairs[:12], pairs[12:18]).model.state_dict() for _ in range(2))
    other = fit(replace(config, seed=1), pairs[:12], pairs[12:18]).model.state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_two_processes_train_as_one() -> None:
    """The loss of every epoch to 1e-5, with an odd number of feeders and a last batch of one; the same best epoch."""
    config = replace(TINY, epochs=3, batch_size=6)
    pairs = labelled_pairs()
    one = fit(config, pairs[:19], pairs[19:26])
    two = fit(replace(config, devices=2), pairs[:19], pairs[19:26])
    assert one.best_epoch == two.best_epoch
    assert one.history[0].keys() == two.history[0].keys()
    for name in one.history[0]:
        np.testing.assert_allclose([r[name] for r in two.history], [r[name] for r in one.history], atol=1e-5)


@pytest.mark.parametrize("changes", [{"accumulate": 4}, {"accumulate": 2, "devices": 2}], ids=["parts", "parts of two"])
def test_a_step_in_parts_is_the_same_step(changes: dict[str, int]) -> None:
    """The loss of every epoch to 1e-5; batches of six feeders and a last one of one, which leaves parts empty."""
    config = replace(TINY, epochs=3, batch_size=6)
    pairs = labelled_pairs()
    whole, parts = (fit(each, pairs[:19], pairs[19:26]) for each in (config, replace(config, **changes)))
    assert parts.best_epoch == whole.best_epoch
    for name in whole.history[0]:
        np.testing.assert_allclose([r[name] for r in parts.history], [r[name] for r in whole.history], atol=1e-5)


class _Interruption(Callback):
    """The machine fails in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Trainer, *args: object) -> None:
        if trainer.current_epoch == self.epoch:
            raise RuntimeError("power cut")


def test_an_interrupted_training_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    """Same weights bit for bit, with dropout, twice interrupted; a training that has stopped is not taken further."""
    config = replace(TINY, epochs=5, patience=1, learning_rate=0.05, model=replace(TINY.model, dropout=0.2))
    pairs = labelled_pairs()[:20], labelled_pairs()[20:30]
    straight = fit(config, *pairs)
    for epoch in (1, 2):
        with pytest.raises(RuntimeError, match="power cut"):
            fit(config, *pairs, callbacks=[_Interruption(epoch)], unfinished=tmp_path, resume=True)
    for _ in range(2):
        resumed = fit(config, *pairs, unfinished=tmp_path, resume=True)
        assert resumed.history == straight.history
        assert resumed.best_epoch == straight.best_epoch
        weights = straight.model.state_dict()
        assert all(torch.equal(value, weights[k]) for k, value in resumed.model.state_dict().items())
    for other, what in ((replace(config, seed=1), "configuration"), (replace(config, partial_states=1), "data")):
        with pytest.raises(DataError, match=what):
            fit(other, *pairs, unfinished=tmp_path, resume=True)


def test_training_leaves_the_global_random_state_alone() -> None:
    """A user's own torch seed survives a training."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(replace(TINY, epochs=1), labelled_pairs()[:8], labelled_pairs()[8:12])
    assert torch.equal(torch.rand(3), expected)


def test_edge_mlp_trains() -> None:
    """The baseline architecture runs through the same loop."""
    config = replace(TINY, epochs=3, model=ModelConfig(kind="mlp", hidden=16, layers=2))
    losses = [row["train_loss"] for row in fit(config, labelled_pairs()[:30], labelled_pairs()[30:40]).history]
    assert losses[-1] < losses[0]


def test_pairs_without_decision_are_refused(two_bus: object) -> None:
    """A side without any switch to decide is named."""
    problem = ReconfigurationProblem.of(two_bus)  # type: ignore[arg-type]
    pair = (problem, problem.network.normal_configuration)
    with pytest.raises(DataError, match="no validation pair"):
        fit(TINY, labelled_pairs()[:2], [pair])


def test_partial_states_keep_the_label_admissible() -> None:
    """Locking open what the label opens leaves a problem that the label still solves, with fewer decisions."""
    rng = np.random.default_rng(0)
    problem = random_problem(4, 20, 5)
    label = sequential_opening(problem)
    counts = set()
    for _ in range(30):
        state = partial_state(problem, label, rng)
        assert state.admits(label)
        counts.add(int(np.count_nonzero(state.scenario.locked == 0)))
    assert counts == {0, 1, 2, 3, 4}


def test_split_keeps_feeders_together() -> None:
    """No feeder is on two sides, all pairs are used, and the split follows the seed."""
    feeders = [f"feeder {k % 20}" for k in range(100)]
    sides = split_by_feeder(feeders, [0.2, 0.1], np.random.default_rng(0))
    names = [{feeders[i] for i in side} for side in sides]
    assert [len(n) for n in names] == [14, 4, 2]
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])
    assert sorted(i for side in sides for i in side) == list(range(100))
    assert sides == split_by_feeder(feeders, [0.2, 0.1], np.random.default_rng(0))
    assert sides != split_by_feeder(feeders, [0.2, 0.1], np.random.default_rng(1))
    with pytest.raises(DataError, match="2 feeders do not suffice"):
        split_by_feeder(["a", "b"], [0.5, 0.5], np.random.default_rng(0))


@pytest.mark.parametrize("name", ["train_small", "train_reference", "train_larger"])
def test_shipped_configurations_load(name: str) -> None:
    """The configurations of the project are valid."""
    path = Path(__file__).parents[2] / "training" / "configs" / f"{name}.toml"
    assert TrainingConfig.load(path).model.kind == "gnn"


def test_bad_configuration_names_every_problem(tmp_path: Path) -> None:
    """Unknown keys, wrong types and values out of range are refused by name."""
    path = tmp_path / "bad.toml"
    path.write_text('epoch = 3\nbatch_size = "many"\n')
    with pytest.raises(DataError) as error:
        TrainingConfig.load(path)
    assert "epoch" in str(error.value)
    assert "batch_size" in str(error.value)
    path.write_text("[model]\nkind = 'gnn'\nhidden = 0\n")
    with pytest.raises(DataError, match="hidden = 0 must be >= 1"):
        TrainingConfig.load(path)
    path.write_text("seed =")
    with pytest.raises(DataError, match="not a TOML file"):
        TrainingConfig.load(path)
    with pytest.raises(DataError, match="does not exist"):
        TrainingConfig.load(tmp_path / "absent.toml")
    with pytest.raises(DataError, match="learning_rate = 0"):
        TrainingConfig(learning_rate=0)
    with pytest.raises(DataError, match="strategy = 'ddp' must be one of auto"):
        TrainingConfig(strategy="ddp")  # type: ignore[arg-type]
