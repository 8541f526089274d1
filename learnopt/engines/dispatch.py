"""Settings of the controls for a given configuration: coordinate search on compiled AC power flows.

Discrete controls try every value, continuous ones are searched by golden section over their range, one after the
other, until a pass changes nothing. A local optimum, never a proof; what it finds is an incumbent for engines that
prove.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import product

import numpy as np

from learnopt.engines.clock import GoesOn, always
from learnopt.engines.exchange import PENALTY, LocalSearch
from learnopt.network import Configuration, Controls, Floats, ReconfigurationProblem, Settings
from learnopt.physics.limits import limit_arrays, total_violation
from learnopt.physics.sweep import order_flow, problem_grid, sweep_tree, tree_flow

GOLDEN = (5**0.5 - 1) / 2
RESOLUTION = 1e-5
"""Share of its range at which a continuous control is settled."""
PASSES = 30
MANY_COMBINATIONS = 64
"""More combinations of bank steps than this are not all tried as starts."""


def to_vector(settings: Settings) -> Floats:
    """Taps, capacitors, active and reactive injections and on/off (1 or 0) in one row."""
    p, q = zip(*settings.generators, strict=True) if settings.generators else ((), ())
    return np.array([*settings.taps, *settings.capacitors, *p, *q, *settings.on], dtype=float)


def from_vector(controls: Controls, x: Floats) -> Settings:
    """Settings of a row of :func:`to_vector`; a generator that is off injects nothing."""
    sizes = np.cumsum([len(controls.taps), len(controls.capacitors), *3 * [len(controls.generators)]])[:-1]
    taps, capacitors, p, q, on = np.split(x, sizes)
    running = on > 0.5
    generators = zip(np.where(running, p, 0.0).tolist(), np.where(running, q, 0.0).tolist(), strict=True)
    return Settings(tuple(taps.tolist()), tuple(capacitors.tolist()), tuple(generators), tuple(running.tolist()))


class Dispatch:
    """Best settings for one configuration of a problem with controls.

    Raises
    ------
    ValueError
        If the configuration is not radial.
    """

    def __init__(self, problem: ReconfigurationProblem, configuration: Configuration) -> None:
        net, self.controls = problem.network, problem.controls
        self._limits = limit_arrays(problem)
        grid = problem_grid(problem)
        self._grid = grid._replace(
            shunted=grid.shunted or bool(self.controls.capacitors), stepped=grid.stepped or bool(self.controls.taps)
        )
        self._bus_y, self._s = grid.bus_y.copy(), problem.p + 1j * problem.q
        self._tree = tree_flow(net.n_bus)
        if not order_flow(self._grid, configuration.closed, self._tree):
            raise ValueError("the configuration is not radial")
        c = self.controls
        generators = c.generators
        self._choices: list[Floats | None] = [
            *(tap.positions for tap in c.taps),
            *(np.array(bank.choices) for bank in c.capacitors),
            *2 * len(generators) * [None],
            *(np.array([0.0, 1.0][g.available and not g.switchable : 1 + g.available]) for g in generators),
        ]
        # Active powers are searched over their span, reactive powers as a share of what their generator leaves them.
        spans = [g.span if g.available else g.reach for g in generators]
        ranges = [(t.low, t.high) for t in c.taps] + [(0.0, 0.0) for _ in c.capacitors]
        self._ranges = ranges + [(low, high) for low, high, _, _ in spans] + 2 * len(generators) * [(0.0, 1.0)]
        self._first = len(ranges)

    def merit(self, settings: Settings) -> float:
        """Loss and penalised violations [pu], infinite without a power flow."""
        grid, s = self._grid, self._s.copy()
        grid.bus_y[:] = self._bus_y
        for tap, value in zip(self.controls.taps, settings.taps, strict=True):
            grid.ratio[tap.branch] = 1.0 / value
        for bank, value in zip(self.controls.capacitors, settings.capacitors, strict=True):
            grid.bus_y[bank.bus] += 1j * value
        for generator, (p, q) in zip(self.controls.generators, settings.generators, strict=True):
            s[generator.bus] -= p + 1j * q
        loss = sweep_tree(grid, s, self._tree)
        if np.isnan(loss):
            return np.inf
        excess = total_violation(grid, self._limits, self._tree) if self._limits.active else 0.0
        return float(loss + (PENALTY * (1.0 + excess) if excess > 0 else 0.0))

    def improve(self, start: Settings | None = None, held: Collection[str] = ()) -> tuple[Settings, float]:
        """Local optimum from a start (neutral settings where absent), and its merit [pu].

        Parameters
        ----------
        held
            Kinds of controls (``taps``, ``capacitors``, ``generators``) whose discrete part stays as it is: positions,
            steps, on or off.
        """
        x = self._shared(to_vector(start or self.controls.neutral))
        best = self._at(x)
        moving = [k for k in range(len(x)) if not self._stays(k, x, held)]
        for _ in range(PASSES):
            before = best
            for k in moving:
                choices = self._choices[k]
                for value in self._golden(x, k) if choices is None else choices:
                    trial = self._moved(x, k, value)
                    if (merit := self._at(trial)) < best:
                        x, best = trial, merit
            if not best < before * (1 - 1e-9):
                break
        return self._settings(x), best

    def _shared(self, x: Floats) -> Floats:
        """The row with reactive powers as shares of their range; a generator that is off stands ready within it."""
        generators, x = self.controls.generators, x.copy()
        for k, g in enumerate(generators):
            p, q = self._first + k, self._first + len(generators) + k
            x[p], reactive = g.nearest(x[p], x[q]) if g.available else (0.0, 0.0)
            low, high = g.q_range(x[p])
            x[q] = (reactive - low) / (high - low) if high > low else 0.0
        return x

    def _settings(self, x: Floats) -> Settings:
        """Settings of a row with shares: along the rating of a generator its reactive power follows the active one."""
        generators, x = self.controls.generators, x.copy()
        for k, g in enumerate(generators):
            p, q = self._first + k, self._first + len(generators) + k
            low, high = g.q_range(x[p])
            x[q] = low + x[q] * (high - low)
        return from_vector(self.controls, x)

    def _stays(self, k: int, x: Floats, held: Collection[str]) -> bool:
        """Whether a coordinate is discrete and held, or belongs to a generator that is held off."""
        n = len(self.controls.generators)
        kind = "taps" if k < len(self.controls.taps) else "capacitors" if k < self._first else "generators"
        if kind not in held:
            return False
        off = kind == "generators" and x[self._first + 2 * n + (k - self._first) % n] < 0.5
        return self._choices[k] is not None or off

    def _moved(self, x: Floats, k: int, value: float) -> Floats:
        """The row with one value changed; an injection is tried with its generator running."""
        trial, n = x.copy(), len(self.controls.generators)
        trial[k] = value
        if self._first <= k < self._first + 2 * n:
            generator = (k - self._first) % n
            trial[self._first + 2 * n + generator] = float(self.controls.generators[generator].available)
        return trial

    def _at(self, x: Floats) -> float:
        return self.merit(self._settings(x))

    def _golden(self, x: Floats, k: int) -> list[float]:
        """Ends of the range of a continuous control, and where golden section takes its merit to be least."""
        low, high = self._ranges[k]
        a, b = low, high
        while b - a > RESOLUTION * (high - low):
            left, right = b - GOLDEN * (b - a), a + GOLDEN * (b - a)
            if self._at(self._moved(x, k, left)) <= self._at(self._moved(x, k, right)):
                b = right
            else:
                a = left
        return [low, (a + b) / 2, high]


def settle(
    problem: ReconfigurationProblem,
    configuration: Configuration,
    settings: Settings | None = None,
    goes_on: GoesOn = always,
) -> tuple[Configuration, Settings, float] | None:
    """Switches and controls improved in turns until neither finds more; None where the start has no power flow.

    Without time (``goes_on``) that is one turn.

    Returns
    -------
    Configuration, settings and merit [pu] (loss plus switching cost plus penalised violations).
    """
    settings = settings or problem.controls.neutral
    best = np.inf
    while True:
        found = LocalSearch(problem.applied(settings)).improve(configuration)
        if found is None:
            return None if np.isinf(best) else (configuration, settings, best)
        trial, _ = found
        values, merit = Dispatch(problem, trial).improve(settings)
        merit += problem.switching_cost / problem.network.base.kw * problem.operations(trial)
        if not merit < best * (1 - 1e-9):
            return configuration, settings, best
        configuration, settings, best = trial, values, merit
        if not goes_on():
            return configuration, settings, best


def settle_from_each_step(
    problem: ReconfigurationProblem,
    configuration: Configuration,
    settings: Settings | None = None,
    goes_on: GoesOn = always,
) -> tuple[Configuration, Settings, float] | None:
    """:func:`settle` from the best of all combinations of bank steps, where they are few: one by one they get stuck.

    Parameters
    ----------
    settings
        Where the other controls start; neutral where absent.
    goes_on
        There is time. Where there is none no further combination is tried.
    """
    controls = problem.controls
    choices = [bank.choices for bank in controls.capacitors]
    settings = settings or controls.neutral
    start, least = (configuration, settings), np.inf
    if 1 < np.prod([len(c) for c in choices]) <= MANY_COMBINATIONS:
        for steps in product(*choices):
            if not goes_on():
                break
            trial = replace(settings, capacitors=steps)
            found = LocalSearch(problem.applied(trial)).improve(configuration)
            if found is not None and found[1] < least:
                start, least = (found[0], trial), found[1]
    return settle(problem, *start, goes_on)
