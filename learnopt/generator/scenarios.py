"""Random operating states of a network: loads, generation, outages and locked switches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN, range_problems, share_problems
from learnopt.network import Bools, Floats, Ints, Network, ReconfigurationProblem, Scenario
from learnopt.network.topology import maximum_spanning_tree, merged_nodes, network_blocks
from learnopt.physics.sweep import grid_of, order_tree


@dataclass(frozen=True)
class ScenarioConfig:
    """Distributions of :func:`random_scenario`.

    Parameters
    ----------
    load_level
        ``[low, high]`` of the factor common to all loads.
    area_sigma, bus_sigma
        Standard deviations of the logarithm of the factors per area and per bus.
    area_buses
        Least number of buses of an area.
    power_factor_sigma
        Standard deviation of the logarithm of the factor on q/p of each bus.
    generation_probability
        Probability that a scenario has distributed generation.
    generation_share
        ``[low, high]`` of total generation over total nominal load.
    generator_buses
        ``[low, high]`` of the share of load buses with a generator.
    generator_power_factor
        Least power factor of a generator.
    outage_probability
        Probability of each further outage, up to ``max_outages``.
    max_outages
        Most branches out of service at once.
    lock_probability
        Probability that a scenario has locked switches.
    lock_share
        ``[low, high]`` of the share of switches that are locked.
    lock_as_is
        How much locks keep to the normal state: 1 locks each switch in its normal state wherever that is possible,
        0 in the state of a random radial configuration.
    """

    load_level: tuple[float, float] = (0.4, 1.1)
    area_sigma: float = 0.2
    bus_sigma: float = 0.2
    area_buses: int = 12
    power_factor_sigma: float = 0.1
    generation_probability: float = 0.3
    generation_share: tuple[float, float] = (0.05, 0.6)
    generator_buses: tuple[float, float] = (0.05, 0.3)
    generator_power_factor: float = 0.95
    outage_probability: float = 0.2
    max_outages: int = 2
    lock_probability: float = 0.2
    lock_share: tuple[float, float] = (0.05, 0.3)
    lock_as_is: float = 0.8
    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        problems = [
            *range_problems("load_level", self.load_level, 0),
            *range_problems("generation_share", self.generation_share, 0),
            *range_problems("generator_buses", self.generator_buses, 0, 1),
            *range_problems("lock_share", self.lock_share, 0, 1),
        ]
        for name in ("generation_probability", "outage_probability", "lock_probability", "lock_as_is"):
            problems += share_problems(name, getattr(self, name))
        for name in ("area_sigma", "bus_sigma", "power_factor_sigma"):
            if not 0 <= getattr(self, name) <= 2:
                problems.append(f"{name} = {getattr(self, name)} must lie in [0, 2]")
        if not 0 < self.generator_power_factor <= 1:
            problems.append(f"generator_power_factor = {self.generator_power_factor} must lie in (0, 1]")
        if self.area_buses < 1:
            problems.append(f"area_buses = {self.area_buses} must be >= 1")
        if self.max_outages < 0:
            problems.append(f"max_outages = {self.max_outages} must be >= 0")
        if problems:
            raise DataError("scenario config", problems)


def random_scenario(
    network: Network, config: ScenarioConfig, rng: np.random.Generator, name: str = "random"
) -> Scenario:
    r"""Draw a scenario that leaves at least one radial configuration (``problem.contradictions`` is empty).

    What is drawn, in order:

    1. Loads: :math:`p_k = \bar p_k\,\alpha\,\beta_{a(k)}\,\eta_k` with :math:`\alpha \sim U[low, high]` common to all
       (hour and season; uniform, so that all load levels are seen alike),
       :math:`\beta_a \sim \mathrm{LogNormal}(-\sigma_a^2/2, \sigma_a)` per area (neighbouring consumers are of one
       kind: they peak together) and :math:`\eta_k \sim \mathrm{LogNormal}(-\sigma_b^2/2, \sigma_b)` per bus. Both
       have mean 1, so that :math:`\alpha` alone sets the expected total. Areas matter: they shift load between
       feeders, and only such shifts change the best configuration; a common factor hardly does.
    2. Power factors: q is multiplied by the factor of p and by a log-normal factor of mean 1.
       Where the file has negative p (generation) or negative q (a capacitor), that value stays as it is.
    3. Generation: with the given probability, a share of the load buses gets a generator. Their total is a share of the
       nominal load, divided in proportion to exponential variates (a few large, many small); each runs at its own
       power factor, uniform from the least one to 1, injecting or drawing reactive power with equal probability.
    4. Outages: one after another, while a coin falls so and up to ``max_outages``, uniform among the branches whose
       loss leaves every bus feedable.
    5. Locks: with the given probability, a share of the switches in service is locked in its state in one radial
       configuration: a maximum spanning tree for random weights that prefers normally closed branches. Every set of
       locks drawn from one radial configuration is consistent.

    Raises
    ------
    DataError
        If the network itself leaves no radial configuration.

    References
    ----------
    Common and individual factors: ``ScaledLogNormal`` of PGLearn (doi:10.48550/arXiv.2505.22825). The area factor
    between them is ours.
    """
    nominal = Scenario.nominal(network)
    faults = ReconfigurationProblem.of(network, nominal).contradictions
    if faults:
        raise DataError(network.name, faults)
    factor = (
        rng.uniform(*config.load_level)
        * _mean_one(config.area_sigma, network.n_bus, rng)[load_areas(network, config.area_buses)]
        * _mean_one(config.bus_sigma, network.n_bus, rng)
    )
    q_factor = factor * _mean_one(config.power_factor_sigma, network.n_bus, rng)
    p_gen, q_gen = _generation(network, config, rng)
    out_of_service = _outages(network, config, rng)
    return Scenario(
        p_load=np.where(network.p_load > 0, network.p_load * factor, network.p_load),
        q_load=np.where(network.q_load > 0, network.q_load * q_factor, network.q_load),
        p_gen=p_gen,
        q_gen=q_gen,
        out_of_service=out_of_service,
        locked=_locks(network, out_of_service, config, rng),
        name=name,
    )


def load_areas(network: Network, area_buses: int) -> Ints:
    """Area of each bus: connected pieces of the tree that feeds it, of at least ``area_buses`` buses where possible.

    The tree is the normal configuration, completed or thinned by least resistance where that is not radial. Going up
    from the ends, a bus that gathers enough buses below it closes an area; what is left belongs to its substation.

    Returns
    -------
    int, shape (n_bus,): the index of the bus at the head of the area.
    """
    tree = maximum_spanning_tree(network, np.ones(network.n_branch, dtype=bool), -network.r, ~network.normally_open)
    order, parent, feed = (np.empty(network.n_bus, np.int64) for _ in range(3))
    order_tree(grid_of(network), tree, order, parent, feed)
    size = np.ones(network.n_bus, dtype=np.int64)
    area = np.arange(network.n_bus)
    for bus in order[::-1]:
        if parent[bus] >= 0 and size[bus] < area_buses:
            size[parent[bus]] += size[bus]
            area[bus] = parent[bus]
    for bus in order:
        area[bus] = area[area[bus]]
    return area


def _mean_one(sigma: float, n: int, rng: np.random.Generator) -> Floats:
    """Log-normal factors of mean 1, shape (n,)."""
    return rng.lognormal(-(sigma**2) / 2, sigma, n)


def _generation(network: Network, config: ScenarioConfig, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Injections p, q [pu], each of shape (n_bus,)."""
    p, q = np.zeros(network.n_bus), np.zeros(network.n_bus)
    candidates = np.flatnonzero((network.p_load > 0) & ~network.is_substation)
    if not len(candidates) or rng.random() >= config.generation_probability:
        return p, q
    count = max(1, round(rng.uniform(*config.generator_buses) * len(candidates)))
    buses = rng.choice(candidates, count, replace=False)
    size = rng.exponential(size=count)
    p[buses] = rng.uniform(*config.generation_share) * network.p_load[candidates].sum() * size / size.sum()
    factor = rng.uniform(config.generator_power_factor, 1.0, count)
    q[buses] = p[buses] * np.sqrt(1 - factor**2) / factor * rng.choice([-1.0, 1.0], count)
    return p, q


