"""Training configuration: small records that check themselves and load from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from learnopt.errors import DataError
from learnopt.generator.config import FORBID_UNKNOWN, config_from_table
from learnopt.learning.model import ModelConfig

_CHOICES = {
    "likelihood": ("tree", "switch"),
    "accelerator": ("cpu", "gpu", "auto"),
    "strategy": ("auto", "ddp_spawn", "ddp_fork"),
    "precision": ("32-true", "bf16-mixed", "16-mixed"),
}


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained.

    Parameters
    ----------
    name
        Name of the run and of the checkpoint.
    seed
        Weights, order of the batches and partial states follow from it.
    epochs
        Most passes over the training pairs.
    patience
        Passes without a better validation likelihood before training stops.
    batch_size
        Feeders per step, over all devices.
    accumulate
        Parts in which a step goes through its feeders, one after the other, before the weights move: less memory for
        the same step. The loss of every epoch is that of one part, to rounding, where nothing is dropped.
    learning_rate, weight_decay
        AdamW; the rate rises over the first 5 % of the steps and then falls to zero along a cosine.
    likelihood
        What is maximised: ``tree``, the probability of the whole configuration as a spanning tree; ``switch``, that of
        each state on its own (cross-entropy), the comparison.
    partial_states
        Further copies of each training pair in which a random part of the branches that the label opens are already
        locked open: the states that sequential prediction meets. 0 = none; costs time in proportion.
    label_gap
        Labels that are not proven but known to be within this relative gap are trained on too. Early stopping,
        thresholds and metrics rest on proven labels alone.
    validation_share
        Share of the feeders kept for early stopping, never of the pairs: a feeder is on one side only.
    calibration_share
        Share of the feeders kept for the thresholds.
    test_share
        Share of the feeders kept for the metrics of the card.
    data
        Folder of the labelled dataset, or several, relative to where training is started.
    checkpoint
        Folder to write the checkpoint to.
    accelerator
        ``cpu`` (bit-reproducible on one machine), ``gpu`` or ``auto``, as Lightning understands them. On a GPU sums
        over branches are added up in no fixed order: runs agree to rounding.
    devices
        Processes, or GPUs. A step takes the same feeders whatever their number.
    strategy
        How several devices work together, in Lightning's names: ``ddp_spawn``; ``ddp_fork`` in a notebook; ``auto``:
        ``ddp_spawn`` where there are several. Plain ``ddp`` would run the whole program once per device.
    precision
        Of the network: ``32-true``, or ``bf16-mixed`` and ``16-mixed`` on a GPU. The likelihood is computed in float64.
    model
        The model.
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = FORBID_UNKNOWN

    name: str = "model"
    seed: int = 0
    epochs: int = 60
    patience: int = 12
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    likelihood: Literal["tree", "switch"] = "tree"
    partial_states: int = 0
    label_gap: float = 0.0
    validation_share: float = 0.15
    calibration_share: float = 0.15
    test_share: float = 0.1
    data: str | tuple[str, ...] = ""
    checkpoint: str = ""
    accelerator: str = "cpu"
    devices: int = 1
    strategy: Literal["auto", "ddp_spawn", "ddp_fork"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    model: ModelConfig = field(default_factory=ModelConfig)

    def __post_init__(self) -> None:
        least = {"seed": 0, "partial_states": 0}
        least |= dict.fromkeys(("epochs", "patience", "batch_size", "accumulate", "devices"), 1)
        problems = [
            f"{name} = {getattr(self, name)} must be >= {value}"
            for name, value in least.items()
            if getattr(self, name) < value
        ]
        if not self.learning_rate > 0:
            problems.append(f"learning_rate = {self.learning_rate} must be > 0")
        for name in ("weight_decay", "label_gap"):
            if not getattr(self, name) >= 0:
                problems.append(f"{name} = {getattr(self, name)} must be >= 0")
        for name in ("validation_share", "calibration_share", "test_share"):
            if not 0 <= getattr(self, name) < 1:
                problems.append(f"{name} = {getattr(self, name)} must be in [0, 1)")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                problems.append(f"{name} = {getattr(self, name)!r} must be one of {', '.join(allowed)}")
        if problems:
            raise DataError("training configuration", problems)

    @classmethod
    def load(cls, path: Path) -> TrainingConfig:
        """Read a TOML file.

        Raises
        ------
        DataError
            Naming every unknown key and every value that is not allowed.
        """
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise DataError(str(path), ["the file does not exist"]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(str(path), [f"not a TOML file: {error}"]) from None
        return config_from_table(cls, table, str(path))

    def as_dict(self) -> dict[str, Any]:
        """Plain nested values, for the card and the tracker."""
        return asdict(self)
