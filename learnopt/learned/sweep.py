"""Several trainings of one configuration: over seeds, and over settings that Optuna proposes.

A *trial* is a set of settings, trained once per seed; trials compare by their mean validation loss, which no test
feeder enters. What was trained is on disk: the same call goes on where it was left, and asks Optuna the same questions
again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.generator.config import config_from_table
from learnopt.io.files import write_text
from learnopt.io.places import Place
from learnopt.learned.training import TrainingOutcome, train
from learnopt.learning.checkpoint import load_card
from learnopt.learning.config import TrainingConfig

RESULT = "sweep.json"
"""Beside a checkpoint of a sweep: settings, and the validation loss that was kept."""
_FIXED = ("name", "seed", "data", "checkpoint")
"""Settings that a sweep does not vary."""


@dataclass(frozen=True)
class Setting:
    """A setting to vary.

    Parameters
    ----------
    name
        As in the configuration, ``model.hidden`` of the model's.
    choices
        Values to choose from; empty where it has a range.
    low, high
        Range of a number; logarithmic where ``high`` is ten times ``low`` or more and ``low`` positive.
    whole
        Whole numbers.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False

    @property
    def logarithmic(self) -> bool:
        """The range spans decades."""
        return self.low > 0 and self.high >= 10 * self.low

    @classmethod
    def parse(cls, text: str) -> Setting:
        """From ``learning_rate=1e-4..1e-2`` or ``model.hidden=32,64``.

        Raises
        ------
        DataError
            If it is neither, or there is no such setting.
        """
        name, equals, values = (part.strip() for part in text.partition("="))
        known = _known(TrainingConfig())
        if not equals or name not in known:
            names = ", ".join(sorted(known))
            raise DataError("options", [f"--vary {text}: write SETTING=LOW..HIGH or SETTING=A,B with one of {names}"])
        like = known[name]
        if ".." in values:
            low, _, high = values.partition("..")
            try:
                limits = float(low), float(high)
            except ValueError:
                raise DataError("options", [f"--vary {text}: {values} is no range of numbers"]) from None
            if isinstance(like, bool) or not isinstance(like, int | float) or not limits[0] < limits[1]:
                raise DataError("options", [f"--vary {text}: {values} is no range for {name} (now {like!r})"])
            return cls(name, (), *limits, isinstance(like, int))
        return cls(name, tuple(_typed(each.strip(), like, text) for each in values.split(",")))

    def propose(self, trial: Any) -> Any:
        """A value, of Optuna's."""
        if self.choices:
            return trial.suggest_categorical(self.name, list(self.choices))
        if self.whole:
            return trial.suggest_int(self.name, int(self.low), int(self.high), log=self.logarithmic)
        return trial.suggest_float(self.name, self.low, self.high, log=self.logarithmic)


@dataclass(frozen=True)
class Trial:
    """Settings, and what came of them.

    Parameters
    ----------
    number
        From 0.
    settings
        What was varied.
    losses, exact
        Validation loss, and share of exact test answers, of each seed.
    folders
        Checkpoint of each seed.
    """

    number: int
    settings: dict[str, Any]
    losses: tuple[float, ...]
    exact: tuple[float, ...]
    folders: tuple[Path, ...]

    @property
    def loss(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.losses))

    @property
    def spread(self) -> float:
        """Standard deviation over the seeds."""
        return float(np.std(self.losses, ddof=1)) if len(self.losses) > 1 else 0.0

    @property
    def best(self) -> Path:
        """Checkpoint of the seed of least validation loss."""
        return self.folders[int(np.argmin(self.losses))]


@dataclass(frozen=True)
class Record:
    """Where a training is recorded.

    Parameters
    ----------
    options
        What :func:`learnopt.learned.training.train` is to be given for it.
    done
        Takes what was trained, and its folder.
    """

    options: Mapping[str, Any]
    done: Callable[[TrainingOutcome, Path], None]


Recording = Callable[[TrainingConfig], AbstractContextManager[Record]]
"""Begins the record of a training."""


