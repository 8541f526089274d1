r"""Cheapest sequence of candidates where rules bind single switches or devices over time: labels instead of states.

A label is a way to a candidate of a step: its cost, the operations of each switch so far, and the time from which each
device may change again. Of two labels at one candidate the one that is not cheaper, has used no switch less and no
device frees earlier is dominated: whatever follows it may follow the other. What is left after every step is all that
the cheapest sequence needs. Labels whose cost plus the cheapest rest without these rules exceeds a sequence known are
dropped too.

References
----------
Desrochers & Soumis (1988), doi:10.1080/03155986.1988.11732063 (labels for paths with resources).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.network import Bools, Floats, HorizonProblem, Ints
from learnopt.network.horizon import SAME

WIDTHS = (64, 4096)
"""Labels kept per step: a first pass for a sequence to prune by, then one that is exact while it keeps all."""


@dataclass(frozen=True, eq=False)
class _Label:
    cost: float
    candidate: int
    used: Ints
    free_from: Floats
    before: _Label | None


def ruled_path(problem: HorizonProblem, energy_kwh: Floats, closed: Bools, devices: Floats) -> Ints | None:
    """Candidate of each step on the cheapest sequence that respects every rule of a horizon; None without one.

    Parameters
    ----------
    problem
        Its costs, caps and rest times; its loads are not looked at.
    energy_kwh
        Energy lost by each candidate in each step [kWh], ``inf`` where it is not feasible, shape (n_step, n).
    closed
        States of the candidates, shape (n, n_branch).
    devices
        Settings of the devices of the candidates, shape (n, n_device).
    """
    if energy_kwh.shape[1] == 0:
        return None
    layers = _Layers(problem, energy_kwh, closed, devices)
    best: _Label | None = None
    for width in WIDTHS:
        found, complete = layers.run(width, np.inf if best is None else best.cost)
        best = found or best
        if complete:
            break
    if best is None:
        return None
    path = []
    label: _Label | None = best
    while label is not None and label.before is not None:
        path.append(label.candidate)
        label = label.before
    return np.array(path[::-1], dtype=np.int64)


class _Layers:
    """The layers of one call of :func:`ruled_path`."""

    def __init__(self, problem: HorizonProblem, energy: Floats, closed: Bools, devices: Floats) -> None:
        self.problem, self.energy, self.devices = problem, energy, devices
        initial = problem.initial.closed
        moving = np.flatnonzero(problem.counted & (closed != initial).any(axis=0))
        self.states = np.concatenate([closed[:, moving], initial[None, moving]])  # the last row is the state before
        caps = problem.switch_caps
        self.caps = None if caps is None else caps[moving]
        self.counts = 0 if self.caps is None else len(moving)
        self.cap = np.inf if problem.max_operations is None else problem.max_operations
        self.step_cap = np.inf if problem.max_operations_per_step is None else problem.max_operations_per_step
        ones = self.states.sum(axis=1)
        both = self.states.astype(np.int32) @ self.states.T.astype(np.int32)
        self.distance = ones[:, None] + ones[None, :] - 2 * both
        before = devices[:1] * np.nan if problem.devices is None else problem.devices[None, :]
        self.values = np.concatenate([devices, before])
        changed = np.abs(self.values[:, None, :] - self.values[None, :, :]) > SAME  # an unknown value is no change
        self.changed = changed
        step_cost = problem.switching_cost * self.distance + problem.control_cost * changed.sum(axis=2)
        self.step_cost = np.where(self.distance <= self.step_cap, step_cost, np.inf)
        self.rest = self._cheapest_rest()

    def _cheapest_rest(self) -> Floats:
        """Least cost after each step from each candidate, single switches and devices unbound, shape (n_step, n)."""
        n_steps, n = self.energy.shape
        rest = np.zeros((n_steps, n))
        for t in range(n_steps - 1, 0, -1):
            rest[t - 1] = (self.step_cost[:n, :n] + self.energy[t] + rest[t]).min(axis=1)
        return rest

    def run(self, width: int, ceiling: float) -> tuple[_Label | None, bool]:
        """The cheapest label after the last step that costs less than a ceiling, and whether none was left out."""
        problem, n = self.problem, self.energy.shape[1]
        rested = problem.rested if problem.rested is not None else np.full(len(problem.rest_hours), np.inf)
        free_from = problem.rest_hours - rested
        first = np.zeros(self.counts + 1, dtype=np.int64)  # operations of each switch, and of all
        layer, complete = [_Label(0.0, n, first, free_from, None)], True
        for t, begin in enumerate(problem.begins.tolist()):
            groups: list[list[_Label]] = [[] for _ in range(n)]
            for label in layer:
                self._extend(label, t, begin, ceiling, groups)
            layer = [label for group in groups for label in _undominated(group)]
            if len(layer) > width:
                layer.sort(key=lambda label: label.cost + self.rest[t, label.candidate])
                layer, complete = layer[:width], False
        return min(layer, key=lambda label: label.cost, default=None), complete

    def _extend(self, label: _Label, t: int, begin: float, ceiling: float, groups: list[list[_Label]]) -> None:
        n, p = self.energy.shape[1], label.candidate
        cost = label.cost + self.step_cost[p, :n] + self.energy[t]
        used = label.used[-1] + self.distance[p, :n]
        changed = self.changed[p, :n]
        allowed = (cost + self.rest[t] < ceiling) & (used <= self.cap)
        allowed &= ~(changed & (begin < label.free_from - SAME)).any(axis=1)
        moved = self.states[:n] != self.states[p]
        if self.caps is not None:
            allowed &= (label.used[:-1] + moved <= self.caps).all(axis=1)
        for q in np.flatnonzero(allowed):
            counts = label.used + np.append(moved[q] if self.counts else moved[q, :0], self.distance[p, q])
            if np.isinf(self.cap):
                counts[-1] = 0
            free_from = np.where(changed[q], begin + self.problem.rest_hours, np.maximum(label.free_from, begin))
            groups[q].append(_Label(float(cost[q]), int(q), counts, free_from, label))


def _undominated(labels: list[_Label]) -> list[_Label]:
    """Labels that none of the others dominates, the cheapest first."""
    labels.sort(key=lambda label: label.cost)
    kept: list[_Label] = []
    for label in labels:
        if not any((o.used <= label.used).all() and (o.free_from <= label.free_from + SAME).all() for o in kept):
            kept.append(label)
    return kept
