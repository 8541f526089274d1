"""A study of savings in all phases of an unbalanced file: candidates of the search in phases, measured by its tool.

Where radial states are few all of them are candidates, and each is solved in every step: the least loss of a step is
then proven in AC, and with it that of any season and of the whole profile. Where they are many, candidates are the
optima of representative situations, and nothing is proven.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.phases.engine import CLOSE_SOLUTION, PhaseTreeEngine, choice_of, every_state, switches_of
from learnopt.errors import DataError
from learnopt.network import Bools, Certificate, Configuration, Floats, Ints, Limits, Scenario, Situations
from learnopt.network.held import held_in_words
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.unbalanced import PhaseCircuit, PhaseState
from learnopt.physics.held_currents import joins_phases, loop_model
from learnopt.physics.phase_judge import broken_limits, evaluation_of, unfed_bus
from learnopt.physics.situation_circuits import situations_of
from learnopt.studies.savings.measure import Judged, Measured
from learnopt.studies.savings.problem import Savings, SavingsProblem
from learnopt.studies.savings.representatives import Representatives, representatives
from learnopt.studies.savings.study import Bounds, Progress, strategies_of

EVERY_STATE = 20_000_000
"""Radial states times steps times buses up to which each state is solved in every step."""
SITUATIONS, OF_SEASON = 24, 6
"""Representatives whose own optimum is a candidate, and those of one season at most, where states are many."""
SEARCH_NODES = 20_000
"""Nodes of one search."""
_LEAST = (LimitKind.LOWEST_VOLTAGE, LimitKind.LEAST_POWER)
Broken = dict[tuple[LimitKind, int], HeldLimit]
"""Limits that a state breaks."""


def savings_in_phases(
    problem: SavingsProblem, circuit: PhaseCircuit, hold: bool = True, progress: Progress | None = None
) -> Savings:
    """Compare the present configuration with the best one, one per season and one per step, in all phases.

    Parameters
    ----------
    problem
        The study, its network in phases (:meth:`~learnopt.network.Network.in_phases`).
    circuit
        The file, open.
    hold
        Limits that every candidate breaks in some step, the present one too, are held at their worst present value.
    progress
        Called with what is being done, how many are done and how many there are.

    Raises
    ------
    DataError
        If no radial configuration exists.
    """
    if bad := problem.of_steps(np.arange(1)).contradictions:
        raise DataError("savings", bad)
    study = _PhaseStudy(problem, circuit, progress or (lambda _what, _done, _total: None))
    with circuit.closely(CLOSE_SOLUTION):
        return study.run(hold)


@dataclass(frozen=True, eq=False)
class _Table:
    """Every candidate in every step.

    Parameters
    ----------
    measured
        One per candidate.
    broken
        Limits that each breaks in each step, and ``None`` where a phase is without supply or there is no power flow.
    """

    measured: list[Measured]
    broken: list[list[Broken | None]]

    @property
    def loss_kw(self) -> Floats:
        """Shape (n_step, n); infinite without power flow."""
        return np.nan_to_num(np.stack([one.loss_kw for one in self.measured], axis=1), nan=np.inf)

    @property
    def within(self) -> Bools:
        """Shape (n_step, n)."""
        return np.stack([one.within for one in self.measured], axis=1)

    def holding(self, held: Sequence[HeldLimit]) -> _Table:
        """The same where these limits are held."""
        value = {(one.kind, one.index): one.value for one in held}

        def respected(broken: Broken | None) -> bool:
            return broken is not None and all(
                key in value and (one.value >= value[key] if one.kind in _LEAST else one.value <= value[key])
                for key, one in broken.items()
            )

        within = [np.array([respected(one) for one in steps], dtype=bool) for steps in self.broken]
        measured = [replace(one, within=own) for one, own in zip(self.measured, within, strict=True)]
        return replace(self, measured=measured)


class _Known(Judged):
    """What was measured of every candidate in every step."""

    def __init__(self, problem: SavingsProblem, pool: Sequence[Configuration], table: _Table) -> None:
        super().__init__(problem)
        self._known = dict(zip(pool, table.measured, strict=True))

    def of(self, configuration: Configuration, steps: Ints) -> Measured:
        """Power flows of a candidate."""
        return self._known[configuration]


class _PhaseStudy:
    def __init__(self, problem: SavingsProblem, circuit: PhaseCircuit, report: Progress) -> None:
        self.problem, self.circuit, self.report = problem, circuit, report
        self.watch = Stopwatch()
        self.representatives = 0

    def run(self, hold: bool) -> Savings:
        """Candidates, every one in every step, and the strategies."""
        problem = self.problem
        with self.watch.stage("candidates"):
            pool, every = self._candidates()
        with self.watch.stage("power flows"):
            table = self._solved(pool)
        if hold and problem.limits != Limits():
            held = _stubborn(table.broken)
            problem = replace(problem, limits=replace(problem.limits, held=(*problem.limits.held, *held)))
            table = table.holding(held)
        loss = table.loss_kw
        proven = every and bool(np.isfinite(loss).all())
        with self.watch.stage("judge"):
            judge = _Known(problem, pool, table)
            bounds = _bounds(problem, loss) if proven else Bounds.none(problem)
            strategies = strategies_of(problem, pool, loss, table.within, bounds, judge, self.report)
        said = "Solved in all phases, since the file is unbalanced. " + self._said(len(pool), every, proven)
        return Savings(
            problem=problem,
            strategies=strategies,
            certificate=Certificate.AC if any(s.bound_mwh is not None for s in strategies) else Certificate.NONE,
            message=" ".join(filter(None, (said, held_in_words(problem.network, problem.limits)))),
            representatives=self.representatives,
            candidates=len(pool),
            proven_steps=problem.n_steps if proven else 0,
            stage_times_s=dict(self.watch.stages),
            solve_time_s=self.watch.elapsed,
        )

    def _said(self, n: int, every: bool, proven: bool) -> str:
        """What is proven, and why."""
        tool = self.circuit.tool
        if proven:
            return f"Each of the {n} radial states was solved in every step by {tool} (taps held): bounds hold in AC."
        if every:
            return f"Nothing is proven: {tool} finds no power flow of some radial state in some step."
        return "Nothing is proven: there are too many radial states to solve each in every step."

    def _candidates(self) -> tuple[list[Configuration], bool]:
        """The present state and others; whether these are all radial states."""
        problem = self.problem
        asked = problem.of_steps(np.arange(1), limits=Limits())
        switches = switches_of(asked)
        model = loop_model(self.circuit.conductors(switches))
        most = EVERY_STATE // (problem.n_steps * problem.network.n_bus)
        found, _ = every_state(model, choice_of(asked, switches), most)
        if found is None or joins_phases(model):
            return list(dict.fromkeys([problem.present, *self._searched()])), False
        base = problem.network.normal_configuration.closed & problem.counted
        states = []
        for opened in found.opened:
            closed = base.copy()
            closed[switches] = ~opened
            states.append(Configuration(closed))
        return list(dict.fromkeys([problem.present, *states])), True

    def _searched(self) -> Iterator[Configuration]:
        """Optima of representative situations: of all together, of each season, and of some alone."""
        problem = self.problem
        ends = np.append(problem.seasons, problem.n_steps)
        each = max(1, min(OF_SEASON, 4 * SITUATIONS // len(problem.seasons)))
        parts = [representatives(problem, np.arange(a, b), each) for a, b in pairwise(ends)]
        fields = ("p", "q", "hours")
        p, q, hours = (np.concatenate([getattr(part, key) for part in parts]) for key in fields)
        self.representatives = len(hours)
        order = np.argsort(p.sum(axis=1), kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, min(SITUATIONS, len(order))).astype(np.int64))
        alone = [Representatives(p[[at]], q[[at]], np.ones(1), exact=False) for at in order[chosen]]
        wanted = [Representatives(p, q, hours, exact=False), *parts, *alone]
        for k, part in enumerate(wanted):
            self.report("load situations", k, len(wanted))
            yield from self._best(part)

    def _best(self, part: Representatives) -> Iterable[Configuration]:
        """The best configuration for some situations together, within limits and without."""
        problem = self.problem
        for limits in (Limits(),) if problem.limits == Limits() else (Limits(), problem.limits):
            asked = problem.together(part.p, part.q, part.hours, limits=limits)
            circuits = situations_of(self.circuit, list(asked.situations))
            options = SolveOptions(certify=Certificate.MODEL, node_limit=SEARCH_NODES)
            found = PhaseTreeEngine(circuits).solve(asked, options, problem.present)
            if found.configuration is not None:
                yield found.configuration

    def _solved(self, pool: Sequence[Configuration]) -> _Table:
        """Every candidate in every step, loads set once in each."""
        problem, n = self.problem, self.problem.n_steps
        blank = [np.full((len(pool), n), np.nan) for _ in range(4)]
        loss, low, high, loading = blank
        broken: list[list[Broken | None]] = [[None] * n for _ in pool]
        for t in range(n):
            self.report("steps", t, n)
            step = problem.of_steps(np.arange(t, t + 1))
            self.circuit.set_loads(_scenario(step.situations))
            fed: PhaseState | None = None
            for k, configuration in enumerate(pool):
                if not self.circuit.solve(configuration.closed):
                    continue
                state = self.circuit.state()
                fed = state if k == 0 else fed  # the present one comes first
                found = evaluation_of(step, [state])
                loss[k, t], loading[k, t] = found.loss_kw, found.max_loading
                low[k, t], high[k, t] = found.vm.min(), state.highest.max()
                if fed is None or not unfed_bus(problem.network, state, fed):
                    broken[k][t] = {(one.kind, one.index): one for one in broken_limits(step, [state])}
        measured = [
            Measured(loss[k], np.array([one == {} for one in broken[k]]), low[k], high[k], loading[k])
            for k in range(len(pool))
        ]
        return _Table(measured, broken)


def _scenario(situations: Situations) -> Scenario:
    """The only one."""
    (one,) = situations
    return one


def _bounds(problem: SavingsProblem, loss: Floats) -> Bounds:
    """Least energy of all candidates, which are all radial states, limits left aside."""
    energy = loss * problem.hours[:, None]
    seasons = np.add.reduceat(energy, problem.seasons, axis=0)
    return Bounds(float(energy.sum(axis=0).min()), seasons.min(axis=1), energy.min(axis=1))


def _stubborn(broken: Sequence[Sequence[Broken | None]]) -> list[HeldLimit]:
    """Limits that in some step the present state and every other candidate break, at their worst present value."""
    keys: set[tuple[LimitKind, int]] = set()
    for step in zip(*broken, strict=True):
        solved = [set(one) for one in step if one is not None]
        if step[0] is not None:
            keys |= set.intersection(*solved)
    held: dict[tuple[LimitKind, int], HeldLimit] = {}
    for one in broken[0]:
        for key in keys.intersection(one or {}):
            assert one is not None
            value, other = one[key], held.get(key)
            worse = other is None or (value.value < other.value) == (value.kind in _LEAST)
            held[key] = value if worse else held[key]
    return list(held.values())
