"""Lightning's metrics into a run that is being recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only


class RunLogger(Logger):
    """Hands every metric on; how a run ends is not Lightning's to say.

    Parameters
    ----------
    log
        Takes values, a prefix and a step (:meth:`learnopt.tracking.run.TrackedRun.log_metrics`).
    experiment_id, run_id
        What Lightning calls name and version.
    """

    def __init__(self, log: Callable[[Mapping[str, Any], str, int], None], experiment_id: str, run_id: str) -> None:
        super().__init__()
        self._log, self._name, self._version = log, experiment_id, run_id

    @property
    def name(self) -> str:
        """Id of the experiment."""
        return self._name

    @property
    def version(self) -> str:
        """Id of the run."""
        return self._version

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Settings are logged by who starts the run."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Metrics of a step; what Lightning adds of its own (``epoch``) is left out."""
        self._log({key: value for key, value in metrics.items() if key != "epoch"}, "", step or 0)
