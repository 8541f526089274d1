"""Several trainings of one configuration: what is varied, which is best, and that nothing is trained twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.learned.sweep import Record, Setting, Trial, sweep
from learnopt.learning.config import TrainingConfig
from learnopt.learning.model import ModelConfig

CONFIG = TrainingConfig(name="s", epochs=1, test_share=0.3, model=ModelConfig(hidden=4, layers=1))


def run(data: Path, out: Path, **options: object) -> tuple[list[Trial], list[str]]:
    """Trials, and the names of what was trained now."""
    trained: list[str] = []

    @contextmanager
    def recording(config: TrainingConfig) -> Iterator[Record]:
        yield Record({}, lambda outcome, folder: trained.append(config.name))

    return list(sweep(CONFIG, [data], out, recording, **options)), trained  # type: ignore[arg-type]


def test_seeds_alone(labelled_dataset: Path, tmp_path: Path) -> None:
    """One trial of the configuration as it is; seeds in a row give different weights; their spread is told."""
    (trial,), trained = run(labelled_dataset, tmp_path / "out", seeds=2)
    assert trained == ["s-000-0", "s-000-1"]
    assert trial.settings == {}
    assert trial.losses[0] != trial.losses[1]
    assert trial.spread == pytest.approx(float(np.std(trial.losses, ddof=1)))
    assert trial.best == trial.folders[int(np.argmin(trial.losses))]


def test_a_sweep_goes_on_where_it_was_left(labelled_dataset: Path, tmp_path: Path) -> None:
    """Interrupted after three trials of five: the other two are those of a sweep in one go."""
    pytest.importorskip("optuna")
    vary = [Setting.parse("learning_rate=1e-4..1e-1"), Setting.parse("model.hidden=4,8")]
    whole, _ = run(labelled_dataset, tmp_path / "whole", vary=vary, trials=3)
    part, first = run(labelled_dataset, tmp_path / "part", vary=vary, trials=2)
    again, rest = run(labelled_dataset, tmp_path / "part", vary=vary, trials=3)
    assert (len(first), len(rest)) == (2, 1)
    assert [(t.settings, t.losses) for t in again] == [(t.settings, t.losses) for t in whole]
    assert again[:2] == part
    assert len({t.settings["learning_rate"] for t in whole}) == 3
    assert all(1e-4 <= t.settings["learning_rate"] <= 1e-1 for t in whole)


def test_another_configuration_in_the_folder_is_refused(
    labelled_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(labelled_dataset, tmp_path / "out")
    monkeypatch.setitem(globals(), "CONFIG", replace(CONFIG, epochs=2))
    with pytest.raises(DataError, match="another configuration"):
        run(labelled_dataset, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-4..1e-2", Setting("learning_rate", (), 1e-4, 1e-2)),
        ("epochs=5..20", Setting("epochs", (), 5, 20, whole=True)),
        ("model.hidden = 32, 64", Setting("model.hidden", (32, 64))),
        ("likelihood=tree,switch", Setting("likelihood", ("tree", "switch"))),
    ],
)
def test_settings_are_read_with_the_type_of_the_configuration(text: str, expected: Setting) -> None:
    assert Setting.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["learning_rate", "speed=1..2", "seed=1,2", "epochs=9..2", "likelihood=1..2", "epochs=a..b", "epochs=two"]
)
def test_what_cannot_vary_is_said(text: str) -> None:
    with pytest.raises(DataError, match="--vary"):
        Setting.parse(text)


def test_ranges_over_decades_are_logarithmic() -> None:
    assert Setting("a", (), 1e-4, 1e-2).logarithmic
    assert not Setting("a", (), 0.1, 0.5).logarithmic
    assert not Setting("a", (), 0.0, 10.0).logarithmic
