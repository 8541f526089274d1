"""Learned, exact, certified reconfiguration of distribution feeders.

.. code-block:: python

    import learnopt

    net = learnopt.load("grid.json")  # or "case33", "simbench:CODE", a folder of CSV tables
    result = learnopt.solve(net)
    result.plot()

Names are loaded when they are first used: ``import learnopt`` itself imports no numerical library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from learnopt._version import __version__ as __version__

if TYPE_CHECKING:
    from learnopt.api import Picture, SavingsStudy, Solution, load, problem, savings, solve
    from learnopt.errors import DataError, LearnoptError
    from learnopt.io import case_names
    from learnopt.network import (
        Certificate,
        Configuration,
        Limits,
        Network,
        ReconfigurationProblem,
        Result,
        Scenario,
        Situations,
        Status,
    )

__all__ = [
    "Certificate",
    "Configuration",
    "DataError",
    "LearnoptError",
    "Limits",
    "Network",
    "Picture",
    "ReconfigurationProblem",
    "Result",
    "SavingsStudy",
    "Scenario",
    "Situations",
    "Solution",
    "Status",
    "case_names",
    "load",
    "problem",
    "savings",
    "solve",
]

_HOME = {
    **dict.fromkeys(("Picture", "SavingsStudy", "Solution", "load", "problem", "savings", "solve"), "learnopt.api"),
    **dict.fromkeys(("DataError", "LearnoptError"), "learnopt.errors"),
    **dict.fromkeys(("case_names",), "learnopt.io"),
}
"""Module of each public name; those not listed are records of ``learnopt.network``."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME.get(name, "learnopt.network")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
