"""Outer approximation on HiGHS: bound and AC incumbent meet, or the gap is stated.

Switches whose other state is proven too dear are fixed first (:mod:`learnopt.engines.probing`). Rounds: tangents at the
AC points of the incumbent and of its best neighbours; a cut loop on the linear relaxation; then the mixed-integer model
with the incumbent as cutoff, tangents at its solution and at the AC point of the configuration it proposes, until
nothing below the cutoff is left. Every round's dual bound is a lower bound of the AC
objective (:mod:`learnopt.formulations.distflow`); every configuration proposed is evaluated by AC power flow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from learnopt.engines import highs
from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.dispatch import settle
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
from learnopt.engines.probing import fix_by_bounds
from learnopt.formulations.controls import settings_of_solution
from learnopt.formulations.distflow import (
    DistFlowData,
    build_reconfiguration,
    sending_term,
    tangent_row,
    tap_voltages_sqr,
)
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    Ints,
    Network,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)
from learnopt.physics import PowerFlow, evaluate, power_flow

DEFAULT_GAP = 1e-4
SMALLEST_GAP = 2e-6
"""What the tolerances of the linear solver allow to prove; a smaller gap asked for counts as this one."""
ROUNDING = 1e-7
"""Relative margin taken off a bound for the tolerances of the linear solver."""


@dataclass(frozen=True)
class MilpParams:
    """Effort of the outer approximation.

    Parameters
    ----------
    probing
        Fix switches by the AC bound of the tree search first, where it covers the problem.
    random_starts
        Random trees for the incumbent: more of them make a bad cutoff unlikely, each costs milliseconds.
    neighbours
        Exchanges of the incumbent whose AC points get tangents before the first round: fewer rounds, more rows.
    root_rounds
        Most rounds of the cut loop on the linear relaxation.
    root_progress
        Stop the cut loop when a round raises the bound by less than this share.
    mip_gap_share
        Gap of each mixed-integer round as a share of the requested gap: the rest is left to the tangents.
    """

    probing: bool = True
    random_starts: int = 8
    neighbours: int = 30
    root_rounds: int = 40
    root_progress: float = 2e-4
    mip_gap_share: float = 0.2


class Tangents:
    """Tangents of the current cone in a compiled model, each added once."""

    def __init__(self, data: DistFlowData, model: highs.CompiledModel, pyomo_model: Any) -> None:
        arcs = data.arcs
        span = range(len(arcs))
        m = pyomo_model
        self._model = model
        self._network = data.problem.network
        self._arcs = arcs
        self._ell, self._p, self._q = (model.columns([v[a] for a in span]) for v in (m.ell, m.P, m.Q))
        terms = [sending_term(m, data, a) for a in span]
        number = [isinstance(variable, float) for variable, _ in terms]
        self._w = np.array([-1 if number[a] else model.columns([terms[a][0]])[0] for a in span], dtype=np.int64)
        self._w_number = np.array([terms[a][0] if number[a] else math.nan for a in span])
        self._scale = np.array([factor for _, factor in terms])
        self._seen: set[tuple[int, float, float]] = set()

    def _add(self, arc: Ints, alpha: Floats, beta: Floats) -> int:
        keys = [(int(a), float(f"{alpha[i]:.5g}"), float(f"{beta[i]:.5g}")) for i, a in enumerate(arc)]
        # A current that appears nowhere (no impedance, always in use) is no column: nothing depends on it.
        fresh = [i for i, key in enumerate(keys) if key not in self._seen and self._ell[key[0]] >= 0]
        self._seen.update(keys)
        for numeric in (False, True):
            some = np.array([i for i in fresh if (self._w[arc[i]] < 0) == numeric], dtype=np.int64)
            if not len(some):
                continue
            a = arc[some]
            one, on_p, on_q, on_w = tangent_row(alpha[some], beta[some])
            columns, values, lower = [self._ell[a], self._p[a], self._q[a]], [one, on_p, on_q], np.zeros(len(some))
            if numeric:
                lower = -on_w * self._scale[a] * self._w_number[a]
            else:
                columns.append(self._w[a])
                values.append(on_w * self._scale[a])
            self._model.add_rows(np.stack(columns, axis=1), np.stack(values, axis=1), lower)
        return len(fresh)

    def at_power_flow(self, flow: PowerFlow, network: Network | None = None) -> int:
        """Touch the cone where a configuration operates; returns the number of new tangents.

        Parameters
        ----------
        network
            The network with its controls set, where the problem has some.
        """
        network = network or self._network
        used = np.flatnonzero(flow.feed[self._arcs.head] == self._arcs.branch)
        tail, head = self._arcs.tail[used], self._arcs.head[used]
        branch = self._arcs.branch[used]
        sending = flow.v[tail] / np.where(tail == network.from_bus[branch], network.ratio[branch], 1.0)
        ratio = flow.current[head].conjugate() / sending.conjugate()  # S / |V|^2 before the impedance
        return self._add(used, ratio.real, ratio.imag)

    def at_values(self, values: Floats, tolerance: float) -> int:
        """Touch the cone where a solution of the model lies outside it by more than a tolerance [pu]."""
        w = self._scale * np.where(self._w >= 0, values[self._w], self._w_number)
        p, q, ell = values[self._p], values[self._q], values[self._ell]
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (p**2 + q**2) / w
            cut = np.flatnonzero((w > 1e-5) & (needed - ell > tolerance + 1e-4 * needed))
        return self._add(cut, p[cut] / w[cut], q[cut] / w[cut])


@dataclass
class _Search:
    """State of one outer approximation."""

    problem: ReconfigurationProblem
    incumbent: Configuration | None = None
    settings: Settings | None = None  # of the incumbent, where the problem has controls
    objective: float = math.inf  # of the incumbent, judged [kW]
    bound: float = -math.inf  # of the full problem [kW]
    nodes: int = 0
    seen: set[tuple[Configuration, Settings | None]] = field(default_factory=set)

    def offer(self, configuration: Configuration | None, settings: Settings | None = None) -> bool:
        """Take a configuration as incumbent if the judge finds it feasible and better."""
        if configuration is None or (configuration, settings) in self.seen:
            return False
        self.seen.add((configuration, settings))
        evaluation = evaluate(self.problem.applied(settings), configuration)
        if not evaluation.feasible or not self.problem.admits(configuration):
            return False
        objective = evaluation.loss_kw + self.problem.switching_cost * self.problem.operations(configuration)
        if objective >= self.objective:
            return False
        self.incumbent, self.settings, self.objective = configuration, settings, objective
        return True

    @property
    def gap(self) -> float:
        if not math.isfinite(self.objective) or not math.isfinite(self.bound):
            return math.inf
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), 1e-9)


class MilpEngine:
    """Mixed-integer outer approximation with an AC certificate.

    Parameters
    ----------
    params
        Effort of its parts.
    """

    name = "milp"

    def __init__(self, params: MilpParams | None = None) -> None:
        self.params = params or MilpParams()

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the AC optimum within ``options.gap`` (1e-4 by default), or return the gap reached.

        The certificate is ``ac``, or ``none`` where a constant of the relaxation could not be proven (the message says
        which). Ctrl-C returns the incumbent.
        """
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, controls=True)) is not None:
            return failure
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = _Search(problem)
        status, reason = Status.NO_SOLUTION, ""
        try:
            status, reason = self._prove(search, gap, options, start, watch)
        except KeyboardInterrupt:
            status, reason = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        bound: float | None = search.bound
        if search.incumbent is None and status is not Status.INTERRUPTED:
            bound = None if status is Status.INFEASIBLE else bound
        return conclude(
            problem,
            self.name,
            watch,
            configuration=search.incumbent,
            status=status,
            certificate=Certificate.AC,
            dual_bound_kw=bound,
            message=reason,
            nodes=search.nodes,
            engine_version=f"HiGHS {highs.VERSION}",
            settings=search.settings,
        )

    def _prove(
        self, search: _Search, gap: float, options: SolveOptions, start: Configuration | None, watch: Stopwatch
    ) -> tuple[Status, str]:
        problem, params = search.problem, self.params
        kw = problem.network.base.kw
        limit = math.inf if options.time_limit is None else options.time_limit
        with watch.stage("incumbent"):
            rng = np.random.default_rng(options.seed)
            found = find_incumbent(problem, start, rng, params.random_starts, 0.2 * limit, watch)
            settings = None
            if problem.controls and found is not None and (settled := settle(problem, found)) is not None:
                found, settings, _ = settled
            search.offer(found, settings)
        # What the fixings exclude has at least this objective, so no bound may claim more.
        ceiling = math.inf
        reduced = problem
        if params.probing and search.incumbent is not None and not problem.controls:
            with watch.stage("fix"):
                ceiling = search.objective * (1 - 0.9 * gap)
                reduced = fix_by_bounds(problem, search.incumbent, ceiling / kw)
            if reduced.contradictions or not reduced.free.any():
                if not reduced.contradictions:
                    search.offer(radial_start(reduced))
                search.bound = min(ceiling, search.objective) * (1 - ROUNDING)
                return Status.OPTIMAL, f"AC optimum within a gap of {gap:g}, by bounds alone."
        with watch.stage("build"):
            data = DistFlowData.of(reduced, search.objective / kw)
            pyomo_model = build_reconfiguration(data)
            model = highs.CompiledModel(pyomo_model)
            tangents = Tangents(data, model, pyomo_model)
            choice = np.flatnonzero(~data.arcs.fixed)
            b_columns = model.columns([pyomo_model.b[int(a)] for a in choice])
            points = [search.incumbent or found]
            applied = problem.applied(settings)
            if points[0] is not None:
                points += LocalSearch(applied).neighbours(points[0], params.neighbours)
            for configuration in points:
                if configuration is not None and (flow := power_flow(applied, configuration)).converged:
                    tangents.at_power_flow(flow, applied.network)
        # A squared current that is off by this much changes no loss by more than a tenth of the gap.
        scale = search.objective / kw if math.isfinite(search.objective) else float(np.abs(problem.p).sum()) * 0.05
        tolerance = 0.1 * gap * scale / max(float(problem.network.r.sum()), 1e-9)

        def raise_bound(value: float) -> None:
            value = min(value, ceiling)
            if data.bounds.proven and math.isfinite(value):
                search.bound = max(search.bound, value - ROUNDING * abs(value))

        with watch.stage("root"):
            previous = -math.inf
            for _ in range(params.root_rounds):
                run = model.solve_relaxation(limit - watch.elapsed)
                if run.outcome is highs.Outcome.INFEASIBLE:
                    if search.incumbent is None or reduced.admits(search.incumbent):
                        return self._infeasible_model(search, data)
                    raise_bound(ceiling)  # the fixings excluded the incumbent, and nothing else is left
                    break
                if run.values is None or run.outcome is not highs.Outcome.OPTIMAL:
                    break
                raise_bound(run.bound)
                added = tangents.at_values(run.values, tolerance)
                if search.gap <= gap or not added or run.bound < previous + params.root_progress * abs(run.bound):
                    break
                previous = run.bound
        while search.gap > gap:
            if watch.elapsed >= limit:
                status = Status.NO_SOLUTION if search.incumbent is None else Status.FEASIBLE
                return status, f"Time limit of {limit:g} s reached."
            with watch.stage("milp"):
                # Nothing is of interest unless it is better than the incumbent by more than the gap.
                cutoff = search.objective * (1 - 0.9 * gap) if math.isfinite(search.objective) else math.inf
                run = model.solve(
                    cutoff=cutoff,
                    gap=params.mip_gap_share * gap,
                    time_limit=limit - watch.elapsed,
                    heuristics=search.incumbent is None,
                )
                search.nodes += run.nodes
            if run.outcome is highs.Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is highs.Outcome.FAILED:
                return self._stopped(search), "HiGHS reported an error; the result is what was known before."
            raise_bound(min(run.bound, cutoff))
            if run.outcome is highs.Outcome.INFEASIBLE:
                if math.isinf(cutoff):
                    return self._infeasible_model(search, data)
                if not data.bounds.proven:
                    break
                continue
            if run.values is None:
                continue
            with watch.stage("tangents"):
                added = tangents.at_values(run.values, tolerance)
                closed = reduced.usable & (reduced.blocks.block >= 0)
                closed[data.arcs.branch[choice]] = False
                used = choice[run.values[b_columns] > 0.5]
                closed[data.arcs.branch[used]] = True
                proposal, settings = Configuration(closed), None
                if problem.controls:
                    model.load(run.values)
                    settings = settings_of_solution(pyomo_model, problem.controls, *tap_voltages_sqr(pyomo_model, data))
                repeated = (proposal, settings) in search.seen
                applied = problem.applied(settings)
                flow = power_flow(applied, proposal)
                if flow.converged:
                    added += tangents.at_power_flow(flow, applied.network)
                search.offer(proposal, settings)
                if problem.controls:
                    if flow.converged and (settled := settle(problem, proposal, settings)) is not None:
                        search.offer(*settled[:2])
                        better = problem.applied(settled[1])
                        if (flow := power_flow(better, settled[0])).converged:
                            added += tangents.at_power_flow(flow, better.network)
                    if not added:  # other settings of this configuration may still be better: it cannot be cut off
                        return self._stopped(search), "The relaxation of the controls is met: no tangent cuts deeper."
                    continue
                if flow.converged and (improved := LocalSearch(problem).improve(proposal)) is not None:
                    search.offer(improved[0])
                if repeated or not flow.converged or not added:
                    self._cut_off(model, data, b_columns, choice, closed)
        if not data.bounds.proven:
            return self._stopped(search), f"No certificate: {data.bounds.reason}."
        return Status.OPTIMAL, f"AC optimum within a gap of {gap:g}."

    @staticmethod
    def _cut_off(
        model: highs.CompiledModel, data: DistFlowData, b_columns: Ints, choice: Ints, closed: np.ndarray
    ) -> None:
        """Exclude one configuration: all radial ones close equally many branches, so one closed branch must change.

        Valid because it has been evaluated: it is infeasible, or its objective is known to the incumbent.
        """
        inside = closed[data.arcs.branch[choice]]
        columns = b_columns[inside]
        n_closed = len(np.unique(data.arcs.branch[choice][inside]))
        model.add_rows(columns[None, :], -np.ones((1, len(columns))), np.array([1.0 - n_closed]))

    @staticmethod
    def _stopped(search: _Search) -> Status:
        return Status.NO_SOLUTION if search.incumbent is None else Status.FEASIBLE

    def _infeasible_model(self, search: _Search, data: DistFlowData) -> tuple[Status, str]:
        if search.incumbent is not None:
            # Rounding of the linear solver: the incumbent is a point of the model.
            return self._stopped(search), "The relaxation became infeasible by rounding; nothing further is proven."
        if not data.bounds.proven:
            return Status.NO_SOLUTION, f"No configuration was found; {data.bounds.reason}."
        return (
            Status.INFEASIBLE,
            "No radial configuration respects the limits: a relaxation of the problem is infeasible.",
        )
