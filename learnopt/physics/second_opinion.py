"""Another program's power flow of the same state: power-grid-model, from its own flat start.

It is asked about every answer that leaves an engine and about every state that is checked. Where it finds other
voltages the state has more than one solution, as states with strong generation do, and that is told. Its losses are
differences of powers, so the digits that are reported are those of the judge.
"""

from __future__ import annotations

import numpy as np
from power_grid_model import ComponentType, PowerGridModel
from power_grid_model.errors import PowerGridError  # type: ignore[attr-defined]

from learnopt.network import Configuration, Evaluation, Floats, ReconfigurationProblem
from learnopt.physics.grid_model import FREQUENCY, tables_of

_ANOTHER = 0.01
"""Voltages of two solutions differ by more somewhere [pu]; what two programs make of one solution differs by less."""


def second_opinion(problem: ReconfigurationProblem, configuration: Configuration) -> float | None:
    """Loss [kW] of a radial state by power-grid-model's Newton-Raphson; None where it finds no solution.

    Of several scenarios that of the problem: their weighted mean or the largest. Ends of couplers are one node.
    """
    losses = []
    for member in problem.members:
        found = _power_flow(member, configuration)
        if found is None:
            return None
        losses.append(found[0])
    return problem.total(losses)


def other_solution(problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation) -> str:
    """A sentence where power-grid-model finds another solution of a radial state than the judge; "" where it does not.

    Parameters
    ----------
    evaluation
        What the judge says of the state.
    """
    for member, judged in zip(problem.members, evaluation.situations, strict=True):
        found = _power_flow(member, configuration) if judged.converged else None
        if found is not None and np.abs(found[1] - judged.vm).max() > _ANOTHER:
            where = "" if len(problem.situations) == 1 else f" in scenario {member.scenario.name!r}"
            return (
                f"More than one power flow exists{where}: power-grid-model, from a flat start, finds one with "
                f"{found[0]:.6g} kW of loss and a lowest voltage of {found[1].min():.4f} pu. Reported is the normal "
                f"one, of high voltages, with {judged.loss_kw:.6g} kW and {judged.min_voltage_pu:.4f} pu."
            )
    return ""


def _power_flow(problem: ReconfigurationProblem, configuration: Configuration) -> tuple[float, Floats] | None:
    """Loss [kW] and voltage magnitudes [pu], shape (n_bus,); None where no solution is found."""
    tables = tables_of(problem, configuration)
    try:
        model = PowerGridModel(tables.data, system_frequency=FREQUENCY)
        output = model.calculate_power_flow(error_tolerance=1e-10, max_iterations=50)
    except PowerGridError:
        return None
    losses = [
        float(np.sum(output[kind]["p_from"] + output[kind]["p_to"])) / 1e3
        for kind in (ComponentType.line, ComponentType.generic_branch)
        if kind in output
    ]
    vm = np.empty(problem.network.n_bus)
    vm[tables.data[ComponentType.node]["id"]] = output[ComponentType.node]["u_pu"]
    return sum(losses), vm[tables.node]
