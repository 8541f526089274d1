"""Checkpoints: ``model.safetensors`` (no pickle from strangers), ``card.json`` and a ``README.md`` rendered from it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from learnopt.errors import CheckpointError, DataError
from learnopt.io.files import write_atomically
from learnopt.io.resources import data_root
from learnopt.learning.card import ModelCard
from learnopt.learning.confidence import FIXING_RULE
from learnopt.learning.coverage import Coverage
from learnopt.learning.features import FEATURE_SCHEMA
from learnopt.learning.model import SwitchModel, build_model
from learnopt.learning.predict import Predictor

REFERENCE = "reference"
"""Name of the checkpoint that travels with learnopt."""
WEIGHTS, CARD, README = "model.safetensors", "card.json", "README.md"


def save_checkpoint(directory: Path, model: SwitchModel, card: ModelCard) -> ModelCard:
    """Write weights and card; returns the card as written.

    Each file is written beside its place and moved there. The card goes last and holds the checksum of the weights,
    so an interrupted save is noticed when the checkpoint is loaded.
    """
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    weights = safetensors.torch.save(state)
    card = replace(card, weights_sha256=hashlib.sha256(weights).hexdigest())
    write_atomically(directory / WEIGHTS, lambda path: path.write_bytes(weights))
    write_atomically(directory / README, lambda path: path.write_text(card.to_markdown(), encoding="utf-8"))
    write_atomically(directory / CARD, lambda path: path.write_text(card.to_json(), encoding="utf-8"))
    return card


def load_card(source: Path | str) -> ModelCard:
    """Card of a checkpoint given by folder or by name (``reference``), without its weights.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or made for other features.
    """
    directory = _directory(source)
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
    """A predictor from a checkpoint given by folder or by name (``reference``).

    Raises
    ------
    CheckpointError
        If it is missing, damaged, made for other features or calibrated for another rule of fixing.
    """
    card = load_card(source)
    if card.fixing_rule != FIXING_RULE:
        raise CheckpointError(
            f"checkpoint {_directory(source)} is calibrated for fixing rule {card.fixing_rule}, this version of "
            f"learnopt fixes by rule {FIXING_RULE}: calibrate it again with `learnopt calibrate`"
        )
    coverage = Coverage.of(card.data)
    return Predictor(load_weights(source, card), card.temperature, card.thresholds, card.name, coverage)


def load_weights(source: Path | str, card: ModelCard) -> SwitchModel:
    """The model of a checkpoint without its calibration, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the weights are missing, damaged or do not fit the card.
    """
    path = _directory(source) / WEIGHTS
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


def _directory(source: Path | str) -> Path:
    if str(source) != REFERENCE:
        return Path(source)
    try:
        return data_root("checkpoints") / REFERENCE
    except DataError as error:
        raise CheckpointError(str(error)) from None
