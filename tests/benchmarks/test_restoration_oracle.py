"""A slice of the restoration benchmark: partial service against enumeration of all states."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import restoration

SLICE, PART = 18, 6
FOUND = {
    (0, 71): "nothing can be supplied: HiGHS reduced the model to none, and a plan of no load was called impossible",
    (77, 64): "a zone without load was given up to save an operation, though everything can be supplied",
}


@pytest.mark.parametrize("first", range(0, SLICE, PART))
def test_search_equals_enumeration(first):
    """Load, operations and loss, and no bound below what a state reaches."""
    partial = 0
    for k in range(first, first + PART):
        problem, fault, worth = restoration.random_case(np.random.default_rng([0, k]))
        best = restoration.enumerated(problem, fault, worth)
        found = restoration.restore(problem, fault, worth)
        assert restoration.differences(found, best) == [], k
        partial += bool(found.found.unserved.value)
    assert partial


@pytest.mark.parametrize("drawn", FOUND)
def test_found_before(drawn):
    """Draws on which the search was wrong once."""
    problem, fault, worth = restoration.random_case(np.random.default_rng(drawn))
    best = restoration.enumerated(problem, fault, worth)
    assert restoration.differences(restoration.restore(problem, fault, worth), best) == []
