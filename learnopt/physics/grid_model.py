"""A radial state as tables of power-grid-model, for whoever asks that program: its power flow, its state estimator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from power_grid_model import ComponentType, DatasetType, LoadGenType, initialize_array

from learnopt.network import Bools, Configuration, Ints, ReconfigurationProblem
from learnopt.network.topology import DisjointSets

FREQUENCY = 50.0
_SOURCE_SK = 1e20
"""Short-circuit power of a source [VA]: the default (1e10) is a visible impedance, 33-bus would lose 0.06 % more."""
_COUPLER_X = 1e-6
"""Reactance [ohm] of a branch without impedance that is no mere coupler, since it has a ratio or charging."""


@dataclass(frozen=True, eq=False)
class Tables:
    """One load situation in one state; ends of closed couplers are one node.

    Parameters
    ----------
    data
        Table of each kind of component that occurs.
    node
        Node of each bus, shape (n_bus,).
    element
        Component of each branch, shape (n_branch,); -1 where it is open or contracted.
    loaded, load
        Buses with a load of their own, and its component, shape (n_load,).
    ids
        Numbers that no component has yet.
    """

    data: dict[Any, Any]
    node: Ints
    element: Ints
    loaded: Ints
    load: Ints
    ids: Iterator[int]


def tables_of(problem: ReconfigurationProblem, configuration: Configuration, loaded: Bools | None = None) -> Tables:
    """Tables of one situation.

    Parameters
    ----------
    loaded
        Buses that get a load, shape (n_bus,); those that draw or feed in where absent.
    """
    net, base = problem.network, problem.network.base
    node, closed = _merged(problem, configuration.closed)
    # A line is enough for most branches; those with a transformer or iron losses need the general one.
    plain = (net.ratio == 1) & (net.kv[net.from_bus] == net.kv[net.to_bus]) & (net.g == 0) & (problem.b >= 0)
    lines, general = np.flatnonzero(closed & plain), np.flatnonzero(closed & ~plain)
    ids = itertools.count(net.n_bus)

    z_base = net.branch_kv**2 / base.s_base
    r, x = net.r * z_base, net.x * z_base
    x = np.where(np.hypot(r, x) < _COUPLER_X, _COUPLER_X, x)
    kept = np.unique(node)
    nodes = initialize_array(DatasetType.input, ComponentType.node, len(kept))
    nodes["id"], nodes["u_rated"] = kept, 1e3 * net.kv[kept]
    line = numbered(ids, ComponentType.line, len(lines))
    line["from_node"], line["to_node"] = node[net.from_bus[lines]], node[net.to_bus[lines]]
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"] = r[lines], x[lines]
    line["c1"] = (problem.b / z_base)[lines] / (2 * math.pi * FREQUENCY)
    line["tan1"] = 0.0
    transformer = numbered(ids, ComponentType.generic_branch, len(general))
    transformer["from_node"], transformer["to_node"] = node[net.from_bus[general]], node[net.to_bus[general]]
    transformer["from_status"] = transformer["to_status"] = 1
    z_to = net.kv[net.to_bus[general]] ** 2 / base.s_base  # impedances of this component belong to its to end
    step = z_to / z_base[general]
    transformer["r1"], transformer["x1"] = r[general] * step, x[general] * step
    transformer["g1"], transformer["b1"] = net.g[general] / z_to, problem.b[general] / z_to
    transformer["k"], transformer["theta"] = net.ratio[general], 0.0
    shunted = np.flatnonzero((net.g_shunt != 0) | (net.b_shunt != 0))
    shunt = numbered(ids, ComponentType.shunt, len(shunted))
    shunt["node"], shunt["status"] = node[shunted], 1
    z_shunted = net.kv[shunted] ** 2 / base.s_base
    shunt["g1"], shunt["b1"] = net.g_shunt[shunted] / z_shunted, net.b_shunt[shunted] / z_shunted
    drawing = np.flatnonzero((problem.p != 0) | (problem.q != 0) if loaded is None else loaded)
    load = numbered(ids, ComponentType.sym_load, len(drawing))
    load["node"], load["status"], load["type"] = node[drawing], 1, LoadGenType.const_power
    load["p_specified"], load["q_specified"] = 1e3 * base.kw * problem.p[drawing], 1e3 * base.kw * problem.q[drawing]
    source = numbered(ids, ComponentType.source, len(net.substations))
    source["node"], source["status"] = node[net.substations], 1
    source["u_ref"], source["sk"] = net.substation_vm, _SOURCE_SK
    data = {
        ComponentType.node: nodes,
        ComponentType.line: line,
        ComponentType.generic_branch: transformer,
        ComponentType.shunt: shunt,
        ComponentType.sym_load: load,
        ComponentType.source: source,
    }
    element = np.full(net.n_branch, -1, dtype=np.int64)
    element[lines], element[general] = line["id"], transformer["id"]
    present = {kind: rows for kind, rows in data.items() if len(rows)}
    return Tables(present, node, element, drawing, np.array(load["id"], dtype=np.int64), ids)


def numbered(ids: Iterator[int], kind: Any, size: int) -> Any:
    """An empty table of a kind of component, its numbers taken from those left."""
    array = initialize_array(DatasetType.input, kind, size)
    array["id"] = list(itertools.islice(ids, size))
    return array


def _merged(problem: ReconfigurationProblem, closed: Bools) -> tuple[Ints, Bools]:
    """The bus that stands for each bus once closed couplers are contracted, and the closed branches that are left."""
    net = problem.network
    contracted = closed & (net.r == 0) & (net.x == 0) & (net.g == 0) & (problem.b == 0) & (net.ratio == 1)
    contracted &= net.kv[net.from_bus] == net.kv[net.to_bus]
    sets = DisjointSets(net.n_bus)
    for e in np.flatnonzero(contracted).tolist():
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    return np.array([sets.find(k) for k in range(net.n_bus)]), closed & ~contracted
