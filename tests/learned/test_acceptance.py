"""Who takes the place of the champion: better on the same feeders, and true to the risk it states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from learnopt.errors import DataError
from learnopt.learned.acceptance import accept, decide
from learnopt.learning.evaluation import FixingMetrics, Metrics

FIXING = FixingMetrics(
    tau=0.9, coverage=0.5, risk=0.001, failure_rate=0.02, failure_low=0.01, failure_high=0.04, free_per_loop=2.0
)
CHAMPION = Metrics(
    n=100,
    tree_rate=0.8,
    branch_accuracy=0.95,
    mean_regret_percent=0.5,
    median_regret_percent=0.0,
    max_regret_percent=4.0,
    n_compared=100,
    n_not_admissible=0,
    n_not_converged=0,
    n_label_not_converged=0,
    distinct_labels=90,
    distinct_predictions=88,
    fixing={0.05: FIXING},
)
BETTER = replace(CHAMPION, mean_regret_percent=0.4)
FAILS = replace(FIXING, failure_rate=0.09, failure_low=0.06, failure_high=0.12)


@pytest.mark.parametrize(
    ("challenger", "champion", "accepted", "reason"),
    [
        (BETTER, CHAMPION, True, "is better: mean regret 0.4000 % against 0.5000 %"),
        (CHAMPION, BETTER, False, "is not better: mean regret 0.5000 % against 0.4000 %"),
        (CHAMPION, CHAMPION, False, "fixes no more at the same risks"),
        # Right more often, but its promise is broken: the risk counts first.
        (replace(BETTER, fixing={0.05: FAILS}), CHAMPION, False, "states a risk of 5 % and fails in 9.00 %"),
        (replace(BETTER, n_not_converged=1), CHAMPION, False, "no power flow in 1 instances"),
        (CHAMPION, replace(CHAMPION, fixing={0.05: FAILS}), True, "champion breaks a risk"),
        (replace(CHAMPION, fixing={0.05: replace(FIXING, coverage=0.6)}), CHAMPION, True, "fixes more"),
        (replace(CHAMPION, mean_regret_percent=float("nan")), CHAMPION, False, "is not better"),
        (CHAMPION, None, True, "no champion yet"),
        (replace(CHAMPION, fixing={0.05: FAILS}), None, False, "states a risk of 5 %"),
        # A threshold that does not exist promises nothing.
        (replace(CHAMPION, fixing={0.05: replace(FAILS, tau=None)}), None, True, "no champion yet"),
    ],
)
def test_decision(challenger: Metrics, champion: Metrics | None, accepted: bool, reason: str) -> None:
    """Each rule by itself, with its reason."""
    found, reasons = decide(challenger, champion)
    assert found is accepted
    assert reason in " ".join(reasons)


def test_both_are_measured_on_the_same_unseen_feeders(tiny_checkpoint: Path, other_dataset: Path) -> None:
    """A model against itself: equal numbers, not better."""
    found = accept(tiny_checkpoint, tiny_checkpoint, other_dataset)
    assert found.challenger == found.champion
    assert not found.accepted
    assert found.sentence.endswith("feeders that none of them has learned from")


def test_feeders_that_one_has_learned_from_do_not_decide(tiny_checkpoint: Path, labelled_dataset: Path) -> None:
    """Only the test feeders of the training are left of its own dataset."""
    found = accept(tiny_checkpoint, None, labelled_dataset)
    assert found.champion is None
    assert 0 < found.challenger.n <= 12


def test_a_dataset_without_labels_decides_nothing(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """An error instead of a decision on nothing."""
    with pytest.raises(DataError):
        accept(tiny_checkpoint, None, tmp_path)
