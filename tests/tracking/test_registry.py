"""A checkpoint by its address in MLflow: found, cached, usable offline; told what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from learnopt.errors import CheckpointError, DataError
from learnopt.learned.choice import engine_of
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.tracking import CHAMPION, Store, checkpoint_folder, is_address, registry, track_run
from learnopt.tracking.registry import Version, find_version, move_alias, origin_of

pytestmark = pytest.mark.usefixtures("user_folders")


@pytest.fixture(scope="module")
def models(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with two versions of a model, the first of them champion; and the run that logged them."""
    folder = tmp_path_factory.mktemp("models")
    copy = shutil.copytree(tiny_checkpoint, folder / "checkpoint")
    with track_run(folder, "test", "trained") as run:
        run.log_checkpoint(copy)
        run.log_model(copy, {"data": "small"})
        run.log_model(copy)
    move_alias(Store.of(folder), Version("learnopt", "1"), CHAMPION, {"champion.because": "It is the first."})
    return folder, run.run_id


def test_every_address_leads_to_the_checkpoint(
    models: tuple[Path, str], tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alias, version, the newest, a model of a run and a folder of a run, wherever a checkpoint is taken."""
    folder, run_id = models
    monkeypatch.setenv("MLFLOW_TRACKING_URI", Store.of(folder).uri)
    card = load_card(tiny_checkpoint)
    for address in (
        "models:/learnopt@champion",
        "models:/learnopt/2",
        "models:/learnopt/latest",
        f"runs:/{run_id}/model",
        f"runs:/{run_id}/checkpoint",
    ):
        assert is_address(address)
        found = checkpoint_folder(address)
        assert load_card(found) == card
        assert origin_of(found, Store.of(folder)) == run_id
    assert load_checkpoint("models:/learnopt@champion").name == "tiny"
    assert engine_of("learned", "models:/learnopt@champion").predictor.name == "tiny"  # type: ignore[union-attr]
    assert engine_of("learned", Path("models:/learnopt@champion")).predictor.name == "tiny"  # type: ignore[union-attr]


def test_an_alias_is_asked_for_and_a_run_is_not(models: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stays what it is; an alias leads elsewhere as soon as it is moved. What is here is not fetched again."""
    store = Store.of(models[0])
    first = checkpoint_folder("models:/learnopt@champion", store)
    move_alias(store, Version("learnopt", "2"), "other", {})
    second = checkpoint_folder("models:/learnopt@other", store)
    assert first != second
    move_alias(store, Version("learnopt", "1"), "other", {})
    assert checkpoint_folder("models:/learnopt@other", store) == first
    of_run = checkpoint_folder(f"runs:/{models[1]}/model", store)
    monkeypatch.setattr(Store, "current", None)
    assert checkpoint_folder("models:/learnopt/2", store) == second
    monkeypatch.setattr(Store, "client", None)
    assert checkpoint_folder(f"runs:/{models[1]}/model", store) == of_run


def test_a_store_that_is_made_anew_has_other_versions(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first version is not the first version of the store before, neither by number nor by alias."""
    store, found = Store.of(tmp_path / "runs"), []
    for name in ("before", "after"):
        copy = shutil.copytree(tiny_checkpoint, tmp_path / name)
        card = json.loads((copy / "card.json").read_text())
        (copy / "card.json").write_text(json.dumps({**card, "name": name}))
        with track_run(store, "test", name) as run:
            run.log_model(copy)
        move_alias(store, Version("learnopt", "1"), CHAMPION, {})
        addresses = ("models:/learnopt/1", "models:/learnopt@champion", "models:/learnopt/latest")
        found.append([load_card(checkpoint_folder(address, store)).name for address in addresses])
        with store.client() as client:
            client.delete_registered_model("learnopt")
    assert found == [["before"] * 3, ["after"] * 3]


def test_offline_the_last_known_version_is_used_and_said(
    models: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The store is away: what the alias named last is taken from the cache; what was never fetched is an error."""
    store = Store.of(models[0])
    folder = checkpoint_folder("models:/learnopt@champion", store)

    def away(*_: object) -> None:
        raise DataError("MLflow store", ["cannot be used"])

    assert checkpoint_folder("models:/learnopt/1", store) == folder
    monkeypatch.setattr(registry, "find_version", away)
    assert checkpoint_folder("models:/learnopt/1", store) == folder
    assert checkpoint_folder("models:/learnopt@champion", store) == folder
    assert "does not answer: models:/learnopt@champion is version 1, the last known" in caplog.text
    with pytest.raises(CheckpointError, match="no version of it is cached here"):
        checkpoint_folder("models:/learnopt@unheard", store)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("models:/learnopt", "names no checkpoint in MLflow: write models:/NAME@ALIAS"),
        ("models:/learnopt@nobody", "no model 'learnopt' with alias 'nobody': `learnopt promote` sets it"),
        ("models:/absent/latest", "no model 'absent' with version 'latest'"),
        ("models:/learnopt/77", "no model 'learnopt' with version '77'"),
        ("runs:/0123/model", "cannot be fetched from MLflow store"),
    ],
)
def test_what_is_not_there_is_told(models: tuple[Path, str], address: str, told: str) -> None:
    """Each address that leads nowhere has a sentence of its own."""
    with pytest.raises(CheckpointError, match=told):
        checkpoint_folder(address, Store.of(models[0]))


def test_no_store_is_made_by_asking(tmp_path: Path) -> None:
    """A folder without a store is told and left as it is."""
    with pytest.raises(CheckpointError, match=r"there is no MLflow store in .*set MLFLOW_TRACKING_URI"):
        checkpoint_folder("models:/learnopt@champion", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_versions_by_number_alias_and_age(models: tuple[Path, str]) -> None:
    """None where there is no such version."""
    store = Store.of(models[0])
    found = [find_version(store, "learnopt", which) for which in ("1", CHAMPION, "latest", "9", "nobody")]
    assert [each and each.number for each in found] == ["1", "1", "2", None, None]


def test_a_version_says_which_logged_model_it_is(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tracking server refuses a version that does not, a database takes it; nothing of MLflow's is printed."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    made: list[tuple[Any, Any]] = []
    create = SqlAlchemyStore.create_model_version

    def record(self: Any, name: str, source: str, *given: Any, model_id: str | None = None, **more: Any) -> Any:
        made.append((source, model_id))
        return create(self, name, source, *given, model_id=model_id, **more)

    monkeypatch.setattr(SqlAlchemyStore, "create_model_version", record)
    with track_run(tmp_path, "test", "one") as run:
        run.log_model(tiny_checkpoint)
    ((source, model_id),) = made
    assert model_id
    assert model_id in source
    assert "".join(capsys.readouterr()) == ""
