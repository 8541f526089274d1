"""Experiment tracking in a local MLflow store; the only module that imports MLflow, and only when a run is tracked.

Everything stays on this machine: a SQLite database and a folder of artifacts. Parameters and metrics are named and
logged by hand, autologging is not used.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnopt.learning.provenance import git_commit, library_versions

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from matplotlib.figure import Figure

    from learnopt.learning.calibration import Reliability

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
REGISTERED = "learnopt"
"""Name of the models in the registry of the store."""
_SERVED = """\"\"\"Loaded by MLflow: the learned engine around the checkpoint that lies beside.\"\"\"

from learnopt.tracking import serve_checkpoint

serve_checkpoint()
"""
_EXAMPLE = {
    "name": "ring",
    "base_kv": 10.0,
    "substations": ["S"],
    "buses": [{"id": "S"}, {"id": "A", "p_kw": 300.0, "q_kvar": 90.0}, {"id": "B", "p_kw": 100.0, "q_kvar": 30.0}],
    "branches": [
        {"id": "S-A", "from": "S", "to": "A", "r_ohm": 0.4, "x_ohm": 0.3},
        {"id": "A-B", "from": "A", "to": "B", "r_ohm": 0.4, "x_ohm": 0.3},
        {"id": "B-S", "from": "B", "to": "S", "r_ohm": 0.4, "x_ohm": 0.3, "normally_open": True},
    ],
}
"""A feeder that shows what to send."""
_NOISY = ("mlflow", "alembic", "git")
_being_recorded: ContextVar[bool] = ContextVar("being_recorded", default=False)
"""MLflow loads a model also when it is written: nobody asks it anything then."""
_LONGEST_PARAMETER = 500
"""Characters; longer values belong in an artifact."""


class TrackedRun:
    """A run that is being recorded; made by :func:`track_run`.

    Attributes
    ----------
    run_id
        MLflow's id of the run.
    """

    def __init__(self, client: Any, run_id: str, uri: str, experiment: str) -> None:
        self._client = client
        self._uri = uri
        self._experiment = experiment
        self.run_id: str = run_id

    @property
    def view_command(self) -> str:
        """What to type to see the run in a browser."""
        return f"mlflow ui --backend-store-uri {self._uri}"

    def lightning_logger(self) -> Logger:
        """Logger that writes the metrics of every epoch into this run."""
        from lightning.pytorch.loggers import MLFlowLogger

        return MLFlowLogger(experiment_name=self._experiment, tracking_uri=self._uri, run_id=self.run_id)

    def log_parameters(self, values: Mapping[str, Any], prefix: str = "") -> None:
        """Record settings; nested mappings become dotted names."""
        for key, value in values.items():
            if isinstance(value, Mapping):
                self.log_parameters(value, f"{prefix}{key}.")
            else:
                self._client.log_param(self.run_id, f"{prefix}{key}", str(value)[:_LONGEST_PARAMETER])

    def log_metrics(self, values: Mapping[str, Any], prefix: str = "", step: int = 0) -> None:
        """Record numbers; nested mappings become dotted names, None and text are left out."""
        for key, value in values.items():
            name = f"{prefix}{key}"
            if isinstance(value, Mapping):
                self.log_metrics(value, f"{name}.", step)
            elif isinstance(value, int | float) and not isinstance(value, bool):
                self._client.log_metric(self.run_id, name, float(value), step=step)

    def log_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest of the training data with the run."""
        self._client.log_text(self.run_id, json.dumps(manifest, indent=2, default=str) + "\n", "dataset_manifest.json")

    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture as PNG under ``plots/``."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path, dpi=120)
            self._client.log_artifact(self.run_id, str(path), "plots")

    def log_checkpoint(self, directory: Path) -> None:
        """Keep the files of a checkpoint under ``checkpoint/``."""
        for path in sorted(directory.iterdir()):
            if path.is_file():
                self._client.log_artifact(self.run_id, str(path), "checkpoint")

    def log_model(self, directory: Path) -> str:
        """Register a checkpoint as a model that ``mlflow models serve`` answers with; returns its address.

        It takes a table with the columns ``feeder`` (text of a case file) and ``scenario`` (text of a scenario file,
        optional) and answers with one column ``answer``, JSON text (:func:`learnopt.learned.serve.answer`). The code
        is a reference to learnopt, not a pickle: the server needs this version installed.
        """
        import mlflow
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types.schema import ColSpec, Schema

        from learnopt._version import __version__

        inputs = Schema([ColSpec("string", "feeder"), ColSpec("string", "scenario", required=False)])
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self._uri)
        try:
            with tempfile.TemporaryDirectory() as folder, _levels(dict.fromkeys(_NOISY, logging.ERROR)):
                script = Path(folder) / "served.py"
                script.write_text(_SERVED, encoding="utf-8")
                with _recording(), mlflow.start_run(run_id=self.run_id):
                    info = mlflow.pyfunc.log_model(
                        name="model",
                        python_model=str(script),
                        artifacts={"checkpoint": str(directory)},
                        signature=ModelSignature(inputs, Schema([ColSpec("string", "answer")])),
                        input_example=pd.DataFrame({"feeder": [json.dumps(_EXAMPLE)]}),
                        pip_requirements=[f"learnopt=={__version__}"],
                    )
                self._register(info.model_uri)
        finally:
            mlflow.set_tracking_uri(before)
        return str(info.model_uri)

    def _register(self, model_uri: str) -> None:
        """A further version in the registry; ``mlflow.register_model`` would tell it on stderr."""
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(REGISTERED)
        except MlflowException:
            self._client.create_registered_model(REGISTERED)
        self._client.create_model_version(REGISTERED, model_uri, self.run_id)


