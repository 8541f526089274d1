"""The candidates of a horizon, with their losses in every step and the operations between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from learnopt.network import Bools, Configuration, Floats, HorizonProblem, Ints, Settings
from learnopt.studies.horizon.devices import Candidate, Devices
from learnopt.studies.horizon.labels import ruled_path
from learnopt.studies.horizon.path import cheapest_path, operations_of
from learnopt.studies.horizon.phase_flows import PhaseFlows


class Pool:
    """Distinct candidates that are feasible in at least one step.

    Parameters
    ----------
    problem
        The horizon.
    alone
        Settings of the controls in each step where it is solved alone, length n_step; empty without controls.
    phases
        Power flows of an unbalanced file in all its phases; None = those of the network.

    Attributes
    ----------
    configurations
        In the order of their arrival.
    closed
        Their states, shape (n, n_branch).
    devices
        Settings of the devices with each [pu], shape (n, n_device).
    known
        First step at which a rolling plan may use a candidate, shape (n,): the last step that was needed to find it.
    energy_kwh
        Energy lost in each step [kWh], ``inf`` where not feasible, shape (n_step, n).
    first
        Operations from the initial state, shape (n,).
    distance
        Operations between candidates, shape (n, n).
    """

    def __init__(
        self, problem: HorizonProblem, alone: Sequence[Settings] = (), phases: PhaseFlows | None = None
    ) -> None:
        self.problem, self.phases = problem, phases
        self._devices = Devices(problem, alone)
        self._index: dict[Candidate, int] = {}
        self._settings: list[tuple[Settings, ...]] = []  # of each candidate, in each step
        self.configurations: list[Configuration] = []
        self.closed: Bools = np.zeros((0, problem.network.n_branch), dtype=bool)
        self.devices: Floats = np.zeros((0, len(problem.rest_hours)))
        self.known: Ints = np.zeros(0, dtype=np.int64)
        self.energy_kwh: Floats = np.zeros((problem.n_steps, 0))
        self.first: Ints = np.zeros(0, dtype=np.int64)
        self.distance: Ints = np.zeros((0, 0), dtype=np.int64)

    def add(self, candidates: Iterable[Candidate], known: int) -> int:
        """Take admissible candidates that are feasible in some step; returns how many were new."""
        problem = self.problem
        fresh = []
        for candidate in dict.fromkeys(candidates):
            if candidate in self._index:
                place = self._index[candidate]
                self.known[place] = min(self.known[place], known)
            elif self.phases is not None or problem.steps[-1].admits(candidate.configuration):
                fresh.append(candidate)  # the search in phases has admitted it
        losses, settings = self._settled(fresh)
        kept = np.flatnonzero(np.isfinite(losses).any(axis=1))
        for k in kept:
            self._index[fresh[k]] = len(self.configurations)
            self.configurations.append(fresh[k].configuration)
            self._settings.append(settings[k])
        if len(kept):
            self.closed = np.concatenate([self.closed, [fresh[k].configuration.closed for k in kept]])
            self.devices = np.concatenate([self.devices, [fresh[k].devices for k in kept]])
            self.known = np.concatenate([self.known, np.full(len(kept), known)])
            self.energy_kwh = np.concatenate([self.energy_kwh, losses[kept].T * problem.hours[:, None]], axis=1)
            self._count_operations()
        return len(kept)

    def _settled(self, fresh: Sequence[Candidate]) -> tuple[Floats, list[tuple[Settings, ...]]]:
        """Losses of candidates in each step [kW], shape (n, n_step), and their settings."""
        if self.phases is None:
            return self._devices.settled(fresh)
        return self.phases.losses([candidate.configuration for candidate in fresh]), [()] * len(fresh)

    def _count_operations(self) -> None:
        states = self.closed[:, self.problem.counted].astype(np.int32)
        self.first = np.count_nonzero(states != self.problem.initial.closed[self.problem.counted], axis=1)
        ones = states.sum(axis=1)
        self.distance = (ones[:, None] + ones[None, :] - 2 * (states @ states.T)).astype(np.int64)

    def best(self, among: Ints | None = None) -> Ints | None:
        """The cheapest sequence of candidates, or of some of them, all steps known; None where none keeps the rules."""
        return self._cheapest(self.problem, 0, np.arange(len(self.configurations)) if among is None else among)

    def next_step(self, ahead: HorizonProblem, t: int) -> int | None:
        """Candidate that the cheapest way through the steps ahead, from step ``t`` on, takes first; None without one.

        Only candidates are looked at that these steps, or earlier ones, have made known.
        """
        path = self._cheapest(ahead, t, np.flatnonzero(self.known < t + ahead.n_steps))
        return None if path is None else int(path[0])

    def _cheapest(self, problem: HorizonProblem, begin: int, among: Ints) -> Ints | None:
        """The cheapest sequence of some candidates through a horizon that begins with step ``begin`` of this one."""
        energy = self.energy_kwh[begin : begin + problem.n_steps, among]
        if problem.ruled:
            path = ruled_path(problem, energy, self.closed[among], self.devices[among])
        else:
            path = cheapest_path(
                energy,
                np.count_nonzero((self.closed[among] != problem.initial.closed)[:, problem.counted], axis=1),
                self.distance[np.ix_(among, among)],
                problem.switching_cost,
                problem.max_operations,
                problem.max_operations_per_step,
            )
        return None if path is None else among[path]

    def along(self, path: Ints) -> tuple[Configuration, ...]:
        """Configuration of each step of a sequence."""
        return tuple(self.configurations[k] for k in path)

    def settings(self, path: Ints) -> tuple[Settings, ...]:
        """Settings of the controls in each step of a sequence; empty without controls."""
        return tuple(self._settings[k][t] for t, k in enumerate(path)) if self.problem.controls else ()

    def settings_at(self, candidate: int, t: int) -> tuple[Settings, ...]:
        """Settings of a candidate in one step; empty without controls."""
        return self._settings[candidate][t : t + 1]

    def objective_kwh(self, path: Ints) -> float:
        """Energy lost plus the cost of operations and of changes of devices [kWh]."""
        problem, settings = self.problem, self.settings(path)
        energy = float(self.energy_kwh[np.arange(len(path)), path].sum())
        changes = sum(problem.device_changes(settings)) if settings else 0
        return energy + problem.switching_cost * float(self.operations(path).sum()) + problem.control_cost * changes

    def operations(self, path: Ints) -> Ints:
        """Operations before each step, shape (n_step,)."""
        return operations_of(path, self.first, self.distance)
