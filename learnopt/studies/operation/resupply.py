"""Supply after a trip: who is in the dark, where the fault is said to be, and a plan for it on the picture of now.

What is in the dark draws nothing, whatever its meters say now: its loads are the expected ones. What has supply has the
loads of the picture. The plan is that of :mod:`learnopt.studies.restoration`, from the present state on; it holds now
and in each of the hours ahead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.errors import LearnoptError
from learnopt.network import Bools, Configuration, Limits, Network, ReconfigurationProblem, Scenario, Situations
from learnopt.network.names import branch_label, bus_label
from learnopt.network.topology import DisjointSets, merged_nodes, unfed_buses, without_chords
from learnopt.physics import evaluate_transition
from learnopt.studies.configuration.switching_order import Action, Operation, Paralleling
from learnopt.studies.operation.faults import live
from learnopt.studies.operation.picture import Picture, Trust
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.search import Second
from learnopt.studies.restoration.study import Restoration, restore
from learnopt.wording import counted

SEARCH_S = 8.0
"""Longest time of the search: the plan is there within 15 s of the trip, also where its proof is not."""
_NAMED = 10
_LEAST_KW = 1e-6


@dataclass(frozen=True, eq=False)
class Resupply:
    """What can be done for those in the dark.

    Parameters
    ----------
    reason
        In a sentence or two: who is in the dark and what is proposed, or why nothing is.
    dark_kw
        Load without supply [kW].
    steps
        In order, those that the present state has already left out; empty where nothing is proposed.
    target
        State after them; None without a plan.
    restoration
        The study behind it; None where none was run.
    problem
        Loads of now, as they are where there is supply and as expected in the dark; None where nothing was asked.
    restored_kw
        Load in the dark that gets supply [kW].
    """

    reason: str
    dark_kw: float
    steps: tuple[Operation, ...] = ()
    target: Configuration | None = None
    restoration: Restoration | None = None
    problem: ReconfigurationProblem | None = None
    restored_kw: float = 0.0


def dark_load(network: Network, closed: Bools, expected: Scenario) -> Bools:
    """Loaded buses without a path to a substation, shape (n_bus,)."""
    return unfed_buses(network, closed) & ((expected.p_load != 0) | (expected.q_load != 0))


def supposed(picture: Picture, expected: Scenario, dark: Bools) -> Scenario:
    """The loads of now: those of the picture, and at the buses in the dark those that are expected."""
    like = picture.scenario
    return replace(
        like,
        p_load=np.where(dark, expected.p + like.p_gen, like.p_load),
        q_load=np.where(dark, expected.q + like.q_gen, like.q_load),
    )


def resupply(
    picture: Picture,
    expected: Scenario,
    ahead: Sequence[Scenario],
    fault: Fault,
    sure: bool,
    trust: Trust,
    limits: Limits | None = None,
) -> Resupply | None:
    """The plan for those in the dark; None where nobody is.

    Parameters
    ----------
    expected, ahead
        Loads expected now, and in the hours after.
    fault
        What is said to be faulted.
    sure
        Somebody has located it; otherwise it is supposed where a switch has opened by itself.
    limits
        Those of the network where absent.
    """
    net, present = picture.network, picture.present
    dark = dark_load(net, present.closed, expected)
    if not dark.any():
        return None
    now = supposed(picture, expected, unfed_buses(net, present.closed))
    kw = float(np.maximum(now.p_load, 0.0)[dark].sum()) * net.base.kw
    places = np.flatnonzero(dark).tolist()
    named = ", ".join(bus_label(net, k) for k in places[:_NAMED]) + (" ..." if len(places) > _NAMED else "")
    told = f"{kw:.4g} kW without supply at {counted(len(places), 'bus', 'buses')}: {named}."
    nothing = Resupply(told, kw)
    why = no_ground(picture, fault, trust)
    if not why and _looped(net, present.closed):
        why = "a loop is closed by telemetry as well"
    if why:
        return replace(nothing, reason=f"{told} No plan: {why}.")
    out, locked, tagged = now.out_of_service, now.locked, now.tagged
    each = [replace(one, out_of_service=out, locked=locked, tagged=tagged, name=one.name) for one in (now, *ahead)]
    problem = ReconfigurationProblem.of(
        net,
        Situations(tuple(replace(one, name=f"{k}: {one.name}") for k, one in enumerate(each)), np.ones(len(each))),
        limits=Limits.of(net) if limits is None else limits,
    )
    try:
        found = restore(problem, fault, None, Second.OPERATIONS, Paralleling.ALLOWED, SEARCH_S)
        steps = _to_do(found.operations, present)
    except LearnoptError as error:
        return replace(nothing, reason=f"{told} No plan: {'; '.join(error.messages)}.")
    return _judged(replace(nothing, problem=problem.under(now)), found, steps, sure)


def no_ground(picture: Picture, fault: Fault, trust: Trust) -> str:
    """Why a picture with some load in the dark is no ground for a step; "" where it is."""
    net, closed = picture.network, picture.present.closed
    if not fault.branches and not fault.buses:
        return "nobody has said where the fault is (points branch:ID:fault and bus:ID:fault)"
    if told := live(net, closed, fault):
        return f"the fault is said to be at {', '.join(told)}, which is under voltage"
    if len(picture.rejected) > trust.most_rejected:
        return f"{len(picture.rejected)} measurements contradict the others"
    if picture.known_of_fed < trust.least_observed:
        return (
            f"{100 * picture.known_of_fed:.0f} % of the load that has supply is known, "
            f"{100 * trust.least_observed:.0f} % are asked for"
        )
    return ""


def _looped(network: Network, closed: Bools) -> bool:
    """Some loop is closed that could be open."""
    tree = without_chords(network, closed)
    node = merged_nodes(network)
    sets = DisjointSets(int(node.max()) + 1)
    joined = zip(node[network.from_bus[tree]].tolist(), node[network.to_bus[tree]].tolist(), strict=True)
    return not all(sets.join(i, j) for i, j in joined)


def _to_do(operations: Sequence[Operation], present: Configuration) -> tuple[Operation, ...]:
    """Steps without those whose switch stands as they want it and is not moved before."""
    moved: set[int] = set()
    kept = []
    for one in operations:
        switching = one.action in (Action.OPEN, Action.CLOSE)
        if switching and one.branch not in moved and present.closed[one.branch] == (one.action is Action.CLOSE):
            continue
        moved |= {one.branch} if switching else set()
        kept.append(one)
    return tuple(kept)


def _judged(so_far: Resupply, found: Restoration, steps: tuple[Operation, ...], sure: bool) -> Resupply:
    """What was found, if it helps anybody and every state on the way is within the limits."""
    target, problem, told = found.configuration, so_far.problem, so_far.reason
    assert problem is not None
    net = problem.network
    if target is None:
        return replace(so_far, reason=f"{told} No plan: {found.found.message}.", restoration=found)
    after = _after(net.normal_configuration, steps)
    gain = found.served & unfed_buses(net, net.normal_configuration.closed)
    restored = float(np.maximum(problem.situations.scenarios[0].p_load, 0.0)[gain].sum()) * net.base.kw
    if restored <= _LEAST_KW:
        why = "No switching brings any of it back within the limits."
        return replace(so_far, reason=f"{told} {why}", restoration=found)
    state = net.normal_configuration
    for step in steps:
        state = _after(state, [step])
        judged = evaluate_transition(problem, state)
        bad = [*judged.violations, *(f"{one} is live" for one in live(net, state.closed, found.outage.fault))]
        if bad or not judged.converged:
            bad = [*bad, "no power flow"]
            why = f"after {step.action.value} {branch_label(net, step.branch)}, on the way: {bad[0]}"
            return replace(so_far, reason=f"{told} No plan: {why}.", restoration=found)
    place = ", ".join(found.outage.fault.labels(net))
    where = (
        f"The fault is told at {place}."
        if sure
        else f"Nobody has located the fault: it is SUPPOSED at {place}, whose switch has opened by itself. Tell where "
        "it is if it is elsewhere, before anything is closed."
    )
    return replace(
        so_far,
        reason=f"{told} The plan brings {restored:.4g} kW back. {where}",
        steps=steps,
        target=after,
        restoration=found,
        restored_kw=restored,
    )


def _after(state: Configuration, steps: Sequence[Operation]) -> Configuration:
    closed = state.closed.copy()
    for one in steps:
        if one.action in (Action.OPEN, Action.CLOSE):
            closed[one.branch] = one.action is Action.CLOSE
    return Configuration(closed)
