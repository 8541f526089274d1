"""Restoration against enumeration: random networks of few switches, every state of which is looked at.

    python benchmarks/restoration.py --networks 2000

Each network has zones of lines without switches, one or two substations, limits that bind, and a fault. The oracle
goes through all states of the switches, judges what has supply in each by the power flow of any state, and keeps the
best: most load, then fewest operations, then least loss. It shares the judge with the search, and nothing else.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from learnopt.io import network_from_dict
from learnopt.network import Bools, Configuration, Limits, Network, ReconfigurationProblem
from learnopt.network.topology import DisjointSets
from learnopt.physics import evaluate_transition
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.search import TOLERANCE
from learnopt.studies.restoration.study import Restoration, restore

MOST_SWITCHES = 12


@dataclass(frozen=True)
class Best:
    """The best state of an enumeration.

    Parameters
    ----------
    value_kw
        Load with supply, times priority.
    operations
        Switches that differ from the normal state, those that the fault blocks left aside.
    loss_kw
        Loss of what has supply.
    unsettled
        States without a settled power flow: where there are some, the others are no proof.
    """

    value_kw: float
    operations: int
    loss_kw: float
    unsettled: int


def random_case(rng: np.random.Generator) -> tuple[ReconfigurationProblem, Fault, np.ndarray]:
    """A random problem of at most :data:`MOST_SWITCHES` switches, a fault, and the worth of a kW at each bus."""
    n_source = int(rng.integers(1, 3))
    n_bus = int(rng.integers(5, 11)) + n_source
    buses = [{"id": f"S{k}"} for k in range(n_source)]
    for k in range(n_bus - n_source):
        loaded = rng.random() > 0.15
        p = float(rng.integers(2, 40)) * 10 if loaded else 0.0
        buses.append({"id": f"B{k}", "p_kw": p, "q_kvar": round(p * float(rng.uniform(0.1, 0.7)), 1)})
    names = [bus["id"] for bus in buses]
    branches: list[dict[str, object]] = []

    def add(a: str, b: str, switch: bool, normally_open: bool) -> None:
        z = float(rng.uniform(0.2, 2.0))
        rating = {"ampacity_a": round(float(rng.uniform(40, 160)), 1)} if rng.random() < 0.4 else {}
        branches.append(
            {
                "id": f"L{len(branches)}", "from": a, "to": b, "r_ohm": round(z, 4),
                "x_ohm": round(z * float(rng.uniform(0.3, 1.2)), 4), "switchable": switch,
                "normally_open": normally_open, **rating,
            }
        )  # fmt: skip

    switches = 0
    for k in range(n_source, n_bus):
        switch = bool(k == n_source or rng.random() < 0.65) and switches < MOST_SWITCHES - 3
        switches += switch
        add(names[int(rng.integers(max(0, k - 4), k))], names[k], switch, False)
    while switches < MOST_SWITCHES and rng.random() < 0.8:
        a, b = rng.choice(n_bus, size=2, replace=False)
        if max(a, b) < n_source:
            continue
        switches += 1
        add(names[int(a)], names[int(b)], True, True)
    record = {
        "name": "random", "base_kv": 10.0, "substations": names[:n_source], "buses": buses, "branches": branches,
    }  # fmt: skip
    net = network_from_dict(record, "random")
    total = float(net.p_load.sum()) * net.base.kw
    limits = {"vm_min": float(rng.uniform(0.93, 0.985)) if rng.random() < 0.8 else 0.9}
    if rng.random() < 0.5:
        rating = rng.uniform(0.4, 1.2, n_source) * total / net.base.kw
        net = replace(net, substation_s_max=rating)
    problem = ReconfigurationProblem.of(net, limits=Limits(ampacity=True, substations=True, **limits))
    if rng.random() < 0.5:
        fault = Fault(branches=(int(rng.integers(net.n_branch)),))
    else:
        fault = Fault(buses=(int(rng.integers(net.n_bus)),))
    worth = rng.choice([1.0, 1.0, 5.0], net.n_bus) if rng.random() < 0.3 else np.ones(net.n_bus)
    return problem, fault, worth


def enumerated(problem: ReconfigurationProblem, fault: Fault, worth: np.ndarray) -> Best:
    """The best state after a fault, by looking at all of them."""
    net = problem.network
    dead_bus, dead_line = dead_by_hand(net, fault)
    blocked = dead_line | dead_bus[net.from_bus] | dead_bus[net.to_bus]
    healthy = problem.replace(out_of_service=blocked)
    switches = np.flatnonzero(net.switchable & ~blocked)
    value = np.maximum(net.p_load, 0) * net.base.kw * worth
    sources = [int(k) for k in net.substations if not dead_bus[k]]
    reach = joined(net, ~blocked, sources)
    found: list[tuple[bool, float, int, float]] = []
    unsettled = 0
    for states in product((False, True), repeat=len(switches)):
        closed = ~net.normally_open & ~blocked
        closed[switches] = states
        lit = joined(net, closed, sources)
        if loops(net, closed & lit[net.from_bus]):
            continue
        judged = evaluate_transition(healthy, Configuration(closed)) if sources else None
        if judged is not None and not judged.converged:
            unsettled += judged.unsettled
            continue
        if judged is not None and judged.violations:
            continue
        operations = int(np.count_nonzero(closed[switches] == net.normally_open[switches]))
        loss = 0.0 if judged is None else judged.loss_kw
        found.append((bool((lit == reach).all()), float(value[lit].sum()), operations, loss))
    if any(everything for everything, *_ in found):
        found = [one for one in found if one[0]]
    if not found:
        return Best(-1.0, 0, 0.0, unsettled)
    most = max(kw for _, kw, *_ in found)
    slack = TOLERANCE * max(float(value.sum()), 1e-9)
    fewest = min(n for _, kw, n, _ in found if kw >= most - slack)
    least = min(loss for _, kw, n, loss in found if kw >= most - slack and n == fewest)
    return Best(most, fewest, least, unsettled)


def dead_by_hand(net: Network, fault: Fault) -> tuple[Bools, Bools]:
    """What no switch parts from the fault; every switch of these networks is a branch and parts both its ends."""
    bus, line = np.zeros(net.n_bus, dtype=bool), np.zeros(net.n_branch, dtype=bool)
    bus[list(fault.buses)] = line[list(fault.branches)] = True
    fixed = ~net.switchable & ~net.normally_open
    while True:
        more_line = line | (fixed & (bus[net.from_bus] | bus[net.to_bus]))
        more_bus = bus.copy()
        for e in np.flatnonzero(more_line & fixed):
            more_bus[[net.from_bus[e], net.to_bus[e]]] = True
        if (more_bus == bus).all() and (more_line == line).all():
            return bus, line
        bus, line = more_bus, more_line


def joined(net: Network, closed: Bools, sources: list[int]) -> Bools:
    """Buses that closed branches join to a source."""
    sets = DisjointSets(net.n_bus + 1)
    for e in np.flatnonzero(closed):
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    for k in sources:
        sets.join(k, net.n_bus)
    return np.array([sets.find(k) == sets.find(net.n_bus) for k in range(net.n_bus)])


def loops(net: Network, closed: Bools) -> bool:
    """Closed branches make a loop, two sources being one bus."""
    sets = DisjointSets(net.n_bus + 1)
    for k in net.substations:
        sets.join(int(k), net.n_bus)
    return not all(sets.join(int(net.from_bus[e]), int(net.to_bus[e])) for e in np.flatnonzero(closed))


def differences(result: Restoration, best: Best) -> list[str]:
    """What a restoration and the enumeration do not agree on."""
    found, value = result.found, result.outage.value_kw
    if best.unsettled:
        return []
    if result.configuration is None:
        return [] if best.value_kw < 0 else [f"no plan, enumeration has {best.value_kw:.6g} kW"]
    served = float(value[result.served].sum())
    said = []
    slack = 2 * TOLERANCE * max(float(value.sum()), 1.0)
    if abs(served - best.value_kw) > slack:
        said.append(f"load {served:.6g} kW, enumeration {best.value_kw:.6g} kW, {found.status.value}")
    elif found.operations.value != best.operations:
        said.append(f"operations {found.operations.value:g}, enumeration {best.operations}, {found.status.value}")
    elif abs((result.loss_kw or 0.0) - best.loss_kw) > 1e-5 * max(best.loss_kw, 1e-3):
        said.append(f"loss {result.loss_kw} kW, enumeration {best.loss_kw} kW, {found.status.value}")
    bound = result.bound_weighted_kw
    if bound is not None and bound < best.value_kw - slack:
        said.append(f"bound {bound:.6g} kW below {best.value_kw:.6g} kW")
    _ = result.operations  # raises where a step would not be safe
    return said


def run(networks: int, seed: int, told: Callable[[str], None] = print) -> list[str]:
    """Compare on so many random networks; the disagreements."""
    bad: list[str] = []
    partial = proven = skipped = 0
    spent: list[float] = []
    for k in range(networks):
        problem, fault, worth = random_case(np.random.default_rng([seed, k]))
        best = enumerated(problem, fault, worth)
        begin = time.perf_counter()
        result = restore(problem, fault, worth)
        spent.append(time.perf_counter() - begin)
        partial += result.found.unserved.value not in (None, 0.0)
        proven += result.status.value in ("optimal", "infeasible")
        skipped += best.unsettled > 0
        bad += [f"network {k}: {one}" for one in differences(result, best)]
        for one in bad[-1:] if differences(result, best) else []:
            told(one)
    told(
        f"{networks} networks, {partial} in partial service, {proven} proven, {skipped} with unsettled states: "
        f"{len(bad)} disagreements; {np.mean(spent):.3f} s on average, {max(spent):.2f} s at most"
    )
    return bad


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    raise SystemExit(bool(run(chosen.networks, chosen.seed)))
