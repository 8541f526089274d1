"""Horizons with controls: candidates are a configuration together with the settings of its devices.

Capacitor banks and tap changers with positions are fixed within a step and bound over time; continuous taps and
generators follow the loads. The MILP proves the least loss of every step over all switches and all controls, so the sum
of those bounds holds for every plan; what rules and costs over time add is bounded by pricing
(:mod:`learnopt.studies.horizon.pricing`). Candidates cross the configurations with the device settings found.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np

from learnopt.engines import SolveOptions, conclude
from learnopt.engines.dispatch import Dispatch
from learnopt.engines.exchange import PENALTY
from learnopt.engines.milp.coupled import DEVICES, Coupled, Plan
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.periods import solve_periods
from learnopt.network import (
    Certificate,
    Configuration,
    Floats,
    HorizonProblem,
    Ints,
    ReconfigurationProblem,
    Result,
    Settings,
    Status,
)
from learnopt.physics.batch import feasible_losses
from learnopt.studies.horizon.bound import Prices, best_at, find_prices
from learnopt.studies.horizon.labels import ruled_path
from learnopt.studies.horizon.run import Run
from learnopt.studies.horizon.store import StepRecord

PRICED_ROUNDS = 4
"""Rounds of the bound with prices: each solves the MILP of every step once more."""
MOST_CANDIDATES = {True: 48, False: 600}
"""Candidates made by crossing: few where every one needs a dispatch in every step, many where a power flow does."""


class ControlledPool:
    """Pairs of a configuration and settings of the devices, with their losses in every step.

    Parameters
    ----------
    problem
        The horizon.

    Attributes
    ----------
    configurations
        Of each candidate.
    known
        First step at which a rolling plan may use a candidate, shape (n,).
    energy_kwh
        Energy lost in each step with what is not a device settled for it [kWh], shape (n_step, n).
    """

    def __init__(self, problem: HorizonProblem) -> None:
        self.problem = problem
        controls = problem.controls
        self.follows = bool(controls.generators) or len(problem.stepped_taps) < len(controls.taps)
        self.configurations: list[Configuration] = []
        self._settings: list[list[Settings]] = []  # of each candidate, in each step
        self._index: dict[tuple[Configuration, tuple[float, ...]], int] = {}
        self.known: Ints = np.zeros(0, dtype=np.int64)
        self.energy_kwh: Floats = np.zeros((problem.n_steps, 0))

    @property
    def closed(self) -> np.ndarray:
        """States of the candidates, shape (n, n_branch)."""
        shape = (len(self.configurations), self.problem.network.n_branch)
        return np.array([c.closed for c in self.configurations], dtype=bool).reshape(shape)

    @property
    def devices(self) -> Floats:
        """Settings of the devices of the candidates, shape (n, n_device)."""
        values = [self.problem.device_values(each[0]) for each in self._settings]
        return np.array(values).reshape(len(values), len(self.problem.rest_hours))

    def add(self, configuration: Configuration, starts: list[Settings], known: int) -> bool:
        """Take a candidate if it is new, admissible and feasible in some step.

        Parameters
        ----------
        starts
            Settings to start from in each step; all with the same devices.
        """
        problem = self.problem
        key = configuration, tuple(problem.device_values(starts[0]).tolist())
        if key in self._index:
            place = self._index[key]
            self.known[place] = min(self.known[place], known)
            return False
        if not problem.steps[-1].admits(configuration):
            return False
        settings, loss = starts, np.empty(problem.n_steps)
        if self.follows:
            found = [
                Dispatch(step, configuration).improve(start, DEVICES)
                for step, start in zip(problem.steps, starts, strict=True)
            ]
            settings = [values for values, _ in found]
            loss[:] = [merit * problem.network.base.kw if merit < PENALTY else math.inf for _, merit in found]
        else:
            loss[:] = feasible_losses(problem.together.applied(starts[0]), [configuration])[0]
        if not np.isfinite(loss).any():
            return False
        self._index[key] = len(self.configurations)
        self.configurations.append(configuration)
        self._settings.append(settings)
        self.known = np.append(self.known, known)
        self.energy_kwh = np.concatenate([self.energy_kwh, (loss * problem.hours)[:, None]], axis=1)
        return True

    def best(self, among: Ints | None = None) -> Ints | None:
        """The cheapest sequence of candidates, or of some of them; None where none respects the rules."""
        chosen = np.arange(len(self.configurations)) if among is None else among
        path = ruled_path(self.problem, self.energy_kwh[:, chosen], self.closed[chosen], self.devices[chosen])
        return None if path is None else chosen[path]

    def next_step(self, ahead: HorizonProblem, t: int) -> int | None:
        """Candidate that the cheapest way through the steps ahead takes first, of those known by then."""
        end = t + ahead.n_steps
        usable = np.flatnonzero(self.known < end)
        path = ruled_path(ahead, self.energy_kwh[t:end, usable], self.closed[usable], self.devices[usable])
        return None if path is None else int(usable[path[0]])

    def settings_at(self, candidate: int, t: int) -> Settings:
        """Settings of a candidate in a step."""
        return self._settings[candidate][t]

    def settings(self, path: Ints) -> tuple[Settings, ...]:
        """Settings of each step of a sequence."""
        return tuple(self._settings[k][t] for t, k in enumerate(path))

    def operations(self, path: Ints) -> Ints:
        """Operations before each step, shape (n_step,)."""
        states = [self.problem.initial, *(self.configurations[k] for k in path)]
        return np.array([self.problem.operations(a, b) for a, b in pairwise(states)])

    def objective_kwh(self, path: Ints) -> float:
        """Energy lost plus the cost of operations and of changes of devices [kWh]."""
        problem = self.problem
        energy = float(self.energy_kwh[np.arange(len(path)), path].sum())
        changes = sum(problem.device_changes(self.settings(path)))
        return energy + problem.switching_cost * float(self.operations(path).sum()) + problem.control_cost * changes


class ControlledRun(Run):
    """One plan of a horizon with controls."""

    pool: ControlledPool  # type: ignore[assignment]

    def _prepare(self) -> None:
        self.pool = ControlledPool(self.problem)
        self.certificate, self.loose = Certificate.AC, False
        self._records: list[StepRecord] = []

    def _record(self, step: ReconfigurationProblem, start: Configuration | None) -> StepRecord:
        result = self._prove(step, start)
        found = () if result.configuration is None else (result.configuration,)
        settings = () if result.settings is None else (result.settings,)
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, found, settings)

    def _prove(self, step: ReconfigurationProblem, start: Configuration | None) -> Result:
        """The MILP on one step, to a tenth of the gap asked for."""
        left = None
        if math.isfinite(self.work.limit):  # every step gets its share, so that each has a bound
            steps_left = self.problem.n_steps - len(self._records)
            left = max(self.work.left / max(steps_left, 1), 0.05)
        options = SolveOptions(gap=min(max(0.1 * self.gap, 1e-4), 1e-3), time_limit=left)
        result = MilpEngine().solve(step, options, start)
        self._count(result)
        return result

    def _take(self, record: StepRecord, t: int) -> None:
        self._records.append(record)

    def _take_initial(self) -> None:
        """Candidates: what was found together, then configurations and settings crossed, common ones first."""
        problem, pool, records = self.problem, self.pool, self._records
        if any(not record.configurations for record in records):
            return
        first_seen: dict[object, int] = {problem.initial: 0}
        configurations: Counter[Configuration] = Counter({problem.initial: 1})
        devices: Counter[tuple[float, ...]] = Counter()
        sample: dict[tuple[float, ...], Settings] = {}
        pairs = []
        for t, record in enumerate(records):
            values = tuple(problem.device_values(record.settings[0]).tolist())
            for key in (record.configurations[0], values):
                first_seen.setdefault(key, t)
            sample.setdefault(values, record.settings[0])
            configurations[record.configurations[0]] += 1
            devices[values] += 1
            pairs.append((record.configurations[0], values))
        neutral = problem.controls.neutral
        values = tuple((problem.device_values(neutral) if problem.devices is None else problem.devices).tolist())
        first_seen.setdefault(values, 0)
        sample.setdefault(values, self._with_devices(neutral, values))
        devices[values] += 1
        crossed = [(c, v) for (c, _) in configurations.most_common() for (v, _) in devices.most_common()]
        crossed.sort(key=lambda pair: -configurations[pair[0]] * devices[pair[1]])
        # Staying as one is must be possible, whatever the rules allow.
        staying = [(problem.initial, v) for v in (values, devices.most_common(1)[0][0])]
        most = MOST_CANDIDATES[pool.follows]
        wanted = list(dict.fromkeys([*pairs, *staying, *crossed]))[: max(most, len(set(pairs)) + len(staying))]
        for k, (configuration, values) in enumerate(wanted):
            self.work.report("candidates", k, len(wanted))
            known = max(first_seen[configuration], first_seen[values])
            self._offer(configuration, self._with_devices(neutral, values), known)

    def _with_devices(self, settings: Settings, values: tuple[float, ...]) -> Settings:
        """Settings with those of the devices replaced."""
        banks = len(settings.capacitors)
        taps = list(settings.taps)
        for k, value in zip(self.problem.stepped_taps, values[banks:], strict=True):
            taps[k] = value
        return replace(settings, taps=tuple(taps), capacitors=tuple(values[:banks]))

    def _static(self) -> Result:
        """Best single configuration among the candidates, its controls set anew in every step; not proven."""
        problem, pool = self.problem, self.pool
        best: tuple[float, Ints] | None = None
        for configuration in dict.fromkeys(pool.configurations):
            among = np.array([k for k, c in enumerate(pool.configurations) if c == configuration])
            path = pool.best(among)
            if path is not None and (best is None or pool.objective_kwh(path) < best[0]):
                best = pool.objective_kwh(path), path
        together = problem.together.replace(max_operations=None)
        found, settings = (None, None) if best is None else (pool.configurations[best[1][0]], pool.settings(best[1]))
        result = conclude(
            together, "milp", self.work.watch, configuration=found, settings=settings, status=Status.FEASIBLE
        )
        if best is None or result.configuration is None:
            return result
        return replace(result, objective_kw=best[0] / float(problem.hours.sum()))

    def _raise(self, records: list[StepRecord], gap: float) -> None:
        """Rounds over the steps with prices; the sum of the bounds of the steps holds whatever ties them."""
        problem, pool = self.problem, self.pool
        prices: Prices | None = None
        first = self.work.rounds
        priced = problem.switching_cost > 0 or problem.max_operations is not None
        while priced and self.work.rounds < first + PRICED_ROUNDS and not self.work.late:
            path = pool.best()
            if path is None or self.proven.ac_kwh >= pool.objective_kwh(path) * (1 - gap):
                break
            prices = find_prices(pool, prices)
            total, found = self._priced(prices, best_at(pool, prices), gap)
            self.work.rounds += 1
            self.proven = self.proven.with_ac(total)
            if not found:
                break

    def _priced(self, prices: Prices, reference: Ints, gap: float) -> tuple[float, int]:
        """The bound at given prices of closed branches [kWh], and how many candidates were new."""
        problem, pool = self.problem, self.pool
        total, fresh = prices.constant(pool), 0
        for t in range(problem.n_steps):
            if self.work.late:
                return -math.inf, fresh
            self.work.report(f"bound, round {self.work.rounds + 1}", t, problem.n_steps)
            priced = Coupled(problem.alone(t), prices=prices.by_step[t : t + 1])
            start = Plan((pool.configurations[reference[t]],), (pool.settings_at(int(reference[t]), t),))
            left = None if math.isinf(self.work.limit) else max(self.work.left, 0.05)
            options = SolveOptions(gap=max(0.3 * gap, 1e-4), time_limit=left)
            result = solve_periods(priced, options, start, self.ac_kw[t : t + 1])
            self._count(result)
            total += result.bound_kwh if result.proven else -math.inf
            if result.plan is not None and result.plan != start:
                fresh += self._offer(result.plan.configurations[0], result.plan.settings[0], problem.n_steps)
        return total, fresh

    def _offer(self, configuration: Configuration, settings: Settings, known: int) -> bool:
        """Make a candidate of a configuration and the devices of settings."""
        values = tuple(self.problem.device_values(settings).tolist())
        starts = [self._with_devices(record.settings[0], values) for record in self._records]
        return self.pool.add(configuration, starts, known)

    def _take_plan(self, plan: Plan, known: int) -> None:
        for configuration, settings in zip(plan.configurations, plan.settings, strict=True):
            self._offer(configuration, settings, known)

    def _plan_of(self, path: Ints) -> Plan:
        return Plan(tuple(self.pool.configurations[k] for k in path), self.pool.settings(path))

    def _look_ahead(self, ahead: HorizonProblem, t: int, state: Configuration) -> None:
        """Candidates of a window are those of its steps: nothing to add."""

    def _devices(self, candidate: int) -> Floats:
        return self.pool.devices[candidate]

    def _settings(self, path: Ints) -> tuple[Settings, ...]:
        return self.pool.settings(path)
