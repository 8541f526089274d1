"""What the searches minimise: squared flows of real injections, for the calibrated model or as a bound of AC losses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.engines.bounds.iron import held_iron_loss, least_iron_loss, least_sum
from learnopt.engines.bounds.mixed_bound import mixed_metric
from learnopt.engines.bounds.trunk import metric_b
from learnopt.engines.clock import GoesOn, always
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.currents import load_currents, real_columns, tree_loss
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.network import Configuration, Floats
from learnopt.physics import PowerFlow

METRIC_TRIALS = 9


@dataclass(frozen=True)
class Relaxation:
    """One relaxed objective of a problem, ``sum of r f^2 over the columns of a part + its constant``.

    Parameters
    ----------
    space
        The search space, with the trunk gain that goes on top.
    columns
        Real injections [pu], shape (n_bus, n_column), those of a part of the objective side by side.
    constant
        [pu], shape (n_part,).
    cutoff
        It holds for configurations with an objective of at most this [pu].
    """

    space: SearchSpace
    columns: Floats
    constant: Floats
    cutoff: float = math.inf

    @property
    def proves(self) -> bool:
        """It says something: the bound for mixed signs may have no injections at all."""
        return self.space.decisions.gain != -1 or bool(self.columns.any())

    def on(self, space: SearchSpace) -> Relaxation:
        """The same bound for mixed signs in a space of other prices, or of fewer configurations."""
        return replace(self, space=space.with_gain(-1).with_iron(self.space.trunk.iron))

    @property
    def in_model(self) -> Relaxation:
        """The same, and leaves count their value in it too."""
        return replace(self, space=self.space.with_gain(0))

    def values_of(self, configuration: Configuration) -> Floats:
        """Its value at a configuration, without switching cost [pu], shape (n_part,)."""
        parts = self.columns.reshape(len(self.columns), len(self.constant), -1)
        mean = self.space.problem.mean
        losses = [tree_loss(mean, configuration, parts[:, i]) for i in range(len(self.constant))]
        return np.array(losses) / self.space.root_vm**2 + self.constant + self.iron_of(configuration)

    def iron_of(self, configuration: Configuration) -> float:
        """What the space counts for the iron losses of a configuration [pu]."""
        return float(self.space.trunk.iron[configuration.closed].sum())


def calibrated(space: SearchSpace, configuration: Configuration, flows: list[PowerFlow]) -> NDArray[Any]:
    """Load currents at the voltages of a configuration's power flows, weighted [pu], shape (n_bus, n_scenario)."""
    pairs = zip(space.problem.members, flows, strict=True)
    each = [load_currents(member, configuration, space.seen(flow)) for member, flow in pairs]
    return np.stack(each, axis=1) * space.column_weight


def model_relaxation(space: SearchSpace, currents: NDArray[Any], flows: list[PowerFlow]) -> Relaxation:
    """The calibrated-current model for load currents [pu], weighted, shape (n_bus, n_scenario).

    Iron losses are those at the voltages of power flows.
    """
    space = space.with_iron(held_iron_loss(space.problem, [space.seen(flow) for flow in flows]))
    # In units of the root voltage impedances shrink by its square, so currents grow by it.
    return Relaxation(space, real_columns(currents) * space.root_vm, np.zeros(space.n_parts))


def model_at(space: SearchSpace, configuration: Configuration, flows: list[PowerFlow]) -> Relaxation:
    """The calibrated-current model that touches a configuration: its value there is the AC loss.

    By itself it misses the AC loss where ratios do not vanish, by a constant that is added then. Leaves count their AC
    loss. Without a power flow load currents are those at no load.
    """
    problem, solved = space.problem, all(flow.converged for flow in flows)
    if not solved:
        vm = np.full(problem.network.n_bus, space.root_vm, dtype=complex)
        flows = [replace(flow, v=space.scale * vm) for flow in flows]
    relaxation = model_relaxation(space, calibrated(space, configuration, flows), flows)
    constant = relaxation.constant
    if solved:
        losses = np.array([flow.loss for flow in flows])
        losses = losses if space.trunk.worst else np.array([space.trunk.weight @ losses])
        constant = constant + losses - relaxation.values_of(configuration)
    return replace(relaxation, space=relaxation.space.with_gain(-1), constant=constant)