def sweep(
    config: TrainingConfig,
    data: Sequence[Place],
    out: Path,
    recording: Recording,
    vary: Sequence[Setting] = (),
    trials: int = 1,
    seeds: int = 1,
) -> Iterator[Trial]:
    """Train every trial with every seed; each is given as soon as it is done.

    Parameters
    ----------
    out
        Folder of the checkpoints, ``trial-000/seed-0``.
    recording
        Called around each training that is not on disk yet.
    vary
        Settings that Optuna proposes, one trial after the other; none: the configuration as it is.

    Raises
    ------
    UnsupportedError
        If settings vary and Optuna is not installed.
    DataError
        If a trial on disk is one of another configuration.
    """
    for number, (settings, tell) in enumerate(islice(_proposals(vary, config.seed), trials)):
        losses, exact, folders = [], [], []
        for k in range(seeds):
            wanted = _with(config, {**settings, "seed": config.seed + k}, f"{config.name}-{number:03d}-{k}")
            folder = out / f"trial-{number:03d}" / f"seed-{k}"
            found = _on_disk(folder, wanted)
            if found is None:
                with recording(wanted) as record:
                    outcome = train(wanted, list(data), folder, resume=True, **record.options)
                    found = min(row["validation_loss"] for row in outcome.history)
                    record.done(outcome, folder)
                write_text(folder / RESULT, json.dumps({"config": wanted.as_dict(), "validation_loss": found}) + "\n")
            losses.append(found)
            exact.append(float(load_card(folder).metrics["test"]["tree_rate"]))
            folders.append(folder)
        trial = Trial(number, settings, tuple(losses), tuple(exact), tuple(folders))
        tell(trial.loss)
        yield trial


def _proposals(vary: Sequence[Setting], seed: int) -> Iterator[tuple[dict[str, Any], Callable[[float], None]]]:
    """Settings of each trial, and who is to be told the loss; the same for the same losses."""
    if not vary:
        while True:
            yield {}, lambda _: None
    try:
        import optuna
    except ModuleNotFoundError:
        raise UnsupportedError("settings are varied by Optuna: pip install 'learnopt[sweep]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    while True:
        trial = study.ask()
        settings = {setting.name: setting.propose(trial) for setting in vary}

        def tell(loss: float, asked: Any = trial) -> None:
            study.tell(asked, loss)

        yield settings, tell


def _known(config: Any, prefix: str = "") -> dict[str, Any]:
    """Settings that can vary, by dotted name, with their present values."""
    found: dict[str, Any] = {}
    for one in fields(config):
        value = getattr(config, one.name)
        if is_dataclass(value):
            found |= _known(value, f"{one.name}.")
        elif prefix or one.name not in _FIXED:
            found[f"{prefix}{one.name}"] = value
    return found


def _typed(text: str, like: Any, whole: str) -> Any:
    """A value of the kind of another."""
    try:
        if isinstance(like, bool):
            return {"true": True, "false": False}[text.lower()]
        return type(like)(text)
    except (ValueError, KeyError):
        raise DataError("options", [f"--vary {whole}: {text!r} is no value like {like!r}"]) from None


def _with(config: TrainingConfig, settings: dict[str, Any], name: str) -> TrainingConfig:
    """A configuration with other settings by their dotted names."""
    table = config.as_dict() | {"name": name}
    table["data"] = list(table["data"]) if isinstance(table["data"], tuple) else table["data"]
    for key, value in settings.items():
        *inner, last = key.split(".")
        place = table
        for each in inner:
            place = place[each]
        place[last] = value
    return config_from_table(TrainingConfig, table, name)


def _on_disk(folder: Path, wanted: TrainingConfig) -> float | None:
    """Validation loss of a training that is done; None where there is none.

    Raises
    ------
    DataError
        If it is one of another configuration.
    """
    path = folder / RESULT
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["config"] != json.loads(json.dumps(wanted.as_dict())):
        problem = "holds a training of another configuration: give another --out, or delete it"
        raise DataError(str(folder), [problem])
    return float(found["validation_loss"])
