"""Overhead lines and cables of the synthetic feeders, with the values of pandapower's standard line types.

Source: pandapower (https://www.pandapower.org, BSD-3-Clause), module ``pandapower.std_types``, types named as here:
aluminium-steel conductors of DIN EN 50182 and three single-core XLPE cables NA2XS2Y. Resistance at 20 degrees Celsius.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FREQUENCY = 50.0
"""[Hz], of reactance and charging."""


@dataclass(frozen=True)
class StandardConductor:
    """One line type.

    Parameters
    ----------
    r, x
        Series resistance and reactance [ohm/km].
    c_nf
        Capacitance to earth [nF/km].
    ampacity
        Thermal current limit [A].
    """

    name: str
    r: float
    x: float
    c_nf: float
    ampacity: float

    @property
    def b_us(self) -> float:
        """Line charging [microsiemens/km]."""
        return 2 * math.pi * FREQUENCY * self.c_nf * 1e-3


OVERHEAD_10_KV = (
    StandardConductor("34-AL1/6-ST1A 10.0", 0.8342, 0.360, 9.7, 170),
    StandardConductor("48-AL1/8-ST1A 10.0", 0.5939, 0.350, 10.1, 210),
    StandardConductor("70-AL1/11-ST1A 10.0", 0.4132, 0.339, 10.4, 290),
    StandardConductor("94-AL1/15-ST1A 10.0", 0.3060, 0.330, 10.75, 350),
    StandardConductor("122-AL1/20-ST1A 10.0", 0.2376, 0.323, 11.1, 410),
    StandardConductor("149-AL1/24-ST1A 10.0", 0.1940, 0.315, 11.25, 470),
)
OVERHEAD_20_KV = (
    StandardConductor("34-AL1/6-ST1A 20.0", 0.8342, 0.382, 9.15, 170),
    StandardConductor("48-AL1/8-ST1A 20.0", 0.5939, 0.372, 9.5, 210),
    StandardConductor("70-AL1/11-ST1A 20.0", 0.4132, 0.360, 9.7, 290),
    StandardConductor("94-AL1/15-ST1A 20.0", 0.3060, 0.350, 10.0, 350),
    StandardConductor("122-AL1/20-ST1A 20.0", 0.2376, 0.344, 10.3, 410),
    StandardConductor("149-AL1/24-ST1A 20.0", 0.1940, 0.337, 10.5, 470),
    StandardConductor("184-AL1/30-ST1A 20.0", 0.1571, 0.330, 10.75, 535),
    StandardConductor("243-AL1/39-ST1A 20.0", 0.1188, 0.320, 11.0, 645),
)
CABLE_10_KV = (
    StandardConductor("NA2XS2Y 1x70 RM/25 6/10 kV", 0.443, 0.123, 280, 217),
    StandardConductor("NA2XS2Y 1x95 RM/25 6/10 kV", 0.313, 0.123, 315, 249),
    StandardConductor("NA2XS2Y 1x120 RM/25 6/10 kV", 0.253, 0.113, 340, 280),
    StandardConductor("NA2XS2Y 1x150 RM/25 6/10 kV", 0.206, 0.110, 360, 315),
    StandardConductor("NA2XS2Y 1x185 RM/25 6/10 kV", 0.161, 0.110, 406, 358),
    StandardConductor("NA2XS2Y 1x240 RM/25 6/10 kV", 0.122, 0.105, 456, 416),
)
CABLE_20_KV = (
    StandardConductor("NA2XS2Y 1x70 RM/25 12/20 kV", 0.443, 0.132, 190, 220),
    StandardConductor("NA2XS2Y 1x95 RM/25 12/20 kV", 0.313, 0.132, 216, 252),
    StandardConductor("NA2XS2Y 1x120 RM/25 12/20 kV", 0.253, 0.119, 230, 283),
    StandardConductor("NA2XS2Y 1x150 RM/25 12/20 kV", 0.206, 0.116, 250, 319),
    StandardConductor("NA2XS2Y 1x185 RM/25 12/20 kV", 0.161, 0.117, 273, 362),
    StandardConductor("NA2XS2Y 1x240 RM/25 12/20 kV", 0.122, 0.112, 304, 421),
)


def line_types(base_kv: float, cable: bool) -> tuple[StandardConductor, ...]:
    """Line types of a voltage level, thinnest first; voltages up to 13 kV are built to the 10 kV types."""
    if base_kv <= 13:
        return CABLE_10_KV if cable else OVERHEAD_10_KV
    return CABLE_20_KV if cable else OVERHEAD_20_KV
