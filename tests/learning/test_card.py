"""The card for people: made from ``card.json``, with risk by family, a diagram, and rivals where they were measured."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from learnopt.errors import CheckpointError
from learnopt.io.resources import data_root
from learnopt.learning.calibration import Reliability
from learnopt.learning.card import ModelCard
from learnopt.learning.checkpoint import COMPARISON, PICTURE, README, load_card, write_readme
from learnopt.learning.comparison import Comparison
from learnopt.learning.evaluation import Metrics

SVG = "{http://www.w3.org/2000/svg}"


def metrics(tree_rate: float, mean: float) -> Metrics:
    """Metrics of a method, what a card does not keep left at zero."""
    return Metrics(40, tree_rate, 0.9, mean, 0.0, 5 * mean, 40, 0, 0, 0, 40, 40)


def comparison(card: ModelCard) -> Comparison:
    """A model that beats its rival."""
    diagram = Reliability(np.array([0.1, 0.9]), np.array([0.12, 0.88]), np.array([30.0, 70.0]))
    drawn = {"seed": 77, "config": {"feeder": {"buses": [20, 200], "loops": [2, 25]}}}
    methods = {"model": metrics(0.36, 0.98), "branch exchange": metrics(0.21, float("nan"))}
    return Comparison.of(card.weights_sha256, drawn, methods, diagram)


def test_reference_card_is_the_one_that_its_files_make(tmp_path: Path) -> None:
    """README and picture of the reference checkpoint are those of its card and comparison, byte for byte."""
    folder = data_root("checkpoints") / "reference"
    if (folder / COMPARISON).exists():
        (tmp_path / COMPARISON).write_bytes((folder / COMPARISON).read_bytes())
    write_readme(tmp_path, load_card("reference"))
    for name in (README, PICTURE):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes(), (
            "learnopt.learning.checkpoint.write_readme"
        )


def test_card_is_a_page_that_a_person_reads() -> None:
    """Its sections in the order of need, one table of risk with a row per family, and no dump of the metrics."""
    card = load_card("reference")
    text = card.to_markdown()
    titles = re.findall(r"^## (.*)$", text, re.M)
    assert titles[:3] == ["Limits of use", "What it was trained on", "Risk of fixing"]
    assert len(text.splitlines()) < 80
    assert "fixing.0.01" not in text
    rows = [line for line in text.splitlines() if "(`held_out" in line]
    assert len(rows) == 2
    assert f"| {card.metrics['test_held_out']['n']} |" in rows[0]
    assert "20 to 200 buses" in rows[0]
    assert "Not measured yet" in text


def test_comparison_is_added_and_survives_its_file(tmp_path: Path) -> None:
    """Rivals become rows, what is unknown a dash, and the diagram gets its panel of probabilities."""
    card = load_card("reference")
    found = Comparison.from_json(comparison(card).to_json())
    assert found == comparison(card)
    (tmp_path / COMPARISON).write_text(found.to_json())
    write_readme(tmp_path, card)
    text = (tmp_path / README).read_text(encoding="utf-8")
    assert "| model | 36 % | 0.98 % | 4.9 % |" in text
    assert "| branch exchange | 21 % | – | – |" in text
    assert "40 instances on feeders of 20 to 200 buses, 2 to 25 loops, seed 77" in text
    with_panel, without = ((tmp_path / PICTURE).read_text(), card.to_svg())
    assert "Probability that a switch is closed" in with_panel
    assert "Probability that a switch is closed" not in without


def test_comparison_of_other_weights_says_nothing(tmp_path: Path) -> None:
    """After another training the old comparison is left out; a damaged one is named."""
    card = load_card("reference")
    (tmp_path / COMPARISON).write_text(comparison(replace(card, weights_sha256="other")).to_json())
    write_readme(tmp_path, card)
    assert "Not measured yet" in (tmp_path / README).read_text(encoding="utf-8")
    (tmp_path / COMPARISON).write_text("{}")
    with pytest.raises(CheckpointError, match="damaged"):
        write_readme(tmp_path, card)


def test_rivals_of_a_tuned_model_are_those_of_its_card() -> None:
    """A card that has measured its rivals itself shows them."""
    card = load_card("reference")
    rivals = {"last optimum": {"n": 6, "tree_rate": 0.5, "mean_regret_percent": 1.25, "max_regret_percent": None}}
    tuned = replace(card, metrics={"test": card.metrics["test"], "test_rivals": rivals})
    assert "| last optimum | 50 % | 1.25 % | – |" in tuned.to_markdown()


def test_diagram_shows_every_measured_risk() -> None:
    """One point and one interval per family and stated risk, inside the picture."""
    card = load_card("reference")
    picture = ElementTree.fromstring(card.to_svg())
    width, height = float(picture.attrib["width"]), float(picture.attrib["height"])
    points = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in picture.iter(f"{SVG}circle")]
    assert len(points) == 3 * len(card.thresholds) + 3  # families, and the key
    assert all(0 < x < width and 0 < y < height for x, y in points)
    assert any("held_out_wide" in (text.text or "") for text in picture.iter(f"{SVG}text"))


def test_card_without_measured_risks() -> None:
    """Nothing is claimed where nothing is known."""
    card = replace(load_card("reference"), metrics={}, calibration={}, data={}, thresholds={0.01: None})
    text = card.to_markdown()
    assert "It states no risk of 1 %" in text
    assert "too few calibration feeders" in text
    assert card.to_svg().startswith("<svg")
