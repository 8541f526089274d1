"""The DistFlow model without its cone: what the rounds ask of it in any solver, and one load situation on HiGHS.

It grows by rows, tangents of the cone among them (:mod:`learnopt.engines.milp.tangents`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from learnopt.engines.milp import highs
from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.highs import SolverRun
from learnopt.formulations.controls import rating_tangents, settings_of_solution
from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import sending_term, tangent_row, tap_voltages_sqr
from learnopt.network import Bools, Configuration, Floats, Ints, Network, Settings
from learnopt.physics import PowerFlow

LIGHT_LOAD = 1e-2
"""Feeders with less apparent load than this [pu] are solved in units of their own."""
HEAVY_LOAD = 32.0
"""With more than this [pu], too: squares of large currents leave no digits to absolute tolerances."""
LIGHT_WITH_CONTROLS = 1.0
"""The same with controls: what a bank or a generator injects is a small part of the load, and so are the tolerances."""
LEAST_SHARE = 1e-4
"""Share of a squared current below which a solution outside the cone is let be."""

Held = Collection[tuple[str, int]]
"""Devices: kind (``capacitor``, ``tap``, ``generator``) and place among the controls of that kind."""


class Relaxation(Protocol):
    """A model of one load situation or more without its cone in some solver; it grows by rows."""

    takes_tangents: bool
    """False for a solver that has the cone itself."""
    unproven: str
    """Which constant of the model could not be proven, so that its bounds are none; empty where all are."""

    def solve_relaxation(self, time_limit: float) -> SolverRun:
        """Solve without integrality."""
        ...

    def solve(
        self,
        cutoff: float,
        gap: float,
        time_limit: float,
        heuristics: bool,
        watch: Callable[[float, int], None],
        node_limit: int | None = None,
    ) -> SolverRun:
        """Solve below a cutoff [kW]; ``watch`` hears of bound [kW] and nodes on the way."""
        ...

    def cut(self, run: SolverRun, share: float = LEAST_SHARE) -> int:
        """Append rows that cut a solution off where it lies outside a cone by more than a share; returns how many."""
        ...

    def touch(self, t: int, flow: PowerFlow, network: Network, spacing: float = 0.0) -> int:
        """Append tangents at a power flow of situation ``t``; returns how many are new.

        Parameters
        ----------
        network
            Its network, controls set.
        spacing
            As of :meth:`learnopt.engines.milp.tangents.Tangents.at_power_flow`.
        """
        ...

    def proposal(self, run: SolverRun) -> Plan:
        """The plan of a solution, settings of its controls included."""
        ...

    def exclude(self, plan: Plan, t: int | None = None) -> None:
        """Cut off the configuration of situation ``t``, or the sequence of all where it is None."""
        ...


@runtime_checkable
class SettableRelaxation(Relaxation, Protocol):
    """A relaxation whose discrete part can be fixed for a while."""

    def closed_share(self, run: SolverRun) -> list[Floats]:
        """Share by which each branch is closed in each situation in a solution without integrality, (n_branch,) each.

        The sum over the arcs of the branch, 1 for those that are always in use.
        """
        ...

    def settle_on(self, plan: Plan, t: int | None = None) -> None:
        """Leave nothing but the configurations of a plan, or that of situation ``t``, until :meth:`release`.

        With settings nothing but their bank steps, positions of taps and running generators either; without, the
        controls stay free.
        """
        ...

    def hold_common(self, plan: Plan, run: SolverRun, nearness: float) -> int:
        """Fix what a plan and a solution without integrality have in common, until :meth:`release`.

        Parameters
        ----------
        nearness
            Largest distance of a binary of the solution from its value in the plan.

        Returns
        -------
        Number of binaries that stay free.
        """
        ...

    def solve_held(self, cutoff: float, gap: float, time_limit: float, node_limit: int) -> SolverRun:
        """Look quickly for a solution below a cutoff [kW] with what is held; it proves nothing, not even of that."""
        ...

    def release(self) -> None:
        """Undo :meth:`settle_on` or :meth:`hold_common`."""
        ...


class HighsRelaxation:
    """The DistFlow model of one load situation compiled for HiGHS: alone, or a block of a model of several.

    Parameters
    ----------
    data
        Data of the model.
    size
        Order of the objectives to expect [kW].
    model
        A Pyomo model that holds the DistFlow model of ``data`` and more; the plain one if absent.
    compiled
        The compiled model of which ``model`` is a block, if it is one of several.
    """

    def __init__(
        self,
        data: DistFlowData,
        size: float = highs.LEAST_OBJECTIVE,
        model: Any = None,
        compiled: highs.CompiledModel | None = None,
    ) -> None:
        self.data = data
        self.pyomo_model = m = model or build_reconfiguration(data)
        self.model = compiled or highs.CompiledModel(m, size=size, units=units_of_powers(data, m))
        span = range(len(data.arcs))
        self._ell, self._p, self._q = (self.model.columns([v[a] for a in span]) for v in (m.ell, m.P, m.Q))
        terms = [sending_term(m, data, a) for a in span]
        number = [isinstance(variable, float) for variable, _ in terms]
        self._w = np.array([-1 if number[a] else self.model.columns([terms[a][0]])[0] for a in span], dtype=np.int64)
        self._w_number = np.array([terms[a][0] if number[a] else math.nan for a in span])
        self._scale = np.array([factor for _, factor in terms])
        self.cuttable = self._ell >= 0
        generators = range(len(data.problem.controls.generators))
        powers = (m.generator_p, m.generator_q, m.generator_on)
        self._generators = [self.model.columns([power[k] for k in generators]) for power in powers]
        self._settled: Ints = np.zeros(0, dtype=np.int64)
        self.choice: Ints = np.flatnonzero(~data.arcs.fixed)
        self.b = self.model.columns([m.b[int(a)] for a in self.choice])

    def solve_relaxation(self, time_limit: float = math.inf) -> highs.SolverRun:
        """Solve without integrality."""
        return self.model.solve_relaxation(time_limit)

    def add_tangents(self, arc: Ints, alpha: Floats, beta: Floats) -> None:
        """Append tangents; the voltage of a substation is a number in them."""
        one, on_p, on_q, on_w = tangent_row(alpha, beta)
        on_w = on_w * self._scale[arc]
        numeric = self._w[arc] < 0
        columns = np.stack([self._ell[arc], self._p[arc], self._q[arc], self._w[arc]], axis=1)
        values = np.stack([one, on_p, on_q, on_w], axis=1)
        self.model.add_rows(columns[~numeric], values[~numeric], np.zeros(int((~numeric).sum())))
        self.model.add_rows(columns[numeric, :3], values[numeric, :3], (-on_w * self._w_number[arc])[numeric])

    def cut_ratings(self, run: highs.SolverRun) -> int:
        """Tangents of the ratings of generators where a solution lies outside; a state that is fixed is a number."""
        assert run.values is not None
        generators = self.data.problem.controls.generators
        fixed = [float(g.available) for g in generators]
        p, q, on = (np.where(c >= 0, run.values[c], 0.0) for c in self._generators)
        on = np.where(self._generators[2] >= 0, on, fixed)
        cuts = list(
            zip(
                *rating_tangents(self.data.problem.controls, p, q, on, min(size_of_powers(self.data), 1.0)), strict=True
            )
        )
        for k, angle in cuts:
            columns = np.array([c[k] for c in self._generators])
            row, limit = np.array([-math.cos(angle), -math.sin(angle), generators[k].s_max]), 0.0
            if columns[2] < 0:
                limit = -generators[k].s_max * fixed[k]
            kept = columns >= 0
            self.model.add_rows(columns[None, kept], row[None, kept], np.array([limit]))
        return len(cuts)

    def arc_values(self, run: highs.SolverRun) -> tuple[Floats, Floats, Floats, Floats]:
        """P, Q, l and sending-end w of every arc."""
        assert run.values is not None
        x = run.values
        w = self._scale * np.where(self._w >= 0, x[self._w], self._w_number)
        return x[self._p], x[self._q], x[self._ell], w

    def proposal(self, run: highs.SolverRun) -> Configuration:
        """The configuration of a solution."""
        assert run.values is not None
        return self.data.configuration(self.choice[run.values[self.b] > 0.5])

    def closed_share(self, run: highs.SolverRun) -> Floats:
        """Share by which each branch is closed: the sum over its arcs, 1 for those that are always in use."""
        assert run.values is not None
        share = np.zeros(self.data.problem.network.n_branch)
        np.add.at(share, self.data.arcs.branch[self.choice], run.values[self.b])
        share[self.data.arcs.branch[self.data.arcs.fixed]] = 1.0
        return share

    def settings(self, run: highs.SolverRun) -> Settings | None:
        """The controls of a solution; None where the problem has none."""
        if not self.data.problem.controls:
            return None
        assert run.values is not None
        self.model.load(run.values)
        taps = tap_voltages_sqr(self.pyomo_model, self.data)
        return settings_of_solution(self.pyomo_model, self.data.problem.controls, *taps)

    def settle_on(self, configuration: Configuration, settings: Settings | None = None) -> None:
        """Leave nothing but this configuration and these bank steps, positions of taps and running generators.

        Without settings the controls stay free.
        """
        if settings is None:
            columns = self.b[~configuration.closed[self.data.arcs.branch[self.choice]]]
            self._fix(columns, np.zeros(len(columns)))
            return
        opened = self.b[~configuration.closed[self.data.arcs.branch[self.choice]]]
        columns, states = self._states_of(settings)
        # Of a row of steps or positions the one chosen follows from the others.
        others = np.ones(len(columns), dtype=bool)
        others[: len(columns) - len(settings.on)] = states[: len(columns) - len(settings.on)] == 0
        self._fix(np.concatenate([opened, columns[others]]), np.concatenate([np.zeros(len(opened)), states[others]]))

    def hold_common(
        self, configuration: Configuration, settings: Settings | None, run: highs.SolverRun, nearness: float
    ) -> int:
        """Fix the binaries that are near their value in a plan; returns how many stay free.

        A branch that the plan closes is held in the direction that the solution gives it.
        """
        assert run.values is not None
        closed = configuration.closed[self.data.arcs.branch[self.choice]]
        share = run.values[self.b]
        columns, states = [self.b], [np.where(closed, np.where(share > 0.5, 1.0, np.nan), 0.0)]
        if settings is not None:
            others, wanted = self._states_of(settings)
            columns, states = [*columns, others], [*states, wanted]
        joined, values = np.concatenate(columns), np.concatenate(states)
        near = (joined >= 0) & (np.abs(run.values[joined] - values) <= nearness)
        self._fix(joined[near], values[near])
        return int(np.count_nonzero(joined >= 0)) - int(np.count_nonzero(near))

    def _states_of(self, settings: Settings) -> tuple[Ints, Floats]:
        """Columns and values of the binaries of bank steps, then of positions of taps, then of running generators."""
        columns, states = [], []
        for kind, k, own, values in self.devices():
            if kind == "generator":
                continue
            value = settings.capacitors[k] if kind == "capacitor" else settings.taps[k]
            columns.append(own)
            states.append((np.arange(len(values)) == np.abs(values - value).argmin()).astype(float))
        on = np.array(settings.on, dtype=float)
        return np.concatenate([*columns, self._generators[2]]), np.concatenate([*states, on])

    def devices(self) -> Iterator[tuple[str, int, Ints, Floats]]:
        """Kind, place among its kind, columns of the binaries, and values: banks, tap changers, then generators.

        Of a generator the one binary says whether it runs, its values are off and on. A column of -1 is in no row.
        """
        m, controls = self.pyomo_model, self.data.problem.controls
        for k, bank in enumerate(controls.capacitors):
            values = np.array(bank.choices)
            yield "capacitor", k, self.model.columns([m.capacitor_on[k, s] for s in range(len(values))]), values
        for k, tap in enumerate(controls.taps):
            if tap.positions is not None:
                columns = self.model.columns([m.tap_on[k, s] for s in range(len(tap.positions))])
                yield "tap", k, columns, tap.positions
        for k in range(len(controls.generators)):
            yield "generator", k, self._generators[2][[k]], np.array([0.0, 1.0])

    def hold(self, configuration: Configuration, branches: Bools, settings: Settings | None, held: Held) -> None:
        """Hold branches, and devices, where a plan has them, for good.

        A branch that may be fed from either end is held closed and free in its direction.

        Parameters
        ----------
        branches
            bool, shape (n_branch,).
        held
            Kind and place among its kind of each device.
        """
        branch = self.data.arcs.branch[self.choice]
        opened = self.b[branches[branch] & ~configuration.closed[branch]]
        self.model.fix(opened[opened >= 0], np.zeros(int((opened >= 0).sum())))
        for e in np.unique(branch[branches[branch] & configuration.closed[branch]]).tolist():
            arcs = self.b[branch == e]
            if (arcs >= 0).all():
                self.model.add_rows(arcs[None, :], np.ones((1, len(arcs))), np.ones(1))
        if settings is None:
            return
        for kind, k, columns, values in self.devices():
            if (kind, k) in held and (columns >= 0).all():
                chosen = {"capacitor": settings.capacitors, "tap": settings.taps, "generator": settings.on}[kind][k]
                states = (np.arange(len(values)) == np.abs(values - float(chosen)).argmin()).astype(float)
                self.model.fix(columns, states[-1:] if kind == "generator" else states)

    def _fix(self, columns: Ints, states: Floats) -> None:
        """Fix binaries until :meth:`release`; a column of -1 is in no row."""
        present = columns >= 0
        self._settled = columns[present]
        self.model.set_bounds(self._settled, states[present], states[present])

    def release(self) -> None:
        """Undo :meth:`settle_on` or :meth:`hold_common`: all that they fix are binaries that were free."""
        n = len(self._settled)
        self.model.set_bounds(self._settled, np.zeros(n), np.ones(n))
        self._settled = self._settled[:0]

    def exclude(self, configuration: Configuration) -> None:
        """All radial configurations close equally many branches, so one closed branch must change."""
        columns, n_closed = self.closed_columns(configuration)
        self.model.add_rows(columns[None, :], -np.ones((1, len(columns))), np.array([1.0 - n_closed]))

    def closed_columns(self, configuration: Configuration) -> tuple[Ints, int]:
        """Columns of the arcs of the closed branches that are a decision, and how many branches these are."""
        branch = self.data.arcs.branch[self.choice]
        inside = configuration.closed[branch]
        return self.b[inside], len(np.unique(branch[inside]))


def size_of_powers(data: DistFlowData) -> float:
    """All apparent load and all that controls can inject [pu]; 1 where there is neither."""
    problem, controls = data.problem, data.problem.controls
    load = float(np.abs(problem.p + 1j * problem.q).sum())
    load += sum(max(map(abs, generator.reach)) for generator in controls.generators)
    load += sum(max(map(abs, bank.choices)) for bank in controls.capacitors)
    return load or 1.0


def units_of_powers(data: DistFlowData, model: Any) -> list[tuple[Any, float]]:
    """Units of powers and squared currents where the loads are far from 1, for HiGHS's absolute tolerances."""
    unit = size_of_powers(data)
    if (LIGHT_WITH_CONTROLS if data.problem.controls else LIGHT_LOAD) <= unit <= HEAVY_LOAD:
        return []
    powers = (model.P, model.Q, model.generator_p, model.generator_q)
    return [([v for power in powers for v in power.values()], unit), (model.ell.values(), unit**2)]
