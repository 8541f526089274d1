"""What the feeders of a calibration had: a stated risk holds for problems with nothing else.

A problem may have more than the topology, loads and impedances that a prediction rests on. Each such *trait* counts as
covered only where it was in the feeders that thresholds were calibrated on; controls and several load situations never
were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CALIBRATED_ON = "calibrated_on"
"""Key of the card's data: the datasets of the calibration, where they are not those of the training. No name that a
folder of training data would have."""


@dataclass(frozen=True)
class Coverage:
    """Traits in the feeders of a calibration.

    Parameters
    ----------
    charging
        Line charging.
    limits
        Operating limits.
    generation
        Largest share of generation in the load.
    """

    charging: bool = False
    limits: bool = False
    generation: float = 0.0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Coverage:
        """That of a checkpoint, by the ``data`` of its card; what is not stated there is not covered.

        Several datasets cover what each of them has.
        """
        calibrated: list[Any] = [*data.get(CALIBRATED_ON, {}).values()]
        trained: list[Any] = [data, *data.values()]
        for several in (calibrated, trained[:1], trained):
            if described := [each for each in several if isinstance(each, Mapping) and "config" in each]:
                return cls._of_all(described)
        return cls()

    @classmethod
    def _of_all(cls, several: Sequence[Mapping[str, Any]]) -> Coverage:
        scenarios = [(each.get("config") or {}).get("scenario") or {} for each in several]
        shares = [s.get("generation_share", (0.0, 0.0))[1] for s in scenarios if s.get("generation_probability")]
        return cls(
            charging=all(each.get("charging") is True for each in several),
            limits=all(each.get("limits") == "file" for each in several),
            generation=float(min(shares)) if len(shares) == len(several) else 0.0,
        )
