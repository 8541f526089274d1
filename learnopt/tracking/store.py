"""Where runs and models are: a folder of this machine, or whatever an MLflow URI names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from learnopt.errors import DataError
from learnopt.tracking.quiet import quiet

DATABASE, ARTIFACTS = "mlflow.db", "artifacts"
FOLDER = Path("mlruns")
"""Where runs are where nobody says where."""
VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_SCHEMES = ("file:", "sqlite:", "databricks")


@dataclass(frozen=True)
class Store:
    """A place of MLflow.

    Parameters
    ----------
    uri
        As MLflow takes it.
    folder
        The folder behind it, absolute; None where the URI was given.
    """

    uri: str
    folder: Path | None = None

    @classmethod
    def of(cls, given: Store | Path | str | None = None) -> Store:
        """A store by what is given: a URI of MLflow, or else a folder.

        Parameters
        ----------
        given
            Where absent, the URI of the environment variable ``MLFLOW_TRACKING_URI``, and without that ``mlruns``.
        """
        if isinstance(given, Store):
            return given
        text = os.environ.get(VARIABLE, "").strip() if given is None else str(given)
        if text and (given is None or "://" in text or text.startswith(_SCHEMES)):
            return cls(text)
        folder = Path(text or FOLDER).resolve()
        return cls(f"{_SQLITE}{folder / DATABASE}", folder)

    @property
    def served(self) -> bool:
        """A server answers here, which may be away."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def shown(self) -> str:
        """How it is told: the folder, or the URI without a password."""
        return self.public_uri if self.folder is None else str(self.folder)

    @property
    def public_uri(self) -> str:
        """The URI without user and password: what is written beside a checkpoint and shown."""
        return self.without_password(self.uri)

    @property
    def key(self) -> str:
        """Name of what belongs to this store among the user's own files; a new password does not change it."""
        return hashlib.sha256(self.public_uri.encode()).hexdigest()[:16]

    def without_password(self, text: str) -> str:
        """Text in which this URI occurs, as in a message of MLflow, without its user and password."""
        user, at, _ = urlsplit(self.uri).netloc.rpartition("@")
        return text.replace(user + at, "") if user else text

    def reason(self, error: Exception) -> str:
        """First line of what MLflow says is wrong, short and without a password."""
        return self.without_password((str(error) or type(error).__name__).splitlines()[0])[:200]

    @property
    def exists(self) -> bool:
        """Whether there can be something in it: what is in SQLite, as in a folder of ours, has a file."""
        file = self.uri.partition("?")[0].removeprefix(_SQLITE)
        return not self.uri.startswith(_SQLITE) or Path(file).is_file()

    @contextmanager
    def client(self) -> Iterator[Any]:
        """MLflow's client of this store, silent inside; a folder is made if absent.

        Raises
        ------
        DataError
            If MLflow cannot use the store: it does not answer, or its URI is none.
        """
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            try:
                made = MlflowClient(tracking_uri=self.uri)
            except (MlflowException, OSError, ValueError) as error:
                raise self.unusable(error) from None
            yield made

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, MLflow's own functions go to this store.

        MLflow also sets its variable in the environment and would leave its own default there.
        """
        from mlflow.tracking._tracking_service.utils import _use_tracking_uri

        before = os.environ.get(VARIABLE)
        try:
            with _use_tracking_uri(self.uri):
                yield
        finally:
            os.environ.pop(VARIABLE, None)
            if before is not None:
                os.environ[VARIABLE] = before

    def unusable(self, error: Exception) -> DataError:
        """The error of a store that does not do what it is asked for."""
        how = f"start the server or set {VARIABLE}, or give a folder with --store" if self.served else "check its URI"
        return DataError(f"MLflow store {self.shown}", [f"cannot be used: {how} ({self.reason(error)})"])
