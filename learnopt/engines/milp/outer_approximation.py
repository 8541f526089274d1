"""Outer approximation: the one loop of tangents, bounds and AC incumbents, for every solver of its relaxations.

Switches whose other state is proven too dear are fixed first (:mod:`learnopt.engines.tree.probing`). Rounds: tangents
at the AC points of the incumbent and of its best neighbours; a cut loop on the linear relaxation; then the
mixed-integer model with the incumbent as cutoff, tangents at its solution and at the AC point of the configuration it
proposes, until nothing below the cutoff is left. Every round's dual bound is a lower bound of the AC objective
(:mod:`learnopt.formulations.distflow`); every configuration proposed is evaluated by AC power flow. A search that finds
its first incumbent on the way starts over with it: the constants then hold for a finite loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from learnopt.engines.base import conclude, unsettled
from learnopt.engines.dispatch import settle, settle_from_each_step
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start, random_start
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.outer_model import Relaxation, SettableRelaxation
from learnopt.engines.milp.rounding import least_of, round_relaxation
from learnopt.engines.milp.search_state import Search
from learnopt.engines.milp.tangents import Tangents
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.network import Certificate, Configuration, Floats, ReconfigurationProblem, Result, Settings, Status
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import evaluate, power_flow

SAMPLE_NOISE = 0.6
"""Largest random weight added to the share by which the relaxation closes a branch, where trees are sampled."""


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
    spacing
        Least relative distance between these tangents of one arc: fewer rows make quicker nodes.
    sampled_trees
        With generation, capacitors or charging: trees sampled around the linear relaxation whose AC points get
        tangents before the first mixed-integer round. What the relaxation proposes there is far from the incumbent.
    proposals
        With controls: configurations of the relaxation that are tried while none is admissible.
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
    spacing: float = 0.03
    sampled_trees: int = 60
    proposals: int = 100
    root_rounds: int = 40
    root_progress: float = 2e-4
    mip_gap_share: float = 0.2
    rounding: float = 1e-7


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
        gap=search.asked,
        certificate=Certificate.AC,
        dual_bound_kw=search.bound if status is not Status.INFEASIBLE else None,
        message=message,
        nodes=search.nodes,
        engine_version=version,
        settings=search.settings,
    )


def _grow(model: Relaxation, tangents: Tangents, tolerance: float, run: SolverRun) -> int:
    """Append tangents where a solution lies outside the cone of a current or the rating of a generator; how many."""
    added = tangents.at_values(*model.arc_values(run), tolerance) if model.takes_tangents else 0
    return added + model.cut_ratings(run)


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
        self._proven = False

    def run(self, start: Configuration | None) -> End:
        """Status and message; the search holds the rest."""
        search, effort = self.search, self.effort
        with search.watch.stage("incumbent"):
            rng = np.random.default_rng(search.options.seed)
            found = find_incumbent(search.problem, start, rng, effort.random_starts, search.limit, search.watch)
            settings = None
            settled = None
            if search.problem.controls and found is not None:
                settled = settle_from_each_step(search.problem, found)
            if settled is not None:
                found, settings, _ = settled
            search.offer(found, settings)
            if search.problem.controls:
                self._more_starts(rng)
        while True:
            if search.incumbent is not None:
                found, settings = search.incumbent, search.settings
            if (end := self._prove(found, settings)) is not None:
                return end

    def _more_starts(self, rng: np.random.Generator) -> None:
        """Switches and controls improved in turns from random trees, until something is admissible."""
        search = self.search
        for _ in range(self.effort.random_starts):
            if search.incumbent is not None or search.remaining <= 0:
                return
            if (settled := settle(search.problem, random_start(search.problem, rng))) is not None:
                search.offer(*settled[:2])

    def _prove(self, point: Configuration | None, settings: Settings | None) -> End | None:
        """Rounds from the incumbent as it is; None where a first incumbent was found, to start over with it."""
        search, effort, watch = self.search, self.effort, self.search.watch
        problem, late = search.problem, search.incumbent is None
        if problem.controls and not late:  # what was left aside to find an incumbent is looked at again
            self._excluded.clear()
            search.cap = math.inf
        # What the fixings exclude has at least this objective, so no bound may claim more.
        ceiling, reduced = math.inf, problem
        if effort.probing and search.incumbent is not None and not problem.controls:
            with watch.stage("fix"):
                ceiling = search.cutoff
                reduced = fix_by_bounds(problem, search.incumbent, ceiling / problem.network.base.kw)
        if (reduced.contradictions or not reduced.free.any()) and not problem.controls:
            if (end := self._without_choice(reduced, ceiling)) is not None:
                return end
            ceiling, reduced = math.inf, problem
        with watch.stage("build"):
            data = DistFlowData.of(reduced, search.objective / problem.network.base.kw)
            size = search.objective if not late else 0.05 * float(np.abs(problem.p).sum()) * problem.network.base.kw
            model = self._build(data, size)
            self._proven = data.bounds.proven
            tangents = Tangents(data.arcs, model.add_tangents, model.cuttable)
            if point is not None and model.takes_tangents:
                self._touch_around(tangents, point, settings)
            for configuration in self._excluded:
                model.exclude(configuration)
        # A squared current that is off by this much changes no loss by more than a tenth of the gap.
        resistance = max(float(problem.network.r.sum()), 1e-300)
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
            if over := search.over:
                return search.stopped, over
            cutoff = search.cutoff
            with watch.stage("milp"):
                gap = effort.mip_gap_share * search.gap
                run = model.solve(cutoff, gap, search.remaining, math.isinf(cutoff), heard, search.nodes_left)
                search.nodes += run.nodes if search.nodes_left is None else max(run.nodes, 1)
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
            return search.stopped, search.doubt or "The solver's tolerances leave a larger gap than asked for."
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
            added = _grow(model, tangents, tolerance, run)
            if search.closed or not added or run.bound < previous + effort.root_progress * abs(run.bound):
                break
            previous = run.bound
        unfinished = not search.closed and search.remaining > 0
        if unfinished and search.problem.controls and isinstance(model, SettableRelaxation):
            known, grow = search.incumbent, partial(_grow, model, tangents, tolerance)
            round_relaxation(search, model, run, grow, effort.root_rounds)
            if search.incumbent is not None and search.incumbent is not known:
                self._touch_around(tangents, search.incumbent, search.settings)
        elif unfinished and isinstance(model, SettableRelaxation) and mixed_signs(reduced):
            self._touch_samples(tangents, model.closed_share(run), reduced)
        return None

    def _touch_samples(self, tangents: Tangents, share: Floats, reduced: ReconfigurationProblem) -> None:
        """Tangents at the AC points of trees of large shares in the relaxation, perturbed so that they differ."""
        net, rng = reduced.network, np.random.default_rng(self.search.options.seed)
        for _ in range(self.effort.sampled_trees):
            weight = share + SAMPLE_NOISE * rng.random(len(share))
            tree = Configuration(maximum_spanning_tree(net, reduced.usable, weight, reduced.must_close))
            if (flow := power_flow(reduced, tree)).converged:
                tangents.at_power_flow(flow, net, self.effort.spacing)

    def _touch_around(self, tangents: Tangents, point: Configuration, settings: Settings | None) -> None:
        """Tangents at the AC points of a configuration and of its best neighbours."""
        applied, effort = self.search.problem.applied(settings), self.effort
        for configuration in (point, *LocalSearch(applied).neighbours(point, effort.neighbours)):
            if (flow := power_flow(applied, configuration)).converged:
                spacing = 0.0 if configuration is point else effort.spacing
                tangents.at_power_flow(flow, applied.network, spacing)

    def _learn(self, model: Relaxation, tangents: Tangents, tolerance: float, run: SolverRun) -> bool:
        """Evaluate what a solution proposes, improve it, and cut the solution off; False where that cannot be done."""
        search, problem = self.search, self.search.problem
        grow = partial(_grow, model, tangents, tolerance)
        added = grow(run)
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
            return added > 0 or self._go_on_without(model, grow, proposal)
        if flow.converged and (improved := LocalSearch(problem).improve(proposal)) is not None:
            search.offer(improved[0])
        if repeated or not flow.converged or not added:
            # It has been evaluated: it is infeasible, or its objective is known to the incumbent; or it is not settled.
            if proposal in search.doubted:
                search.leave_aside(self._least(model, grow, proposal))
            model.exclude(proposal)
            self._excluded.append(proposal)
        return True

    def _go_on_without(self, model: Relaxation, cut: Callable[[SolverRun], int], proposal: Configuration) -> bool:
        """Leave a configuration aside of which no admissible setting was found, while there is no incumbent at all.

        Other settings of it may still be admissible: the bound stays below what the relaxation proves of all of them.
        False where there is an incumbent, or it was tried often enough.
        """
        if self.search.incumbent is not None or len(self._excluded) >= self.effort.proposals:
            return False
        self.search.leave_aside(self._least(model, cut, proposal))
        model.exclude(proposal)
        self._excluded.append(proposal)
        return True

    def _least(self, model: Relaxation, cut: Callable[[SolverRun], int], proposal: Configuration) -> float:
        """What the relaxation proves of one configuration alone [kW]: infinite where it has none that matters."""
        if not (self._proven and isinstance(model, SettableRelaxation)):
            return -math.inf
        bound = least_of(model, proposal, cut, self.effort.root_rounds, lambda: self.search.remaining)
        return bound - self.effort.rounding * abs(bound) if math.isfinite(bound) else bound

    def _without_choice(self, reduced: ReconfigurationProblem, ceiling: float) -> End | None:
        """Nothing is left to decide: the judge has the last word on the only configuration.

        None where it does not settle the one that fixings have left.
        """
        search = self.search
        if search.incumbent is not None:
            if not reduced.contradictions:
                search.offer(only := radial_start(reduced))
                if only in search.doubted:
                    return None
            if math.isinf(ceiling):
                search.raise_bound(search.objective)
                return Status.OPTIMAL, "The only radial configuration."
            bound = min(ceiling, search.objective)
            search.raise_bound(bound - self.effort.rounding * abs(bound))
            return Status.OPTIMAL, f"AC optimum within a gap of {search.gap:g}, by bounds alone."
        only = radial_start(reduced)
        evaluation = evaluate(search.problem, only)
        reasons = "; ".join([*search.problem.faults(only), *evaluation.violations][:3])
        status = Status.NO_SOLUTION if unsettled(search.problem, only, evaluation) else Status.INFEASIBLE
        return status, f"The only radial configuration is not feasible: {reasons}."

    def _infeasible_model(self, data: DistFlowData) -> End:
        if self.search.incumbent is not None:
            # Rounding of the solver: the incumbent is a point of the model.
            return self.search.stopped, "The relaxation became infeasible by rounding; nothing further is proven."
        if not data.bounds.proven:
            return Status.NO_SOLUTION, f"No configuration was found; {data.bounds.reason}."
        if doubt := self.search.doubt:
            return Status.NO_SOLUTION, f"No configuration was found. {doubt}"
        return (
            Status.INFEASIBLE,
            "No radial configuration has a power flow within the limits: a relaxation of the problem is infeasible.",
        )
