"""Load currents of a configuration, the losses they make in another one, and AC losses of all scenarios together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.network import Configuration, Floats, ReconfigurationProblem
from learnopt.physics import PowerFlow, power_flow, power_flow_batch
from learnopt.physics.looped_sweep import chord_paths
from learnopt.physics.sweep import order_tree, problem_grid


def power_flows(problem: ReconfigurationProblem, configuration: Configuration) -> list[PowerFlow]:
    """AC power flow of each scenario."""
    return [power_flow(member, configuration) for member in problem.members]


def load_currents(problem: ReconfigurationProblem, configuration: Configuration, flow: PowerFlow) -> NDArray[Any]:
    """Load and shunt currents [pu] at the voltages of a power flow, zero at substations, complex, shape (n_bus,)."""
    net = problem.network
    shunt = net.g_shunt + 1j * net.b_shunt
    half = np.where(configuration.closed, (net.g + 1j * problem.b) / 2, 0.0)
    np.add.at(shunt, net.from_bus, half / net.ratio**2)
    np.add.at(shunt, net.to_bus, half)
    current = ((problem.p + 1j * problem.q) / flow.v).conj() + shunt * flow.v
    return np.where(net.is_substation, 0.0, current)


def real_columns(injection: NDArray[Any]) -> Floats:
    """Real and imaginary parts side by side, shape (n_bus, 2 n), from complex injections, shape (n_bus, n)."""
    return np.stack([injection.real, injection.imag], axis=2).reshape(len(injection), -1)


def tree_flow(problem: ReconfigurationProblem, configuration: Configuration, injection: NDArray[Any]) -> NDArray[Any]:
    """Flow on each branch of a configuration, from the substation outwards, shape (n_branch,) or (n_branch, n).

    In fixed loops it splits by resistance, so that it loses least: what loop space counts for them.

    Parameters
    ----------
    injection
        Drawn at each bus, shape (n_bus,) or (n_bus, n).
    """
    net = problem.network
    order, parent, feed = (np.empty(net.n_bus, np.int64) for _ in range(3))
    grid = problem_grid(problem)._replace(stepped=False, ratio=np.ones(net.n_branch))
    # Circuits that another one stands for are open in a problem without fixed loops.
    order_tree(grid, configuration.closed & problem.usable, order, parent, feed)
    below = np.array(injection)
    flow = np.zeros((net.n_branch, *below.shape[1:]), dtype=below.dtype)
    for k in order[: len(net.substations) - 1 : -1]:
        flow[feed[k]] = below[k]
        below[parent[k]] += below[k]
    if len(grid.chords):
        start, bus, weight = chord_paths(grid, order, parent, feed, np.zeros(0), np.zeros(0))
        loops = np.zeros((net.n_branch, len(grid.chords)))
        loops[grid.chords, np.arange(len(grid.chords))] = 1.0
        np.add.at(loops, (feed[bus], np.repeat(np.arange(len(grid.chords)), np.diff(start))), weight)
        rows = np.flatnonzero(loops.any(axis=1))
        root_r = np.sqrt(net.r[rows])
        scaled = (root_r * flow[rows].T).T
        around = np.linalg.lstsq(root_r[:, None] * loops[rows], scaled, rcond=None)[0]
        flow[rows] -= loops[rows] @ around
    return flow


def tree_loss(problem: ReconfigurationProblem, configuration: Configuration, injection: NDArray[Any]) -> float:
    """Loss of a radial configuration for fixed load currents [pu], shape (n_bus,) or (n_bus, n): summed over n.

    Where the worst case is the objective it is the largest of the n.
    """
    loss = problem.network.r @ np.abs(tree_flow(problem, configuration, injection)) ** 2
    return float(loss.max() if problem.worst_case else loss.sum())


def total_loss(problem: ReconfigurationProblem, configuration: Configuration) -> float:
    """AC loss of the objective, mean or worst, by compiled sweeps [pu], NaN where a scenario has no power flow."""
    s = np.stack([member.p + 1j * member.q for member in problem.members])
    closed = configuration.closed[None, :]
    batch = power_flow_batch(problem.network, s, closed, problem.charging, problem.chords)
    return problem.total(batch.loss)
