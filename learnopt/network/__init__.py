"""Records of the problem and of its answer, topology and units. Imports nothing above :mod:`learnopt.errors`."""

from learnopt.network.aliases import Bools, Floats, Id, Ints
from learnopt.network.configuration import Configuration
from learnopt.network.controls import Capacitor, Controls, Generator, Settings, Tap
from learnopt.network.horizon import HorizonProblem
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.model import Limits, Network
from learnopt.network.problem import ReconfigurationProblem
from learnopt.network.result import (
    Alternative,
    Certificate,
    Evaluation,
    GapPoint,
    Iteration,
    LearnedSummary,
    PhaseSetting,
    PhaseSummary,
    Result,
    RiskSummary,
    Status,
)
from learnopt.network.situations import Scenario, Situations
from learnopt.network.switchgear import Device, Switchgear
from learnopt.network.units import Base

__all__ = [
    "Alternative",
    "Base",
    "Bools",
    "Capacitor",
    "Certificate",
    "Configuration",
    "Controls",
    "Device",
    "Evaluation",
    "Floats",
    "GapPoint",
    "Generator",
    "HeldLimit",
    "HorizonProblem",
    "Id",
    "Ints",
    "Iteration",
    "LearnedSummary",
    "LimitKind",
    "Limits",
    "Network",
    "PhaseSetting",
    "PhaseSummary",
    "ReconfigurationProblem",
    "Result",
    "RiskSummary",
    "Scenario",
    "Settings",
    "Situations",
    "Status",
    "Switchgear",
    "Tap",
]
