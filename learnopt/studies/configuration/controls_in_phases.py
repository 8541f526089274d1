"""Regulators and capacitors of an unbalanced file, each set by itself, together with the switches.

Switches and controls take turns. Controls held, the search in phases finds the best switches, currents held at the
state at hand; switches held, one control after the other moves to where the tool of the file finds the least loss, and
all regulators together. Neither is convex, so that the end is a state that no such move improves, and proves nothing.

Where switches have few radial states and controls few settings, the tool solves every pair of them: certificate
``ac``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch, conclude
from learnopt.engines.base import AGREEMENT
from learnopt.engines.phases.engine import CLOSE_SOLUTION, PhaseTreeEngine, choice_of, every_state, switches_of
from learnopt.network import (
    Bools,
    Certificate,
    Configuration,
    Evaluation,
    PhaseSetting,
    ReconfigurationProblem,
    Result,
    Status,
)
from learnopt.network.limits import HeldLimit
from learnopt.network.unbalanced import TAPS, ControlledCircuit, PhaseDevice, PhaseState
from learnopt.physics.held_currents import joins_phases, loop_model
from learnopt.physics.phase_judge import broken_limits, evaluation_of, solved_states, summary_of, unfed_bus
from learnopt.studies.configuration.switching_order import normal_state

ROUNDS = 6
"""Turns of switches and controls at most; two or three are enough."""
MOVES = (1, -1, 2, -2, 4, -4)
"""Positions that a control moves by."""
PAIRS, ASKED_PAIRS = 4_000, 40_000
"""Radial states times settings that are all solved: without asking, and where certificate ``ac`` is asked for."""
TOO_LATE = 1e-3

Positions = dict[str, int]
"""Position of each device, by its element."""
Value = tuple[float, float]
"""How far limits are violated, and the objective [kW]."""


class _LateError(Exception):
    """The time is over."""


@dataclass
class _Best:
    """The best pair so far, answer or not."""

    closed: Bools
    positions: Positions
    value: Value


class ControlSearch:
    """Switches and controls of one problem.

    Parameters
    ----------
    problem
        One load situation; ``limits.held`` are held.
    circuit, devices
        The file, open, and what of it may be set.
    options
        Limits of time, and the certificate that is asked for.
    """

    def __init__(
        self,
        problem: ReconfigurationProblem,
        circuit: ControlledCircuit,
        devices: Sequence[PhaseDevice],
        options: SolveOptions,
    ) -> None:
        self.problem, self.circuit, self.devices, self.options = problem, circuit, devices, options
        self.watch, self.nodes, self.pairs = Stopwatch(), 0, 0
        self.present = {one.element: one.present for one in devices}
        self._set = dict(self.present)
        before = solved_states([circuit], normal_state(problem))
        self.fed: PhaseState | None = before[0] if before else None
        self.before = (
            evaluation_of(problem.replace(limits=replace(problem.limits, held=())), before) if before else None
        )
        self._known: dict[bytes, Value] = {}

    def solve(self, start: Configuration | None) -> Result:
        """The best switches and settings found, and what is proven of them."""
        closed = (start or normal_state(self.problem)).closed
        best = _Best(closed, dict(self.present), self._value(closed, self.present))
        status, every = Status.FEASIBLE, False
        said = "The time was over before no single move lowered the loss."
        try:
            for _ in range(ROUNDS):
                moved = self._set_switches(best)
                if not self._set_controls(best) and not moved:
                    break
            said = (
                "Switches and controls were set in turns until neither lowered the loss: nothing is proven about other "
                "settings."
            )
            every = self._every(best)
        except _LateError:
            pass
        except KeyboardInterrupt:
            status, said = Status.INTERRUPTED, "Interrupted; this is the best that was found so far."
        return self._result(best, status, said, every)

    def _value(self, closed: Bools, positions: Positions) -> Value:
        """Of a pair; infinite without a power flow, or where a phase is without supply."""
        key = closed.tobytes() + repr(sorted(positions.items())).encode()
        if key not in self._known:
            self._known[key] = self._computed(closed, positions)
        return self._known[key]

    def _computed(self, closed: Bools, positions: Positions) -> Value:
        if self.options.time_limit is not None and self.watch.elapsed > self.options.time_limit:
            raise _LateError
        self._operate(positions)
        if not self.circuit.solve(closed):
            return math.inf, math.inf
        state = self.circuit.state()
        if self.fed is not None and unfed_bus(self.problem.network, state, self.fed):
            return math.inf, math.inf
        broken = sum(map(_excess, broken_limits(self.problem, [state])))
        operations = self.problem.operations(Configuration(closed))
        return broken, self.circuit.loss_kw + self.problem.switching_cost * operations

    def _operate(self, positions: Positions) -> None:
        moved = {element: at for element, at in positions.items() if self._set[element] != at}
        if moved:
            self.circuit.operate(moved)
            self._set |= moved

    def _improved(self, best: _Best, closed: Bools, positions: Positions) -> bool:
        """Take a pair where it is better: fewer limits violated first."""
        value = self._value(closed, positions)
        broken = value[0] < best.value[0] - AGREEMENT
        if broken or (value[0] <= best.value[0] and value[1] < best.value[1] * (1 - AGREEMENT)):
            best.closed, best.positions, best.value = closed, positions, value
            return True
        return False

    def _set_switches(self, best: _Best) -> bool:
        """The best switches with the controls as they are."""
        self._operate(best.positions)
        seconds = self.options.time_limit
        left = None if seconds is None else max(seconds - self.watch.elapsed, TOO_LATE)
        options = SolveOptions(certify=Certificate.MODEL, time_limit=left, node_limit=self.options.node_limit)
        found = PhaseTreeEngine([self.circuit]).solve(self.problem, options, Configuration(best.closed))
        self.nodes += found.nodes
        return found.configuration is not None and self._improved(best, found.configuration.closed, best.positions)

    def _set_controls(self, best: _Best) -> bool:
        """Move controls until no move of one, or of all regulators together, is better."""
        moved, again = False, True
        while again:
            again = False
            for positions in self._moves(best.positions):
                again |= self._improved(best, best.closed, self._within(best.positions | positions))
            moved |= again
        return moved

    def _moves(self, positions: Mapping[str, int]) -> Iterator[Positions]:
        """Changes of some positions, from those at the time."""
        taps = [one.element for one in self.devices if one.kind == TAPS]
        for by in MOVES if len(taps) > 1 else ():
            yield {element: positions[element] + by for element in taps}
        for device in self.devices:
            for by in MOVES:
                yield {device.element: positions[device.element] + by}

    def _within(self, positions: Positions) -> Positions:
        """The same within the range of each device."""
        return {one.element: min(max(positions[one.element], one.first), one.last) for one in self.devices}

    def _every(self, best: _Best) -> bool:
        """Solve every radial state with every setting, where they are few; whether that was done."""
        asked = self.options.certify
        most = ASKED_PAIRS if asked is Certificate.AC else PAIRS if asked is None else 0
        settings = math.prod(len(one.values) for one in self.devices)
        if settings > most:
            return False
        switches = switches_of(self.problem)
        model = loop_model(self.circuit.conductors(switches))
        states, nodes = every_state(model, choice_of(self.problem, switches), most // settings)
        self.nodes += nodes
        if states is None or joins_phases(model):
            return False
        base = self.problem.network.normal_configuration.closed & ~self.problem.out_of_service
        self._known.clear()
        found: list[_Best] = []
        with self.circuit.closely(CLOSE_SOLUTION):
            elements = [one.element for one in self.devices]
            for numbers in product(*(range(one.first, one.last + 1) for one in self.devices)):
                positions = dict(zip(elements, numbers, strict=True))
                for opened in states.opened:
                    closed = base.copy()
                    closed[switches] = ~opened
                    found.append(_Best(closed, positions, self._value(closed, positions)))
        least = min(found, key=lambda one: one.value, default=best)
        known = any((one.closed == best.closed).all() and one.positions == best.positions for one in found)
        unknown = any(math.isinf(one.value[1]) for one in found)
        if not known or unknown or least.value[0] > 0:
            return False
        best.closed, best.positions, best.value = least.closed, least.positions, least.value
        self.pairs = len(found)
        return True

    def _result(self, best: _Best, status: Status, said: str, every: bool) -> Result:
        """The answer, judged once more with its settings."""
        problem = self.problem
        state, judged = self._judged(best, every)
        answer = judged is not None and not judged.violations and math.isfinite(best.value[1])
        if every:
            said = (
                f"Each of {self.pairs} pairs of a radial state and a setting was solved by {self.circuit.tool}; none "
                "that respects the limits loses less."
            )
        if not np.isfinite(problem.vm_max).any() and any(one.kind == TAPS for one in self.devices):
            said += " No upper voltage limit is enforced: regulators may raise voltages as far as that lowers the loss."
        result = conclude(
            problem,
            "tree",
            self.watch,
            configuration=Configuration(best.closed) if answer else None,
            status=Status.NO_SOLUTION if not answer else Status.OPTIMAL if every else status,
            certificate=Certificate.AC if every else Certificate.NONE,
            dual_bound_kw=best.value[1] if every else None,
            gap=AGREEMENT,
            message=said if answer else "No state and setting was found that respects the limits in every phase.",
            nodes=self.nodes,
            judged=judged,
            in_phases=True,
        )
        if state is None:
            return result
        summary = summary_of(self.circuit.tool, problem.network, [state], self.before)
        return replace(result, phases=replace(summary, controls=self._settings(best.positions) if answer else ()))

    def _judged(self, best: _Best, every: bool) -> tuple[PhaseState | None, Evaluation | None]:
        """The state of the answer, by the same tolerance as the others."""
        self._operate(best.positions)
        with self.circuit.closely(CLOSE_SOLUTION) if every else nullcontext():
            states = solved_states([self.circuit], Configuration(best.closed))
        if not states:
            return None, None
        return states[0], evaluation_of(self.problem, states)

    def _settings(self, positions: Positions) -> tuple[PhaseSetting, ...]:
        return tuple(
            PhaseSetting(
                one.element,
                one.kind,
                one.phases,
                one.present,
                positions[one.element],
                one.values[positions[one.element] - one.first],
            )
            for one in self.devices
        )


def _excess(broken: HeldLimit) -> float:
    """How far a limit is violated, relative."""
    return abs(broken.value - broken.limit) / max(abs(broken.limit), TOO_LATE)
