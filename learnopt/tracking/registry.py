"""Models in the registry of a store: versions, aliases, and a checkpoint by its address.

An address is what MLflow's pages show: ``models:/learnopt@champion`` (alias), ``models:/learnopt/3`` (version),
``models:/learnopt/latest``, ``runs:/ID/model`` or ``runs:/ID/checkpoint``. Its checkpoint is downloaded once into the
cache of the user. A run stays what it is and is not asked for again. Aliases move, and a store that is made anew counts
its versions from 1 again: both are asked for, and where the store does not answer, what they named last is used, which
is said.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from learnopt.errors import CheckpointError, DataError, without_learning
from learnopt.io.files import write_text
from learnopt.io.resources import user_folder
from learnopt.tracking.store import VARIABLE, Store

REGISTERED = "learnopt"
"""Name of the models in the registry where no other is given."""
CHAMPION = "champion"
"""Alias of the version that is in use."""
ORIGIN = "run.json"
"""Beside a checkpoint: which store and run it is from."""
_CARD = "card.json"
_MODEL = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>[^/@]+))")
_RUN = re.compile(r"runs:/+(?P<run>[0-9a-zA-Z]+)/(?P<path>.+)")
LATEST = "latest"
"""In place of a version: the newest."""
_log = logging.getLogger("learnopt")


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Parameters
    ----------
    name, number
        Of the model, and its version.
    run_id
        Of the run that logged it; empty where unknown.
    created
        When it was registered, in ms since 1970: tells it from a version of the same number in an earlier store.
    """

    name: str
    number: str
    run_id: str = ""
    created: int = 0

    @property
    def address(self) -> str:
        """What names it."""
        return f"models:/{self.name}/{self.number}"


def is_address(source: object) -> bool:
    """Whether this names a checkpoint in MLflow and not a folder."""
    return str(source).startswith(("models:/", "runs:/"))


def checkpoint_folder(address: str, store: Store | Path | str | None = None) -> Path:
    """Folder with the checkpoint behind an address, in the cache of the user.

    Parameters
    ----------
    store
        As :meth:`learnopt.tracking.store.Store.of` takes it.

    Raises
    ------
    CheckpointError
        If the address is none, names nothing, holds no checkpoint, or the store does not answer and nothing is cached.
    UnsupportedError
        If MLflow is needed and not installed.
    """
    place = Store.of(store)
    if (run := _RUN.fullmatch(address)) is not None:
        return _downloaded(place, address, run["run"], address)
    return folder_of(place, _named(address, place))


def folder_of(store: Store, version: Version) -> Path:
    """Folder with the checkpoint of a version, in the cache of the user; errors as of :func:`checkpoint_folder`."""
    return _downloaded(store, version.address, version.run_id, f"{version.address}-{version.created}")


def find_version(store: Store, name: str, which: str) -> Version | None:
    """A version of a model by number, by alias, or ``latest``; None where there is no such.

    Raises
    ------
    DataError
        If the store does not answer.
    """
    with store.client() as client:
        from mlflow.exceptions import MlflowException

        try:
            if which == LATEST:
                found = client.search_model_versions(f"name = '{name}'")
                newest = max(found, key=lambda version: int(version.version), default=None)
            elif which.isdigit():
                newest = client.get_model_version(name, which)
            else:
                newest = client.get_model_version_by_alias(name, which)
        except MlflowException as error:
            if error.get_http_status_code() in (400, 404):
                return None
            raise store.unusable(error) from None
        except OSError as error:
            raise store.unusable(error) from None
        if newest is None:
            return None
        return Version(name, str(newest.version), newest.run_id or "", int(newest.creation_timestamp or 0))


def move_alias(store: Store, version: Version, alias: str, tags: Mapping[str, str]) -> None:
    """Let an alias name a version, and note on the version why.

    Raises
    ------
    DataError
        If the store does not answer.
    """
    with store.client() as client:
        from mlflow.exceptions import MlflowException

        try:
            for key, value in tags.items():
                client.set_model_version_tag(version.name, version.number, key, value)
            client.set_registered_model_alias(version.name, alias, version.number)
        except (MlflowException, OSError) as error:
            raise store.unusable(error) from None


