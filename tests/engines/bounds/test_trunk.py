"""The AC lower bound of the tree search, re-derived in dense linear algebra, attacked, and mutated.

Equation numbers are those of ``docs/methods/ac_bound.md``. The re-implementation shares no code with the compiled one:
paths and subtrees are 0-1 matrices. Each mutant is a mistake that is easy to make; the suite must notice every one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from conftest import make_network, random_network

from learnopt.engines.bounds.trunk import TRUNK_SWEEPS, TrunkData, leaf_loss, metric_b, trunk_gain
from learnopt.engines.exchange import random_start
from learnopt.network import Configuration, Limits, ReconfigurationProblem, Scenario, Situations
from learnopt.physics import PowerFlow, power_flow
from learnopt.physics.limits import limit_arrays
from learnopt.physics.sweep import grid_of, order_fed

MUTANTS = ("sending-end P", "no delta^2", "tau too large", "half the penalty", "no H2", "H2 without interval")


def trunk_data(problem: ReconfigurationProblem, tau: float = 0.0) -> TrunkData:
    """What the compiled bound reads, straight from the network (substations at one voltage)."""
    net = problem.network
    fed, scale = ~net.is_substation, 1.0 / float(net.substation_vm.max()) ** 2
    return TrunkData(
        grid=grid_of(net, charging=False),
        limits=limit_arrays(problem),
        s=(problem.p + 1j * problem.q)[None, :],
        weight=np.ones(1),
        worst=False,
        r=net.r * scale,
        x=net.x * scale,
        p=np.where(fed, problem.p, 0.0)[None, :],
        q=np.where(fed, problem.q, 0.0)[None, :],
        alpha=np.array([1 / np.sqrt(1 + tau**2)]),
        tau=np.array([tau]),
        w_min=np.zeros(net.n_bus),
        ell_max=np.full(net.n_branch, np.inf),
        leaf_constant=0.0,
        iron=np.zeros(net.n_branch),
        monotone=True,
    )


@dataclass(frozen=True)
class Tree:
    """A rooted tree or trunk: ``path[k, e]`` branch e lies on the path to bus k, columns and rows are its fed buses."""

    buses: np.ndarray
    feed: np.ndarray
    path: np.ndarray

    @classmethod
    def of(cls, flow: PowerFlow, closed: np.ndarray | None = None) -> Tree:
        """The tree of a power flow; with ``closed``, only the part joined to a root by closed branches."""
        path = np.zeros((len(flow.parent), len(flow.parent)), dtype=bool)
        inside = flow.parent < 0
        for k in flow.order:
            if flow.parent[k] >= 0:
                inside[k] = inside[flow.parent[k]] and (closed is None or closed[flow.feed[k]])
                path[k] = path[flow.parent[k]]
                path[k, k] = True
        buses = np.flatnonzero(inside & (flow.parent >= 0))
        return cls(buses, flow.feed[buses], path[np.ix_(buses, buses)].astype(float))

    @property
    def below(self) -> np.ndarray:
        """``below[e, k]``: bus k is fed through branch e (the bus at its end included)."""
        return self.path.T

    @property
    def strictly_below(self) -> np.ndarray:
        """The same for branches: branch f lies downstream of branch e."""
        return self.path.T - np.eye(len(self.buses))


def metric(p: Any, q: Any, r: Any, tau: float, tree: Tree, mutant: str = "") -> tuple[Any, ...]:
    """Metric B touching a tree (13)-(18): injections i1, i2 at all buses, constant, spectral radius of D R."""
    alpha = 1 / np.sqrt(1 + tau**2)
    beta = tau * alpha
    g, h = alpha * p + beta * q, alpha * q - beta * p
    R = tree.path @ np.diag(r[tree.feed] / alpha) @ tree.path.T
    gt = g[tree.buses]
    a = np.zeros(len(gt))
    for _ in range(60):
        a = np.minimum(R @ (gt / (1 - a)), 0.49)
    d = gt / (1 - a) ** 2
    b = d * (1 - 2 * a)
    k0 = np.sum(gt * a / (1 - a)) - d @ a
    c = (1 - 2 * a.max()) ** -0.25
    s, t = d / c + c * b, d / c - c * b
    delta = np.max(np.abs(t[s > 0]) / s[s > 0], initial=0.0)
    share = (1 - (0.0 if mutant == "no delta^2" else delta**2)) / 4
    radius = float(np.abs(np.linalg.eigvals(np.diag(d) @ R)).max())
    if radius >= 1:
        return h, h, -np.inf, radius
    iota = np.linalg.solve(np.eye(len(s)) - np.diag(d) @ R, s)
    penalty = np.sum((iota - s)[d > 0] ** 2 / d[d > 0]) * (0.5 if mutant == "half the penalty" else 1.0)
    i1 = np.zeros(len(p))
    i1[tree.buses] = np.sqrt(share) * iota
    return i1, h, float(alpha * (k0 - share * penalty)), radius


def lossless(tree: Tree, r: np.ndarray, injection: np.ndarray) -> float:
    """F_r(T; i) = sum of r (flow)^2."""
    return float(r[tree.feed] @ (tree.below @ injection[tree.buses]) ** 2)


def lower_sweeps(p: Any, q: Any, r: Any, x: Any, tree: Tree, sweeps: int, mutant: str = "") -> tuple[np.ndarray, ...]:
    """(1)-(4) from zero: P0, Q0, P, Q, l of the branches of a trunk with its own loads; l is NaN past collapse."""
    re, xe = r[tree.feed], x[tree.feed]
    p0, q0 = tree.below @ p[tree.buses], tree.below @ q[tree.buses]
    ell = np.zeros(len(re))
    for _ in range(sweeps):
        down = tree.below if mutant == "sending-end P" else tree.strictly_below
        P, Q = p0 + down @ (re * ell), q0 + down @ (xe * ell)
        u = tree.path @ (2 * (re * P + xe * Q) + (re**2 + xe**2) * ell)
        ell = np.where(u < 1, (P**2 + Q**2) / np.where(u < 1, 1 - u, 1.0), np.nan)
    return p0, q0, P, Q, ell


def gain_a(p: Any, q: Any, r: Any, x: Any, trunk: Tree, mutant: str = "") -> float:
    """Trunk gain on metric A (6)."""
    p0, q0, _, _, ell = lower_sweeps(p, q, r, x, trunk, TRUNK_SWEEPS, mutant)
    return float(r[trunk.feed] @ (ell - p0**2 - q0**2))


def gain_b(p: Any, q: Any, r: Any, x: Any, tau: float, trunk: Tree, mutant: str = "") -> float:
    """Trunk gain on metric B (19), (20)."""
    alpha = 1 / np.sqrt(1 + tau**2)
    beta = tau * alpha
    _, q0, _, Q, ell = lower_sweeps(p, q, r, x, trunk, TRUNK_SWEEPS, mutant)
    re, rho = r[trunk.feed], r[trunk.feed] / alpha
    xh = np.maximum(x[trunk.feed] - tau * re, 0.0)
    g0, h = trunk.below @ (alpha * p + beta * q)[trunk.buses], (alpha * q - beta * p)
    H = trunk.below @ h[trunk.buses]
    out = np.delete(h, trunk.buses)
    lowest = np.maximum(0, np.maximum(H - np.maximum(-out, 0).sum(), -H - np.maximum(out, 0).sum()))
    h2 = H**2 if mutant == "H2 without interval" else lowest**2
    ld = np.zeros(len(re))
    for _ in range(TRUNK_SWEEPS):
        gd = g0 + trunk.strictly_below @ (rho * ld)
        ud = trunk.path @ (2 * rho * gd + rho**2 * ld)
        ld = gd**2 / (1 - ud)
    m = np.zeros(len(re))
    for _ in range(2):
        y = trunk.strictly_below @ (rho * m)
        xl = trunk.strictly_below @ (xh * ell)
        above = trunk.path @ (2 * xh * Q + 2 * rho * y)
        m = (h2 + 2 * gd * y + 2 * q0 * xl + ell * above) / (1 - ud)
    return float(re @ (m if mutant == "no H2" else m - h2))


def attack(seed: int) -> ReconfigurationProblem | None:
    """A random network made to hurt: near collapse, extreme x/r, r = 0, one-sided loads, several roots, parallels."""
    rng = np.random.default_rng(seed)
    n_bus = int(rng.integers(3, 11))
    net = random_network(rng, n_bus, int(rng.integers(1, 4)), min(int(rng.integers(1, 3)), n_bus - 2))
    m = net.n_branch
    r, x = net.r.copy(), net.x.copy()
    style = seed % 8
    if style == 1:
        x = np.zeros(m)  # a comparison network that is the network: the metric is tight at its tree
    elif style == 2:
        x = r * rng.choice([0.0, 1.0, 5.0], m)
    elif style == 3:
        r = r * 10.0 ** rng.uniform(-12, 0, m)
    elif style == 5:
        r = r * 10.0 ** rng.uniform(-2, 0, m)
        x = r * rng.choice([0.5, 1.0, 2.0])
    elif style == 4:
        some = rng.random(m) < 0.3
        r, x = np.where(some, 0.0, r), np.where(some & (rng.random(m) < 0.5), 0.0, x)
    p, q = net.p_load.copy(), net.q_load.copy()
    if style == 2:
        p, q = p * (rng.random(n_bus) < 0.5), q * (rng.random(n_bus) < 0.6) * 2
    elif style == 5:
        active = rng.random(n_bus) < 0.5  # what is decided may draw one kind, the rest the other
        p, q = p * active, 2 * q * ~active
    elif style in (1, 6):
        q = np.zeros(n_bus)
    elif style == 7:
        p = np.zeros(n_bus)
    net = replace(net, r=r, x=x)
    problem = ReconfigurationProblem(net, Situations.of(Scenario.nominal(net)), Limits())
    # Scale the loads of a random tree up to a random share of what it can carry.
    tree = random_start(problem, rng)
    largest = 0.0
    for step in (8.0, 1.0, 0.1):
        while largest < 500 and power_flow(scaled(problem, p, q, largest + step), tree).converged:
            largest += step
    return scaled(problem, p, q, largest * rng.uniform(0.2, 1.0)) if largest > 0 else None


def scaled(problem: ReconfigurationProblem, p: np.ndarray, q: np.ndarray, factor: float) -> ReconfigurationProblem:
    """The problem with other loads."""
    return problem.under(replace(problem.scenario, p_load=factor * p, q_load=factor * q))


@dataclass(frozen=True)
class Trial:
    """A tree with its AC loss, a reference tree for the metric and a part of the tree that is decided."""

    problem: ReconfigurationProblem
    flow: PowerFlow
    reference: PowerFlow
    decided: np.ndarray
    taus: tuple[float, ...]


def trials(seeds: range) -> list[Trial]:
    """Random trees of random problems, each against random and against its own reference."""
    found = []
    for seed in seeds:
        problem = attack(seed)
        if problem is None:
            continue
        rng = np.random.default_rng([seed, 1])
        net = problem.network
        resistive = net.r > 0
        largest = float(np.min(net.x[resistive] / net.r[resistive], initial=np.inf))
        taus = (0.0, largest / 2, largest) if 0 < largest < np.inf else (0.0,)
        for k in range(4):
            tree, other = random_start(problem, rng), random_start(problem, rng)
            flow = power_flow(problem, tree)
            reference = flow if k % 2 == 0 else power_flow(problem, other)
            if flow.converged and reference.order.min() >= 0:
                decided = tree.closed & (rng.random(net.n_branch) < rng.choice([0.5, 0.9, 1.1]))
                found.append(Trial(problem, flow, reference, decided, taus))
    return found


def cancelling() -> Trial:
    """A reactive load on the decided branch, an active one behind it: the decided part has much h, the whole none."""
    network = make_network([(0, 1, 1, 1), (1, 2, 1e-3, 1e-3)], {1: (0, 2000), 2: (2000, 0)})
    flow = power_flow(problem := ReconfigurationProblem.of(network), network.normal_configuration)
    return Trial(problem, flow, flow, np.array([True, False]), (0.0, 1.0))


@pytest.fixture(scope="module")
def many_trials() -> list[Trial]:
    """Enough trials for every mutant to fail on one of them."""
    return [*trials(range(400)), cancelling()]


def arrays(trial: Trial) -> tuple[np.ndarray, ...]:
    """p, q at fed buses, r, x."""
    net = trial.problem.network
    fed = ~net.is_substation
    return np.where(fed, trial.problem.p, 0.0), np.where(fed, trial.problem.q, 0.0), net.r, net.x


def bounds_of(trial: Trial, mutant: str = "") -> list[float]:
    """Lower bounds of the loss of the trial's tree: metric A and B, without trunk, with a part of it, with all."""
    p, q, r, x = arrays(trial)
    tree = Tree.of(trial.flow)
    trunks = [Tree.of(trial.flow, trial.decided), tree]
    plain = lossless(tree, r, p) + lossless(tree, r, q)
    found = [plain, *(plain + gain_a(p, q, r, x, trunk, mutant) for trunk in trunks)]
    taus = trial.taus
    if mutant == "tau too large":
        ratio = x[r > 0] / r[r > 0]
        taus = (float(ratio.max(initial=0.0)),)
    for tau in taus:
        i1, i2, constant, _ = metric(p, q, r, tau, Tree.of(trial.reference), mutant)
        value = lossless(tree, r, i1) + lossless(tree, r, i2) + constant
        found += [value, *(value + gain_b(p, q, r, x, tau, trunk, mutant) for trunk in trunks)]
    return found


