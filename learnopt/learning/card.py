"""The model card: everything a user must know about weights, as JSON for machines and Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from learnopt._version import __version__
from learnopt.learning.calibration import Calibration
from learnopt.learning.confidence import FIXING_RULE
from learnopt.learning.config import TrainingConfig
from learnopt.learning.features import FEATURE_SCHEMA
from learnopt.learning.model import ModelConfig
from learnopt.learning.provenance import git_commit

LIMITS_OF_USE = (
    "Balanced feeders; loads enter as their ratios only, so voltage, ampacity and substation limits, line charging, "
    "switching costs and caps on operations are unknown to the model.",
    "A prediction is a belief, not a proof: solve and audit it with `learnopt solve --engine learned --certify model`.",
    "The stated risks hold on average over feeders like those of the calibration.",
)


@dataclass(frozen=True)
class ModelCard:
    """Card of a checkpoint.

    Parameters
    ----------
    name
        Name of the checkpoint.
    architecture
        :class:`~learnopt.learning.model.ModelConfig` as plain values.
    training
        :class:`~learnopt.learning.config.TrainingConfig` as plain values, seed included.
    data
        Summary of the training data manifest.
    metrics
        Of the validation feeders and of whatever else was evaluated.
    temperature, thresholds
        Calibration; thresholds by alpha, None where it cannot be claimed.
    calibration
        What the calibration rests on and its expected calibration error.
    feature_schema
        Version and column names.
    fixing_rule
        Version of :mod:`learnopt.learning.confidence` that the thresholds hold for.
    learnopt_version, git_commit
        What wrote the card.
    limits_of_use
        What the model must not be used for.
    weights_sha256
        Checksum of ``model.safetensors``; filled in when the checkpoint is saved.
    """

    name: str
    architecture: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    thresholds: Mapping[float, float | None] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    feature_schema: Mapping[str, Any] = field(
        default_factory=lambda: {"version": FEATURE_SCHEMA.version, **FEATURE_SCHEMA.names()}
    )
    fixing_rule: int = FIXING_RULE
    learnopt_version: str = __version__
    git_commit: str | None = field(default_factory=git_commit)
    limits_of_use: tuple[str, ...] = LIMITS_OF_USE
    weights_sha256: str = ""

    @classmethod
    def of(
        cls,
        config: TrainingConfig,
        calibration: Calibration,
        data: Mapping[str, Any],
        metrics: Mapping[str, Any],
    ) -> ModelCard:
        """Card of freshly trained weights.

        Parameters
        ----------
        data
            Plain values: what was trained on (manifest summary, numbers of feeders and pairs).
        metrics
            Plain values.
        """
        training = config.as_dict()
        return cls(
            name=config.name,
            architecture=training.pop("model"),
            training=training,
            data=data,
            metrics=metrics,
            temperature=calibration.temperature,
            thresholds=calibration.thresholds,
            calibration=_basis(calibration),
        )

    def calibrated(self, calibration: Calibration, data: Mapping[str, Any], metrics: Mapping[str, Any]) -> ModelCard:
        """The card after another calibration of the same weights: its metrics and data are added, or replaced."""
        return replace(
            self,
            data={**self.data, **data},
            metrics=metrics,
            temperature=calibration.temperature,
            thresholds=calibration.thresholds,
            calibration=_basis(calibration),
            fixing_rule=FIXING_RULE,
            learnopt_version=__version__,
            git_commit=git_commit(),
        )

    @property
    def model_config(self) -> ModelConfig:
        """The architecture as a record."""
        return ModelConfig(**self.architecture)

    def to_json(self) -> str:
        """The card as JSON; alphas become strings."""
        values = asdict(self)
        values["thresholds"] = {f"{alpha:g}": tau for alpha, tau in self.thresholds.items()}
        return json.dumps(values, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card.

        Raises
        ------
        ValueError, TypeError, KeyError, AttributeError
            If the text is not a card.
        """
        values = json.loads(text)
        values["thresholds"] = {float(alpha): tau for alpha, tau in values["thresholds"].items()}
        values.setdefault("fixing_rule", 1)
        values["limits_of_use"] = tuple(values["limits_of_use"])
        return cls(**values)

    def to_markdown(self) -> str:
        """The card for people."""
        lines = [
            f"# Checkpoint `{self.name}`",
            "",
            "Predicts which switches of a distribution feeder are closed at least loss, as a distribution over radial "
            "configurations. Generated from `card.json`.",
            "",
            "## Limits of use",
            "",
            *(f"- {limit}" for limit in self.limits_of_use),
            "",
            "## Fixing thresholds",
            "",
            "| risk alpha | 95 % of all calibrations have a risk below | threshold tau of the confidence |",
            "|---|---|---|",
            *(
                f"| {alpha:g} | {_risk(self.calibration.get('risks', {}).get(f'{alpha:g}'))} | {_threshold(tau)} |"
                for alpha, tau in sorted(self.thresholds.items())
            ),
            "",
            "P(any fixed switch of an instance is wrong) <= alpha, by conformal risk control over feeders: on average "
            "over feeders like those of the calibration and over calibrations.",
        ]
        sections = {
            "Calibration": {"temperature": self.temperature, **self.calibration},
            "Metrics": self.metrics,
            "Data": self.data,
            "Architecture": self.architecture,
            "Training": self.training,
            "Provenance": {
                "learnopt": self.learnopt_version,
                "git commit": self.git_commit or "unknown",
                "feature schema version": self.feature_schema["version"],
                "weights sha256": self.weights_sha256,
            },
        }
        for title, values in sections.items():
            lines += ["", f"## {title}", "", *(_rows(values) or ["None recorded."])]
        return "\n".join(lines) + "\n"


def _threshold(tau: float | None) -> str:
    if tau is None:
        return "none: too few calibration feeders to claim this risk, nothing is fixed"
    return f"{tau:.10g}" if tau <= 1 else "none: nothing would be fixed"


def _risk(quantile: float | None) -> str:
    return "-" if quantile is None else f"{quantile:.2g}"


def _basis(calibration: Calibration) -> dict[str, Any]:
    """What a calibration rests on."""
    return {
        "n_feeders": calibration.n_feeders,
        "n_instances": calibration.n_instances,
        "ece_before": calibration.ece_before,
        "ece": calibration.ece,
        "risks": {f"{alpha:g}": risk for alpha, risk in calibration.risks.items()},
    }


def _rows(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    rows = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            rows += _rows(value, f"{prefix}{key}.")
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else str(value)
            rows.append(f"- {prefix}{key}: {shown}")
    return rows
