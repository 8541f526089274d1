"""MLflow without its own words: no telemetry, no progress bars, no log lines on stderr."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_NOISY = ("mlflow", "alembic", "git", "urllib3")
_USUAL = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would stand in the answer of --json
    # A server that is away is told within seconds and what was logged is kept; MLflow would try for four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Settings of MLflow that hold where the user has not set them."""


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow imported, and silent inside."""
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    before = {name: logging.getLogger(name).level for name in _NOISY}
    silent = dict.fromkeys(_NOISY, logging.ERROR)
    with _levels(silent, silent):
        import mlflow  # noqa: F401

    # Importing MLflow configures its own logger, hence the second time.
    with _levels(dict.fromkeys(_NOISY, logging.CRITICAL), before):
        yield


@contextmanager
def _levels(during: Mapping[str, int], after: Mapping[str, int]) -> Iterator[None]:
    """Levels of loggers for a while, and those that they have then."""
    _set_levels(during)
    try:
        yield
    finally:
        _set_levels(after)


def _set_levels(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
