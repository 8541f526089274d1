"""Unbalanced feeders out of balanced ones: loads split among the phases, lines coupled, laterals of one phase."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN, share_problems
from learnopt.network import Bools, Floats, Ints, Network
from learnopt.network.phase_data import ABC, PhaseBranch, PhaseData, PhaseLoad, SourceImpedance, Triple, Windings
from learnopt.network.phase_equivalent import with_phases
from learnopt.network.topology import DisjointSets


@dataclass(frozen=True)
class PhaseConfig:
    """How a balanced feeder becomes an unbalanced one.

    Parameters
    ----------
    kappa
        Parameter of the Dirichlet law by which the load of each bus is split: 30 mild, 10 usual, 1 strong; 0 puts the
        whole load of a bus on one phase.
    mutual
        Mutual over own impedance of lines; the positive sequence stays that of the feeder.
    lateral_share
        Share of the laterals (what hangs on no loop) that have one phase only.
    delta_share
        Share of the buses with three phases whose load lies between phases.
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN

    kappa: float = 10.0
    mutual: float = 0.45
    lateral_share: float = 0.0
    delta_share: float = 0.0

    def __post_init__(self) -> None:
        problems = share_problems("lateral_share", self.lateral_share) + share_problems("delta_share", self.delta_share)
        if not 0 <= self.kappa < math.inf:
            problems.append(f"kappa = {self.kappa} must be a finite number >= 0")
        if not 0 <= self.mutual < 1:
            problems.append(f"mutual = {self.mutual} must be >= 0 and below 1")
        if problems:
            raise DataError("phases", problems)


def split_phases(network: Network, rng: np.random.Generator, config: PhaseConfig | None = None) -> Network:
    """The feeder in phases: of the same buses, branches, switches, total loads and positive-sequence impedances.

    A branch of a lateral of one phase keeps its own impedance. Generation and shunts are shared evenly by the phases of
    their bus. A transformer has grounded stars, with a shift a delta on its from side.

    Returns
    -------
    Network
        Its balanced fields are those of ``network`` but for laterals of one phase, whose branches count three times.
    """
    config = config or PhaseConfig()
    lateral = _laterals(network) if config.lateral_share else np.full(network.n_bus, -1)
    drawn = [
        ABC[rng.integers(3)] if rng.random() < config.lateral_share else ABC for _ in range(int(lateral.max()) + 1)
    ]
    bus_phases = tuple(ABC if k < 0 else drawn[k] for k in lateral.tolist())
    ends = zip(network.from_bus.tolist(), network.to_bus.tolist(), strict=True)
    branches = tuple(
        _branch(network, e, min(bus_phases[i], bus_phases[j], key=len), config.mutual) for e, (i, j) in enumerate(ends)
    )
    conductors = np.array([len(one.phases) for one in branches])
    loads = tuple(_loads(network, bus_phases, rng, config))
    data = PhaseData(bus_phases, branches, loads, (SourceImpedance(),) * len(network.substations))
    return with_phases(replace(network, i_max=network.i_max * conductors / 3), data)


def _laterals(network: Network) -> Ints:
    """Number of the lateral that each bus belongs to, -1 for buses in loops and on the way to them."""
    n = network.n_bus
    at: list[set[int]] = [set() for _ in range(n)]
    ends = list(zip(network.from_bus.tolist(), network.to_bus.tolist(), strict=True))
    for e, (i, j) in enumerate(ends):
        at[i].add(e)
        at[j].add(e)
    hanging: Bools = np.zeros(n, dtype=bool)
    loose = [k for k in range(n) if len(at[k]) == 1 and not network.is_substation[k]]
    while loose:
        k = loose.pop()
        if len(at[k]) != 1:
            continue
        hanging[k] = True
        e = at[k].pop()
        other = sum(ends[e]) - k
        at[other].discard(e)
        if len(at[other]) == 1 and not network.is_substation[other]:
            loose.append(other)
    sets = DisjointSets(n)
    for i, j in ends:
        if hanging[i] and hanging[j]:
            sets.join(i, j)
    number: dict[int, int] = {}
    return np.array([number.setdefault(sets.find(k), len(number)) if hanging[k] else -1 for k in range(n)])


def _branch(network: Network, e: int, phases: str, mutual: float) -> PhaseBranch:
    """One branch, its phases coupled where it is a line."""
    z_base = float(network.branch_kv[e] ** 2 / network.base.s_base)
    r, x = float(network.r[e]) * z_base, float(network.x[e]) * z_base
    b, g = (float(value) * 1e6 / z_base for value in (network.b[e], network.g[e]))
    eye = np.eye(len(phases))
    levels = network.kv[network.from_bus[e]], network.kv[network.to_bus[e]]
    if network.ratio[e] != 1 or network.shift[e] or g or b < 0 or levels[0] != levels[1]:
        shift = math.degrees(network.shift[e])
        ratio = (float(network.ratio[e]),) * len(phases)
        windings = Windings("Dyn" if shift else "YNyn", ratio, shift)
        return PhaseBranch(phases, r * eye, x * eye, b * eye, g, windings, bool(network.switchable[e]))

    def coupled(value: float) -> Floats:
        own = value / (1 - mutual)
        return np.full(eye.shape, mutual * own) + (1 - mutual) * own * eye

    return PhaseBranch(phases, coupled(r), coupled(x), b * eye, switchable=bool(network.switchable[e]))


def _loads(
    network: Network, bus_phases: Iterable[str], rng: np.random.Generator, config: PhaseConfig
) -> Iterable[PhaseLoad]:
    """What is drawn and fed at every bus; the shares of its phases are the same for active and reactive power."""
    kw = network.base.kw
    for k, phases in enumerate(bus_phases):
        own = np.array([p in phases for p in ABC], dtype=float)
        even = own / own.sum()
        fed = complex(network.p_fed[k], network.q_fed[k]) * kw
        load = complex(network.p_load[k], network.q_load[k]) * kw + fed
        if load:
            share = rng.dirichlet([config.kappa] * 3) if config.kappa else np.eye(3)[rng.integers(3)]
            delta = phases == ABC and bool(config.delta_share) and bool(rng.random() < config.delta_share)
            yield PhaseLoad(k, *_parts(load, share if phases == ABC else even), delta=delta)
        if fed:
            yield PhaseLoad(k, *_parts(fed, even), feeds=True)
        shunt = complex(network.g_shunt[k], -network.b_shunt[k]) * kw
        if shunt:
            yield PhaseLoad(k, *_parts(shunt, even), impedance=1.0)


def _parts(power: complex, share: Floats) -> tuple[Triple, Triple]:
    """Active and reactive power of the phases."""
    a, b, c = (float(one) for one in share)
    return (power.real * a, power.real * b, power.real * c), (power.imag * a, power.imag * b, power.imag * c)
