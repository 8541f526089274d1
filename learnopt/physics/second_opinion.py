"""Another program's power flow of the same state: power-grid-model, from its own flat start.

It is asked about every answer that leaves an engine and about every state that is checked. Where it finds other
voltages the state has more than one solution, as states with strong generation do, and that is told. Its losses are
differences of powers, so the digits that are reported are those of the judge.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from power_grid_model import ComponentType, DatasetType, LoadGenType, PowerGridModel, initialize_array
from power_grid_model.errors import PowerGridError  # type: ignore[attr-defined]

from learnopt.network import Bools, Configuration, Evaluation, Floats, Ints, ReconfigurationProblem
from learnopt.network.topology import DisjointSets

_SOURCE_SK = 1e20
"""Short-circuit power of a source [VA]: the default (1e10) is a visible impedance, 33-bus would lose 0.06 % more."""
_COUPLER_X = 1e-6
"""Reactance [ohm] of a branch without impedance that is no mere coupler, since it has a ratio or charging."""
_FREQUENCY = 50.0
_ANOTHER = 0.01
"""Voltages of two solutions differ by more somewhere [pu]; what two programs make of one solution differs by less."""


def second_opinion(problem: ReconfigurationProblem, configuration: Configuration) -> float | None:
    """Loss [kW] of a radial state by power-grid-model's Newton-Raphson; None where it finds no solution.

    Of several scenarios that of the problem: their weighted mean or the largest. Ends of couplers are one node.
    """
    losses = []
    for member in problem.members:
        found = _power_flow(member, configuration)
        if found is None:
            return None
        losses.append(found[0])
    return problem.total(losses)


def other_solution(problem: ReconfigurationProblem, configuration: Configuration, evaluation: Evaluation) -> str:
    """A sentence where power-grid-model finds another solution of a radial state than the judge; "" where it does not.

    Parameters
    ----------
    evaluation
        What the judge says of the state.
    """
    for member, judged in zip(problem.members, evaluation.situations, strict=True):
        found = _power_flow(member, configuration) if judged.converged else None
        if found is not None and np.abs(found[1] - judged.vm).max() > _ANOTHER:
            where = "" if len(problem.situations) == 1 else f" in scenario {member.scenario.name!r}"
            return (
                f"More than one power flow exists{where}: power-grid-model, from a flat start, finds one with "
                f"{found[0]:.6g} kW of loss and a lowest voltage of {found[1].min():.4f} pu. Reported is the normal "
                f"one, of high voltages, with {judged.loss_kw:.6g} kW and {judged.min_voltage_pu:.4f} pu."
            )
    return ""


def _power_flow(problem: ReconfigurationProblem, configuration: Configuration) -> tuple[float, Floats] | None:
    """Loss [kW] and voltage magnitudes [pu], shape (n_bus,); None where no solution is found."""
    net, base = problem.network, problem.network.base
    node, closed = _merged(problem, configuration.closed)
    # A line is enough for most branches; those with a transformer or iron losses need the general one.
    plain = (net.ratio == 1) & (net.kv[net.from_bus] == net.kv[net.to_bus]) & (net.g == 0) & (problem.b >= 0)
    lines, general = np.flatnonzero(closed & plain), np.flatnonzero(closed & ~plain)
    ids = itertools.count(net.n_bus)

    def table(kind: Any, size: int) -> Any:
        array = initialize_array(DatasetType.input, kind, size)
        array["id"] = list(itertools.islice(ids, size))
        return array

    z_base = net.branch_kv**2 / base.s_base
    r, x = net.r * z_base, net.x * z_base
    x = np.where(np.hypot(r, x) < _COUPLER_X, _COUPLER_X, x)
    kept = np.unique(node)
    nodes = initialize_array(DatasetType.input, ComponentType.node, len(kept))
    nodes["id"], nodes["u_rated"] = kept, 1e3 * net.kv[kept]
    line = table(ComponentType.line, len(lines))
    line["from_node"], line["to_node"] = node[net.from_bus[lines]], node[net.to_bus[lines]]
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"] = r[lines], x[lines]
    line["c1"] = (problem.b / z_base)[lines] / (2 * math.pi * _FREQUENCY)
    line["tan1"] = 0.0
    transformer = table(ComponentType.generic_branch, len(general))
    transformer["from_node"], transformer["to_node"] = node[net.from_bus[general]], node[net.to_bus[general]]
    transformer["from_status"] = transformer["to_status"] = 1
    z_to = net.kv[net.to_bus[general]] ** 2 / base.s_base  # impedances of this component belong to its to end
    step = z_to / z_base[general]
    transformer["r1"], transformer["x1"] = r[general] * step, x[general] * step
    transformer["g1"], transformer["b1"] = net.g[general] / z_to, problem.b[general] / z_to
    transformer["k"], transformer["theta"] = net.ratio[general], 0.0
    shunted = np.flatnonzero((net.g_shunt != 0) | (net.b_shunt != 0))
    shunt = table(ComponentType.shunt, len(shunted))
    shunt["node"], shunt["status"] = node[shunted], 1
    z_shunted = net.kv[shunted] ** 2 / base.s_base
    shunt["g1"], shunt["b1"] = net.g_shunt[shunted] / z_shunted, net.b_shunt[shunted] / z_shunted
    loaded = np.flatnonzero((problem.p != 0) | (problem.q != 0))
    load = table(ComponentType.sym_load, len(loaded))
    load["node"], load["status"], load["type"] = node[loaded], 1, LoadGenType.const_power
    load["p_specified"], load["q_specified"] = 1e3 * base.kw * problem.p[loaded], 1e3 * base.kw * problem.q[loaded]
    source = table(ComponentType.source, len(net.substations))
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
    try:
        model = PowerGridModel({kind: rows for kind, rows in data.items() if len(rows)}, system_frequency=_FREQUENCY)
        output = model.calculate_power_flow(error_tolerance=1e-10, max_iterations=50)
    except PowerGridError:
        return None
    losses = [
        float(np.sum(output[kind]["p_from"] + output[kind]["p_to"])) / 1e3
        for kind, some in ((ComponentType.line, lines), (ComponentType.generic_branch, general))
        if len(some)
    ]
    vm = np.empty(net.n_bus)
    vm[kept] = output[ComponentType.node]["u_pu"]
    return sum(losses), vm[node]


def _merged(problem: ReconfigurationProblem, closed: Bools) -> tuple[Ints, Bools]:
    """The bus that stands for each bus once closed couplers are contracted, and the closed branches that are left."""
    net = problem.network
    contracted = closed & (net.r == 0) & (net.x == 0) & (net.g == 0) & (problem.b == 0) & (net.ratio == 1)
    contracted &= net.kv[net.from_bus] == net.kv[net.to_bus]
    sets = DisjointSets(net.n_bus)
    for e in np.flatnonzero(contracted).tolist():
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    return np.array([sets.find(k) for k in range(net.n_bus)]), closed & ~contracted
