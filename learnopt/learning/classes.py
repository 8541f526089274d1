"""Calibration per class of problem: the heads hold nothing on a class that they were not calibrated on.

Thresholds are conformal over the feeders of one class alone (Mondrian): a risk stated for all of them together may be
kept on the easy ones and broken on the hard ones.

References
----------
Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, section 4.5 (Mondrian conformal prediction).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from learnopt.learning.heads import RelaxationHeads

SIZE_MARGIN = 1.5
"""How much larger a problem may be than the largest of the calibration."""


@dataclass(frozen=True)
class ClassCalibration:
    """What was measured on one class.

    Parameters
    ----------
    thresholds
        Confidence threshold for each stated risk, None where the feeders were too few for it.
    risks
        Risk that each threshold exceeds in one of twenty calibrations only.
    traits
        What problems of the calibration had (:mod:`learnopt.learned.problem_class`); nothing else is covered.
    feeders
        Feeders of the calibration.
    branches, devices
        Most undecided branches, and most devices with a choice, of one of its problems.
    measured
        What was measured on further feeders, plain values.
    """

    thresholds: Mapping[float, float | None]
    risks: Mapping[float, float] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    feeders: int = 0
    branches: int = 0
    devices: int = 0
    measured: Mapping[str, Any] = field(default_factory=dict)

    def refusal(self, traits: tuple[str, ...], branches: int, devices: int) -> str:
        """Why nothing may be held in a problem of this class; empty where it is like those of the calibration."""
        if strange := [each for each in traits if each not in self.traits]:
            return f"the risk of a wrong fixing was never measured with {', '.join(strange)}"
        for count, most, name in ((branches, self.branches, "switches"), (devices, self.devices, "devices")):
            if count > SIZE_MARGIN * most:
                return f"{count} {name} are to decide, {most} at most were where the risk was measured"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, alphas as strings."""
        values = asdict(self)
        for name in ("thresholds", "risks"):
            values[name] = {f"{alpha:g}": value for alpha, value in values[name].items()}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ClassCalibration:
        """Read what :meth:`as_dict` wrote."""
        numbers = {
            name: {float(alpha): value for alpha, value in values[name].items()} for name in ("thresholds", "risks")
        }
        return cls(**{**values, **numbers, "traits": tuple(values["traits"])})


@dataclass(frozen=True)
class CalibratedHeads:
    """Heads with what they were calibrated on, by class."""

    model: RelaxationHeads
    classes: Mapping[str, ClassCalibration]