def excess(trial: Trial, mutant: str = "") -> float:
    """Largest bound over the AC loss, relative to it and less one; what does not exist does not count."""
    found = [b for b in bounds_of(trial, mutant) if np.isfinite(b)]
    return max(found) / trial.flow.loss - 1.0 if trial.flow.loss > 1e-14 else -1.0


def test_no_bound_exceeds_an_ac_loss(many_trials):
    """Metric A and B, for any tau up to min x/r and any reference tree, with any decided part: never above the loss."""
    assert len(many_trials) > 800
    worst = max(excess(trial) for trial in many_trials)
    assert worst <= 1e-7
    # The trials reach near collapse, and bounds are tight somewhere: a bound that is far too low would pass otherwise.
    assert min(np.abs(trial.flow.v).min() for trial in many_trials) < 0.6
    assert worst > -1e-6


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_is_noticed(many_trials, mutant):
    """The same bound with one mistake exceeds the AC loss of some tree by more than any rounding."""
    assert max(excess(trial, mutant) for trial in many_trials) > 1e-5


def test_compiled_bound_equals_the_dense_one(many_trials):
    """Metric, constant, value at the reference and both trunk gains, on every trial."""
    for trial in many_trials[::3]:
        p, q, r, x = arrays(trial)
        reference, n_roots = Tree.of(trial.reference), len(trial.problem.network.substations)
        for tau in trial.taus:
            i1, i2, constant, radius = metric(p, q, r, tau, reference)
            if not np.isfinite(constant):
                continue
            flow = trial.reference
            c1, c2, c_constant, value = metric_b(p, q, r, tau, flow.order, flow.parent, flow.feed, n_roots)
            if not np.isfinite(value) or radius > 0.9:
                continue  # it stops before it has converged: another metric then, as valid
            scale = np.abs(i1).max() + np.abs(i2).max()
            np.testing.assert_allclose(c1, i1, atol=1e-8 * scale)
            np.testing.assert_allclose(c2, i2, atol=1e-12 * scale)
            total = lossless(reference, r, i1) + lossless(reference, r, i2)
            assert c_constant == pytest.approx(constant, abs=1e-9 * (abs(constant) + total + 1e-12), rel=1e-7)
            assert value == pytest.approx(total + constant, abs=1e-9 * (abs(constant) + total + 1e-12), rel=1e-7)
            for closed in (trial.decided, np.isin(np.arange(len(r)), Tree.of(trial.flow).feed)):
                trunk = Tree.of(trial.flow, closed)
                data = trunk_data(trial.problem, tau)
                for kind, dense in ((1, gain_a(p, q, r, x, trunk)), (2, gain_b(p, q, r, x, tau, trunk))):
                    (gain,), possible = trunk_gain(data, closed, kind)
                    assert possible
                    assert gain == pytest.approx(dense, rel=1e-8, abs=1e-12 * (1 + trial.flow.loss))


