"""A run that is being recorded: settings, numbers, pictures, data, the model, and how it ended."""

from __future__ import annotations

import getpass
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from learnopt.errors import UnsupportedError
from learnopt.io.files import write_text
from learnopt.tracking.outbox import Outbox, send_what_was_kept
from learnopt.tracking.provenance import git_commit, library_versions
from learnopt.tracking.registry import ORIGIN, REGISTERED
from learnopt.tracking.store import ARTIFACTS, Store

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from matplotlib.figure import Figure

_LONGEST_PARAMETER = 500
"""Characters; longer values belong in an artifact."""
_LONGEST_DIGEST = 36
KIND, _TRAINING_OF_MODELS = "mlflow.experimentKind", "custom_model_development"
"""Tag of an experiment by which MLflow tells training of models from work with language models."""
TABLES = "mlflow.loggedArtifacts"
"""Tag by which MLflow's pages find tables."""


@dataclass(frozen=True)
class DataInput:
    """A dataset that a run takes.

    Parameters
    ----------
    name
        Of its folder.
    digest
        Checksum of its content.
    source
        Where it lies.
    profile
        Counts and settings.
    context
        What for: training, acceptance, ...
    """

    name: str
    digest: str
    source: str
    profile: Mapping[str, Any] = field(default_factory=dict)
    context: str = "training"

    @property
    def _row(self) -> dict[str, Any]:
        profile = json.dumps(self.profile, default=str)
        dataset = {
            "name": self.name,
            "digest": self.digest[:_LONGEST_DIGEST],
            "source_type": "local",
            "source": json.dumps({"uri": self.source}),
            "profile": profile,
        }
        return {"dataset": dataset, "context": self.context}


