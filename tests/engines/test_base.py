"""The door through which configurations leave an engine: options, stopwatch, judged conclusions, registry."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from learnopt.engines import Engine, SolveOptions, Stopwatch, conclude, engine_names, load_engine
from learnopt.engines.base import AGREEMENT, infeasible
from learnopt.errors import DataError
from learnopt.network import Certificate, Configuration, Limits, ReconfigurationProblem, Scenario, Situations, Status
from learnopt.physics import evaluate


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"gap": -1e-4}, ["gap = -0.0001"]),
        ({"gap": math.nan}, ["gap = nan"]),
        ({"gap": math.inf}, ["gap = inf"]),
        ({"time_limit": 0.0}, ["time_limit = 0.0"]),
        ({"time_limit": math.nan}, ["time_limit = nan"]),
        ({"gap": -1, "time_limit": -5}, ["gap = -1", "time_limit = -5"]),
    ],
)
def test_bad_options_are_refused_all_at_once(options, named):
    """Every option out of range is named with its value."""
    with pytest.raises(DataError) as error:
        SolveOptions(**options)
    assert len(error.value.violations) == len(named)
    assert all(text in str(error.value) for text in named)


def test_good_options():
    """Gap 0 and no limits are fine."""
    assert SolveOptions(gap=0.0, time_limit=1e-9).certify is None


def test_stopwatch_adds_stages_and_survives_errors():
    """A stage entered twice is one stage; an exception does not lose its time; stages never exceed the whole."""
    watch = Stopwatch()
    with watch.stage("a"):
        pass
    once = watch.stages["a"]
    with pytest.raises(ZeroDivisionError), watch.stage("a"):
        raise ZeroDivisionError
    assert watch.stages["a"] > once > 0
    assert list(watch.stages) == ["a"]
    assert sum(watch.stages.values()) <= watch.elapsed


def closing(problem: ReconfigurationProblem, configuration: Configuration | None, **changes):
    """A conclusion of an engine that claims optimality with a bound."""
    claim = {"status": Status.OPTIMAL, "certificate": Certificate.AC, "dual_bound_kw": 1.0, "message": "Said."}
    return conclude(problem, "test", Stopwatch(), configuration=configuration, **{**claim, **changes})


def test_objective_is_judged_loss_plus_switching(triangle):
    """Loss comes from the judge, the cost of two operations is added, and the bound stays where it was."""
    problem = ReconfigurationProblem.of(triangle, switching_cost=1.5)
    result = closing(problem, triangle.configuration([2]), gap=0.9)
    assert result.status is Status.OPTIMAL
    assert result.evaluation is not None
    assert result.objective_kw == pytest.approx(result.loss_kw + 3.0)
    assert (result.dual_bound_kw, result.certificate) == (1.0, Certificate.AC)
    assert result.gap == pytest.approx(1 - 1 / result.objective_kw)
    assert result.message == "Said."
    assert "judge" in result.stage_times_s
    assert result.solve_time_s > 0


@pytest.mark.parametrize("above", [1e-9, math.inf])
def test_a_bound_just_above_the_objective_is_rounding(triangle, above):
    """It is lowered to the objective, so that the gap is zero and never negative; infinite: the only answer."""
    problem, configuration = ReconfigurationProblem.of(triangle), triangle.configuration([2])
    bound = evaluate(problem, configuration).loss_kw * (1 + above)
    result = closing(problem, configuration, dual_bound_kw=bound)
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert result.dual_bound_kw == result.objective_kw
    assert result.gap == 0.0


def test_an_ac_bound_far_above_an_ac_loss_proves_nothing(triangle):
    """Its proof is wrong somewhere; a bound of the model may lie above, its losses are not those of AC."""
    problem, configuration = ReconfigurationProblem.of(triangle), triangle.configuration([2])
    bound = evaluate(problem, configuration).loss_kw * (1 + 1e-5)
    result = closing(problem, configuration, dual_bound_kw=bound)
    assert (result.status, result.certificate, result.dual_bound_kw) == (Status.FEASIBLE, Certificate.NONE, None)
    assert "lies above the objective" in result.message
    model = closing(problem, configuration, dual_bound_kw=bound, certificate=Certificate.MODEL)
    assert (model.status, model.certificate, model.gap) == (Status.OPTIMAL, Certificate.MODEL, 0.0)


@pytest.mark.parametrize("asked", [0.0, 1e-6, 1e-4, 0.2])
def test_optimal_means_the_reported_gap(triangle, asked):
    """Whatever an engine says: optimal if the gap as judged is at most the one asked for, never beyond it."""
    problem, configuration = ReconfigurationProblem.of(triangle), triangle.configuration([2])
    loss, allowed = evaluate(problem, configuration).loss_kw, max(asked, AGREEMENT)
    within = closing(problem, configuration, dual_bound_kw=loss * (1 - 0.99 * allowed), gap=asked)
    beyond = closing(problem, configuration, dual_bound_kw=loss * (1 - 1.1 * allowed), gap=asked)
    assert within.status is Status.OPTIMAL
    assert within.gap <= allowed
    assert (beyond.status, beyond.certificate) == (Status.FEASIBLE, Certificate.AC)
    assert beyond.gap > allowed
    assert "above the" in beyond.message
    assert "above the" not in within.message


@pytest.mark.parametrize("factor", [1 + 1e-5, 1 - 1e-5, 1 + 1e-8])
def test_judge_and_sweep_must_agree(triangle, factor):
    """A loss that the judge sees otherwise is the loss of the answer, and nothing is proven about it."""
    problem, configuration = ReconfigurationProblem.of(triangle, switching_cost=1.5), triangle.configuration([2])
    judged = evaluate(problem, configuration)
    judged = replace(judged, loss_kw=factor * judged.loss_kw)
    result = closing(problem, configuration, judged=judged, dual_bound_kw=judged.loss_kw + 3.0)
    assert result.loss_kw == judged.loss_kw
    if abs(factor - 1) < AGREEMENT:
        assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    else:
        assert (result.status, result.certificate, result.gap) == (Status.FEASIBLE, Certificate.NONE, None)
        assert "two power flows of this configuration disagree" in result.message


def test_agreement_of_nothing(triangle):
    """Without load both lose nothing, up to rounding; every scenario counts."""
    nothing = replace(Scenario.nominal(triangle), p_load=0 * triangle.p_load, q_load=0 * triangle.q_load)
    result = closing(
        ReconfigurationProblem(triangle, Situations.of(nothing)), triangle.configuration([2]), dual_bound_kw=0.0
    )
    assert (result.status, result.certificate) == (Status.OPTIMAL, Certificate.AC)
    both = Situations((nothing, Scenario.nominal(triangle)), np.ones(2))
    problem = ReconfigurationProblem(triangle, both)
    loss = evaluate(problem, triangle.configuration([2])).loss_kw
    result = closing(problem, triangle.configuration([2]), dual_bound_kw=loss)
    assert (result.status, result.gap) == (Status.OPTIMAL, 0.0)


def test_another_objective_is_what_the_gap_is_of(triangle):
    """A risk, or loss and balance: status, bound and gap are those of what is minimised."""
    problem, configuration = ReconfigurationProblem.of(triangle), triangle.configuration([2])
    twice = closing(problem, configuration, objective=lambda e: 2 * e.loss_kw, dual_bound_kw=math.inf)
    assert (twice.status, twice.objective_kw) == (Status.OPTIMAL, 2 * twice.loss_kw)
    half = closing(problem, configuration, objective=lambda e: 2 * e.loss_kw, dual_bound_kw=twice.loss_kw)
    assert (half.status, half.gap) == (Status.FEASIBLE, 0.5)


def test_a_bound_below_zero_is_zero(triangle):
    """No loss is negative, so a bound of -3 kW would say less than is known without it."""
    result = closing(ReconfigurationProblem.of(triangle), triangle.configuration([2]), dual_bound_kw=-3.0)
    assert (result.dual_bound_kw, result.gap) == (0.0, 1.0)


@pytest.mark.parametrize("bound", [None, -math.inf, math.inf, math.nan])
def test_no_bound_no_certificate(triangle, bound):
    """A bound that is no number proves nothing."""
    result = closing(ReconfigurationProblem.of(triangle), None, status=Status.NO_SOLUTION, dual_bound_kw=bound)
    assert (result.dual_bound_kw, result.certificate, result.gap) == (None, Certificate.NONE, None)
    judged = closing(ReconfigurationProblem.of(triangle), triangle.configuration([2]), dual_bound_kw=None)
    assert (judged.dual_bound_kw, judged.certificate, judged.gap) == (None, Certificate.NONE, None)


def test_what_the_judge_refuses_is_no_answer(triangle):
    """Loops, unfed buses, locks, the cap, voltages and collapse: no_solution with the reason, never a configuration."""
    nominal = Scenario.nominal(triangle)
    locked = replace(nominal, locked=np.array([-1, 0, -1], dtype=np.int8))
    huge = replace(nominal, p_load=300 * triangle.p_load)
    free = ReconfigurationProblem(triangle, Situations.of(nominal))
    for problem, opened, reason in (
        (free, [], "loops close at branch"),
        (free, [1, 3], "no path to a substation"),
        (ReconfigurationProblem(triangle, Situations.of(locked)), [3], "branch 2 must be open"),
        (free.replace(max_operations=1), [2], "2 switching operations exceed the cap of 1"),
        (free.replace(limits=Limits(vm_min=0.995)), [2], "is below 0.995 pu"),
        (ReconfigurationProblem(triangle, Situations.of(huge)), [2], "no solution"),
    ):
        result = closing(problem, triangle.configuration(opened))
        assert result.status is Status.NO_SOLUTION
        assert (result.configuration, result.evaluation, result.objective_kw, result.gap) == (None,) * 4
        assert result.message.startswith("Said. The best configuration found is not feasible:")
        assert reason in result.message


def test_contradictions_are_infeasible_and_named(case33):
    """Locks and outages that leave no radial configuration: the status, and what clashes by id."""
    nominal = Scenario.nominal(case33)
    cut_off = replace(nominal, out_of_service=np.arange(case33.n_branch) == 0)
    clash = replace(cut_off, locked=np.where(np.arange(case33.n_branch) == 0, 1, -1).astype(np.int8))
    for scenario, text in (
        (cut_off, "32 buses cannot be fed"),
        (clash, "branch 1 is locked closed but out of service"),
    ):
        result = infeasible(ReconfigurationProblem.of(case33, scenario), "test", Stopwatch())
        assert result is not None
        assert result.status is Status.INFEASIBLE
        assert text in result.message
    assert infeasible(ReconfigurationProblem.of(case33), "test", Stopwatch()) is None


def test_engines_are_found_by_name():
    """Every name loads an engine that calls itself so; an unknown name lists the known ones."""
    for name in engine_names():
        engine: Engine = load_engine(name)
        assert engine.name == name
    with pytest.raises(DataError, match="'simplex' is not an engine: use one of milp, tree, enumerate, exchange"):
        load_engine("simplex")


def test_engines_load_when_asked_for():
    """The registry, and the tree engine, cost neither torch nor Pyomo."""
    code = (
        "import sys; from learnopt.engines import load_engine; load_engine('tree'); "
        "print([m for m in ('torch', 'pyomo', 'highspy', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