def test_gain_grows_with_every_closing(many_trials):
    """In any order of closings the gain never falls, and with the compiled metric it never passes the loss."""
    for number, trial in enumerate(many_trials[::2]):
        rng = np.random.default_rng(number)
        p, q, r, _ = arrays(trial)
        tree, touched, n_roots = Tree.of(trial.flow), trial.reference, len(trial.problem.network.substations)
        for tau in trial.taus[-1:]:
            i1, i2, constant, _ = metric_b(p, q, r, tau, touched.order, touched.parent, touched.feed, n_roots)
            metrics = {
                1: lossless(tree, r, p) + lossless(tree, r, q),
                2: lossless(tree, r, i1) + lossless(tree, r, i2) + constant,
            }
            data = trunk_data(trial.problem, tau)
            for kind, value in metrics.items():
                closed, last = np.zeros(len(r), dtype=bool), 0.0
                assert trunk_gain(data, closed, kind) == (0.0, True)
                for e in rng.permutation(tree.feed):
                    closed[e] = True
                    (gain,), possible = trunk_gain(data, closed, kind)
                    assert possible
                    assert gain >= last - 1e-12 * (1 + trial.flow.loss)
                    last = gain
                    if np.isfinite(value):
                        assert value + gain <= trial.flow.loss * (1 + 1e-7) + 1e-14


