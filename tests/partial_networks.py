"""Random case files whose buses, branches and switches miss phases, and every radial state of them by brute force."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from learnopt.network import Network
from learnopt.network.phase_data import ABC
from learnopt.network.unbalanced import PhaseCircuit


def partial_case(seed: int) -> dict[str, Any] | None:
    """A radial present state with open ties of one to three phases; None where it leaves no switch to decide.

    Every bus hangs on an earlier one, by each of its phases alone where that makes switches of one phase.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 7))
    phases = [ABC] + [_some(rng) for _ in range(n - 1)]
    branches: list[dict[str, Any]] = []

    def add(a: int, b: int, letters: str, is_open: bool, switch: bool) -> None:
        size = len(letters)
        root = rng.normal(size=(size, size)) * 0.2
        branches.append(
            {
                "id": f"{'t' if is_open else 's' if switch else 'l'}{len(branches)}",
                "from": a,
                "to": b,
                "phases": letters,
                "r_matrix_ohm": (root @ root.T + np.eye(size) * rng.uniform(0.2, 0.8)).tolist(),
                "x_matrix_ohm": (np.eye(size) * rng.uniform(0.3, 0.9) + 0.1).tolist(),
                "switchable": switch or is_open,
                "normally_open": is_open,
            }
        )

    for k in range(1, n):
        feeders = {p: [j for j in range(k) if p in phases[j]] for p in phases[k]}
        together = [j for j in range(k) if set(phases[k]) <= set(phases[j])]
        if together and rng.random() < 0.6:
            add(int(rng.choice(together)), k, phases[k], False, bool(rng.random() < 0.7))
            continue
        by_bus: dict[int, str] = {}
        for p in phases[k]:
            j = int(rng.choice(feeders[p]))
            by_bus[j] = by_bus.get(j, "") + p
        for j, letters in by_bus.items():
            add(j, k, letters, False, bool(rng.random() < 0.7))
    for _ in range(int(rng.integers(2, 6))):
        a, b = sorted(rng.choice(n, 2, replace=False).tolist())
        shared = "".join(p for p in ABC if p in phases[a] and p in phases[b])
        if not shared:
            continue
        letters = shared if rng.random() < 0.4 else str(rng.choice(list(shared)))
        add(int(a), int(b), letters, True, True)
    if not any(branch["switchable"] and not branch["normally_open"] for branch in branches):
        return None
    loads = [
        {"bus": k, f"p_{p}_kw": float(rng.uniform(20, 300)), f"q_{p}_kvar": float(rng.uniform(0, 100))}
        for k in range(1, n)
        for p in phases[k]
    ]
    buses = [{"id": k, "phases": phases[k]} for k in range(n)]
    case = {"name": f"partial {seed}", "base_kv": 12.47, "substations": [0], "buses": buses, "branches": branches}
    return case | {"loads": loads}


def _some(rng: np.random.Generator) -> str:
    size = int(rng.choice([1, 2, 3, 3]))
    return "".join(sorted(rng.permutation(list(ABC))[:size].tolist()))


def radial_states(case: dict[str, Any]) -> Iterator[frozenset[str]]:
    """The open branches of every state that is a spanning tree in each phase, by a search of its own."""
    switches = [branch["id"] for branch in case["branches"] if branch["switchable"]]
    for opened in product((False, True), repeat=len(switches)):
        out = {name for name, is_open in zip(switches, opened, strict=True) if is_open}
        if all(_is_tree(case, p, out) for p in ABC):
            yield frozenset(out)


def _is_tree(case: dict[str, Any], p: str, out: set[str]) -> bool:
    nodes = {bus["id"] for bus in case["buses"] if p in bus["phases"]}
    edges = [(b["from"], b["to"]) for b in case["branches"] if p in b["phases"] and b["id"] not in out]
    reached, waiting = {0}, [0]
    while waiting:
        at = waiting.pop()
        for a, b in edges:
            for here, there in ((a, b), (b, a)):
                if here == at and there not in reached:
                    reached.add(there)
                    waiting.append(there)
    return reached == nodes and len(edges) == len(nodes) - 1


def least_loss(circuit: PhaseCircuit, network: Network, states: list[frozenset[str]]) -> float:
    """By a power flow of each [kW]; infinite where none has one."""
    losses = []
    for out in states:
        closed = np.array([str(branch) not in out for branch in network.branch_ids])
        losses.append(circuit.loss_kw if circuit.solve(closed) else np.inf)
    return min(losses, default=np.inf)
