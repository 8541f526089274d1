"""Random circuits of several phases, and every radial state of them by brute force."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import block_diag, coo_matrix
from scipy.sparse.csgraph import connected_components

from learnopt.network.unbalanced import ConductorCircuit


@dataclass(frozen=True, eq=False)
class Case:
    """A circuit with currents that obey its balance, and its conductors as edges between nodes (0 = source)."""

    circuit: ConductorCircuit
    current: np.ndarray
    tail: np.ndarray
    head: np.ndarray
    n_node: int


def random_case(seed: int) -> Case:
    """Four to six buses of one to three phases, ganged switches, regulators, mutual resistances, loads anywhere."""
    rng = np.random.default_rng(seed)
    n_bus = int(rng.integers(4, 7))
    phases = [{0, 1, 2}] + [
        set(rng.permutation(3)[: int(rng.choice([1, 2, 3, 3, 3]))].tolist()) for _ in range(n_bus - 1)
    ]
    ends = [(int(rng.integers(0, k)), k) for k in range(1, n_bus)]
    ends += [tuple(sorted(rng.choice(n_bus, 2, replace=False).tolist())) for _ in range(int(rng.integers(2, 5)))]
    node = {(0, p): 0 for p in range(3)}
    for k in range(1, n_bus):
        for p in sorted(phases[k]):
            node[k, p] = len(node) - 2
    rows, columns, values, blocks, switch, tail, head = [], [], [], [], [], [], []
    n_switch = 0
    for a, b in ends:
        shared = sorted(phases[a] & phases[b])
        if not shared:
            continue
        is_switch = rng.random() < 0.8
        ratio = 1.0 if rng.random() < 0.8 else float(rng.uniform(0.9, 1.1))
        root = rng.normal(size=(len(shared), len(shared)))
        blocks.append(root @ root.T * 0.05 + np.eye(len(shared)) * rng.uniform(0.1, 1.0))
        for p in shared:
            column = len(tail)
            for bus, value in ((a, 1.0), (b, -ratio)):
                if bus:
                    rows.append(node[bus, p] - 1)
                    columns.append(column)
                    values.append(value)
            tail.append(node[a, p])
            head.append(node[b, p])
            switch.append(n_switch if is_switch else -1)
        n_switch += is_switch
    n_node = max(node.values()) + 1
    balance = coo_matrix((values, (rows, columns)), shape=(n_node - 1, len(tail))).tocsr()
    ends_of = np.array([tail, head]).T
    fixed = np.array(switch) < 0
    links = coo_matrix((np.ones(fixed.sum()), (ends_of[fixed, 0], ends_of[fixed, 1])), shape=(n_node, n_node))
    n_part, part = connected_components(links, directed=False)
    part = np.where(part == part[0], 0, np.where(part == 0, part[0], part))
    joins = np.where(fixed[:, None], -1, part[ends_of])
    circuit = ConductorCircuit(balance, block_diag(blocks, format="csr"), np.array(switch), n_switch, joins, n_part)
    wanted = balance @ (rng.normal(size=len(tail)) + 1j * rng.normal(size=len(tail)))
    current = np.linalg.lstsq(balance.toarray(), wanted, rcond=None)[0]
    return Case(circuit, current, ends_of[:, 0], ends_of[:, 1], n_node)


def radial_losses(case: Case) -> dict[tuple[bool, ...], float]:
    """Loss of every radial state [W], by its open switches.

    Radial: every node is fed, and in no phase is there a loop but of conductors without a switch. Those share their
    currents so that the loss is least.
    """
    circuit, n = case.circuit, case.n_node
    wanted = circuit.balance @ case.current
    balance, resistance = circuit.balance.toarray(), circuit.resistance.toarray()
    fixed_loops = _loops(case, circuit.switch < 0)[1]
    losses = {}
    for opened in product((False, True), repeat=circuit.n_switch):
        closed = np.array([s < 0 or not opened[s] for s in circuit.switch])
        parts, loops = _loops(case, closed)
        if parts != 1 or loops != fixed_loops:
            continue
        rows, r = balance[:, closed], resistance[np.ix_(closed, closed)]
        stationary = np.block([[r, rows.T], [rows, np.zeros((n - 1, n - 1))]])
        known = np.concatenate([np.zeros(len(r)), wanted])
        current = np.linalg.lstsq(stationary, known, rcond=None)[0][: len(r)]
        losses[opened] = float((current.conj() @ r @ current).real)
    return losses


def _loops(case: Case, closed: np.ndarray) -> tuple[int, int]:
    """Parts of the nodes that these conductors join, and independent loops among them."""
    n = case.n_node
    links = coo_matrix((np.ones(closed.sum()), (case.tail[closed], case.head[closed])), shape=(n, n))
    parts, _ = connected_components(links, directed=False)
    return int(parts), int(closed.sum()) - n + int(parts)
