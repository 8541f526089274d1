r"""State estimation: the loads that explain all measurements best, by the estimator of power-grid-model.

Weighted least squares over measured powers, voltages and flows, and over what is expected of loads that nobody measures
(pseudo-measurements of large deviation), so that a feeder's head allots what its loads are not measured for. Bad data:
while a residual is beyond :data:`SUSPICIOUS` standard deviations, the measurement is left out without which all the
others, and what is expected of the loads, fit best. What nothing else checks has no residual, and is not found out.

References
----------
Abur, Exposito, *Power System State Estimation* (2004), doi:10.1201/9780203913673, chapters 2 and 5 (there
the largest normalised residual is left out; a load and the head of its feeder have the same one, so the fit decides).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from power_grid_model import CalculationMethod, ComponentType, MeasuredTerminalType, PowerGridModel
from power_grid_model.errors import PowerGridError  # type: ignore[attr-defined]

from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.physics.grid_model import FREQUENCY, Tables, numbered, tables_of
from learnopt.studies.operation.measurements import Point, Quantity

SUSPICIOUS = 4.0
"""Residual in standard deviations beyond which a measurement is taken for wrong."""
CANDIDATES = 4
"""Measurements of the largest residuals, and as many far from what is expected, that are tried as the wrong one."""
MOST_REJECTED = 20
"""Measurements that one estimate may leave out."""


@dataclass(frozen=True)
class Reading:
    """A value of a point and how far it may be from the truth.

    Parameters
    ----------
    point
        Power or voltage at a bus, or flow into a branch.
    value, sigma
        In the unit of the quantity; the standard deviation is > 0.
    measured
        False where it is an expectation, which is never rejected.
    """

    point: Point
    value: float
    sigma: float
    measured: bool = True


@dataclass(frozen=True, eq=False)
class Estimate:
    """The state that fits best.

    Parameters
    ----------
    p, q
        Net loads [pu], shape (n_bus,).
    vm
        Voltages [pu], shape (n_bus,).
    rejected
        Measurements left out as wrong.
    unused
        Flows of branches that carry none in the model: open ones, and couplers without impedance.
    worst_residual
        Largest residual of the measurements used, in their standard deviations.
    """

    p: Floats
    q: Floats
    vm: Floats
    rejected: tuple[Point, ...]
    unused: tuple[Point, ...]
    worst_residual: float


def estimate(problem: ReconfigurationProblem, configuration: Configuration, readings: list[Reading]) -> Estimate | None:
    """The loads of one situation in a radial state; None where the estimator finds none.

    Parameters
    ----------
    readings
        Power at every bus that may draw or feed in, measured or expected, and what else is measured.
    """
    loaded = np.zeros(problem.network.n_bus, dtype=bool)
    loaded[[r.point.place for r in readings if r.point.kind == "bus" and r.point.quantity is not Quantity.V]] = True
    loaded &= ~problem.network.is_substation
    rejected: list[Point] = []
    used = list(readings)

    def fitted(readings: list[Reading]) -> tuple[_Sensors, Any]:
        sensors = _Sensors(problem, tables_of(problem, configuration, loaded), readings)
        return sensors, sensors.estimated()

    sensors, output = fitted(used)
    if output is None:
        return None
    while True:
        worst = max((r for _, r in sensors.residuals(output)), default=0.0)
        if worst <= SUSPICIOUS or len(rejected) == MOST_REJECTED:
            return sensors.estimate(output, tuple(rejected), worst)
        # Which of those that contradict each other is wrong? That without which all the rest fits best.
        found = []
        for point in sensors.suspects(output):
            rest = [r for r in used if not (r.measured and r.point == point)]
            without, fit = fitted(rest)
            if fit is not None:
                found.append((without.misfit(fit, readings), point, rest, without, fit))
        if not found:
            return sensors.estimate(output, tuple(rejected), worst)
        _, point, used, sensors, output = min(found, key=lambda one: one[:2])
        rejected.append(point)


class _Sensors:
    """Readings as sensors of power-grid-model."""

    def __init__(self, problem: ReconfigurationProblem, tables: Tables, readings: list[Reading]) -> None:
        self.problem, self.tables = problem, tables
        best: dict[Point, Reading] = {}
        for one in readings:  # what is measured stands before what is expected
            if one.point not in best or (one.measured and not best[one.point].measured):
                best[one.point] = one
        self.best = best
        self.expected = {one.point: one for one in readings if not one.measured}
        self.unused: list[Point] = []
        self.power: list[tuple[Point, Point]] = []
        self._power_rows()
        self._voltage_rows()

    def _power_rows(self) -> None:
        load_of = dict(zip(self.tables.loaded.tolist(), self.tables.load.tolist(), strict=True))
        places = dict.fromkeys((p.kind, p.place) for p in self.best if p.quantity in (Quantity.P, Quantity.Q))
        rows = []
        for kind, index in places:
            p, q = Point(kind, index, Quantity.P), Point(kind, index, Quantity.Q)
            element = load_of.get(index, -1) if kind == "bus" else int(self.tables.element[index])
            pair = [self.best.get(p), self.best.get(q)]
            if element < 0 or (kind == "branch" and None in pair):  # a flow counts with both its parts only
                self.unused += [one.point for one in pair if one is not None and one.measured]
                continue
            terminal = MeasuredTerminalType.load if kind == "bus" else MeasuredTerminalType.branch_from
            rows.append((element, terminal, pair))
            self.power.append((p, q))
        table = numbered(self.tables.ids, ComponentType.sym_power_sensor, len(rows))
        for row, (element, terminal, pair) in zip(table, rows, strict=True):
            row["measured_object"], row["measured_terminal_type"] = element, terminal
            for name, one in zip(("p", "q"), pair, strict=True):
                row[f"{name}_measured"] = 0.0 if one is None else 1e3 * one.value
                row[f"{name}_sigma"] = 1.0 if one is None else 1e3 * one.sigma
        self.power_table = table

    def _voltage_rows(self) -> None:
        net = self.problem.network
        self.voltage = [p for p in self.best if p.quantity is Quantity.V]
        table = numbered(self.tables.ids, ComponentType.sym_voltage_sensor, len(self.voltage))
        for row, point in zip(table, self.voltage, strict=True):
            rated = 1e3 * float(net.kv[self.tables.node[point.place]])
            row["measured_object"] = self.tables.node[point.place]
            row["u_measured"], row["u_sigma"] = rated * self.best[point].value, rated * self.best[point].sigma
        self.voltage_table = table

    def estimated(self) -> Any:
        """Output of the estimator; None where it fails."""
        data = dict(self.tables.data)
        data[ComponentType.sym_power_sensor] = self.power_table
        data[ComponentType.sym_voltage_sensor] = self.voltage_table
        try:
            model = PowerGridModel({k: v for k, v in data.items() if len(v)}, system_frequency=FREQUENCY)
            return model.calculate_state_estimation(
                calculation_method=CalculationMethod.newton_raphson, error_tolerance=1e-8, max_iterations=50
            )
        except PowerGridError:
            return None

    def residuals(self, output: Any) -> list[tuple[Point, float]]:
        """Residual of every measurement in its standard deviations."""
        found: list[tuple[Point, float]] = []
        powers = output.get(ComponentType.sym_power_sensor, ())
        for pair, row in zip(self.power, powers, strict=True):
            for point, name in zip(pair, ("p_residual", "q_residual"), strict=True):
                one = self.best.get(point)
                if one is not None and one.measured:
                    found.append((point, abs(float(row[name])) / (1e3 * one.sigma)))
        for point, row in zip(self.voltage, output.get(ComponentType.sym_voltage_sensor, ()), strict=True):
            one = self.best[point]
            if one.measured:
                rated = 1e3 * float(self.problem.network.kv[self.tables.node[point.place]])
                found.append((point, abs(float(row["u_residual"])) / (rated * one.sigma)))
        return found

    def suspects(self, output: Any) -> list[Point]:
        """Measurements that may be wrong: those of the largest residuals, and powers farthest from what is expected."""
        off = sorted(self.residuals(output), key=lambda one: (-one[1], one[0]))
        return list(dict.fromkeys(point for point, _ in [*off[:CANDIDATES], *self._unexpected()[:CANDIDATES]]))

    def _unexpected(self) -> list[tuple[Point, float]]:
        """Measured powers at buses and how many deviations they are from what is expected, farthest first."""
        found = [
            (point, abs(one.value - self.expected[point].value) / self.expected[point].sigma)
            for point, one in self.best.items()
            if one.measured and point in self.expected
        ]
        return sorted(found, key=lambda one: (-one[1], one[0]))

    def misfit(self, output: Any, readings: list[Reading]) -> float:
        """Squared residuals of what is measured, and of the estimate to what is expected."""
        total = sum(r**2 for _, r in self.residuals(output))
        found = self.estimate(output, (), 0.0)
        kw = self.problem.network.base.kw
        for one in readings:
            if not one.measured and one.point.quantity is not Quantity.V:
                powers = found.p if one.point.quantity is Quantity.P else found.q
                total += ((float(powers[one.point.place]) * kw - one.value) / one.sigma) ** 2
        return total

    def estimate(self, output: Any, rejected: tuple[Point, ...], worst: float) -> Estimate:
        """The state in the terms of the network."""
        net = self.problem.network
        p, q, vm = np.zeros(net.n_bus), np.zeros(net.n_bus), np.empty(net.n_bus)
        if len(self.tables.loaded):
            loads = output[ComponentType.sym_load]
            p[self.tables.loaded], q[self.tables.loaded] = loads["p"], loads["q"]
        watts = 1e3 * net.base.kw
        vm[self.tables.data[ComponentType.node]["id"]] = output[ComponentType.node]["u_pu"]
        return Estimate(p / watts, q / watts, vm[self.tables.node], rejected, tuple(self.unused), worst)
