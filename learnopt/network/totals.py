"""Gross load, gross generation and what is left of them: one count for inspection, report and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from learnopt.network.aliases import Floats
from learnopt.network.model import Network
from learnopt.network.situations import Scenario
from learnopt.network.unbalanced import Complex


@dataclass(frozen=True)
class Totals:
    """Powers of a load situation, at nominal voltage.

    Parameters
    ----------
    load_kw, load_kvar
        What is drawn, the loads of constant impedance included, which a network has as conductances of its buses.
    generation_kw, generation_kvar
        What is fed in. A bus whose net load is negative counts here where the file does not say what is behind it.
    net_kw, net_kvar
        Their difference.
    """

    load_kw: float
    load_kvar: float
    generation_kw: float
    generation_kvar: float
    net_kw: float
    net_kvar: float

    def to_dict(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


def consumption(network: Network, scenario: Scenario) -> Floats:
    """What each bus draws, its generation apart [pu], impedances at nominal voltage, shape (n_bus,)."""
    drawn: Floats = np.maximum(scenario.p_load, 0.0) + network.g_shunt
    return drawn


def by_bus(network: Network, scenario: Scenario) -> tuple[Complex, Complex]:
    """Load and generation of each bus [pu], counted as :class:`Totals` does, each of shape (n_bus,)."""
    feeding = scenario.p_load < 0
    # Reactive power of shunts is that of capacitors as a rule; where a bus has a conductance it is a load's.
    of_loads = np.where(network.g_shunt > 0, network.b_shunt, 0.0)
    stated = scenario.p_load + 1j * scenario.q_load
    load = np.where(feeding, 0.0, stated) + network.g_shunt - 1j * of_loads
    return load, scenario.p_gen + 1j * scenario.q_gen - np.where(feeding, stated, 0.0)


def totals(network: Network, scenario: Scenario | None = None) -> Totals:
    """Load, generation and net of a scenario; None = those of the file."""
    one = Scenario.nominal(network) if scenario is None else scenario
    kw = network.base.kw
    load, generation = (complex(each.sum()) for each in by_bus(network, one))
    net = load - generation
    return Totals(*(float(kw * value) for each in (load, generation, net) for value in (each.real, each.imag)))
