"""The independent judge: Newton-Raphson of power-grid-model behind every reported loss.

It shares no code with the sweep and none with the optimisers. It is fed in SI units from the network, and every
limit of the problem is re-checked on its output.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
from power_grid_model import ComponentType, DatasetType, LoadGenType, PowerGridModel, initialize_array
from power_grid_model.errors import IterationDiverge, PowerGridBatchError, PowerGridError

from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.topology import radiality_faults

LIMIT_TOLERANCE = 1e-6
"""Relative slack with which limits are checked, the accuracy of a power flow."""
_SOURCE_SK = 1e20
"""Short-circuit power of a source [VA]: the default (1e10) is a visible impedance, 33-bus would lose 0.06 % more."""
_COUPLER_X = 1e-6
"""Reactance that stands in for a zero-impedance coupler [ohm]; 1 kA drops one millivolt and loses nothing."""
_FREQUENCY = 50.0


def evaluate(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
    """AC power flow of a configuration and every limit it violates.

    A configuration that is not radial, and a power flow without solution, come back as ``converged = False`` with the
    reason in ``violations``. Of several scenarios each is evaluated, and one without power flow fails them all.
    """
    faults = radiality_faults(problem.network, configuration.closed)
    if faults:
        return _failed(problem, faults)
    single = _power_flows(problem, configuration)
    if problem.scenarios is None:
        return single[0]
    names = [scenario.name for scenario in problem.scenarios.scenarios]
    violations = [f"{name}: {sentence}" for name, e in zip(names, single, strict=True) for sentence in e.violations]
    if not all(e.converged for e in single):
        return replace(_failed(problem, violations), scenarios=single)
    return replace(_worst(problem, single), violations=tuple(violations), scenarios=single)


def _worst(problem: ReconfigurationProblem, single: tuple[Evaluation, ...]) -> Evaluation:
    """The loss of the problem, and the worst of everything else."""
    return Evaluation(
        converged=True,
        loss_kw=problem.total([e.loss_kw for e in single]),
        vm=np.min([e.vm for e in single], axis=0),
        loading=np.max([e.loading for e in single], axis=0),
        current_a=np.max([e.current_a for e in single], axis=0),
        substation_kva=np.max([e.substation_kva for e in single], axis=0),
        violations=(),
    )


def evaluate_transition(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
    """AC power flow of any state on the way between configurations: loops may be closed, buses without supply.

    Loops between substations carry what their voltages drive: the substations are taken to be in phase, with nothing
    but the network between them. Where several scenarios are to be served every number is the worst of them, but for
    the loss, which is that of the problem. A bus without supply has a voltage of 0, and no sentence of a violation.
    """
    single = _power_flows(problem, configuration)
    if not all(e.converged for e in single):
        return _failed(problem, [sentence for e in single for sentence in e.violations])
    return _worst(problem, single) if len(single) > 1 else single[0]


def _power_flows(problem: ReconfigurationProblem, configuration: Configuration) -> tuple[Evaluation, ...]:
    """The power flow of a state in each scenario: one model, loads updated in a batch, unless their networks differ."""
    if problem.variants:
        return tuple(_power_flows(member, configuration)[0] for member in problem.members)
    net, base = problem.network, problem.network.base
    # A line is enough for most branches; those with a transformer or iron losses need the general one.
    plain = (net.ratio == 1) & (net.kv[net.from_bus] == net.kv[net.to_bus]) & (net.g == 0) & (problem.b >= 0)
    closed = np.flatnonzero(configuration.closed & plain)
    general = np.flatnonzero(configuration.closed & ~plain)
    ids = itertools.count(net.n_bus)
    node = initialize_array(DatasetType.input, ComponentType.node, net.n_bus)
    node["id"] = np.arange(net.n_bus)
    node["u_rated"] = 1e3 * net.kv
    line = initialize_array(DatasetType.input, ComponentType.line, len(closed))
    line["id"] = list(itertools.islice(ids, len(closed)))
    line["from_node"] = net.from_bus[closed]
    line["to_node"] = net.to_bus[closed]
    line["from_status"] = line["to_status"] = 1
    z_base = net.branch_kv**2 / base.s_base
    r, x = net.r * z_base, net.x * z_base
    x = np.where(np.hypot(r, x) < _COUPLER_X, _COUPLER_X, x)
    line["r1"], line["x1"] = r[closed], x[closed]
    line["c1"] = (problem.b / z_base)[closed] / (2 * math.pi * _FREQUENCY)
    line["tan1"] = 0.0
    transformer = initialize_array(DatasetType.input, ComponentType.generic_branch, len(general))
    transformer["id"] = list(itertools.islice(ids, len(general)))
    transformer["from_node"], transformer["to_node"] = net.from_bus[general], net.to_bus[general]
    transformer["from_status"] = transformer["to_status"] = 1
    z_to = net.kv[net.to_bus[general]] ** 2 / base.s_base  # impedances of this component belong to its to end
    step = z_to / z_base[general]
    transformer["r1"], transformer["x1"] = r[general] * step, x[general] * step
    transformer["g1"], transformer["b1"] = net.g[general] / z_to, problem.b[general] / z_to
    transformer["k"], transformer["theta"] = net.ratio[general], 0.0
    shunted = np.flatnonzero((net.g_shunt != 0) | (net.b_shunt != 0))
    shunt = initialize_array(DatasetType.input, ComponentType.shunt, len(shunted))
    shunt["id"] = list(itertools.islice(ids, len(shunted)))
    shunt["node"], shunt["status"] = shunted, 1
    z_shunted = net.kv[shunted] ** 2 / base.s_base
    shunt["g1"], shunt["b1"] = net.g_shunt[shunted] / z_shunted, net.b_shunt[shunted] / z_shunted
    members = problem.members
    p, q = np.stack([member.p for member in members]), np.stack([member.q for member in members])
    loaded = np.flatnonzero(((p != 0) | (q != 0)).any(axis=0))
    load = initialize_array(DatasetType.input, ComponentType.sym_load, len(loaded))
    load["id"] = list(itertools.islice(ids, len(loaded)))
    load["node"] = loaded
    load["status"] = 1
    load["type"] = LoadGenType.const_power
    load["p_specified"] = 1e3 * base.kw * p[0, loaded]
    load["q_specified"] = 1e3 * base.kw * q[0, loaded]
    source = initialize_array(DatasetType.input, ComponentType.source, len(net.substations))
    source["id"] = list(itertools.islice(ids, len(net.substations)))
    source["node"] = net.substations
    source["status"] = 1
    source["u_ref"] = net.substation_vm
    source["sk"] = _SOURCE_SK
    data = {
        ComponentType.node: node,
        ComponentType.line: line,
        ComponentType.sym_load: load,
        ComponentType.source: source,
    }
    data |= {
        kind: array
        for kind, array in ((ComponentType.generic_branch, transformer), (ComponentType.shunt, shunt))
        if len(array)
    }
    options: dict[str, Any] = {}
    if len(members) > 1 and len(loaded):
        update = initialize_array(DatasetType.update, ComponentType.sym_load, (len(members), len(loaded)))
        update["id"] = load["id"]
        update["p_specified"], update["q_specified"] = 1e3 * base.kw * p[:, loaded], 1e3 * base.kw * q[:, loaded]
        options["update_data"] = {ComponentType.sym_load: update}
    try:
        output = _newton_raphson(PowerGridModel(data, system_frequency=_FREQUENCY), options)
    except PowerGridError as error:
        if len(members) > 1:  # which of them, and why, they say one by one
            return tuple(_power_flows(member, configuration)[0] for member in members)
        reason = str(error).splitlines()[0]
        return (_failed(problem, [f"the AC power flow has no solution or none was found ({reason})"]),)

    # One row per scenario; a single one, and scenarios without any load, have only one.
    rows = {kind: np.atleast_2d(values) for kind, values in output.items()}
    branches = ((ComponentType.line, closed), (ComponentType.generic_branch, general))
    step = net.kv[net.to_bus] / net.branch_kv
    ampacity = net.i_max * net.i_base
    evaluations = []
    for k, member in enumerate(members):
        row = k if options else 0
        vm = np.array(rows[ComponentType.node][row]["u_pu"])
        loss_kw, current = 0.0, np.zeros(net.n_branch)
        for kind, some in branches:
            if len(some):
                branch = rows[kind][row]
                loss_kw += float(np.sum(branch["p_from"] + branch["p_to"])) / 1e3
                current[some] = np.maximum(branch["i_from"], branch["i_to"] * step[some])
        loading = np.where(np.isfinite(ampacity), current / ampacity, 0.0)
        delivered = np.array(rows[ComponentType.source][row]["s"]) / 1e3
        violations = _limit_violations(member, vm, loading, current, delivered)
        evaluations.append(Evaluation(True, loss_kw, vm, loading, current, delivered, tuple(violations)))
    return tuple(evaluations)


def _newton_raphson(model: PowerGridModel, options: dict[str, Any]) -> Any:
    """Power flow; couplers in a row can keep rounding errors above the first tolerance, hence the second."""
    try:
        return model.calculate_power_flow(error_tolerance=1e-10, max_iterations=50, **options)
    except (IterationDiverge, PowerGridBatchError):
        return model.calculate_power_flow(error_tolerance=1e-8, max_iterations=50, **options)


def _limit_violations(
    problem: ReconfigurationProblem,
    vm: np.ndarray,
    loading: np.ndarray,
    current_a: np.ndarray,
    delivered_kva: np.ndarray,
) -> list[str]:
    net, limits, slack = problem.network, problem.limits, 1 + LIMIT_TOLERANCE
    found = []
    for k in np.flatnonzero(~net.is_substation & (vm > 0)):
        if vm[k] * slack < problem.vm_min[k]:
            found.append(f"bus {net.bus_ids[k]!r}: voltage {vm[k]:.5f} pu is below {problem.vm_min[k]} pu")
        if vm[k] > problem.vm_max[k] * slack:
            found.append(f"bus {net.bus_ids[k]!r}: voltage {vm[k]:.5f} pu is above {problem.vm_max[k]} pu")
    if limits.ampacity:
        for e in np.flatnonzero(loading > slack):
            rating = net.i_max[e] * net.i_base[e]
            found.append(f"branch {net.branch_ids[e]!r}: current {current_a[e]:.1f} A exceeds {rating:.1f} A")
    if limits.substations:
        low, high = net.substation_s_min * net.base.kw, net.substation_s_max * net.base.kw
        for s, k in enumerate(net.substations):
            if delivered_kva[s] > high[s] * slack:
                found.append(f"substation {net.bus_ids[k]!r}: {delivered_kva[s]:.1f} kVA exceeds {high[s]:.1f} kVA")
            if delivered_kva[s] * slack < low[s]:
                found.append(f"substation {net.bus_ids[k]!r}: {delivered_kva[s]:.1f} kVA is below {low[s]:.1f} kVA")
    return found


def _failed(problem: ReconfigurationProblem, reasons: list[str]) -> Evaluation:
    net = problem.network
    return Evaluation(
        converged=False,
        loss_kw=math.nan,
        vm=np.full(net.n_bus, math.nan),
        loading=np.full(net.n_branch, math.nan),
        current_a=np.full(net.n_branch, math.nan),
        substation_kva=np.full(len(net.substations), math.nan),
        violations=tuple(reasons),
    )
