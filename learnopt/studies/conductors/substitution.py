r"""Conductors and lengths for feeders whose files state impedances only.

As in Gallego Pareja, Lopez-Lezama, Gomez Carmona (2023), Energies 16(19), 6998, section 4, the conductors of a feeder
are replaced by types of the catalogue and lengths are chosen so that the feeder behaves as before. Here: of the thinner
half of the catalogue (the thicker half is for reinforcement, except where only it carries the current of the normal
configuration), the type that carries that current and whose r / x is nearest (logarithmically) to that of the branch;
then the length that keeps its resistance, :math:`L = r_e / r_t`. Losses hardly change; reactances do.
Branches without resistance and transformers have no conductor and keep their impedance.
"""

from __future__ import annotations

import numpy as np

from learnopt.network import Bools, ReconfigurationProblem
from learnopt.network.conductors import Conductor, ConductorProblem, EnergyCosts
from learnopt.physics import power_flow


def substitute(
    feeder: ReconfigurationProblem,
    catalogue: tuple[Conductor, ...],
    costs: EnergyCosts,
    *,
    no_thicker_downstream: bool = False,
    budget: float | None = None,
) -> ConductorProblem:
    """The conductor problem of a feeder: every conductor is allowed on every branch that has a length."""
    net = feeder.network
    r_km = np.array([c.r_ohm_per_km for c in catalogue])
    x_km = np.array([c.x_ohm_per_km for c in catalogue])
    rating = np.array([c.ampacity_a for c in catalogue])
    current = np.zeros(net.n_branch)
    flow = power_flow(feeder, net.normal_configuration)
    if flow.converged:
        fed = flow.feed >= 0
        current[flow.feed[fed]] = np.abs(flow.current[fed]) * net.i_base[flow.feed[fed]]
    routed = (net.r > 0) & (net.ratio == 1) & (net.g == 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log(np.where(routed, net.r, 1.0) / net.x)  # infinite without reactance: the thinnest conductor
        distance = np.abs(np.minimum(ratio, 1e3)[:, None] - np.log(r_km / x_km))
    carries: Bools = rating[None, :] >= current[:, None]
    thinner = np.arange(len(catalogue)) < max(len(catalogue) // 2, 1)
    some = np.count_nonzero(carries & thinner, axis=1) > 0
    carries = np.where(some[:, None], carries & thinner, carries)
    carries[:, np.argmax(rating)] |= np.count_nonzero(carries, axis=1) == 0
    installed = np.where(carries, distance, np.inf).argmin(axis=1)
    return ConductorProblem(
        feeder=feeder,
        catalogue=catalogue,
        length_km=np.where(routed, net.r * net.branch_kv**2 / net.base.s_base / r_km[installed], 0.0),
        installed=np.where(routed, installed, -1),
        allowed=np.ones((net.n_branch, len(catalogue)), dtype=bool),
        costs=costs,
        no_thicker_downstream=no_thicker_downstream,
        budget=budget,
    )