def origin_of(directory: Path, store: Store) -> str | None:
    """Id of the run that a checkpoint is from; None where that is not known, or it is one of another store."""
    try:
        origin = json.loads((directory / ORIGIN).read_text(encoding="utf-8"))
        return str(origin["run_id"]) if origin["uri"] == store.public_uri and origin["run_id"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _named(address: str, store: Store) -> Version:
    """The version that an address names now, or named last where the store does not answer."""
    match = _MODEL.fullmatch(address)
    if match is None:
        forms = "models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/model"
        raise CheckpointError(f"{address!r} names no checkpoint in MLflow: write {forms}")
    name, which = match["name"], match["alias"] or match["version"]
    remembered = _cache_of(store) / f"{name}@{which}.json"
    _check_exists(store, address)
    try:
        found = _with_mlflow(lambda: find_version(store, name, which))
    except DataError as error:
        if not remembered.is_file():
            raise CheckpointError(f"{address}: {error.sentences()[0]}; no version of it is cached here") from None
        last = Version(**json.loads(remembered.read_text(encoding="utf-8")))
        _log.warning(
            "MLflow store %s does not answer: %s is version %s, the last known.", store.shown, address, last.number
        )
        return last
    if found is None:
        what = f"alias {which!r}: `learnopt promote` sets it" if match["alias"] else f"version {which!r}"
        raise CheckpointError(f"MLflow store {store.shown} has no model {name!r} with {what}")
    remembered.parent.mkdir(parents=True, exist_ok=True)
    write_text(remembered, json.dumps(asdict(found)) + "\n")
    return found


def _check_exists(store: Store, address: str) -> None:
    """A folder without a database is told at once, instead of being made."""
    if not store.exists:
        raise CheckpointError(
            f"{address}: there is no MLflow store in {store.shown}: set {VARIABLE} to its URI, or run where it lies"
        )


def _downloaded(store: Store, address: str, run_id: str, name: str) -> Path:
    """Folder of the cache, which is named after a name, with the checkpoint of an address: fetched whole or not at all.

    Parameters
    ----------
    run_id
        Of the run that logged it; empty where unknown.
    """
    folder = _cache_of(store) / re.sub(r"[^0-9A-Za-z_.-]+", "-", name)
    if (folder / _CARD).is_file():
        return folder
    _check_exists(store, address)

    def fetch(scratch: str) -> None:
        with store.client(), store.current():
            import mlflow

            mlflow.artifacts.download_artifacts(address, dst_path=scratch, tracking_uri=store.uri)

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        try:
            _with_mlflow(lambda: fetch(scratch))
        except Exception as error:  # of MLflow, of whatever keeps its artifacts, or a store that cannot be used
            told = f"{address} cannot be fetched from MLflow store {store.shown}: {store.reason(error)}"
            raise CheckpointError(told) from None
        cards = list(Path(scratch).rglob(_CARD))
        if len(cards) != 1:
            raise CheckpointError(f"{address} of MLflow store {store.shown} holds no checkpoint of learnopt ({_CARD})")
        origin = {"uri": store.public_uri, "run_id": run_id, "address": address}
        write_text(cards[0].parent / ORIGIN, json.dumps(origin) + "\n")
        try:
            os.replace(cards[0].parent, folder)
        except OSError:
            if not (folder / _CARD).is_file():  # another process was faster
                raise
    _log.info("%s is downloaded to %s", address, folder)
    return folder


def _with_mlflow(ask: Any) -> Any:
    """What MLflow says; a light install has none."""
    try:
        return ask()
    except ModuleNotFoundError as missing:
        raise without_learning("a checkpoint in MLflow", missing) from None


def _cache_of(store: Store) -> Path:
    return user_folder("cache") / "models" / store.key
