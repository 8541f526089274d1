"""Tangents of the current cone: where a configuration operates, and where a solution of the model lies outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from learnopt.formulations.arcs import Arcs
from learnopt.network import Bools, Floats, Ints, Network
from learnopt.physics import PowerFlow


class Tangents:
    """Tangents of the current cone in a model, each added once.

    Parameters
    ----------
    add
        Takes arcs, alpha and beta of the rows to append.
    cuttable
        bool, shape (n_arc,); a current that appears nowhere (no impedance, always in use) needs no tangent.
    """

    def __init__(self, arcs: Arcs, add: Callable[[Ints, Floats, Floats], None], cuttable: Bools | None = None) -> None:
        self._arcs, self._append = arcs, add
        self._cuttable = np.ones(len(arcs), dtype=bool) if cuttable is None else cuttable
        self._seen: set[tuple[int, float, float]] = set()
        self._points: list[list[complex]] = [[] for _ in range(len(arcs))]

    def _add(self, arc: Ints, alpha: Floats, beta: Floats) -> int:
        keys = [(int(a), float(f"{alpha[i]:.5g}"), float(f"{beta[i]:.5g}")) for i, a in enumerate(arc)]
        fresh = [i for i, key in enumerate(keys) if key not in self._seen and self._cuttable[key[0]]]
        self._seen.update(keys)
        if fresh:
            self._append(arc[fresh], alpha[fresh], beta[fresh])
        return len(fresh)

    def _crowded(self, arc: Ints, ratio: Any, spacing: float) -> Bools:
        """Another tangent of the arc is near, relative to where it touches; the others now hold their place."""
        near = np.zeros(len(arc), dtype=bool)
        for i, (a, point) in enumerate(zip(arc.tolist(), ratio.tolist(), strict=True)):
            room = spacing * max(abs(point), 1e-3)
            near[i] = any(abs(point - other) < room for other in self._points[a])
            if not near[i]:
                self._points[a].append(point)
        return near

    def at_power_flow(self, flow: PowerFlow, network: Network, spacing: float = 0.0) -> int:
        """Touch the cone where a configuration operates; returns the number of new tangents.

        Parameters
        ----------
        network
            The network of the power flow, its controls set.
        spacing
            Leave out tangents that lie nearer than this to another one of the same arc, relative: they cut no deeper
            than its square.
        """
        arcs = self._arcs
        used = np.flatnonzero(flow.feed[arcs.head] == arcs.branch)
        tail, branch = arcs.tail[used], arcs.branch[used]
        sending = flow.v[tail] / np.where(tail == network.from_bus[branch], network.ratio[branch], 1.0)
        ratio = flow.current[arcs.head[used]].conjugate() / sending.conjugate()  # S / |V|^2 before the impedance
        crowded = self._crowded(used, ratio, spacing)
        return self._add(used[~crowded], ratio.real[~crowded], ratio.imag[~crowded])

    def at_values(self, p: Floats, q: Floats, ell: Floats, w: Floats, tolerance: float, relative: float = 1e-4) -> int:
        """Touch the cone where a solution of the model lies outside it by more than a tolerance [pu] and a share."""
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = (p**2 + q**2) / w
            cut = np.flatnonzero((w > 1e-5) & (needed - ell > tolerance + relative * needed))
        return self._add(cut, p[cut] / w[cut], q[cut] / w[cut])