def _outages(network: Network, config: ScenarioConfig, rng: np.random.Generator) -> Bools:
    """bool, shape (n_branch,)."""
    out = np.zeros(network.n_branch, dtype=bool)
    node = merged_nodes(network)
    between_substations = node[network.from_bus] == node[network.to_bus]
    for _ in range(config.max_outages):
        if rng.random() >= config.outage_probability:
            break
        # A branch that must stay open carries nothing; its loss is no event.
        usable = ~out & ~(network.normally_open & ~network.switchable)
        candidates = np.flatnonzero(usable & ~network_blocks(network, usable).bridges & ~between_substations)
        if not len(candidates):
            break
        out[rng.choice(candidates)] = True
    return out


def _locks(
    network: Network, out_of_service: Bools, config: ScenarioConfig, rng: np.random.Generator
) -> NDArray[np.int8]:
    """int8, shape (n_branch,): -1 free, 0 locked open, 1 locked closed."""
    locked = np.full(network.n_branch, -1, dtype=np.int8)
    candidates = np.flatnonzero(network.switchable & ~out_of_service)
    if not len(candidates) or rng.random() >= config.lock_probability:
        return locked
    fixed = ~network.switchable & ~out_of_service
    usable = ~out_of_service & ~(fixed & network.normally_open)
    preference = (rng.random(network.n_branch) < config.lock_as_is) & ~network.normally_open
    weight = preference + rng.random(network.n_branch)
    state = maximum_spanning_tree(network, usable, weight, forced=fixed & ~network.normally_open)
    count = round(rng.uniform(*config.lock_share) * len(candidates))
    chosen = rng.choice(candidates, count, replace=False)
    locked[chosen] = state[chosen]
    return locked
