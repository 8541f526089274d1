"""How a checkpoint compares with its rivals on feeders that it has never seen: kept beside its card, for its README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from learnopt.learning.calibration import Reliability
from learnopt.learning.evaluation import Metrics

_KEPT = ("n", "tree_rate", "mean_regret_percent", "max_regret_percent")


@dataclass(frozen=True)
class Comparison:
    """What ``learnopt evaluate --card`` measured.

    Parameters
    ----------
    weights_sha256
        Checksum of the weights that were measured: for others it says nothing.
    data
        Summary of the manifest of the dataset.
    methods
        By method: instances, share answered exactly, mean and largest regret [%]. ``model`` is the checkpoint.
    predicted, observed, count
        Reliability of the model: mean probability of "closed", share of closed switches, and switches, of each bin.
    """

    weights_sha256: str
    data: Mapping[str, Any]
    methods: Mapping[str, Mapping[str, Any]]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]

    @classmethod
    def of(
        cls, weights_sha256: str, data: Mapping[str, Any], metrics: Mapping[str, Metrics], diagram: Reliability
    ) -> Comparison:
        """Comparison from what was measured, to four digits."""
        methods = {name: {key: _rounded(m.as_dict()[key]) for key in _KEPT} for name, m in metrics.items()}
        return cls(
            weights_sha256,
            data,
            methods,
            tuple(_rounded(float(p)) for p in diagram.predicted),
            tuple(_rounded(float(p)) for p in diagram.observed),
            tuple(int(n) for n in diagram.count),
        )

    def to_json(self) -> str:
        """The comparison as JSON."""
        return json.dumps(asdict(self), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Comparison:
        """Read a comparison.

        Raises
        ------
        ValueError, TypeError, KeyError
            If the text is not a comparison.
        """
        values = json.loads(text)
        bins = {key: tuple(values[key]) for key in ("predicted", "observed", "count")}
        return cls(**{**values, **bins})


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value
