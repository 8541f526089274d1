"""Evaluation cannot flatter: nobody is measured on what the model has learned from, and rivals see the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.identity import as_ranges, feeder_key, from_ranges, identities
from learnopt.dataset.store import read_labels
from learnopt.errors import CheckpointError, DataError
from learnopt.generator import FeederConfig, ScenarioConfig
from learnopt.learned import evaluate as evaluation
from learnopt.learned.baselines import PresentConfiguration, solving_baselines
from learnopt.learned.evaluate import evaluate
from learnopt.learned.recalibrate import recalibrate
from learnopt.learned.training import train
from learnopt.learned.unseen import SIDES, sides_seen, unseen
from learnopt.learning.baselines import all_baselines
from learnopt.learning.checkpoint import REFERENCE, load_card
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig
from learnopt.learning.rival import OwnModel, load_rival
from learnopt.learning.training import split_by_feeder
from learnopt.parallel import Workers

FEEDERS = FeederConfig(buses=(10, 20), substations=(1, 2), loops=(2, 3))


def changed(data: Path, folder: Path, **values: object) -> Path:
    """A dataset under a manifest that says something else."""
    shutil.copytree(data, folder)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_card_has_the_sides_of_the_training(labelled_dataset: Path, tmp_path: Path) -> None:
    """They are those of the rule that it states, and nobody is on two of them."""
    shares = {"validation_share": 0.1, "calibration_share": 0.2, "test_share": 0.3}
    card = train(TrainingConfig(epochs=1, seed=7, model=ModelConfig(hidden=4, layers=1), **shares), labelled_dataset,
                 tmp_path / "c").card  # fmt: skip
    (entry,) = card.split["seen"]
    names = [f"tiny {k}" for k in range(30)]
    drawn = split_by_feeder(names, list(shares.values()), np.random.default_rng(7))
    assert [from_ranges(entry[side]) for side in SIDES] == [set(side) for side in drawn]
    assert card.split["rule"] == (
        "whole feeders, shuffled with seed 7: 12 training, 3 validation, 6 thresholds, 9 test"
    )
    assert load_card(tmp_path / "c") == card
    assert "shuffled with seed 7" in (tmp_path / "c" / "README.md").read_text(encoding="utf-8")
    seen = sides_seen(card, labelled_dataset)
    assert [k for k, side in enumerate(seen) if side == "test"] == drawn[3]


@pytest.mark.parametrize("hide", ["nothing", "name", "seed"])
def test_only_the_test_side_of_the_training_data_is_measured(
    labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path, hide: str
) -> None:
    """Whatever the folder or its manifest is called; rivals that learn had the feeders that the model had."""
    data = {
        "nothing": lambda: labelled_dataset,
        "name": lambda: shutil.copytree(labelled_dataset, tmp_path / "fresh"),
        "seed": lambda: changed(labelled_dataset, tmp_path / "fresh", seed=12345),
    }[hide]()
    (entry,) = load_card(tiny_checkpoint).split["seen"]
    found = evaluate(tiny_checkpoint, data)
    assert found.feeders == from_ranges(entry["test"])
    assert len(found.feeders) == 3
    assert {m.n for m in found.methods.values()} == {6}
    assert "its test feeders; left out: 27 that the checkpoint has learned from" in found.sentence


def test_figures_do_not_depend_on_the_workers(
    labelled_dataset: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes, three tasks for each method: to the last bit, those of somebody's own model included."""
    monkeypatch.setattr(evaluation, "_CHUNK", 2)
    own = OwnModel(PresentConfiguration(), "baselines:PresentConfiguration")
    own.name, own.learns = "own", False
    here = evaluate(tiny_checkpoint, labelled_dataset, rivals=[own])
    there = evaluate(tiny_checkpoint, labelled_dataset, rivals=[own], workers=Workers(2))
    assert list(there.methods) == list(here.methods)
    assert "own, exchange" in here.methods
    assert there == here


