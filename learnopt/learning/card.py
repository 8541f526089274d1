"""The model card: everything a user must know about weights, as JSON for machines and Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from learnopt._version import __version__
from learnopt.learning.calibration import Calibration
from learnopt.learning.comparison import Comparison
from learnopt.learning.confidence import FIXING_RULE
from learnopt.learning.config import TrainingConfig
from learnopt.learning.features import FEATURE_SCHEMA
from learnopt.learning.model import ModelConfig
from learnopt.learning.reliability_svg import reliability_svg
from learnopt.tracking.provenance import git_commit

PICTURE = "reliability.svg"
_WHAT = (
    "Tells which switches of a distribution feeder are probably closed where the loss is least, so that an exact "
    "engine has less to decide."
)

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
    split
        ``rule``, how the data was split, in words, and ``seen``, the feeders of every side
        (:mod:`learnopt.learned.unseen`); empty where nobody wrote it down.
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
    heads
        Of ``heads.safetensors``, if there is one: ``schema``, ``hidden``, ``sha256``, ``data`` (what they were trained
        on) and ``classes`` (:class:`~learnopt.learning.classes.ClassCalibration` as plain values); else empty.
    """

    name: str
    architecture: Mapping[str, Any]
    training: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    split: Mapping[str, Any] = field(default_factory=dict)
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
    heads: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: TrainingConfig,
        calibration: Calibration,
        data: Mapping[str, Any],
        metrics: Mapping[str, Any],
        split: Mapping[str, Any],
    ) -> ModelCard:
        """Card of freshly trained weights.

        Parameters
        ----------
        data
            Plain values: what was trained on (manifest summary, numbers of feeders and pairs).
        metrics, split
            Plain values.
        """
        training = config.as_dict()
        return cls(
            name=config.name,
            architecture=training.pop("model"),
            training=training,
            data=data,
            split=split,
            metrics=metrics,
            temperature=calibration.temperature,
            thresholds=calibration.thresholds,
            calibration=_basis(calibration),
        )

    def calibrated(
        self,
        calibration: Calibration,
        data: Mapping[str, Any],
        metrics: Mapping[str, Any],
        split: Mapping[str, Any],
    ) -> ModelCard:
        """The card after another calibration of the same weights: its metrics and data are added, or replaced."""
        return replace(
            self,
            data={**self.data, **data},
            split=split,
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

    def to_markdown(self, comparison: Comparison | None = None) -> str:
        """The card for people: limits of use, what it was trained on, risk by family of feeders, rivals."""
        parts = [
            [f"# Checkpoint `{self.name}`", "", f"{_WHAT} {self._promise()}".rstrip()],
            ["## Limits of use", "", *(f"- {limit}" for limit in self.limits_of_use)],
            ["## What it was trained on", "", *self._trained_on()],
            ["## Risk of fixing", "", *self._risks()],
            ["## Reliability", "", f"![What it states against what was measured]({PICTURE})", "", *self._reliability()],
            *([["## With controls", "", *self._classes()]] if self.heads else []),
            ["## Beside its rivals", "", *self._rivals(comparison)],
            ["## Provenance", "", *self._provenance()],
        ]
        return "\n\n".join("\n".join(part) for part in parts) + "\n"

    def to_svg(self, comparison: Comparison | None = None) -> str:
        """The reliability diagram."""
        risks = {
            family.short: [
                (float(alpha), row["failure_rate"], row["failure_low"], row["failure_high"])
                for alpha, row in family.metrics["fixing"].items()
                if row["tau"] is not None
            ]
            for family in self._families()
        }
        bins = () if comparison is None else tuple(zip(comparison.predicted, comparison.observed, strict=True))
        return reliability_svg(risks, bins)

    def _promise(self) -> str:
        """What to expect, in a sentence: of the smallest usual risk that something is fixed at."""
        test = self.metrics.get("test", {})
        row = test.get("fixing", {}).get("0.01")
        if row is None or row["tau"] is None or not row["coverage"]:
            return "It states no risk of 1 %: at this risk nothing is fixed."
        return (
            f"At a stated risk of 1 % it fixes {_percent(row['coverage'])} of the switches that are to decide; of "
            f"{test['n']} test instances {_wrong(row)} had a wrong one among them."
        )

    def _families(self) -> list[_Family]:
        """Test sets of the card: all together, then each set of feeders of its own."""
        found = (
            [_Family("all test feeders", "all test feeders", self.metrics["test"])] if "test" in self.metrics else []
        )
        sets = {
            name: drawn
            for each in (self.data, *self.data.values())
            if isinstance(each, Mapping)
            for name, drawn in each.items()
        }
        for key, metrics in self.metrics.items():
            drawn = sets.get(key.removeprefix("test_"))
            if key.startswith("test_") and isinstance(drawn, Mapping) and "fixing" in metrics:
                sizes, name = _sizes(drawn), key.removeprefix("test_")
                found.append(_Family(f"{sizes} (`{name}`)", f"{name}: {sizes.split(',')[0]}", metrics))
        return found

    def _trained_on(self) -> list[str]:
        pairs, labels = self.data.get("pairs", {}), self.data.get("labels") or {}
        scenario = self.data.get("config", {}).get("scenario", {})
        rows = {
            "feeders": f"{labels['feeders']} synthetic ones: {_sizes(self.data)}" if _drawn(self.data) else None,
            "one feeder": self.data.get("feeder"),
            "nominal voltages": _listed(self.data.get("config", {}).get("feeder", {}).get("base_kv"), "kV"),
            "solved situations": _situations(pairs),
            "split": self.split.get("rule"),
            "with generation, outages, locks": _shares(scenario),
            "limits of voltage and current": self.data.get("limits"),
            "line charging": {True: "yes", False: "none"}.get(self.data.get("charging", None)),
            "thresholds from": f"{self.calibration['n_feeders']} further feeders (days, for one feeder), "
            f"{self.calibration['n_instances']} instances"
            if self.calibration.get("n_feeders")
            else None,
            "model": ", ".join(f"{key} {value}" for key, value in self.architecture.items()),
        }
        return ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items() if value is not None)]

    def _risks(self) -> list[str]:
        words = (
            "Stated is the probability that *any* fixed switch of an instance is wrong, on average over feeders like "
            "those of the calibration (conformal risk control). Measured, with 95 % interval, on feeders kept aside:"
        )
        # Two risks with one threshold fix the same: the smaller one says it.
        by_threshold = {tau: alpha for alpha, tau in sorted(self.thresholds.items(), reverse=True)}
        alphas = [f"{alpha:g}" for alpha in sorted(by_threshold.values())]
        head = ["test feeders", "instances", "solved exactly"]
        head += [f"at {100 * float(alpha):g} %: fixed, wrong" for alpha in alphas]
        rows = [
            [family.title, str(family.metrics["n"]), _percent(family.metrics["tree_rate"])]
            + [_cell(family.metrics["fixing"].get(alpha)) for alpha in alphas]
            for family in self._families()
        ]
        rule = "|---" * len(head) + "|"
        table = [f"| {' | '.join(head)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)]
        return [words, "", *table, "", *self._thresholds()]

    def _thresholds(self) -> list[str]:
        """Risks for which nothing is fixed, and why."""
        few = [f"{100 * alpha:g} %" for alpha, tau in sorted(self.thresholds.items()) if tau is None]
        unused = [f"{100 * alpha:g} %" for alpha, tau in sorted(self.thresholds.items()) if tau is not None and tau > 1]
        lines = ["*Solved exactly*: the prediction alone, without any search, is the proven optimum."]
        if few:
            lines.append(f"At {', '.join(few)}: too few calibration feeders to claim this risk, nothing is fixed.")
        if unused:
            lines.append(f"At {', '.join(unused)}: nothing would be fixed.")
        return lines

    def _classes(self) -> list[str]:
        """Heads that see the relaxation: thresholds and what was measured, by class."""
        data = self.heads["data"]
        words = (
            "Heads that see the linear relaxation of the very problem hold switches and devices of a known plan "
            f"(`heads.safetensors`). Trained on {data['training']} problems of {data['text']}. Thresholds are of each "
            "class alone; nothing is fixed in a class that is not listed, nor at a risk without a threshold. *Wrong*: "
            "the plan is worse than the best one known by more than 0.01 %, and something held excludes that one."
        )
        rows = ["| class | feeders | risk | threshold | held | wrong, 95 % interval |", "|---" * 6 + "|"]
        for name, one in self.heads["classes"].items():
            for alpha, tau in one["thresholds"].items():
                row = one["measured"].get(alpha)
                wrong = "–" if row is None else f"{row['wrong']} of {row['n']} [{row['low']:.3f}, {row['high']:.3f}]"
                held = "–" if row is None else _percent(row["held"])
                stated = "too few feeders" if tau is None else f"{tau:.4g}"
                rows.append(f"| {name} | {one['feeders']} | {100 * float(alpha):g} % | {stated} | {held} | {wrong} |")
        return [words, "", *rows]

    def _reliability(self) -> list[str]:
        error = self.calibration.get("ece")
        known = "" if error is None else f" Expected calibration error {error:.2g}, temperature {self.temperature:.3g}."
        return [f"On the dashed line, what is stated is what was measured; a risk below it was kept.{known}"]

    def _rivals(self, comparison: Comparison | None) -> list[str]:
        if comparison is not None:
            methods: Mapping[str, Any] = comparison.methods
            seed = comparison.data.get("seed")
            where = (
                f"{methods['model']['n']} instances on feeders of {_sizes(comparison.data)}, seed {seed}, unseen by all"
            )
        elif "test_rivals" in self.metrics:
            methods = {"model": self.metrics["test"], **self.metrics["test_rivals"]}
            where = f"{methods['model']['n']} instances of the last days"
        else:
            return ["Not measured yet: `learnopt evaluate --data DIR --checkpoint DIR --card` adds it."]
        rows = [
            f"| {name} | {_percent(m['tree_rate'])} | {_regret(m['mean_regret_percent'])} "
            f"| {_regret(m['max_regret_percent'])} |"
            for name, m in methods.items()
        ]
        return [
            f"Answers without a proof, on {where}; rivals that learn were fitted on others of the kind. "
            "Loss is that above the proven optimum.",
            "",
            "| method | solved exactly | mean loss above | largest |",
            "|---|---|---|---|",
            *rows,
        ]

    def _provenance(self) -> list[str]:
        return [
            f"learnopt {self.learnopt_version}, commit {self.git_commit or 'unknown'}, training seed "
            f"{self.training.get('seed')}, weights {self.weights_sha256[:16]}. Every number, to all digits, and the "
            "whole recipe: `card.json`. This page is made from it.",
        ]


@dataclass(frozen=True)
class _Family:
    """Feeders of one kind, their name in a picture, and what was measured on them."""

    title: str
    short: str
    metrics: Mapping[str, Any]


def _drawn(data: Mapping[str, Any]) -> bool:
    return "feeder" in data.get("config", {}) and "feeders" in (data.get("labels") or {})


def _sizes(data: Mapping[str, Any]) -> str:
    """How large the feeders of a dataset are."""
    feeder = data.get("config", {}).get("feeder", {})
    ends = {key: feeder[key] for key in ("buses", "loops", "substations") if key in feeder}
    return ", ".join(f"{low} to {high} {key}" for key, (low, high) in ends.items()) or "one kind"


def _listed(values: Any, unit: str) -> str | None:
    return None if not values else ", ".join(f"{value:g}" for value in values) + f" {unit}"


def _situations(pairs: Mapping[str, int]) -> str | None:
    if "training" not in pairs:
        return None
    loose = pairs.get("training_not_proven", 0)
    return f"{pairs['training']}" + (f", {loose} of them close to the optimum but not proven" if loose else "")


def _shares(scenario: Mapping[str, Any]) -> str | None:
    keys = ("generation_probability", "outage_probability", "lock_probability")
    return ", ".join(_percent(scenario[key]) for key in keys) if all(key in scenario for key in keys) else None


def _percent(share: float) -> str:
    """A share as percent to three digits."""
    return f"{float(f'{100 * share:.3g}'):g} %"


def _regret(percent: float | None) -> str:
    return "–" if percent is None else f"{float(f'{percent:.3g}'):g} %"


def _wrong(row: Mapping[str, Any]) -> str:
    """Instances with a wrong fixing, with the 95 % interval [%]."""
    rate, low, high = (float(f"{100 * row[key]:.2g}") for key in ("failure_rate", "failure_low", "failure_high"))
    return f"{rate:g} % [{low:g}, {high:g}]"


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None or row["tau"] is None or not row["coverage"]:
        return "nothing"
    return f"{_percent(row['coverage'])}, {_wrong(row)}"


def _basis(calibration: Calibration) -> dict[str, Any]:
    """What a calibration rests on."""
    return {
        "n_feeders": calibration.n_feeders,
        "n_instances": calibration.n_instances,
        "ece_before": calibration.ece_before,
        "ece": calibration.ece,
        "risks": {f"{alpha:g}": risk for alpha, risk in calibration.risks.items()},
    }
