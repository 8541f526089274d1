"""Exact tree search in loop space: proof of the calibrated-current model, or of the AC problem itself.

``model``: load currents are held at the voltages of a reference configuration; the search proves the least loss of all
radial configurations for these currents, then moves the reference to the answer and repeats until it stays.

``ac``: for non-negative loads without charging, metric B and the trunk gain (:mod:`learnopt.engines.trunk`) turn the
same search into a proof for the AC problem. The metric touches the incumbent and is renewed when a better one is found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from learnopt.engines.base import SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.exchange import LocalSearch, find_incumbent, radial_start
from learnopt.engines.tree_kernel import FINISHED, IMPROVED, RUNNING, Frames, SearchData, open_bound, search
from learnopt.engines.trunk import SLACK, TrunkData, metric_b
from learnopt.network import (
    Bools,
    Certificate,
    Configuration,
    Floats,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.physics import LoopSpace, PowerFlow, evaluate, power_flow
from learnopt.physics.limits import limit_arrays
from learnopt.physics.sweep import grid_of, order_tree

PROOF_GAP = 1e-9
"""Relative gap of a proof at "gap 0": nodes are pruned at this distance below the incumbent."""
FIRST_BUDGET = 200
"""Nodes after which a run without better incumbent gets four times more."""
CHUNK = 2000
"""Nodes between two looks at the clock."""
CALIBRATIONS = 8
METRIC_TRIALS = 9


def ac_obstacles(problem: ReconfigurationProblem) -> list[str]:
    """Why the AC bound of the tree search does not cover a problem; empty when it does."""
    net = problem.network
    fed = ~net.is_substation
    found = []
    for name, value in (("active", problem.p), ("reactive", problem.q)):
        negative = np.flatnonzero(fed & (value < 0))
        if len(negative):
            example = net.bus_ids[negative[0]]
            found.append(f"{len(negative)} buses have negative {name} load (for instance bus {example!r})")
    charged = np.flatnonzero(problem.usable & (problem.b > 0))
    if len(charged):
        found.append(f"{len(charged)} branches have line charging")
    return found


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
        base_operations = int(np.count_nonzero((base_closed != normal) & counted & ~undecided))
        counts = counted[core.branches]
        close_count = (counts & ~normal[core.branches]).astype(np.int64)
        open_count = (counts & normal[core.branches]).astype(np.int64)
        cap = problem.max_operations
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
            max_operations=np.iinfo(np.int64).max if cap is None else cap,
            constant=0.0,
            base_operations=base_operations,
            gain=0,
        )
        fed = ~net.is_substation
        scale = 1.0 / root_vm**2
        low = problem.limits.vm_min
        trunk = TrunkData(
            grid=grid_of(net, problem.charging),
            limits=limit_arrays(problem),
            s=(problem.p + 1j * problem.q)[None, :],
            weight=np.ones(1),
            r=net.r * scale,
            x=net.x * scale,
            p=np.where(fed, problem.p, 0.0)[None, :],
            q=np.where(fed, problem.q, 0.0)[None, :],
            alpha=np.ones(1),
            tau=np.zeros(1),
            w_min=0.0 if low is None else (low * (1 - SLACK)) ** 2 * scale,
            ell_max=(problem.i_max * (1 + SLACK)) ** 2 / scale,
            leaf_constant=cost * base_operations,
        )
        return cls(problem, space, base_closed, decisions, trunk, root_vm)

    def frames(self, columns: list[Floats], constant: float, upper: float, gap: float) -> Frames:
        """The root frame for the injections in ``columns`` [pu], each of shape (n_bus,)."""
        space, data = self.space, self.decisions
        scale = 1.0 / self.root_vm**2
        flow = np.stack([space.meshed_flow(column) for column in columns], axis=1)
        r = self.problem.network.r * scale
        outside = np.ones(len(r), dtype=bool)
        outside[space.core] = False
        core_flow = flow[space.core]
        relaxation = float(np.sum(r[outside, None] * flow[outside] ** 2))
        relaxation += float(np.sum(space.r[:, None] * scale * core_flow**2))
        # Floored resistances must not raise the bound: no branch carries more than the sum of the injections.
        if space.floored.any():
            excess = float(np.sum(space.r[space.floored] - self.problem.network.r[space.core[space.floored]])) * scale
            relaxation -= excess * float(sum(np.abs(column).sum() ** 2 for column in columns))
        n_loops, n_core, m = space.n_loops, len(space.core), len(data.row)
        size = n_loops + 2  # one frame for each opened branch
        frames = Frames(
            K=np.empty((size, n_loops, n_loops)),
            F=np.empty((size, n_core, len(columns))),
            g=np.empty((size, n_core)),
            state=np.zeros((size, m), dtype=np.int8),
            label=np.tile(np.arange(data.n_nodes), (size, 1)),
            bound=np.zeros(size),
            gamma=np.zeros(size),
            operations=np.full(size, data.base_operations),
            chosen=np.full(size, -1),
            scalars=np.zeros(5, dtype=np.int64),
            best=np.array([upper, 1.0 - gap, np.inf]),
            best_closed=np.zeros(self.problem.network.n_branch, dtype=bool),
        )
        frames.K[0] = space.K / scale
        frames.F[0] = core_flow
        frames.g[0] = data.g0
        frames.bound[0] = relaxation + constant + self.trunk.leaf_constant
        return frames

    def ac_metric(self, flow: PowerFlow) -> tuple[_Run, list[Floats], float]:
        """The run with an AC bound touching a reference power flow, its injections and its constant [pu].

        Metric B in the best of a few directions tau; metric A, valid for every tree, where the reference has no flow.
        """
        net, trunk = self.problem.network, self.trunk
        best: tuple[float, float, list[Floats], float] | None = None
        if flow.converged:
            resistive = self.problem.usable & (net.r > 0)
            largest = float(np.min(net.x[resistive] / net.r[resistive], initial=np.inf))
            for tau in np.linspace(0.0, largest, METRIC_TRIALS)[::-1] if 0 < largest < np.inf else [0.0]:
                i1, i2, constant, value = metric_b(
                    trunk.p[0], trunk.q[0], trunk.r, tau, flow.order, flow.parent, flow.feed, len(net.substations)
                )
                if value > (-math.inf if best is None else best[0]):
                    best = (value, float(tau), [i1, i2], constant)
        if best is None:
            return replace(self, decisions=self.decisions._replace(gain=1)), [trunk.p[0], trunk.q[0]], 0.0
        _, tau, columns, constant = best
        sharpened = trunk._replace(alpha=np.array([1 / math.sqrt(1 + tau**2)]), tau=np.array([tau]))
        return replace(self, decisions=self.decisions._replace(gain=2), trunk=sharpened), columns, constant


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
        evaluation = evaluate(self.problem, configuration)
        if evaluation.feasible and self.problem.admits(configuration):
            # The sweep's own figure, or the search would find the incumbent again where the judge rounds upwards.
            objective = power_flow(self.problem, configuration).loss + self.switching_pu(configuration)
            if objective < self.objective_pu:
                self.incumbent, self.objective_pu = configuration, objective

    def switching_pu(self, configuration: Configuration) -> float:
        """Switching cost [pu]."""
        return self.problem.switching_cost * self.problem.operations(configuration) / self.problem.network.base.kw

    def stopped(self, message: str) -> None:
        """End without proof."""
        self.status = Status.NO_SOLUTION if self.incumbent is None else Status.FEASIBLE
        self.message = message


def _injections(problem: ReconfigurationProblem, configuration: Configuration, flow: PowerFlow) -> NDArray:
    """Load and charging currents [pu] at the voltages of a power flow, zero at substations, complex, shape (n_bus,)."""
    net = problem.network
    shunt = np.zeros(net.n_bus)
    half = np.where(configuration.closed, problem.b / 2, 0.0)
    np.add.at(shunt, net.from_bus, half)
    np.add.at(shunt, net.to_bus, half)
    current = ((problem.p + 1j * problem.q) / flow.v).conj() + 1j * shunt * flow.v
    return np.where(net.is_substation, 0.0, current)


class TreeSearchEngine:
    """Branch and bound over spanning trees with a certificate.

    Parameters
    ----------
    random_starts
        Random trees for the first incumbent, besides the normal configuration and sequential opening.
    """

    name = "tree"

    def __init__(self, random_starts: int = 0) -> None:
        self.random_starts = random_starts

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the optimum of the calibrated-current model (default), or of the AC problem (``certify = ac``).

        Where the AC bound does not cover the problem the certificate is ``model`` and the message says why.
        """
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch)) is not None:
            return failure
        prove_ac = options.certify is Certificate.AC
        obstacles = ac_obstacles(problem) if prove_ac else []
        gap = max(options.gap or 0.0, PROOF_GAP)
        limit = math.inf if options.time_limit is None else options.time_limit
        state = _State(problem)
        try:
            with watch.stage("incumbent"):
                rng = np.random.default_rng(options.seed)
                reference = find_incumbent(problem, start, rng, self.random_starts, 0.2 * limit, watch)
                state.offer(reference)
                reference = reference or radial_start(problem)
            with watch.stage("setup"):
                run = _Run.of(problem)
            with watch.stage("search"):
                prove = self._prove_ac if prove_ac and not obstacles else self._prove_model
                prove(state, run, reference, gap, limit, watch)
        except KeyboardInterrupt:
            state.status, state.message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        if obstacles:
            state.message += f" No AC certificate from the tree search: {'; '.join(obstacles)}. Use --engine milp."
        return conclude(
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

    @staticmethod
    def _prove_ac(
        state: _State, run: _Run, reference: Configuration, gap: float, limit: float, watch: Stopwatch
    ) -> None:
        kw = state.problem.network.base.kw
        local_search = LocalSearch(state.problem)
        state.certificate = Certificate.AC
        budget, bound = FIRST_BUDGET, -math.inf
        while True:
            reference = state.incumbent or reference
            sharpened, columns, constant = run.ac_metric(power_flow(state.problem, reference))
            frames = sharpened.frames(columns, constant, state.objective_pu, gap)
            outcome, nodes = RUNNING, frames.scalars
            while outcome == RUNNING and nodes[1] < budget and watch.elapsed < limit:
                chunk = min(CHUNK, budget - int(nodes[1]))
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
            if outcome == FINISHED:
                break
            if watch.elapsed >= limit:
                state.stopped(f"Time limit of {limit:g} s reached.")
                return
            if outcome == RUNNING:
                budget *= 4
        if state.incumbent is not None:
            settled = bound >= state.objective_pu * (1 - gap) * (1 - PROOF_GAP)
            state.status = Status.OPTIMAL if settled else Status.FEASIBLE
            state.message = f"AC optimum within a gap of {gap:g}." if settled else "Some power flows were not settled."
        elif math.isfinite(frames.best[2]):
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
        for _ in range(CALIBRATIONS):
            flow = power_flow(problem, reference)
            if not flow.converged:
                state.stopped("No configuration with a power flow was found to calibrate the load currents.")
                return
            injection = _injections(problem, reference, flow)
            upper = math.inf
            if state.incumbent is not None:
                upper = tree_loss(problem, state.incumbent, injection) + state.switching_pu(state.incumbent)
            # In units of the root voltage impedances shrink by its square, so currents grow by it.
            columns = [injection.real * run.root_vm, injection.imag * run.root_vm]
            frames = run.frames(columns, 0.0, upper * (1 + 2 * PROOF_GAP), gap)
            outcome = RUNNING
            while outcome != FINISHED and watch.elapsed < limit:
                outcome = search(run.decisions, run.trunk, frames, run.base_closed, CHUNK, False)
            state.nodes += int(frames.scalars[1])
            bound = min(open_bound(frames), float(frames.best[0] * frames.best[1]))
            state.bound_kw = bound * net.base.kw if math.isfinite(bound) else None
            found = Configuration(frames.best_closed) if frames.scalars[4] else None
            state.offer(found)
            if outcome != FINISHED:
                state.stopped(f"Time limit of {limit:g} s reached.")
                return
            if found is None or found == reference:
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


def tree_loss(problem: ReconfigurationProblem, configuration: Configuration, injection: NDArray) -> float:
    """Loss of a radial configuration for fixed load currents [pu]."""
    net = problem.network
    order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
    order_tree(grid_of(net), configuration.closed, order, parent, feed)
    below = np.array(injection)
    loss = 0.0
    for k in order[: len(net.substations) - 1 : -1]:
        loss += float(net.r[feed[k]] * abs(below[k]) ** 2)
        below[parent[k]] += below[k]
    return loss