def test_more_feeders_of_the_same_seed_are_known(labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The first thirty are those of the training, though scenarios, shards and files are others."""
    wanted = GenerateConfig(seed=3, n_feeders=33, scenarios_per_feeder=1, shard_size=7, charging=False, feeder=FEEDERS)
    generate(wanted, tmp_path / "more")
    card = load_card(tiny_checkpoint)
    sides = sides_seen(card, tmp_path / "more")
    assert sides[:30] == sides_seen(card, labelled_dataset)
    assert sides[30:] == [None] * 3
    assert None not in sides[:30]
    generate(replace(wanted, seed=5), tmp_path / "other seed")
    generate(replace(wanted, feeder=replace(FEEDERS, buses=(21, 30))), tmp_path / "other kind")
    assert sides_seen(card, tmp_path / "other seed") == sides_seen(card, tmp_path / "other kind") == [None] * 33


def test_a_feeder_that_another_distribution_draws_too_is_known(
    labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """Limits of voltage change no branch: the same feeders under what looks like another origin."""
    other = replace(FEEDERS, voltage_limits=(0.8, 1.2))
    generate(GenerateConfig(seed=3, n_feeders=33, scenarios_per_feeder=1, charging=False, feeder=other), tmp_path / "b")
    card = load_card(tiny_checkpoint)
    assert sides_seen(card, tmp_path / "b") == [*sides_seen(card, labelled_dataset), None, None, None]


def test_given_feeders_are_known_by_what_they_are(tmp_path: Path) -> None:
    """The same case under another seed and in another order; a feeder that was not there is new."""
    config = GenerateConfig(seed=1, cases=("case16", "case33"), scenarios_per_feeder=2, shard_size=3, charging=False)
    generate(config, tmp_path / "a")
    generate(replace(config, seed=2, cases=("case69", "case33"), scenario=ScenarioConfig()), tmp_path / "b")
    first, second = identities(tmp_path / "a"), identities(tmp_path / "b")
    assert first[1] == second[1]
    assert second[0] not in first
    assert feeder_key(next(iter(read_networks(tmp_path / "a"))))[:16] in first[0].origin


def read_networks(data: Path) -> list:  # type: ignore[type-arg]
    """Networks of the first shard."""
    from learnopt.dataset.store import read_instances

    return [instance.problem.network for instance in read_instances(data, 0)]


def test_nothing_left_is_refused_by_name(labelled_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """A card without a test side; a card of before, which does not say."""
    checkpoint = shutil.copytree(tiny_checkpoint, tmp_path / "c")
    values = json.loads((checkpoint / "card.json").read_text())
    del values["split"]["seen"][0]["test"]
    values["split"]["seen"][0]["training"] = "0-29"
    (checkpoint / "card.json").write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"'tiny' has learned from every feeder with labels \(30\)"):
        evaluate(checkpoint, labelled_dataset)
    (checkpoint / "card.json").write_text(json.dumps(values | {"split": {}}))
    with pytest.raises(DataError, match="its card does not say which"):
        evaluate(checkpoint, labelled_dataset)
    values["split"]["seen"][0]["training"] = "zero"
    (checkpoint / "card.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="has no numbers of feeders"):
        evaluate(checkpoint, labelled_dataset)


def test_feeders_of_the_calibration_count_as_seen(other_dataset: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Thresholds learned from them; the last 30 % are the test."""
    recalibrate(tiny_checkpoint, other_dataset, tmp_path / "c")
    sides = unseen(load_card(tmp_path / "c"), other_dataset)
    assert unseen(load_card(tiny_checkpoint), other_dataset).learned == frozenset()
    assert sides.test == sides.measured == frozenset(range(21, 30))


def test_reference_card_says_what_is_known_of_its_split(tmp_path: Path) -> None:
    """Feeders of its recipe count as seen; those after the shards that it was trained on do not."""
    card = load_card(REFERENCE)
    large = Path(__file__).parents[2] / "training" / "configs" / "dataset_large.toml"
    config = replace(GenerateConfig.from_toml(large), scenarios_per_feeder=1, shard_size=1)
    manifest = generate(config, tmp_path / "large", shards=[0])
    sides = sides_seen(card, tmp_path / "large")
    assert manifest.n_feeders == len(sides) > 19680
    assert set(sides[:19680]) == {"training"}
    assert set(sides[19680:]) == {None}
    assert "cannot be checked" in card.split["rule"]


@pytest.mark.parametrize("numbers", [set(), {4}, {0, 1, 2}, {0, 2, 3, 9, 10, 11, 40}])
def test_ranges_are_read_as_written(numbers: set[int]) -> None:
    """Text of a card and back."""
    assert from_ranges(as_ranges(numbers)) == numbers


def test_evaluation_measures_everybody_on_the_same_pairs(other_dataset: Path, tiny_checkpoint: Path) -> None:
    """The model, its stepwise form and every baseline, same n; the solver-free ones learned on the other feeders."""
    metrics = evaluate(tiny_checkpoint, other_dataset).methods
    rivals = [b.name for b in [*solving_baselines(), *all_baselines()]]
    ours = ["model", "model, step by step", "model, step by step, exchange", "model and exchange"]
    assert list(metrics) == [*ours, *rivals]
    assert {m.n for m in metrics.values()} == {30}
    assert {m.distinct_labels for m in metrics.values()} == {metrics["model"].distinct_labels}
    assert all(m.n_label_not_converged == 0 for m in metrics.values())
    assert metrics["model"].ece is not None
    assert metrics["model"].fixing.keys() == load_card(tiny_checkpoint).thresholds.keys()
    # No configuration loses less than a proven optimum; exchange is at least as good as staying.
    assert all(m.mean_regret_percent >= -1e-6 for m in metrics.values())
    assert metrics["model and exchange"].mean_regret_percent <= metrics["branch exchange"].mean_regret_percent + 1e-9
    assert metrics["branch exchange"].mean_regret_percent <= metrics["present configuration"].mean_regret_percent


def test_evaluation_without_baselines_uses_all_pairs(other_dataset: Path, tiny_checkpoint: Path) -> None:
    """Nothing has to be fitted, so nothing is held back."""
    found = evaluate(tiny_checkpoint, other_dataset, baselines=False)
    assert len(found.methods) == 4
    assert found.methods["model"].n == 60
    assert found.feeders == frozenset(range(30))


RIVALS = '''
import os
from learnopt.network import Configuration

class Present:
    """Leaves the switches; says so by ids."""
    name = "as it is"

    def predict(self, problem):
        network = problem.network
        return network.open_ids(network.normal_configuration)

class Copy:
    """Knows the answers that it was shown, and shows whom it saw."""
    seen = []

    def fit(self, pairs):
        Copy.seen[:] = [problem.network.name for problem, _ in pairs]

    def predict(self, problem):
        assert problem.network.name not in Copy.seen, "measured on what it was fitted on"
        return problem.network.normal_configuration

class Everything:
    def predict(self, problem):
        return []

class Wrong:
    def predict(self, problem):
        return ["nowhere"]

class Text:
    def predict(self, problem):
        return "open 7"

class Fails:
    def predict(self, problem):
        return problem.nothing

class Without:
    pass

class Needs:
    def __init__(self, path):
        pass

CONSTANT = 3
'''


@pytest.fixture
def rivals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """A module of rivals in the current folder, under a name of its own: imports are kept."""
    name = f"rivals_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(RIVALS)
    (tmp_path / f"{name}_broken.py").write_text("import numpyy\n")
    monkeypatch.chdir(tmp_path)
    return lambda kind: kind.replace("rivals", name)


def test_a_rival_is_measured_like_everybody(
    other_dataset: Path, tiny_checkpoint: Path, rivals: Callable[[str], str]
) -> None:
    """Ids or configurations, with and without ``fit``; the present state scores what our baseline of it scores."""
    found = evaluate(
        tiny_checkpoint, other_dataset, rivals=[load_rival(rivals(f"rivals:{k}")) for k in ("Present", "Copy")]
    )
    metrics = found.methods
    present, copy = "as it is", "Copy"
    assert {present, f"{present}, exchange", copy, f"{copy}, exchange"} <= metrics.keys()
    assert metrics[present] == metrics[copy]
    assert metrics[f"{present}, exchange"].mean_regret_percent < metrics[present].mean_regret_percent
    assert {m.n for m in metrics.values()} == {30}
    names = {r.problem.network.name for r in read_labels(other_dataset, set(range(30)) - found.feeders)}
    assert set(load_rival(rivals("rivals:Copy"))._model.seen) == names
    everything = evaluate(tiny_checkpoint, other_dataset, False, [load_rival(rivals("rivals:Everything"))]).methods
    assert everything["Everything"].n_not_admissible == 60  # no ``fit``: nothing is held back


def test_names_are_told_apart(other_dataset: Path, tiny_checkpoint: Path, rivals: Callable[[str], str]) -> None:
    """The same rival twice would be one row."""
    twice = [load_rival(rivals("rivals:Present"))] * 2
    with pytest.raises(DataError, match="two methods are called 'as it is'"):
        evaluate(tiny_checkpoint, other_dataset, False, twice)
    twice[0].name = "model"
    with pytest.raises(DataError, match="two methods are called 'model'"):
        evaluate(tiny_checkpoint, other_dataset, False, twice[:1])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing_here:Model", "no module nothing_here: it is neither installed nor in"),
        ("rivals_broken:Model", "imports numpyy, which is not installed"),
        ("rivals:Absent", "has no 'Absent'; its classes: Present, Copy"),
        ("rivals:CONSTANT", "is a int: name a class"),
        ("rivals:Without", r"no method predict\(self, problem\)"),
        ("rivals:Needs", "made without arguments"),
        ("rivals.py:Present", "for instance rivals"),
        ("rivals", "for instance rivals"),
    ],
)
def test_what_is_no_rival_is_told(rivals: Callable[[str], str], source: str, message: str) -> None:
    """Module, class, constructor and protocol."""
    with pytest.raises(DataError, match=rivals(message)):
        load_rival(rivals(source))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("Wrong", "predict returned what .* does not have: .*nowhere"),
        ("Text", "predict returned a str: return the ids"),
        ("Fails", r"predict failed with AttributeError: .*nothing.* \(rivals.*, line 38\)"),
    ],
)
def test_what_a_rival_does_wrong_is_told_with_its_place(
    other_dataset: Path, tiny_checkpoint: Path, rivals: Callable[[str], str], kind: str, message: str
) -> None:
    """Before anything else is measured."""
    with pytest.raises(DataError, match=message):
        evaluate(tiny_checkpoint, other_dataset, False, [load_rival(rivals(f"rivals:{kind}"))])
