"""Exact tree search in loop space: proof of the calibrated-current model, or of the AC problem itself.

``model``: load currents are held at the voltages of a reference configuration; the search proves the least loss of all
radial configurations for these currents, then moves the reference to the answer and repeats until it stays.

``ac``: for non-negative loads without charging, metric B and the trunk gain (:mod:`learnopt.engines.trunk`) turn the
same search into a proof for the AC problem. The metric touches the incumbent and is renewed when a better one is found.
With generation, capacitors, charging or shunts another metric (:mod:`learnopt.engines.mixed_bound`) takes its place,
after switches were fixed by it (:mod:`learnopt.engines.probing`).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
from learnopt.engines.frontier import BestFirst, serves
from learnopt.engines.iterated import DRAWS, IteratedExchange
from learnopt.engines.mixed_bound import mixed_metric
from learnopt.engines.tree_kernel import FINISHED, IMPROVED, RUNNING, Frames, SearchData, open_bound, search
from learnopt.engines.trunk import SLACK, TrunkData, metric_b
from learnopt.errors import DataError
from learnopt.network import (
    Alternative,
    Bools,
    Certificate,
    Configuration,
    Floats,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.topology import merged_nodes
from learnopt.physics import LoopSpace, PowerFlow, evaluate, power_flow, power_flow_batch
from learnopt.physics.limits import limit_arrays
from learnopt.physics.sweep import grid_of, order_tree

PROOF_GAP = 1e-9
"""Relative gap of a proof at "gap 0": nodes are pruned at this distance below the incumbent."""
FIRST_BUDGET = 200
"""Nodes after which a run without better incumbent gets four times more."""
CHUNK_WORK = 4e7
"""Entries of the loop matrix that are touched between two looks at the clock: a second at most."""
HAND_OVER = 1e8
"""Entries of the loop matrix, over all nodes, after which the best-first search takes over: some seconds."""
KICKS, KICKS_AT_A_TIME = 4000, 100
"""Kicks of iterated exchange before the best-first search, and between two looks at the clock."""
CALIBRATIONS = 8
NEIGHBOURS = 10
"""Exchanges tried per configuration wanted, for a first bound of the k-th best."""
METRIC_TRIALS = 9
FEW_LOOPS, USEFUL_SHARE = 8, 0.8
"""With more loops and a bound below this share of the incumbent there, no search with mixed signs would end."""
GAP_LADDER = (0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""With mixed signs the search is run at these gaps first: depth first, one run proves nothing before it ends."""


def ac_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the AC bounds of the tree search do not cover a problem; empty when one does."""
    found = ["controls besides the switches"] if problem.controls else []
    if stepped := np.count_nonzero(problem.usable & (problem.network.ratio != 1)):
        found.append(f"{stepped} branches have a transformer off its nominal ratio")
    return found


def mixed_signs(problem: ReconfigurationProblem) -> list[str]:
    """Why flows are not monotone, so that metrics A and B do not apply; empty when they do."""
    net = problem.network
    fed = ~net.is_substation
    found = []
    members = problem.members
    for name, values in (("active", [m.p for m in members]), ("reactive", [m.q for m in members])):
        negative = np.flatnonzero(fed & (np.min(values, axis=0) < 0))
        if len(negative):
            example = net.bus_ids[negative[0]]
            found.append(f"{len(negative)} buses have negative {name} load (for instance bus {example!r})")
    for what, where in (
        ("branches have line charging or iron losses", problem.usable & ((problem.b != 0) | (net.g != 0))),
        ("buses have a shunt", fed & ((net.g_shunt != 0) | (net.b_shunt != 0))),
    ):
        if count := np.count_nonzero(where):
            found.append(f"{count} {what}")
    return found


def tight_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the tight AC bounds of the tree search, metrics A and B, do not cover a problem; empty when they do."""
    return ac_obstacles(problem) + mixed_signs(problem)


