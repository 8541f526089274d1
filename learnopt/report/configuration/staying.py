"""Whether switching pays: the answer "leave it as it is" in a sentence."""

from __future__ import annotations

from learnopt.network import Certificate, Evaluation, ReconfigurationProblem, Result, Status
from learnopt.report.kit.numbers import number
from learnopt.studies.configuration.switching_order import normal_state

NOTHING = 1e-6
"""Share of the loss below which a saving counts as none: two power flows agree to that."""


def staying(problem: ReconfigurationProblem, result: Result, before: Evaluation) -> str:
    """The advice to leave the switches as they are; empty where switching pays or the present state will not do.

    Parameters
    ----------
    before
        Power flow of the present state.
    """
    found, objective = result.configuration, result.objective_kw
    if found is None or objective is None or not before.feasible:
        return ""
    it = "the switches as they are" if result.settings else "it as it is"
    if found == normal_state(problem):
        proven = result.status is Status.OPTIMAL and result.certificate is not Certificate.NONE
        why = "the present state is the answer" if proven else "this run found nothing better than the present state"
        return f"Leave {it}: {why}, nothing is to be switched."
    if result.settings:  # what the controls save is not told apart from what the switches do
        return ""
    loss, cost = result.loss_kw or 0.0, problem.switching_cost * problem.operations(found)
    if abs(objective - loss - cost) > NOTHING * abs(objective):  # balance or risk: not for loss alone
        return ""
    saved = before.loss_kw - loss
    if saved - cost > NOTHING * abs(before.loss_kw):
        return ""
    least = (
        f"switching saves {number(saved)} kW" if saved > NOTHING * abs(before.loss_kw) else "switching saves nothing"
    )
    price = f" and costs {number(cost)} kW" if cost > 0 else ""
    return f"Leave {it}: {least}{price}, and the present state respects everything asked for."
