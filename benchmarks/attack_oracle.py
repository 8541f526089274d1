"""AC states of every radial configuration of a small problem, by a power flow that shares nothing with learnopt.

Unknowns are bus voltages *and* branch currents, so that a branch without impedance needs no stand-in:

    V_from / ratio - V_to - z J = 0                     closed branches (the ideal transformer is at the from end)
    sum of currents into the bus - y V - conj(S / V) = 0

The linear part is eliminated once per configuration, ``V = V0 - Z conj(S / V)``, and Newton's method runs on what is
left, in rectangular coordinates, for all configurations at once. The solution wanted is the *normal* one: what the
state without load becomes as loads rise from zero. Where a bound on ``Z S`` does not make it unique it is followed in
steps of the load; what cannot be followed to the end is *unsettled* and takes part in no verdict.

Only the data of the records (``Network``, ``Scenario``, ``Limits``) are read, none of their methods.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from learnopt.network import ReconfigurationProblem

Complex = NDArray[np.complex128]
_SURE = 0.2
"""Share of |V0|^2 that sum |Z| |S| may reach for the solution near V0 to be the only one (proven up to a quarter)."""
_STEP = 1 / 8
"""First step of the load."""
_LAST_STEP = 1 / 2048
"""Steps below this are given up: the state is at the edge of collapse."""
_NOTHING = 1e-13
"""Share of the load below which a current or a power is rounding."""
_UNTOLD = 1e-7
"""Excess of a limit that is no more than that: neither respected for certain nor violated."""


@dataclass(frozen=True)
class States:
    """AC states of configurations in one load situation, all per unit.

    Parameters
    ----------
    closed
        bool, shape (n, n_branch).
    settled
        bool, shape (n,): the normal solution was found. Everything else is meaningless where it was not.
    loss
        shape (n,).
    v
        Complex voltages, shape (n, n_bus).
    current
        Larger current of both ends of each branch, shape (n, n_branch).
    drawn
        Apparent power drawn at each substation, shape (n, n_substation).
    """

    closed: NDArray[np.bool_]
    settled: NDArray[np.bool_]
    loss: NDArray[np.float64]
    v: Complex
    current: NDArray[np.float64]
    drawn: NDArray[np.float64]


def configurations(problem: ReconfigurationProblem) -> NDArray[np.bool_]:
    """Every radial configuration that locks and outages leave, shape (n, n_branch); the cap is not looked at.

    Loops of closed branches without a switch are in every state, which is radial but for them.
    """
    net, scenario = problem.network, problem.scenario
    fixed = ~net.switchable & (scenario.locked < 0)
    opened = scenario.out_of_service | (scenario.locked == 0) | (fixed & net.normally_open)
    forced = ((scenario.locked == 1) | (fixed & ~net.normally_open)) & ~scenario.out_of_service
    if (scenario.out_of_service & (scenario.locked == 1)).any():
        return np.zeros((0, net.n_branch), dtype=bool)
    node = np.arange(net.n_bus)
    node[net.substations] = net.substations[0]
    tail, head = node[net.from_bus].tolist(), node[net.to_bus].tolist()
    wanted = len(set(node.tolist())) - 1
    meshed = _loop_closers(np.flatnonzero(forced & ~net.switchable & ~net.normally_open).tolist(), tail, head, node)
    base = [e for e in np.flatnonzero(forced).tolist() if e not in meshed]
    choice = np.flatnonzero(~opened & ~forced).tolist()
    found = []
    for some in combinations(choice, wanted - len(base)) if wanted >= len(base) else ():
        closed = [*base, *some]
        if not _loop_closers(closed, tail, head, node):
            row = np.zeros(net.n_branch, dtype=bool)
            row[[*closed, *meshed]] = True
            found.append(row)
    return np.array(found, dtype=bool).reshape(len(found), net.n_branch)


def _loop_closers(branches: list[int], tail: list[int], head: list[int], node: NDArray[np.int64]) -> list[int]:
    """The branches that close a loop with those before them; as many as nodes but one without any are a tree."""
    label = {k: k for k in set(node.tolist())}
    closing = []
    for e in branches:
        a, b = tail[e], head[e]
        while label[a] != a:
            a = label[a]
        while label[b] != b:
            b = label[b]
        if a == b:
            closing.append(e)
        label[a] = b
    return closing


def ac_states(problem: ReconfigurationProblem, closed: NDArray[np.bool_]) -> States:
    """AC states of configurations in the one load situation of ``problem``.

    Parameters
    ----------
    closed
        bool, shape (n, n_branch), each radial but for fixed loops.
    """
    net, scenario = problem.network, problem.scenario
    n, m, count = net.n_bus, net.n_branch, len(closed)
    s = (scenario.p_load - scenario.p_gen) + 1j * (scenario.q_load - scenario.q_gen)
    y = net.g + 1j * (net.b if problem.charging else np.zeros(m))
    z, ratio, f, t = net.r + 1j * net.x, net.ratio, net.from_bus, net.to_bus
    roots = net.substations
    is_root = np.zeros(n, dtype=bool)
    is_root[roots] = True
    # Rows: a bus each (its voltage at a root, KCL elsewhere), then a branch each. Columns: V, then J from from to to.
    system = np.zeros((count, n + m, n + m), dtype=complex)
    rows = np.arange(m)
    on = closed.astype(float)
    system[:, n + rows, f] = on / ratio
    system[:, n + rows, t] -= on
    system[:, n + rows, n + rows] = np.where(closed, -z, 1.0)
    kcl = np.zeros((count, n, n + m), dtype=complex)
    for e in range(m):
        kcl[:, f[e], n + e] -= on[:, e] / ratio[e]
        kcl[:, t[e], n + e] += on[:, e]
        kcl[:, f[e], f[e]] -= on[:, e] * y[e] / 2 / ratio[e] ** 2
        kcl[:, t[e], t[e]] -= on[:, e] * y[e] / 2
    diagonal = np.arange(n)
    kcl[:, diagonal, diagonal] -= net.g_shunt + 1j * net.b_shunt
    system[:, :n] = kcl
    system[:, roots] = 0
    system[:, roots, roots] = 1
    right = np.zeros((count, n + m, 1 + n), dtype=complex)
    right[:, roots, 0] = net.substation_vm
    free = np.flatnonzero(~is_root)
    right[:, free, 1 + free] = 1  # KCL: what flows in equals the current that the load draws
    solved = _solved(system, right)
    v0, impedance = solved[:, :n, 0], -solved[:, :n, 1:]  # V = V0 - Z I
    v, settled = _loaded(v0, impedance, s, free)
    drawn_current = np.conj(s / v)
    drawn_current[:, roots] = 0
    j = solved[:, n:, 0] + np.einsum("cmk,ck->cm", solved[:, n:, 1:], drawn_current)
    j = np.where(closed, j, 0)
    behind, half = v[:, f] / ratio, on * y / 2
    at_from, at_to = (j + half * behind) / ratio, j - half * v[:, t]
    loss = (net.r * np.abs(j) ** 2 + (half.real * (np.abs(behind) ** 2 + np.abs(v[:, t]) ** 2))).sum(axis=1)
    out = np.zeros((count, n), dtype=complex)
    np.add.at(out, (slice(None), f), at_from)
    np.add.at(out, (slice(None), t), -at_to)
    at_root = out[:, roots] + np.conj(s[roots] / v[:, roots]) + (net.g_shunt + 1j * net.b_shunt)[roots] * v[:, roots]
    return States(
        closed=closed,
        settled=settled,
        loss=loss,
        v=v,
        current=np.maximum(np.abs(at_from), np.abs(at_to)),
        drawn=np.abs(v[:, roots] * np.conj(at_root)),
    )


def _solved(system: Complex, right: Complex) -> Complex:
    """Solutions of linear systems; NaN for those that are singular, states whose voltages resonate without load."""
    try:
        return np.linalg.solve(system, right)
    except np.linalg.LinAlgError:
        solved = np.full(right.shape, np.nan + 0j)
        for k in range(len(system)):
            with suppress(np.linalg.LinAlgError):
                solved[k] = np.linalg.solve(system[k], right[k])
        return solved


def _loaded(v0: Complex, z: Complex, s: Complex, free: NDArray[np.int64]) -> tuple[Complex, NDArray[np.bool_]]:
    """The normal solution of ``V = V0 - Z conj(S / V)``, and where it was found."""
    v = v0.copy()
    if not len(free) or not len(v0) or not s[free].any():
        return v, np.ones(len(v0), dtype=bool)
    z, load = z[:, free][:, :, free], s[free]
    start = v0[:, free]
    reach = (np.abs(z) @ np.abs(load)) / np.min(np.abs(start), axis=1)[:, None] ** 2
    sure = reach.max(axis=1) < _SURE
    settled = np.zeros(len(v0), dtype=bool)
    if sure.any():
        v[np.ix_(sure, free)], settled[sure] = _newton(start[sure], start[sure], z[sure], load)
    for row in np.flatnonzero(~settled):
        found = _followed(start[row], z[row], load)
        if found is not None:
            v[row, free], settled[row] = found, True
    return v, settled


def _followed(start: Complex, z: Complex, load: Complex) -> Complex | None:
    """The solution that the state without load becomes; None where it is lost on the way."""
    v, before, done, step = start, start, 0.0, _STEP
    last = 0.0
    while done < 1:
        ahead = min(1.0, done + step)
        guess = v if done == last else v + (v - before) * (ahead - done) / (done - last)
        found, good = _newton(start[None], guess[None], z[None], ahead * load)
        # A jump that is long for its step has left the branch.
        if good[0] and np.abs(found[0] - guess).max() < 0.05 * np.abs(v).min():
            before, last, v, done = v, done, found[0], ahead
            step = min(2 * step, _STEP)
        else:
            step /= 2
            if step < _LAST_STEP:
                return None
    return v


def _newton(start: Complex, guess: Complex, z: Complex, load: Complex) -> tuple[Complex, NDArray[np.bool_]]:
    """Newton's method on ``V - V0 + Z conj(S / V) = 0`` for a batch; the solutions and which of them converged."""
    v = guess.copy()
    n = v.shape[1]
    good = np.zeros(len(v), dtype=bool)
    identity = np.eye(n)
    for _ in range(30):
        fault = v - start + np.einsum("cij,cj->ci", z, np.conj(load / v))
        slope = -z * np.conj(load / v**2)[:, None, :]  # by conj(V)
        jacobian = np.empty((len(v), 2 * n, 2 * n))
        jacobian[:, :n, :n], jacobian[:, :n, n:] = identity + slope.real, slope.imag
        jacobian[:, n:, :n], jacobian[:, n:, n:] = slope.imag, identity - slope.real
        try:
            move = np.linalg.solve(jacobian, np.concatenate([fault.real, fault.imag], axis=1)[..., None])[..., 0]
        except np.linalg.LinAlgError:
            return v, np.zeros(len(v), dtype=bool)
        v = v - (move[:, :n] + 1j * move[:, n:])
        size = np.abs(move).max(axis=1)
        if not np.isfinite(size).all():
            v = np.where(np.isfinite(v), v, start)
            size = np.where(np.isfinite(size), size, 1.0)
        good = size < 1e-12
        if good.all():
            break
    return v, good & (np.abs(v).min(axis=1) > 1e-3)


