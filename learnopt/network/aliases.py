"""Names of the types that records are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Id = int | float | str
"""Identifier of a bus or branch, as in the user's file; keeps its type."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
