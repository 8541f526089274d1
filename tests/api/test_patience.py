"""Where neither gap nor limit is set ``auto`` and ``tree`` are content after a while; whoever sets one is served."""

from __future__ import annotations

import pytest

import learnopt
from learnopt.api import configuration
from learnopt.engines import Patience
from learnopt.network import Status


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Content at once, with a gap that case119 reaches long before its proof."""
    monkeypatch.setattr(configuration, "PATIENCE", Patience(0.0, 0.02))


@pytest.mark.parametrize("engine", ["auto", "tree"])
def test_without_gap_or_limit_half_a_percent_is_enough(impatient: None, engine: str) -> None:
    """It says so, and claims no optimum; JSON has the gap and how it fell."""
    answer = learnopt.solve("case119", engine=engine)
    assert answer.status is Status.FEASIBLE
    assert 0 < answer.gap <= 0.02
    assert "neither a gap nor a limit was set" in answer.result.message
    assert "ask for a gap (0 = the optimum)" in answer.result.message
    found = answer.to_dict()
    assert found["status"] == "feasible"
    assert found["gap_curve"][-1]["gap"] == pytest.approx(found["gap"], rel=1e-6)
    assert found["gap_curve"][-1].keys() == {"seconds", "nodes", "objective_kw", "bound_kw", "gap"}


@pytest.mark.parametrize(
    "options",
    [{"gap": 0.0}, {"gap": 1e-4}, {"time_limit": 1e6}, {"node_limit": 10**9}, {"engine": "milp"}, {"k_best": 2}],
)
def test_whoever_sets_something_is_obeyed(impatient: None, options: dict[str, object]) -> None:
    """A gap, a limit of any kind, an engine of one's own: the proof is finished."""
    answer = learnopt.solve("case33", **options)
    assert answer.status is Status.OPTIMAL
    assert answer.gap <= 1e-4
    assert "neither a gap" not in answer.result.message


def test_the_default_is_a_minute_and_half_a_percent() -> None:
    """As the help and the documentation say."""
    assert Patience(60.0, 0.005) == configuration.PATIENCE