def excess(problem: ReconfigurationProblem, states: States) -> NDArray[np.float64]:
    """Largest relative violation of the limits of each configuration, negative where all are respected; shape (n,)."""
    net, limits = problem.network, problem.limits
    inner = np.ones(net.n_bus, dtype=bool)
    inner[net.substations] = False
    worst = np.full(len(states.closed), -np.inf)
    low = np.zeros(net.n_bus) if limits.vm_min is None else np.full(net.n_bus, limits.vm_min)
    high = np.full(net.n_bus, np.inf) if limits.vm_max is None else np.full(net.n_bus, limits.vm_max)
    if limits.voltage:  # of each bus, read from the network and not from the problem: nothing is shared
        low = net.vm_min if limits.vm_min is None else low
        high = net.vm_max if limits.vm_max is None else high
    vm = np.abs(states.v)
    some = inner & (low > 0)
    if some.any():
        worst = np.maximum(worst, (1 - vm[:, some] / low[some]).max(axis=1))
    some = inner & np.isfinite(high)
    if some.any():
        worst = np.maximum(worst, (vm[:, some] / high[some] - 1).max(axis=1))
    load = float(np.abs(problem.scenario.p_load + 1j * problem.scenario.q_load).sum())
    if limits.ampacity:
        worst = np.maximum(worst, _told(states.current / net.i_max - 1, net.i_max, load).max(axis=1, initial=-1))
    if limits.substations:
        least, most = net.substation_s_min, net.substation_s_max
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = np.maximum(worst, _told(states.drawn / most - 1, most, load).max(axis=1))
            worst = np.maximum(worst, np.where(least > 0, _told(1 - states.drawn / least, least, load), -1).max(axis=1))
    return worst


