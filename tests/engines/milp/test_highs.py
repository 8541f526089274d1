"""HiGHS driven directly: compiled rows are Pyomo's, bounds never pass the cutoff, no limit raises."""

from __future__ import annotations

import math

import numpy as np
import pyomo.environ as pyo
import pytest

from learnopt.engines.milp.highs import CompiledModel, Outcome, SolverRun


def knapsack(sense: int = 1, offset: float = 0.0) -> pyo.ConcreteModel:
    """Choose items of weight 3, 4, 5 within 7: best value 4 + 5 = 9, relaxation 10; minimised as its negative."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var([0, 1, 2], domain=pyo.Binary)
    model.room = pyo.Constraint(expr=3 * model.x[0] + 4 * model.x[1] + 5 * model.x[2] <= 7)
    model.cost = pyo.Objective(expr=offset - 4 * model.x[0] - 5 * model.x[1] - 6 * model.x[2], sense=pyo.minimize)
    return model


def everything() -> pyo.ConcreteModel:
    """Minimise x + y + z under an equality, two inequalities of either sense and a range."""
    model = pyo.ConcreteModel()
    model.x, model.y, model.z = (pyo.Var(bounds=(0, 10)) for _ in range(3))
    model.unused = pyo.Var(bounds=(0, 1))
    model.equality = pyo.Constraint(expr=model.x + model.y == 3)
    model.least = pyo.Constraint(expr=model.x >= 1)
    model.most = pyo.Constraint(expr=model.y <= 0.5)
    model.range = pyo.Constraint(expr=(1, model.z - model.y, 4))
    model.cost = pyo.Objective(expr=5 + model.x + 2 * model.y + model.z)
    return model


def test_rows_of_every_kind():
    """Equality, <=, >= and range rows and the constant of the objective arrive as Pyomo wrote them."""
    pyomo_model = everything()
    model = CompiledModel(pyomo_model)
    run = model.solve_relaxation()
    assert run.outcome is Outcome.OPTIMAL
    assert run.objective == run.bound == pytest.approx(9.0)
    columns = model.columns([pyomo_model.x, pyomo_model.y, pyomo_model.z, pyomo_model.unused])
    assert columns[3] == -1
    np.testing.assert_allclose(run.values[columns[:3]], [3, 0, 1], atol=1e-9)


def test_relaxation_and_integers_alternate():
    """The same object gives the relaxation and the integer optimum, in any order."""
    model = CompiledModel(knapsack(offset=100.0))
    for _ in range(2):
        relaxed = model.solve_relaxation()
        assert relaxed.bound == pytest.approx(100 - 9.0)
        run = model.solve(gap=0.0)
        assert run.outcome is Outcome.OPTIMAL
        assert run.objective == pytest.approx(100 - 9.0)
        assert run.bound <= run.objective + 1e-9


def fractional() -> pyo.ConcreteModel:
    """Minimise 2 a + 3 b, 2 a + 2 b >= 3 in binaries: 5, relaxation 3.5."""
    model = pyo.ConcreteModel()
    model.a, model.b = pyo.Var(domain=pyo.Binary), pyo.Var(domain=pyo.Binary)
    model.row = pyo.Constraint(expr=2 * model.a + 2 * model.b >= 3)
    model.cost = pyo.Objective(expr=2 * model.a + 3 * model.b)
    return model


def test_relaxation_is_below_the_integers():
    """The relaxation of a fractional corner is a lower bound and has no integer values."""
    model = CompiledModel(fractional())
    assert model.solve_relaxation().bound == pytest.approx(3.5)
    assert model.solve().objective == pytest.approx(5.0)
    assert model.solve_relaxation().bound == pytest.approx(3.5)


@pytest.mark.parametrize("cutoff", [4.0, 4.999, 5.0])
def test_nothing_below_the_cutoff(cutoff):
    """No solution below it: infeasible, and the cutoff itself is what is proven."""
    run = CompiledModel(fractional()).solve(cutoff=cutoff)
    assert run.outcome is Outcome.INFEASIBLE or run.objective >= cutoff - 1e-6
    assert run.bound <= cutoff
    assert run.bound == pytest.approx(cutoff, rel=1e-6)


def test_a_solution_below_the_cutoff():
    """It is found, with a bound at most itself; a later run without cutoff is not bound by the old one."""
    model = CompiledModel(fractional())
    assert model.solve(cutoff=4.0).outcome is Outcome.INFEASIBLE
    for cutoff in (5.5, math.inf):
        run = model.solve(cutoff=cutoff)
        assert run.outcome is Outcome.OPTIMAL
        assert run.objective == pytest.approx(5.0)
        assert run.bound <= min(run.objective + 1e-9, cutoff)
    assert model.solve(cutoff=4.0).outcome is Outcome.INFEASIBLE
    assert model.solve_relaxation().outcome is Outcome.OPTIMAL


@pytest.mark.parametrize("seed", range(10))
def test_bound_below_every_point(seed):
    """On random set-cover models: bound <= cutoff, and bound <= the brute-force optimum whatever the cutoff."""
    rng = np.random.default_rng(seed)
    n, rows = 8, 6
    cost, cover = rng.uniform(1, 5, n), rng.random((rows, n)) < 0.4
    cover[:, 0] = True
    points = np.array(np.meshgrid(*[[0, 1]] * n)).reshape(n, -1).T
    optimum = min((points @ cost)[(points @ cover.T >= 1).all(axis=1)])
    pyomo_model = pyo.ConcreteModel()
    pyomo_model.x = pyo.Var(range(n), domain=pyo.Binary)
    pyomo_model.rows = pyo.ConstraintList()
    for row in cover:
        pyomo_model.rows.add(sum(pyomo_model.x[int(k)] for k in np.flatnonzero(row)) >= 1)
    pyomo_model.cost = pyo.Objective(expr=sum(cost[k] * pyomo_model.x[k] for k in range(n)))
    model = CompiledModel(pyomo_model)
    assert model.solve_relaxation().bound <= optimum + 1e-9
    for factor, heuristics in ((math.inf, True), (1.5, False), (1.001, False), (0.999, True), (0.5, False)):
        run = model.solve(cutoff=factor * optimum, heuristics=heuristics)
        assert run.bound <= min(optimum, factor * optimum) + 1e-9
        assert (run.outcome is Outcome.OPTIMAL) == (factor > 1)


def test_added_rows_cut():
    """A row of integers that cuts off the optimum moves it; adding no rows changes nothing."""
    pyomo_model = fractional()
    model = CompiledModel(pyomo_model)
    columns = model.columns([pyomo_model.a, pyomo_model.b])
    model.add_rows(np.empty((0, 2), dtype=np.int64), np.empty((0, 2)), np.empty(0))
    model.add_rows(columns[None, :], np.array([[2.0, 1.0]]), np.array([2.5]))
    assert model.solve_relaxation().bound == pytest.approx(3.5)
    model.add_rows(columns[None, :], np.array([[0.0, 1.0]]), np.array([0.75]))
    assert model.solve_relaxation().bound == pytest.approx(2 * 0.875 + 3 * 0.75)
    model.add_rows(columns[None, :], np.array([[-1.0, -1.0]]), np.array([-1.0]))
    assert model.solve().outcome is Outcome.INFEASIBLE


def test_rows_that_the_solver_refuses_are_an_error():
    """A column that does not exist must not be dropped in silence, with the rows that came along."""
    model = CompiledModel(fractional())
    with pytest.raises(ValueError, match="does not take 1 rows"):
        model.add_rows(np.array([[-1, 0]]), np.ones((1, 2)), np.zeros(1))


def test_fixed_columns():
    """A fixed column stays fixed, in relaxation and integers."""
    pyomo_model = fractional()
    model = CompiledModel(pyomo_model)
    model.fix(model.columns([pyomo_model.a]), np.array([0.0]))
    assert model.solve_relaxation().outcome is Outcome.INFEASIBLE
    assert model.solve_relaxation().bound == math.inf
    model.fix(model.columns([pyomo_model.a, pyomo_model.b]), np.array([1.0, 1.0]))
    assert model.solve().objective == pytest.approx(5.0)


@pytest.mark.parametrize("limit", [-1.0, 0.0, 1e-9])
def test_a_time_limit_is_an_outcome(limit):
    """Spent before it began or at once: no exception, no bound above the optimum, and the next run is free again."""
    model = CompiledModel(fractional())
    for _ in range(2):
        for run in (model.solve_relaxation(time_limit=limit), model.solve(time_limit=limit, cutoff=100.0)):
            assert run.outcome in (Outcome.LIMIT, Outcome.OPTIMAL)
            assert run.bound <= 5.0 + 1e-9
    assert model.solve(time_limit=60.0).objective == pytest.approx(5.0)


def test_infeasible_before_it_is_solved():
    """A constraint without variables that does not hold: infeasible, with the cutoff as what is proven."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0, 1))
    model.fixed = pyo.Var(bounds=(0, 1))
    model.fixed.fix(1)
    model.row = pyo.Constraint(expr=model.fixed <= 0)
    model.cost = pyo.Objective(expr=model.x)
    compiled = CompiledModel(model)
    assert compiled.solve_relaxation().outcome is Outcome.INFEASIBLE
    run = compiled.solve(cutoff=7.0)
    assert (run.outcome, run.bound, run.values) == (Outcome.INFEASIBLE, 7.0, None)