def test_metric_touches_its_reference_tightly(case33):
    """On the 33-bus system at its optimum: metric and gain leave less than 0.2 % of the loss (3 % without the gain)."""
    problem = ReconfigurationProblem.of(case33)
    configuration = case33.configuration([7, 9, 14, 32, 37])
    flow = power_flow(problem, configuration)
    tau = float(np.min(case33.x / case33.r))
    data = trunk_data(problem, tau)
    _, _, _, value = metric_b(data.p[0], data.q[0], data.r, tau, flow.order, flow.parent, flow.feed, 1)
    (gain,), _ = trunk_gain(data, configuration.closed, 2)
    assert 0.97 < value / flow.loss < 0.98
    assert 0.998 < (value + gain) / flow.loss < 1
    (gain,), _ = trunk_gain(data, configuration.closed, 1)
    tree = Tree.of(flow)
    plain = lossless(tree, data.r, data.p[0]) + lossless(tree, data.r, data.q[0])
    assert 0.9999 < (plain + gain) / flow.loss < 1


def test_a_trunk_that_excludes_every_completion():
    """Collapse, a voltage limit or an ampacity broken by the decided part alone."""
    network = make_network([(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 1, 1)], {1: (1000, 500), 2: (1000, 500)})
    problem = ReconfigurationProblem.of(network)
    data = trunk_data(problem)
    chain = np.array([True, True, False])
    for closed in (chain, ~chain, np.zeros(3, dtype=bool)):
        assert trunk_gain(data, closed, 1)[1]
    flow = power_flow(problem, Configuration(chain))
    lowest, current = np.abs(flow.v).min() ** 2, np.abs(flow.current[1]) ** 2
    for changed, possible in (
        (data._replace(p=20 * data.p), False),
        (data._replace(w_min=np.full(3, lowest * 1.001)), False),
        (data._replace(w_min=np.full(3, lowest * 0.999)), True),
        (data._replace(ell_max=np.array([current * 0.99, np.inf, np.inf])), False),
        (data._replace(ell_max=np.array([current * 1.001, np.inf, np.inf])), True),
    ):
        assert trunk_gain(changed, chain, 2)[1] == possible