def _told(over: NDArray[np.float64], limit: NDArray[np.float64], load: float) -> NDArray[np.float64]:
    """Excess of limits; of those that are rounding of the load nobody can tell."""
    return np.where(limit <= _NOTHING * load, _UNTOLD, over)


def held_losses(problem: ReconfigurationProblem, closed: NDArray[np.bool_], v: Complex) -> NDArray[np.float64]:
    """Losses with load currents held at voltages ``v``, shape (n,): what ``certificate model`` bounds.

    For networks without shunts of any kind and with ratios of 1. Kirchhoff's laws split the currents of fixed loops.
    """
    net, scenario = problem.network, problem.scenario
    current = np.conj(((scenario.p_load - scenario.p_gen) + 1j * (scenario.q_load - scenario.q_gen)) / v)
    inner = np.ones(net.n_bus, dtype=bool)
    inner[net.substations] = False
    losses = []
    for row in closed:
        branches = np.flatnonzero(row)
        incidence = np.zeros((net.n_bus, len(branches)), dtype=complex)
        incidence[net.to_bus[branches], np.arange(len(branches))] = 1
        incidence[net.from_bus[branches], np.arange(len(branches))] -= 1
        kept = incidence[inner]
        # Currents into buses, and no voltage around a loop: z f is a difference of bus voltages, zero at the roots.
        system = np.block([
            [kept, np.zeros((len(kept), len(kept)))],
            [np.diag((net.r + 1j * net.x)[branches]), kept.T],
        ])  # fmt: skip
        flow = np.linalg.solve(system, np.concatenate([current[inner], np.zeros(len(branches))]))[: len(branches)]
        losses.append((net.r[branches] * np.abs(flow) ** 2).sum())
    return np.array(losses)
