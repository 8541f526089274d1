"""Outer approximation: the one loop of tangents, bounds and AC incumbents, for every solver of its relaxations.

Switches whose other state is proven too dear are fixed first (:mod:`learnopt.engines.probing`). Rounds: tangents at the
AC points of the incumbent and of its best neighbours; a cut loop on the linear relaxation; then the mixed-integer model
with the incumbent as cutoff, tangents at its solution and at the AC point of the configuration it proposes, until
nothing below the cutoff is left. Every round's dual bound is a lower bound of the AC objective
(:mod:`learnopt.formulations.distflow`); every configuration proposed is evaluated by AC power flow. A search that finds
its first incumbent on the way starts over with it: the constants then hold for a finite loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from learnopt.engines.base import Progress, SolveOptions, Stopwatch, conclude
from learnopt.engines.dispatch import settle, settle_from_each_step
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
from learnopt.engines.highs import Outcome, SolverRun
from learnopt.engines.probing import fix_by_bounds
from learnopt.formulations.arcs import Arcs
from learnopt.formulations.distflow import DistFlowData
from learnopt.network import (
    Bools,
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


@dataclass(frozen=True)
class Effort:
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
    rounding
        Relative margin taken off a bound for the tolerances of the solver.
    """

    probing: bool = True
    random_starts: int = 8
    neighbours: int = 30
    root_rounds: int = 40
    root_progress: float = 2e-4
    mip_gap_share: float = 0.2
    rounding: float = 1e-7


class Relaxation(Protocol):
    """A model without its cone in some solver; it grows by rows."""

    cuttable: Bools
    """bool, shape (n_arc,): arcs whose current is a variable of the model."""
    takes_tangents: bool
    """False for a solver that has the cone itself."""

    def solve_relaxation(self, time_limit: float) -> SolverRun:
        """Solve without integrality."""
        ...

    def solve(
        self, cutoff: float, gap: float, time_limit: float, heuristics: bool, watch: Callable[[float, int], None]
    ) -> SolverRun:
        """Solve below a cutoff [kW]; ``watch`` hears of bound [kW] and nodes on the way."""
        ...

    def add_tangents(self, arc: Ints, alpha: Floats, beta: Floats) -> None:
        """Append the rows of ``distflow.tangent_row``."""
        ...

    def arc_values(self, run: SolverRun) -> tuple[Floats, Floats, Floats, Floats]:
        """P, Q, l and sending-end w of every arc in a solution, each of shape (n_arc,)."""
        ...

    def proposal(self, run: SolverRun) -> Configuration:
        """The configuration of a solution."""
        ...

    def settings(self, run: SolverRun) -> Settings | None:
        """The controls of a solution; None where the problem has none."""
        ...

    def cut_ratings(self, run: SolverRun) -> int:
        """Append a tangent for each generator outside its rating in a solution; how many."""
        ...

    def exclude(self, configuration: Configuration) -> None:
        """Cut off one configuration."""
        ...


