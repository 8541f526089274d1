"""The plan: most load first, then fewest operations, then least loss, each proven or bounded.

Where everything within reach can be supplied within the limits, what is asked is a reconfiguration of what the fault
leaves: it is solved under rising caps on operations, and a cap that is proven too low is a proof that more are needed.

Where it cannot, forests are grown from the sources (:mod:`learnopt.studies.restoration.growth`), where the network has
nothing but loads and impedances and they end in time.

Else the relaxation of the extended network (:mod:`learnopt.formulations.restoration`) proposes which zones to supply,
and bounds all others. The judge looks at what it proposes; where that is not within the limits the engines say whether
anything with supply for the same zones is, and if not this set of zones is cut off. Every set is proposed once at most,
so this ends. A set that no power flow settles stays below the bound: it is never counted as impossible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.base import conclude
from learnopt.engines.clock import Stopwatch
from learnopt.engines.exchange import find_incumbent
from learnopt.engines.milp.highs import Outcome
from learnopt.engines.milp.restoring import RestorationModel
from learnopt.formulations.restoration import Aim, Service
from learnopt.network import Bools, Certificate, Configuration, Floats, ReconfigurationProblem, Result, Status
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.network.part import Part
from learnopt.network.topology import DisjointSets, merged_nodes
from learnopt.physics import evaluate, power_flow
from learnopt.studies.configuration.solve import solve
from learnopt.studies.restoration.first_plan import FirstPlan, capacity_bound
from learnopt.studies.restoration.growth import Grown, Growth
from learnopt.studies.restoration.outage import Outage
from learnopt.studies.restoration.virtual_root import Extended, extended, lossless

TOLERANCE = 1e-6
"""Relative to all load, what counts as equal load; relative to the loss, what counts as equal loss."""
REPEATS = 3
"""Times that the relaxation may propose the same zones, with new tangents, before the engines are asked about them."""
STARTS = 5
"""Random trees from which branch exchange looks for full service."""
TURNS = 5
"""Times that the first plan makes room for more load."""
ANY_PLAN = 1.0
"""Gap at which an engine stops with the first plan that it finds."""


class Second(StrEnum):
    """What counts after the load."""

    OPERATIONS = "operations"
    """Fewest operations, then least loss."""
    LOSS = "loss"
    """Least loss, whatever the operations."""


@dataclass(frozen=True)
class Target:
    """One of the objectives: what was reached, and what is proven of it.

    Parameters
    ----------
    value
        Load not served [kW, times priority], operations, or loss [kW]; None without a plan.
    bound
        No plan that is as good in the objectives before has less; None where nothing is proven.
    proven
        The two meet.
    """

    value: float | None = None
    bound: float | None = None
    proven: bool = False


@dataclass(frozen=True, eq=False)
class Found:
    """A plan and its proofs.

    Parameters
    ----------
    closed
        States of the branches within reach, None without a plan.
    served
        Buses within reach that have supply, shape (n_bus of ``Outage.reach``,).
    unserved, operations, loss
        The three objectives. Operations are those of restoring; isolating is the same in every plan.
    certificate
        Of the bounds together.
    status
        ``optimal`` where all three are proven.
    message
        How it was found, and what is missing.
    runs
        Problems that the engines solved.
    """

    closed: Bools | None
    served: Bools
    unserved: Target
    operations: Target
    loss: Target
    certificate: Certificate
    status: Status
    message: str
    runs: int = 0


@dataclass(eq=False)
class _Plan:
    """The best plan so far."""

    closed: Bools
    served: Bools
    """Zones, shape (n_zone,)."""
    operations: int
    loss_kw: float


@dataclass(eq=False)
class RestorationSearch:
    """One search; see the module.

    Parameters
    ----------
    outage
        What the fault leaves.
    second
        What counts after the load.
    time_limit
        Seconds; the best plan by then is returned with what is proven.
    """

    outage: Outage
    second: Second = Second.OPERATIONS
    time_limit: float | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    def __post_init__(self) -> None:
        self.reach = self.outage.reach
        self.problem: ReconfigurationProblem = self.reach.problem
        self.zone = self.outage.zones
        self.n_zone = int(self.zone.max(initial=-1)) + 1
        value = self.outage.value_kw[self.reach.buses]
        inside = self.zone >= 0
        self.value_kw: Floats = np.zeros(self.n_zone)
        np.add.at(self.value_kw, self.zone[inside], value[inside])
        self.total_kw = float(value.sum())
        self.least_kw = TOLERANCE * max(self.total_kw, 1e-9)
        self.plan: _Plan | None = None
        self.runs = 0
        self.said: list[str] = []
        self.model_only = False
        """Some proof is one of the calibrated-current model only."""
        self._extended: Extended | None = None

    def run(self) -> Found:
        """Search for the plan."""
        if not len(self.reach.problem.network.substations):
            none = Target(0.0, 0.0, True)
            nothing = np.zeros(len(self.reach.buses), dtype=bool)
            no_branch = np.zeros(len(self.reach.branches), dtype=bool)
            said = "No source is left: nothing can be supplied before the repair."
            return Found(no_branch, nothing, none, none, none, Certificate.AC, Status.OPTIMAL, said)
        everything = np.ones(self.n_zone, dtype=bool)
        why = self._extend() if self.n_zone else ""
        with self.watch.stage("first plan"):
            self._first_plan()
        if why or self._seems_served():
            with self.watch.stage("full service"):
                operations, loss, status = self._best(everything)
            if self.plan is not None and self.plan.served.all():
                return self._found(Target(0.0, 0.0, True), operations, loss)
            if status is Status.INFEASIBLE and not self.n_zone:
                return self._nothing("What no switch parts from the sources is outside the limits.", status)
            if why:
                said = f"Partial service is not searched for: the network has {why}."
                if self.plan is not None:
                    self.said.append(said)
                    return self._found(Target(self._unserved(self.plan.served), 0.0), Target(), Target())
                return self._nothing(f"Not everything can be supplied. {said}", Status.NO_SOLUTION)
        with self.watch.stage("partial service"):
            return self._partial()

    def _first_plan(self) -> None:
        """A plan before anything is proven; where not all fits, branch exchange makes room for more in turn."""
        self._grow(self.outage.isolated.closed[self.reach.branches] & self.problem.usable)
        for _ in range(TURNS):
            plan = self.plan
            if plan is None or plan.served.all() or self.problem.contradictions or self.remaining <= 0:
                return
            part, _apart = self._part(plan.served)
            start, rng = Configuration(plan.closed[part.branches]), np.random.default_rng(0)
            found = find_incumbent(part.problem.mean, start, rng, 0, self.remaining)
            if found is None:
                return
            closed = plan.closed.copy()
            closed[part.branches] = found.closed
            self._grow(closed)
            better = self.plan
            if better is None or self._unserved(better.served) >= self._unserved(plan.served) - self.least_kw:
                return

    def _grow(self, standing: Bools) -> None:
        """Plans that grow from a state."""
        FirstPlan(
            self.problem,
            self.zone,
            self.value_kw,
            standing,
            lambda closed, served: self._judged(Configuration(closed), served),
            lambda: self.remaining > 0,
        ).grow()

    def _seems_served(self) -> bool:
        """The first plan or branch exchange supplies everything within the limits, or nothing can be left out."""
        rng = np.random.default_rng(0)
        if not self.n_zone or self.problem.contradictions:
            return True
        if self.plan is not None and self.plan.served.all():
            return True
        if capacity_bound(self.problem, self.zone, self.value_kw) > 2 * self.least_kw:
            return False
        if self.remaining <= 0:
            return False
        found = find_incumbent(self.problem.mean, None, rng, STARTS, self.remaining)
        return found is not None and self._judged(found, np.ones(self.n_zone, dtype=bool))

    def _extend(self) -> str:
        """Make the extended network; why there is none."""
        heaviest = max(self.problem.members, key=lambda member: float(np.abs(member.p).sum()))
        radial = without_fixed_loops(heaviest)
        if radial is None:
            return "loops that no switch opens"
        if self._extended is None:
            self._extended = extended(radial, self.zone)
        return "" if self._extended is not None else "a zone without power flow of its own"

    # Supply for a given set of zones.

    def _part(self, served: Bools) -> tuple[Part, int]:
        """The problem of the zones with supply, and the operations that part them from the others."""
        buses = np.append(served, True)[self.zone]
        net = self.problem.network
        ends = buses[net.from_bus], buses[net.to_bus]
        cut = ~net.normally_open & ~self.problem.out_of_service & (ends[0] != ends[1])
        return Part.of(self.problem, buses, ends[0] & ends[1]), int(cut.sum())

    def _solve(self, problem: ReconfigurationProblem, gap: float | None = None) -> Result:
        self.runs += 1
        left = None if self.time_limit is None else max(self.remaining, 1e-3)
        result = solve(problem, options=SolveOptions(time_limit=left, gap=gap))
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return result

    @property
    def remaining(self) -> float:
        """Seconds left."""
        return math.inf if self.time_limit is None else self.time_limit - self.watch.elapsed

    def _best(self, served: Bools, most: int | None = None) -> tuple[Target, Target, Status]:
        """The best plan for some zones becomes the plan where it is better; operations, loss, and how it ended.

        Parameters
        ----------
        most
            Only plans of at most so many operations are of interest.
        """
        part, apart = self._part(served)
        cap = None if most is None else most - apart
        if cap is not None and cap < 0:
            return Target(), Target(), Status.INFEASIBLE
        if self.second is Second.LOSS:
            result = self._solve(part.problem.replace(max_operations=cap))
            self._offer(part, served, apart, result)
            loss = self._loss(result)
            return Target(None if self.plan is None else self.plan.operations), loss, result.status
        least, result = self._fewest(part.problem, cap)
        if result.configuration is None:
            return Target(None, least + apart), Target(), result.status
        self._offer(part, served, apart, result)
        n = part.problem.operations(result.configuration) + apart
        return Target(n, least + apart, least + apart == n), self._loss(result), result.status

    def _loss(self, result: Result) -> Target:
        if result.certificate is Certificate.MODEL:
            self.model_only = True
        proven = result.status is Status.OPTIMAL
        return Target(result.objective_kw, result.dual_bound_kw, proven)

    def _fewest(self, problem: ReconfigurationProblem, most: int | None) -> tuple[int, Result]:
        """Fewest operations of any state of a problem, as far as proven, and the state of least loss with them."""
        cap, sure, found = _least_operations(problem), True, None
        least = cap
        highest = math.inf if most is None else most
        while cap <= highest:
            result = self._solve(problem.replace(max_operations=cap))
            if result.configuration is not None:
                return (least if sure else min(least, cap)), result
            sure = sure and result.status is Status.INFEASIBLE
            if result.status is Status.INFEASIBLE and result.message.startswith("No radial configuration exists"):
                return cap, result
            cap += 2  # all radial states close equally many branches, so operations are all even or all odd
            if sure:
                least = cap
            if found is None:
                found = self._solve(problem.replace(max_operations=None if most is None else most), ANY_PLAN)
                if found.configuration is None:
                    return least, found
                highest = min(highest, problem.operations(found.configuration))
            if self.remaining <= 0:
                break
        if found is None:
            over = self._solve(problem.replace(max_operations=most))
            return least, over
        return least, found

    def _offer(self, part: Part, served: Bools, apart: int, result: Result) -> bool:
        """A plan becomes the best one where it is better in its turn."""
        if result.configuration is None or result.loss_kw is None:
            return False
        closed = np.zeros(self.problem.network.n_branch, dtype=bool)
        closed[part.branches] = result.configuration.closed
        # Between zones without supply everything stays as it is.
        net = self.problem.network
        dark = ~np.append(served, True)[self.zone]
        closed |= self.outage.isolated.closed[self.reach.branches] & dark[net.from_bus] & dark[net.to_bus]
        candidate = _Plan(
            closed, served.copy(), part.problem.operations(result.configuration) + apart, float(result.loss_kw)
        )
        if self.plan is None or self._key(candidate) < self._key(self.plan):
            self.plan = candidate
            return True
        return False

    def _unserved(self, served: Bools) -> float:
        return float(self.value_kw[~served].sum())

    def _key(self, plan: _Plan) -> tuple[float, bool, float, float]:
        unserved = round(self._unserved(plan.served) / self.least_kw) * self.least_kw
        dark = not plan.served.all()  # zones without load are not given up to save an operation
        if self.second is Second.LOSS:
            return unserved, dark, plan.loss_kw, plan.operations
        return unserved, dark, plan.operations, plan.loss_kw

    # Partial service.

    def _partial(self) -> Found:
        if self.plan is not None and self.remaining <= 0:
            bound = capacity_bound(self.problem, self.zone, self.value_kw)
            unserved = _met(self._unserved(self.plan.served), bound, 2 * self.least_kw)
            return self._found(unserved, Target(), Target())
        if (grown := self._grown()) is not None:
            return grown
        unserved = self._load()
        if self.plan is None:
            said = "What no switch parts from the sources is outside the limits."
            status = Status.INFEASIBLE if unserved.bound == math.inf else Status.NO_SOLUTION
            return self._nothing(said if status is Status.INFEASIBLE else "No plan was found.", status)
        if self.plan.served.all():
            operations, loss, _ = self._best(self.plan.served)
            return self._found(unserved, operations, loss)
        if unserved.proven:
            self.said.append("Not everything can be supplied within the limits.")
        if self.remaining <= 0:
            return self._found(unserved, Target(), Target())
        if self.second is Second.OPERATIONS:
            operations = self._next(Aim.OPERATIONS, unserved)
            loss = self._next(Aim.LOSS, unserved, operations)
        else:
            loss = self._next(Aim.LOSS, unserved)
            operations = Target(self.plan.operations)
        return self._found(unserved, operations, loss)

    def _grown(self) -> Found | None:
        """All three objectives by growing forests; None where that does not carry the network, or did not end."""
        growth = Growth.of(self.problem, self.zone, self.value_kw, lambda: self.remaining > 0)
        if growth is None:
            return None
        most = math.inf if self.plan is None else self._unserved(self.plan.served) - self.least_kw
        bound = capacity_bound(self.problem, self.zone, self.value_kw)
        if self.plan is None or most > bound:
            found, proven = growth.least_value(most, self.least_kw)
            if (found is not None and not self._accepted(found)) or not proven:
                return None
        if self.plan is None:
            return self._nothing("What no switch parts from the sources is outside the limits.", Status.INFEASIBLE)
        unserved = self._unserved(self.plan.served)
        if unserved <= self.least_kw and not self.plan.served.all():
            # Zones without load are not given up where they can have supply, too.
            every = Growth.of(self.problem, self.zone, np.ones(self.n_zone), growth.goes_on)
            assert every is not None
            found, proven = every.least_value(0.5, 0.5)
            if (found is not None and not self._accepted(found)) or not proven:
                return None
        load = Target(unserved, unserved, True)
        if self.plan.served.all():
            operations, loss, _ = self._best(self.plan.served)
            return self._found(load, operations, loss)
        by_loss = self.second is Second.LOSS
        most = unserved + self.least_kw
        found, proven = growth.best(most, None if by_loss else self.plan.operations, self.plan.loss_kw)
        if (found is not None and not self._accepted(found)) or not proven:
            return None
        self.said.append("Not everything can be supplied within the limits.")
        n, loss_kw = float(self.plan.operations), self.plan.loss_kw
        operations = Target(n) if by_loss else Target(n, n, True)
        return self._found(load, operations, Target(loss_kw, loss_kw, True))

    def _accepted(self, grown: Grown) -> bool:
        """The judge accepts a forest; it is then a plan, where it is better."""
        return self._judged(Configuration(grown.closed), grown.served)

    def _model(self, aim: Aim, unserved: Target | None = None, operations: Target | None = None) -> RestorationModel:
        """The relaxation for one objective, under what was reached in those before."""
        whole = self._extended
        assert whole is not None
        most = math.inf if unserved is None or unserved.value is None else unserved.value + self.least_kw
        cap = None if operations is None or operations.value is None else int(operations.value)
        size = {Aim.LOAD: max(self.total_kw, 1e-6), Aim.OPERATIONS: 10.0}.get(aim, 0.05 * max(self.total_kw, 1e-6))

        def model(of: Extended, loss_cutoff: float) -> RestorationModel:
            service = Service(of.zone, of.edge, self.value_kw, of.idle_kw, of.drawn, aim, most, cap)
            return RestorationModel(of.problem, service, size, loss_cutoff)

        found = model(whole, self._largest_loss(whole))
        if found.unproven and (flows := lossless(whole)) is not None:
            return model(flows, 0.0)
        return found

    def _largest_loss(self, whole: Extended) -> float:
        """Largest loss [pu] that ratings of the substations leave where nothing feeds back; else infinite."""
        problem = whole.problem
        drawn = problem.s_max[:-1].sum()
        if not np.isfinite(drawn) or (problem.p < 0).any():
            return math.inf
        return float(drawn + whole.idle_kw.sum() / problem.network.base.kw)

    def _load(self) -> Target:
        """Least load without supply."""
        model = self._model(Aim.LOAD)
        bound, left_aside = self._rounds(
            model,
            lambda: math.inf if self.plan is None else self._unserved(self.plan.served) - self.least_kw,
            lambda served: self._unserved(served),
            self._settle_load,
        )
        if model.unproven:
            self.said.append(f"No certificate of the load: {model.unproven}.")
            bound = 0.0
        bound = max(min(bound, left_aside), capacity_bound(self.problem, self.zone, self.value_kw))
        if self.plan is None:
            return Target(None, bound)
        value = self._unserved(self.plan.served)
        return _met(value, bound, 2 * self.least_kw)

    def _settle_load(self, served: Bools) -> tuple[bool, bool]:
        """Whether some state supplies exactly these zones, and whether that is settled."""
        part, apart = self._part(served)
        result = self._solve(part.problem, ANY_PLAN)
        self._offer(part, served, apart, result)
        return result.configuration is not None, result.status is not Status.NO_SOLUTION

    def _next(self, aim: Aim, unserved: Target, operations: Target | None = None) -> Target:
        """Fewest operations, or least loss, of what is as good in the objectives before."""
        assert self.plan is not None
        by_loss = aim is Aim.LOSS
        cap = None if operations is None or operations.value is None else int(operations.value)

        def value() -> float:
            assert self.plan is not None
            return self.plan.loss_kw if by_loss else float(self.plan.operations)

        def slack() -> float:
            return TOLERANCE * max(value(), 1e-9) if by_loss else 0.5

        def settle(served: Bools) -> tuple[bool, bool]:
            if self._unserved(served) > (unserved.value or 0.0) + self.least_kw:
                return False, True
            most = cap if by_loss else int(value()) - 1
            part, apart = self._part(served)
            if most is not None and most < apart:
                return False, True
            limit = None if most is None else most - apart
            result = self._solve(part.problem.replace(max_operations=limit), None if by_loss else ANY_PLAN)
            self._offer(part, served, apart, result)
            if by_loss and result.certificate is not Certificate.AC and result.configuration is not None:
                self.model_only = True
            # Operations: with one fewer than the best there may be still fewer.
            while not by_loss and result.configuration is not None:
                limit = part.problem.operations(result.configuration) - 1
                if limit < 0:
                    break
                result = self._solve(part.problem.replace(max_operations=limit), ANY_PLAN)
                self._offer(part, served, apart, result)
            settled = result.status is not Status.NO_SOLUTION
            return False, settled and (not by_loss or result.status in (Status.OPTIMAL, Status.INFEASIBLE))

        model = self._model(aim, unserved, operations)
        first = self.plan.served
        settled = settle(first)[1]
        model.exclude(first)
        below = 0.0
        # The relaxation is of one situation: of the loss over several it knows only which sets of zones there are.
        several = by_loss and len(self.problem.members) > 1
        bound, left_aside = self._rounds(
            model, lambda: math.inf if several else value() - slack(), lambda served: below, settle, settle_all=True
        )
        if several and bound < math.inf:
            bound = below
        if not settled:
            left_aside = below
        bound = max(min(bound, left_aside), 0.0)
        if model.unproven or not unserved.proven:
            return Target(value())
        if not by_loss:
            bound = float(math.ceil(bound - 1e-4))
        return _met(value(), bound, 2 * slack() if by_loss else 0.0)

    def _rounds(
        self,
        model: RestorationModel,
        cutoff: Callable[[], float],
        least: Callable[[Bools], float],
        settle: Callable[[Bools], tuple[bool, bool]],
        settle_all: bool = False,
    ) -> tuple[float, float]:
        """Propose, judge, cut off, until nothing below the cutoff is left.

        Parameters
        ----------
        cutoff
            What a plan has to be below to be of interest.
        least
            What a set of zones that is left aside may still reach.
        settle
            Asks the engines about a set of zones: whether it goes on with it, and whether that is settled.
        settle_all
            Ask about every set at once, and cut it off.

        Returns
        -------
        Bound of all that was not cut off, and of what was left aside unsettled.
        """
        whole, bound, left_aside = self._extended, -math.inf, math.inf
        assert whole is not None
        root = model.solve_root(self.remaining)
        if root.outcome is Outcome.INFEASIBLE:
            return math.inf if not np.isfinite(cutoff()) else cutoff(), left_aside
        asked: dict[bytes, int] = {}
        while self.remaining > 0:
            limit = cutoff()
            run = model.solve(limit, self.remaining, heuristics=False)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is Outcome.INFEASIBLE:
                return limit, left_aside
            if run.outcome is not Outcome.FAILED:
                bound = max(bound, min(run.bound, limit))
            if run.values is None or run.outcome is Outcome.FAILED:
                break
            state, served = model.proposal(run)
            key = served.tobytes()
            asked[key] = asked.get(key, 0) + 1
            added = model.cut(run)
            judged = self._judged(state, served)
            if not judged:
                added += model.touch(power_flow(whole.problem, state), whole.problem)
            if not settle_all and (judged or (added and asked[key] < REPEATS)):
                continue
            going_on, settled = settle(served)
            if not settled:
                left_aside = min(left_aside, least(served))
            if not going_on or (np.isfinite(limit) and cutoff() >= limit):
                model.exclude(served)
        return bound, left_aside

    def _judged(self, state: Configuration, served: Bools) -> bool:
        """The judge accepts a state that the relaxation proposes; it is then a plan."""
        part, apart = self._part(served)
        n_branch = self.problem.network.n_branch
        configuration = Configuration(state.closed[:n_branch][part.branches])
        if not part.problem.replace(max_operations=None).admits(configuration):
            return False
        found = evaluate(part.problem, configuration)
        if not found.feasible:
            return False
        result = conclude(
            part.problem, "restore", Stopwatch(), configuration=configuration, status=Status.FEASIBLE, judged=found
        )
        self._offer(part, served, apart, result)
        return True

    # Answers.

    def _nothing(self, said: str, status: Status) -> Found:
        nothing = np.zeros(len(self.reach.buses), dtype=bool)
        self.said.append(said)
        empty = Target()
        return Found(None, nothing, empty, empty, empty, Certificate.NONE, status, " ".join(self.said), self.runs)

    def _found(self, unserved: Target, operations: Target, loss: Target) -> Found:
        plan = self.plan
        assert plan is not None
        served = np.append(plan.served, True)[self.zone]
        if not unserved.proven:
            operations, loss = replace(operations, bound=None, proven=False), replace(loss, bound=None, proven=False)
        elif self.second is Second.OPERATIONS and not operations.proven:
            loss = replace(loss, bound=None, proven=False)
        wanted = (unserved, loss) if self.second is Second.LOSS else (unserved, operations, loss)
        proven = all(target.proven for target in wanted)
        certificate = Certificate.NONE
        if (unserved.bound is not None and unserved.proven) or (unserved.bound or 0.0) > 0:
            certificate = Certificate.MODEL if self.model_only else Certificate.AC
        return Found(
            plan.closed,
            served,
            unserved,
            replace(operations, value=float(plan.operations)),
            replace(loss, value=plan.loss_kw),
            certificate,
            Status.OPTIMAL if proven else Status.FEASIBLE,
            " ".join(self.said),
            self.runs,
        )


def _met(value: float, bound: float, slack: float) -> Target:
    """What was reached and its bound, which counts as met within a slack."""
    proven = bound >= value - slack
    return Target(value, value if proven else bound, proven)


def _least_operations(problem: ReconfigurationProblem) -> int:
    """Operations that any radial state needs at least, from counting: parts to connect, and branches in surplus."""
    net = problem.network
    node = merged_nodes(net)
    tail, head = node[net.from_bus].tolist(), node[net.to_bus].tolist()
    sets, n = DisjointSets(int(node.max()) + 1), int(node.max()) + 1
    standing = net.normal_configuration.closed & ~problem.out_of_service & ~problem.chords
    joined = sum(sets.join(tail[e], head[e]) for e in np.flatnonzero(standing).tolist())
    to_connect, surplus = n - 1 - joined, int(standing.sum()) - joined
    return to_connect + surplus
