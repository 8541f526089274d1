r"""Loss of an unbalanced circuit as a quadratic function of the currents in its loops, load currents held.

Hold every current that is not in a line or transformer (loads of any kind, wye or delta, capacitors, line charging,
generators) at its value in one AC state. Kirchhoff's current law then says of the currents f in the conductors of
lines and the coils of transformers that

.. math:: A f = I

with an incidence matrix A that is real (turns ratios and delta connections included) and has a row for every node but
ground and sources. What is left free is the null space of A: one direction per loop *and phase*, or whatever the
connections make of it. With f of the AC state itself as particular solution,

.. math:: f = f_0 + N x, \qquad loss(x) = loss_0 + f^H R f - f_0^H R f_0, \qquad M = N^T R N

where R holds the resistance matrices of the lines, cross terms included, and those of the coils. A switch is a set of
rows of f that are zero together where it is open. (Held currents: Civanlar, Grainger, Yin & Lee 1988,
doi:10.1109/61.193906, here per conductor; loop space: METHODS of the tree search, ``docs/methods/ac_bound.md``.)
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.linalg import null_space
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from learnopt.network.aliases import Bools, Floats, Ints
from learnopt.network.unbalanced import Complex, ConductorCircuit

_NOTHING = 1e-9
"""Entry of a null space that is rounding."""
_RANK = 1e-7
"""Singular value of open rows that is none: entries are of the order of 1."""


@dataclass(frozen=True, eq=False)
class LoopModel:
    """What a search needs of the circuit: the currents of the switches, and what opening them costs.

    The currents of all loops are free at first; their loss is then least. Opening a switch makes its currents zero.
    Currents of one chain differ by constants only, whatever is opened elsewhere: row r is ``scale[r]`` times the
    current of chain ``chain[r]`` and a constant.

    Parameters
    ----------
    directions
        F: the null space of the balance at one row of each chain, loops without a switch left out, shape (n_chain,
        n_loop).
    inverse
        K = F M^-1 F^T with all loops, shape (n_chain, n_chain).
    spread, weight
        F M^-1 of all loops, shape (n_chain, n_all), and N^T R, shape (n_all, n_current).
    gain
        M^-1 of all loops, shape (n_all, n_all).
    rows
        Start of the rows of each switch, shape (n_switch + 1,).
    position
        Current of each row, shape (n_row,).
    chain, scale
        Of each row, shape (n_row,); a row that no loop goes through has scale 0.
    first
        The row that stands for each chain, shape (n_chain,).
    joins, n_part
        As in :class:`~learnopt.network.unbalanced.ConductorCircuit`, by rows.
    """

    directions: Floats
    inverse: Floats
    spread: Floats
    gain: Floats
    weight: Floats
    rows: Ints
    position: Ints
    chain: Ints
    scale: Floats
    first: Ints
    joins: Ints
    n_part: int

    @property
    def n_loop(self) -> int:
        """Independent loops, counted per conductor."""
        return int(self.directions.shape[1])

    def meshed(self, current: Complex) -> tuple[Complex, Complex, float]:
        """The meshed circuit: currents of the chains, constants of the rows, and the loss that meshing saves [W].

        Parameters
        ----------
        current
            Of an AC state [A], shape (n_current,).

        Returns
        -------
        Shapes (n_chain,), (n_row,) and a number.
        """
        slope = self.weight @ current  # N^T R f
        saved = float(np.real(slope.conj() @ (self.gain @ slope)))
        of_row = current[self.position]
        of_chain = of_row[self.first]
        constant = of_row - self.scale * of_chain[self.chain]
        return of_chain - self.spread @ slope, constant, saved


def loop_model(circuit: ConductorCircuit) -> LoopModel:
    """Reduce a circuit to its loops."""
    basis = _null_space(circuit.balance)
    weight = np.asarray(circuit.resistance @ basis).T  # N^T R, as R is symmetric
    gain: Floats = np.linalg.inv(weight @ basis).astype(float)
    order = np.argsort(circuit.switch, kind="stable")
    position = order[circuit.switch[order] >= 0]
    rows = np.searchsorted(circuit.switch[position], np.arange(circuit.n_switch + 1))
    of_parts = _null_space(_incidence(circuit.joins[position], circuit.n_part))
    chain, scale, first = _chains(basis[position], of_parts)
    through = basis[position][first]
    inverse = through @ gain @ through.T
    directions = _without_fixed_loops(through)
    # A fixed loop of unequal ratios drives currents up to the source, and so is seen by switches that it is not a loop
    # of: then loops are those of the parts. Delta windings join phases, so that parts would have loops too many.
    if of_parts.shape[1] < directions.shape[1]:
        directions = np.ascontiguousarray(of_parts[first])
    joins = circuit.joins[position]
    return LoopModel(
        directions, inverse, through @ gain, gain, weight, rows, position, chain, scale, first, joins, circuit.n_part
    )


def loops_and_unfed(model: LoopModel, opened: Bools) -> tuple[int, int]:
    """Independent loops that a state leaves closed, fixed ones aside, and parts that nothing feeds; per conductor.

    Parameters
    ----------
    opened
        bool, shape (n_switch,).
    """
    of_row = np.repeat(np.arange(len(opened)), np.diff(model.rows))
    rows = (model.scale[:, None] * model.directions[model.chain])[opened[of_row]]
    loops = model.n_loop - int(np.linalg.matrix_rank(rows, tol=_RANK))
    joined = model.joins[~opened[of_row]]
    links = coo_matrix((np.ones(len(joined)), (joined[:, 0], joined[:, 1])), shape=(model.n_part, model.n_part))
    parts, _ = connected_components(links, directed=False)
    return loops, int(parts) - 1


def joins_phases(model: LoopModel) -> bool:
    """Some side of a switch has two phases in one part, which is not that of the sources.

    Windings in delta, or in star without ground, join them. Currents that circulate in a delta count as loops that no
    switch opens, and what flows to ground beside it as load that would starve: states may be missed.
    """
    sides = (model.joins[first:last, side] for first, last in pairwise(model.rows.tolist()) for side in (0, 1))
    return any(len(np.unique(parts[parts > 0])) < np.count_nonzero(parts) for parts in sides)


def _incidence(joins: Ints, n_part: int) -> csr_matrix:
    """Balance of the parts but the first, for one current per row."""
    row = np.arange(len(joins))
    ends = np.concatenate([joins[:, 0], joins[:, 1]])
    sign = np.concatenate([np.ones(len(joins)), -np.ones(len(joins))])
    whole = coo_matrix((sign, (ends, np.concatenate([row, row]))), shape=(n_part, len(joins)))
    return whole.tocsr()[1:]


def _without_fixed_loops(directions: Floats) -> Floats:
    """A basis of what the switches see of the loops: loops without a switch stay closed in every state.

    Their currents remain free, at the least loss, so that a loss computed with them is a lower bound.
    """
    _, size, right = np.linalg.svd(directions, full_matrices=False)
    seen = size > _NOTHING * max(float(size.max(initial=0.0)), 1.0)
    return np.ascontiguousarray(directions @ right[seen].T)


def _chains(directions: Floats, of_parts: Floats) -> tuple[Ints, Floats, Ints]:
    """Rows that are multiples of one another, as currents and as edges between the parts.

    Returns
    -------
    Chain and scale of each row, and the first row of each chain.
    """
    known: dict[bytes, int] = {}
    chain, scale = np.zeros(len(directions), dtype=np.int64), np.zeros(len(directions))
    first: list[int] = []
    for r, row in enumerate(directions):
        key = _direction(row) + b"|" + _direction(of_parts[r])
        if key not in known:
            known[key] = len(first)
            first.append(r)
        chain[r] = known[key]
        head = directions[first[chain[r]]]
        size = float(head @ head)
        scale[r] = float(row @ head) / size if size > _NOTHING**2 else 0.0
    return chain, scale, np.array(first, dtype=np.int64)


def _direction(row: Floats) -> bytes:
    """The same for all multiples of a row; nothing for a row that is rounding."""
    if np.abs(row).max(initial=0.0) <= _NOTHING:
        return b""
    unit = row / np.linalg.norm(row)
    lead = unit[np.flatnonzero(np.abs(unit) > 0.5 * np.abs(unit).max())[0]]
    return bytes((np.round(unit * np.sign(lead), 6) + 0.0).tobytes())


def _null_space(balance: csr_matrix) -> Floats:
    """Basis of the null space, shape (n_current, n_loop): chains are eliminated first, the rest is dense.

    A row with one entry makes its current zero, a row with two makes one current a multiple of the other.
    """
    n_node, n = balance.shape
    scale, into = np.ones(n), np.arange(n)  # current k = scale[k] * current into[k]; scale 0 = none

    def resolve(k: int) -> tuple[int, float]:
        factor = 1.0
        while into[k] != k:
            factor *= scale[k]
            k = int(into[k])
        return k, factor * scale[k]

    start, index, value = balance.indptr, balance.indices, balance.data
    of_current = balance.tocsc()
    pending = list(range(n_node))
    queued = np.ones(n_node, dtype=bool)
    members: dict[int, list[int]] = {k: [k] for k in range(n)}
    while pending:
        row = pending.pop()
        queued[row] = False
        terms: dict[int, float] = {}
        for at in range(start[row], start[row + 1]):
            k, factor = resolve(int(index[at]))
            terms[k] = terms.get(k, 0.0) + factor * value[at]
        terms = {k: factor for k, factor in terms.items() if abs(factor) > _NOTHING}
        if len(terms) not in (1, 2):
            continue
        keys = list(terms)
        gone = keys[0]
        if len(keys) == 1:
            scale[gone] = 0.0
        else:
            scale[gone], into[gone] = -terms[keys[1]] / terms[gone], keys[1]
            members[keys[1]] += members[gone]
        for k in members[gone]:
            for other in of_current.indices[of_current.indptr[k] : of_current.indptr[k + 1]]:
                if not queued[other]:
                    queued[other] = True
                    pending.append(int(other))
        del members[gone]
    resolved = [resolve(k) for k in range(n)]
    alive = sorted({k for k, factor in resolved if factor != 0.0})
    column = {k: c for c, k in enumerate(alive)}
    expand = coo_matrix(
        (
            [factor for k, factor in resolved if factor != 0.0],
            (
                [r for r, (k, factor) in enumerate(resolved) if factor != 0.0],
                [column[k] for k, factor in resolved if factor != 0.0],
            ),
        ),
        shape=(n, len(alive)),
    ).tocsr()
    if not alive:
        return np.zeros((n, 0))
    left = balance @ expand
    left.eliminate_zeros()
    busy = np.flatnonzero(np.diff(left.indptr))
    rest = left[busy].toarray()
    rest[np.abs(rest) < _NOTHING] = 0.0
    return np.asarray(expand @ null_space(rest, rcond=1e-10)) if len(busy) else np.asarray(expand.toarray())
