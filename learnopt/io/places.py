"""Where files of a dataset lie: a local folder, or a bucket of an object store behind fsspec (``s3://``, ``gs://``).

A :class:`Remote` has those methods of a path that datasets use, so most code takes either (:data:`Place`). What is
written appears whole or not at all: a local file is renamed when it is complete, an object of a store exists when it
is. Who may go in, and where a store that is not Amazon's or Google's answers, is said where their own tools look for it
(``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ``~/.aws``, ``GOOGLE_APPLICATION_CREDENTIALS``): workers need it too.
"""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from learnopt.errors import DataError, UnsupportedError

STORES = {"s3": "s3fs", "gs": "gcsfs"}
"""Kinds of address, and the package behind fsspec that knows each: those whose objects appear whole."""


@dataclass(frozen=True)
class Remote:
    """A file or folder in an object store; a folder is what names begin with, it needs not be made.

    Nothing of a store is remembered between calls: others write to it.

    Parameters
    ----------
    address
        ``s3://bucket/folder`` or ``gs://bucket/folder``, without a slash at the end.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.address}/{name}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.address.rpartition("/")[2]

    def absolute(self) -> Remote:
        """Itself: what another process takes."""
        return self

    resolve = absolute

    def as_uri(self) -> str:
        """Its address."""
        return self.address

    def mkdir(self, parents: bool = True, exist_ok: bool = True) -> None:
        """Nothing: folders are names."""

    def exists(self) -> bool:
        """A file of this address is there."""
        with self._told("cannot be looked up") as store:
            try:
                # info: isfile and exists say False of a store that does not answer
                found: bool = store.info(self.address)["type"] == "file"
            except FileNotFoundError:
                return False
            return found

    def read_bytes(self) -> bytes:
        """All of it.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        DataError
            If the store cannot be reached, or does not let one in.
        """
        with self._told("cannot be read") as store:
            content: bytes = store.cat_file(self.address)
            return content

    def read_text(self, encoding: str = "utf-8") -> str:
        """The same as text."""
        return self.read_bytes().decode(encoding)

    def open(self, mode: Literal["rb"]) -> io.BytesIO:
        """The same as a file."""
        return io.BytesIO(self.read_bytes())

    def names(self) -> frozenset[str]:
        """Names of the files in this folder."""
        with self._told("cannot be listed") as store:
            try:
                found = store.ls(self.address, detail=False)
            except FileNotFoundError:
                return frozenset()
            return frozenset(each.rpartition("/")[2] for each in found)

    def write(self, content: bytes, new: bool = False) -> bool:
        """Write a file, replacing what is there; with ``new`` only where nothing is, False where something was."""
        # Asked first besides: stores that are not Amazon's may not know the condition and overwrite.
        if new and self.exists():
            return False
        with self._told("cannot be written") as store:
            try:
                store.pipe_file(self.address, content, mode="create" if new else "overwrite")
            except FileExistsError:
                return False
            except FileNotFoundError as error:
                raise DataError(str(self), [f"there is no such bucket: make it first ({error})"]) from None
        return True

    @contextmanager
    def _told(self, what: str) -> Iterator[Any]:
        """The file system of the store; what goes wrong in it with address and reason."""
        store = _store(self.address.partition("://")[0])
        try:
            yield store
        except (FileNotFoundError, DataError):
            raise
        except Exception as error:  # of botocore, aiohttp or Google: they have no base in common
            # Google's tell the whole request in many lines.
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise DataError(
                str(self), [f"{what}: {reason}; check the address, the credentials and their rights"]
            ) from None


Place: TypeAlias = Path | Remote
"""Where a dataset lies."""


def place_of(source: str | Path | Remote) -> Place:
    """A folder or an address of an object store.

    Raises
    ------
    DataError
        If it is the address of something else, or has no bucket.
    """
    if isinstance(source, Path | Remote):
        return source
    kind, found, rest = source.partition("://")
    if not found:
        return Path(source)
    if kind == "file":
        return Path(unquote(urlsplit(source).path))
    if kind not in STORES:
        known = " or ".join(f"{each}://BUCKET/FOLDER" for each in STORES)
        raise DataError(source, [f"no store of kind {kind!r} is known: give a folder, {known}"])
    parts = rest.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise DataError(source, [f"is no address of a folder: write {kind}://BUCKET/FOLDER"])
    return Remote(f"{kind}://{'/'.join(parts)}")


def names_in(folder: Place) -> frozenset[str]:
    """Names of the files in a folder; none where it does not exist."""
    if isinstance(folder, Remote):
        return folder.names()
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()


def write_bytes(path: Place, content: bytes) -> None:
    """Write a file, all of it or nothing; what is there is replaced."""
    if isinstance(path, Remote):
        path.write(content)
    else:
        write_atomically(path, lambda partial: partial.write_bytes(content))


def write_new(path: Place, content: bytes) -> bool:
    """The same where there is no such file yet; False where there is one, which then stays.

    Whoever was taken for dead and has come back does not replace what others have read and counted since.
    """
    if isinstance(path, Remote):
        return path.write(content, new=True)
    partial = _partial(path)
    try:
        partial.write_bytes(content)
        try:
            os.link(partial, path)  # renaming would replace
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            if path.exists():
                return False
            os.replace(partial, path)
        return True
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file next to ``path``, then rename it: readers see all of it or nothing."""
    partial = _partial(path)
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folder: Place, name: str) -> None:
    """Delete what killed processes have left of a file that is complete by now."""
    if isinstance(folder, Path):
        for each in folder.glob(f".{name}.*{_PARTIAL}"):
            each.unlink(missing_ok=True)


_PARTIAL = ".partial"


def _partial(path: Path) -> Path:
    """A temporary file next to another one; by chance too, since hosts that share a folder have equal process ids."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}")


def _store(kind: str) -> Any:
    """The file system of a kind of address (fsspec keeps one in a process)."""
    try:
        import fsspec

        return fsspec.filesystem(kind, use_listings_cache=False)
    except ImportError as missing:
        how = "pip install learnopt[cloud] adds it"
        raise UnsupportedError(f"{kind}:// needs {STORES[kind]} ({missing}): {how}") from None
