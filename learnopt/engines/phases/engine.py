"""The tree search in three phases: hold the currents of an AC state, find the best radial state, solve it, repeat."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from learnopt.engines.base import AGREEMENT, SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.phases.search import Choice, Leaves, is_radial, search
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import (
    Alternative,
    Bools,
    Certificate,
    Configuration,
    Evaluation,
    Ints,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.unbalanced import Complex, PhaseCircuit, PhaseState
from learnopt.physics.held_currents import joins_phases, loop_model
from learnopt.physics.phase_judge import broken_limits, evaluation_of, summary_of

ROUNDS = 12
"""Times the currents are held anew; two or three are enough where the circuit is not near collapse."""
CANDIDATES, MOST_CANDIDATES, MOST_WORK = 8, 512, 2e5
"""Best states of the model that are solved in AC each round; as many, and buses in all of them, where these are not
enough for a proof."""
SEARCH_WORK = 2e10
"""Entries of K that one search updates at most where the user sets no limit, about a minute: strongly unbalanced
networks with many loops would take hours. The answer is the same on every machine."""
FIRST_NODES = 2000
"""Nodes by which the speed of the search is measured where the user sets a time limit."""

MODEL = (
    "Optimum of the three-phase model of held currents: every current that is not in a line or transformer (loads, "
    "capacitors, generation, charging) as it is in the answer, taps held, resistances with their cross terms."
)


@dataclass
class _Best:
    """The best admissible state so far."""

    closed: Bools | None = None
    evaluation: Evaluation | None = None
    objective: float = math.inf
    refused: list[str] = field(default_factory=list)


class PhaseTreeEngine:
    """Branch and bound over the switches of an unbalanced circuit.

    Parameters
    ----------
    circuits
        One per load situation of the problem, open.
    k_best
        Number of best configurations to find and to prove in the model.
    hold
        Limits that the present state breaks are held at its values.
    """

    name = "tree"

    def __init__(self, circuits: Sequence[PhaseCircuit], k_best: int = 1, hold: bool = True) -> None:
        if k_best < 1:
            raise DataError("options", [f"k_best = {k_best} must be >= 1"])
        self.circuits, self.k_best, self.hold = circuits, k_best, hold

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the optimum of the model whose currents are those of the answer.

        Raises
        ------
        UnsupportedError
            With controls, which the search does not set, and with the worst of several load situations.
        """
        if problem.controls:
            raise UnsupportedError("the search in three phases sets switches only, the problem has controls")
        if problem.worst_case:
            raise UnsupportedError("the search in three phases minimises the expected loss of several load situations")
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, several_scenarios=True, fixed_loops=True)) is not None:
            return failure
        run = _Run(problem, self.circuits, options, watch, self.k_best, self.hold)
        try:
            run.loop(start)
        except KeyboardInterrupt:
            run.status, run.said = Status.INTERRUPTED, ["Interrupted; this is the best configuration so far."]
        return run.result(self.name, self.k_best)


