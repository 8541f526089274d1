"""Which phase each lateral of one phase hangs on: least loss with at most so many of them moved.

Where the choices are few, the tool of the file solves each of them: certificate ``ac``. Where they are many, the loss
is taken as a quadratic form in the moves, which it is while currents are held: its coefficients are the losses that
the tool finds for each move and for each pair of them, its least value is searched by branch and bound, and the best
choices of the search, and all that differ from the best of these in one move, are solved by the tool: certificate
``none``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from learnopt.engines.base import Stopwatch
from learnopt.errors import DataError
from learnopt.network import Bools, Certificate, Evaluation, Floats, ReconfigurationProblem
from learnopt.network.unbalanced import LateralCircuit, PhaseLateral, PhaseState
from learnopt.physics.phase_judge import broken_limits, evaluation_of

EVERY_CHOICE = 5_000
"""Choices that are all solved."""
PAIRED_MOVES = 60
"""Moves of the quadratic form at most, those that save most by themselves first."""
SEARCH_NODES = 200_000
"""Nodes of its search."""
KEPT = 20
"""Best choices of the quadratic form that are solved."""
TOLERANCE = 1e-7
"""To which power flows are solved."""

Choice = tuple[tuple[int, str], ...]
"""Lateral and its phase, of those that are moved."""


@dataclass(frozen=True)
class Swap:
    """One lateral that is moved.

    Parameters
    ----------
    lateral
        What is moved.
    to_phase
        Where it hangs then.
    """

    lateral: PhaseLateral
    to_phase: str


@dataclass(frozen=True, eq=False)
class Balance:
    """How unbalanced a state is.

    Parameters
    ----------
    evaluation
        Loss, voltages and limits.
    unbalance
        Largest negative- over positive-sequence voltage of a bus.
    head_kw
        Power drawn in each phase, all substations together [kW].
    return_a
        Largest current that the phases of a branch do not return [A].
    """

    evaluation: Evaluation
    unbalance: float
    head_kw: tuple[float, float, float]
    return_a: float

    @property
    def loss_kw(self) -> float:
        """Loss [kW]."""
        return self.evaluation.loss_kw


@dataclass(frozen=True, eq=False)
class Swapping:
    """Outcome of :func:`swap_phases`.

    Parameters
    ----------
    problem, max_swaps
        What was asked.
    laterals
        All that can move.
    swaps
        Those that are moved.
    before, after
        The present state and the answer.
    certificate
        ``ac`` where each choice was solved.
    message
        What was done, and what is proven.
    solved
        Power flows.
    """

    problem: ReconfigurationProblem
    max_swaps: int
    laterals: tuple[PhaseLateral, ...]
    swaps: tuple[Swap, ...]
    before: Balance
    after: Balance
    certificate: Certificate
    message: str
    solved: int
    solve_time_s: float


def swap_phases(problem: ReconfigurationProblem, circuit: LateralCircuit, max_swaps: int) -> Swapping:
    """The connections of least loss that move at most so many laterals and break no limit that is kept now.

    Parameters
    ----------
    problem
        One load situation; switches stay as they are.
    circuit
        The file, open.

    Raises
    ------
    DataError
        If ``max_swaps`` is below 1, or the present state has no power flow.
    """
    if max_swaps < 1:
        raise DataError("options", [f"max_swaps = {max_swaps} must be >= 1"])
    with circuit.closely(TOLERANCE):
        return _Search(problem, circuit, max_swaps).run()


class _Search:
    def __init__(self, problem: ReconfigurationProblem, circuit: LateralCircuit, max_swaps: int) -> None:
        self.problem, self.circuit, self.watch = problem, circuit, Stopwatch()
        self.laterals = circuit.laterals()
        self.most = min(max_swaps, len(self.laterals))
        self.asked = max_swaps
        self.closed: Bools = problem.network.normal_configuration.closed & ~problem.out_of_service
        self.known: dict[Choice, float] = {}
        self.solved = 0
        present = self._state(())
        if present is None:
            raise DataError(problem.network.name, ["no power flow of the present state was found in all phases"])
        self.present = present
        self.kept = {(one.kind, one.index): one.value for one in broken_limits(problem, [present])}
        self.before = self._balance(present)

    def run(self) -> Swapping:
        """Solve each choice, or those that the quadratic form finds best."""
        moves = [(k, phase) for k, one in enumerate(self.laterals) for phase in one.choice if phase != one.phase]
        number = _choices([len(one.choice) - 1 for one in self.laterals], self.most)
        every = number <= EVERY_CHOICE
        if not moves:
            said = "No lateral of one phase hangs on a line of several by one element alone."
        elif every:
            unknown = [choice for choice in self._all() if self._loss(choice) == -math.inf]
            every = not unknown
            said = f"Each of {number} choices was solved by {self.circuit.tool} in all phases."
            if not every:
                said = f"Of {number} choices {len(unknown)} have no power flow, so that nothing is proven."
        else:
            said = self._by_form(moves, number)
        best = min(self.known, key=lambda choice: (self._admissible(choice), len(choice)), default=())
        self.known.setdefault((), self.before.loss_kw)
        if not self._admissible(best) < self.before.loss_kw * (1 - 1e-9):
            best = ()
        state = self._state(best)
        assert state is not None, "it was solved before"
        return Swapping(
            self.problem,
            self.asked,
            self.laterals,
            tuple(Swap(self.laterals[k], phase) for k, phase in best),
            self.before,
            self._balance(state),
            Certificate.AC if every else Certificate.NONE,
            said + " Taps are held, switches stay as they are; no limit that is kept now is broken.",
            self.solved,
            self.watch.elapsed,
        )

    def _all(self) -> Iterator[Choice]:
        """Every choice of at most so many moves."""
        for count in range(self.most + 1):
            for some in combinations(range(len(self.laterals)), count):
                others = [[p for p in self.laterals[k].choice if p != self.laterals[k].phase] for k in some]
                for phases in product(*others):
                    yield tuple(zip(some, phases, strict=True))

    def _state(self, choice: Choice) -> PhaseState | None:
        """Its power flow."""
        self.circuit.connect({self.laterals[k].element: phase for k, phase in choice})
        self.solved += 1
        return self.circuit.state() if self.circuit.solve(self.closed) else None

    def _loss(self, choice: Choice) -> float:
        """Loss of a choice [kW]; infinite where a limit breaks, minus infinite without a power flow."""
        if choice not in self.known:
            state = self._state(choice)
            self.known[choice] = -math.inf if state is None else self._allowed(state)
        return self.known[choice]

    def _allowed(self, state: PhaseState) -> float:
        """Loss, infinite where it breaks what the present state keeps, or breaks more of what that breaks."""
        for one in broken_limits(self.problem, [state]):
            value = self.kept.get((one.kind, one.index))
            if value is None or abs(one.value - one.limit) > abs(value - one.limit):
                return math.inf
        return state.loss_kw

    def _admissible(self, choice: Choice) -> float:
        return math.inf if math.isinf(self.known[choice]) else self.known[choice]

    def _by_form(self, moves: Sequence[tuple[int, str]], number: int) -> str:
        """Solve each move alone and in pairs, search the form that they make, and solve what is best in it."""
        base = self.before.loss_kw
        alone = {move: self._raw((move,)) - base for move in moves}
        chosen = sorted(alone, key=lambda move: alone[move])[:PAIRED_MOVES]
        linear = np.array([alone[move] for move in chosen])
        pairs = np.zeros((len(chosen), len(chosen)))
        for i, j in combinations(range(len(chosen)), 2):
            if chosen[i][0] != chosen[j][0]:
                both = self._raw(tuple(sorted((chosen[i], chosen[j])))) - base
                pairs[i, j] = pairs[j, i] = both - linear[i] - linear[j]
        found, complete, nodes = best_moves(linear, pairs, [move[0] for move in chosen], self.most)
        for some in found:
            self._loss(tuple(sorted(chosen[i] for i in some)))
        self._improve(moves)
        left = "" if len(chosen) == len(moves) else f" of the {len(chosen)} moves that save most alone"
        ended = f"in {nodes} nodes" if complete else f"stopped after {nodes} nodes"
        return (
            f"There are {number:.3g} choices: a quadratic form{left}, made of the losses of each move and pair, was "
            f"searched ({ended}), and its best choices, and what is one move away, were solved by {self.circuit.tool}; "
            "nothing is proven about all others."
        )

    def _raw(self, choice: Choice) -> float:
        """Loss whatever limits say [kW]; large without a power flow."""
        state = self._state(choice)
        if state is None:
            return 1e3 * self.before.loss_kw
        self.known.setdefault(choice, self._allowed(state))
        return state.loss_kw

    def _improve(self, moves: Sequence[tuple[int, str]]) -> None:
        """From the best choice on, add, drop and change moves while one of these is better."""
        better = True
        while better:
            best = min(self.known, key=self._admissible)
            value = self._admissible(best)
            own = dict(best)
            near = [{key: phase for key, phase in own.items() if key != gone} for gone in own]
            near += [own | {k: phase} for k, phase in moves if k in own or len(own) < self.most]
            near += [one | {k: phase} for one in near[: len(own)] for k, phase in moves if k not in own]
            better = min((self._value(one) for one in near), default=math.inf) < value * (1 - 1e-9)

    def _value(self, phases: Mapping[int, str]) -> float:
        choice = tuple(sorted(phases.items()))
        self._loss(choice)
        return self._admissible(choice)

    def _balance(self, state: PhaseState) -> Balance:
        """How unbalanced the state is that was solved last."""
        flow = self.circuit.flow()
        head = flow.head_kw.sum(axis=0)
        unbalance = float(np.nanmax(np.append(state.unbalance, 0.0)))
        evaluation = evaluation_of(self.problem, [state])
        a, b, c = (float(one) for one in head)
        return Balance(evaluation, unbalance, (a, b, c), float(np.nanmax(np.append(flow.return_a, 0.0))))


def _choices(others: Sequence[int], most: int) -> int:
    """Number of choices that move at most so many laterals, each of which has so many other phases."""
    count = [1] + [0] * most  # of exactly k moves
    for n in others:
        for k in range(most, 0, -1):
            count[k] += n * count[k - 1]
    return sum(count)


def best_moves(
    linear: Floats, pairs: Floats, lateral: Sequence[int], most: int, keep: int = KEPT, node_limit: int = SEARCH_NODES
) -> tuple[list[tuple[int, ...]], bool, int]:
    """The sets of at most so many moves with the least value of a quadratic form, one move of each lateral at most.

    Depth first, moves in their order. What further moves can save is bounded by the most that each saves with what is
    chosen and half of what it shares with all others that may still come.

    Parameters
    ----------
    linear, pairs
        Value of each move, and of each pair beyond that, shapes (n,) and (n, n).
    lateral
        Of each move.

    Returns
    -------
    The best sets, best first; whether the search is complete; and its nodes.
    """
    n = len(linear)
    lateral_of = np.array(lateral, dtype=np.int64)
    shared = np.minimum(pairs, 0.0)
    found: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    nodes, complete = 0, True
    stack: list[tuple[float, tuple[int, ...], int]] = [(0.0, (), 0)]
    while stack:
        value, chosen, first = stack.pop()
        nodes += 1
        if nodes > node_limit:
            complete = False
            break
        left, picked = most - len(chosen), np.array(chosen, dtype=np.int64)
        rest = np.arange(first, n)
        rest = rest[~np.isin(lateral_of[rest], lateral_of[picked])]
        if not left or not len(rest):
            continue
        own = linear[rest] + pairs[np.ix_(rest, picked)].sum(axis=1)
        mutual = np.sort(shared[np.ix_(rest, rest)], axis=1)[:, : max(left - 1, 0)].sum(axis=1) / 2
        saving = np.sort(np.minimum(own + mutual, 0.0))[:left].sum()
        bar = found[-1][0] if len(found) == keep else math.inf
        if value + saving >= bar and len(found) == keep:
            continue
        for i, more in sorted(zip(rest.tolist(), own.tolist(), strict=True), key=lambda pair: -pair[1]):
            now = (value + more, (*chosen, i))
            stack.append((now[0], now[1], i + 1))
            found = sorted([*found, now])[:keep]
    return [some for _, some in found], complete, nodes
