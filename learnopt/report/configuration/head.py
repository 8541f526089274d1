"""The head block of a switching order: whose it is, of what data, who has checked it, and how long it stays valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from learnopt.network import ReconfigurationProblem, Result
from learnopt.report.kit.numbers import finite
from learnopt.studies.configuration.switching_order import Operation
from learnopt.studies.configuration.validity import Validity, validity

_TO_SIGN = "____________________"
CHECKED = "by machine, none closes onto anything out of service, earthed or tagged"
"""What is true of every order that is told (:mod:`learnopt.studies.configuration.order_check`)."""


@dataclass(frozen=True)
class Head:
    """What only people know of an order; "" = to be filled in by hand.

    Parameters
    ----------
    author, checked_by
        Names.
    data_time
        Time of the loads and switch states, in words; "" = the name of the scenario.
    """

    author: str = ""
    checked_by: str = ""
    data_time: str = ""


BLANK = Head()


def validity_of(problem: ReconfigurationProblem, result: Result, plan: Sequence[Operation]) -> Validity | None:
    """The range of loads for which an order holds; None without steps, and of answers in all phases."""
    if result.configuration is None or not plan or result.phases is not None:
        return None
    return validity(problem.applied(result.settings), result.configuration, plan)


def head_rows(
    problem: ReconfigurationProblem, result: Result, plan: Sequence[Operation], head: Head = BLANK
) -> list[tuple[str, str]]:
    """The block as rows; empty without steps."""
    if not plan:
        return []
    found = validity_of(problem, result, plan)
    unknown = "limits are violated now, or nothing is consumed" if result.phases is None else "an answer in all phases"
    return [
        ("Feeder", problem.network.title or problem.network.name),
        ("Time of the data", head.data_time or f"scenario {problem.scenario.name}"),
        ("Author", head.author or _TO_SIGN),
        ("Checked by", head.checked_by or _TO_SIGN),
        ("Steps checked", CHECKED),
        ("Valid", f"not stated: {unknown}" if found is None else found.sentence),
    ]


def head_to_dict(
    problem: ReconfigurationProblem, result: Result, plan: Sequence[Operation], head: Head = BLANK
) -> dict[str, Any] | None:
    """The block as JSON; null without steps."""
    if not plan:
        return None
    found = validity_of(problem, result, plan)
    return {
        "author": head.author or None,
        "checked_by": head.checked_by or None,
        "data_time": head.data_time or problem.scenario.name,
        "steps_checked": True,
        "load_kw": None if found is None else finite(found.load_kw),
        "valid_from_kw": None if found is None else finite(found.low_kw),
        "valid_to_kw": None if found is None else finite(found.high_kw),
        "valid_for_every_state": None if found is None else found.every_state,
    }
