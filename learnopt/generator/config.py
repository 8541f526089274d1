"""What the parameter dataclasses of generator and dataset share: reading a TOML table, checking ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import describe_validation_error

Config = TypeVar("Config")

FORBID_UNKNOWN = {"extra": "forbid"}
"""Value of ``__pydantic_config__`` of a parameter dataclass: a misspelt key is an error, not a default."""


def config_from_table(kind: type[Config], table: Mapping[str, Any], subject: str) -> Config:
    """Build a parameter dataclass from a parsed TOML table.

    Raises
    ------
    DataError
        With every unknown key, value of the wrong type, or value that the dataclass itself refuses.
    """
    if not isinstance(table, Mapping):
        raise DataError(subject, [f"is {table!r}: must be a table of parameters"])
    try:
        return TypeAdapter(kind).validate_python(dict(table))
    except ValidationError as error:
        raise DataError(subject, describe_validation_error(error, dict(table))) from None
    except DataError as error:  # the dataclass's own checks: say where the values were read
        raise DataError(subject, error.violations) from None


def range_problems(
    name: str, bounds: tuple[float, float], low: float = -math.inf, high: float = math.inf, unit: str = ""
) -> list[str]:
    """What is wrong with a ``[low, high]`` parameter; empty when it lies in order within ``low`` and ``high``."""
    first, last = bounds
    if not (math.isfinite(first) and math.isfinite(last) and low <= first <= last <= high):
        return [f"{name} = [{first}, {last}] must be [low, high] with {low:g} <= low <= high <= {high:g}{unit}"]
    return []


def share_problems(name: str, value: float) -> list[str]:
    """What is wrong with a probability or share; empty when it lies in [0, 1]."""
    return [] if 0 <= value <= 1 else [f"{name} = {value} must lie in [0, 1]"]
