"""The benchmark of the learned half counts what it says: integrals, intervals over feeders, the first answer."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from learning import Trace, interval, table


def test_primal_integral_by_hand() -> None:
    """Nothing for 0.1 s, 10 % above until 0.5 s, then the best: (0.1 + 0.4 * 0.1) / 1; late answers do not count."""
    trace = Trace([(0.1, 110.0), (0.5, 100.0)])
    assert trace.primal_integral(100.0, 1.0) == pytest.approx(0.14)
    assert Trace([(3.0, 100.0)]).primal_integral(100.0, 1.0) == pytest.approx(1.0)
    assert Trace().primal_integral(100.0, 1.0) == 1.0


def test_interval_is_over_feeders() -> None:
    """A hundred scenarios of one feeder weigh as much as one of another, and equal feeders leave no interval."""
    text = interval([0.0] * 100 + [10.0], ["a"] * 100 + ["b"])
    assert text.startswith("5 [0, 10]")
    assert interval([3.0, 3.0], ["a", "b"]) == "3 [3, 3]"


def test_table_is_markdown() -> None:
    """Head, rule, rows."""
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
