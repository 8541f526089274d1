"""How long a switching order stays valid: between which loads of the feeder every state of it is still admissible.

All loads are scaled alike, generation stays. A state is admissible where a power flow exists and keeps every limit
that it keeps now; the target has to lose no more than the present state where it saves something now. The ends of the
range are found by power flows, and every load tried on the way to them was admissible or is outside. Nothing is proven
between the loads that were tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from learnopt.network import Configuration, ReconfigurationProblem, Scenario
from learnopt.physics import evaluate_as_it_is, evaluate_transition
from learnopt.studies.configuration.switching_order import Action, Operation, normal_state

MOST = 2.0
"""Largest load that is tried, over that of the study."""
_HALVINGS = 6
"""Of a range: an end is known to a sixty-fourth of it."""
_LARGEST = 4_000
"""Buses times states up to which every state of the order is tried at every load, not the target alone."""


@dataclass(frozen=True)
class Validity:
    """The range of loads.

    Parameters
    ----------
    load_kw
        Load of the study, consumption alone [kW].
    low_kw, high_kw
        Least and most load at which the order was found admissible [kW].
    every_state
        Every state of the order was tried, not the target alone.
    """

    load_kw: float
    low_kw: float
    high_kw: float
    every_state: bool

    @property
    def sentence(self) -> str:
        """The range for people, and how it was found."""
        now, least, most = (_in_words(kw) for kw in (self.load_kw, self.low_kw, self.high_kw))
        so_far = ", the most that was tried" if self.high_kw >= MOST * self.load_kw * (1 - 1e-9) else ""
        what = "every state of the order keeps" if self.every_state else "the target keeps"
        return (
            f"while the load, now {now} kW, stays between {least} and {most} kW{so_far} (all loads "
            f"alike, generation as it is): there {what} the limits that it keeps now, and switching still pays. Found "
            "by power flows at both ends; not proven between."
        )


def _in_words(kw: float) -> str:
    """Four digits, large values in full."""
    return f"{kw:.4g}" if kw < 1e4 else f"{kw:,.0f}".replace(",", "\u202f")


def validity(
    problem: ReconfigurationProblem, target: Configuration, operations: Sequence[Operation]
) -> Validity | None:
    """The range of loads of an order; None where its target is not admissible now, or nothing is consumed."""
    return _validity(problem, target, tuple((o.branch, o.action is Action.CLOSE) for o in operations if _moves(o)))


def _moves(operation: Operation) -> bool:
    return operation.action in (Action.OPEN, Action.CLOSE)


@lru_cache(maxsize=8)
def _validity(
    problem: ReconfigurationProblem, target: Configuration, moves: tuple[tuple[int, bool], ...]
) -> Validity | None:
    load = (
        float(np.dot(problem.weights, [_consumed(one).sum() for one in problem.situations])) * problem.network.base.kw
    )
    now = evaluate_as_it_is(problem, target)
    if load <= 0 or not now.converged or now.violations:
        return None
    start = normal_state(problem)
    before = evaluate_as_it_is(problem, start)
    saves = before.converged and now.loss_kw < before.loss_kw
    states = list(_states(start, target, moves))
    every_state = problem.network.n_bus * len(states) <= _LARGEST
    kept = [s for s in states if _kept(problem, s)] if every_state else []

    def admissible(factor: float) -> bool:
        scaled = _scaled(problem, factor)
        found = evaluate_as_it_is(scaled, target)
        if not found.converged or found.violations:
            return False
        if saves and found.loss_kw > evaluate_as_it_is(scaled, start).loss_kw * (1 + 1e-9) + 1e-9:
            return False
        return all(_kept(scaled, state) for state in kept)

    low, high = _end(admissible, 0.0), _end(admissible, MOST)
    return Validity(load, low * load, high * load, every_state)


def _end(admissible: Callable[[float], bool], far: float) -> float:
    """The end of the range towards a factor, from 1."""
    if admissible(far):
        return far
    inside, outside = 1.0, far
    for _ in range(_HALVINGS):
        middle = 0.5 * (inside + outside)
        if admissible(middle):
            inside = middle
        else:
            outside = middle
    return inside


def _states(start: Configuration, target: Configuration, moves: Sequence[tuple[int, bool]]) -> Iterator[Configuration]:
    """Different states on the way, without the target."""
    closed = start.closed.copy()
    seen = {target}
    for e, close in moves:
        closed[e] = close
        state = Configuration(closed)
        if state not in seen:
            seen.add(state)
            yield state


def _kept(problem: ReconfigurationProblem, state: Configuration) -> bool:
    """A state on the way has a power flow that keeps the limits."""
    found = evaluate_transition(problem, state)
    return found.converged and not found.violations


def _consumed(scenario: Scenario) -> np.ndarray:
    """Loads that draw power [pu], shape (n_bus,)."""
    return np.maximum(scenario.p_load, 0.0)


def _scaled(problem: ReconfigurationProblem, factor: float) -> ReconfigurationProblem:
    """All loads times a factor; what feeds in stays."""

    def of(one: Scenario) -> Scenario:
        factors = np.where(one.p_load >= 0, factor, 1.0)
        return replace(one, p_load=one.p_load * factors, q_load=one.q_load * factors)

    scenarios = tuple(of(one) for one in problem.situations)
    return problem.replace(situations=replace(problem.situations, scenarios=scenarios))