def test_empty_model_costs_its_constant():
    """No variable at all is solved: the objective is the constant."""
    model = pyo.ConcreteModel()
    model.cost = pyo.Objective(expr=3.0)
    for run in (CompiledModel(model).solve(), CompiledModel(model).solve_relaxation()):
        assert run.outcome is Outcome.OPTIMAL
        assert (run.objective, run.bound) == (3.0, 3.0)


def test_units_and_sizes_change_no_answer():
    """Columns in units of their own, a scaled objective, rows added and columns fixed afterwards: the same numbers."""
    answers = []
    for unit, size in ((1.0, 100.0), (1e-3, 1e-4)):
        model = everything()
        compiled = CompiledModel(model, size=size, units=[((model.x, model.y), unit)])
        x, z = compiled.columns([model.x, model.z])
        runs = [compiled.solve_relaxation()]
        compiled.add_rows(np.array([[x, z]]), np.array([[1.0, 2.0]]), np.array([9.0]))
        runs.append(compiled.solve_relaxation())
        compiled.fix(np.array([x]), np.array([2.75]))
        runs.append(compiled.solve_relaxation())
        answers.append([(run.outcome, *np.round([run.objective, run.bound, *run.values], 6)) for run in runs])
    assert answers[0] == answers[1]
    for cutoff, bound in ((-8.0, -9.0), (-9.5, -9.5)):
        assert CompiledModel(knapsack(), size=1e-4).solve(cutoff=cutoff).bound == pytest.approx(bound)