class _Run:
    """One solve."""

    def __init__(
        self,
        problem: ReconfigurationProblem,
        circuits: Sequence[PhaseCircuit],
        options: SolveOptions,
        watch: Stopwatch,
        k_best: int,
        hold: bool,
    ) -> None:
        self.problem, self.circuits, self.options, self.watch, self.k_best = problem, circuits, options, watch, k_best
        self.keep = k_best  # more of them once currents are held near the answer
        net, out = problem.network, problem.out_of_service
        self.switches: Ints = np.flatnonzero(net.switchable | out)
        locked = problem.locked[self.switches]
        must_open = out[self.switches] | (locked == 0)
        normal = net.normal_configuration.closed
        self.base = normal & ~out
        price = 1e3 * problem.switching_cost
        self.choice = Choice(
            must_open | (locked < 0),
            must_open,
            (price * normal[self.switches]).astype(np.float64),
            (price * ~normal[self.switches]).astype(np.float64),
        )
        with watch.stage("setup"):
            self.models = [loop_model(circuit.conductors(self.switches)) for circuit in circuits]
        self.model = self.models[0]
        self.before: list[PhaseState] = self._states(self.base)
        self.present = self.before if hold else []
        self.best, self.bound, self.nodes = _Best(), -math.inf, 0
        self.judged: dict[bytes, float] = {}
        self.leaves: Leaves | None = None
        self.status, self.said = Status.OPTIMAL, [MODEL]

    def closed_with(self, opened: Bools) -> Bools:
        """State of every branch with these switches open."""
        closed = self.base.copy()
        closed[self.switches] = ~opened
        return closed

    def _solved(self, closed: Bools) -> bool:
        return all(circuit.solve(closed) for circuit in self.circuits)

    def _states(self, closed: Bools) -> list[PhaseState]:
        """All phases of a state; empty where there is no power flow."""
        return [circuit.state() for circuit in self.circuits] if self._solved(closed) else []

    def _radial(self, closed: Bools) -> bool:
        opened = ~closed[self.switches]
        return is_radial(self.model, opened)

    def loop(self, start: Configuration | None) -> None:
        """Hold, search, solve, until the best state of the model is the one whose currents are held."""
        begin = start.closed if start is not None else self.base
        in_loop = np.diff(self.model.rows) > 0  # what hangs on another switch that is open is to be fed
        opened = self.choice.must_open | (~begin[self.switches] & self.choice.may_open & in_loop)
        held = self.choice.must_open.copy()  # all loops closed, where there is nothing better to hold
        if self._radial(closed := self.closed_with(opened)) and self._solved(closed):
            self.offer(opened)
            held = opened
        elif self.problem.admits(Configuration(closed)):  # radial by its buses: an answer, if none that is held
            self.offer(opened)
        tried: set[bytes] = set()
        for number in range(ROUNDS):
            if held.tobytes() in tried:
                break
            with self.watch.stage("power flow"):
                if not self._solved(self.closed_with(held)):
                    self.said.append("A state of the circuit has no power flow in all its phases.")
                    break
                base_w, saved, held_currents = self._hold()
            dive = number == 0  # to one radial state near the optimum, whose currents are then held
            with self.watch.stage("search"):
                self.leaves = self._search(*held_currents, base_w - saved, dive)
            if not len(self.leaves.cost) and self.best.closed is None and not dive:
                break
            with self.watch.stage("candidates"):
                self._bound_by_candidates(base_w - saved)
            if dive:
                held = held if self.best_opened is None else self.best_opened
                self.keep = max(self.keep, CANDIDATES)
                continue
            tried.add(held.tobytes())
            wanted = self.best_opened
            if wanted is not None and not np.array_equal(wanted, held):
                held = wanted
            elif self._keep_more():
                tried.discard(held.tobytes())
            else:
                break
        self._conclude_bound(held)

    def _keep_more(self) -> bool:
        """Where states that AC power flow rules out stand between the model and the answer, look at more of them."""
        most = max(CANDIDATES, min(MOST_CANDIDATES, int(MOST_WORK / self.problem.network.n_bus)))
        proven = self.bound >= self.best.objective * (1 - AGREEMENT)
        if proven or self.keep >= most or self.leaves is None or not self.leaves.complete:
            return False
        self.keep = min(4 * self.keep, most)
        return True

    def _hold(self) -> tuple[float, float, tuple[Complex, Complex]]:
        """Loss of the solved state [W], what meshing saves [W], and the currents of the meshed circuit by situation."""
        total, saved = 0.0, 0.0
        chains, constants = [], []
        for circuit, model, weight in zip(self.circuits, self.models, self.problem.weights, strict=True):
            of_chain, constant, gain = model.meshed(circuit.currents())
            total += weight * 1e3 * circuit.loss_kw
            saved += weight * gain
            chains.append(math.sqrt(weight) * of_chain)
            constants.append(math.sqrt(weight) * constant)
        return total, saved, (np.stack(chains, axis=1), np.stack(constants, axis=1))

    def _search(self, current: Complex, constant: Complex, meshed_w: float, dive: bool = False) -> Leaves:
        """The best states of the model, within the limits of nodes and time."""
        own = SEARCH_WORK / (1 + self.model.inverse.size) if self.options.time_limit is None else sys.maxsize
        left = int(max(own if self.options.node_limit is None else self.options.node_limit - self.nodes, 1))
        if dive:
            left = min(left, self.model.n_loop + 2)
        first = left if self.options.time_limit is None else min(left, FIRST_NODES)
        watch = Stopwatch()
        cutoff = math.inf
        if self.k_best == 1 and math.isfinite(self.best.objective):  # what costs more in the model is worse in any case
            cutoff = (1e3 * self.best.objective - meshed_w) * (1 + AGREEMENT)
        found = search(self.model, current, constant, self.choice, self.keep, first, cutoff)
        if not found.complete and found.nodes < left and self.options.time_limit is not None:
            seconds = max(self.options.time_limit - self.watch.elapsed, 0.0)
            nodes = min(left, max(int(found.nodes * seconds / max(watch.elapsed, 1e-6)), 1))
            found = search(self.model, current, constant, self.choice, self.keep, nodes, cutoff)
        self.nodes += found.nodes
        return found

    def offer(self, opened: Bools) -> float:
        """Solve a radial state in AC and keep it where it is admissible and best.

        Returns
        -------
        Its objective [kW]; ``inf`` where it is not admissible, ``-inf`` where no power flow of it was found.
        """
        closed = self.closed_with(opened)
        configuration = Configuration(closed)
        cap = self.problem.max_operations
        if cap is not None and self.problem.operations(configuration) > cap:
            return math.inf
        if not self._solved(closed):
            return -math.inf
        loss = float(np.dot(self.problem.weights, [circuit.loss_kw for circuit in self.circuits]))
        objective = loss + self.problem.switching_cost * self.problem.operations(configuration)
        if objective >= self.best.objective:
            return objective
        states = [circuit.state() for circuit in self.circuits]
        if unfed := self._unfed(states):
            self.best.refused.append(unfed)
            return math.inf
        evaluation = evaluation_of(self.problem, states, self.present)
        if evaluation.violations:
            self.best.refused.append(evaluation.violations[0])
            return math.inf
        self.best.closed, self.best.evaluation, self.best.objective = closed, evaluation, objective
        return objective

    def _unfed(self, states: Sequence[PhaseState]) -> str:
        """A bus that has lost a phase it has in the present state; "" where none has."""
        for state, before in zip(states, self.before, strict=False):
            dead = np.flatnonzero(state.live < before.live)
            if len(dead):
                bus = self.problem.network.bus_ids[int(dead[0])]
                return f"bus {bus!r} and {len(dead) - 1} more would be without one of their phases"
        return ""

    @property
    def best_opened(self) -> Bools | None:
        """The switches that are open in the best state."""
        return None if self.best.closed is None else ~self.best.closed[self.switches]

    def _bound_by_candidates(self, meshed_w: float) -> None:
        """Solve the best states of the model in AC; the bound is one of max(model, AC), as for balanced networks.

        A state without a power flow counts by the model alone; what is not among the best costs at least their rest.
        """
        assert self.leaves is not None
        bound = meshed_w / 1e3 + self.leaves.rest / 1e3
        for opened, cost in zip(self.leaves.opened, self.leaves.cost, strict=True):
            key = opened.tobytes()
            if key not in self.judged:
                self.judged[key] = self.offer(opened)
            bound = min(bound, max((meshed_w + float(cost)) / 1e3, self.judged[key]))
        self.bound = bound
        self.status = Status.OPTIMAL if self.leaves.complete else Status.FEASIBLE

    def _conclude_bound(self, held: Bools) -> None:
        """The bound is one of the model whose currents are held at the answer, or it is none."""
        wanted = self.best_opened
        if wanted is None or self.leaves is None:
            return
        if joins_phases(self.model):
            self.said.append("Delta windings behind a switch: the model may miss states, nothing is proven.")
            self.bound = -math.inf
        elif not np.array_equal(wanted, held):
            self.said.append("The currents of the model are not those of the answer: it was not held there.")
            self.bound = -math.inf

    def result(self, name: str, k_best: int) -> Result:
        """What is known."""
        closed = self.best.closed
        found = closed is not None
        status = self.status
        if not found:
            status = Status.NO_SOLUTION
            self.said = ["No radial state was found that respects the limits in every phase."]
            self.said += list(dict.fromkeys(self.best.refused))[:3]
        held = broken_limits(self.problem, self.present)
        if found and held:
            more = f" and {len(held) - 3} more" if len(held) > 3 else ""
            self.said.append(
                f"Limits that the present state breaks are held at its values: {'; '.join(held[:3])}{more}."
            )
        if self.leaves is not None and not self.leaves.complete:
            self.said.append(
                f"The search was stopped after {self.nodes} nodes: a higher limit of nodes or time proves more."
            )
        gap = max(self.options.gap or 0.0, AGREEMENT)
        bound = self.bound if math.isfinite(self.bound) and found else None
        result = conclude(
            self.problem,
            name,
            self.watch,
            configuration=None if closed is None else Configuration(closed),
            status=status,
            gap=gap,
            certificate=Certificate.MODEL if bound is not None else Certificate.NONE,
            dual_bound_kw=bound,
            message=" ".join(self.said),
            nodes=self.nodes,
            judged=self.best.evaluation,
            in_phases=True,
        )
        if closed is None or result.configuration is None:
            return result
        ranked = self._best_of(k_best) if k_best > 1 else ()
        summary = summary_of(self.circuits[0].tool, self.problem.network, self._states(closed), self._before())
        return replace(result, alternatives=ranked, phases=summary)

    def _before(self) -> Evaluation | None:
        """The present state by the same judge."""
        return evaluation_of(self.problem, self.before, []) if self.before else None

    def _best_of(self, k_best: int) -> tuple[Alternative, ...]:
        """The best states of the model, solved in AC."""
        assert self.leaves is not None
        chosen = []
        for opened in self.leaves.opened[:k_best]:
            closed = self.closed_with(opened)
            if self._solved(closed):
                loss = float(np.dot(self.problem.weights, [circuit.loss_kw for circuit in self.circuits]))
                configuration = Configuration(closed)
                price = self.problem.switching_cost * self.problem.operations(configuration)
                chosen.append(Alternative(configuration, loss, loss + price))
        return tuple(sorted(chosen, key=lambda one: one.objective_kw))
