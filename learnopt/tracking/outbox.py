"""What is logged while a server is away is kept on disk and sent later: a training loses nothing and does not stop.

An entry is plain JSON and the files that it names, so that another process can send it: at the end of the run, or when
the next run of the same store begins (:func:`send_what_was_kept`).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from learnopt.io.files import write_text
from learnopt.io.resources import user_folder
from learnopt.tracking.deliver import deliver
from learnopt.tracking.store import Store

ENTRIES, FILES, RUN = "entries.jsonl", "files", "run.json"
PAUSE_S = 60.0
"""Seconds between two tries while a store is away: each may take some itself."""
_CLAIMED = ".sending"
_log = logging.getLogger("learnopt")


class Outbox:
    """Sends the entries of one run, in order, and keeps them while they cannot be sent.

    Parameters
    ----------
    clock
        Seconds, for the pause between two tries.
    """

    def __init__(self, store: Store, run_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._run_id, self._clock = store, run_id, clock
        self._folder = kept_folder(store) / run_id
        self._away_since: float | None = None
        self._number = 0
        self.reason = ""
        """Why the last entry could not be sent."""

    @property
    def kept(self) -> int:
        """Entries that wait on disk."""
        path = self._folder / ENTRIES
        return len(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else 0

    def send(self, entry: Mapping[str, Any], file: Path | None = None) -> None:
        """Send an entry, with a file or a folder where it has one; keep both if that does not work."""
        if self._away_since is None:
            try:
                self._deliver(entry, file)
                return
            except _failures() as error:
                self._told_away(error)
        self._keep(entry, file)
        if self._clock() - self._away_since >= PAUSE_S:  # type: ignore[operator]
            self.flush()

    def end(self, status: str) -> None:
        """Send how the run ended, and before it what waits; where that does not work, say what becomes of it."""
        self.send({"kind": "end", "status": status, "time": int(time.time() * 1000)})
        if not self.flush():
            _log.warning(
                "%d entries of run %s could not be sent to %s (%s). They are kept in %s and sent when the next run of "
                "this store begins.",
                self.kept,
                self._run_id,
                self._store.shown,
                self.reason,
                self._folder,
            )

    def flush(self) -> bool:
        """Try to send what is kept; returns whether nothing is left."""
        if not self.kept:
            return True
        try:
            sent = _send_folder(self._store, self._folder)
        except _failures() as error:
            self._away_since, self.reason = self._clock(), self._store.reason(error)
            return False
        self._away_since = None
        _log.warning("MLflow store %s answers again: %d entries that were kept are sent.", self._store.shown, sent)
        return True

    def _deliver(self, entry: Mapping[str, Any], file: Path | None) -> None:
        with self._store.client() as client:
            deliver(client, self._store, self._run_id, entry, file)

    def _told_away(self, error: Exception) -> None:
        self._away_since, self.reason = self._clock(), self._store.reason(error)
        _log.warning(
            "MLflow store %s does not take what is logged (%s): it is kept in %s and sent later.",
            self._store.shown,
            self.reason,
            self._folder,
        )

    def _keep(self, entry: Mapping[str, Any], file: Path | None) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if not (self._folder / RUN).is_file():
            write_text(self._folder / RUN, json.dumps({"uri": self._store.public_uri, "run_id": self._run_id}) + "\n")
        kept = dict(entry)
        if file is not None:
            self._number += 1
            place = self._folder / FILES / f"{time.time_ns()}-{self._number}"
            place.mkdir(parents=True)
            copy = shutil.copytree if file.is_dir() else shutil.copy2
            copy(file, place / file.name)
            kept["file"] = str((place / file.name).relative_to(self._folder))
        with (self._folder / ENTRIES).open("a", encoding="utf-8") as journal:
            journal.write(json.dumps(kept) + "\n")


def kept_folder(store: Store) -> Path:
    """Folder of what is kept for a store."""
    return user_folder("state") / "tracking" / store.key


def send_what_was_kept(store: Store) -> None:
    """Send what runs that ended while the store was away have left; says how much, and stays silent if it is away."""
    folder = kept_folder(store)
    if not folder.is_dir():
        return
    for each in sorted(path for path in folder.iterdir() if (path / ENTRIES).is_file()):
        try:
            sent = _send_folder(store, each)
        except _failures() as error:
            _log.warning("Entries kept in %s cannot be sent yet (%s).", each, store.reason(error))
        else:
            run_id = each.name.removesuffix(_CLAIMED)
            _log.warning("%d entries of run %s, kept while %s was away, are sent.", sent, run_id, store.shown)


def _send_folder(store: Store, folder: Path) -> int:
    """Send what a folder keeps, then delete it; what fails stays, the first that fails first. Returns the number sent.

    The folder is renamed meanwhile, so that nothing is appended to it and nobody else sends it.
    """
    claimed = folder if folder.name.endswith(_CLAIMED) else folder.with_name(folder.name + _CLAIMED)
    if claimed != folder:
        folder.rename(claimed)
    run_id = claimed.name.removesuffix(_CLAIMED)
    lines = (claimed / ENTRIES).read_text(encoding="utf-8").splitlines()
    done = 0
    try:
        with store.client() as client:
            for line in lines:
                entry = json.loads(line)
                file = entry.pop("file", None)
                deliver(client, store, run_id, entry, None if file is None else claimed / file)
                done += 1
    except BaseException:
        write_text(claimed / ENTRIES, "".join(f"{line}\n" for line in lines[done:]))
        back = claimed.with_name(run_id)
        if not back.exists():
            claimed.rename(back)
        raise
    shutil.rmtree(claimed)
    return done


def _failures() -> tuple[type[Exception], ...]:
    """What a store that is away raises."""
    from mlflow.exceptions import MlflowException

    from learnopt.errors import DataError

    return MlflowException, OSError, DataError