def test_row_without_terms():
    """A row of nothing holds or makes the model infeasible; it used to crash."""
    model = pyo.ConcreteModel()
    model.x = pyo.Var(bounds=(0.0, 1.0))
    model.objective = pyo.Objective(expr=model.x)
    compiled = CompiledModel(model)
    compiled.add_rows(np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0)), np.array([0.0]))
    assert compiled.solve_relaxation().outcome is Outcome.OPTIMAL
    compiled.add_rows(np.zeros((1, 0), dtype=np.int64), np.zeros((1, 0)), np.array([1.0]))
    assert compiled.solve_relaxation().outcome is Outcome.INFEASIBLE


@pytest.mark.parametrize("solve", [CompiledModel.solve, CompiledModel.solve_relaxation])
def test_no_solution_is_asked_for_twice(monkeypatch, solve):
    """A first run that is wrong about infeasibility is overruled by the second, and the options are as before."""
    model, run, seen = CompiledModel(fractional()), CompiledModel._run, []

    def wrong_at_first(self, time_limit, cutoff=math.inf, watch=None):
        seen.append([self._highs.getOptionValue(name)[1] for name in ("presolve", "random_seed")])
        found = run(self, time_limit, cutoff, watch)
        lie = SolverRun(Outcome.INFEASIBLE, math.nan, cutoff, None, nodes=3)
        return lie if len(seen) == 1 else found

    monkeypatch.setattr(CompiledModel, "_run", wrong_at_first)
    found = solve(model)
    truth = 5.0 if solve is CompiledModel.solve else 3.5
    assert (found.outcome, found.objective) == (Outcome.OPTIMAL, pytest.approx(truth))
    assert found.bound <= truth + 1e-9
    assert solve(model).objective == pytest.approx(truth)
    assert seen == [["off", 0], ["on", 1], ["off", 0]]


@pytest.mark.parametrize("second", [Outcome.LIMIT, Outcome.FAILED])
def test_what_is_not_confirmed_is_not_believed(monkeypatch, second):
    """The second run ends at a limit, or by an error: no verdict, and no bound but its own."""
    outcomes = iter([Outcome.INFEASIBLE, second])

    def ended(self, time_limit, cutoff=math.inf, watch=None):
        return SolverRun(next(outcomes), math.nan, 1.5, None, nodes=2)

    monkeypatch.setattr(CompiledModel, "_run", ended)
    found = CompiledModel(fractional()).solve(cutoff=4.5)
    assert (found.outcome, found.bound, found.nodes) == (second, 1.5, 4)


def test_what_both_ways_find_infeasible_is_believed(monkeypatch):
    """The verdict of the first run stands, with the nodes of both."""
    runs, run = [], CompiledModel._run

    def counted(self, *given):
        runs.append(run(self, *given))
        return runs[-1]

    monkeypatch.setattr(CompiledModel, "_run", counted)
    found = CompiledModel(fractional()).solve(cutoff=4.5)
    assert (found.outcome, found.bound) == (Outcome.INFEASIBLE, 4.5)
    assert [one.outcome for one in runs] == [Outcome.INFEASIBLE] * 2
    assert found.nodes == sum(one.nodes for one in runs)
