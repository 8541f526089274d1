"""Records of the problem and of its answer, topology and units. Imports nothing above :mod:`learnopt.errors`."""

from learnopt.network.model import Bools, Configuration, Floats, Id, Ints, Limits, Network, Scenario, ScenarioSet
from learnopt.network.problem import ReconfigurationProblem
from learnopt.network.result import Alternative, Certificate, Evaluation, LearnedSummary, Result, Status
from learnopt.network.units import Base

__all__ = [
    "Alternative",
    "Base",
    "Bools",
    "Certificate",
    "Configuration",
    "Evaluation",
    "Floats",
    "Id",
    "Ints",
    "LearnedSummary",
    "Limits",
    "Network",
    "ReconfigurationProblem",
    "Result",
    "Scenario",
    "ScenarioSet",
    "Status",
]