def ac_relaxation(space: SearchSpace, flows: list[PowerFlow], cutoff: float, goes_on: GoesOn = always) -> Relaxation:
    """An AC bound that touches the power flows of a reference tree.

    With mixed signs or iron losses a bound for configurations with an objective of at most ``cutoff`` [pu]; one of no
    injections where nothing is proven. Else metric B, each scenario with its own injections and constant, in the best
    of a few directions tau (tried on the heaviest scenario; any is valid for all); metric A, valid for every tree,
    where the reference has no flow.

    With mixed signs it is dear: without time (``goes_on``) it is the best one found by then, or one of no injections.
    """
    # The objective is at least w times the loss of a scenario of weight w, and at least each in the worst case.
    share = np.ones(len(flows)) if space.trunk.worst else space.trunk.weight
    highest = np.divide(cutoff, share, out=np.full(len(flows), np.inf), where=share > 0)
    if space.problem.network.g.any():
        least = [least_iron_loss(*each) for each in zip(space.problem.members, highest.tolist(), strict=True)]
        space = space.with_iron(np.min(least, axis=0))
        copper = max(cutoff - least_sum(space.problem, space.trunk.iron), 0.0)
        highest = np.divide(copper, share, out=np.full(len(flows), np.inf), where=share > 0)
    if mixed_signs(space.problem):
        return replace(_mixed(space, flows, highest.tolist(), goes_on), cutoff=cutoff)
    net, trunk = space.problem.network, space.trunk
    n = len(flows)
    pair = np.stack([trunk.p, trunk.q], axis=1).reshape(2 * n, -1).T * np.repeat(space.column_weight, 2)
    plain = Relaxation(space.with_gain(1), pair, np.zeros(space.n_parts))
    if not all(flow.converged for flow in flows):
        return plain
    flow = flows[0]  # all scenarios share the tree

    def touching(scenario: int, tau: float) -> tuple[Floats, Floats, float, float]:
        p, q = trunk.p[scenario], trunk.q[scenario]
        return metric_b(p, q, trunk.r, tau, flow.order, flow.parent, flow.feed, len(net.substations))

    resistive = space.problem.usable & (net.r > 0)
    largest = float(np.min(net.x[resistive] / net.r[resistive], initial=np.inf))
    trials = np.linspace(0.0, largest, METRIC_TRIALS)[::-1] if 0 < largest < np.inf else np.zeros(1)
    heaviest = int(np.argmax(space.column_weight**2 * [flow.loss for flow in flows]))
    tau = float(trials[np.argmax([touching(heaviest, trial)[3] for trial in trials])])
    metrics = [touching(scenario, tau) for scenario in range(n)]
    if not all(math.isfinite(value) for *_, value in metrics):
        return plain
    sharpened = space.with_gain(2, tau)
    return _weighted(sharpened, [(i1, i2, constant) for i1, i2, constant, _ in metrics])


def _mixed(space: SearchSpace, flows: list[PowerFlow], highest: list[float], goes_on: GoesOn) -> Relaxation:
    """The bound for mixed signs, for configurations with copper losses of at most so much in each scenario [pu]."""
    problem = space.problem
    n = len(flows)
    space = space.with_gain(-1)
    nothing = Relaxation(space, np.zeros((problem.network.n_bus, 2 * n)), np.zeros(space.n_parts))
    if not all(flow.converged for flow in flows):
        return nothing
    metrics = [mixed_metric(*each, goes_on) for each in zip(problem.members, flows, highest, strict=True)]
    # Where nothing better is known no copper loss is negative.
    none = np.zeros(problem.network.n_bus)
    known = [(m.i1, m.i2, m.constant) if m.value > 0 else (none, none, 0.0) for m in metrics]
    return _weighted(space, known)


def _weighted(space: SearchSpace, metrics: list[tuple[Floats, Floats, float]]) -> Relaxation:
    """The metrics of all scenarios together."""
    columns = np.stack([column for i1, i2, _ in metrics for column in (i1, i2)], axis=1)
    each = np.array([constant for *_, constant in metrics])
    constant = each if space.trunk.worst else np.array([space.trunk.weight @ each])
    return Relaxation(space, columns * np.repeat(space.column_weight, 2), constant)
