"""Time-limited MILP and local search: better or equal, with a bound that stays true."""

from __future__ import annotations

import pytest
from instances import random_problem

from learnopt.engines import SolveOptions, Stopwatch, conclude
from learnopt.engines import hybrid as module
from learnopt.engines.enumeration import EnumerationEngine
from learnopt.engines.hybrid import HybridEngine
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import (
    Capacitor,
    Certificate,
    Configuration,
    Controls,
    Network,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)
from learnopt.physics import evaluate


class Stopped(MilpEngine):
    """A MILP that runs out of time with the normal configuration and half its loss as bound."""

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """What is left of it."""
        normal = problem.network.normal_configuration
        return conclude(
            problem,
            "milp",
            Stopwatch(),
            configuration=normal,
            status=Status.FEASIBLE,
            certificate=Certificate.AC,
            dual_bound_kw=0.5 * evaluate(problem, normal).loss_kw,
        )


def test_local_search_goes_on_from_a_stopped_milp(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the normal configuration it finds the known optimum; the bound and its certificate are kept, not raised."""
    monkeypatch.setattr(module, "MilpEngine", Stopped)
    problem = ReconfigurationProblem.of(case33)
    first, second = (HybridEngine().solve(problem, SolveOptions()) for _ in range(2))
    assert first.loss_kw == pytest.approx(139.551, abs=1e-3)
    assert first.status is Status.FEASIBLE
    assert first.certificate is Certificate.AC
    assert first.dual_bound_kw == pytest.approx(0.5 * 202.677, abs=1e-2)
    assert first.configuration == second.configuration


@pytest.mark.parametrize("seed", range(6))
def test_against_enumeration(seed: int) -> None:
    """Where the MILP closes the gap, its answer is passed on with its proof."""
    problem = random_problem(seed)
    oracle = EnumerationEngine().solve(problem, SolveOptions())
    result = HybridEngine().solve(problem, SolveOptions())
    assert result.engine == "hybrid"
    assert (result.configuration is None) == (oracle.configuration is None)
    if result.objective_kw is not None:
        assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=1e-4)
        assert result.dual_bound_kw is None or result.dual_bound_kw <= oracle.objective_kw * (1 + 1e-9)


def test_local_search_keeps_the_settings_of_the_milp(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """With controls it moves switches only: the capacitor bank stays at its step, in the answer and in its losses."""
    step = 900.0 / case33.base.kw
    settings = Settings(capacitors=(step,))

    class WithBank(Stopped):
        def solve(
            self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
        ) -> Result:
            normal = problem.network.normal_configuration
            return conclude(
                problem, "milp", Stopwatch(), configuration=normal, settings=settings, status=Status.FEASIBLE
            )

    monkeypatch.setattr(module, "MilpEngine", WithBank)
    problem = ReconfigurationProblem.of(case33).replace(controls=Controls(capacitors=(Capacitor(29, (step,)),)))
    result = HybridEngine().solve(problem, SolveOptions())
    assert result.settings == (settings,)
    best = TreeSearchEngine().solve(problem.applied(settings), SolveOptions())
    assert best.status is Status.OPTIMAL
    assert result.loss_kw == pytest.approx(best.loss_kw, abs=1e-3)
    assert result.loss_kw < 139.551 - 10
