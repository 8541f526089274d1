"""Gross load, gross generation and what is left of them: one count for inspection, report and JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from learnopt.network.aliases import Floats
from learnopt.network.model import Network
from learnopt.network.situations import Scenario


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


def totals(network: Network, scenario: Scenario | None = None) -> Totals:
    """Load, generation and net of a scenario; None = those of the file."""
    one = Scenario.nominal(network) if scenario is None else scenario
    feeding = one.p_load < 0
    kw = network.base.kw
    # Reactive power of shunts is that of capacitors as a rule; where a bus has a conductance it is a load's.
    impedance = network.g_shunt > 0
    load = complex(
        np.where(feeding, 0.0, one.p_load).sum() + network.g_shunt.sum(),
        np.where(feeding, 0.0, one.q_load).sum() - network.b_shunt[impedance].sum(),
    )
    generation = complex(
        one.p_gen.sum() - one.p_load[feeding].sum(),
        one.q_gen.sum() - one.q_load[feeding].sum(),
    )
    net = load - generation
    return Totals(*(float(kw * value) for each in (load, generation, net) for value in (each.real, each.imag)))
