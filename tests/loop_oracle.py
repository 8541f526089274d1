"""Random networks with fixed loops, all their states by brute force, and a meshed power flow that shares no code."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from conftest import make_network
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from learnopt.network import Configuration, Limits, ReconfigurationProblem, Scenario, Situations


def looped_problem(
    seed: int, equipment: bool = True, limits: bool = False, load: float = 1.0
) -> ReconfigurationProblem:
    """A random problem with at least one loop of branches without a switch.

    Parameters
    ----------
    equipment
        Ratios, iron losses, charging, shunts, generation, couplers and unequal substations, each by chance.
    limits
        Ampacities and voltage limits near the edge, and outages.
    """
    rng = np.random.default_rng([20, seed])
    n, roots = int(rng.integers(5, 10)), int(rng.integers(1, 3))
    ends = [(int(rng.integers(max(0, k - 3), k)), k) for k in range(roots, n)]
    fixed = rng.random(len(ends)) < 0.6
    while len(ends) < n - roots + int(rng.integers(2, 6)):
        a, b = (int(k) for k in rng.choice(n, 2, replace=False))
        ends.append((a, b))
    more = rng.random(len(ends) - len(fixed)) < 0.4
    # A short loop that is fixed whatever was drawn: beside the first branch of the tree.
    ends.append(ends[0])
    without_switch = [True, *fixed[1:].tolist(), *more.tolist(), True]
    m = len(ends)
    z = rng.uniform(0.1, 1.5, (m, 2)).round(4)
    if equipment and rng.random() < 0.3:
        z[rng.random(m) < 0.15] = 0.0
        z[0] = z[-1] = (0.3, 0.4)
    ties = [n - roots <= e < m - 1 and not without_switch[e] for e in range(m)]
    branches = [
        (a, b, *z[e].tolist(), {"switchable": not without_switch[e], "normally_open": ties[e]})
        for e, (a, b) in enumerate(ends)
    ]
    loads = {k: (load * float(rng.uniform(0, 300)), load * float(rng.uniform(0, 150))) for k in range(roots, n)}
    net = make_network(branches, loads, substations=list(range(roots)))
    if equipment:
        real = (z != 0).any(axis=1)
        some = (rng.random(m) < 0.3) & real
        net = replace(
            net,
            ratio=np.where(some, rng.uniform(0.97, 1.03, m), 1.0) if rng.random() < 0.4 else net.ratio,
            g=np.where(some, rng.uniform(0, 0.02, m), 0.0) if rng.random() < 0.4 else net.g,
            b=np.where(some, rng.uniform(-0.03, 0.05, m), 0.0) if rng.random() < 0.4 else net.b,
            b_shunt=np.where(rng.random(n) < 0.4, rng.uniform(-0.1, 0.3, n), 0.0)
            if rng.random() < 0.4
            else net.b_shunt,
            p_load=np.where(rng.random(n) < 0.3, -1.0, 1.0) * net.p_load if rng.random() < 0.4 else net.p_load,
            substation_vm=rng.uniform(0.995, 1.005, roots) if real.all() else net.substation_vm,
        )
    if not limits:
        return ReconfigurationProblem(net, Situations.of(Scenario.nominal(net)))
    net = replace(net, i_max=np.where(rng.random(m) < 0.5, rng.uniform(0.01, 0.25, m), np.inf) * load)
    out = (rng.random(m) < 0.1) & (np.arange(m) > 0)
    scenario = replace(Scenario.nominal(net), out_of_service=out)
    return ReconfigurationProblem(
        net, Situations.of(scenario), Limits(vm_min=float(rng.uniform(0.95, 0.99)), ampacity=True)
    )


def twin_problem(seed: int, limits: bool = False, mixed: bool = False) -> ReconfigurationProblem:
    """A random ring system in which some lines without a switch are built two or three times, some behind couplers."""
    rng = np.random.default_rng([30, seed])
    n = int(rng.integers(5, 9))
    branches = [(k - 1 if k < 3 else int(rng.integers(0, k)), k, *rng.uniform(0.1, 1.5, 2), {}) for k in range(1, n)]
    for _ in range(int(rng.integers(2, 5))):
        a, b = (int(k) for k in rng.choice(n, 2, replace=False))
        branches.append((a, b, *rng.uniform(0.1, 1.5, 2), {"normally_open": True}))
    for k in rng.choice(n - 1, 2, replace=False):
        a, b = branches[k][:2]
        branches[k] = (*branches[k][:4], {"switchable": False})
        for copy in range(int(rng.integers(1, 3))):
            far = f"bay {k} {copy}" if rng.random() < 0.4 else b
            branches.append(
                (*((a, far) if rng.random() < 0.5 else (far, a)), *rng.uniform(0.1, 1.5, 2), {"switchable": False})
            )
            if far != b:
                branches.append((far, b, 0.0, 0.0, {"switchable": False}))
    loads = {k: (float(rng.uniform(0, 300)), float(rng.uniform(0, 150))) for k in range(1, n)}
    net = make_network(branches, loads)
    if limits:
        net = replace(net, i_max=np.where(rng.random(net.n_branch) < 0.5, rng.uniform(0.02, 0.2, net.n_branch), np.inf))
    if mixed:
        b = np.where((net.r > 0) & (rng.random(net.n_branch) < 0.5), rng.uniform(0, 0.05, net.n_branch), 0.0)
        g = np.where((net.r > 0) & (rng.random(net.n_branch) < 0.3), rng.uniform(0, 0.01, net.n_branch), 0.0)
        net = replace(net, b=b, g=g, p_load=net.p_load * np.where(rng.random(net.n_bus) < 0.2, -0.5, 1.0))
    return ReconfigurationProblem.of(net, limits=Limits(ampacity=limits))


def states(problem: ReconfigurationProblem) -> list[NDArray[np.bool_]]:
    """Every state in which the switches are a spanning tree of what branches without a switch hold together."""
    net, out = problem.network, problem.out_of_service
    held = ~net.switchable & ~net.normally_open & ~out
    choice = np.flatnonzero(net.switchable & ~out)
    node = np.where(net.is_substation, net.n_bus, np.arange(net.n_bus))
    tail, head = node[net.from_bus], node[net.to_bus]

    def parts(closed: NDArray[np.bool_], label: NDArray[np.int64], size: int) -> tuple[int, NDArray[np.int64]]:
        kept = np.flatnonzero(closed)
        pairs = (label[tail[kept]], label[head[kept]])
        return connected_components(coo_array((np.ones(len(kept)), pairs), shape=(size, size)), directed=False)

    present = np.unique(node, return_inverse=True)[1]
    label = np.zeros(net.n_bus + 1, dtype=np.int64)
    label[node] = present
    n_held, of_node = parts(held, label, int(present.max()) + 1)
    label = of_node[label]
    found = []
    for closed_switches in product((False, True), repeat=len(choice)):
        if sum(closed_switches) != n_held - 1:
            continue
        closed = held.copy()
        closed[choice] = closed_switches
        if parts(closed, label, n_held)[0] == 1:
            found.append(closed)
    return found


def meshed_flow(problem: ReconfigurationProblem, closed: NDArray[np.bool_]) -> tuple[NDArray[np.complex128], float]:
    """Voltages and loss [kW] of any state, by Newton's method on the admittance matrix; NaN where it finds none.

    The buses of couplers without impedance are one.
    """
    net = problem.network
    z = net.r + 1j * net.x
    joined = np.flatnonzero(closed & (z == 0))
    pairs = (net.from_bus[joined], net.to_bus[joined])
    size = (net.n_bus, net.n_bus)
    n, at = connected_components(coo_array((np.ones(len(joined)), pairs), shape=size), directed=False)
    y_bus = np.zeros((n, n), dtype=complex)
    shunt = net.g_shunt + 1j * net.b_shunt
    np.add.at(y_bus, (at, at), shunt)
    half = 0.5 * (net.g + 1j * problem.b)
    for e in np.flatnonzero(closed):
        i, j, t = at[net.from_bus[e]], at[net.to_bus[e]], net.ratio[e] * np.exp(1j * net.shift[e])
        series = 0 if e in joined else 1 / z[e]
        y_bus[i, i] += (series + half[e]) / abs(t) ** 2
        y_bus[j, j] += series + half[e]
        y_bus[i, j] -= series / t.conjugate()
        y_bus[j, i] -= series / t
    s = np.zeros(n, dtype=complex)
    np.add.at(s, at, -(problem.p + 1j * problem.q))
    v = np.ones(n, dtype=complex)
    v[at[net.substations]] = net.substation_vm * np.exp(1j * net.substation_va)
    free = np.setdiff1d(np.arange(n), at[net.substations])
    for _ in range(30):
        current = y_bus @ v
        off = (v * current.conj() - s)[free]
        if not np.abs(off).size or np.abs(off).max() < 1e-13:
            break
        # d(v conj(Yv)) for dv = dx + j dy
        by_v, by_conj = np.diag(current.conj()), np.diag(v) @ y_bus.conj()
        dx, dy = (by_v + by_conj)[np.ix_(free, free)], (1j * (by_v - by_conj))[np.ix_(free, free)]
        step = np.linalg.solve(np.block([[dx.real, dy.real], [dx.imag, dy.imag]]), np.concatenate([off.real, off.imag]))
        v[free] -= step[: len(free)] + 1j * step[len(free) :]
    else:
        return np.full(net.n_bus, np.nan + 0j), np.nan
    injected = v * (y_bus @ v).conj()
    kept_by_shunts = float((net.g_shunt * np.abs(v[at]) ** 2).sum())
    return v[at], (float(injected.real.sum()) - kept_by_shunts) * net.base.kw


def held_loss(
    problem: ReconfigurationProblem,
    closed: NDArray[np.bool_],
    current: NDArray[np.complex128],
    by_impedance: bool = False,
) -> float:
    """Least loss [kW] that load currents [pu] can make in a state: a network of resistances solves it.

    With ``by_impedance`` the loss of their true split, ratios and unequal substations apart.
    """
    net = problem.network
    used = np.flatnonzero(closed)
    node = np.where(net.is_substation, 0, 1 + np.arange(net.n_bus))
    incidence = np.zeros((len(used), net.n_bus + 1))
    incidence[np.arange(len(used)), node[net.from_bus[used]]] += 1
    incidence[np.arange(len(used)), node[net.to_bus[used]]] -= 1
    drawn = np.zeros(net.n_bus + 1, dtype=complex)
    np.add.at(drawn, node, np.where(net.is_substation, 0, current))
    g = 1 / (net.r[used] + 1j * net.x[used] * by_impedance)
    nodes = np.unique(node[node > 0])
    laplacian = incidence.T @ (g[:, None] * incidence)
    potential = np.zeros(net.n_bus + 1, dtype=complex)
    potential[nodes] = np.linalg.solve(laplacian[np.ix_(nodes, nodes)], -drawn[nodes])
    flow = g * (incidence @ potential)
    return float((net.r[used] * np.abs(flow) ** 2).sum()) * net.base.kw


def configurations(problem: ReconfigurationProblem) -> list[Configuration]:
    """As :func:`states`."""
    return [Configuration(closed) for closed in states(problem)]
