"""The tree search in three phases: hold the currents of an AC state, find the best radial state, solve it, repeat."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from learnopt.engines.base import AGREEMENT, SolveOptions, Stopwatch, conclude, infeasible
from learnopt.engines.enumeration import count_configurations
from learnopt.engines.phases.balance import ROUNDING, balances_of, state_bounds
from learnopt.engines.phases.search import NO_CAP, Choice, Leaves, is_radial, search
from learnopt.errors import DataError, UnsupportedError
from learnopt.network import (
    Alternative,
    Bools,
    Certificate,
    Configuration,
    Evaluation,
    Floats,
    Ints,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.topology import radiality_faults
from learnopt.network.unbalanced import Complex, PhaseCircuit, PhaseState, RadialCircuit
from learnopt.physics.held_currents import LoopModel, joins_phases, loop_model
from learnopt.physics.phase_judge import broken_limits, evaluation_of, summary_of, unfed_bus
from learnopt.physics.phase_sweep import losses_kw

ROUNDS = 12
"""Times the currents are held anew; two or three are enough where the circuit is not near collapse."""
CANDIDATES, MOST_CANDIDATES, MOST_WORK = 8, 512, 2e5
"""Best states of the model that are solved in AC each round; as many, and buses in all of them, where these are not
enough for a proof."""
MODEL_ERROR = 2e-3
"""What a state may lose more in the model than the best one does in AC, and still be solved: it may lose less there."""
SEARCH_WORK = 2e10
"""Entries of K that one search updates at most where the user sets no limit, about a minute: strongly unbalanced
networks with many loops would take hours. The answer is the same on every machine."""
FIRST_NODES = 2000
"""Nodes by which the speed of the search is measured where the user sets a time limit."""
UNASKED_BUSES, ASKED_STATES, MOST_STATES = 2e5, 20_000, 200_000
"""Radial states that are all solved in AC for a proof: buses in all of them where no certificate is asked for (some
seconds), states where the AC certificate is, and where enumeration is."""
SHARE_OF_BALANCED = 0.25
"""How many of these are solved where the others are bounded: those that are left lose little, or are far from balanced
and take many iterations."""
UNASKED_SWEEPS, ASKED_SWEEPS, FEW_SWEEPS = 2e6, 6e7, 300
"""Buses in all radial states, where compiled sweeps solve them, and states from which on they do."""
FAILED_SWEEPS = 500
"""States that sweeps do not solve and that are given to the tool of the file, which takes long to find none."""
SAME_LOSS, COMPARED, COMPARED_CLOSELY = 1e-6, 12, 1e-9
"""Relative difference of the losses of sweeps and of the tool of the file at most, states in which they are compared,
and the tolerance of the tool there: what it leaves where it converges slowly is no difference."""
LIMIT_ROOM = 1e-3
"""What the judge lets a voltage limit be missed by, and more."""
CHUNK = 20_000
"""States that are swept between two looks at the clock."""
NODES_PER_STATE = 4
"""Nodes of the search for all states, for each that may be found; it needs one or two."""
CLOSE_SOLUTION, CLOSE_WORK = 1e-7, 10
"""Tolerance of the power flows of a proof, and how many others one takes in time where it is not the usual one."""

MODEL = (
    "The model holds every current that is not in a line or transformer (loads, capacitors, generation, charging) as "
    "it is in the answer, with taps held and resistances with their cross terms."
)


@dataclass
class _Best:
    """The best admissible state so far."""

    closed: Bools | None = None
    states: Sequence[PhaseState] = ()
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
    exhaustive
        Solve every radial state in AC, up to :data:`MOST_STATES`.
    """

    def __init__(self, circuits: Sequence[PhaseCircuit], k_best: int = 1, exhaustive: bool = False) -> None:
        if k_best < 1:
            raise DataError("options", [f"k_best = {k_best} must be >= 1"])
        self.circuits, self.k_best, self.exhaustive = circuits, k_best, exhaustive
        self.name = "enumerate" if exhaustive else "tree"
        self.stubborn: tuple[HeldLimit, ...] = ()
        """After a solve without an answer: limits that the present state and every state that was solved break."""

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Prove the optimum of the model whose currents are those of the answer, and where states are few that in AC.

        Raises
        ------
        UnsupportedError
            With controls, which the search does not set and with the worst of several load situations.
        """
        if problem.controls:
            raise UnsupportedError("the search in three phases sets switches only, the problem has controls")
        if problem.worst_case:
            raise UnsupportedError("the search in three phases minimises the expected loss of several load situations")
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, several_scenarios=True, fixed_loops=True)) is not None:
            return failure
        run = _Run(problem, self.circuits, options, watch, self.k_best)
        try:
            run.loop(start)
            if run.best.closed is not None and (self.exhaustive or options.certify is not Certificate.MODEL):
                asked = self.exhaustive or options.certify is Certificate.AC
                run.certify(*self._most_states(problem, options, run), asked)
        except KeyboardInterrupt:
            run.status, run.said = Status.INTERRUPTED, ["Interrupted; this is the best configuration so far."]
        self.stubborn = run.stubborn()
        return run.result(self.name)

    def _most_states(self, problem: ReconfigurationProblem, options: SolveOptions, run: _Run) -> tuple[int, int]:
        """Radial states up to which all of them are looked at, and up to which the tool of the file solves them."""
        n = problem.network.n_bus
        asked = self.exhaustive or options.certify is Certificate.AC
        work = 1 if all(circuit.tolerance <= CLOSE_SOLUTION for circuit in self.circuits) else CLOSE_WORK
        alone = ASKED_STATES if asked else int(UNASKED_BUSES / (work * n))
        if self.exhaustive:
            alone = MOST_STATES
        swept = int((ASKED_SWEEPS if asked else UNASKED_SWEEPS) / n)
        # Looking for many states where there are more of them would take as long as looking at them.
        return max(alone, swept if 0 < count_configurations(problem) <= swept and run.lines else 0), alone


def switches_of(problem: ReconfigurationProblem) -> Ints:
    """Branches whose state is decided: all with a switch, and what is out of service."""
    return np.flatnonzero(problem.network.switchable | problem.out_of_service)


def choice_of(problem: ReconfigurationProblem, switches: Ints) -> Choice:
    """What may be done with each of some switches, and what that costs."""
    out, locked = problem.out_of_service[switches], problem.locked[switches]
    must_open = out | (locked == 0)
    normal = problem.network.normal_configuration.closed[switches]
    price, cap = 1e3 * problem.switching_cost, problem.max_operations
    opening, closing = normal & ~out, ~normal & ~out  # what is out of service is not operated
    return Choice(
        must_open | (locked < 0),
        must_open,
        (price * opening).astype(np.float64),
        (price * closing).astype(np.float64),
        opening,
        closing,
        NO_CAP if cap is None else cap,
    )


def every_state(model: LoopModel, choice: Choice, most: int) -> tuple[Leaves | None, int]:
    """All radial states, and nodes visited; None where there are more than ``most``."""
    nothing = np.zeros((len(model.inverse), 1), complex), np.zeros((len(model.position), 1), complex)
    # Without currents no state costs anything, and none is ruled out for what it would starve but by its parts.
    found = search(model, *nothing, choice, most + 1, NODES_PER_STATE * (most + 1))
    return found if found.complete and len(found.cost) <= most else None, found.nodes


class _Run:
    """One solve."""

    def __init__(
        self,
        problem: ReconfigurationProblem,
        circuits: Sequence[PhaseCircuit],
        options: SolveOptions,
        watch: Stopwatch,
        k_best: int,
    ) -> None:
        self.problem, self.circuits, self.options, self.watch, self.k_best = problem, circuits, options, watch, k_best
        self.keep = k_best  # more of them once currents are held near the answer
        self.switches = switches_of(problem)
        self.base = problem.network.normal_configuration.closed & ~problem.out_of_service
        self.choice = choice_of(problem, self.switches)
        must_open = self.choice.must_open
        with watch.stage("setup"):
            self.models = [loop_model(circuit.conductors(self.switches)) for circuit in circuits]
        self.model = self.models[0]
        self.before: list[PhaseState] = self._states(self.base)
        self.asked = problem.replace(limits=replace(problem.limits, held=()))
        self.always: set[tuple[LimitKind, int]] | None = None
        """Limits that every state broke that was refused for its limits; None = none was."""
        # What every state must feed: all that the present one does, or where that has no power flow the meshed one.
        self.fed = self.before or self._states(self.closed_with(must_open))
        self.best, self.nodes = _Best(), 0
        self.judged: dict[bytes, float] = {}
        self.leaves: Leaves | None = None
        self.held: Bools | None = None
        """The switches open in the state whose currents ``leaves`` hold."""
        self.all_solved = False
        """``leaves`` are all radial states, each solved in AC."""
        self.ac_bound: float | None = None
        """Lower bound of the AC objective of every admissible state [kW]."""
        self.meshed_kw = math.nan
        self.status, self.said = Status.FEASIBLE, [MODEL]

    @cached_property
    def lines(self) -> list[RadialCircuit]:
        """The circuits as lines that sweeps solve, one per load situation; empty where one is more than that."""
        found = [circuit.radial(self.switches) for circuit in self.circuits]
        known = [one for one in found if not isinstance(one, str)]
        return known if len(known) == len(found) else []

    def closed_with(self, opened: Bools) -> Bools:
        """State of every branch with these switches open."""
        closed = self.base.copy()
        closed[self.switches] = ~opened
        return closed

    def admits(self, closed: Bools) -> bool:
        """Radial by its buses too, where the model does not know a state."""
        radial = not radiality_faults(self.problem.network, closed)
        return radial and self.problem.admits(Configuration(closed))

    def _solved(self, closed: Bools) -> bool:
        return all(circuit.solve(closed) for circuit in self.circuits)

    def _states(self, closed: Bools) -> list[PhaseState]:
        """All phases of a state; empty where there is no power flow."""
        return [circuit.state() for circuit in self.circuits] if self._solved(closed) else []

    def loop(self, start: Configuration | None) -> None:
        """Hold, search, solve, until the best state of the model is the one whose currents are held."""
        begin = start.closed if start is not None else self.base
        in_loop = np.diff(self.model.rows) > 0  # what hangs on another switch that is open is to be fed
        opened = self.choice.must_open | (~begin[self.switches] & self.choice.may_open & in_loop)
        held = self.choice.must_open.copy()  # all loops closed, where there is nothing better to hold
        if is_radial(self.model, opened) and self._solved(self.closed_with(opened)):
            self._judge(opened)
            held = opened
        elif self.admits(self.closed_with(opened)):  # an answer, if none that is held
            self._judge(opened)
        for number in range(ROUNDS):
            with self.watch.stage("power flow"):
                if not self._solved(self.closed_with(held)):
                    self.said.append("A state of the circuit has no power flow in all its phases.")
                    break
                base_w, saved, held_currents = self._hold(held)
            dive = number == 0  # to one radial state near the optimum, whose currents are then held
            with self.watch.stage("search"):
                self.leaves = self._search(*held_currents, base_w - saved, dive)
                self.held, self.meshed_kw = held, (base_w - saved) / 1e3
            with self.watch.stage("candidates"):
                for other in self.leaves.opened:
                    self._judge(other)
            if dive:
                held = held if self.best_opened is None else self.best_opened
                self.keep = max(self.keep, CANDIDATES)
                continue
            wanted = self.best_opened
            if wanted is not None and not np.array_equal(wanted, held):
                held = wanted
            elif not self._keep_more():
                break

    def _keep_more(self) -> bool:
        """Where states that AC power flow rules out stand between the model and the answer, look at more of them."""
        most = max(CANDIDATES, min(MOST_CANDIDATES, int(MOST_WORK / self.problem.network.n_bus)))
        proven = self._bound() >= self.best.objective * (1 - AGREEMENT)
        full = self.leaves is not None and len(self.leaves.cost) == self.keep
        if proven or not full or self.keep >= most or self.leaves is None or not self.leaves.complete:
            return False
        self.keep = min(4 * self.keep, most)
        return True

    def certify(self, most: int, alone: int, asked: bool) -> None:
        """Look for an AC bound, of any gap where it was asked for; what stands in the way is then said."""
        if not (why := self.exhaust(most, alone, asked)):
            return
        gap = 1.0 if asked else max(self.options.gap or 0.0, AGREEMENT)
        other = self.balance(max(int(SHARE_OF_BALANCED * alone), 1), gap)
        if other and asked:
            self.said.append(f"No AC certificate: {why}; {other}.")

    def exhaust(self, most: int, alone: int, asked: bool) -> str:
        """Settle every radial state in AC, so that the least loss is a bound of all.

        Parameters
        ----------
        most, alone
            Radial states at most, and those of them that the tool of the file solves.
        asked
            A bound with a gap is one too.

        Returns
        -------
        Why that was not done, and all is as it was: there are more states, the time is over, or the judge finds no
        power flow of some state. "" where it was.
        """
        if joins_phases(self.model):
            return "windings behind a switch join phases, so that states may be missed"
        with self.watch.stage("search"):
            every = self._every(most)
        if every is None:
            return f"there are more than {most} radial states"
        opened = self.best_opened
        if opened is not None and not (every.opened == opened).all(axis=1).any():
            return "the answer is none of the radial states that the model knows, which may miss others"
        with self._solving_closely():
            bound, said = self._settle(every.opened, alone)
            if bound is None:
                return said
            if bound <= 0 or (not asked and bound < self.best.objective * (1 - AGREEMENT)):
                return said
            self.ac_bound = bound
        self.leaves, self.all_solved, self.said = every, True, [said]
        return ""

    def _settle(self, states: Bools, alone: int) -> tuple[float | None, str]:
        """Every state is proven to lose more than the best one, or solved: bound of all [kW], and what to say of it.

        Without a bound why there is none.
        """
        price = np.where(states, self.choice.price_open, self.choice.price_closed).sum(axis=1) / 1e3
        many = len(states) >= min(FEW_SWEEPS, alone + 1)
        least = self._proven(states, price) if many else np.full(len(states), -np.inf)
        open_ = least < self.best.objective
        proven = len(states) - int(open_.sum())
        value = np.full(len(states), np.nan)
        value[open_] = self._swept(states[open_], price[open_])
        failed = np.flatnonzero(open_ & np.isnan(value))
        swept = len(failed) < int(open_.sum())
        unknown, solved = [], 0
        if len(failed) > (FAILED_SWEEPS if swept else alone):
            dearest = failed if swept else failed[np.argsort(least[failed], kind="stable")][alone:]
            unknown, open_[dearest] = dearest.tolist(), False
            self.judged.update((states[k].tobytes(), -math.inf) for k in unknown)
        for k in np.argsort(np.where(np.isnan(value), -np.inf, value), kind="stable").tolist():
            if not open_[k]:
                continue
            if self._seconds_left() == 0:
                return None, f"the time was over before each of {len(states)} radial states was solved"
            if value[k] > self._wanted() * (1 + 2 * SAME_LOSS):
                self.judged.setdefault(states[k].tobytes(), float(value[k]))
                continue
            if self._judge(states[k]) == -math.inf:
                unknown.append(k)
            else:
                solved += 1
        if self.best.closed is None:
            return None, "no radial state respects the limits once solved to more digits"
        if unknown and not many:
            least[unknown] = self._proven(states[unknown], price[unknown])
        bound = min([self.best.objective, *least[unknown].tolist()])
        if bound <= 0 or not math.isfinite(bound):
            return None, f"no power flow was found of {len(unknown)} of {len(states)} radial states"
        return bound, self._told(len(states), proven, solved, len(unknown))

    def _told(self, count: int, proven: int, solved: int, unknown: int) -> str:
        """How so many states were settled."""
        tool = f"{self.circuits[0].tool} (tolerance {CLOSE_SOLUTION:g}, taps held)"
        if solved == count:
            return (
                f"Each of the {count} radial states was solved in all phases by {tool}; none that respects the limits "
                "loses less."
            )
        swept = count - proven - solved - unknown
        parts = [f"{proven} lose more as balanced networks, which lose least"] if proven else []
        parts += [f"{swept} were solved by sweeps that agree with it to {SAME_LOSS:g}"] if swept else []
        parts += [f"of {unknown} no power flow is known, and their balanced networks are the bound"] if unknown else []
        return (
            f"Each of the {count} radial states was settled in all phases, {solved} by {tool}; "
            f"{', '.join(parts)}. None that respects the limits loses less than the bound."
        )

    def _wanted(self) -> float:
        """Objective above which a state is none of the best ones."""
        if self.k_best == 1:
            return self.best.objective
        found = sorted(one for one in self.judged.values() if math.isfinite(one))
        return found[self.k_best - 1] if len(found) >= self.k_best else math.inf

    def _proven(self, states: Bools, price: Floats) -> Floats:
        """Objective of each state at least by its balanced network, ``-inf`` where nothing is known [kW]."""
        nothing = np.full(len(states), -np.inf)
        if len(self.lines) != 1 or self.k_best > 1 or not math.isfinite(self.best.objective):
            return nothing
        circuit, net = self.lines[0], self.problem.network
        balances = balances_of(circuit)
        if isinstance(balances, str):
            return nothing
        kept = self.problem.vm_min * net.kv * 1e3 / math.sqrt(3) * (1 - LIMIT_ROOM)
        kept_v = np.where(circuit.bus >= 0, kept[circuit.bus], 0.0)
        most = (1 + 3 * ROUNDING) * self.best.objective - price  # so that what is proven to lose that much loses more
        bounds = state_bounds(circuit, balances, states, np.maximum(most, 0.0), kept_v)
        return np.where(bounds > 0, bounds + price, np.where(price >= self.best.objective, price, -np.inf))

    def _swept(self, states: Bools, price: Floats) -> Floats:
        """AC objective of states by sweeps [kW]; NaN where these do not know it, or do not agree with the judge."""
        total = np.full(len(states), np.nan)
        if len(states) < FEW_SWEEPS or not self.lines:
            return total
        for start in range(0, len(states), CHUNK):
            if self._seconds_left() == 0:
                break
            part = slice(start, start + CHUNK)
            losses = [losses_kw(circuit, states[part]) for circuit in self.lines]
            total[part] = np.dot(self.problem.weights, losses)
        known = np.argsort(total)[: np.count_nonzero(~np.isnan(total))]
        spread = np.linspace(0, len(known) - 1, COMPARED).astype(int).tolist() if len(known) else []
        compared = 0
        with ExitStack() as stack:
            for circuit in self.circuits:
                stack.enter_context(circuit.closely(COMPARED_CLOSELY))
            for k in known[[*range(min(COMPARED, len(known))), *spread]].tolist():
                if self._solved(self.closed_with(states[k])):
                    loss = float(np.dot(self.problem.weights, [circuit.loss_kw for circuit in self.circuits]))
                    compared += 1
                    if abs(total[k] - loss) > SAME_LOSS * abs(loss):
                        return np.full(len(states), np.nan)
        return total + price if compared else np.full(len(states), np.nan)

    @contextmanager
    def _solving_closely(self) -> Iterator[None]:
        """Judge the best state and others to more digits; all is as it was where that yields no AC bound."""
        before, known, opened = self.best, self.judged, self.best_opened
        self.best, self.judged = _Best(refused=list(before.refused)), {}
        try:
            with self.watch.stage("candidates"), ExitStack() as stack:
                for circuit in self.circuits:
                    stack.enter_context(circuit.closely(CLOSE_SOLUTION))
                if opened is not None:
                    self._judge(opened)
                yield
        finally:
            if self.ac_bound is None:
                self.best, self.judged = before, known

    def balance(self, most: int, gap: float) -> str:
        """Bound the AC loss by that of balanced loads, and solve the states that it leaves open, ``most`` at most.

        Returns
        -------
        Why there is no bound that leaves a gap of at most ``gap``, and all is as it was; "" where there is one.
        """
        if self.k_best > 1 or len(self.circuits) > 1 or self.best_opened is None:
            return "imbalance is bounded for one answer in one load situation only"
        from learnopt.engines.phases.imbalance import balanced_problem, candidates, least_of_balanced, transposed

        with self._solving_closely():
            if self.best.closed is None or not self._solved(self.best.closed):
                return "the answer does not respect its limits once solved to more digits"
            whole = self.circuits[0].radial(np.arange(self.problem.network.n_branch))
            lines = whole if isinstance(whole, str) else transposed(whole, self.problem.network)
            if isinstance(lines, str):
                return lines
            answer = Configuration(self.best.closed)
            balanced = balanced_problem(self.problem, lines, self.best.objective, answer)
            if isinstance(balanced, str):
                return balanced
            least, touching = least_of_balanced(balanced, self._seconds_left())
            if touching is None:
                return "the balanced network has no answer"
            nodes = NODES_PER_STATE * (most + 1)
            found = candidates(balanced, touching, self.switches, self.choice, most, nodes, self.best.objective)
            self.nodes += found.nodes
            highest, left, solved = max(least, found.rest_kw), [found.rest_kw], 0
            if highest < self.best.objective * (1 - gap):
                return f"the bound of balanced loads leaves a gap of {100 * (1 - highest / self.best.objective):.3g} %"
            for opened, bound in zip(found.opened, found.bound_kw.tolist(), strict=True):
                if bound >= min(highest, self.best.objective):
                    continue
                late = self._seconds_left() == 0
                if late or self._judge(opened) == -math.inf:
                    left.append(bound)
                solved += not late
            bound = min(max(least, min(left)), self.best.objective)
            if bound < self.best.objective * (1 - gap):
                return f"the bound of balanced loads leaves a gap of {100 * (1 - bound / self.best.objective):.3g} %"
            self.ac_bound = bound
        self.said = [
            f"No radial state loses less than with its loads balanced among the phases; {solved} of which that did not "
            f"say enough were solved in all phases by {self.circuits[0].tool}."
        ]
        return ""

    def _seconds_left(self) -> float | None:
        """Of the time limit; None where there is none."""
        limit = self.options.time_limit
        return None if limit is None else max(limit - self.watch.elapsed, 0.0)

    def _every(self, most: int) -> Leaves | None:
        """All radial states; None where there are more than ``most``, or the limit of nodes is too low for them."""
        left = sys.maxsize if self.options.node_limit is None else max(self.options.node_limit - self.nodes, 0)
        found, nodes = every_state(self.model, self.choice, min(most, left))
        self.nodes += nodes
        return found

    def _hold(self, held: Bools) -> tuple[float, float, tuple[Complex, Complex]]:
        """Loss of the solved state [W], what meshing saves [W], and the currents of the meshed circuit by situation."""
        loss, saved = 0.0, 0.0
        chains, constants = [], []
        for circuit, model, weight in zip(self.circuits, self.models, self.problem.weights, strict=True):
            of_chain, constant, gain = model.meshed(circuit.currents())
            loss += weight * circuit.loss_kw
            saved += weight * gain
            chains.append(math.sqrt(weight) * of_chain)
            constants.append(math.sqrt(weight) * constant)
        wanted = self.best_opened
        if wanted is not None and self.best.evaluation is not None and np.array_equal(held, wanted):
            loss = self.best.evaluation.loss_kw  # solved again it differs by OpenDSS's tolerance: exact at the answer
        return 1e3 * loss, saved, (np.stack(chains, axis=1), np.stack(constants, axis=1))

    def _search(self, current: Complex, constant: Complex, meshed_w: float, dive: bool = False) -> Leaves:
        """The best states of the model, within the limits of nodes and time."""
        own = SEARCH_WORK / (1 + self.model.inverse.size) if self.options.time_limit is None else sys.maxsize
        left = int(max(own if self.options.node_limit is None else self.options.node_limit - self.nodes, 1))
        if dive:
            left = min(left, self.model.n_loop + 2)
        first = left if self.options.time_limit is None else min(left, FIRST_NODES)
        watch = Stopwatch()
        cutoff = math.inf
        if self.k_best == 1 and math.isfinite(self.best.objective):  # what costs much more in the model is worse
            cutoff = 1e3 * self.best.objective * (1 + MODEL_ERROR) - meshed_w
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
        if objective >= self.best.objective and self.k_best == 1:  # no answer, admissible or not
            return objective
        states = [circuit.state() for circuit in self.circuits]
        if unfed := self._unfed(states):
            self.best.refused.append(unfed)
            return math.inf
        evaluation = evaluation_of(self.problem, states)
        if evaluation.violations:
            broken = {(one.kind, one.index) for one in broken_limits(self.problem, states)}
            self.always = broken if self.always is None else self.always & broken
            self.best.refused.append(evaluation.violations[0])
            return math.inf
        if objective < self.best.objective:
            self.best.closed, self.best.states = closed, states
            self.best.evaluation, self.best.objective = evaluation, objective
        return objective

    def _unfed(self, states: Sequence[PhaseState]) -> str:
        """A bus that has lost a phase which is to be fed; "" where none has."""
        pairs = zip(states, self.fed, strict=len(self.fed) > 0)
        return next(filter(None, (unfed_bus(self.problem.network, *pair) for pair in pairs)), "")

    @property
    def best_opened(self) -> Bools | None:
        """The switches that are open in the best state."""
        return None if self.best.closed is None else ~self.best.closed[self.switches]

    def _judge(self, opened: Bools) -> float:
        """:meth:`offer`, once for each state."""
        key = opened.tobytes()
        if key not in self.judged:
            self.judged[key] = self.offer(opened)
        return self.judged[key]

    def _values(self, leaves: Leaves) -> list[float]:
        """max(model, AC) of the states of the last search [kW]; by the model alone where there is no power flow.

        AC alone where that is what is proven.
        """
        if self.all_solved:
            return [self.judged[opened.tobytes()] for opened in leaves.opened]
        models = [self.meshed_kw + float(cost) / 1e3 for cost in leaves.cost]
        judged = [self.judged.get(opened.tobytes(), -math.inf) for opened in leaves.opened]
        return list(map(max, models, judged))

    def _bound(self) -> float:
        """Bound of max(model, AC), as for balanced networks [kW]: the best states, and what is left of the others."""
        if self.leaves is None:
            return -math.inf
        if self.ac_bound is not None:
            return self.ac_bound
        return min([self.meshed_kw + self.leaves.rest / 1e3, *self._values(self.leaves)])

    def _doubt(self) -> str:
        """Why the last search proves nothing about the answer; "" where it does."""
        if self.ac_bound is not None:
            return ""
        wanted, leaves = self.best_opened, self.leaves
        if wanted is None or leaves is None or self.held is None:
            return "Nothing is proven: no search was made."
        if not np.array_equal(wanted, self.held):
            return "Nothing is proven: the currents of the model are not yet those of the answer."
        if joins_phases(self.model):
            return "Nothing is proven: windings behind a switch join phases, so that the model may miss states."
        # Of fewer states than were asked for, the answer must be one: its model loss is its AC loss.
        seen = bool((leaves.opened == wanted).all(axis=1).any())
        if not is_radial(self.model, wanted) or (leaves.complete and len(leaves.cost) < self.keep and not seen):
            return "Nothing is proven: the model does not know the answer as a radial state, and may miss others."
        return ""

    def stubborn(self) -> tuple[HeldLimit, ...]:
        """Without an answer: limits that the present state and every state refused for its limits break."""
        if self.best.closed is not None or self.always is None:
            return ()
        broken = broken_limits(self.problem, self.before)
        return tuple(one for one in broken if (one.kind, one.index) in self.always) or broken

    def result(self, name: str) -> Result:
        """What is known."""
        problem, best = self.problem, self.best
        status, bound = self.status, None
        if best.closed is None:
            status = Status.NO_SOLUTION
            why = "; ".join(list(dict.fromkeys(best.refused))[:3])
            said = [f"No radial state was found that respects the limits in every phase{': ' * bool(why)}{why}."]
        else:
            said = list(self.said)
            if doubt := self._doubt():
                said.append(doubt)
            elif math.isfinite(value := self._bound()):
                bound = value
                status = Status.OPTIMAL if status is Status.FEASIBLE else status
        if self.leaves is not None and not self.leaves.complete:
            said.append(f"The search stopped after {self.nodes} nodes; a higher limit of nodes or time proves more.")
        result = conclude(
            problem,
            name,
            self.watch,
            configuration=None if best.closed is None else Configuration(best.closed),
            status=status,
            gap=max(self.options.gap or 0.0, AGREEMENT),
            certificate=Certificate.NONE
            if bound is None
            else Certificate.MODEL
            if self.ac_bound is None
            else Certificate.AC,
            dual_bound_kw=bound,
            message=" ".join(said),
            nodes=self.nodes,
            judged=best.evaluation,
            in_phases=True,
        )
        if states := best.states or self.before:
            before = evaluation_of(self.asked, self.before) if self.before else None
            result = replace(result, phases=summary_of(self.circuits[0].tool, problem.network, states, before))
        return (
            result
            if self.k_best == 1 or self.leaves is None or best.closed is None
            else self._ranked(result, self.leaves)
        )

    def _ranked(self, result: Result, leaves: Leaves) -> Result:
        """The result with the best admissible states by AC, and the bound of all others."""
        states = [
            (self.judged.get(opened.tobytes(), -math.inf), value, k)
            for k, (opened, value) in enumerate(zip(leaves.opened, self._values(leaves), strict=True))
        ]
        admissible = sorted(one for one in states if math.isfinite(one[0]))
        others = [value for objective, value, _ in states if objective == -math.inf]
        others += [value for _, value, _ in admissible[self.k_best :]]
        cost = self.problem.switching_cost
        ranked = tuple(
            Alternative(configuration, objective - cost * self.problem.operations(configuration), objective)
            for objective, _, k in admissible[: self.k_best]
            for configuration in [Configuration(self.closed_with(leaves.opened[k]))]
        )
        if result.certificate is Certificate.NONE:
            return replace(result, alternatives=ranked)
        rest = math.inf if self.all_solved else self.meshed_kw + leaves.rest / 1e3
        return replace(result, alternatives=ranked, rest_bound_kw=min([rest, *others]))