def test_order_holds_only_what_is_joined_to_a_root():
    """A closed branch away from every root is no trunk; its buses are marked."""
    network = make_network([(0, 1, 1, 1), (1, 2, 1, 1), (2, 3, 1, 1), (3, 4, 1, 1)], {4: (10, 1)}, [0, 4])
    order, parent, feed = (np.empty(network.n_bus, np.int64) for _ in range(3))
    closed = np.array([True, False, True, False])
    count = order_fed(grid_of(network), closed, order, parent, feed)
    joined = {network.bus_ids[k] for k in order[:count]}
    assert joined == {0, 4, 1}
    assert sorted(network.bus_ids[k] for k in np.flatnonzero(parent == -2)) == [2, 3]
    assert feed[network.bus_index["1"]] == 0


def test_leaf_loss_is_the_power_flow(case33):
    """The loss where it converges; infinite and settled where the state is not radial or a limit is broken."""
    problem = ReconfigurationProblem.of(case33, limits=Limits())
    data = trunk_data(problem)
    best = case33.configuration([7, 9, 14, 32, 37])
    assert leaf_loss(data, best.closed, np.inf) == (power_flow(problem, best).loss, True)
    assert leaf_loss(data, case33.configuration([]).closed, np.inf) == (np.inf, True)
    limited = trunk_data(ReconfigurationProblem.of(case33, limits=Limits(vm_min=0.95)))
    assert leaf_loss(limited, best.closed, np.inf) == (np.inf, True)


