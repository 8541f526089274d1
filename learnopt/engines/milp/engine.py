"""The MILP engine: outer approximation (:mod:`learnopt.engines.milp.outer_approximation`) on HiGHS, driven directly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, infeasible
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.milp import highs
from learnopt.engines.milp.outer_approximation import Effort, solve_by_rounds
from learnopt.engines.milp.search_state import Search
from learnopt.formulations.controls import rating_tangents, settings_of_solution
from learnopt.formulations.distflow import build_reconfiguration
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.formulations.distflow_terms import sending_term, tangent_row, tap_voltages_sqr
from learnopt.network import Configuration, Floats, Ints, ReconfigurationProblem, Result, Settings

DEFAULT_GAP = 1e-4
SMALLEST_GAP = 1e-6
"""What the tolerances of the linear solver allow to prove; a smaller gap asked for counts as this one."""
LIGHT_LOAD = 1e-2
"""Feeders with less apparent load than this [pu] are solved in units of their own."""
LIGHT_WITH_CONTROLS = 1.0
"""The same with controls: what a bank or a generator injects is a small part of the load, and so are the tolerances."""


class HighsRelaxation:
    """The DistFlow model compiled for HiGHS; see :class:`~learnopt.engines.milp.outer_model.SettableRelaxation`.

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

    takes_tangents = True

    def __init__(
        self,
        data: DistFlowData,
        size: float = highs.LEAST_OBJECTIVE,
        model: Any = None,
        compiled: highs.CompiledModel | None = None,
    ) -> None:
        self.data = data
        self.pyomo_model = m = model or build_reconfiguration(data)
        self.model = compiled or highs.CompiledModel(m, size=size, units=light_units(data, m))
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

    def solve(
        self,
        cutoff: float,
        gap: float,
        time_limit: float,
        heuristics: bool,
        watch: Callable[[float, int], None],
        node_limit: int | None = None,
    ) -> highs.SolverRun:
        """Solve below a cutoff [kW]; HiGHS's own heuristics only where there is no incumbent."""
        return self.model.solve(
            cutoff=cutoff, gap=gap, time_limit=time_limit, heuristics=heuristics, node_limit=node_limit, watch=watch
        )

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
        cuts = list(zip(*rating_tangents(self.data.problem.controls, p, q, on, unit_of_load(self.data)), strict=True))
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
            self._settled = columns[columns >= 0]
            zero = np.zeros(len(self._settled))
            self.model.set_bounds(self._settled, zero, zero)
            return
        m, controls = self.pyomo_model, self.data.problem.controls
        discrete = [(m.capacitor_on, k, np.array(bank.choices)) for k, bank in enumerate(controls.capacitors)]
        values = list(settings.capacitors)
        for k, tap in enumerate(controls.taps):
            if tap.positions is not None:
                discrete.append((m.tap_on, k, tap.positions))
                values.append(settings.taps[k])
        others = [self.b[~configuration.closed[self.data.arcs.branch[self.choice]]]]
        for (on, k, choices), value in zip(discrete, values, strict=True):
            columns = self.model.columns([on[k, s] for s in range(len(choices))])
            others.append(np.delete(columns, np.abs(choices - value).argmin()))
        running = self._generators[2]
        columns = np.concatenate([*others, running])
        states = np.concatenate([np.zeros(len(columns) - len(running)), np.array(settings.on, dtype=float)])
        present = columns >= 0
        self._settled = columns[present]
        self.model.set_bounds(self._settled, states[present], states[present])

    def release(self) -> None:
        """Undo :meth:`settle_on`: all that it fixed are binaries that were free."""
        n = len(self._settled)
        self.model.set_bounds(self._settled, np.zeros(n), np.ones(n))

    def exclude(self, configuration: Configuration) -> None:
        """All radial configurations close equally many branches, so one closed branch must change."""
        columns, n_closed = self.closed_columns(configuration)
        self.model.add_rows(columns[None, :], -np.ones((1, len(columns))), np.array([1.0 - n_closed]))

    def closed_columns(self, configuration: Configuration) -> tuple[Ints, int]:
        """Columns of the arcs of the closed branches that are a decision, and how many branches these are."""
        branch = self.data.arcs.branch[self.choice]
        inside = configuration.closed[branch]
        return self.b[inside], len(np.unique(branch[inside]))


def unit_of_load(data: DistFlowData) -> float:
    """All apparent load and all that controls can inject [pu], at most 1: what tolerances of powers are measured by."""
    problem, controls = data.problem, data.problem.controls
    load = float(np.abs(problem.p + 1j * problem.q).sum())
    load += sum(max(map(abs, generator.reach)) for generator in controls.generators)
    load += sum(max(map(abs, bank.choices)) for bank in controls.capacitors)
    return min(1.0, load or 1.0)


def light_units(data: DistFlowData, model: Any) -> list[tuple[Any, float]]:
    """Units of powers and squared currents where the loads are far below 1, for HiGHS's absolute tolerances."""
    unit = unit_of_load(data)
    if unit >= (LIGHT_WITH_CONTROLS if data.problem.controls else LIGHT_LOAD):
        return []
    powers = (model.P, model.Q, model.generator_p, model.generator_q)
    return [([v for power in powers for v in power.values()], unit), (model.ell.values(), unit**2)]


class MilpEngine:
    """Mixed-integer outer approximation with an AC certificate.

    Parameters
    ----------
    effort
        Effort of its parts.
    """

    name = "milp"

    def __init__(self, effort: Effort | None = None) -> None:
        self.effort = effort or Effort()

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the AC optimum within ``options.gap`` (1e-4 by default), or return the gap reached.

        The certificate is ``ac``, or ``none`` where a constant of the relaxation could not be proven (the message says
        which). Ctrl-C returns incumbent and bound.
        """
        watch, serves = Stopwatch(), {"several_scenarios": True, "controls": True, "fixed_loops": True}
        if (failure := infeasible(problem, self.name, watch, **serves)) is not None:
            return failure
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        if len(problem.situations) > 1:
            from learnopt.engines.milp.scenarios import solve_scenarios

            return solve_scenarios(problem, options, start, self.effort, watch)
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = Search(problem, self.name, gap, options, watch)
        return solve_by_rounds(search, HighsRelaxation, self.effort, start, f"HiGHS {highs.VERSION}")
