r"""What lines and substations cost: the cost side of Türkay's planning model, lines (10) to (19).

Source: B. Türkay, *Distribution System Planning Using Mixed Integer Programming* (seed 1); load factor and loss factor:
T. Gönen, *Electric Power Distribution System Engineering*, McGraw-Hill 1986. Currency is a label: money in, money out.

==================  ======================================================  ==========================
symbol              meaning                                                 unit
==================  ======================================================  ==========================
S, V, I             apparent power, line-to-line voltage, current           MVA, kV, A
R_h                 resistance of the line, per phase                       ohm/km
P_z                 power loss                                              kW/km
AIC, AEC, ADC       annual investment, energy and demand cost of a line     money/(km year)
IC_F, i             investment cost of a line; its fixed charge rate        money/km, 1/year
f_E                 cost of energy                                          money/kWh
F_LD, F_LS          load factor; loss factor (16)                           per unit
F_LL                load location factor: 1 = all load at the far end       per unit
F_r                 reserve factor: capability over load and losses         per unit
c_G, c_T, c_S       cost of generation, transmission, substation capacity   money/kW
i_G, i_T, i_S       their fixed charge rates                                1/year
NYE                 years studied                                           years
==================  ======================================================  ==========================
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from learnopt.network.costs import annual_factor, current_a

HOURS = 8760.0
"""Hours of a year."""


@dataclass(frozen=True)
class Tangent:
    """A linear cost or loss: ``slope * S + intercept``, touching its curve at ``at`` where that is known [MVA]."""

    slope: float
    intercept: float
    at: float = math.nan

    def value(self, mva: float) -> float:
        """Its value at a power."""
        return self.slope * mva + self.intercept


@dataclass(frozen=True)
class Curve:
    """A cost that grows with the square of the power: ``constant + square * S^2``.

    Every cost of this model has this form, because losses are ``R S^2 / V^2``.
    """

    constant: float
    square: float

    def value(self, mva: float) -> float:
        """Its value at a power."""
        return self.constant + self.square * mva**2

    def tangent(self, at_mva: float) -> Tangent:
        """Its tangent at a power: below the curve everywhere, so a linear model with it gives a lower bound."""
        return Tangent(2 * self.square * at_mva, self.constant - self.square * at_mva**2, at_mva)


# What the seed prints, converted from VA and kVA to MVA.
LOSS_TANGENT = Tangent(slope=0.448, intercept=-13.4285714)
"""(12): loss of a line [MW]; printed with S in VA."""
FEEDER_TANGENT = Tangent(slope=3602.4e3, intercept=1200735.2)
"""(19): cost of a line [TL/km]; the unit of S is not printed, and read as kVA, the unit that (25) needs."""
SUBSTATION_TANGENT = Tangent(slope=188235.29e3, intercept=6666666667.0)
"""(25): cost of a substation [TL]; S in kVA, the only unit that gives the printed total."""


def curve_of_loss_tangent(tangent: Tangent) -> Curve:
    r"""The curve ``c S^2`` that a loss tangent touches: from :math:`B = 2 c S_0`, :math:`A = -c S_0^2`.

    For (12): :math:`c = B^2 / (4 |A|)`, touched at :math:`S_0 = 2 |A| / B`. The intercept is negative: below half the
    power that it touches at, the tangent counts the loss as negative.
    """
    return Curve(0.0, tangent.slope**2 / (-4 * tangent.intercept))


def loss_factor(load_factor: float) -> float:
    r"""(16): :math:`F_{LS} = 0.3 F_{LD} + 0.7 F_{LD}^2`."""
    return 0.3 * load_factor + 0.7 * load_factor**2


def line_loss_kw(r_ohm: float, current: float) -> float:
    r"""(10): :math:`P_z = 3 R_h I^2` [kW]; per km where the resistance is."""
    return 3e-3 * r_ohm * current**2


@dataclass(frozen=True)
class CapacityCosts:
    """Cost of the capacity that losses occupy upstream, the braces of (17).

    Parameters
    ----------
    generation, transmission, substation
        c_G, c_T, c_S [money/kW].
    generation_rate, transmission_rate, substation_rate
        i_G, i_T, i_S [1/year].
    """

    generation: float = 0.0
    transmission: float = 0.0
    substation: float = 0.0
    generation_rate: float = 0.0
    transmission_rate: float = 0.0
    substation_rate: float = 0.0

    @property
    def per_kw_year(self) -> float:
        """:math:`c_G i_G + c_T i_T + c_S i_S` [money/(kW year)]."""
        return (
            self.generation * self.generation_rate
            + self.transmission * self.transmission_rate
            + self.substation * self.substation_rate
        )


@dataclass(frozen=True)
class FeederCost:
    """Yearly cost of one kilometre of line.

    Parameters
    ----------
    r_ohm_per_km, kv
        R_h and V.
    investment, charge_rate
        IC_F [money/km] and i [1/year].
    energy
        f_E [money/kWh].
    load_factor, location_factor, reserve_factor
        F_LD, F_LL, F_r.
    capacity
        Cost of the capacity that losses occupy.
    """

    r_ohm_per_km: float
    kv: float
    investment: float
    charge_rate: float
    energy: float
    load_factor: float
    location_factor: float = 1.0
    reserve_factor: float = 1.0
    capacity: CapacityCosts = CapacityCosts()

    def annual_investment(self) -> float:
        r"""(14): :math:`AIC = IC_F\, i` [money/(km year)]."""
        return self.investment * self.charge_rate

    def annual_energy(self, mva: float) -> float:
        r"""(15): :math:`AEC = 3 I^2 R_h f_E F_{LL} F_{LS} \cdot 8760 \cdot 10^{-3}` [money/(km year)]."""
        loss = line_loss_kw(self.r_ohm_per_km, current_a(mva, self.kv))
        return loss * self.energy * self.location_factor * loss_factor(self.load_factor) * HOURS

    def annual_demand(self, mva: float) -> float:
        r"""(17): :math:`ADC = 3 I^2 R_h F_{LL} F_r (c_G i_G + c_T i_T + c_S i_S) \cdot 10^{-3}` [money/(km year)]."""
        loss = line_loss_kw(self.r_ohm_per_km, current_a(mva, self.kv))
        return loss * self.location_factor * self.reserve_factor * self.capacity.per_kw_year

    def annual(self, mva: float) -> float:
        r"""(13): :math:`TAFC = AIC + AEC + ADC` [money/(km year)]."""
        return self.annual_investment() + self.annual_energy(mva) + self.annual_demand(mva)

    def present_worth(self, interest: float, years: int) -> Curve:
        r"""(18): :math:`\sum_{n=1}^{NYE} (1 + i)^{-n} (AIC + AEC + ADC)` as a curve over S [money/km]."""
        factor = annual_factor(interest, years)
        return Curve(factor * self.annual_investment(), factor * (self.annual_energy(1.0) + self.annual_demand(1.0)))
