"""The balanced network that stands for one in all its phases, and whether it still does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from learnopt.network.model import Network
from learnopt.network.phase_data import ABC, PhaseData

_SAME = 1e-9
"""Difference of what phases say and what the network says that is rounding, relative or in per unit."""


def with_phases(network: Network, phases: PhaseData) -> Network:
    """The network with these phases, all that they say about it in the balanced equivalent.

    Ampacities stay: of a branch of n phases, n / 3 of that of its conductors. A branch of fewer than three phases that
    is open stays open in the balanced network, which would feed three phases through it; answers in all phases may
    close it.
    """
    ties = frozenset(str(network.branch_ids[e]) for e in phases.ties(network.normally_open))
    return replace(network, phases=phases, phase_switches=ties, **equivalents(network, phases))


def equivalents(network: Network, phases: PhaseData) -> dict[str, Any]:
    """Fields of the network that follow from its phases, in per unit."""
    kw, z_base = network.base.kw, network.branch_kv**2 / network.base.s_base
    ohm = np.array([one.equivalent_ohm for one in phases.branches], dtype=complex) / z_base
    us = np.array([one.equivalent_us for one in phases.branches], dtype=complex) * z_base / 1e6
    power, shunt, fed = (np.zeros(network.n_bus, dtype=complex) for _ in range(3))
    for load in phases.loads:
        kva = load.total / kw
        power[load.bus] += kva * (1 - load.shunt_share)
        shunt[load.bus] += kva * load.shunt_share
        if load.feeds:
            fed[load.bus] -= kva
    whole = np.array([one.phases == ABC for one in phases.branches], dtype=bool)
    of_file = np.array([one.switchable for one in phases.branches], dtype=bool)
    return {
        "r": np.maximum(ohm.real, 0.0),  # rounding may take switches below
        "x": np.maximum(ohm.imag, 0.0),
        "b": us.imag,
        "g": us.real,
        "ratio": np.array([one.equivalent_ratio for one in phases.branches], dtype=float),
        "shift": np.radians([0.0 if one.windings is None else one.windings.shift_deg for one in phases.branches]),
        "p_load": power.real,
        "q_load": power.imag,
        "g_shunt": shunt.real,
        "b_shunt": -shunt.imag,
        "p_fed": fed.real,
        "q_fed": fed.imag,
        "switchable": network.switchable & of_file & (whole | ~network.normally_open),
    }


def edited_since(network: Network) -> tuple[str, ...]:
    """Fields of a network that are no longer those of its phases; none where it still stands for them."""
    if network.phases is None:
        return ()
    if len(network.phases.branches) != network.n_branch or len(network.phases.bus_phases) != network.n_bus:
        return ("buses", "branches")
    expected = equivalents(network, network.phases)
    del expected["switchable"]  # a branch may be locked: what stays closed has its phases all the same
    return tuple(
        name
        for name, value in expected.items()
        if not np.allclose(getattr(network, name), value, rtol=_SAME, atol=_SAME * _SAME)
    )
