r"""New per units behind transformers: the same network with every ratio one, where the ratios around each loop agree.

With :math:`n_k` the product of the ratios on the way to a bus, :math:`n_j = n_i / t` along a branch from i to j,

.. math::
    V'_k = V_k / n_k, \quad z'_{ij} = z_{ij} / n_j^2, \quad y'_{ij} = n_j^2 y_{ij}, \quad y'_k = n_k^2 y_k

leaves every power as it is and turns :math:`V_i / t - z_{ij} I = V_j` into :math:`V'_i - z'_{ij} I' = V'_j`.
Substations that transformers join to the rest keep a voltage of their own, so each may stand at another tap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learnopt.network.aliases import Floats
from learnopt.network.problem import ReconfigurationProblem

AGREEMENT = 1e-11
"""Relative difference of two ways to a bus up to which their ratios agree."""


@dataclass(frozen=True, eq=False)
class Rescaled:
    """A problem without ratios, for bounds: it admits the configurations of the given one at the same losses.

    Parameters
    ----------
    problem
        In the new per units. Current limits are the looser of those of the two ends: what respects the limits of the
        given problem respects these.
    scale
        n, shape (n_bus,): divide voltages by it.
    """

    problem: ReconfigurationProblem
    scale: Floats


def without_ratios(problem: ReconfigurationProblem) -> Rescaled | None:
    """A problem in per units in which no transformer in use is off its nominal ratio; None where loops disagree."""
    problem = problem.limits_in_network()
    net = problem.network
    usable = np.flatnonzero(problem.usable)
    if (net.ratio[usable] == 1).all():
        return Rescaled(problem, np.ones(net.n_bus))
    tail, head, ratio = net.from_bus[usable], net.to_bus[usable], net.ratio[usable]
    at: list[list[tuple[int, float]]] = [[] for _ in range(net.n_bus)]
    for i, j, t in zip(tail.tolist(), head.tolist(), ratio.tolist(), strict=True):
        at[i].append((j, 1 / t))
        at[j].append((i, t))
    scale = np.zeros(net.n_bus)
    for first in range(net.n_bus):
        if scale[first]:
            continue
        scale[first] = 1.0
        part, queue = [first], [first]
        while queue:
            bus = queue.pop()
            for far, factor in at[bus]:
                if not scale[far]:
                    scale[far] = scale[bus] * factor
                    part.append(far)
                    queue.append(far)
        # Most buses keep the per unit that they have.
        scale[part] /= np.median(scale[part])
    if (np.abs(scale[tail] / ratio - scale[head]) > AGREEMENT * scale[head]).any():
        return None
    behind = scale[net.to_bus]
    network = replace(
        net,
        r=net.r / behind**2,
        x=net.x / behind**2,
        g=net.g * behind**2,
        b=net.b * behind**2,
        g_shunt=net.g_shunt * scale**2,
        b_shunt=net.b_shunt * scale**2,
        # The current of the impedance may exceed the rating of the from end by the ratio.
        i_max=net.i_max * np.maximum(net.ratio, 1.0) * behind,
        substation_vm=net.substation_vm / scale[net.substations],
        vm_min=problem.vm_min / scale,
        vm_max=problem.vm_max / scale,
        ratio=np.ones(net.n_branch),
    )
    limits = replace(problem.limits, vm_min=None, vm_max=None, voltage=True)
    return Rescaled(problem.replace(network=network, limits=limits), scale)
