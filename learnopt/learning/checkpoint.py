"""Checkpoints: ``model.safetensors`` (no pickle from strangers), ``card.json``, and a ``README.md`` made from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError

from learnopt.errors import CheckpointError, DataError
from learnopt.io.files import write_atomically, write_text
from learnopt.io.resources import data_root
from learnopt.learning.card import PICTURE, ModelCard
from learnopt.learning.classes import CalibratedHeads, ClassCalibration
from learnopt.learning.comparison import Comparison
from learnopt.learning.confidence import FIXING_RULE
from learnopt.learning.coverage import Coverage
from learnopt.learning.features import FEATURE_SCHEMA
from learnopt.learning.heads import ROOT_SCHEMA, RelaxationHeads
from learnopt.learning.model import SwitchModel, build_model
from learnopt.learning.predict import Predictor
from learnopt.tracking.registry import checkpoint_folder, is_address

REFERENCE = "reference"
"""Name of the checkpoint that travels with learnopt."""
WEIGHTS, CARD, README, COMPARISON = "model.safetensors", "card.json", "README.md", "comparison.json"
HEADS = "heads.safetensors"


def save_checkpoint(directory: Path, model: SwitchModel, card: ModelCard) -> ModelCard:
    """Write weights and card; returns the card as written.

    Each file is written beside its place and moved there. The card goes last and holds the checksum of the weights,
    so an interrupted save is noticed when the checkpoint is loaded. The card loses its heads: they were trained and
    calibrated on the belief of other weights, or of another temperature.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = safetensors.torch.save(state)
    card = replace(card, weights_sha256=hashlib.sha256(weights).hexdigest(), heads={})
    write_atomically(directory / WEIGHTS, lambda path: path.write_bytes(weights))
    write_readme(directory, card)
    write_text(directory / CARD, card.to_json())
    return card


def write_readme(directory: Path, card: ModelCard) -> None:
    """Write the card for people, and its picture; with the comparison beside it, if that is one of the same weights."""
    comparison = _comparison(directory / COMPARISON, card)
    text, picture = card.to_markdown(comparison), card.to_svg(comparison)
    write_text(directory / README, text)
    write_text(directory / PICTURE, picture)


def add_comparison(source: Path | str, comparison: Comparison) -> None:
    """Keep a comparison beside the card of a checkpoint, and write its README anew."""
    directory, card = directory_of(source), load_card(source)
    write_text(directory / COMPARISON, comparison.to_json())
    write_readme(directory, card)


def _comparison(path: Path, card: ModelCard) -> Comparison | None:
    """The comparison in a file; None without one, and for one of other weights.

    Raises
    ------
    CheckpointError
        If the file is no comparison.
    """
    if not path.is_file():
        return None
    try:
        found = Comparison.from_json(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path} is damaged ({error}): delete it or run `learnopt evaluate --card`") from None
    return found if found.weights_sha256 == card.weights_sha256 else None


def load_card(source: Path | str) -> ModelCard:
    """Card of a checkpoint, which is given as :func:`directory_of` takes it, without its weights.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or made for other features.
    """
    directory = directory_of(source)
    if not (directory / CARD).is_file():
        raise CheckpointError(
            f"no checkpoint at {directory} ({CARD} is missing): give the folder that `learnopt train` wrote, "
            "or train one with training/configs/train_small.toml"
        )
    try:
        card = ModelCard.from_json((directory / CARD).read_text(encoding="utf-8"))
        schema = card.feature_schema["version"]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        message = f"{directory / CARD} is damaged ({error}): restore or train the checkpoint again"
        raise CheckpointError(message) from None
    if schema != FEATURE_SCHEMA.version:
        raise CheckpointError(
            f"checkpoint {directory} was trained on feature schema {schema}, this version of learnopt computes schema "
            f"{FEATURE_SCHEMA.version}: use learnopt {card.learnopt_version} or train again with `learnopt train`"
        )
    return card