@dataclass
class _Run:
    """One problem made ready for compiled search."""

    problem: ReconfigurationProblem
    space: LoopSpace
    base_closed: Bools
    decisions: SearchData
    trunk: TrunkData
    root_vm: float

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> _Run:
        net, core = problem.network, problem.core
        space = LoopSpace.of(problem)
        row = np.full(net.n_branch, -1)
        row[space.core] = np.arange(len(space.core))
        root_vm = float(net.substation_vm.max())
        normal = net.normal_configuration.closed
        counted = ~problem.scenario.out_of_service
        base_closed = problem.usable & (problem.blocks.block >= 0)
        base_closed[core.branches] = False
        cost = problem.switching_cost / net.base.kw
        undecided = np.zeros(net.n_branch, dtype=bool)
        undecided[core.branches] = True
        decided = counted & ~undecided
        base_closings = int(np.count_nonzero(base_closed & ~normal & decided))
        base_openings = int(np.count_nonzero(~base_closed & normal & decided))
        counts = counted[core.branches]
        close_count = (counts & ~normal[core.branches]).astype(np.int64)
        open_count = (counts & normal[core.branches]).astype(np.int64)
        max_closings = max_openings = net.n_branch
        if problem.max_operations is not None:
            surplus = int(merged_nodes(net).max()) - int(np.count_nonzero(normal & counted))
            max_closings = (problem.max_operations + surplus) // 2
            max_openings = max_closings - surplus
        decisions = SearchData(
            row=row[core.branches],
            branch=core.branches,
            tail=core.tail,
            head=core.head,
            n_nodes=core.n_nodes,
            cycles=space.cycles,
            g0=space.loop_conductance * root_vm**2,
            bridge=space.bridge_conductance * root_vm**2,
            close_cost=cost * close_count.astype(float),
            open_cost=cost * open_count.astype(float),
            close_count=close_count,
            open_count=open_count,
            max_closings=max_closings,
            max_openings=max_openings,
            base_closings=base_closings,
            base_openings=base_openings,
            gain=0,
            share=2 if problem.worst_case else 2 * len(problem.members),
        )
        fed = ~net.is_substation
        scale = 1.0 / root_vm**2
        low = problem.limits.vm_min
        p, q = np.stack([m.p for m in problem.members]), np.stack([m.q for m in problem.members])
        trunk = TrunkData(
            grid=grid_of(net, problem.charging),
            limits=limit_arrays(problem),
            s=p + 1j * q,
            weight=np.array(problem.weights),
            worst=problem.worst_case,
            r=net.r * scale,
            x=net.x * scale,
            p=np.where(fed, p, 0.0),
            q=np.where(fed, q, 0.0),
            alpha=np.ones(len(p)),
            tau=np.zeros(len(p)),
            w_min=0.0 if low is None else (low * (1 - SLACK)) ** 2 * scale,
            ell_max=(problem.i_max * (1 + SLACK)) ** 2 / scale,
            leaf_constant=cost * (base_closings + base_openings),
        )
        return cls(problem, space, base_closed, decisions, trunk, root_vm)

    @property
    def without_gain(self) -> _Run:
        """The run for a bound of the AC loss that has no trunk gain."""
        return replace(self, decisions=self.decisions._replace(gain=-1))

    @property
    def chunk(self) -> int:
        """Nodes between two looks at the clock."""
        return max(10, int(CHUNK_WORK / (self.space.cycles.size + 1000)))

    @property
    def patience(self) -> float:
        """Nodes after which the best-first search takes over, if it serves the problem."""
        return HAND_OVER / (self.space.cycles.size + 1000) if serves(self.problem) else math.inf

    @property
    def n_parts(self) -> int:
        """Parts of the objective, of which the largest counts: the scenarios in the worst case, else one."""
        return len(self.problem.members) if self.problem.worst_case else 1

    @property
    def column_weight(self) -> Floats:
        """Factor of each scenario's injections, so that squared flows add up to the objective, shape (n_scenario,)."""
        weight = self.trunk.weight
        return np.ones(len(weight)) if self.trunk.worst else np.sqrt(weight)

    def calibrated(self, configuration: Configuration, flows: list[PowerFlow]) -> NDArray:
        """Injections at the voltages of a configuration's power flows, weighted [pu], shape (n_bus, n_scenario)."""
        pairs = zip(self.problem.members, flows, strict=True)
        each = [_injections(member, configuration, flow) for member, flow in pairs]
        return np.stack(each, axis=1) * self.column_weight

    def frames(self, columns: Floats, constant: Floats, upper: float, gap: float, n_best: int = 1) -> Frames:
        """The root frame for injections [pu], with a pool of ``n_best``.

        ``columns``: shape (n_bus, n_column), those of a part of the objective side by side; ``constant``: its constant
        [pu], shape (n_part,).
        """
        space, data = self.space, self.decisions
        scale = 1.0 / self.root_vm**2
        flow = space.meshed_flow(columns)
        r = self.problem.network.r * scale
        outside = np.ones(len(r), dtype=bool)
        outside[space.core] = False
        core_flow = flow[space.core]
        each = r[outside] @ flow[outside] ** 2 + (space.r * scale) @ core_flow**2
        # Floored resistances must not raise the bound: no branch carries more than the sum of the injections.
        if space.floored.any():
            excess = float(np.sum(space.r[space.floored] - self.problem.network.r[space.core[space.floored]])) * scale
            each -= excess * np.abs(columns).sum(axis=0) ** 2
        n_loops, n_core, m = space.n_loops, len(space.core), len(data.row)
        size = n_loops + 2  # one frame for each opened branch
        frames = Frames(
            K=np.empty((size, n_loops, n_loops)),
            F=np.empty((size, n_core, columns.shape[1])),
            g=np.empty((size, n_core)),
            state=np.zeros((size, m), dtype=np.int8),
            label=np.tile(np.arange(data.n_nodes), (size, 1)),
            part=np.zeros((size, self.n_parts)),
            gamma=np.zeros((size, self.n_parts)),
            switching=np.full(size, self.trunk.leaf_constant),
            closings=np.full(size, data.base_closings),
            openings=np.full(size, data.base_openings),
            chosen=np.full(size, -1),
            scalars=np.zeros(5, dtype=np.int64),
            best=np.array([upper, 1.0 - gap, np.inf]),
            best_closed=np.zeros(self.problem.network.n_branch, dtype=bool),
            pool=np.full(n_best, np.inf),
            pool_closed=np.zeros((n_best, self.problem.network.n_branch), dtype=bool),
        )
        frames.K[0] = space.K / scale
        frames.F[0] = core_flow
        frames.g[0] = data.g0
        frames.part[0] = each.reshape(self.n_parts, -1).sum(axis=1) + constant
        return frames

    def ac_metric(self, flows: list[PowerFlow], cutoff: float) -> tuple[_Run, Floats, Floats]:
        """The run with an AC bound touching the power flows of a reference tree, its injections and constants [pu].

        With mixed signs a bound for configurations with an objective of at most ``cutoff`` [pu], of no injections where
        nothing is proven. Else metric B, each scenario with its own injections and constant, in the best of a few
        directions tau (tried on the heaviest scenario; any is valid for all); metric A, valid for every tree, where the
        reference has no flow.
        """
        net, trunk = self.problem.network, self.trunk
        n, weight = len(flows), trunk.weight
        if mixed_signs(self.problem):
            nothing = self.without_gain, np.zeros((net.n_bus, 2 * n)), np.zeros(self.n_parts)
            if not all(flow.converged for flow in flows):
                return nothing
            # The objective is at least w times the loss of a scenario of weight w, and at least each in the worst case.
            share = np.ones(n) if trunk.worst else weight
            highest = [cutoff / w if w > 0 else math.inf for w in share]
            mixed = [mixed_metric(*each) for each in zip(self.problem.members, flows, highest, strict=True)]
            if not all(math.isfinite(metric.constant) for metric in mixed):
                return nothing
            columns = np.stack([column for metric in mixed for column in (metric.i1, metric.i2)], axis=1)
            each = np.array([metric.constant for metric in mixed])
            constant = each if trunk.worst else np.array([weight @ each])
            return self.without_gain, columns * np.repeat(self.column_weight, 2), constant
        pair = np.stack([trunk.p, trunk.q], axis=1).reshape(2 * n, -1).T * np.repeat(self.column_weight, 2)
        plain = replace(self, decisions=self.decisions._replace(gain=1)), pair, np.zeros(self.n_parts)
        if not all(flow.converged for flow in flows):
            return plain
        flow = flows[0]  # all scenarios share the tree

        def touching(scenario: int, tau: float) -> tuple[Floats, Floats, float, float]:
            p, q = trunk.p[scenario], trunk.q[scenario]
            return metric_b(p, q, trunk.r, tau, flow.order, flow.parent, flow.feed, len(net.substations))

        resistive = self.problem.usable & (net.r > 0)
        largest = float(np.min(net.x[resistive] / net.r[resistive], initial=np.inf))
        trials = np.linspace(0.0, largest, METRIC_TRIALS)[::-1] if 0 < largest < np.inf else np.zeros(1)
        heaviest = int(np.argmax(self.column_weight**2 * [flow.loss for flow in flows]))
        tau = float(trials[np.argmax([touching(heaviest, trial)[3] for trial in trials])])
        metrics = [touching(scenario, tau) for scenario in range(n)]
        if not all(math.isfinite(value) for *_, value in metrics):
            return plain
        columns = np.stack([column for i1, i2, _, _ in metrics for column in (i1, i2)], axis=1)
        each = np.array([constant for _, _, constant, _ in metrics])
        constant = each if trunk.worst else np.array([weight @ each])
        sharpened = trunk._replace(alpha=np.full(n, 1 / math.sqrt(1 + tau**2)), tau=np.full(n, tau))
        run = replace(self, decisions=self.decisions._replace(gain=2), trunk=sharpened)
        return run, columns * np.repeat(self.column_weight, 2), constant


