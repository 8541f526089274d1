"""Solvers behind one interface: each takes a problem and returns a :class:`~learnopt.network.Result`.

=============  ==========================================================  =============================
name           method                                                      certificate
=============  ==========================================================  =============================
``milp``       outer approximation of perspective DistFlow on HiGHS        ``ac``
``tree``       branch and bound over spanning trees in loop space          ``model``, or ``ac`` on request
``enumerate``  every radial configuration by AC power flow                 ``ac``
``exchange``   branch exchange from several starts                         ``none``
``hybrid``     ``milp`` for part of the time, then iterated branch exchange   ``ac``
``benders``    generalised Benders with an AC OPF by IPOPT (optional)     ``ac``
``scip``       perspective DistFlow with its cone on SCIP (optional)       ``ac``
``gurobi``     outer approximation on Gurobi (optional)                    ``ac``
=============  ==========================================================  =============================

Engines load when they are asked for, so that one of them does not cost the imports of the others.
"""

from __future__ import annotations

from importlib import import_module

from learnopt.engines.base import Engine, Patience, Progress, SolveOptions, Stopwatch, conclude
from learnopt.errors import DataError

_ENGINES = {
    "milp": ("learnopt.engines.milp.engine", "MilpEngine"),
    "tree": ("learnopt.engines.tree.engine", "TreeSearchEngine"),
    "enumerate": ("learnopt.engines.enumeration", "EnumerationEngine"),
    "exchange": ("learnopt.engines.exchange", "ExchangeEngine"),
    "hybrid": ("learnopt.engines.hybrid", "HybridEngine"),
    "benders": ("learnopt.engines.benders", "BendersEngine"),
    "scip": ("learnopt.engines.milp.pyomo_solver", "scip_engine"),
    "gurobi": ("learnopt.engines.milp.pyomo_solver", "gurobi_engine"),
}


def engine_names() -> list[str]:
    """Names that :func:`load_engine` knows."""
    return list(_ENGINES)


def load_engine(name: str) -> Engine:
    """The engine of a name.

    Raises
    ------
    DataError
        If there is none of this name.
    """
    if name not in _ENGINES:
        raise DataError("engine", [f"{name!r} is not an engine: use one of {', '.join(_ENGINES)}"])
    module, attribute = _ENGINES[name]
    engine: Engine = getattr(import_module(module), attribute)()
    return engine


__all__ = ["Engine", "Patience", "Progress", "SolveOptions", "Stopwatch", "conclude", "engine_names", "load_engine"]
