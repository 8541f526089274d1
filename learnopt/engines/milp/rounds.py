"""Outer approximation: the one loop of tangents, bounds and AC incumbents, for every model and solver.

Switches whose other state is proven too dear are fixed first (:mod:`learnopt.engines.milp.ceilings`). Rounds: tangents
at the AC points of the incumbent and of its best neighbours; a cut loop on the linear relaxation; then the
mixed-integer model with the incumbent as cutoff, tangents at its solution and at the AC points of the plan it proposes,
until nothing below the cutoff is left. Every round's dual bound is a lower bound of the AC objective
(:mod:`learnopt.formulations.distflow`, :mod:`learnopt.formulations.periods`); every plan proposed is evaluated by AC
power flow. A search that finds its first incumbent on the way starts over with it: the constants then hold for a finite
loss.

One load situation, several of one decision and the periods of a horizon go through the same rounds: a plan has a
configuration for each. What is *tied*, one configuration for all, is improved by branch exchange at the mean loads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from learnopt.engines.base import PICOWATT, unsettled
from learnopt.engines.dispatch import settle
from learnopt.engines.exchange import LocalSearch, radial_start
from learnopt.engines.milp.ceilings import Ceilings
from learnopt.engines.milp.coupled import DEVICES, TIED, Coupled, Plan, follow
from learnopt.engines.milp.highs import Outcome, SolverRun
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.relaxation import LEAST_SHARE, Relaxation, SettableRelaxation
from learnopt.engines.milp.rounding import least_of, round_relaxation
from learnopt.engines.milp.starts import RANDOM_STARTS
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.network import Configuration, Floats, ReconfigurationProblem, Status
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import evaluate, power_flow

SAMPLE_NOISE = 0.6
"""Largest random weight added to the share by which the relaxation closes a branch, where trees are sampled."""
FIX_SHARE = 0.5
"""Share of the time limit after which no further switch is fixed."""
LOOK_NODES, LOOSE, WORTH = 100, 0.05, 0.002
"""Nodes of a first run without proof after which it pays to look around the incumbent, if the gap is as large as this;
and progress for which the model is made anew: its constants hold for losses up to that of the incumbent."""
IDLE = 2
"""Rounds of the cut loop in a row without progress that end it: with controls it starts from nearly nothing."""
FINE_SHARE = 0.3
"""Share of the gap by which a squared current of a proposal may lie outside the cone, where no row excludes it."""


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
        Stop the cut loop when :data:`IDLE` rounds in a row raise the bound by less than this share.
    mip_gap_share
        Gap of each mixed-integer round as a share of the requested gap: the rest is left to the tangents.
    rounding
        Relative margin taken off a bound for the tolerances of the solver.
    """

    probing: bool = True
    random_starts: int = RANDOM_STARTS
    neighbours: int = 30
    spacing: float = 0.03
    sampled_trees: int = 60
    proposals: int = 100
    root_rounds: int = 40
    root_progress: float = 2e-4
    mip_gap_share: float = 0.2
    rounding: float = 1e-7


End = tuple[Status, str]
Build = Callable[[Coupled, Sequence[ReconfigurationProblem], Floats, float, float], Relaxation]
"""Makes the relaxation of what :class:`~learnopt.engines.milp.model.JointModel` is made of."""


