"""A slice of the fuzzing: seeds fixed, every format."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import LearnoptError

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import fuzz

COUNT = 12
"""Files of each format."""


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Every format, its companions in a folder of the session."""
    return fuzz.recipes(tmp_path_factory.mktemp("seeds"))


def test_every_seed_is_read_or_refused_in_words(formats: list, tmp_path: Path) -> None:
    """Before damage, nearly all are read: else nothing but the first check would be tried."""
    for recipe in formats:
        outcomes: Counter[str] = Counter()
        for name, content in recipe.texts.items():
            try:
                recipe.read(fuzz.placed(recipe, name, content, tmp_path / "in"))
                outcomes["read"] += 1
            except LearnoptError:
                outcomes["refused"] += 1
        assert outcomes["read"] > 0, recipe.name


def test_damaged_files_are_read_or_refused(formats: list, tmp_path: Path) -> None:
    """No other exception, no file beside the one that was read, and both outcomes occur."""
    outcomes: Counter[str] = Counter()
    for k in range(COUNT * len(formats)):
        recipe, name, content = fuzz.drawn(k, 2026, formats)
        path = fuzz.placed(recipe, name, content, tmp_path / "in")
        before = set(os.listdir(path.parent))
        try:
            recipe.read(path)
            outcomes["read"] += 1
        except LearnoptError:
            outcomes["refused"] += 1
        assert set(os.listdir(path.parent)) == before, (k, recipe.name)
    assert min(outcomes["read"], outcomes["refused"]) > COUNT


def test_files_are_drawn_from_their_number() -> None:
    """The same number gives the same damage, and most damage changes something."""
    text = b'{"p_kw": 1.5, "name": "a"}'
    again = [fuzz.mutated(np.random.default_rng([1, k]), text, [text]) for k in range(200)]
    assert again == [fuzz.mutated(np.random.default_rng([1, k]), text, [text]) for k in range(200)]
    assert sum(found != text for found in again) > 180
