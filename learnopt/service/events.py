"""What brings the next cycle forward, beside a switch that moves or a fault that is told: a measurement that jumps."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from learnopt.network import Network
from learnopt.service.database import Feeder
from learnopt.studies.operation.measurements import Measurement, Quantity

JUMP_PU = 0.2
"""A change of a voltage [pu] that counts as much as all of the load."""
_REST = timedelta(seconds=10)
"""Least time between two events of this kind on a feeder: a meter that flickers does not keep the solver busy."""


def jump(network: Network, one: Measurement, before: float) -> float:
    """Change of a power as a share of the feeder's nominal load, of a voltage as one of :data:`JUMP_PU`."""
    change = abs(one.value - before)
    if one.point.quantity in (Quantity.P, Quantity.Q):
        load = float(np.maximum(network.p_load, 0.0).sum()) * network.base.kw
        return change / load if load > 0 else 0.0
    return change / JUMP_PU if one.point.quantity is Quantity.V else 0.0


def lately(feeder: Feeder, now: datetime) -> bool:
    """There was an event a moment ago."""
    return feeder.due is not None and now - feeder.due < _REST