@pytest.mark.parametrize("opened", [[23, 28, 33, 34, 35], [22, 28, 33, 34, 35], [5, 6, 8, 13, 24]])
def test_leaf_without_power_flow_is_refuted_not_guessed(case33, opened):
    """Sweeps that pass the collapse prove that there is no solution; such a leaf is never a low loss."""
    problem = ReconfigurationProblem.of(case33, limits=Limits())
    data = trunk_data(problem)
    closed = case33.configuration(opened).closed
    assert not power_flow(problem, Configuration(closed)).converged
    assert leaf_loss(data, closed, np.inf) == (np.inf, True)
    mixed = data._replace(monotone=False)  # sweeps refute nothing then
    assert leaf_loss(mixed, closed, np.inf) == (np.inf, False)


def test_leaf_at_the_nose_stays_unsettled():
    """At the very limit of what a line can carry sweeps creep: neither solved nor refuted, unless the loss passes."""
    line = make_network([(0, 1, 1.0, 0.0)], {1: (1000, 0)})
    problem = ReconfigurationProblem.of(line)
    p, q = line.p_load, line.q_load
    nose = 0.25 / line.r[0] / p[1]  # p = v (1 - v) / r is largest at v = 1/2
    nearly = scaled(problem, p, q, nose * (1 + 1e-9))
    assert not power_flow(nearly, line.normal_configuration).converged
    loss_at_nose = 0.25 / line.r[0]
    closed = line.normal_configuration.closed
    assert leaf_loss(trunk_data(nearly), closed, 2 * loss_at_nose) == (np.inf, False)
    assert leaf_loss(trunk_data(nearly), closed, 0.5 * loss_at_nose) == (np.inf, True)
    beyond = scaled(problem, p, q, nose * 1.01)
    assert leaf_loss(trunk_data(beyond), closed, 2 * loss_at_nose) == (np.inf, True)