class Rounds:
    """The rounds on one load situation or more.

    Parameters
    ----------
    search
        What is known; it is updated on the way, so that an interrupt loses nothing.
    effort
        Effort of its parts.
    build
        Makes the relaxation.
    step_bounds_kw
        Proven bounds of the loss of each situation alone [kW], shape (n_period,); 0 where NaN or absent.
    look_around
        Looks for better plans around the incumbent; asked once, with controls, where :data:`LOOK_NODES` nodes leave a
        gap of :data:`LOOSE`.

    Attributes
    ----------
    proven
        Every constant of the models was.
    """

    def __init__(
        self,
        search: Incumbent,
        effort: Effort,
        build: Build = JointModel,
        step_bounds_kw: Floats | None = None,
        look_around: Callable[[Incumbent], None] | None = None,
    ) -> None:
        self.search, self.effort, self._build, self._look_around = search, effort, build, look_around
        self.coupled, self.controls = search.coupled, search.coupled.horizon.controls
        self.proven = True
        self._ceilings = Ceilings(search.coupled, step_bounds_kw)
        self._excluded: list[tuple[Plan, int | None]] = []
        self._ceiling = math.inf  # what fixings exclude has at least this objective, so no bound may claim more

    def run(self) -> End:
        """Status and message; the search holds the rest."""
        while True:
            if (end := self._prove()) is not None:
                return end

    def _prove(self) -> End | None:
        """Rounds from the incumbent as it is; None where a first incumbent was found, to start over with it."""
        search, effort, watch = self.search, self.effort, self.search.watch
        late = search.plan is None
        if self.controls and not late:  # what was left aside to find an incumbent is looked at again
            self._excluded.clear()
            search.cap = math.inf
        steps = self._fixed()
        if not self.controls and _decided(steps):
            if (end := self._without_choice(steps)) is not None:
                return end
            self._ceiling, steps = math.inf, self.coupled.steps
        if search.closed:
            return self._closed(", by bounds alone")
        if over := search.over:
            return search.stopped, over
        with watch.stage("build"):
            model = self._model(steps)
        if model.takes_tangents:
            with watch.stage("root"):
                end = self._root(model, steps)
            if end is not None:
                return end
        while not search.closed:
            if over := search.over:
                return search.stopped, over
            cutoff = search.cutoff
            with watch.stage("milp"):
                aim = search.gap
                gap = effort.mip_gap_share * aim
                nodes = self._nodes
                run = model.solve(cutoff, gap, search.until, math.isinf(cutoff), self._heard(model, cutoff), nodes)
                search.nodes += run.nodes if search.nodes_left is None else max(run.nodes, 1)
            self._raise_bound(model, min(run.bound, cutoff))
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.FAILED:
                return search.stopped, "The solver reported an error; the result is what was known before."
            if run.outcome is Outcome.LIMIT and not search.over and self._starts_over():
                return None
            if run.outcome is Outcome.INFEASIBLE:
                if math.isinf(cutoff):
                    return self._infeasible_model(model)
                if search.gap < aim:  # nothing is left below that cutoff, a finer gap has one nearer by
                    continue
                break  # nothing is left below the cutoff
            if run.values is None:
                continue
            with watch.stage("tangents"):
                learned = self._learn(model, run)
            if not learned and not search.closed:
                return search.stopped, "The relaxation of the controls is met: no tangent cuts deeper."
            if late and search.plan is not None:
                return None
        if model.unproven and not search.closed:
            proves = "Its model proves nothing" if math.isfinite(search.bound) else "No certificate"
            return search.stopped, f"{proves}: {model.unproven}."
        if not search.closed:
            return search.stopped, search.doubt or "The solver's tolerances leave a larger gap than asked for."
        return self._closed()

    @property
    def _nodes(self) -> int | None:
        """Most nodes of the next run: few before the look around the incumbent."""
        left = self.search.nodes_left
        if self._look_around is None or not self.controls or self.search.plan is None:
            return left
        return LOOK_NODES if left is None else min(LOOK_NODES, left)

    def _starts_over(self) -> bool:
        """Look around the incumbent where much is left to prove; whether so much was found that constants move."""
        search, look, self._look_around = self.search, self._look_around, None
        if look is None or not self.controls or search.plan is None or search.reached < LOOSE:
            return False
        known = search.objective
        with search.watch.stage("neighbourhoods"):
            look(search)
        return search.objective < known * (1 - WORTH)

    def _closed(self, how: str = "") -> End:
        """The end where the gap is closed: the one asked for, or one that is enough by now."""
        search, patience = self.search, self.search.options.patience
        if patience is not None and search.reached > search.finest:
            return search.stopped, patience.told(search.reached, search.watch.elapsed)
        return Status.OPTIMAL, f"AC optimum within a gap of {search.finest:g}{how}."

    def _fixed(self) -> tuple[ReconfigurationProblem, ...]:
        """The problem of each situation, with the switches fixed that cannot change below the cutoff."""
        search, self._ceiling = self.search, math.inf
        plan = search.plan
        if plan is None or not self.effort.probing or self.controls:
            return self.coupled.steps
        with search.watch.stage("fix"):
            if not self.coupled.tied:
                self._bound_alone(plan)
            self._ceiling, end = search.below(search.finest), FIX_SHARE * search.limit
            return self._ceilings.fixed(plan, self._ceiling, lambda: search.watch.elapsed < end, self._proves)

    def _proves(self, value: float) -> None:
        """Take a bound of the tree search on all situations together."""
        self.search.raise_bound(value - self.effort.rounding * abs(value))

    @property
    def _slack(self) -> float:
        """The objective of the incumbent, a little rounded up."""
        return self.search.objective + 1e-6 * abs(self.search.objective) + PICOWATT

    def _bound_alone(self, plan: Plan) -> None:
        """Bounds of each of several situations alone, where none are known: their sum leaves less room for each."""
        if self.coupled.horizon.n_steps > 1 and not self.coupled.worst and not self._ceilings.bounds.any():
            self._ceilings.bound_periods(plan, self._slack, self.search.watch, self.search.limit)

    def _model(self, steps: Sequence[ReconfigurationProblem]) -> Relaxation:
        """The model for what is at most as dear as the incumbent, with tangents around it."""
        search, plan = self.search, self.search.plan
        if plan is not None:
            self._bound_alone(plan)
        losses = self._ceilings.losses_kw(self._slack)
        model = self._build(self.coupled, steps, losses, search.objective, search.finest)
        self.proven = self.proven and not model.unproven
        if plan is not None and model.takes_tangents:
            self._touch_around(model, plan)
        for excluded, t in self._excluded:
            model.exclude(excluded, t)
        return model

    def _raise_bound(self, model: Relaxation, value: float, nodes: int = 0) -> None:
        value = min(value, self._ceiling)
        if not model.unproven:
            self.search.raise_bound(value - self.effort.rounding * abs(value), nodes)

    def _heard(self, model: Relaxation, cutoff: float) -> Callable[[float, int], None]:
        """Takes bounds and nodes from inside a run, which knows nothing of what is above its cutoff."""
        return lambda bound, nodes: self._raise_bound(model, min(bound, cutoff), nodes)

    def _root(self, model: Relaxation, steps: Sequence[ReconfigurationProblem]) -> End | None:
        """Tangents at solutions of the linear relaxation, as long as they raise its bound."""
        search, effort, previous, idle = self.search, self.effort, -math.inf, 0
        for _ in range(effort.root_rounds):
            run = model.solve_relaxation(search.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                plan = search.plan
                if plan is None or all(s.admits(c) for s, c in zip(steps, plan.configurations, strict=True)):
                    return self._infeasible_model(model)
                self._raise_bound(model, search.cutoff)
                return None  # the fixings excluded the incumbent, and nothing else is left
            if run.values is None or run.outcome is not Outcome.OPTIMAL:
                return None
            self._raise_bound(model, run.bound)
            added = model.cut(run)
            idle = idle + 1 if run.bound < previous + effort.root_progress * abs(run.bound) else 0
            if search.closed or not added or idle == IDLE:
                break
            previous = run.bound
        unfinished = not search.closed and search.remaining > 0 and self.coupled.tied
        if unfinished and self.controls and isinstance(model, SettableRelaxation):
            known = search.plan
            round_relaxation(search, model, run, effort.root_rounds)
            if search.plan is not None and search.plan is not known:
                self._touch_around(model, search.plan)
        elif unfinished and isinstance(model, SettableRelaxation) and any(map(mixed_signs, steps)):
            self._touch_samples(model, model.closed_share(run)[0], steps)
        return None

    def _touch_samples(self, model: Relaxation, share: Floats, steps: Sequence[ReconfigurationProblem]) -> None:
        """Tangents at the AC points of trees of large shares in the relaxation, perturbed so that they differ."""
        first, rng = steps[0], np.random.default_rng(self.search.options.seed)
        for _ in range(self.effort.sampled_trees):
            if self.search.remaining <= 0:
                return
            weight = share + SAMPLE_NOISE * rng.random(len(share))
            tree = Configuration(maximum_spanning_tree(first.network, first.usable, weight, first.must_close))
            for t, step in enumerate(steps):
                model.touch(t, power_flow(step, tree), step.network, self.effort.spacing)

    def _touch_around(self, model: Relaxation, plan: Plan) -> None:
        """Tangents at the AC points of a plan and of the best neighbours of its configurations."""
        effort, steps, near = self.effort, self.coupled.steps, []
        if self.coupled.tied:
            mean = self.coupled.together.mean.applied(plan.settings[:1])
            near = [LocalSearch(mean).neighbours(plan.configurations[0], effort.neighbours)] * len(steps)
        for t, step in enumerate(steps):
            applied = plan.applied(step, t)
            own = plan.configurations[t]
            model.touch(t, power_flow(applied, own), applied.network)
            if not self.coupled.tied:
                near.append(LocalSearch(applied.replace(max_operations=None)).neighbours(own, effort.neighbours))
            for configuration in near[t]:
                if self.search.remaining <= 0:
                    return
                model.touch(t, power_flow(applied, configuration), applied.network, effort.spacing)

    def _touch(self, model: Relaxation, plan: Plan) -> tuple[int, bool]:
        """Tangents at the AC points of a plan; how many are new, and whether it has a power flow everywhere."""
        added, solved = 0, True
        for t, step in enumerate(self.coupled.steps):
            applied = plan.applied(step, t)
            flow = power_flow(applied, plan.configurations[t])
            solved = solved and flow.converged
            if model.takes_tangents:
                added += model.touch(t, flow, applied.network)
        return added, solved

    def _learn(self, model: Relaxation, run: SolverRun) -> bool:
        """Evaluate what a solution proposes, improve it, and cut the solution off; False where that cannot be done."""
        search, tied, fine = self.search, self.coupled.tied, FINE_SHARE * self.search.gap
        added = model.cut(run, LEAST_SHARE if tied else min(fine, LEAST_SHARE))
        proposal = model.proposal(run)
        repeated = proposal in search.seen
        touched, solved = self._touch(model, proposal)
        added += touched
        search.offer(proposal)
        if self.controls:
            for better in self._improved(proposal):
                search.offer(better)
                added += self._touch(model, better)[0]
            added = added or model.cut(run, fine)
            return added > 0 or self._go_on_without(model, proposal)
        if tied and solved:
            mean, seconds = self.coupled.together.mean, search.remaining
            improved = LocalSearch(mean).improve(proposal.configurations[0], seconds=seconds)
            search.offer(None if improved is None else self.coupled.served(improved[0], None))
        # What has been judged is infeasible, or its objective is known to the incumbent; or it is not settled.
        places = list(enumerate(proposal.configurations))
        refused = [t for t, configuration in places if (t, configuration) in search.refused]
        for t in refused[:1] if tied else refused:
            if any(place in search.doubted for place in (places if tied else places[t : t + 1])):
                search.leave_aside(self._least(model, proposal, t))
            self._exclude(model, proposal, t)
        if not refused and (repeated or not added or not solved):
            self._exclude(model, proposal, None)
        return True

    def _improved(self, plan: Plan) -> list[Plan]:
        """The plan with its controls settled, and where they are one decision also its switches in turns with them."""
        if not self.coupled.tied:
            return [follow(self.coupled.horizon, plan, DEVICES)]
        found = [follow(self.coupled.horizon, plan, TIED)] if self.coupled.horizon.n_steps > 1 else []
        mean, goes_on = self.coupled.together.mean, lambda: self.search.remaining > 0
        settled = settle(mean, plan.configurations[0], plan.settings[0], goes_on)
        return found if settled is None else [*found, self.coupled.served(*settled[:2])]

    def _go_on_without(self, model: Relaxation, proposal: Plan) -> bool:
        """Leave a plan aside of which no admissible setting was found, while there is no incumbent at all.

        Other settings of it may still be admissible: the bound stays below what the relaxation proves of all of them.
        False where there is an incumbent, or it was tried often enough.
        """
        if self.search.plan is not None or len(self._excluded) >= self.effort.proposals:
            return False
        self.search.leave_aside(self._least(model, proposal, None))
        self._exclude(model, proposal, None)
        return True

    def _exclude(self, model: Relaxation, plan: Plan, t: int | None) -> None:
        model.exclude(plan, t)
        self._excluded.append((plan, t))

    def _least(self, model: Relaxation, plan: Plan, t: int | None) -> float:
        """What the relaxation proves of a plan alone, or of one of its configurations: infinite where it has none."""
        if model.unproven or not isinstance(model, SettableRelaxation):
            return -math.inf
        bound = least_of(model, plan, t, self.effort.root_rounds, lambda: self.search.remaining)
        return bound - self.effort.rounding * abs(bound) if math.isfinite(bound) else bound

    def _without_choice(self, steps: Sequence[ReconfigurationProblem]) -> End | None:
        """Nothing is left to decide: the judge has the last word on the only plan.

        None where it does not settle the one that fixings have left, and where rules over time have a say.
        """
        search, coupled = self.search, self.coupled
        possible = not any(step.contradictions for step in steps)
        only = Plan(tuple(radial_start(step) for step in steps)) if possible else None
        if search.plan is not None:
            search.offer(only)
            if only is not None and any(place in search.doubted for place in enumerate(only.configurations)):
                return None
            if math.isinf(self._ceiling):
                search.raise_bound(search.objective)
                return Status.OPTIMAL, "The only radial configuration."
            bound = min(self._ceiling, search.objective)
            search.raise_bound(bound - self.effort.rounding * abs(bound))
            return self._closed(", by bounds alone")
        if only is None or not coupled.tied:
            return None
        problem, configuration = coupled.together, only.configurations[0]
        evaluation = evaluate(problem, configuration)
        reasons = "; ".join([*problem.faults(configuration), *evaluation.violations][:3])
        status = Status.NO_SOLUTION if unsettled(problem, configuration, evaluation) else Status.INFEASIBLE
        return status, f"The only radial configuration is not feasible: {reasons}."

    def _infeasible_model(self, model: Relaxation) -> End:
        if self.search.plan is not None:
            # Rounding of the solver: the incumbent is a point of the model.
            return self.search.stopped, "The relaxation became infeasible by rounding; nothing further is proven."
        if model.unproven:
            return Status.NO_SOLUTION, f"No configuration was found; {model.unproven}."
        if doubt := self.search.doubt:
            return Status.NO_SOLUTION, f"No configuration was found. {doubt}"
        return (
            Status.INFEASIBLE,
            "No radial configuration has a power flow within the limits: a relaxation of the problem is infeasible.",
        )


def _decided(steps: Sequence[ReconfigurationProblem]) -> bool:
    """No configuration is left, or no switch is."""
    return any(step.contradictions for step in steps) or not any(step.free.any() for step in steps)
