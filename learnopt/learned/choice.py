"""Engines by name, the learned one among them: what the front doors hand to a study."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from learnopt.engines import Engine, engine_names
from learnopt.errors import DataError, without_learning
from learnopt.studies.configuration.solve import AUTO

LEARNED = "learned"


class HorizonEngine(StrEnum):
    """How the steps of a horizon are solved."""

    AUTO = "auto"
    """Tree search; the MILP where controls are set."""
    TREE = "tree"
    """Tree search of every step, plan and bound over its candidates."""
    MILP = "milp"
    """All steps, or those of each window, in one mixed-integer model besides."""
    LEARNED = "learned"
    """As auto, with starts and candidates from a prediction per step."""


def solver_names() -> list[str]:
    """Names that :func:`engine_of` knows."""
    return [AUTO, LEARNED, *engine_names()]


def engine_of(name: str, checkpoint: Path | str | None = None) -> str | Engine:
    """What a study takes as engine for this name: the learned engine itself, any other name as it is.

    Parameters
    ----------
    checkpoint
        Folder or name of a checkpoint for the learned engine, the reference one where absent.

    Raises
    ------
    DataError
        If there is no engine of this name.
    CheckpointError
        If there is no such checkpoint.
    UnsupportedError
        If the learned engine is asked for and a package it needs is not installed.
    """
    if name not in solver_names():
        raise DataError("engine", [f"{name!r} is not an engine: use one of {', '.join(solver_names())}"])
    if name != LEARNED:
        return name
    # Loads torch: only when asked for.
    try:
        from learnopt.learned.engine import LearnedEngine
        from learnopt.learning.checkpoint import REFERENCE
    except ModuleNotFoundError as missing:
        raise without_learning("the learned engine", missing) from None
    return LearnedEngine(checkpoint or REFERENCE)