class TrackedRun:
    """A run that is being recorded; made by :func:`track_run`.

    Attributes
    ----------
    run_id
        MLflow's id of the run.
    """

    def __init__(self, store: Store, run_id: str, experiment_id: str, outbox: Outbox | None = None) -> None:
        self._store, self._experiment_id = store, experiment_id
        self._outbox = outbox or Outbox(store, run_id)
        self._tables: list[str] = []
        self.run_id: str = run_id

    @property
    def store(self) -> Store:
        """Where it is recorded."""
        return self._store

    @property
    def view_command(self) -> str:
        """What to type, or open, to see the run in a browser."""
        if self._store.served:
            return f"{self._store.shown.rstrip('/')}/#/experiments/{self._experiment_id}/runs/{self.run_id}"
        return f"mlflow ui --backend-store-uri {self._store.public_uri}"

    def lightning_logger(self) -> Logger:
        """Logger that writes the metrics of every epoch into this run."""
        from learnopt.tracking.lightning_logger import RunLogger

        return RunLogger(self.log_metrics, self._experiment_id, self.run_id)

    def log_parameters(self, values: Mapping[str, Any]) -> None:
        """Record settings; nested mappings become dotted names."""
        shown = {name: str(value)[:_LONGEST_PARAMETER] for name, value in _dotted(values)}
        self._outbox.send({"kind": "parameters", "values": shown})

    def log_metrics(self, values: Mapping[str, Any], prefix: str = "", step: int = 0) -> None:
        """Record numbers; nested mappings become dotted names, None and text are left out."""
        numbers = {name: float(value) for name, value in _dotted(values, prefix) if _is_number(value)}
        if numbers:
            self._outbox.send({"kind": "metrics", "values": numbers, "step": step, "time": _now_ms()})

    def log_tags(self, values: Mapping[str, str]) -> None:
        """Record what runs can be searched by."""
        self._outbox.send({"kind": "tags", "values": dict(values)})

    def log_datasets(self, datasets: Sequence[DataInput]) -> None:
        """Name the data that the run takes: inputs in MLflow, and a tag with their checksums."""
        self._outbox.send({"kind": "datasets", "rows": [each._row for each in datasets]})
        self.log_tags({"data": ", ".join(f"{each.name} {each.digest[:12]}" for each in datasets)})

    def log_text(self, text: str, place: str) -> None:
        """Keep text as a file at a place of the artifacts."""
        self._outbox.send({"kind": "artifact", "place": place, "text": text})

    def log_json(self, values: Mapping[str, Any], place: str) -> None:
        """Keep values as a JSON file, for instance the manifest of the training data."""
        self.log_text(json.dumps(values, indent=2, default=str) + "\n", place)

    def log_table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]], place: str) -> None:
        """Keep a table that MLflow's pages show."""
        self.log_text(json.dumps({"columns": list(columns), "data": [list(row) for row in rows]}, default=str), place)
        self._tables.append(place)
        self.log_tags({TABLES: json.dumps([{"path": each, "type": "table"} for each in self._tables])})

    def log_all_metrics(self, values: Mapping[str, Any], place: str = "metrics.json") -> None:
        """Keep every number as a row of a table, under its dotted name: too many for the list of a run."""
        self.log_table(("metric", "value"), [pair for pair in _dotted(values) if _is_number(pair[1])], place)

    def log_figure(self, figure: Figure, name: str) -> None:
        """Keep a picture as PNG under ``plots/``."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name}.png"
            figure.savefig(path, dpi=120)
            self._outbox.send({"kind": "artifact", "place": f"plots/{path.name}"}, path)

    def log_checkpoint(self, directory: Path) -> None:
        """Keep the files of a checkpoint under ``checkpoint/``, and beside it which run it is from."""
        write_text(directory / ORIGIN, json.dumps({"uri": self._store.public_uri, "run_id": self.run_id}) + "\n")
        for path in sorted(directory.iterdir()):
            if path.is_file() and path.name != ORIGIN:
                self._outbox.send({"kind": "artifact", "place": f"checkpoint/{path.name}"}, path)

    def log_model(
        self,
        directory: Path,
        tags: Mapping[str, str] | None = None,
        name: str = REGISTERED,
        description: str = "",
    ) -> None:
        """Register a checkpoint as the next version of a model that ``mlflow models serve`` answers with.

        Signature and an example of its input are part of it (:func:`learnopt.tracking.served.log_served_model`).

        Parameters
        ----------
        description
            Markdown, shown on the page of the version.
        """
        entry = {"kind": "model", "name": name, "tags": dict(tags or {}), "description": description}
        self._outbox.send(entry, directory)


@contextmanager
def track_run(
    store: Store | Path | str | None,
    experiment: str,
    run_name: str,
    description: str = "",
    parent: str | None = None,
    system_metrics: bool = False,
) -> Iterator[TrackedRun]:
    """Record a run: its commit, library versions, user and source at once.

    The run ends as FINISHED, as FAILED when an exception passes, and as KILLED when the user stops it. A store that
    goes away meanwhile stops nothing: what is logged is kept on disk, sent when it is back or when the next run of this
    store begins, and that is said on stderr.

    Parameters
    ----------
    store
        As :meth:`learnopt.tracking.store.Store.of` takes it.
    description
        Markdown, shown on the page of the run.
    parent
        Id of the run that this one belongs to.
    system_metrics
        Record processor, memory, disk and GPU use every ten seconds.

    Raises
    ------
    DataError
        If the store does not answer at the beginning.
    """
    place = Store.of(store)
    with ExitStack() as stack:
        client = stack.enter_context(place.client())
        from mlflow.exceptions import MlflowException

        try:
            send_what_was_kept(place)
            experiment_id = _experiment(client, place, experiment)
            info = client.create_run(experiment_id, run_name=run_name, tags=_tags(place, description, parent)).info
        except (MlflowException, OSError) as error:
            raise place.unusable(error) from None
        outbox = Outbox(place, info.run_id)
        if system_metrics:
            stack.enter_context(_watched(place, info.run_id))
        status = "FINISHED"
        try:
            yield TrackedRun(place, info.run_id, experiment_id, outbox)
        except BaseException as error:
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            raise
        finally:
            outbox.end(status)


def _experiment(client: Any, store: Store, name: str) -> str:
    """Id of an experiment, which is made if absent; files of a folder's runs lie within the folder."""
    if (known := client.get_experiment_by_name(name)) is not None:
        if KIND not in known.tags:
            client.set_experiment_tag(known.experiment_id, KIND, _TRAINING_OF_MODELS)
        return str(known.experiment_id)
    location = None if store.folder is None else (store.folder / ARTIFACTS).as_uri()
    tags = {KIND: _TRAINING_OF_MODELS}
    return str(client.create_experiment(name, artifact_location=location, tags=tags))


def _tags(store: Store, description: str, parent: str | None) -> dict[str, str]:
    """What MLflow's pages show of a run besides its numbers."""
    tags = {f"version.{name}": version for name, version in library_versions().items()}
    tags["mlflow.source.git.commit"] = git_commit() or "none"
    command = store.without_password(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
    tags["mlflow.source.name"] = command[:_LONGEST_PARAMETER]
    tags["mlflow.source.type"] = "LOCAL"
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without a name for its user
        tags["mlflow.user"] = "unknown"
    if description:
        tags["mlflow.note.content"] = description
    if parent is not None:
        tags["mlflow.parentRunId"] = parent
    return tags


@contextmanager
def _watched(store: Store, run_id: str) -> Iterator[None]:
    """Use of the machine is recorded meanwhile."""
    try:
        import psutil  # noqa: F401
    except ModuleNotFoundError:
        raise UnsupportedError("system metrics need psutil, which is not installed: pip install psutil") from None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run_id, tracking_uri=store.uri)
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings with their dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _now_ms() -> int:
    return int(time.time() * 1000)
