"""The order of a restoration: isolate, open, close, each step seen by the judge.

The fault is isolated and earthed first. Then zones that get no supply are parted from those that do, and what remains
is the switching plan of a network without the fault (:mod:`learnopt.studies.configuration.switching_order`), whose
steps are carried out in the whole one. An order that would put what is dead under voltage is no order, but an error.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Bools, Configuration, ReconfigurationProblem
from learnopt.network.names import bus_label
from learnopt.network.part import Part
from learnopt.network.topology import unfed_buses
from learnopt.studies.configuration.switching_order import (
    Action,
    Operation,
    Paralleling,
    PlanRecord,
    PlanState,
    refuse_unsafe,
    switching_plan,
)
from learnopt.studies.restoration.outage import Outage


def restoration_order(
    outage: Outage, target: Bools, served: Bools, paralleling: Paralleling = Paralleling.ALLOWED
) -> list[Operation]:
    """The steps from the moment of the fault to a plan.

    Parameters
    ----------
    target
        States of all branches after the last step, shape (n_branch,); what the fault blocks is open.
    served
        Buses that have supply then, shape (n_bus,).
    paralleling
        May a loop be closed for a moment?

    Raises
    ------
    DataError
        Where a step would close onto what is dead, earthed, locked or tagged.
    """
    problem = as_recorded(outage)
    record = PlanRecord(problem, outage.before.closed & ~outage.lines)
    _isolate(outage, record)
    isolated = len(record.operations)
    net = problem.network
    ends = served[net.from_bus], served[net.to_bus]
    fed = ~unfed_buses(net, record.closed)
    parting = np.flatnonzero(record.closed & ~target & (ends[0] != ends[1]) & ~outage.blocked)
    for e in parting.tolist():
        dark = int(net.to_bus[e] if served[net.from_bus[e]] else net.from_bus[e])
        given_up = "its load is given up, so that more can be supplied" if fed[dark] else ""
        record.switch(e, Action.OPEN, PlanState.RESTORING, given_up)
    if not served.any():
        return record.operations
    part = Part.of(_with_outages_locked(problem), served, ends[0] & ends[1] & ~outage.blocked)
    dark_left = bool((~served).any())
    plan = switching_plan(
        part.problem,
        Configuration(record.closed[part.branches]),
        Configuration(target[part.branches]),
        paralleling,
    )
    for step in _by_branch(plan):
        state = PlanState.RESTORING if dark_left and step.state is PlanState.RADIAL else step.state
        behind = None
        if step.action is Action.OPEN and step.transferred_kw is not None:
            behind = (step.transferred_customers or 0, step.transferred_kw / net.base.kw)
        record.switch(int(part.branches[step.branch]), step.action, state, step.reason, behind)
    refuse_unsafe(problem, record.operations, outage.before)
    _refuse_live(outage, record.operations, isolated)
    return record.operations


def order_back(outage: Outage, closed: Bools, paralleling: Paralleling = Paralleling.ALLOWED) -> list[Operation]:
    """The steps from a plan to the state before the fault, once it is repaired and no longer earthed.

    Parameters
    ----------
    closed
        States of all branches by the plan, shape (n_branch,).

    Raises
    ------
    DataError
        Where the state before the fault did not supply everything, or needs what is locked or tagged.
    """
    problem = outage.usual or outage.problem
    return switching_plan(problem, outage.repaired(closed), outage.before, paralleling)


def _by_branch(plan: list[Operation]) -> list[Operation]:
    """One step for each branch that is closed: closing it closes all its devices."""
    return [
        step
        for k, step in enumerate(plan)
        if k + 1 == len(plan) or (plan[k + 1].branch, plan[k + 1].action) != (step.branch, step.action)
    ]


def as_recorded(outage: Outage) -> ReconfigurationProblem:
    """The whole network as the order sees it: dead lines out of service, what the fault blocks locked open."""
    problem, lines = outage.problem.limits_written(), outage.lines
    net = problem.network
    kept = np.flatnonzero(~outage.dead[net.substations])
    network = replace(
        net,
        substations=net.substations[kept],
        substation_vm=net.substation_vm[kept],
        substation_va=net.substation_va[kept],
        substation_s_min=net.substation_s_min[kept],
        substation_s_max=net.substation_s_max[kept],
    )
    locked = np.where(problem.out_of_service | (outage.blocked & ~lines), 0, problem.locked)
    locked = np.where(lines, -1, locked).astype(np.int8)
    situations = replace(problem.situations, networks=())
    return problem.replace(network=network, situations=situations, out_of_service=lines, locked=locked)


def _with_outages_locked(problem: ReconfigurationProblem) -> ReconfigurationProblem:
    """The problem for a part without the fault: what is out of service is locked open there."""
    out = problem.out_of_service
    locked = np.where(out, 0, problem.locked).astype(np.int8)
    return problem.replace(out_of_service=np.zeros_like(out), locked=locked)


def _isolate(outage: Outage, record: PlanRecord) -> None:
    """Open the devices around the fault, then earth it."""
    net = outage.problem.network
    gear = net.switchgear
    for k in outage.zone.opened:
        e = net.branch_index[str(gear.devices[k].branch)]
        record.add(e, Action.OPEN, PlanState.ISOLATING, k, changes=not outage.lines[e] and record.closed[e])
    # What has no device to open is off by protection: nothing of it is joined to anything any more.
    record.closed &= ~outage.blocked
    for e in outage.fault.branches:
        record.add(e, Action.EARTH, PlanState.ISOLATING, changes=False)
    for bus in outage.fault.buses:
        around = np.flatnonzero((net.from_bus == bus) | (net.to_bus == bus))
        if len(around):
            record.add(int(around[0]), Action.EARTH, PlanState.ISOLATING, bus=bus, changes=False)


def _refuse_live(outage: Outage, operations: list[Operation], isolated: int) -> None:
    """The walk over the states: no dead bus has supply once it is isolated."""
    net = outage.problem.network
    closed = outage.isolated.closed.copy()
    alive = net.substations[~outage.dead[net.substations]]
    bad = []
    for step in operations[isolated:]:
        closed[step.branch] = step.action is Action.CLOSE
        reached = _reached(outage.problem, closed, alive)
        bad += [
            f"step {step.step}, {step.action.value} branch {step.branch_id!r}: bus {bus_label(net, k)} is dead and live"
            for k in np.flatnonzero(reached & outage.dead)
        ]
    if bad:
        raise DataError("restoration: not safe", bad)


def _reached(problem: ReconfigurationProblem, closed: Bools, sources: np.ndarray) -> Bools:
    """Buses that closed branches join to some buses, shape (n_bus,)."""
    net = problem.network
    reached = np.zeros(net.n_bus, dtype=bool)
    reached[sources] = True
    tail, head = net.from_bus[closed], net.to_bus[closed]
    while True:
        more = reached.copy()
        more[head[reached[tail]]] = True
        more[tail[reached[head]]] = True
        if np.array_equal(more, reached):
            return reached
        reached = more
