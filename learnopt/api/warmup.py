"""Compile ahead: what the first large problem on a machine would wait for."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from learnopt.compiling import DISABLED, everything_compiled
from learnopt.engines import SolveOptions
from learnopt.errors import DataError
from learnopt.generator.example import write_example
from learnopt.network import Certificate
from learnopt.studies.configuration.solve import MANY_LOOPS, warm_up

_SEED = 7
"""Of the made-up feeder that is solved; any will do."""


def warmup(progress: Callable[[str], None] = lambda part: None) -> None:
    """Fill numba's cache by solving something small with everything compiled; what it holds already is only loaded.

    Searches in all phases of an unbalanced file and the learned engine are not among it: they need packages that may be
    absent, and are compiled where they are first used.

    Parameters
    ----------
    progress
        Called with the name of each part before it is compiled.

    Raises
    ------
    DataError
        If numba is told to compile nothing.
    """
    if DISABLED:
        raise DataError("NUMBA_DISABLE_JIT", ["numba is told to compile nothing: unset the variable"])
    progress("tree search")
    for certify in (Certificate.AC, Certificate.MODEL):
        warm_up("tree", SolveOptions(certify=certify), MANY_LOOPS + 1)
    progress("branch exchange and enumeration")
    for engine in ("exchange", "enumerate"):
        warm_up(engine, SolveOptions())
    progress("scenarios and horizons")
    from learnopt.api.configuration import solve
    from learnopt.api.horizon_study import horizon

    with tempfile.TemporaryDirectory() as folder, everything_compiled():
        write_example(Path(folder), np.random.default_rng(_SEED))
        feeder = f"{folder}/feeder.json"
        solve(feeder, scenario=f"{folder}/several.json")
        horizon(feeder, f"{folder}/day.csv")
    progress("conductors")
    from learnopt.studies.conductors.study import warm_up as warm_up_conductors

    warm_up_conductors()