@contextmanager
def track_run(store: Path, experiment: str, run_name: str) -> Iterator[TrackedRun]:
    """Record a run in ``store/mlflow.db`` with its files under ``store/artifacts``.

    Commit and library versions are recorded at once. The run ends as FINISHED, as FAILED when an exception passes, and
    as KILLED when the user stops it.

    Parameters
    ----------
    store
        Folder, made if absent; ``mlruns/`` of the project by custom.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    with _levels(dict.fromkeys(_NOISY, logging.ERROR)):
        from mlflow import MlflowClient

    # Importing MLflow configures its own logger, hence the second time.
    with _levels(dict.fromkeys(_NOISY, logging.ERROR), levels):
        store = store.resolve()
        store.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{store / DATABASE}"
        client = MlflowClient(tracking_uri=uri)
        known = client.get_experiment_by_name(experiment)
        experiment_id = (
            known.experiment_id
            if known
            else client.create_experiment(experiment, artifact_location=(store / ARTIFACTS).as_uri())
        )
        tags = {f"version.{name}": version for name, version in library_versions().items()}
        tags["mlflow.source.git.commit"] = git_commit() or "none"
        run_id = client.create_run(experiment_id, run_name=run_name, tags=tags).info.run_id
        try:
            yield TrackedRun(client, run_id, uri, experiment)
        except BaseException as error:
            client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        client.set_terminated(run_id, "FINISHED")


def serve_checkpoint() -> None:
    """Declare to MLflow, which is loading a model, what answers: the learned engine around the model's checkpoint."""
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.models import set_model
    from mlflow.protos.databricks_pb2 import BAD_REQUEST
    from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

    from learnopt.learned.engine import LearnedEngine
    from learnopt.learned.serve import answers, get_ready

    class Served(PythonModel):
        """One answer per row."""

        def load_context(self, context: PythonModelContext) -> None:
            """Read the checkpoint and compile, before the server says that it is ready: requests have a time limit."""
            self.engine = LearnedEngine(Path(context.artifacts["checkpoint"]))
            if not _being_recorded.get():
                get_ready(self.engine, json.dumps(_EXAMPLE))

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            """Answers as a table with one column; a bad request is one (HTTP 400)."""
            found, wrong = answers(self.engine, model_input.to_dict("records"))
            if wrong:
                raise MlflowException("; ".join(wrong), BAD_REQUEST, errors=wrong)
            return model_input.iloc[:, :0].assign(answer=[json.dumps(each) for each in found])

        # The type of the input stands for the signature that was logged; without one MLflow warns.
        predict.__annotations__["model_input"] = pd.DataFrame

    set_model(Served())


def loss_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Training and validation loss per epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label in (("train_loss", "training feeders"), ("validation_loss", "validation feeders")):
        axes.plot([row.get(key, float("nan")) for row in history], label=label)  # nothing was trained before epoch 0
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative log-likelihood per loop")
    axes.legend()
    return figure


def reliability_figure(reliability: Reliability) -> Figure:
    """Frequency of "closed" against its predicted probability; calibrated predictions lie on the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    axes.plot(reliability.predicted, reliability.observed, marker="o")
    axes.set_xlabel("predicted probability of closed")
    axes.set_ylabel("share of branches closed")
    axes.set_title(f"expected calibration error {reliability.ece:.4f}")
    return figure


@contextmanager
def _recording() -> Iterator[None]:
    """A model is being written."""
    token = _being_recorded.set(True)
    try:
        yield
    finally:
        _being_recorded.reset(token)


@contextmanager
def _levels(during: Mapping[str, int], after: Mapping[str, int] | None = None) -> Iterator[None]:
    """Set the levels of loggers for a while."""
    after = after or {name: logging.getLogger(name).level for name in during}
    for name, level in during.items():
        logging.getLogger(name).setLevel(level)
    try:
        yield
    finally:
        for name, level in after.items():
            logging.getLogger(name).setLevel(level)
