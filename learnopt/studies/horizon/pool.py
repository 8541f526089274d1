"""The candidate configurations of a horizon, with their losses in every step and the operations between them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from learnopt.network import Bools, Configuration, Floats, Ints
from learnopt.physics.batch import feasible_losses
from learnopt.studies.horizon.labels import ruled_path
from learnopt.studies.horizon.path import cheapest_path
from learnopt.studies.horizon.problem import HorizonProblem


class Pool:
    """Distinct configurations that are feasible in at least one step.

    Parameters
    ----------
    problem
        The horizon.

    Attributes
    ----------
    configurations
        In the order of their arrival.
    known
        First step at which a rolling plan may use a candidate, shape (n,): the last step that was needed to find it.
    energy_kwh
        Energy lost in each step [kWh], ``inf`` where not feasible, shape (n_step, n).
    first
        Operations from the initial state, shape (n,).
    distance
        Operations between candidates, shape (n, n).
    """

    def __init__(self, problem: HorizonProblem) -> None:
        self.problem = problem
        self.configurations: list[Configuration] = []
        self._index: dict[Configuration, int] = {}
        self._closed: Bools = np.zeros((0, problem.network.n_branch), dtype=bool)
        self.known: Ints = np.zeros(0, dtype=np.int64)
        self.energy_kwh: Floats = np.zeros((problem.n_steps, 0))
        self.first: Ints = np.zeros(0, dtype=np.int64)
        self.distance: Ints = np.zeros((0, 0), dtype=np.int64)

    @property
    def closed(self) -> Bools:
        """States of the candidates, shape (n, n_branch)."""
        return self._closed

    def add(self, configurations: Iterable[Configuration], known: int) -> int:
        """Take admissible configurations that are feasible in some step; returns how many were new."""
        problem = self.problem
        fresh = []
        for configuration in dict.fromkeys(configurations):
            if configuration in self._index:
                place = self._index[configuration]
                self.known[place] = min(self.known[place], known)
            elif problem.steps[-1].admits(configuration):
                fresh.append(configuration)
        energy = feasible_losses(problem.together, fresh).T * problem.hours[:, None]
        kept = np.flatnonzero(np.isfinite(energy).any(axis=0)) if fresh else np.zeros(0, dtype=np.int64)
        for k in kept:
            self._index[fresh[k]] = len(self.configurations)
            self.configurations.append(fresh[k])
        if len(kept):
            self._closed = np.concatenate([self._closed, [fresh[k].closed for k in kept]])
            self.known = np.concatenate([self.known, np.full(len(kept), known)])
            self.energy_kwh = np.concatenate([self.energy_kwh, energy[:, kept]], axis=1)
            states = self._closed[:, problem.counted].astype(np.int32)
            start = problem.initial.closed[problem.counted]
            self.first = np.count_nonzero(states != start, axis=1)
            ones = states.sum(axis=1)
            self.distance = (ones[:, None] + ones[None, :] - 2 * (states @ states.T)).astype(np.int64)
        return len(kept)

    def best(self) -> Ints | None:
        """The cheapest sequence of candidates, all steps known; None where none respects the caps."""
        problem = self.problem
        if problem.ruled:
            return ruled_path(problem, self.energy_kwh, self._closed, np.zeros((len(self.configurations), 0)))
        return cheapest_path(
            self.energy_kwh,
            self.first,
            self.distance,
            problem.switching_cost,
            problem.max_operations,
            problem.max_operations_per_step,
        )

    def next_step(self, ahead: HorizonProblem, t: int) -> int | None:
        """Candidate that the cheapest way through the steps ahead, from step ``t`` on, takes first; None without one.

        Only candidates are looked at that these steps, or earlier ones, have made known.
        """
        end = t + ahead.n_steps
        usable = np.flatnonzero(self.known < end)
        if ahead.ruled:
            none = np.zeros((len(usable), 0))
            path = ruled_path(ahead, self.energy_kwh[t:end, usable], self._closed[usable], none)
            return None if path is None else int(usable[path[0]])
        path = cheapest_path(
            self.energy_kwh[t:end, usable],
            np.count_nonzero((self._closed[usable] != ahead.initial.closed)[:, ahead.counted], axis=1),
            self.distance[np.ix_(usable, usable)],
            ahead.switching_cost,
            ahead.max_operations,
            ahead.max_operations_per_step,
        )
        return None if path is None else int(usable[path[0]])

    def objective_kwh(self, path: Ints) -> float:
        """Energy lost plus switching cost of a sequence [kWh]."""
        return self.energy(path) + self.problem.switching_cost * float(self.operations(path).sum())

    def energy(self, path: Ints) -> float:
        """Energy lost by a sequence [kWh]."""
        return float(self.energy_kwh[np.arange(len(path)), path].sum())

    def operations(self, path: Ints) -> Ints:
        """Operations before each step, shape (n_step,)."""
        return np.concatenate([[self.first[path[0]]], self.distance[path[:-1], path[1:]]])