def load_checkpoint(source: Path | str = REFERENCE) -> Predictor:
    """A predictor from a checkpoint, which is given as :func:`directory_of` takes it.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, made for other features or calibrated for another rule of fixing.
    """
    source = directory_of(source)
    card = load_card(source)
    if card.fixing_rule != FIXING_RULE:
        raise CheckpointError(
            f"checkpoint {directory_of(source)} is calibrated for fixing rule {card.fixing_rule}, this version of "
            f"learnopt fixes by rule {FIXING_RULE}: calibrate it again with `learnopt calibrate`"
        )
    coverage, heads = Coverage.of(card.data), load_heads(source, card)
    return Predictor(load_weights(source, card), card.temperature, card.thresholds, card.name, coverage, heads)


def add_heads(source: Path | str, heads: CalibratedHeads, data: Mapping[str, Any]) -> ModelCard:
    """Write heads into the folder of a checkpoint, and its card and README anew.

    Parameters
    ----------
    data
        What they were trained on, plain values: ``training``, a number of problems, and ``text``, what these are.
    """
    directory, card = directory_of(source), load_card(source)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in heads.model.state_dict().items()}
    weights = safetensors.torch.save(state)
    described = {
        "schema": ROOT_SCHEMA.version,
        "hidden": heads.model.hidden,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "data": dict(data),
        "classes": {name: one.as_dict() for name, one in heads.classes.items()},
    }
    card = replace(card, heads=described)
    write_atomically(directory / HEADS, lambda path: path.write_bytes(weights))
    write_readme(directory, card)
    write_text(directory / CARD, card.to_json())
    return card


def load_heads(source: Path | str, card: ModelCard) -> CalibratedHeads | None:
    """The heads of a checkpoint; None where its card has none.

    Raises
    ------
    CheckpointError
        If they are missing, damaged or made for other features.
    """
    if not card.heads:
        return None
    path = directory_of(source) / HEADS
    advice = "restore the file or make the heads again with training/heads.py"
    if card.heads.get("schema") != ROOT_SCHEMA.version:
        raise CheckpointError(
            f"{path} was made for root features {card.heads.get('schema')}, this version of learnopt computes "
            f"{ROOT_SCHEMA.version}: {advice}"
        )
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): {advice}") from None
    if hashlib.sha256(weights).hexdigest() != card.heads.get("sha256"):
        raise CheckpointError(f"{path} is not the file that {CARD} describes (checksum differs): {advice}")
    try:
        model = RelaxationHeads(card.heads["hidden"])
        model.load_state_dict(safetensors.torch.load(weights))
        classes = {name: ClassCalibration.from_dict(one) for name, one in card.heads["classes"].items()}
    except (SafetensorError, RuntimeError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit its card ({str(error).splitlines()[0]}): {advice}") from None
    return CalibratedHeads(model.eval(), classes)


def load_weights(source: Path | str, card: ModelCard) -> SwitchModel:
    """The model of a checkpoint without its calibration, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the weights are missing, damaged or do not fit the card.
    """
    path = directory_of(source) / WEIGHTS
    advice = "restore the file or train the checkpoint again"
    try:
        weights = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror}): {advice}") from None
    if hashlib.sha256(weights).hexdigest() != card.weights_sha256:
        raise CheckpointError(f"{path} is not the file that {CARD} describes (checksum differs): {advice}")
    try:
        model = build_model(card.model_config)
        model.load_state_dict(safetensors.torch.load(weights))
    except (SafetensorError, RuntimeError, DataError, TypeError) as error:
        raise CheckpointError(f"{path} does not fit its card ({str(error).splitlines()[0]}): {advice}") from None
    return model.eval()


def directory_of(source: Path | str) -> Path:
    """Folder of a checkpoint: itself, by name (``reference``), or by address in MLflow (``models:/learnopt@champion``).

    An alias may move: who takes several things from one checkpoint asks once.

    Raises
    ------
    CheckpointError
        If the name is not installed, or nothing is behind the address.
    """
    if is_address(source):
        return checkpoint_folder(str(source))
    if str(source) != REFERENCE:
        return Path(source)
    try:
        return data_root("checkpoints") / REFERENCE
    except DataError as error:
        raise CheckpointError(str(error)) from None
