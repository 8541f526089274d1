"""Entries of a run, as MLflow's client takes them."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from learnopt.tracking.served import log_served_model
from learnopt.tracking.store import Store

_AT_ONCE = 100
"""Parameters that MLflow takes in one call."""


def deliver(client: Any, store: Store, run_id: str, entry: Mapping[str, Any], file: Path | None) -> None:
    """Send one entry.

    Parameters
    ----------
    entry
        ``kind`` and what belongs to it: ``metrics`` (values, step, time in ms), ``parameters`` (values), ``tags``
        (values), ``datasets`` (rows), ``artifact`` (place), ``model`` (name, tags, description), ``end``
        (status).
    file
        Of an artifact or a model.

    Raises
    ------
    mlflow.exceptions.MlflowException, OSError
        If it does not arrive.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

    match entry["kind"]:
        case "metrics":
            at, step = entry["time"], entry["step"]
            client.log_batch(run_id, metrics=[Metric(k, v, at, step) for k, v in entry["values"].items()])
        case "parameters":
            params = [Param(key, value) for key, value in entry["values"].items()]
            for begin in range(0, len(params), _AT_ONCE):
                client.log_batch(run_id, params=params[begin : begin + _AT_ONCE])
        case "tags":
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in entry["values"].items()])
        case "datasets":
            client.log_inputs(
                run_id,
                [
                    DatasetInput(Dataset(**row["dataset"]), [InputTag("mlflow.data.context", row["context"])])
                    for row in entry["rows"]
                ],
            )
        case "artifact":
            _send_artifact(client, run_id, file, entry["place"], entry.get("text"))
        case "model":
            assert file is not None
            with store.current():
                source = log_served_model(run_id, file)
                _register(client, entry["name"], source, entry["tags"], entry.get("description", ""))
        case "end":
            client.set_terminated(run_id, entry["status"], end_time=entry["time"])
        case kind:
            raise ValueError(f"an entry of kind {kind!r} cannot be sent")


def _send_artifact(client: Any, run_id: str, file: Path | None, place: str, text: str | None) -> None:
    """A file, or text, at its place within the artifacts of a run."""
    folder, _, name = place.rpartition("/")
    if file is not None:
        client.log_artifact(run_id, str(file), folder or None)
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        path.write_text(text or "", encoding="utf-8")
        client.log_artifact(run_id, str(path), folder or None)


def _register(client: Any, name: str, source: str, tags: Mapping[str, str], description: str) -> None:
    """A further version in the registry of the current store; what MLflow says of it on stderr is left out."""
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    about = "Least-loss configurations of distribution feeders: a graph network with calibrated fixing (learnopt)."
    try:
        client.create_registered_model(name, description=about)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    with redirect_stderr(io.StringIO()):
        # A server wants the id of the model too, which this gives.
        version = mlflow.register_model(source, name, tags=dict(tags))
    if description:
        client.update_model_version(name, version.version, description)
