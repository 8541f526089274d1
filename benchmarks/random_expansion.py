"""Random substation planning problems: places on a map, routes between neighbours, prices in one unit of money.

Prices are synthetic. They keep the proportions that make planning hard: a substation costs as much as tens of
kilometres of line, a thick line about twice a thin one, and losses over the years about as much as the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial import Delaunay

from learnopt.errors import DataError
from learnopt.generator.conductors import OVERHEAD_20_KV, StandardConductor
from learnopt.network.expansion import ExpansionProblem, LineType, Route, Site, Stage, SubstationSize

_KV = 20.0
_LINES = (OVERHEAD_20_KV[0], OVERHEAD_20_KV[3], OVERHEAD_20_KV[7])


@dataclass(frozen=True)
class ExpansionConfig:
    """What is drawn.

    Parameters
    ----------
    n_demand, n_site
        Numbers of demands and of candidate sites.
    side_km
        Side of the square map.
    mean_mva
        Mean demand; single ones are log-normal around it.
    detour
        Lines are longer than on the map by a factor between 1 and this.
    stages
        Stages of five years; demand grows by a fifth in each.
    radial
        Ask for a radial plan.
    """

    n_demand: int = 100
    n_site: int = 5
    side_km: float = 30.0
    mean_mva: float = 0.4
    detour: float = 1.3
    stages: int = 1
    radial: bool = True

    def __post_init__(self) -> None:
        problems = [
            f"{key} = {value} must be >= {least}"
            for key, value, least in (
                ("n_demand", self.n_demand, 1),
                ("n_site", self.n_site, 1),
                ("detour", self.detour, 1.0),
                ("stages", self.stages, 1),
            )
            if value < least
        ]
        problems += ["n_demand + n_site must be >= 4: a map needs corners"] * (self.n_demand + self.n_site < 4)
        problems += [
            f"{k} must be > 0" for k, v in (("side_km", self.side_km), ("mean_mva", self.mean_mva)) if not v > 0
        ]
        if problems:
            raise DataError("expansion config", problems)


def random_expansion(config: ExpansionConfig, rng: np.random.Generator) -> ExpansionProblem:
    """Draw a problem; the same generator state gives the same problem.

    Demands and sites lie anywhere on the map; routes are the edges of their Delaunay triangulation, so every demand can
    be reached. Two substation sizes: one that the demand of a part of the map needs, and one twice as large.
    """
    n_site, n_node = config.n_site, config.n_site + config.n_demand
    points = rng.uniform(0.0, config.side_km, (n_node, 2))
    simplices = Delaunay(points).simplices
    pairs = np.unique(
        np.sort(np.concatenate([simplices[:, [0, 1]], simplices[:, [1, 2]], simplices[:, [0, 2]]]), axis=1), axis=0
    )
    pairs = pairs[(pairs >= n_site).any(axis=1)]
    length = np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T) * rng.uniform(1.0, config.detour, len(pairs))
    demand = config.mean_mva * rng.lognormal(-0.125, 0.5, config.n_demand)
    final = float(demand.sum()) * 1.2 ** (config.stages - 1)
    small = math.ceil(1.2 * final / n_site)
    years = 20 / config.stages
    return ExpansionProblem(
        name=f"random_{config.n_demand}x{n_site}",
        title=f"Synthetic plan: {config.n_demand} demands, {n_site} sites",
        source="benchmarks/random_expansion.py",
        currency="k",
        kv=_KV,
        power_factor=0.95,
        sizes=tuple(_size(factor * small, factor) for factor in (1, 2)),
        sites=tuple(Site(f"S{i + 1}", (0, 1), 8) for i in range(n_site)),
        demand_ids=tuple(range(1, config.n_demand + 1)),
        coordinates=points,
        line_types=tuple(_line(c) for c in _LINES),
        routes=tuple(
            Route(e + 1, (int(a), int(b)), round(float(km), 3), (0, 1, 2))
            for e, ((a, b), km) in enumerate(zip(pairs, length, strict=True))
        ),
        stages=tuple(
            Stage(f"year {5 * t}", demand * 1.2**t, 1.05 ** (-5 * t), 1.05 ** (-5 * t) * years / 20)
            for t in range(config.stages)
        ),
        max_substations=n_site,
        radial=config.radial,
        vm_min=0.9,
        vm_max=1.05,
    )


def _size(mva: float, transformers: int) -> SubstationSize:
    """A substation: half of its price is site and switchgear, the rest grows with its power; losses by the square."""
    return SubstationSize(
        f"{mva:g} MVA", float(mva), 600.0 + 30.0 * mva, loss_cost=40.0 / mva, transformers=transformers + 1
    )


def _line(conductor: StandardConductor) -> LineType:
    """A line of 20 kV; its losses cost 1.5 per kW over the years, at a loss factor that is in this price."""
    capacity = math.sqrt(3) * _KV * conductor.ampacity / 1e3
    price = 25.0 + 0.05 * conductor.ampacity
    return LineType(
        conductor.name, round(capacity, 3), price, 0.0, 1.5e3 * conductor.r / _KV**2, conductor.r, conductor.x
    )
