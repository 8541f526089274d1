"""Per-unit base: conversion happens once, where files are read and results are written."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Base:
    """Three-phase base of a balanced network (single-phase equivalent).

    Parameters
    ----------
    s_base
        Apparent power [MVA], three-phase.
    v_base
        Voltage [kV], line-to-line.
    """

    v_base: float
    s_base: float = 1.0

    @property
    def z_base(self) -> float:
        """Impedance [ohm] = kV^2 / MVA."""
        return self.v_base**2 / self.s_base

    @property
    def i_base(self) -> float:
        """Current [A] = kVA / (sqrt(3) kV)."""
        return 1e3 * self.s_base / (sqrt(3.0) * self.v_base)

    @property
    def kw(self) -> float:
        """Power of one per unit [kW, kvar or kVA]."""
        return 1e3 * self.s_base

    @property
    def us(self) -> float:
        """Admittance of one per unit [microsiemens]."""
        return 1e6 / self.z_base
