"""Where nothing pays: the advice to leave it as it is, in words, JSON and on the page; never where switching pays."""

from __future__ import annotations

import learnopt
from learnopt.network import ReconfigurationProblem


def said(answer: learnopt.Solution) -> str:
    from learnopt.report.configuration.text import verdict

    return " ".join(verdict(answer.problem, answer.result).sentences)


def test_an_optimal_present_state_is_left(case33: learnopt.Network) -> None:
    """Switching that is too dear for anything to pay."""
    best = learnopt.solve(case33)
    assert "Leave" not in said(best)
    assert not best.to_dict()["leave_as_it_is"]
    again = learnopt.solve(case33, switching_cost=1e3)
    assert said(again).startswith("Leave it as it is: the present state is the answer")
    assert again.to_dict()["leave_as_it_is"]
    assert not again.operations


def test_unproven_it_says_only_that_nothing_better_was_found(case33: learnopt.Network) -> None:
    """No proof is made up."""
    answer = learnopt.solve(case33, engine="exchange", max_operations=0)
    assert "this run found nothing better than the present state" in said(answer)


def test_a_saving_below_its_cost_does_not_pay(case33: learnopt.Network) -> None:
    """An engine that does not weigh switching may return such an answer: it is told apart."""
    from dataclasses import replace

    from learnopt.report.configuration.staying import staying
    from learnopt.report.configuration.text import initial_evaluation

    best = learnopt.solve(case33)
    problem = ReconfigurationProblem.of(case33)
    before = initial_evaluation(problem)
    cost = 80.0 / problem.operations(best.result.configuration)
    dear = replace(best.result, objective_kw=best.result.loss_kw + 80.0)
    told = staying(problem.replace(switching_cost=cost), dear, before)
    assert told == (
        "Leave it as it is: switching saves 63.13 kW and costs 80.00 kW, and the present state respects everything "
        "asked for."
    )
    same = replace(best.result, evaluation=before, objective_kw=before.loss_kw)
    assert "switching saves nothing" in staying(problem, same, before)
    assert staying(problem, best.result, before) == ""
    assert staying(problem, dear, before) == ""


def test_what_balance_is_worth_is_no_cost_of_switching() -> None:
    """Switching pays here, in loss and in balance."""
    answer = learnopt.solve("case16", balance_weight=500.0)
    assert answer.operations
    assert "Leave" not in said(answer)


def test_a_present_state_that_breaks_limits_is_never_recommended(case33: learnopt.Network) -> None:
    """However little is saved."""
    answer = learnopt.solve(case33, vmin=0.92, switching_cost=1e3)
    assert answer.found
    assert "Leave" not in said(answer)
