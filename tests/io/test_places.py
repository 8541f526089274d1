"""Files in folders and object stores: whole or not at all, first come first kept, and nothing is remembered."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import BUCKET, s3_server

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import places
from learnopt.io.places import Place, Remote, names_in, place_of, write_bytes, write_new


@pytest.fixture(scope="module", params=["folder", "s3"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder, and one in a store."""
    if request.param == "folder":
        yield tmp_path_factory.mktemp("places")
    else:
        with s3_server():
            yield place_of(f"s3://{BUCKET}/some/folder")


def test_what_is_written_is_read(folder: Place) -> None:
    """And replaced by the next one."""
    assert not (folder / "a.txt").exists()
    assert "a.txt" not in names_in(folder)
    write_bytes(folder / "a.txt", b"one")
    write_bytes(folder / "a.txt", b"two")
    assert (folder / "a.txt").read_bytes() == b"two"
    assert (folder / "a.txt").read_text(encoding="utf-8") == "two"
    assert (folder / "a.txt").exists()
    assert "a.txt" in names_in(folder)


def test_the_first_one_stays(folder: Place) -> None:
    """Where a file must be new; nothing temporary is left."""
    assert write_new(folder / "new.txt", b"first")
    assert not write_new(folder / "new.txt", b"second")
    assert (folder / "new.txt").read_bytes() == b"first"
    assert not [name for name in names_in(folder) if name.startswith(".new")]


def test_a_file_that_is_not_there(folder: Place) -> None:
    """Told as of a path; a folder that is not there has no files."""
    with pytest.raises(FileNotFoundError):
        (folder / "absent").read_bytes()
    assert names_in(folder / "nowhere") == frozenset()


def test_one_of_two_writers_at_once_is_first(folder: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have seen that nothing is there: the condition is the store's, not ours."""
    monkeypatch.setattr(Remote, "exists", lambda _: False)
    assert write_new(folder / "both.txt", b"first")
    assert not write_new(folder / "both.txt", b"second")
    assert (folder / "both.txt").read_bytes() == b"first"


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer."""

    def refused(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(places.os, "link", refused)
    assert write_new(tmp_path / "new.txt", b"first")
    assert not write_new(tmp_path / "new.txt", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"new.txt": b"first"}


def test_a_writer_whose_temporary_file_was_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there by somebody else: that is all it wanted."""
    written = Path.write_bytes

    def cleared(self: Path, content: bytes) -> int:
        count = written(self, content)
        written(tmp_path / "new.txt", b"of another")
        places.remove_partial(tmp_path, "new.txt")
        return count

    monkeypatch.setattr(Path, "write_bytes", cleared)
    assert not write_new(tmp_path / "new.txt", b"mine")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"new.txt": b"of another"}


def test_addresses(tmp_path: Path) -> None:
    """Folders, file addresses and stores."""
    assert place_of("data/small") == Path("data/small")
    assert place_of((tmp_path / "with space").as_uri()) == tmp_path / "with space"
    assert place_of("s3://bucket/a/b/") == Remote("s3://bucket/a/b")
    assert (place_of("gs://bucket/a").name, str(place_of("gs://bucket/a") / "c")) == ("a", "gs://bucket/a/c")
    assert place_of(Path("x")) == Path("x")
    assert place_of(Remote("s3://b")) == Remote("s3://b")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("az://box/a", r"no store of kind 'az' is known.*s3://BUCKET/FOLDER or gs://BUCKET/FOLDER"),
        ("s3://", "write s3://BUCKET/FOLDER"),
        ("s3://box//a", "write s3://BUCKET/FOLDER"),
        ("gs://box/../a", "write gs://BUCKET/FOLDER"),
    ],
)
def test_addresses_that_are_none(address: str, told: str) -> None:
    """Told before anything is asked of a store."""
    with pytest.raises(DataError, match=told):
        place_of(address)


def test_no_bucket_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not answer is an error, never an empty folder."""
    with s3_server(), pytest.raises(DataError, match="no such bucket"):
        write_bytes(place_of("s3://nobody/x/a"), b"1")
    fsspec = pytest.importorskip("fsspec")
    with monkeypatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
        }.items():
            patch.setenv(name, value)
        store = fsspec.filesystem("s3", use_listings_cache=False)
        patch.setattr(type(store), "retries", 1, raising=False)
        store.retries = 1
        for ask in (Remote.exists, Remote.read_bytes, Remote.names):
            with pytest.raises(DataError, match=r"s3://box/a: 1 problem\n.*127\.0\.0\.1:9.*check the address"):
                ask(Remote("s3://box/a"))
        fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where fsspec or the package of the store is missing."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UnsupportedError, match=r"s3:// needs s3fs .*pip install learnopt\[cloud\]"):
        Remote("s3://box/a").exists()
