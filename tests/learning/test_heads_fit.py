"""Heads learn what decides, by the likelihood of whole configurations, and are a function of data and seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.learning.heads import ROOT_SCHEMA, RootData
from learnopt.learning.heads_fit import fit_heads

SHARE = [f.name for f in ROOT_SCHEMA.branch].index("share")
PLANNED = [f.name for f in ROOT_SCHEMA.branch].index("planned")
EFFECT = [f.name for f in ROOT_SCHEMA.choice].index("effect")


def ring(seed: int) -> RootData:
    """A ring of six branches and one bank: the label opens the branch of little share, and has the step that helps.

    The plan opens the first branch, and has the bank off.
    """
    rng = np.random.default_rng(seed)
    n, choices = 6, 3
    branch = rng.normal(size=(n, len(ROOT_SCHEMA.branch))).astype(np.float32)
    choice = rng.normal(size=(choices, len(ROOT_SCHEMA.choice))).astype(np.float32)
    best_closed, best_chosen = np.arange(n) != rng.integers(n), np.arange(choices) == rng.integers(choices)
    branch[:, SHARE], choice[:, EFFECT] = 2.0 * best_closed, -2.0 * best_chosen
    ends = np.arange(n)
    branch[:, PLANNED] = ends != 0
    return RootData(
        n, ends, (ends + 1) % n, ends, branch, choice, np.zeros(choices, dtype=np.int64),
        ends != 0, np.arange(choices) == 0, best_closed, best_chosen,
    )  # fmt: skip


def test_heads_find_what_decides() -> None:
    """Further rings are decided right, beliefs are trees, and the same data and seed give the same heads."""
    model = fit_heads([ring(k) for k in range(150)], [ring(k) for k in range(150, 200)], hidden=8, steps=300)
    again = fit_heads([ring(k) for k in range(150)], [ring(k) for k in range(150, 200)], hidden=8, steps=300)
    fresh = [ring(k) for k in range(1000, 1060)]
    beliefs = [model.believe(one) for one in fresh]
    right = [
        (b.likely_closed == one.best_closed).all() and (b.likely_chosen == one.best_chosen).all()
        for b, one in zip(beliefs, fresh, strict=True)
    ]
    assert np.mean(right) > 0.8
    for belief, one in zip(beliefs, fresh, strict=True):
        assert belief.likely_closed.sum() == 5  # a spanning tree
        np.testing.assert_array_equal(belief.branch, again.believe(one).branch)
        if (one.best_closed == one.closed).all() and (one.best_chosen == one.planned).all():
            assert belief.worst_mistake(one) == 0.0


def test_mistakes_are_those_of_what_is_held() -> None:
    """The largest confidence among branches and devices in which the plan is not the label."""
    one = ring(3)
    model = fit_heads([ring(k) for k in range(20)], [ring(k) for k in range(20, 30)], hidden=0, steps=20)
    belief = replace(model.believe(one), branch=np.linspace(0.1, 0.6, 6), device=np.array([0.95]))
    wrong = belief.branch[one.best_closed != one.closed].tolist() + [0.95] * bool(one.best_chosen[0] != one.planned[0])
    assert belief.worst_mistake(one) == pytest.approx(max(wrong, default=0.0))


def test_unlabelled_problems_are_refused() -> None:
    with pytest.raises(DataError, match="no label"):
        fit_heads([replace(ring(0), best_closed=None)], [ring(1)])
    with pytest.raises(DataError, match="both are needed"):
        fit_heads([ring(0)], [])
