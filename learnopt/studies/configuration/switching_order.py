"""Switching plan: an order of operations from one configuration to another in which no load is ever without supply.

Two spanning trees can be turned into each other by exchanges: close one branch of the target, open one branch of the
loop that it makes and that the target does not want. Every state after an exchange is radial; between its two
operations one loop is closed for a moment. Which exchange comes next is chosen so that the lowest voltage of the next
radial state is as high as possible, then its loss as low as possible.

Where paralleling is forbidden the branch is opened first and the other one closed then: what hangs behind the opened
branch is without supply in between. Exchanges that interrupt the fewest customers come first (the least load where the
network does not know its customers), so none are interrupted where that can be; voltage and loss decide among equals.

Phases that differ (vector groups of transformers, angles of sources) are never joined: where closing first would close
a loop between them, exchanges between equal phases come first, and where there is none that one is opened first, too.

Loss, voltages and currents after every operation are those of the independent judge, also while a loop is closed.

An outage begins by parting what is out of service from everything else (:mod:`.isolation`) and asking to earth it. What
is without supply then is restored next, by closings alone, each time the one after which the fewest limits are broken
and the lowest voltage is highest; loops of the start that the target does not have are opened after that. An order that
would close onto what is out of service, earthed or tagged is no order, but an error that names the step
(:mod:`.order_check`).

References
----------
Exchange of bases: Oxley, Matroid Theory (2011), doi:10.1093/acprof:oso/9780198566946.001.0001, section 1.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.network import Bools, Configuration, Evaluation, Id, Ints, Network, ReconfigurationProblem
from learnopt.network.names import branch_quoted, bus_label
from learnopt.network.phase_data import ABC
from learnopt.network.phases import SAME_PHASE, has_angles, phase_differences, unequal_loops
from learnopt.network.topology import DisjointSets, merged_nodes, radiality_faults, unfed_buses, without_chords
from learnopt.network.totals import consumption
from learnopt.physics import evaluate_transition, power_flow_batch
from learnopt.physics.phase_judge import PhaseJudge
from learnopt.physics.rooted_tree import rooted
from learnopt.studies.configuration.isolation import isolation
from learnopt.studies.configuration.order_check import unsafe_steps

_LOOKED_AT = 8
"""Exchanges whose power flow is computed again before each choice; the others keep the value they had last."""
_BATCH = 256
"""Power flows per batch, which bounds the memory of the states."""


Judge: TypeAlias = Callable[[ReconfigurationProblem, Configuration], Evaluation]
"""A power flow of a state with loops or without, of which buses without supply are no part."""
Behind = tuple[int, float]
"""Customers and load [pu] behind a branch."""


class Action(StrEnum):
    """What is done to a switch, or to what is out of service."""

    CLOSE = "close"
    OPEN = "open"
    EARTH = "earth"
    """Earth and short-circuit what is out of service, after the rules of the company."""
    DISCONNECT = "disconnect"
    """A crew takes equipment off a bus where no device parts the two."""


class PlanState(StrEnum):
    """Topology after an operation."""

    RADIAL = "radial"
    """Every bus is fed along one path."""
    LOOPED = "looped"
    """Every bus is fed, a loop is closed until the next opening."""
    ISOLATING = "isolating"
    """What is out of service is being parted from the rest; some buses may be without supply."""
    RESTORING = "restoring"
    """Some buses are still without supply, as they were at the start."""
    INTERRUPTED = "interrupted"
    """Some buses are without supply until the next closing."""


class Paralleling(StrEnum):
    """Whether a loop may be closed for a moment."""

    ALLOWED = "allowed"
    """Close first, then open: nobody is interrupted."""
    FORBIDDEN = "forbidden"
    """Open first, then close: what lies between is interrupted meanwhile."""


@dataclass(frozen=True)
class Operation:
    """One switching operation and the state it leads to.

    Parameters
    ----------
    step
        Position in the plan, from 1.
    branch, branch_id
        What is switched: index and id.
    action
        Close or open a device, earth or disconnect the branch.
    device
        Id of the device that is operated; None where there is none.
    bus
        Index of the bus at whose end it stands, off which the branch is taken, or that is earthed itself; None = the
        branch as a whole.
    state
        Topology after the operation.
    name
        Name of the device, of the branch where the device is the branch itself; "" where it has none.
    manual
        A crew carries it out on the spot; so it does what is no switching.
    loss_kw, min_voltage_pu, max_loading
        AC loss [kW], lowest voltage [pu] of the buses that are fed and highest current over ampacity after the
        operation; None where the power flow has no solution, ``max_loading`` also where no ampacity is known.
    unfed
        Indices of the loaded buses without supply after the operation.
    interrupted_kw
        Their load, generation apart [kW]; of several scenarios the mean.
    customers
        Customers without supply after the operation; None where the network does not know its customers.
    reason
        Why the order is not the usual one; "" where it is.
    transferred_kw, transferred_customers
        Load [kW] and customers whose supply the step changes: restored by a closing, interrupted by an opening, or
        taken over by another path when a loop is opened. None where a loop shares them or customers are not known.
    violations
        A sentence for every limit that the state after the operation breaks.
    """

    step: int
    branch: int
    branch_id: Id
    action: Action
    state: PlanState
    name: str = ""
    loss_kw: float | None = None
    min_voltage_pu: float | None = None
    max_loading: float | None = None
    manual: bool = False
    unfed: tuple[int, ...] = ()
    interrupted_kw: float = 0.0
    customers: int | None = None
    reason: str = ""
    device: Id | None = None
    bus: int | None = None
    transferred_kw: float | None = None
    transferred_customers: int | None = None
    violations: tuple[str, ...] = ()

    @property
    def on_bus(self) -> bool:
        """A bus is earthed: its branches may be live from their other ends."""
        return self.action is Action.EARTH and self.bus is not None


def normal_state(problem: ReconfigurationProblem) -> Configuration:
    """The configuration before reconfiguration as it stands: branches out of service carry nothing."""
    return Configuration(problem.network.normal_configuration.closed & ~problem.out_of_service)


def switching_plan(
    problem: ReconfigurationProblem,
    start: Configuration,
    target: Configuration,
    paralleling: Paralleling = Paralleling.ALLOWED,
    judge: Judge = evaluate_transition,
) -> list[Operation]:
    """Order the operations that lead from one configuration to another.

    Every bus fed at some moment stays fed, unless paralleling is forbidden or would join unequal phases; from the first
    radial state on, every second state is radial and feeds all. Of branches out of service, the devices around them
    are opened first, and nothing is closed onto them. Where switches have one or two phases, several may have to close
    before one can open: every phase that is fed at some moment stays fed.

    Parameters
    ----------
    judge
        Computes the figures of every state on the way.

    Raises
    ------
    DataError
        Where the target is not radial, holds a loop between unequal phases, uses a branch out of service, or moves one
        that is locked in its state or has no switch; where a step is not safe, by its number.
    UnsupportedError
        If no loop may be closed for a moment and switches have one or two phases.
    """
    net = problem.network
    out = problem.out_of_service
    moved = start.closed != target.closed
    faults = [f"branch {branch_quoted(net, e)} is out of service" for e in np.flatnonzero(target.closed & out)]
    fixed = (
        ("must stay open: it is locked, or has no switch", problem.must_open & target.closed & ~out & moved),
        ("must stay closed: it is locked, or has no switch", problem.must_close & ~target.closed & moved),
    )
    faults += [f"branch {branch_quoted(net, e)} {why}" for why, mask in fixed for e in np.flatnonzero(mask)]
    faults += [] if net.by_phase else radiality_faults(net, target.closed)
    faults += unequal_loops(net, target.closed, problem.chords)
    if faults:
        raise DataError("switching plan: target configuration", faults)
    plan = PlanRecord(problem, start.closed & ~out, judge)
    _isolate(plan)
    if net.by_phase:
        _by_phase(plan, target.closed, paralleling)
        refuse_unsafe(problem, plan.operations, start)
        return plan.operations
    _restore(plan, target.closed)
    _open_loops(plan, target.closed)
    _exchange(plan, target.closed, paralleling)
    refuse_unsafe(problem, plan.operations, start)
    return plan.operations


def refuse_unsafe(problem: ReconfigurationProblem, operations: Sequence[Operation], start: Configuration) -> None:
    """Walk an order before anybody carries it out (:mod:`.order_check`).

    Raises
    ------
    DataError
        Naming every step that closes onto what is out of service, earthed, locked or tagged.
    """
    unsafe = unsafe_steps(problem, [(o.action.value, o.branch, o.device, o.bus) for o in operations], start)
    if unsafe:
        raise DataError("switching plan: not safe", unsafe)


class PlanRecord:
    """Operations so far and the state they lead to."""

    def __init__(self, problem: ReconfigurationProblem, closed: Bools, judge: Judge = evaluate_transition) -> None:
        self.problem, self.judge = problem, judge
        self.gear = problem.network.switchgear
        self.drawn = consumption(problem.network, problem.scenario)
        self.closed = closed.copy()
        standing = closed | (problem.out_of_service & ~problem.network.normally_open)
        self.states = list(self.gear.states(Configuration(standing)))
        self.operations: list[Operation] = []
        self.again: dict[int, str] = {}
        """What is said where a branch that was opened for a crew is closed again, by branch."""
        self._judged: tuple[Bools, Evaluation] | None = None

    def scores(self, states: list[Bools]) -> list[tuple[float, float]]:
        """(lowest voltage [pu], -loss [kW]) of states; (-inf, -inf) where the power flow fails. Larger is better.

        Of several scenarios the lowest voltage and the weighted mean loss.
        """
        problem, net = self.problem, self.problem.network
        scores: list[tuple[float, float]] = []
        for first in range(0, len(states), _BATCH):
            closed = np.array(states[first : first + _BATCH])
            lowest, loss = np.full(len(closed), np.inf), np.zeros(len(closed))
            for member, weight in zip(problem.members, problem.weights, strict=True):
                s = (member.p + 1j * member.q)[None, :]
                flow = power_flow_batch(net, s, closed, problem.charging, problem.chords)
                lowest, loss = np.minimum(lowest, flow.vm_min), loss + weight * flow.loss  # NaN stays NaN
            scores += [
                # Rounded: a voltage that two exchanges leave alone must count as equal.
                (round(float(vm), 6), -float(kw) * net.base.kw) if np.isfinite(kw) else (-np.inf, -np.inf)
                for vm, kw in zip(lowest, loss, strict=True)
            ]
        return scores

    def best_closing(self, branches: Sequence[int]) -> int:
        """The branch after whose closing the fewest limits are broken, then the lowest voltage of what is fed highest.

        The first of equals; of many, the first few are looked at.
        """

        def score(e: int) -> tuple[float, float, float]:
            closed = self.closed.copy()
            closed[e] = True
            found = self.judge(self.problem, Configuration(closed))
            fed = ~unfed_buses(self.problem.network, closed)
            if not found.converged or not fed.any():
                return -math.inf, -math.inf, -math.inf
            return -float(len(found.violations)), round(float(found.vm[fed].min()), 6), -round(found.loss_kw, 6)

        looked_at = branches[:_LOOKED_AT]
        return looked_at[0] if len(looked_at) == 1 else max(looked_at, key=score)

    def apart(self, e: int, bus: int, reason: str) -> None:
        """A crew takes a branch off a bus."""
        self.add(e, Action.DISCONNECT, PlanState.ISOLATING, None, reason, bus=bus, changes=False)

    def switch(self, e: int, action: Action, state: PlanState, reason: str = "", behind: Behind | None = None) -> None:
        """Close every open device of a branch, or open those that its rule names.

        Parameters
        ----------
        behind
            Customers and load [pu] that a loop's opening moves to another path; None = those that the step gives or
            takes supply.
        """
        if action is Action.OPEN:
            openers = self.gear.openers(e)
            self.add(e, action, state, openers[0] if openers else None, reason, behind)
            for other in openers[1:]:
                self.add(e, action, state, other, "at this end too, or it keeps its iron losses", changes=False)
            return
        reason = " ".join(filter(None, (reason, self.again.get(e))))
        moved: list[int | None] = [k for k in self.gear.of_branch.get(e, ()) if not self.states[k]]
        *first, last = moved or [None]
        for k in first:
            self.add(e, action, self.operations[-1].state if self.operations else state, k, reason, changes=False)
        self.add(e, action, state, last, reason, behind)

    def add(
        self,
        e: int,
        action: Action,
        state: PlanState,
        device: int | None = None,
        reason: str = "",
        behind: Behind | None = None,
        *,
        bus: int | None = None,
        changes: bool = True,
    ) -> None:
        """Carry out one operation and see what the judge says of the state it leads to.

        Parameters
        ----------
        device
            Index in the switchgear.
        changes
            The branch changes its state with it.
        """
        net = self.problem.network
        before = unfed_buses(net, self.closed)
        if device is not None:
            self.states[device] = action is Action.CLOSE
        if changes:
            self.closed[e] = action is Action.CLOSE
        if self._judged is None or not np.array_equal(self._judged[0], self.closed):
            self._judged = self.closed.copy(), self.judge(self.problem, Configuration(self.closed))
        found = self._judged[1]
        after = unfed_buses(net, self.closed)
        dark = np.flatnonzero(after) if state in _DARK else np.zeros(0, dtype=np.int64)
        loaded = dark[(self.drawn[dark] != 0) | (self.problem.p[dark] != 0) | (self.problem.q[dark] != 0)]
        fed = np.setdiff1d(np.arange(net.n_bus), dark)
        known = found.converged and len(fed) > 0
        shown = None if device is None else self.gear.devices[device]
        kw, customers = self._transferred(before != after, behind, shared=state is PlanState.LOOPED)
        self.operations.append(
            Operation(
                step=len(self.operations) + 1,
                branch=e,
                branch_id=net.branch_ids[e],
                action=action,
                state=state,
                name=self._name(e, action, bus) if shown is None or shown.bus is None else shown.name,
                manual=True if action in _ON_THE_SPOT else bool(net.manual[e]) if shown is None else shown.manual,
                loss_kw=found.loss_kw if known else None,
                min_voltage_pu=float(found.vm[fed].min()) if known else None,
                max_loading=found.max_loading if known and np.isfinite(net.i_max).any() else None,
                unfed=tuple(loaded.tolist()),
                interrupted_kw=float(self.drawn[dark].sum()) * net.base.kw,
                customers=None if net.customers is None else int(net.customers[dark].sum()),
                reason=reason,
                device=None if shown is None else shown.id,
                bus=bus if device is None else self.gear.place[device],
                transferred_kw=kw,
                transferred_customers=customers,
                violations=found.violations,
            )
        )

    def _name(self, e: int, action: Action, bus: int | None) -> str:
        """What is operated where that is no device."""
        net = self.problem.network
        return net.bus_names[bus] if action is Action.EARTH and bus is not None else net.branch_names[e]

    def _transferred(self, changed: Bools, behind: Behind | None, shared: bool) -> tuple[float | None, int | None]:
        """Load [kW] and customers whose supply a step changes."""
        net = self.problem.network
        if behind is not None:
            customers, load = behind
            return load * net.base.kw, None if net.customers is None else customers
        if shared and not changed.any():
            return None, None
        load = float(self.drawn[changed].sum())
        return load * net.base.kw, None if net.customers is None else int(net.customers[changed].sum())


_ON_THE_SPOT = (Action.EARTH, Action.DISCONNECT)
_DARK = (PlanState.ISOLATING, PlanState.RESTORING, PlanState.INTERRUPTED)


_IDLE = (
    "it has no switch there, and nothing is supplied behind it: it may stay dead instead, without this step and "
    "without closing again what is opened for it"
)
_AGAIN = "live again up to {}, where a crew took off what is out of service: close it once all are away from there"


def _isolate(plan: PlanRecord) -> None:
    """Open every device around what is out of service, earth it, and take it off buses where it has no device."""
    problem = plan.problem
    if not problem.out_of_service.any():
        return
    net, gear = problem.network, plan.gear
    found = isolation(problem, tuple(plan.states))
    places = ", ".join(dict.fromkeys(bus_label(net, bus) for e, bus in found.apart if (e, bus) not in found.at_source))
    for k in found.opened:
        e = net.branch_index[str(gear.devices[k].branch)]
        live = e not in found.dead
        plan.add(e, Action.OPEN, PlanState.ISOLATING, k, changes=live)
        if live:
            plan.again[e] = _AGAIN.format(places)
    for e, bus in found.apart:
        if (e, bus) in found.at_source:
            plan.apart(e, bus, "no switch is known between it and a source: have it switched off there by its breaker")
    for e in found.faulted:
        plan.add(e, Action.EARTH, PlanState.ISOLATING, changes=False)
    for e, bus in found.apart:
        if (e, bus) not in found.at_source:
            plan.apart(e, bus, _IDLE if (e, bus) in found.idle else "it has no switch there")


def _restore(plan: PlanRecord, target: Bools) -> None:
    """Close branches of the target that feed what has no supply: each time the one after which voltages are best."""
    net = plan.problem.network
    node = merged_nodes(net)
    tail, head = node[net.from_bus].tolist(), node[net.to_bus].tolist()
    while True:
        sets = DisjointSets(int(node.max()) + 1)
        n_parts = int(node.max()) + 1 - sum(sets.join(tail[e], head[e]) for e in np.flatnonzero(plan.closed))
        if n_parts == 1:
            return
        root = sets.find(0)
        e = plan.best_closing(
            [
                int(e)
                for e in np.flatnonzero(target & ~plan.closed)
                if (sets.find(tail[e]) == root) != (sets.find(head[e]) == root)
            ]
        )
        if n_parts > 2:
            plan.switch(e, Action.CLOSE, PlanState.RESTORING)
        else:
            restored = plan.closed.copy()
            restored[e] = True
            radial = np.count_nonzero(without_chords(net, restored)) == int(node.max())
            plan.switch(e, Action.CLOSE, PlanState.RADIAL if radial else PlanState.LOOPED)


def _open_loops(plan: PlanRecord, target: Bools) -> None:
    """Open surplus branches of a state that feeds everything: such a branch lies in a loop and not in the target."""
    net = plan.problem.network
    node = merged_nodes(net)
    tail, head = node[net.from_bus].tolist(), node[net.to_bus].tolist()
    closed = without_chords(net, plan.closed)
    n_surplus = np.count_nonzero(closed) - int(node.max())
    # Branches of the target first, then the others: those that close a loop then are surplus.
    sets = DisjointSets(int(node.max()) + 1)
    kept = closed & target
    order = [*np.flatnonzero(kept), *np.flatnonzero(closed & ~kept)]
    surplus = [int(e) for e in order if not sets.join(tail[e], head[e])]
    for k, e in enumerate(surplus, 1):
        plan.switch(e, Action.OPEN, PlanState.RADIAL if k == n_surplus else PlanState.LOOPED)


def _exchange(plan: PlanRecord, target: Bools, paralleling: Paralleling) -> None:
    """Turn a radial state into the target, the best exchange first.

    Exchanges in different parts of a feeder hardly see each other, so values of earlier rounds are a good guess of
    which ones are worth a power flow now; the exchange that is carried out has always been computed in this round.
    """
    net = plan.problem.network
    known: dict[tuple[int, int], tuple[float, float]] = {}
    while not np.array_equal(plan.closed, target):
        pairs = _exchanges(net, plan.closed, target)
        open_first, apart = paralleling is Paralleling.FORBIDDEN, {}
        if not open_first and has_angles(net):
            apart = _apart(net, plan.closed, pairs)
            joined = [pair for pair in pairs if apart[pair[0]] <= SAME_PHASE]
            open_first, pairs = not joined, joined or pairs
        if open_first:
            lost = _interrupted(plan.problem, plan.closed)
            least = min(lost[open_] for _, open_ in pairs)
            pairs = [pair for pair in pairs if lost[pair[1]] == least]
        new = [pair for pair in pairs if pair not in known]
        known |= zip(new, plan.scores([_exchanged(plan.closed, *pair) for pair in new]), strict=True)
        promising = sorted(pairs, key=lambda pair: (*(-value for value in known[pair]), pair))[:_LOOKED_AT]
        known |= zip(promising, plan.scores([_exchanged(plan.closed, *pair) for pair in promising]), strict=True)
        close, open_ = max(promising, key=lambda pair: (known[pair], -pair[0], -pair[1]))
        if not open_first:
            behind = _interrupted(plan.problem, plan.closed)[open_]
            plan.switch(close, Action.CLOSE, PlanState.LOOPED)
            plan.switch(open_, Action.OPEN, PlanState.RADIAL, behind=behind)
        else:
            reason = ""
            if apart:
                reason = (
                    f"opened first: branch {branch_quoted(net, close)} would join phases that are "
                    f"{math.degrees(apart[close]):.4g} degrees apart"
                )
            plan.switch(open_, Action.OPEN, PlanState.INTERRUPTED, reason)
            plan.switch(close, Action.CLOSE, PlanState.RADIAL)


def _by_phase(plan: PlanRecord, target: Bools, paralleling: Paralleling) -> None:
    """Close the branches of the target one by one; after each, open what takes no phase of a bus its supply.

    What is fed is what the power flow of all phases gives a voltage; where there is none, everything closes first.
    """
    net = plan.problem.network
    if paralleling is Paralleling.FORBIDDEN:
        raise UnsupportedError(
            "an order without loops is not planned where switches have one or two phases: several close before one "
            "opens",
            {"paralleling": "forbidden"},
        )
    live = plan.judge.live if isinstance(plan.judge, PhaseJudge) else lambda _: None
    while True:
        closing = np.flatnonzero(target & ~plan.closed)
        _open_spare(plan, target, live)
        if not len(closing):
            break
        joined = closing[phase_differences(net, plan.closed, closing.tolist()) <= SAME_PHASE]
        if not len(joined):
            raise DataError(
                "switching plan", [f"branch {branch_quoted(net, closing[0])} would join phases of different angle"]
            )
        best = plan.best_closing(joined.tolist())
        plan.switch(best, Action.CLOSE, _phase_state(plan, target, best, close=True))


def _open_spare(plan: PlanRecord, target: Bools, live: Callable[[Configuration], Ints | None]) -> None:
    """Open branches that are not in the target, as long as every phase that has a voltage keeps it."""
    last = not (target & ~plan.closed).any()
    while True:
        before = live(Configuration(plan.closed))
        for e in np.flatnonzero(plan.closed & ~target).tolist():
            without = plan.closed.copy()
            without[e] = False
            after = None if before is None else live(Configuration(without))
            if last if before is None or after is None else bool((after >= before).all()):
                plan.switch(e, Action.OPEN, _phase_state(plan, target, e, close=False))
                break
        else:
            break
    if last and (plan.closed & ~target).any():
        left = ", ".join(branch_quoted(plan.problem.network, e) for e in np.flatnonzero(plan.closed & ~target))
        raise DataError("switching plan", [f"branch {left} cannot open: a phase would be without supply"])


def _phase_state(plan: PlanRecord, target: Bools, e: int, close: bool) -> PlanState:
    """Radial where each phase has as many closed conductors as in the target, which is radial."""
    closed = plan.closed.copy()
    closed[e] = close
    phases = plan.problem.network.branch_phases
    counts = [[sum(p in phases[k] for k in np.flatnonzero(state)) for p in ABC] for state in (closed, target)]
    return PlanState.RADIAL if counts[0] == counts[1] else PlanState.LOOPED


def _apart(net: Network, closed: Bools, pairs: list[tuple[int, int]]) -> dict[int, float]:
    """Angle across each branch to close [rad]."""
    closing = sorted({close for close, _ in pairs})
    return dict(zip(closing, phase_differences(net, closed, closing).tolist(), strict=True))


def _interrupted(problem: ReconfigurationProblem, closed: Bools) -> dict[int, tuple[int, float]]:
    """(customers, load [pu]) behind every closed branch of a radial state, by branch."""
    net = problem.network
    tree = rooted(net, closed)
    assert tree is not None, "an exchange keeps a state radial"
    order, parent, feed = (array.tolist() for array in tree)
    customers = [0] * net.n_bus if net.customers is None else net.customers.tolist()
    load = consumption(net, problem.scenario).tolist()
    for k in reversed(order):
        if parent[k] >= 0:
            customers[parent[k]] += customers[k]
            load[parent[k]] += load[k]
    # Rounded: a sum that differs by the order of its terms must count as equal.
    return {feed[k]: (customers[k], round(load[k], 9)) for k in order if feed[k] >= 0}


def _exchanged(closed: Bools, close: int, open_: int) -> Bools:
    state = closed.copy()
    state[close], state[open_] = True, False
    return state


def _exchanges(net: Network, closed: Bools, target: Bools) -> list[tuple[int, int]]:
    """(branch to close, branch to open in its loop) for every exchange that brings a radial state nearer to the target.

    The target has no loop but fixed ones, so the loop of a branch to close always holds a branch that must be opened.
    """
    tree = rooted(net, closed)
    assert tree is not None, "an exchange keeps a state radial"
    order, parent, feed = (array.tolist() for array in tree)
    depth = [0] * net.n_bus
    for k in order:
        if parent[k] >= 0:
            depth[k] = depth[parent[k]] + 1
    unwanted = (closed & ~target).tolist()
    pairs = []
    for e in np.flatnonzero(target & ~closed).tolist():
        a, b = int(net.from_bus[e]), int(net.to_bus[e])
        # Climb to the common bus, or to two substations, which count as one.
        while a != b and (parent[a] >= 0 or parent[b] >= 0):
            if depth[a] < depth[b]:
                a, b = b, a
            if unwanted[feed[a]]:
                pairs.append((e, feed[a]))
            a = parent[a]
    return pairs