@dataclass
class _State:
    """What a solve has found and proven so far."""

    problem: ReconfigurationProblem
    incumbent: Configuration | None = None
    objective_pu: float = math.inf
    bound_kw: float | None = None
    certificate: Certificate = Certificate.NONE
    nodes: int = 0
    status: Status = Status.NO_SOLUTION
    message: str = ""

    def offer(self, configuration: Configuration | None) -> None:
        """Take a configuration as incumbent if the AC power flow finds it feasible and better."""
        if configuration is None or configuration == self.incumbent:
            return
        # The sweep's own figure, or the search would find the incumbent again where the judge rounds upwards.
        objective = total_loss(self.problem, configuration) + self.switching_pu(configuration)
        if (
            objective < self.objective_pu
            and self.problem.admits(configuration)
            and evaluate(self.problem, configuration).feasible
        ):
            self.incumbent, self.objective_pu = configuration, objective

    def switching_pu(self, configuration: Configuration) -> float:
        """Switching cost [pu]."""
        return self.problem.switching_cost * self.problem.operations(configuration) / self.problem.network.base.kw

    def stopped(self, message: str) -> None:
        """End without proof."""
        self.status = Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE
        self.message = message


def total_loss(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    """AC loss of the objective, mean or worst, by compiled sweeps [pu], NaN where a scenario has no power flow."""
    s = np.stack([member.p + 1j * member.q for member in problem.members])
    batch = power_flow_batch(problem.network, s, configuration.closed[None, :], problem.charging)
    return problem.total(batch.loss)


def _flows(problem: ReconfigurationProblem, configuration: Configuration) -> list[PowerFlow]:
    """AC power flow of each scenario."""
    return [power_flow(member, configuration) for member in problem.members]


def _injections(problem: ReconfigurationProblem, configuration: Configuration, flow: PowerFlow) -> NDArray:
    """Load and shunt currents [pu] at the voltages of a power flow, zero at substations, complex, shape (n_bus,)."""
    net = problem.network
    shunt = net.g_shunt + 1j * net.b_shunt
    half = np.where(configuration.closed, (net.g + 1j * problem.b) / 2, 0.0)
    np.add.at(shunt, net.from_bus, half / net.ratio**2)
    np.add.at(shunt, net.to_bus, half)
    current = ((problem.p + 1j * problem.q) / flow.v).conj() + shunt * flow.v
    return np.where(net.is_substation, 0.0, current)


class TreeSearchEngine:
    """Branch and bound over spanning trees with a certificate.

    Parameters
    ----------
    random_starts
        Random trees for the first incumbent, besides the normal configuration and sequential opening.
    k_best
        Number of best configurations to find and to prove, 1 for the optimum alone. More than one asks for gap 0.
    """

    name = "tree"

    def __init__(self, random_starts: int = 0, k_best: int = 1) -> None:
        if k_best < 1:
            raise DataError("options", [f"k_best = {k_best} must be >= 1"])
        self.random_starts = random_starts
        self.k_best = k_best

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the optimum of the calibrated-current model (default), or of the AC problem (``certify = ac``).

        Where the AC bound does not cover the problem the certificate is ``model`` and the message says why.
        """
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, several_scenarios=True)) is not None:
            return failure
        prove_ac = options.certify is Certificate.AC
        obstacles = ac_obstacles(problem) if prove_ac else []
        gap = max((options.gap or 0.0) if self.k_best == 1 else 0.0, PROOF_GAP)
        limit = math.inf if options.time_limit is None else options.time_limit
        state = _State(problem)
        ranking: tuple[tuple[Alternative, ...], float | None] = (), None
        try:
            with watch.stage("incumbent"):
                rng = np.random.default_rng(options.seed)
                # Of several scenarios branch exchange sees the mean loads: only a start.
                reference = find_incumbent(problem.mean, start, rng, self.random_starts, 0.2 * limit, watch)
                state.offer(reference)
                reference = reference or radial_start(problem)
            with watch.stage("setup"):
                run = whole = _Run.of(problem)
            with watch.stage("search"):
                if prove_ac and not obstacles and mixed_signs(problem):
                    run = self._fixed(state, whole, gap)
                    obstacles = _useless(state, run, state.incumbent or reference)
                if not prove_ac or obstacles:
                    self._prove_model(state, run, reference, gap, limit, watch)
                else:
                    if problem.scenarios is not None:  # for a start near the optimum
                        self._prove_model(state, run, reference, gap, 0.3 * limit, watch)
                    ladder = [g for g in GAP_LADDER if g > gap] if mixed_signs(problem) else []
                    for stage in [*ladder, gap]:
                        if stage > gap and state.nodes >= run.patience:
                            continue  # the best-first search takes over, which proves as it goes
                        self._prove_ac(state, run, reference, stage, limit, watch)
                        if state.status is not Status.OPTIMAL:
                            break
            if self.k_best > 1 and state.status is Status.OPTIMAL:
                with watch.stage("ranking"):
                    ranking = _k_best(state, whole, self.k_best, limit, watch)
        except KeyboardInterrupt:
            state.status, state.message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        if obstacles:
            state.message += f" No AC certificate from the tree search: {'; '.join(obstacles)}. Use --engine milp."
        result = conclude(
            problem,
            self.name,
            watch,
            configuration=state.incumbent,
            status=state.status,
            certificate=state.certificate,
            dual_bound_kw=state.bound_kw,
            message=state.message,
            nodes=state.nodes,
        )
        return replace(result, alternatives=ranking[0], rest_bound_kw=ranking[1])

    @staticmethod
    def _fixed(state: _State, run: _Run, gap: float) -> _Run:
        """The run of the problem with the switches fixed that bounds decide, so that the next bound is tighter."""
        from learnopt.engines.probing import fix_by_bounds  # built on this module

        if state.incumbent is None or state.problem.scenarios is not None:
            return run
        reduced = fix_by_bounds(state.problem, state.incumbent, state.objective_pu * (1 - gap), probes=False)
        return run if reduced.contradictions else _Run.of(reduced)

    @staticmethod
    def _prove_ac(
        state: _State, run: _Run, reference: Configuration, gap: float, limit: float, watch: Stopwatch
    ) -> None:
        kw = state.problem.network.base.kw
        local_search = LocalSearch(state.problem.mean)
        # What an earlier search, at a larger gap, has proven stays proven.
        known = state.bound_kw if state.certificate is Certificate.AC else None
        state.certificate, state.bound_kw = Certificate.AC, known
        bound, kicked = -math.inf if known is None else known / kw, False
        # The metric for mixed signs is dear, and hardly better at a better incumbent.
        budget = min(run.patience, sys.maxsize) if mixed_signs(state.problem) else FIRST_BUDGET
        while True:
            reference = state.incumbent or reference
            sharpened, columns, constant = run.ac_metric(_flows(state.problem, reference), state.objective_pu)
            if state.nodes >= run.patience:
                if not kicked:
                    kicked = True
                    _kick(state, run, local_search, 0.1 * limit, watch)
                    continue
                frontier = BestFirst(sharpened, columns, constant, state.objective_pu, gap)
                ended = _continue(state, frontier, local_search, limit, watch)
                bound = max(bound, frontier.bound)
                unsettled = float(frontier.pool.best[2])
                state.bound_kw = bound * kw if math.isfinite(bound) else None
                if ended == IMPROVED:
                    continue
                if ended == RUNNING:
                    state.stopped(f"Time limit of {limit:g} s reached.")
                    return
                break
            frames = sharpened.frames(columns, constant, state.objective_pu, gap)
            outcome, nodes = RUNNING, frames.scalars
            while outcome == RUNNING and nodes[1] < budget and watch.elapsed < limit:
                chunk = min(run.chunk, math.ceil(budget) - int(nodes[1]))
                outcome = search(sharpened.decisions, sharpened.trunk, frames, run.base_closed, chunk, True)
                if outcome == IMPROVED:
                    found, value, before = Configuration(frames.best_closed), float(frames.best[0]), state.objective_pu
                    state.offer(found)
                    if (better := local_search.improve(found)) is not None:
                        state.offer(better[0])
                    frames.best[0] = state.objective_pu
                    refused = not state.objective_pu < before
                    if refused and found != state.incumbent and not evaluate(state.problem, found).converged:
                        frames.best[2] = min(frames.best[2], value)  # two power flows disagree: not settled
                    if refused or nodes[1] > FIRST_BUDGET:
                        outcome = RUNNING  # nothing new to touch, or a long proof that a new start would throw away
            state.nodes += int(nodes[1])
            bound = max(bound, min(open_bound(frames), frames.best[0] * frames.best[1]))
            state.bound_kw = bound * kw if math.isfinite(bound) else None
            unsettled = float(frames.best[2])
            if outcome == FINISHED:
                break
            if watch.elapsed >= limit:
                state.stopped(f"Time limit of {limit:g} s reached.")
                return
            if outcome == RUNNING:
                budget = min(budget * 4, max(run.patience, budget))
        if state.incumbent is not None:
            settled = bound >= state.objective_pu * (1 - gap) * (1 - PROOF_GAP)
            state.status = Status.OPTIMAL if settled else Status.FEASIBLE
            state.message = f"AC optimum within a gap of {gap:g}." if settled else "Some power flows were not settled."
        elif math.isfinite(unsettled):
            state.stopped("No configuration respects the limits as far as power flows could be settled.")
        else:
            state.status = Status.INFEASIBLE
            state.message = "No radial configuration respects the limits: the search excluded them all."

    @staticmethod
    def _prove_model(
        state: _State, run: _Run, reference: Configuration, gap: float, limit: float, watch: Stopwatch
    ) -> None:
        problem = state.problem
        net = problem.network
        state.certificate = Certificate.MODEL
        calibrated = set()
        for _ in range(CALIBRATIONS):
            calibrated.add(reference)
            flows = _flows(problem, reference)
            if not all(flow.converged for flow in flows):
                state.stopped("No configuration with a power flow was found to calibrate the load currents.")
                return
            injection = run.calibrated(reference, flows)
            upper = math.inf
            if state.incumbent is not None:
                upper = tree_loss(problem, state.incumbent, injection) + state.switching_pu(state.incumbent)
            # In units of the root voltage impedances shrink by its square, so currents grow by it.
            columns = _columns(injection) * run.root_vm
            frames = run.frames(columns, np.zeros(run.n_parts), upper * (1 + 2 * PROOF_GAP), gap)
            outcome: int = RUNNING
            while outcome != FINISHED and watch.elapsed < limit and frames.scalars[1] < run.patience:
                outcome = search(run.decisions, run.trunk, frames, run.base_closed, run.chunk, False)
            state.nodes += int(frames.scalars[1])
            bound = min(float(open_bound(frames)), float(frames.best[0] * frames.best[1]))
            found = Configuration(frames.best_closed) if frames.scalars[4] else None
            if outcome != FINISHED and watch.elapsed < limit:
                upper = float(frames.best[0])
                if state.incumbent is not None:
                    _kick(state, run, LocalSearch(problem.mean), 0.1 * limit, watch)
                    better = tree_loss(problem, state.incumbent, injection) + state.switching_pu(state.incumbent)
                    upper = min(upper, better * (1 + 2 * PROOF_GAP))
                frontier = BestFirst(run, columns, np.zeros(1), upper, gap)
                while outcome != FINISHED and watch.elapsed < limit:
                    outcome = frontier.search(frontier.chunk)
                state.nodes += frontier.nodes
                bound, found = max(bound, frontier.bound), frontier.improved or found
            state.bound_kw = bound * net.base.kw if math.isfinite(bound) else None
            state.offer(found)
            if outcome != FINISHED:
                state.stopped(f"Time limit of {limit:g} s reached.")
                return
            if found is None or found in calibrated:
                break
            reference = found
        if state.incumbent is None:
            state.stopped("No radial configuration that respects the limits was found by an exhaustive search.")
            return
        state.status = Status.OPTIMAL
        state.message = (
            "Optimum of the calibrated-current model: load currents held at the voltages of the answer and split "
            "by Kirchhoff's current law."
        )


def _useless(state: _State, run: _Run, touched: Configuration) -> list[str]:
    """Why a search with the bound for mixed signs would be in vain; empty where it may end."""
    problem = state.problem
    _, columns, constant = run.ac_metric(_flows(problem, touched), state.objective_pu)
    if not columns.any():
        return ["no bound on voltages could be proven: enforce limits, or give a start that does"]
    parts = columns.reshape(len(columns), len(constant), -1)
    losses = [tree_loss(problem.mean, touched, parts[:, i]) / run.root_vm**2 for i in range(len(constant))]
    value = float(np.max(losses + constant)) + state.switching_pu(touched)
    if run.space.n_loops > FEW_LOOPS and value < USEFUL_SHARE * state.objective_pu:
        return ["reverse flows may be too large for its bound to be of use"]
    return []


def compile_long_search(problem: ReconfigurationProblem) -> None:
    """Compile what only a long search uses, on a small problem: its time is then its own."""
    run, state, local_search, watch = _Run.of(problem), _State(problem), LocalSearch(problem), Stopwatch()
    state.offer(reference := radial_start(problem))
    sharpened, columns, constant = run.ac_metric(_flows(problem, reference), math.inf)
    _kick(state, run, local_search, 0.0, watch)
    frontier = BestFirst(sharpened, columns, constant, state.objective_pu, 0.0)
    _continue(state, frontier, local_search, math.inf, watch)


def _kick(state: _State, run: _Run, local_search: LocalSearch, limit: float, watch: Stopwatch) -> None:
    """Iterated exchange from the incumbent, for at most ``limit`` seconds."""
    problem, decisions = state.problem, run.decisions
    if state.incumbent is None:
        return
    price = np.zeros(problem.network.n_branch)
    price[decisions.branch] = decisions.close_cost - decisions.open_cost
    columns = _columns(run.calibrated(state.incumbent, _flows(problem, state.incumbent)))
    exchange = IteratedExchange(problem, state.incumbent, columns, problem.network.r, price)
    rng, end = np.random.default_rng(0), watch.elapsed + limit
    for _ in range(KICKS // KICKS_AT_A_TIME):
        exchange.kick(rng.random((KICKS_AT_A_TIME, DRAWS)))
        if watch.elapsed > end:
            break
    state.offer(exchange.configuration)
    if (better := local_search.improve(exchange.configuration)) is not None:
        state.offer(better[0])


def _continue(state: _State, frontier: BestFirst, local_search: LocalSearch, limit: float, watch: Stopwatch) -> int:
    """Best-first search of the AC problem until FINISHED, out of time (RUNNING) or worth a new metric (IMPROVED)."""
    before, start, pool = state.objective_pu, state.nodes, frontier.pool
    outcome = frontier.search(0)
    rounded = frontier.rounded()
    if rounded is not None:
        state.offer(rounded)
        if (better := local_search.improve(rounded)) is not None:
            state.offer(better[0])
    while outcome != FINISHED and watch.elapsed < limit:
        pool.best[0] = min(pool.best[0], state.objective_pu)
        if state.objective_pu < before and frontier.nodes < FIRST_BUDGET:
            return IMPROVED
        outcome = frontier.search(frontier.chunk)
        state.nodes = start + frontier.nodes
        if outcome == IMPROVED and (found := frontier.improved) is not None:
            value, last = float(pool.best[0]), state.objective_pu
            state.offer(found)
            if (better := local_search.improve(found)) is not None:
                state.offer(better[0])
            pool.best[0] = state.objective_pu
            refused = not state.objective_pu < last and found != state.incumbent
            if refused and not evaluate(state.problem, found).converged:
                pool.best[2] = min(pool.best[2], value)  # two power flows disagree: not settled
    return FINISHED if outcome == FINISHED else RUNNING


def _k_best(
    state: _State, run: _Run, k: int, limit: float, watch: Stopwatch
) -> tuple[tuple[Alternative, ...], float | None]:
    """The k best configurations, judged, and a bound of all others [kW]; ``state`` must hold the optimum.

    One search in which the k-th best leaf is to beat. It starts from the k-th best of the optimum and its exchange
    neighbours, a bound of the k-th best of all. Under the AC certificate the metric touches the optimum, leaves are AC
    power flows; under the model certificate currents are those at the voltages of the optimum.
    """
    problem, optimum = state.problem, state.incumbent
    assert optimum is not None
    prove_ac = state.certificate is Certificate.AC
    flows = _flows(problem, optimum)
    if not prove_ac:
        injection = run.calibrated(optimum, flows)
        columns = _columns(injection) * run.root_vm
        constant = np.zeros(run.n_parts)

    def worth(configuration: Configuration) -> float:
        loss = total_loss(problem, configuration) if prove_ac else tree_loss(problem, configuration, injection)
        return loss + state.switching_pu(configuration)

    neighbours = LocalSearch(problem.mean).neighbours(optimum, NEIGHBOURS * k)
    known = sorted((value, i) for i, c in enumerate([optimum, *neighbours]) if not math.isnan(value := worth(c)))
    values: list[float] = []
    for value, i in known:
        candidate = [optimum, *neighbours][i]
        if len(values) < k and problem.admits(candidate) and evaluate(problem, candidate).feasible:
            values.append(value)
    upper = values[k - 1] * (1 + 3 * PROOF_GAP) if len(values) == k else math.inf
    if prove_ac:
        run, columns, constant = run.ac_metric(flows, upper)
    frames = run.frames(columns, constant, upper, PROOF_GAP, k)
    outcome = RUNNING
    while outcome != FINISHED and watch.elapsed < limit:
        outcome = search(run.decisions, run.trunk, frames, run.base_closed, run.chunk, False)
    state.nodes += int(frames.scalars[1])
    kw = problem.network.base.kw
    ranked = []
    for closed in frames.pool_closed[np.isfinite(frames.pool)]:
        configuration = Configuration(closed)
        evaluation = evaluate(problem, configuration)
        if evaluation.feasible and problem.admits(configuration):
            cost = problem.switching_cost * problem.operations(configuration)
            ranked.append(Alternative(configuration, evaluation.loss_kw, evaluation.loss_kw + cost))
    ranked.sort(key=lambda alternative: alternative.objective_kw)
    if outcome != FINISHED:
        state.message += f" The {k} best are not proven: time limit of {limit:g} s reached."
    elif not math.isfinite(frames.pool[-1]):
        state.message += f" Fewer than {k} configurations respect everything asked for: these are all."
    threshold = float(frames.best[0] * frames.best[1])
    return tuple(ranked), min(open_bound(frames), threshold) * kw


def _columns(injection: NDArray) -> Floats:
    """Real and imaginary parts side by side, shape (n_bus, 2 n), from complex injections, shape (n_bus, n)."""
    return np.stack([injection.real, injection.imag], axis=2).reshape(len(injection), -1)


def tree_loss(problem: ReconfigurationProblem, configuration: Configuration, injection: NDArray) -> float:
    """Loss of a radial configuration for fixed load currents [pu], shape (n_bus,) or (n_bus, n): summed over n.

    Where the worst case is the objective it is the largest of the n.
    """
    net = problem.network
    order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
    order_tree(grid_of(net), configuration.closed, order, parent, feed)
    below = np.array(injection)
    loss = np.zeros(below.shape[1:])
    for k in order[: len(net.substations) - 1 : -1]:
        loss += net.r[feed[k]] * np.abs(below[k]) ** 2
        below[parent[k]] += below[k]
    return float(loss.max() if problem.worst_case else loss.sum())
