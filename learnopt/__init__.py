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
    from learnopt.api.answer import Answer
    from learnopt.api.configuration import pareto, solve
    from learnopt.api.horizon_study import HorizonStudy, horizon
    from learnopt.api.inspection import ConfigurationCheck, NetworkInspection, check, inspect
    from learnopt.api.picture import Picture
    from learnopt.api.planning import ConductorStudy, SubstationStudy, plan_conductors, plan_substations
    from learnopt.api.question import load, problem
    from learnopt.api.region import RegionTable, region
    from learnopt.api.replay_study import ReplayStudy, replay
    from learnopt.api.restorability import RestorabilityTable, restorability
    from learnopt.api.restoration import RestorationPlan, restore
    from learnopt.api.savings_study import SavingsStudy, savings
    from learnopt.api.solution import ParetoFront, Solution
    from learnopt.api.swapping import PhasePlan, plan_phases
    from learnopt.engines import Progress
    from learnopt.errors import CheckpointError, DataError, LearnoptError, UnsupportedError
    from learnopt.io import case_names
    from learnopt.network import (
        Certificate,
        Configuration,
        Evaluation,
        Limits,
        Network,
        ReconfigurationProblem,
        Result,
        Scenario,
        Situations,
        Status,
    )

__all__ = [
    "Answer",
    "Certificate",
    "CheckpointError",
    "ConductorStudy",
    "Configuration",
    "ConfigurationCheck",
    "DataError",
    "Evaluation",
    "HorizonStudy",
    "LearnoptError",
    "Limits",
    "Network",
    "NetworkInspection",
    "ParetoFront",
    "PhasePlan",
    "Picture",
    "Progress",
    "ReconfigurationProblem",
    "RegionTable",
    "ReplayStudy",
    "RestorabilityTable",
    "RestorationPlan",
    "Result",
    "SavingsStudy",
    "Scenario",
    "Situations",
    "Solution",
    "Status",
    "SubstationStudy",
    "UnsupportedError",
    "case_names",
    "check",
    "horizon",
    "inspect",
    "load",
    "pareto",
    "plan_conductors",
    "plan_phases",
    "plan_substations",
    "problem",
    "region",
    "replay",
    "restorability",
    "restore",
    "savings",
    "solve",
]

_HOME = {
    "learnopt.api.answer": ("Answer",),
    "learnopt.api.configuration": ("pareto", "solve"),
    "learnopt.api.horizon_study": ("HorizonStudy", "horizon"),
    "learnopt.api.inspection": ("ConfigurationCheck", "NetworkInspection", "check", "inspect"),
    "learnopt.api.picture": ("Picture",),
    "learnopt.api.planning": ("ConductorStudy", "SubstationStudy", "plan_conductors", "plan_substations"),
    "learnopt.api.question": ("load", "problem"),
    "learnopt.api.region": ("RegionTable", "region"),
    "learnopt.api.replay_study": ("ReplayStudy", "replay"),
    "learnopt.api.restorability": ("RestorabilityTable", "restorability"),
    "learnopt.api.restoration": ("RestorationPlan", "restore"),
    "learnopt.api.savings_study": ("SavingsStudy", "savings"),
    "learnopt.api.solution": ("ParetoFront", "Solution"),
    "learnopt.api.swapping": ("PhasePlan", "plan_phases"),
    "learnopt.engines": ("Progress",),
    "learnopt.errors": ("CheckpointError", "DataError", "LearnoptError", "UnsupportedError"),
    "learnopt.io": ("case_names",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
"""Module of each public name; those not listed are records of ``learnopt.network``."""


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE.get(name, "learnopt.network")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