class Tangents:
    """Tangents of the current cone in a model, each added once.

    Parameters
    ----------
    add
        Takes arcs, alpha and beta of the rows to append.
    cuttable
        bool, shape (n_arc,); a current that appears nowhere (no impedance, always in use) needs no tangent.
    """

    def __init__(self, arcs: Arcs, add: Callable[[Ints, Floats, Floats], None], cuttable: Bools | None = None) -> None:
        self._arcs, self._append = arcs, add
        self._cuttable = np.ones(len(arcs), dtype=bool) if cuttable is None else cuttable
        self._seen: set[tuple[int, float, float]] = set()

    def _add(self, arc: Ints, alpha: Floats, beta: Floats) -> int:
        keys = [(int(a), float(f"{alpha[i]:.5g}"), float(f"{beta[i]:.5g}")) for i, a in enumerate(arc)]
        fresh = [i for i, key in enumerate(keys) if key not in self._seen and self._cuttable[key[0]]]
        self._seen.update(keys)
        if fresh:
            self._append(arc[fresh], alpha[fresh], beta[fresh])
        return len(fresh)

    def at_power_flow(self, flow: PowerFlow, network: Network) -> int:
        """Touch the cone where a configuration operates; returns the number of new tangents.

        Parameters
        ----------
        network
            The network of the power flow, its controls set.
        """
        arcs = self._arcs
        used = np.flatnonzero(flow.feed[arcs.head] == arcs.branch)
        tail, branch = arcs.tail[used], arcs.branch[used]
        sending = flow.v[tail] / np.where(tail == network.from_bus[branch], network.ratio[branch], 1.0)
        ratio = flow.current[arcs.head[used]].conjugate() / sending.conjugate()  # S / |V|^2 before the impedance
        return self._add(used, ratio.real, ratio.imag)

    def at_values(self, p: Floats, q: Floats, ell: Floats, w: Floats, tolerance: float) -> int:
        """Touch the cone where a solution of the model lies outside it by more than a tolerance [pu]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (p**2 + q**2) / w
            cut = np.flatnonzero((w > 1e-5) & (needed - ell > tolerance + 1e-4 * needed))
        return self._add(cut, p[cut] / w[cut], q[cut] / w[cut])


@dataclass
class Search:
    """What is known so far: incumbent, bound, and every configuration evaluated."""

    problem: ReconfigurationProblem
    engine: str
    gap: float
    options: SolveOptions
    watch: Stopwatch
    incumbent: Configuration | None = None
    settings: Settings | None = None  # of the incumbent, where the problem has controls
    objective: float = math.inf  # of the incumbent, judged [kW]
    bound: float = -math.inf  # of the full problem [kW]
    nodes: int = 0
    seen: set[tuple[Configuration, Settings | None]] = field(default_factory=set)

    def offer(self, configuration: Configuration | None, settings: Settings | None = None) -> None:
        """Take a configuration as incumbent if the judge finds it feasible and better."""
        if configuration is None or (configuration, settings) in self.seen:
            return
        self.seen.add((configuration, settings))
        evaluation = evaluate(self.problem.applied(settings), configuration)
        if not evaluation.feasible or self.problem.faults(configuration, settings):
            return
        objective = evaluation.loss_kw + self.problem.switching_cost * self.problem.operations(configuration)
        if objective < self.objective:
            self.incumbent, self.settings, self.objective = configuration, settings, objective
            self.report()

    def raise_bound(self, value: float, nodes: int = 0) -> None:
        """Take a lower bound of the full problem [kW], found with ``nodes`` in a round under way, and tell of it."""
        if math.isfinite(value):
            self.bound = max(self.bound, value)
        self.report(nodes)

    def report(self, nodes: int = 0) -> None:
        """Tell the caller what is known; ``nodes`` of a round under way come on top."""
        if self.options.progress is None:
            return
        found, proven = math.isfinite(self.objective), math.isfinite(self.bound)
        self.options.progress(
            Progress(
                engine=self.engine,
                elapsed_s=self.watch.elapsed,
                incumbent_kw=self.objective if found else None,
                bound_kw=min(self.bound, self.objective) if proven else None,
                gap=self.reached if found and proven else None,
                nodes=self.nodes + nodes,
            )
        )

    @property
    def reached(self) -> float:
        """Gap between incumbent and bound."""
        if not math.isfinite(self.objective) or not math.isfinite(self.bound):
            return math.inf
        return max(0.0, self.objective - self.bound) / max(abs(self.objective), 1e-9)

    @property
    def closed(self) -> bool:
        """Bound and incumbent have met within the gap."""
        return self.reached <= self.gap

    @property
    def cutoff(self) -> float:
        """Nothing is of interest unless it is better than the incumbent by more than the gap."""
        return self.objective - 0.9 * self.gap * abs(self.objective) if self.incumbent is not None else math.inf

    @property
    def limit(self) -> float:
        """Time limit [s]."""
        return math.inf if self.options.time_limit is None else self.options.time_limit

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return self.limit - self.watch.elapsed

    @property
    def stopped(self) -> Status:
        """Status of a run that ends without proof."""
        return Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE


End = tuple[Status, str]


def solve_by_rounds(
    search: Search,
    build: Callable[[DistFlowData, float], Relaxation],
    effort: Effort,
    start: Configuration | None,
    version: str,
) -> Result:
    """Result of an engine that works by outer approximation; Ctrl-C returns what is known.

    Parameters
    ----------
    build
        Makes the relaxation of given data, for objectives of a given size [kW].
    version
        Solver and version for the result.
    """
    try:
        status, message = OuterApproximation(search, build, effort).run(start)
    except KeyboardInterrupt:
        status, message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
    return conclude(
        search.problem,
        search.engine,
        search.watch,
        configuration=search.incumbent,
        status=status,
        certificate=Certificate.AC,
        dual_bound_kw=search.bound if status is not Status.INFEASIBLE else None,
        message=message,
        nodes=search.nodes,
        engine_version=version,
        settings=search.settings,
    )


class OuterApproximation:
    """The rounds on a problem.

    Parameters
    ----------
    search
        What is known; it is updated on the way, so that an interrupt loses nothing.
    build
        Makes the relaxation of given data, for objectives of a given size [kW].
    effort
        Effort of its parts.
    """

    def __init__(self, search: Search, build: Callable[[DistFlowData, float], Relaxation], effort: Effort) -> None:
        self.search, self._build, self.effort = search, build, effort
        self._excluded: list[Configuration] = []

    def run(self, start: Configuration | None) -> End:
        """Status and message; the search holds the rest."""
        search, effort = self.search, self.effort
        with search.watch.stage("incumbent"):
            rng = np.random.default_rng(search.options.seed)
            found = find_incumbent(search.problem, start, rng, effort.random_starts, 0.2 * search.limit, search.watch)
            settings = None
            settled = None
            if search.problem.controls and found is not None:
                settled = settle_from_each_step(search.problem, found)
            if settled is not None:
                found, settings, _ = settled
            search.offer(found, settings)
        while True:
            if search.incumbent is not None:
                found, settings = search.incumbent, search.settings
            if (end := self._prove(found, settings)) is not None:
                return end

    def _prove(self, point: Configuration | None, settings: Settings | None) -> End | None:
        """Rounds from the incumbent as it is; None where a first incumbent was found, to start over with it."""
        search, effort, watch = self.search, self.effort, self.search.watch
        problem, late = search.problem, search.incumbent is None
        # What the fixings exclude has at least this objective, so no bound may claim more.
        ceiling, reduced = math.inf, problem
        if effort.probing and search.incumbent is not None and not problem.controls:
            with watch.stage("fix"):
                ceiling = search.cutoff
                reduced = fix_by_bounds(problem, search.incumbent, ceiling / problem.network.base.kw)
        if (reduced.contradictions or not reduced.free.any()) and not problem.controls:
            return self._without_choice(reduced, ceiling)
        with watch.stage("build"):
            data = DistFlowData.of(reduced, search.objective / problem.network.base.kw)
            size = search.objective if not late else 0.05 * float(np.abs(problem.p).sum()) * problem.network.base.kw
            model = self._build(data, size)
            tangents = Tangents(data.arcs, model.add_tangents, model.cuttable)
            points, applied = [], problem.applied(settings)
            if point is not None and model.takes_tangents:
                points = [point, *LocalSearch(applied).neighbours(point, effort.neighbours)]
            for configuration in points:
                if (flow := power_flow(applied, configuration)).converged:
                    tangents.at_power_flow(flow, applied.network)
            for configuration in self._excluded:
                model.exclude(configuration)
        # A squared current that is off by this much changes no loss by more than a tenth of the gap.
        resistance = max(float(problem.network.r.sum()), 1e-9)
        tolerance = 0.1 * search.gap * size / problem.network.base.kw / resistance

        def raise_bound(value: float, nodes: int = 0) -> None:
            value = min(value, ceiling)
            if data.bounds.proven:
                search.raise_bound(value - effort.rounding * abs(value), nodes)

        def heard(bound: float, nodes: int) -> None:
            raise_bound(min(bound, search.cutoff), nodes)

        if model.takes_tangents:
            with watch.stage("root"):
                end = self._root(model, tangents, tolerance, data, reduced, raise_bound)
            if end is not None:
                return end
        while not search.closed:
            if search.remaining <= 0:
                return search.stopped, f"Time limit of {search.limit:g} s reached."
            cutoff = search.cutoff
            with watch.stage("milp"):
                gap = effort.mip_gap_share * search.gap
                run = model.solve(cutoff, gap, search.remaining, math.isinf(cutoff), heard)
                search.nodes += run.nodes
            raise_bound(min(run.bound, cutoff))
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.FAILED:
                return search.stopped, "The solver reported an error; the result is what was known before."
            if run.outcome is Outcome.INFEASIBLE:
                if math.isinf(cutoff):
                    return self._infeasible_model(data)
                break  # nothing is left below the cutoff
            if run.values is None:
                continue
            with watch.stage("tangents"):
                learned = self._learn(model, tangents, tolerance, run)
            if not learned and not search.closed:
                return search.stopped, "The relaxation of the controls is met: no tangent cuts deeper."
            if late and search.incumbent is not None:
                return None
        if not data.bounds.proven:
            return search.stopped, f"No certificate: {data.bounds.reason}."
        if not search.closed:
            return search.stopped, "The solver's tolerances leave a larger gap than asked for."
        return Status.OPTIMAL, f"AC optimum within a gap of {search.gap:g}."

    def _root(
        self,
        model: Relaxation,
        tangents: Tangents,
        tolerance: float,
        data: DistFlowData,
        reduced: ReconfigurationProblem,
        raise_bound: Callable[[float], None],
    ) -> End | None:
        """Tangents at solutions of the linear relaxation, as long as they raise its bound."""
        search, effort, previous = self.search, self.effort, -math.inf
        for _ in range(effort.root_rounds):
            run = model.solve_relaxation(search.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                if search.incumbent is None or reduced.admits(search.incumbent):
                    return self._infeasible_model(data)
                raise_bound(search.cutoff)
                return None  # the fixings excluded the incumbent, and nothing else is left
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                return None
            raise_bound(run.bound)
            added = tangents.at_values(*model.arc_values(run), tolerance) + model.cut_ratings(run)
            if search.closed or not added or run.bound < previous + effort.root_progress * abs(run.bound):
                return None
            previous = run.bound
        return None

    def _learn(self, model: Relaxation, tangents: Tangents, tolerance: float, run: SolverRun) -> bool:
        """Evaluate what a solution proposes, improve it, and cut the solution off; False where that cannot be done."""
        search, problem = self.search, self.search.problem
        added = tangents.at_values(*model.arc_values(run), tolerance) if model.takes_tangents else 0
        added += model.cut_ratings(run)
        proposal, settings = model.proposal(run), model.settings(run)
        repeated = (proposal, settings) in search.seen
        applied = problem.applied(settings)
        flow = power_flow(applied, proposal)
        if flow.converged and model.takes_tangents:
            added += tangents.at_power_flow(flow, applied.network)
        search.offer(proposal, settings)
        if problem.controls:
            if flow.converged and (settled := settle(problem, proposal, settings)) is not None:
                search.offer(*settled[:2])
                better = problem.applied(settled[1])
                if (flow := power_flow(better, settled[0])).converged:
                    added += tangents.at_power_flow(flow, better.network)
            return added > 0  # other settings of this configuration may still be better: it cannot be cut off
        if flow.converged and (improved := LocalSearch(problem).improve(proposal)) is not None:
            search.offer(improved[0])
        if repeated or not flow.converged or not added:
            # It has been evaluated: it is infeasible, or its objective is known to the incumbent.
            model.exclude(proposal)
            self._excluded.append(proposal)
        return True

    def _without_choice(self, reduced: ReconfigurationProblem, ceiling: float) -> End:
        """Nothing is left to decide: the judge has the last word on the only configuration."""
        search = self.search
        if search.incumbent is not None:
            if not reduced.contradictions:
                search.offer(radial_start(reduced))
            if math.isinf(ceiling):
                search.raise_bound(search.objective)
                return Status.OPTIMAL, "The only radial configuration."
            bound = min(ceiling, search.objective)
            search.raise_bound(bound - self.effort.rounding * abs(bound))
            return Status.OPTIMAL, f"AC optimum within a gap of {search.gap:g}, by bounds alone."
        only = radial_start(reduced)
        evaluation = evaluate(search.problem, only)
        reasons = "; ".join([*search.problem.faults(only), *evaluation.violations][:3])
        proven = evaluation.converged or not search.problem.admits(only)
        status = Status.INFEASIBLE if proven else Status.NO_SOLUTION
        return status, f"The only radial configuration is not feasible: {reasons}."

    def _infeasible_model(self, data: DistFlowData) -> End:
        if self.search.incumbent is not None:
            # Rounding of the solver: the incumbent is a point of the model.
            return self.search.stopped, "The relaxation became infeasible by rounding; nothing further is proven."
        if not data.bounds.proven:
            return Status.NO_SOLUTION, f"No configuration was found; {data.bounds.reason}."
        return (
            Status.INFEASIBLE,
            "No radial configuration respects the limits: a relaxation of the problem is infeasible.",
        )
