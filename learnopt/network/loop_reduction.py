r"""The same problem without its fixed loops, where each is a connection built twice: circuits side by side.

Circuits between the same two buses that all stay closed are one: series admittances and shunts add up,

.. math:: 1 / z = \sum_k 1 / z_k, \qquad y = \sum_k y_k, \qquad I_k = I \, z / z_k ,

which changes no power flow and no loss. What is proven for spanning trees then holds for such networks too. A circuit
is a branch, perhaps with couplers of zero impedance in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.network.aliases import Ints
from learnopt.network.model import Network
from learnopt.network.parallel import Circuit, side_by_side
from learnopt.network.problem import ReconfigurationProblem
from learnopt.wording import counted


def without_fixed_loops(problem: ReconfigurationProblem) -> ReconfigurationProblem | None:
    """A problem of the same branches in which one of each group of circuits stands for all, and the others are open.

    It has the same power flows but for the currents of these circuits. Ratings of the one stand for those of all; where
    a charging current shifts their shares there is none: what respects the limits of the given problem respects these.

    Returns
    -------
    The problem itself where it has no fixed loop; None where some loop is no group of circuits.
    """
    chords = problem.chords
    if not chords.any():
        return problem
    problem = problem.limits_in_network()
    net = problem.network
    held = problem.held
    tapped = {tap.branch for tap in problem.controls.taps}
    r, x, b, g, i_max = (np.array(a) for a in (net.r, net.x, net.b, net.g, net.i_max))
    opened = np.zeros(net.n_branch, dtype=bool)
    for group in side_by_side(net, held):
        real = [_real(net, circuit) for circuit in group]
        kept = [e for e in real if e is not None and not chords[e]]
        together = np.array([e for e in real if e is not None])
        if len(kept) != 1 or None in real or tapped.intersection(together.tolist()):
            continue
        if not all(_alike(each, group, together) for each in (net, *problem.situations.networks)):
            continue
        z = net.r[together] + 1j * net.x[together]
        one = 1 / (1 / z).sum()
        share = np.abs(one / z)
        e = kept[0]
        r[e], x[e] = one.real, one.imag
        b[e], g[e] = net.b[together].sum(), net.g[together].sum()
        charged = bool(problem.b[together].any() or net.g[together].any())
        rating = np.array([net.i_max[circuit].min() for circuit in group])
        i_max[np.concatenate(group)] = np.inf
        i_max[e] = np.inf if charged else (rating / share).min()
        opened[together] = True
        opened[e] = False
    if (chords & ~opened).any():
        return None
    changed: dict[str, Any] = {
        "r": r,
        "x": x,
        "b": np.where(opened, 0.0, b),
        "g": np.where(opened, 0.0, g),
        "i_max": i_max,
        "normally_open": net.normally_open | opened,
    }
    networks = tuple(replace(each, **changed) for each in problem.situations.networks)
    return problem.replace(
        network=replace(net, **changed),
        situations=replace(problem.situations, networks=networks),
        locked=np.where(opened, -1, problem.locked).astype(np.int8),
    )


def _real(net: Network, circuit: Circuit) -> int | None:
    """The branch of a circuit that has an impedance; None where that is not one among couplers without anything."""
    bare = [e for e in circuit if net.r[e] == 0 and net.x[e] == 0]
    real = [e for e in circuit if e not in bare]
    plain = all(net.b[e] == 0 and net.g[e] == 0 and net.ratio[e] == 1 for e in bare)
    return real[0] if len(real) == 1 and plain else None


def _alike(net: Network, group: list[Circuit], real: Ints) -> bool:
    """Circuits carry no current through each other: of nominal ratio, or of one ratio the same way round."""
    if (net.ratio[real] == 1).all() and not net.shift[np.concatenate(group)].any():
        return True
    single = all(len(circuit) == 1 for circuit in group)
    ends = np.column_stack([net.from_bus[real], net.to_bus[real]])
    same = (net.ratio[real] == net.ratio[real[0]]) & (net.shift[real] == net.shift[real[0]])
    return single and bool((ends == ends[0]).all() and same.all())


def told_fixed_loops(problem: ReconfigurationProblem) -> str:
    """How many loops of branches that stay closed there are, with an example."""
    chords = np.flatnonzero(problem.chords)
    loops = counted(len(chords), "fixed loop")
    return f"{loops} of branches that stay closed (branch {problem.network.branch_ids[chords[0]]!r} closes one)"


def refuse_fixed_loops(
    problem: ReconfigurationProblem, who: str, use: Mapping[str, object] | None = None, advice: str = ""
) -> None:
    """Raise UnsupportedError where a problem has fixed loops, for what is built on spanning trees.

    Parameters
    ----------
    who
        What is built so.
    use, advice
        What to do instead: options (:class:`~learnopt.errors.UnsupportedError`), or in words.
    """
    if problem.chords.any():
        reason = f"{who} knows radial states only, the network has {told_fixed_loops(problem)}"
        raise UnsupportedError(f"{reason}: {advice}" if advice else reason, use)
