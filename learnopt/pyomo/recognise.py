"""Whether a model is an exported one as it was exported, but for switches that its user has fixed.

The model is built again from its record and compared, name by name and expression by expression: a row added, left out
or changed would otherwise be ignored without a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyomo.environ as pyo

from learnopt.errors import UnsupportedError
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.exported import Reconfiguration, build_exported
from learnopt.network import ReconfigurationProblem

_PASSIVE = (pyo.Set, pyo.RangeSet, pyo.Param, pyo.Var, pyo.Expression, pyo.Suffix, pyo.Block, pyo.BuildAction)
"""Kinds of components that demand nothing of a solution by themselves."""
_TOLD = 5
"""Differences that are named."""


@dataclass(frozen=True, eq=False)
class Exported:
    """What a model asks.

    Parameters
    ----------
    record
        What it was made from.
    problem
        The problem, with the switches locked that are fixed in the model.
    data, model
        Numbers of the model, and the model made again from them.
    """

    record: Reconfiguration
    problem: ReconfigurationProblem
    data: DistFlowData
    model: Any


def asked(model: Any) -> Exported:
    """What an exported model asks.

    Raises
    ------
    UnsupportedError
        If it is none, or differs from what was exported; the components are named.
    """
    record = getattr(model, "reconfiguration", None)
    if not isinstance(record, Reconfiguration):
        raise UnsupportedError(
            f"the model {getattr(model, 'name', model)!r} is not one of learnopt (it has no record `reconfiguration`): "
            "SolverFactory('learnopt') solves what learnopt.pyomo.model(...) has made"
        )
    data = record.data
    fresh = build_exported(record, data)
    found = _differences(model, fresh)
    if found:
        more = f", and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
        raise UnsupportedError(
            f"the model {model.name!r} is not as it was exported: {'; '.join(found[:_TOLD])}{more}. "
            "SolverFactory('learnopt') takes switches that are fixed (model.closed[id].fix(0)) and no other change: "
            "export it again with other options, or take a solver that reads all of it"
        )
    return Exported(record, record.problem.replace(locked=_locked(model, record.problem)), data, fresh)


def _differences(model: Any, fresh: Any) -> list[str]:
    """What the model has that the fresh one has not, and the other way round; a sentence each."""
    found = [
        f"{component.ctype.__name__} {component.name!r} was added"
        for component in model.component_objects(active=True, descend_into=True)
        if component.ctype not in (*_PASSIVE, pyo.Constraint, pyo.Objective)
    ]
    for kind, text in ((pyo.Var, _variable), (pyo.Constraint, _constraint), (pyo.Objective, _objective)):
        ours = {each.name: each for each in fresh.component_data_objects(kind)}
        theirs = {each.name: each for each in model.component_data_objects(kind, active=True)}
        for name, each in ours.items():
            if name not in theirs:
                found.append(f"{kind.__name__} {name!r} is gone or not active")
            elif text(each) != text(theirs[name]):
                found.append(f"{kind.__name__} {name!r} was changed")
        if kind is not pyo.Var:  # a further variable that is in no row says nothing
            found += [f"{kind.__name__} {name!r} was added" for name in theirs if name not in ours]
    found += [
        f"Var {each.name!r} is fixed"
        for each in model.component_data_objects(pyo.Var)
        if each.fixed and each.parent_component() is not model.closed
    ]
    return found


def _variable(variable: Any) -> tuple[Any, ...]:
    return variable.lb, variable.ub, variable.is_binary(), variable.is_continuous()


def _constraint(constraint: Any) -> tuple[Any, ...]:
    return constraint.lb, constraint.ub, constraint.equality, str(constraint.body)


def _objective(objective: Any) -> tuple[Any, ...]:
    return objective.sense, str(objective.expr)


def _locked(model: Any, problem: ReconfigurationProblem) -> Any:
    """States of the switches that must not change: those of the problem, and those that are fixed in the model."""
    locked = np.array(problem.locked)
    number = {branch: e for e, branch in enumerate(problem.network.branch_ids)}
    for branch, variable in model.closed.items():
        if not variable.fixed:
            continue
        if variable.value not in (0, 1):
            raise UnsupportedError(
                f"closed[{branch!r}] is fixed at {variable.value}: a switch is open (0) or closed (1)"
            )
        locked[number[branch]] = int(variable.value)
    return locked.astype(np.int8)
