"""Lower bounds of every plan of a horizon: that of the AC problem, and that with load currents held."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.network import Certificate, Configuration, Floats

USEFUL_SHARE = 0.9
"""An AC bound less than this share of the plan's objective gives way to that of the model where there is one."""


@dataclass(frozen=True)
class Proven:
    """What is proven of every plan.

    Parameters
    ----------
    ac_kwh
        Lower bound of the AC problem [kWh].
    model_kwh
        Lower bound with load currents and iron losses held at the voltages of one sequence of configurations [kWh].
    held
        That sequence: the bound of the model says something of it, and of no other plan.
    """

    ac_kwh: float = -math.inf
    model_kwh: float = -math.inf
    held: tuple[Configuration, ...] = ()

    @classmethod
    def of_steps(cls, hours: Floats, ac_kw: Floats) -> Proven:
        """What AC bounds of the steps alone prove together; nothing where one is missing.

        Parameters
        ----------
        hours
            Durations [h], shape (n_step,).
        ac_kw
            Bounds of the losses [kW], NaN where there is none, shape (n_step,).
        """
        return cls(float(hours @ ac_kw)) if np.isfinite(ac_kw).all() else cls()

    def with_ac(self, value_kwh: float) -> Proven:
        """With another AC bound known."""
        return replace(self, ac_kwh=max(self.ac_kwh, value_kwh))

    def with_model(self, value_kwh: float, held: tuple[Configuration, ...]) -> Proven:
        """With another bound of the model known; one for other voltages takes the place of what was known."""
        known = self.model_kwh if held == self.held else -math.inf
        return replace(self, model_kwh=max(known, value_kwh), held=held)

    def of(self, certificate: Certificate) -> float:
        """The bound that a certificate stands for [kWh], ``-inf`` where there is none."""
        return self.ac_kwh if certificate is Certificate.AC else self.model_kwh

    def certificate(self, objective_kwh: float) -> Certificate:
        """What the bound told first holds for: the AC problem, unless its bound is weak and that of the model known."""
        if math.isfinite(self.ac_kwh) and (
            self.ac_kwh >= USEFUL_SHARE * objective_kwh or not math.isfinite(self.model_kwh)
        ):
            return Certificate.AC
        return Certificate.MODEL if math.isfinite(self.model_kwh) else Certificate.NONE
