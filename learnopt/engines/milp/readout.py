"""What a solution of the relaxation tells of every branch and every choice of a device, in numbers that rounds know.

Of tied situations shares are the same; prices add up, flows and losses are weighted by their durations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.highs import SolverRun
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.network import Bools, Floats, Ints

KINDS = ("capacitor", "tap", "generator")
"""Kinds of devices with something to choose: steps of a bank, positions of a tap changer, a generator on or off."""


@dataclass(frozen=True)
class Choices:
    """Everything that devices may be set to, one entry for each value of each device.

    Parameters
    ----------
    device
        Number of the device among those with a choice, shape (n_choice,), in blocks.
    kind
        Place of its kind in :data:`KINDS`, shape (n_choice,).
    index
        Its place among the controls of its kind, shape (n_choice,).
    value
        What it is set to: rated injection of a step [pu], position of a tap [pu], off (0) or on (1), shape (n_choice,).
    planned
        bool, shape (n_choice,): the plan has it so; one of each device.
    share
        Value of its binary in the solution, shape (n_choice,).
    price
        Rise of the relaxed objective per unit of its binary by its reduced cost [kW], shape (n_choice,).
    """

    device: Ints
    kind: Ints
    index: Ints
    value: Floats
    planned: Bools
    share: Floats
    price: Floats


@dataclass(frozen=True)
class Readout:
    """A solution of the relaxation beside a plan.

    Parameters
    ----------
    bound
        Objective of the relaxation [kW].
    closed
        Share by which each branch is closed, 1 or 0 where the graph leaves no choice, shape (n_branch,).
    price_closed, price_open
        Rise of the relaxed objective when the branch closes, or opens, by reduced costs [kW], shape (n_branch,).
    flow
        Apparent power at the sending ends of its arcs [pu], shape (n_branch,).
    loss
        Loss by its squared current [kW], shape (n_branch,).
    choices
        Of the devices.
    """

    bound: float
    closed: Floats
    price_closed: Floats
    price_open: Floats
    flow: Floats
    loss: Floats
    choices: Choices

    @classmethod
    def of(cls, model: JointModel, run: SolverRun, plan: Plan) -> Readout:
        """Read a solution of the linear relaxation, solved to optimality."""
        assert run.values is not None
        assert run.reduced_costs is not None
        parts, hours = model.parts, model.hours / model.hours.sum()
        n = parts[0].data.problem.network.n_branch
        closed, opened, flow, loss = (np.zeros(n) for _ in range(4))
        for part, weight in zip(parts, hours.tolist(), strict=True):
            price = np.where(part.b >= 0, run.reduced_costs[part.b], 0.0)
            branch = part.data.arcs.branch[part.choice]
            # Of the two directions the cheaper one; open: what the used one gains by being in use.
            cheapest = np.full(n, np.inf)
            np.minimum.at(cheapest, branch, np.maximum(price, 0.0))
            closed += np.where(np.isfinite(cheapest), cheapest, 0.0)
            np.add.at(opened, branch, np.maximum(-price, 0.0))
            p, q, ell, _ = part.arc_values(run)
            np.add.at(flow, part.data.arcs.branch, weight * np.hypot(p, q))
            kw = part.data.problem.network.base.kw
            np.add.at(loss, part.data.arcs.branch, weight * kw * part.data.r * ell)
        share = np.mean(model.closed_share(run), axis=0)
        return cls(run.bound, share, closed, opened, flow, loss, _choices(parts, run, plan))


def _choices(parts: list[HighsRelaxation], run: SolverRun, plan: Plan) -> Choices:
    assert run.values is not None
    assert run.reduced_costs is not None
    rows: list[tuple[int, int, int, float, bool, float, float]] = []
    for number, devices in enumerate(zip(*(_devices(part, plan) for part in parts), strict=True)):
        kind, index, _, values, planned = devices[0]
        shares = np.mean([run.values[columns] for _, _, columns, _, _ in devices], axis=0)
        prices = np.sum([run.reduced_costs[columns] for _, _, columns, _, _ in devices], axis=0)
        if kind == KINDS.index("generator"):  # one binary: off is what it is not
            shares, prices = np.array([1.0 - shares[0], shares[0]]), np.array([-prices[0], prices[0]])
        rows += [
            (number, kind, index, float(value), bool(one), float(share), float(price))
            for value, one, share, price in zip(values, planned, shares, prices, strict=True)
        ]
    columns = list(zip(*rows, strict=True)) or [()] * 7
    kinds = (np.int64, np.int64, np.int64, np.float64, np.bool_, np.float64, np.float64)
    return Choices(*(np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)))


def _devices(part: HighsRelaxation, plan: Plan) -> Iterator[tuple[int, int, Ints, Floats, Bools]]:
    """Kind, index, columns, values, and which the plan has, of each device whose choice is in the model."""
    if not plan.settings:
        return
    settings, controls = plan.settings[0], part.data.problem.controls
    for kind, k, columns, values in part.devices():
        if kind == "generator":
            planned = np.array([not settings.on[k], settings.on[k]])
        else:
            chosen = settings.capacitors[k] if kind == "capacitor" else settings.taps[k]
            planned = np.arange(len(values)) == np.abs(values - chosen).argmin()
        if (columns >= 0).all() and not (kind == "generator" and not controls.generators[k].available):
            yield KINDS.index(kind), k, columns, values, planned
