"""The state that people leave: a cable opened at one end stays energised from the other.

A configuration takes an open branch for dead, so that a network keeps its buses. Where its devices open one end only,
its charging, or the iron losses of a transformer, remain at the other. This is the network with them, of one state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from learnopt.network.configuration import Configuration
from learnopt.network.model import Network
from learnopt.network.problem import ReconfigurationProblem
from learnopt.network.situations import Scenario
from learnopt.network.switchgear import end_id, end_name


def open_ends(
    problem: ReconfigurationProblem, configuration: Configuration, states: Sequence[bool] | None = None
) -> dict[int, int]:
    """The bus that each branch with shunts is parted from, of those parted at one end only; out of service none is.

    Parameters
    ----------
    states
        Whether each device of the switchgear is closed; None = as the rule for open branches has them.
    """
    net, gear = problem.network, problem.network.switchgear
    if not net.devices:
        return {}
    if states is None:
        states = gear.states(configuration, problem.out_of_service)
    drawing = (problem.b != 0) | (net.g != 0)
    found = {}
    for e in np.flatnonzero(~configuration.closed & drawing & ~problem.out_of_service).tolist():
        ends = (int(net.from_bus[e]), int(net.to_bus[e]))
        parted = [bus for bus in ends if not all(states[k] for k in gear.at_end(e, bus))]
        if len(parted) == 1:
            found[e] = parted[0]
    return found


def as_operated(
    problem: ReconfigurationProblem, configuration: Configuration, states: Sequence[bool] | None = None
) -> tuple[ReconfigurationProblem, Configuration]:
    """The same state with every branch that is open at one end energised from the other; itself where there is none.

    Such a branch is closed and leads to a bus of its own, without load and limit. ``states`` as of :func:`open_ends`.
    """
    parted = open_ends(problem, configuration, states)
    if not parted:
        return problem, configuration
    closed = configuration.closed.copy()
    closed[list(parted)] = True

    def network(net: Network) -> Network:
        from_bus, to_bus = net.from_bus.copy(), net.to_bus.copy()
        for k, (e, bus) in enumerate(parted.items()):
            (from_bus if from_bus[e] == bus else to_bus)[e] = net.n_bus + k
        behind = list(parted.values())
        none = np.zeros(len(behind))
        more: dict[str, Any] = dict.fromkeys(
            ("p_load", "q_load", "p_fed", "q_fed", "g_shunt", "b_shunt", "vm_min"), none
        )
        more |= {"vm_max": np.full(len(behind), np.inf), "kv": net.kv[behind]}
        changed: dict[str, Any] = {key: np.concatenate([getattr(net, key), values]) for key, values in more.items()}
        ids = tuple(end_id(net.branch_ids[e], net.bus_ids[bus]) for e, bus in parted.items())
        names = tuple(
            end_name(net.branch_ids[e], net.branch_names[e], net.bus_ids[bus], net.bus_names[bus])
            for e, bus in parted.items()
        )
        return replace(
            net,
            bus_ids=net.bus_ids + ids,
            bus_names=net.bus_names + names,
            from_bus=from_bus,
            to_bus=to_bus,
            coordinates=None if net.coordinates is None else np.vstack([net.coordinates, net.coordinates[behind]]),
            customers=None if net.customers is None else np.concatenate([net.customers, np.zeros(len(behind), int)]),
            **changed,
        )

    def scenario(one: Scenario) -> Scenario:
        none = np.zeros(len(parted))
        powers: dict[str, Any] = {
            k: np.concatenate([getattr(one, k), none]) for k in ("p_load", "q_load", "p_gen", "q_gen")
        }
        return replace(one, **powers)

    situations = replace(
        problem.situations,
        scenarios=tuple(scenario(one) for one in problem.situations),
        networks=tuple(network(each) for each in problem.situations.networks),
    )
    operated = problem.replace(network=network(problem.network), situations=situations)
    return operated, Configuration(closed)
