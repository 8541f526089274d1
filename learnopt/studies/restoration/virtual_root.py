"""The extended network: one more source, and a branch of no impedance from it to every zone, "not served".

Every state of a partial service is a spanning tree of it (:mod:`learnopt.formulations.restoration`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.network import Bools, Configuration, Floats, Ints, Network, ReconfigurationProblem, Scenario, Situations
from learnopt.physics import evaluate, power_flow

_SLACK = 1e-6
"""Relative room around what a zone has on its own edge, where that is outside the limits."""


@dataclass(frozen=True, eq=False)
class Extended:
    """A problem with a virtual root.

    Parameters
    ----------
    problem
        Of one situation. Limits inside a zone give way to what it has on its own edge.
    zone
        Zone of each bus, shape (n_bus + 1,); -1 for substations and the root.
    edge
        Branch from the root to each zone, shape (n_zone,).
    idle_kw
        At least what each zone loses on its edge [kW], shape (n_zone,).
    drawn
        Power that each zone draws there [pu], complex, shape (n_zone,).
    """

    problem: ReconfigurationProblem
    zone: Ints
    edge: Ints
    idle_kw: Floats
    drawn: NDArray[np.complex128]

    def state(self, closed: Bools, served: Bools) -> Configuration:
        """A state of the network with its edges: those of the zones without supply, shape (n_zone,)."""
        return Configuration(np.concatenate([closed, ~served]))


def extended(problem: ReconfigurationProblem, zone: Ints) -> Extended | None:
    """The problem with a virtual root; None where some zone has no power flow even on its own edge.

    Parameters
    ----------
    problem
        One situation.
    zone
        Zone of each bus, shape (n_bus,); -1 with the substations.
    """
    problem = problem.limits_written()
    n_zone, n_branch = int(zone.max(initial=-1)) + 1, problem.network.n_branch
    place = np.array([int(np.flatnonzero(zone == z)[0]) for z in range(n_zone)], dtype=np.int64)
    network = _with_root(problem.network, place)
    powers: dict[str, Any] = {
        key: np.append(getattr(problem.scenario, key), 0.0) for key in ("p_load", "q_load", "p_gen", "q_gen")
    }
    out = np.append(problem.out_of_service, np.zeros(n_zone, dtype=bool))
    locked = np.append(problem.locked, np.full(n_zone, -1, dtype=np.int8)).astype(np.int8)
    scenario: Scenario = replace(problem.scenario, out_of_service=out, locked=locked, **powers)
    whole = problem.replace(
        network=network, situations=Situations.of(scenario), out_of_service=out, locked=locked, max_operations=None
    )
    edge = n_branch + np.arange(n_zone)
    found = Extended(whole, np.append(zone, -1), edge, np.zeros(n_zone), np.zeros(n_zone, dtype=complex))
    alone = found.state(problem.must_close, np.zeros(n_zone, dtype=bool))
    judged, flow = evaluate(whole, alone), power_flow(whole, alone)
    if not judged.converged or not flow.converged:
        return None
    inside = found.zone >= 0
    between = np.append(problem.must_close, np.zeros(n_zone, dtype=bool))
    between &= (found.zone[network.from_bus] == found.zone[network.to_bus]) & inside[network.to_bus]
    current = judged.current_a / network.i_base
    eased = replace(
        network,
        vm_min=np.where(inside, np.minimum(network.vm_min, judged.vm * (1 - _SLACK)), network.vm_min),
        vm_max=np.where(inside, np.maximum(network.vm_max, judged.vm * (1 + _SLACK)), network.vm_max),
        i_max=np.where(between, np.maximum(network.i_max, current * (1 + _SLACK)), network.i_max),
    )
    lost = np.zeros(network.n_branch)
    fed = flow.feed >= 0
    lost[flow.feed[fed]] = network.r[flow.feed[fed]] * np.abs(flow.current[fed]) ** 2
    lost += network.g * float(np.abs(flow.v).max()) ** 2 * float(np.maximum(1 / network.ratio, 1.0).max()) ** 2
    idle = np.zeros(n_zone)
    here = np.flatnonzero(between)
    np.add.at(idle, found.zone[network.to_bus[here]], lost[here] * network.base.kw * (1 + _SLACK))
    drawn = flow.v[-1] * np.conj(flow.current[place])
    return replace(found, problem=whole.replace(network=eased), idle_kw=idle, drawn=drawn)


def lossless(whole: Extended) -> Extended | None:
    """The same without impedances and voltage limits: what flows at least, where nothing feeds back.

    With loads of p, q >= 0 alone, what arrives at a bus is what it needs or more, so every branch and source carries at
    least what it would without losses, at the highest voltage of all. None where something feeds back, or a ratio is
    not one.
    """
    problem, net = whole.problem, whole.problem.network
    fed = ~net.is_substation
    passive = (problem.p[fed] >= 0).all() and (problem.q[fed] >= 0).all() and (net.b_shunt <= 0).all()
    if not passive or (problem.b > 0).any() or (net.ratio != 1).any():
        return None
    none, no = np.zeros(net.n_branch), np.zeros(net.n_bus)
    network = replace(
        net,
        r=none,
        x=none,
        b=none,
        g=none,
        g_shunt=no,
        b_shunt=no,
        vm_min=no,
        vm_max=np.full(net.n_bus, np.inf),
        substation_vm=np.full(len(net.substations), net.substation_vm.max()),
    )
    drawn = np.zeros(len(whole.edge), dtype=complex)
    inside = np.flatnonzero(whole.zone >= 0)
    np.add.at(drawn, whole.zone[inside], (problem.p + 1j * problem.q)[inside])
    idle = np.zeros(len(whole.edge))
    return replace(whole, problem=problem.replace(network=network), idle_kw=idle, drawn=drawn)


def _with_root(network: Network, place: Ints) -> Network:
    """The network with a source and a branch from it to each of some buses."""
    n_zone, root = len(place), network.n_bus
    none, no = np.zeros(n_zone), np.zeros(n_zone, dtype=bool)
    taken = {str(name) for name in (*network.bus_ids, *network.branch_ids)}
    name = "not served"
    while any(one.startswith(name) for one in taken):
        name += "'"
    bus: dict[str, Any] = dict.fromkeys(("p_load", "q_load", "p_fed", "q_fed", "g_shunt", "b_shunt", "vm_min"), 0.0)
    bus |= {"vm_max": np.inf, "kv": network.base.v_base}
    branch: dict[str, Any] = dict.fromkeys(("r", "x", "b", "g", "shift"), none)
    branch |= {"i_max": np.full(n_zone, np.inf), "ratio": np.ones(n_zone), "manual": no}
    branch |= {"switchable": ~no, "normally_open": ~no}
    highest = min(float(network.substation_vm.max()), float(network.vm_max.min()))
    source = {
        "substation_vm": highest,
        "substation_va": 0.0,
        "substation_s_min": 0.0,
        "substation_s_max": np.inf,
        "substations": root,
    }
    changed: dict[str, Any] = {
        key: np.append(getattr(network, key), value) for key, value in (bus | branch | source).items()
    }
    return replace(
        network,
        bus_ids=(*network.bus_ids, name),
        bus_names=(*network.bus_names, ""),
        branch_ids=(*network.branch_ids, *(f"{name} {z}" for z in range(n_zone))),
        branch_names=(*network.branch_names, *[""] * n_zone),
        from_bus=np.append(network.from_bus, np.full(n_zone, root)),
        to_bus=np.append(network.to_bus, place),
        coordinates=None,
        customers=None,
        **changed,
    )
