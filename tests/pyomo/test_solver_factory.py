"""What a user of Pyomo does with the exported model: solves it, fixes switches, changes it, and is never misled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
from instances import all_configurations, feasible_flows, random_problem
from pyomo.opt import SolverStatus, TerminationCondition

import learnopt
import learnopt.pyomo
from learnopt.errors import DataError, UnsupportedError
from learnopt.formulations.exported import build_exported, load_state, violated
from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate

MIXES = {
    "passive": ("couplers", "lock", "outage", "cost", "cap", "voltage limits"),
    "limits": ("charging", "generation", "ampacity", "voltage limits"),
    "ratings": ("ratings", "voltages", "charging", "generation", "capacitors"),
    "equipment": ("transformers", "shunts", "charging", "generation", "voltage limits"),
    "anything": None,
}


def exported(problem: ReconfigurationProblem, **options: Any) -> Any:
    """Its model, or None where there is none."""
    try:
        return learnopt.pyomo.model(problem, **options)
    except (DataError, UnsupportedError):
        return None


def cheapest(problem: ReconfigurationProblem) -> float:
    """Least objective of all configurations, by enumeration [kW]; infinite where none is feasible."""
    return min(
        (1e3 * flow.loss + problem.switching_cost * problem.operations(c) for c, flow in feasible_flows(problem)),
        default=math.inf,
    )


@pytest.fixture(scope="module")
def case33() -> Any:
    """The model of the 33-bus feeder."""
    return learnopt.pyomo.model("case33")


def test_user_of_pyomo_solves_and_reads_the_answer(case33):
    model = case33.clone()
    results = pyo.SolverFactory("learnopt").solve(model)
    pyo.assert_optimal_termination(results)
    assert results.solver.status == SolverStatus.ok
    assert results.solver.certificate == "ac"
    assert results.problem.upper_bound == pytest.approx(139.5513, abs=1e-3)
    assert 139.55 < results.problem.lower_bound <= results.problem.upper_bound
    assert results.solver.gap == pytest.approx(1 - results.problem.lower_bound / results.problem.upper_bound, abs=1e-12)
    assert pyo.value(model.objective) == pytest.approx(results.problem.upper_bound, rel=1e-7)
    assert [branch for branch in model.deciding if pyo.value(model.closed[branch]) == 0] == [7, 9, 14, 32, 37]
    assert results.solver.open_branches == [7, 9, 14, 32, 37]
    feeding = {fed: (branch, feeding) for a, (branch, feeding, fed) in model.arc.items() if _in_use(model, a)}
    assert set(feeding) == {model.bus[k] for k in model.buses}  # every bus is fed, by exactly one arc
    assert violated(model, 1e-7) == []


def _in_use(model: Any, arc: int) -> bool:
    return arc not in model.choice or pyo.value(model.b[arc]) > 0.5


@pytest.mark.parametrize("mix", MIXES)
def test_feasible_points_are_the_ac_states_within_the_limits(mix):
    """The state of a configuration obeys every row where the judge accepts it and it loses no more than said, only."""
    inside = outside = 0
    for seed in range(80):
        if inside > 20 and outside > 6:
            return
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 8), n_loops=(1, 3))
        model = None if problem.contradictions else exported(problem)
        if model is None:
            continue
        record = model.reconfiguration
        for configuration in all_configurations(problem)[:12]:
            judged = evaluate(problem, configuration)
            if not judged.converged or not load_state(model, record.data, configuration).converged:
                continue
            fits = judged.feasible and judged.loss_kw <= record.loss_at_most_kw
            assert (violated(model, 1e-9) == []) == fits, (mix, seed)
            inside, outside = inside + fits, outside + (not fits)
    raise AssertionError(f"too few: {inside} states in a model, {outside} outside")


@pytest.mark.parametrize("mix", MIXES)
def test_optimum_and_bound_are_those_of_enumeration(mix):
    solved = 0
    for seed in range(100, 180):
        if solved > 5:
            return
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 8), n_loops=(1, 4))
        model = None if problem.contradictions else exported(problem)
        if model is None or not math.isfinite(best := cheapest(problem)):
            continue
        results = pyo.SolverFactory("learnopt").solve(model)
        assert results.solver.termination_condition == TerminationCondition.optimal, (mix, seed)
        assert results.problem.upper_bound == pytest.approx(best, rel=2e-6, abs=1e-9)
        assert results.problem.lower_bound <= best * (1 + 1e-6)
        assert violated(model, 1e-6) == []
        solved += 1
    raise AssertionError(f"only {solved} problems")


def test_fixed_switches_are_locks(case33):
    """Against enumeration of what a random part of fixed switches leaves, infeasible parts included."""
    rng, ended = np.random.default_rng(5), set()
    for seed in range(12):
        problem = random_problem(seed, ("generation",), n_bus=(5, 9), n_loops=(2, 4))
        worst = 1e3 * feasible_flows(problem)[-1][1].loss
        model = exported(problem, loss_at_most_kw=1.001 * worst)
        if model is None:
            continue
        locked = np.full(problem.network.n_branch, -1, dtype=np.int8)
        for branch in model.deciding:
            if rng.random() < 0.4:
                state = int(rng.random() < 0.7)
                model.closed[branch].fix(state)
                locked[problem.network.branch_ids.index(branch)] = state
        best = cheapest(left) if not (left := problem.replace(locked=locked)).contradictions else math.inf
        results = pyo.SolverFactory("learnopt").solve(model)
        ended.add(results.solver.termination_condition)
        if math.isfinite(best):
            assert results.solver.termination_condition == TerminationCondition.optimal
            assert pyo.value(model.objective) == pytest.approx(best, rel=2e-6)
        else:
            assert results.solver.termination_condition == TerminationCondition.infeasible
            assert results.solver.status == SolverStatus.warning
    assert ended == {TerminationCondition.optimal, TerminationCondition.infeasible}


def test_a_clone_is_solved_and_leaves_the_model_alone(case33):
    again = case33.clone()
    again.closed[7].fix(1)
    results = pyo.SolverFactory("learnopt", gap=1e-4).solve(again)
    assert 7 not in results.solver.open_branches
    assert case33.closed[7].value is None


CHANGES = {
    "Constraint 'mine' was added": lambda m: m.add_component("mine", pyo.Constraint(expr=m.closed[7] <= m.closed[9])),
    "Objective 'other' was added": lambda m: m.add_component("other", pyo.Objective(expr=m.closed[7])),
    "SOSConstraint 'set' was added": lambda m: m.add_component("set", pyo.SOSConstraint(var=m.closed, sos=1)),
    "Constraint 'active_balance[4]' is gone": lambda m: m.active_balance[4].deactivate(),
    "Constraint 'loss_at_most' is gone": lambda m: m.del_component("loss_at_most"),
    "Constraint 'active_balance[9]' was changed": lambda m: m.active_balance[9].set_value(
        m.active_balance[9].body == 1
    ),
    "Constraint 'voltage_drop[3]' was changed": lambda m: m.voltage_drop[3].set_value(
        m.voltage_drop[3].body + 1e-9 * m.ell[5] == 0
    ),
    "Objective 'objective' was changed": lambda m: m.objective.set_value(1.0000001 * m.objective.expr),
    "Objective 'objective' is gone": lambda m: m.objective.deactivate(),
    "Var 'v_bus[17]' was changed": lambda m: m.v_bus[17].setlb(0.9),
    "Var 'closed[7]' was changed": lambda m: setattr(m.closed[7], "domain", pyo.Reals),
    "Var 'P[5]' is fixed": lambda m: m.P[5].fix(0.1),
    "Var 'b[8]' is fixed": lambda m: m.b[8].fix(1),
    "closed[7] is fixed at 0.5": lambda m: m.closed[7].fix(0.5, skip_validation=True),
}


@pytest.mark.parametrize("told", CHANGES)
def test_a_changed_model_is_refused_by_name(case33, told):
    model = case33.clone()
    CHANGES[told](model)
    with pytest.raises(UnsupportedError) as raised:
        pyo.SolverFactory("learnopt").solve(model)
    assert told in str(raised.value)


def test_changed_sense_is_refused(case33):
    model = case33.clone()
    model.objective.sense = pyo.maximize
    with pytest.raises(UnsupportedError, match="'objective' was changed"):
        pyo.SolverFactory("learnopt").solve(model)


def test_another_model_is_refused():
    model = pyo.ConcreteModel("knapsack")
    model.x = pyo.Var(domain=pyo.Binary)
    model.objective = pyo.Objective(expr=model.x)
    with pytest.raises(UnsupportedError, match="'knapsack' is not one of learnopt"):
        pyo.SolverFactory("learnopt").solve(model)


def test_without_a_proof_nothing_is_called_optimal(case33):
    model = case33.clone()
    results = pyo.SolverFactory("learnopt").solve(model, options={"certify": "none"})
    assert results.solver.termination_condition == TerminationCondition.feasible
    assert not pyo.check_optimal_termination(results)
    assert results.problem.lower_bound == -math.inf
    assert results.solver.gap is None
    assert pyo.value(model.objective) == pytest.approx(results.problem.upper_bound, rel=1e-7)
    bounded = pyo.SolverFactory("learnopt").solve(model, certify="model")
    assert bounded.solver.certificate == "model"  # what it bounds is not this model
    assert bounded.problem.lower_bound == -math.inf


def test_nothing_is_loaded_where_that_is_not_wanted(case33):
    model = case33.clone()
    results = pyo.SolverFactory("learnopt").solve(model, load_solutions=False)
    assert results.solver.open_branches == [7, 9, 14, 32, 37]
    assert all(variable.value is None for variable in model.component_data_objects(pyo.Var))


def test_limits_and_words_of_pyomo(case33, capsys):
    model = case33.clone()
    solver = pyo.SolverFactory("learnopt", options={"gap": 1e-3})
    assert solver.available()
    assert solver.license_is_valid()
    assert len(solver.version()) == 3
    solver.solve(model, tee=True, timelimit=60)
    assert "certificate ac" in capsys.readouterr().out
    with solver as same:
        pyo.assert_optimal_termination(same.solve(model, warmstart=True))
    with pytest.raises(DataError, match="mipgap: no such option, perhaps gap"):
        solver.solve(model, options={"mipgap": 0.01})


def test_states_beyond_the_largest_loss_are_not_in_the_model():
    model = learnopt.pyomo.model("case33", loss_at_most_kw=139.0)
    results = pyo.SolverFactory("learnopt").solve(model)
    assert results.solver.termination_condition == TerminationCondition.infeasible  # proven: 139.55 is the least
    assert "loss_at_most_kw" in results.solver.message
    model = learnopt.pyomo.model("case33", loss_at_most_kw=139.6)
    pyo.assert_optimal_termination(pyo.SolverFactory("learnopt").solve(model))
    for branch in model.deciding:
        if branch not in (33, 34, 35, 36, 37):
            model.closed[branch].fix(1)  # the present state, which loses 202.7 kW
    results = pyo.SolverFactory("learnopt").solve(model)
    assert results.solver.termination_condition == TerminationCondition.infeasible


def test_what_cannot_be_exported_is_named(case33):
    several = [{"name": "day"}, {"name": "night"}]
    with pytest.raises(UnsupportedError, match="one load situation"):
        learnopt.pyomo.model("case33", scenario={"scenarios": several})
    with pytest.raises(DataError, match="loss_at_most_kw"):
        learnopt.pyomo.model("case33", loss_at_most_kw=0)
    with pytest.raises(DataError):
        learnopt.pyomo.model("case33", scenario={"out_of_service": [1]})


def test_the_record_makes_the_same_model_again(case33):
    again = build_exported(case33.reconfiguration)
    assert [row.name for row in again.component_data_objects(pyo.Constraint)] == [
        row.name for row in case33.component_data_objects(pyo.Constraint)
    ]


@pytest.mark.parametrize("mix", MIXES)
def test_a_solver_that_reads_every_row_finds_the_same_optimum(mix):
    """SCIP on the model as it is written, against enumeration: nothing cheaper is in it than the AC states."""
    pytest.importorskip("pyscipopt")
    scip = pyo.SolverFactory("scip_direct")
    solved = 0
    for seed in range(200, 260):
        if solved == 3:
            return
        problem = random_problem(seed, MIXES[mix], n_bus=(4, 7), n_loops=(1, 3))
        best = math.inf if problem.contradictions else cheapest(problem)
        model = exported(problem) if math.isfinite(best) else None
        if model is None:
            continue
        scip.solve(model, options={"numerics/feastol": 1e-9})
        assert pyo.value(model.objective) == pytest.approx(best, rel=1e-4, abs=2e-3), (mix, seed)
        solved += 1
    raise AssertionError(f"only {solved} problems")
