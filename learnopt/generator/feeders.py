"""Synthetic medium-voltage feeders: meshed as built, radial as operated, voltages within a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from learnopt.errors import DataError
from learnopt.generator.conductors import StandardConductor, line_types
from learnopt.generator.config import FORBID_UNKNOWN, range_problems, share_problems
from learnopt.generator.layout import FeederGraph, random_layout
from learnopt.network import Base, Bools, Floats, Ints, Network
from learnopt.physics import power_flow_batch
from learnopt.physics.sweep import grid_of, order_tree

BUSES_PER_LOOP = 4
"""Fewest buses per loop; the published systems have 5 to 15."""
BUSES_PER_SUBSTATION = 4
"""Fewest buses per substation, itself included."""
_VOLTAGE_TOLERANCE = 1e-4
"""How near the least voltage comes to its target [pu]."""
_MAX_STRETCH = 4.0
"""Beyond that, ``span_km`` would mean nothing and cables would charge more than they carry."""

SizeLaw = Literal["uniform", "log-uniform"]


@dataclass(frozen=True)
class FeederConfig:
    """Distributions of :func:`random_feeder`; ``[low, high]`` pairs are drawn once per feeder.

    Parameters
    ----------
    buses, substations, loops
        Sizes, integers. Loops and substations are capped at one per four buses.
    size_law, loop_law
        How buses and loops are drawn. ``log-uniform``: as many feeders of 10 to 100 as of 100 to 1000 buses, as many
        of 2 to 10 as of 10 to 50 loops; ``uniform``: mostly large ones. Substations are uniform.
    base_kv
        Voltages to choose from, line-to-line [kV].
    cable_share
        Probability that a feeder is of cables (with their charging); else it is of overhead lines.
    span_km
        Mean distance between neighbouring buses [km], log-uniform; stretched where the voltage target asks for it.
    lateral_share
        Share of the buses along lines that hang in laterals instead of lying on a loop.
    load_sigma
        Standard deviation of the logarithm of bus loads: 0.2 is a suburb, 1.0 mixes houses and factories.
    zero_load_share
        Share of buses without a load: junctions, cable joints, pole-mounted switches.
    power_factor
        Mean power factor of a feeder; buses scatter around it by 0.03.
    min_voltage
        Least voltage in the normal configuration at nominal loads [pu], uniform: loads, then lengths, are scaled to it.
    max_loading
        Highest current over ampacity that scaling the loads may cause in the normal configuration.
    non_switchable_share
        Share of branches without a switch, drawn for half of the feeders; the others have a switch in every branch,
        as the literature has it. A branch that is normally open always has one.
    flat_share
        Probability of a hard feeder: a planning-study mesh of many short interleaved loops with one conductor, nearly
        equal spans and loads, no laterals and a switch in every branch, so that many configurations are nearly as good.
    voltage_limits
        Limits written into the case [pu]; EN 50160 allows 10 percent.
    max_attempts
        Draws before a feeder that misses its voltage target is an error.
    """

    buses: tuple[int, int] = (20, 200)
    size_law: SizeLaw = "uniform"
    substations: tuple[int, int] = (1, 4)
    loops: tuple[int, int] = (2, 25)
    loop_law: SizeLaw = "uniform"
    base_kv: tuple[float, ...] = (10.0, 11.0, 12.66, 20.0)
    cable_share: float = 0.5
    span_km: tuple[float, float] = (0.15, 1.0)
    lateral_share: tuple[float, float] = (0.0, 0.6)
    load_sigma: tuple[float, float] = (0.2, 1.0)
    zero_load_share: tuple[float, float] = (0.0, 0.3)
    power_factor: tuple[float, float] = (0.85, 0.97)
    min_voltage: tuple[float, float] = (0.90, 0.98)
    max_loading: float = 0.8
    non_switchable_share: tuple[float, float] = (0.0, 0.5)
    flat_share: float = 0.1
    voltage_limits: tuple[float, float] = (0.9, 1.1)
    max_attempts: int = 20
    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    def __post_init__(self) -> None:
        problems = [
            *range_problems("buses", self.buses, 4, 10_000),
            *range_problems("substations", self.substations, 1),
            *range_problems("loops", self.loops, 1),
            *range_problems("span_km", self.span_km, 0.01, unit=" [km]"),
            *range_problems("lateral_share", self.lateral_share, 0, 1),
            *range_problems("load_sigma", self.load_sigma, 0, 3),
            *range_problems("zero_load_share", self.zero_load_share, 0, 0.9),
            *range_problems("power_factor", self.power_factor, 0.5, 1),
            *range_problems("min_voltage", self.min_voltage, 0.8, 0.999, " [pu]"),
            *range_problems("non_switchable_share", self.non_switchable_share, 0, 1),
            *range_problems("voltage_limits", self.voltage_limits, 0.5, 1.5, " [pu]"),
            *share_problems("cable_share", self.cable_share),
            *share_problems("flat_share", self.flat_share),
        ]
        if self.min_voltage[1] - self.min_voltage[0] < 4 * _VOLTAGE_TOLERANCE:
            problems.append(f"min_voltage = {list(self.min_voltage)} must span at least {4 * _VOLTAGE_TOLERANCE} pu")
        if not self.base_kv or min(self.base_kv) < 1 or max(self.base_kv) > 50:
            problems.append(f"base_kv = {list(self.base_kv)} must be a list of medium voltages, 1 to 50 [kV]")
        if not 0 < self.max_loading <= 1:
            problems.append(f"max_loading = {self.max_loading} must lie in (0, 1]")
        if self.max_attempts < 1:
            problems.append(f"max_attempts = {self.max_attempts} must be >= 1")
        if self.loops[0] > (self.buses[0] - _most_substations(self, self.buses[0])) // BUSES_PER_LOOP:
            problems.append(
                f"loops from {self.loops[0]} need at least {BUSES_PER_LOOP} buses each: with {self.buses[0]} buses and "
                f"up to {self.substations[1]} substations there is no room; raise buses or lower loops or substations"
            )
        if self.buses[0] < BUSES_PER_SUBSTATION * self.substations[0]:
            problems.append(
                f"buses from {self.buses[0]} are too few for {self.substations[0]} substations: "
                f"give at least {BUSES_PER_SUBSTATION} per substation"
            )
        if problems:
            raise DataError("feeder config", problems)


def random_feeder(config: FeederConfig, rng: np.random.Generator, name: str = "synthetic") -> Network:
    """Draw a feeder: connected, radial and convergent in its normal configuration, least voltage within the target.

    What is drawn, in order:

    1. Sizes: by ``size_law`` and ``loop_law``. Voltage and overhead or cable: uniform.
    2. Lines (:mod:`learnopt.generator.layout`).
    3. Loads: log-normal, as measured transformer loads are skewed; some buses have none. Power factors scatter by
       0.03 around the feeder's mean. Their level comes with the conductors and the voltage target.
    4. Normal configuration: every bus is fed along its shortest path from a substation, for lengths multiplied by
       log-normal noise (sigma uniform in 0.1 to 1.0 per section, 0.2 per branch). Operators open loops somewhere in
       their middle, for reasons that are not only losses: sensible, not optimal.
    5. Conductors: two to four types in stock, loads such that the thickest trunk is used at a utilisation uniform in
       0.4 to 0.8 of its ampacity; each section gets the thinnest type that carries its largest current in the normal
       configuration at that utilisation: trunks are thick, ends are thin.
    6. Scale: loads are multiplied until the least voltage meets its target. Where ampacity forbids (short lines carry
       their rated current with little drop), lengths are multiplied instead,
       by 4 at most: a feeder that still misses is drawn again.
    7. Switches, numbering and orientation are shuffled: nothing can be learned from the order of the file.

    Raises
    ------
    DataError
        If no draw out of ``config.max_attempts`` met the voltage target.

    Notes
    -----
    One seed makes one feeder: give each its own ``np.random.default_rng([seed, index])``.
    """
    for _ in range(config.max_attempts):
        network = _draw(config, rng, name)
        if network is not None:
            return network
    raise DataError(
        "feeder config",
        [
            f"no feeder out of {config.max_attempts} met min_voltage = {list(config.min_voltage)}: "
            "widen min_voltage, or change span_km or max_loading"
        ],
    )


def _most_substations(config: FeederConfig, n_bus: int) -> int:
    return max(config.substations[0], min(config.substations[1], n_bus // BUSES_PER_SUBSTATION))


def _draw(config: FeederConfig, rng: np.random.Generator, name: str) -> Network | None:
    """One attempt; None where the voltage target is missed."""
    flat = bool(rng.random() < config.flat_share)
    n_bus = _size(config.size_law, config.buses, rng)
    n_substation = int(rng.integers(config.substations[0], _most_substations(config, n_bus), endpoint=True))
    most = min(config.loops[1], (n_bus - n_substation) // BUSES_PER_LOOP)
    n_loops = _size(config.loop_law, (config.loops[0], most), rng)
    base = Base(float(rng.choice(config.base_kv)))
    types = line_types(base.v_base, cable=bool(rng.random() < config.cable_share))
    layout = random_layout(n_bus, n_substation, n_loops, rng.uniform(*config.lateral_share) * (not flat), flat, rng)
    km = layout.length * _log_uniform(config.span_km, rng)
    s = _loads(config, layout, flat, rng)
    closed = _normal_state(layout, rng)

    current = _tree_current(_network(name, base, layout, s, closed, config), closed)  # for loads of any scale
    stock = [types[k] for k in np.sort(rng.choice(len(types), 1 if flat else int(rng.integers(2, 5)), replace=False))]
    utilisation = rng.uniform(0.4, 0.8)
    scale = utilisation * stock[-1].ampacity / base.i_base / current.max()
    conductors = _conductors(stock, layout.section, scale * current * base.i_base / utilisation)
    network = _with_conductors(_network(name, base, layout, scale * s, closed, config), km, conductors)
    target = rng.uniform(config.min_voltage[0] + _VOLTAGE_TOLERANCE, config.min_voltage[1] - _VOLTAGE_TOLERANCE)
    fitted = _fit_voltage(network, closed, target, config.max_loading / utilisation)
    if fitted is None:
        return None

    without = np.zeros(network.n_branch, dtype=bool)
    if not flat and rng.random() < 0.5:
        without = closed & (rng.random(network.n_branch) < rng.uniform(*config.non_switchable_share))
    return _shuffled(replace(fitted, switchable=~without), rng)


def _size(law: SizeLaw, bounds: tuple[int, int], rng: np.random.Generator) -> int:
    return int(rng.integers(*bounds, endpoint=True)) if law == "uniform" else round(_log_uniform(bounds, rng))


def _log_uniform(bounds: tuple[float, float], rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(bounds))))


def _loads(config: FeederConfig, layout: FeederGraph, flat: bool, rng: np.random.Generator) -> np.ndarray:
    """Complex bus loads relative to each other, shape (n_bus,); none at substations."""
    n = layout.n_bus
    sigma = 0.1 if flat else rng.uniform(*config.load_sigma)
    size = rng.lognormal(sigma=sigma, size=n)
    none = rng.random(n) < (0.0 if flat else rng.uniform(*config.zero_load_share))
    none[layout.n_substation + int(rng.integers(n - layout.n_substation))] = False  # one load at least
    none[: layout.n_substation] = True
    factor = np.clip(rng.uniform(*config.power_factor) + rng.normal(scale=0.03, size=n), 0.5, 1.0)
    return np.where(none, 0.0, size * (factor + 1j * np.sqrt(1 - factor**2)))


def _normal_state(layout: FeederGraph, rng: np.random.Generator) -> Bools:
    """Shortest-path forest for perturbed lengths, bool, shape (n_branch,)."""
    spread = rng.uniform(0.1, 1.0)
    weight = layout.length * rng.lognormal(sigma=spread, size=layout.n_section)[layout.section]
    weight *= rng.lognormal(sigma=0.2, size=len(weight))
    graph = csr_array((weight, (layout.tail, layout.head)), shape=(layout.n_bus, layout.n_bus))
    roots = np.arange(layout.n_substation)
    _, before, _ = dijkstra(graph, directed=False, indices=roots, min_only=True, return_predecessors=True)
    return (before[layout.head] == layout.tail) | (before[layout.tail] == layout.head)


def _network(name: str, base: Base, layout: FeederGraph, s: np.ndarray, closed: Bools, config: FeederConfig) -> Network:
    """The feeder without conductors: no impedance, no ampacity."""
    n_branch = len(layout.tail)
    return Network(
        name=name,
        title=f"Synthetic feeder, {layout.n_bus} buses",
        source="learnopt.generator; line types of pandapower (BSD-3-Clause)",
        base=base,
        bus_ids=tuple(range(1, layout.n_bus + 1)),
        p_load=s.real.copy(),
        q_load=s.imag.copy(),
        branch_ids=tuple(range(1, n_branch + 1)),
        from_bus=layout.tail,
        to_bus=layout.head,
        r=np.zeros(n_branch),
        x=np.zeros(n_branch),
        b=np.zeros(n_branch),
        i_max=np.full(n_branch, np.inf),
        switchable=np.ones(n_branch, dtype=bool),
        normally_open=~closed,
        substations=np.arange(layout.n_substation, dtype=np.int64),
        substation_vm=np.ones(layout.n_substation),
        substation_s_min=np.zeros(layout.n_substation),
        substation_s_max=np.full(layout.n_substation, np.inf),
        vm_min=np.full(layout.n_bus, config.voltage_limits[0]),
        vm_max=np.full(layout.n_bus, config.voltage_limits[1]),
    )


def _tree_current(network: Network, closed: Bools) -> Floats:
    """Current at 1 pu voltage in the normal state [pu], shape (n_branch,).

    An open branch counts with the larger of the currents that feed its ends: it may have to carry that.
    """
    order, parent, feed = (np.empty(network.n_bus, np.int64) for _ in range(3))
    order_tree(grid_of(network), closed, order, parent, feed)
    below = _complex_loads(network)
    for bus in order[: len(network.substations) - 1 : -1]:
        below[parent[bus]] += below[bus]
    into = np.where(feed < 0, 0.0, np.abs(below))  # what a substation delivers in all is no branch's current
    current = np.zeros(network.n_branch)
    current[feed[feed >= 0]] = into[feed >= 0]
    return np.where(closed, current, np.maximum(into[network.from_bus], into[network.to_bus]))


def _conductors(stock: list[StandardConductor], section: Ints, needed: Floats) -> list[StandardConductor]:
    """Thinnest type of the stock that carries ``needed`` [A] everywhere in a section, one per branch."""
    largest = np.zeros(int(section.max()) + 1)
    np.maximum.at(largest, section, needed)
    choice = np.minimum(np.searchsorted([c.ampacity for c in stock], largest), len(stock) - 1)
    return [stock[k] for k in choice[section]]


def _with_conductors(network: Network, km: Floats, conductors: list[StandardConductor]) -> Network:
    base = network.base
    r, x, b, ampacity = np.array([(c.r, c.x, c.b_us, c.ampacity) for c in conductors]).T
    return replace(
        network, r=km * r / base.z_base, x=km * x / base.z_base, b=km * b / base.us, i_max=ampacity / base.i_base
    )


def _fit_voltage(network: Network, closed: Bools, target: float, most: float) -> Network | None:
    """Scale loads by at most ``most``, then lengths, until the least voltage is ``target``; None where that fails."""
    s = _complex_loads(network)

    def least(candidate: Network) -> float:
        return float(power_flow_batch(candidate, _complex_loads(candidate)[None], closed[None]).vm_min[0])

    def loaded(factor: float) -> Network:
        return replace(network, p_load=s.real * factor, q_load=s.imag * factor)

    factor = _scale_to(target, lambda k: least(loaded(k)), most)
    if factor is None:
        return None
    fitted = loaded(factor)
    if factor == most:
        short = fitted

        def stretched(factor: float) -> Network:
            return replace(short, r=short.r * factor, x=short.x * factor, b=short.b * factor)

        factor = _scale_to(target, lambda k: least(stretched(k)), _MAX_STRETCH)
        if factor is None:
            return None
        fitted = stretched(factor)
    fitted = _rounded(fitted)
    return fitted if abs(least(fitted) - target) <= _VOLTAGE_TOLERANCE else None


def _complex_loads(network: Network) -> np.ndarray:
    return network.p_load + 1j * network.q_load


def _scale_to(target: float, least_voltage: Callable[[float], float], most: float) -> float | None:
    """Factor at which the least voltage is the target; ``most`` where it is still above there; None if none is found.

    The drop is nearly proportional to the factor, so a few steps suffice.
    """
    factor = min(1.0, most)
    for _ in range(40):
        vm = least_voltage(factor)
        if abs(vm - target) <= 0.5 * _VOLTAGE_TOLERANCE:
            return factor
        if factor == most and vm > target:
            return most
        # NaN: no convergence, the factor is far too large; charging may lift the voltage above 1 pu.
        step = 0.5 if np.isnan(vm) else (1 - target) / max(1 - vm, 1e-3)
        factor = min(factor * float(np.clip(step, 0.3, 3.0)), most)
    return None


def _rounded(network: Network) -> Network:
    """Values of a readable case file: watts, milliohms, nanosiemens."""
    base = network.base

    def at(values: Floats, unit: float, decimals: int) -> Floats:
        return np.round(values * unit, decimals) / unit

    return replace(
        network,
        p_load=at(network.p_load, base.kw, 3),
        q_load=at(network.q_load, base.kw, 3),
        r=np.maximum(at(network.r, base.z_base, 5), 1e-5 / base.z_base),
        x=np.maximum(at(network.x, base.z_base, 5), 1e-5 / base.z_base),
        b=at(network.b, base.us, 3),
    )


def _shuffled(network: Network, rng: np.random.Generator) -> Network:
    """The same feeder with buses and branches in random order and branches pointing either way."""
    old_bus = rng.permutation(network.n_bus)  # old index of each new bus
    new_bus = np.argsort(old_bus)
    old = rng.permutation(network.n_branch)
    flip = rng.random(network.n_branch) < 0.5
    tail, head = new_bus[network.from_bus[old]], new_bus[network.to_bus[old]]
    return replace(
        network,
        p_load=network.p_load[old_bus],
        q_load=network.q_load[old_bus],
        from_bus=np.where(flip, head, tail),
        to_bus=np.where(flip, tail, head),
        r=network.r[old],
        x=network.x[old],
        b=network.b[old],
        i_max=network.i_max[old],
        switchable=network.switchable[old],
        normally_open=network.normally_open[old],
        substations=np.sort(new_bus[network.substations]),
    )
