"""Random controls of a network: capacitor banks, tap changers at the substations, switchable generators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN, range_problems, share_problems
from learnopt.network import Capacitor, Controls, Generator, Network, ReconfigurationProblem, Tap


@dataclass(frozen=True)
class ControlsConfig:
    """Distributions of :func:`random_controls`.

    Parameters
    ----------
    banks
        ``[least, most]`` capacitor banks of three steps: a quarter, a half and all of it.
    bank_share
        ``[low, high]`` of a bank over the reactive load of the network.
    tap_probability
        Probability of a tap changer in every branch that leaves a substation.
    tap_step
        Distance of its positions [pu]; they range from 0.95 to 1.05.
    generators
        ``[least, most]`` switchable generators.
    generator_share
        ``[low, high]`` of the rating of one over the active load of the network.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    banks: tuple[int, int] = (0, 4)
    bank_share: tuple[float, float] = (0.08, 0.3)
    tap_probability: float = 0.5
    tap_step: float = 0.0125
    generators: tuple[int, int] = (0, 3)
    generator_share: tuple[float, float] = (0.1, 0.35)

    def __post_init__(self) -> None:
        problems = [
            *range_problems("banks", self.banks, 0),
            *range_problems("bank_share", self.bank_share, 0.0),
            *share_problems("tap_probability", self.tap_probability),
            *range_problems("generators", self.generators, 0),
            *range_problems("generator_share", self.generator_share, 0.0),
        ]
        if not 0 < self.tap_step <= 0.1:
            problems.append(f"tap_step = {self.tap_step} must be > 0 and at most 0.1")
        if problems:
            raise DataError("controls", problems)


def random_controls(network: Network, config: ControlsConfig, rng: np.random.Generator) -> Controls:
    """Controls at distinct load buses of a network; a bank where nothing was drawn.

    Raises
    ------
    DataError
        If the network has no load away from its substations.
    """
    problem = ReconfigurationProblem.of(network)
    buses = np.flatnonzero(~network.is_substation & (problem.p > 0))
    if not len(buses):
        raise DataError(network.name, ["has no load away from its substations: nothing for controls to do"])
    p, q = float(problem.p.sum()), float(problem.q.sum())
    n_banks, n_generators = (int(rng.integers(low, high + 1)) for low, high in (config.banks, config.generators))
    tapped = bool(rng.random() < config.tap_probability)
    n_banks = max(n_banks, int(not (tapped or n_generators)))
    places = rng.choice(buses, min(n_banks + n_generators, len(buses)), replace=False).tolist()
    banks = []
    for bus in places[:n_banks]:
        size = q * rng.uniform(*config.bank_share)
        banks.append(Capacitor(bus, (size / 4, size / 2, size)))
    generators = []
    for bus in places[n_banks:]:
        s = p * rng.uniform(*config.generator_share)
        generators.append(Generator(f"G{bus}", bus, 0.0, s, 0.0, s, switchable=True, s_max=s))
    heads = np.flatnonzero(np.isin(network.from_bus, network.substations)) if tapped else np.zeros(0, dtype=np.int64)
    taps = tuple(Tap(branch, 0.95, 1.05, config.tap_step) for branch in heads.tolist())
    return Controls(taps, tuple(banks), tuple(generators))
