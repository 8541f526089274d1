r"""How sure one may be of each switch of a configuration: the model's belief and what another state would cost.

A good configuration is at hand (branch exchange from predicted starts finds one in milliseconds). A switch of it is
wrong where the optimum has the other state. Two independent hints speak: the probability :math:`q_e` that the model
gives to the other state, and the rise :math:`\rho_e` of the loss, relative to it, by the cheapest exchange that
changes the switch. The former knows what optima look like, the latter is exact physics near this configuration: a
switch that can change almost for free is in doubt whatever the model says. They are combined to a doubt

.. math:: d_e = n \, q_e \, \sqrt{0.01 / \rho_e}

with n the number of switches to decide, so that one threshold accepts the same number of mistakes on feeders of every
size. Confidence is :math:`1 / (1 + d_e)`: an order, not a probability; conformal thresholds
(:mod:`learnopt.learning.calibration`) give it its meaning. A switch whose state the model holds for the less probable
one is never fixed: its confidence is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from learnopt.learning.predict import Prediction
from learnopt.network import Bools, Configuration, Floats

USUAL_RISE = 0.01
"""Relative rise at which an exchange says nothing either way."""
RISES = (1e-6, 100.0)
"""Range of relative rises: estimates below are noise, and what no exchange changes is not infinitely sure."""
FIXING_RULE = 2
"""Version of this formula. Thresholds hold for the version that they were calibrated for."""


@dataclass(frozen=True)
class Confidence:
    """A configuration and how sure one may be of the state of each branch in it.

    Parameters
    ----------
    configuration
        No branch that another one stands for is open in it (:meth:`DecisionGraph.canonical`).
    value
        In [0, 1], shape (n_branch,); 0 for branches that are no decision or not to be fixed.
    """

    configuration: Configuration
    value: Floats

    @classmethod
    def of(cls, prediction: Prediction, configuration: Configuration, rise: Floats) -> Confidence:
        """Confidence in a configuration.

        Parameters
        ----------
        rise
            Relative rise of the objective by the cheapest exchange that changes each branch, shape (n_branch,).
        """
        configuration = prediction.graph.canonical(configuration)
        index = prediction.graph.branch_index
        closed, p_open = configuration.closed[index], prediction.p_open
        other = np.where(closed, p_open, 1.0 - p_open)
        doubt = len(index) * other * np.sqrt(USUAL_RISE / np.clip(rise[index], *RISES))
        value = np.zeros(len(rise))
        value[index] = np.where(other < 0.5, 1.0 / (1.0 + doubt), 0.0)
        return cls(configuration, value)

    @classmethod
    def none(cls, prediction: Prediction) -> Confidence:
        """No confidence in anything."""
        configuration = prediction.graph.canonical(prediction.most_probable)
        return cls(configuration, np.zeros(len(configuration.closed)))

    def fixed(self, tau: float) -> tuple[Bools, Bools]:
        """Branches to fix closed, and open, at a threshold > 0: two masks of shape (n_branch,)."""
        sure = self.value >= tau
        return sure & self.configuration.closed, sure & ~self.configuration.closed

    def worst_mistake(self, label: Configuration) -> float:
        """Largest confidence in a state that the (canonical) label contradicts; every tau up to it fixes wrongly."""
        return float(np.max(self.value[self.configuration.closed != label.closed], initial=0.0))
