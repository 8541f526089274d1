"""Cost formulas of the seed against numbers computed by hand from its data."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from learnopt.network.costs import annual_factor, current_a

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from turkay_costs import (
    FEEDER_TANGENT,
    LOSS_TANGENT,
    SUBSTATION_TANGENT,
    CapacityCosts,
    Curve,
    FeederCost,
    curve_of_loss_tangent,
    line_loss_kw,
    loss_factor,
)

LINE = FeederCost(
    r_ohm_per_km=0.5,
    kv=34.5,
    investment=1e7,
    charge_rate=0.1,
    energy=2700.0,
    load_factor=0.38,
    location_factor=0.8,
    reserve_factor=1.15,
    capacity=CapacityCosts(1.78e7, 0.0, 2e6, 0.21, 0.18, 0.18),
)


def test_loss_factor() -> None:
    """(16) at the load factor of Table 1: 0.3 * 0.38 + 0.7 * 0.1444."""
    assert loss_factor(0.38) == pytest.approx(0.21508)
    assert loss_factor(1.0) == pytest.approx(1.0)


def test_loss_of_a_line() -> None:
    """(10): 100 A over 0.5 ohm lose 3 * 0.5 * 10^4 W = 15 kW."""
    assert line_loss_kw(0.5, 100.0) == pytest.approx(15.0)
    # With I = S / (sqrt(3) V) the loss is R S^2 / V^2: 0.5 * 64 / 1190.25 MW.
    assert line_loss_kw(0.5, current_a(8.0, 34.5)) == pytest.approx(1e3 * 0.5 * 64 / 1190.25)


def test_feeder_cost() -> None:
    """(13) to (15) and (17) at 8 MVA, where 1 km loses 26.8851 kW."""
    loss = 26.885108
    assert LINE.annual_investment() == pytest.approx(1e6)
    assert LINE.annual_energy(8.0) == pytest.approx(loss * 2700 * 0.8 * 0.21508 * 8760, rel=1e-6)
    assert LINE.annual_demand(8.0) == pytest.approx(loss * 0.8 * 1.15 * (1.78e7 * 0.21 + 2e6 * 0.18), rel=1e-6)
    assert LINE.annual(8.0) == pytest.approx(1e6 + 109_412_280 + 101_359_900, rel=1e-4)


def test_present_worth() -> None:
    """(18): the closed form is the sum, the curve is the yearly cost at every power, interest 0 counts years."""
    factor = sum(1.14**-n for n in range(1, 21))
    assert annual_factor(0.14, 20) == pytest.approx(factor)
    assert annual_factor(0.0, 20) == 20
    curve = LINE.present_worth(0.14, 20)
    for mva in (0.0, 3.0, 8.0):
        assert curve.value(mva) == pytest.approx(factor * LINE.annual(mva))


def test_printed_tangents() -> None:
    """(25) at 50 MVA is the printed total, at 29 MVA it is not; (12) is 0 at 29.97 MVA; (19) at no load."""
    assert SUBSTATION_TANGENT.value(50.0) == pytest.approx(1.608e10, rel=1e-3)
    assert SUBSTATION_TANGENT.value(29.0) == pytest.approx(1.213e10, rel=1e-3)
    assert LOSS_TANGENT.value(29.9745) == pytest.approx(0.0, abs=1e-4)
    assert FEEDER_TANGENT.value(0.0) == 1200735.2


def test_tangents_touch_from_below() -> None:
    """A tangent meets its curve where it touches and lies below elsewhere; (12) and its curve agree."""
    curve = Curve(5.0, 0.3)
    tangent = curve.tangent(4.0)
    assert tangent.value(4.0) == pytest.approx(curve.value(4.0))
    assert all(tangent.value(s) <= curve.value(s) + 1e-12 for s in (0.0, 1.0, 3.9, 4.1, 20.0))
    again = curve_of_loss_tangent(LOSS_TANGENT).tangent(-2 * LOSS_TANGENT.intercept / LOSS_TANGENT.slope)
    assert (again.slope, again.intercept) == pytest.approx((LOSS_TANGENT.slope, LOSS_TANGENT.intercept))
    assert math.isnan(LOSS_TANGENT.at)
