"""What stands beside a dataset: a card for people and hubs, Croissant for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnopt.dataset.card import CARD, CROISSANT, MEANING, SCHEMAS, describe
from learnopt.dataset.manifest import read_manifest
from learnopt.dataset.store import table


def test_every_column_is_explained() -> None:
    """No column without a meaning, no meaning without a column."""
    assert {kind: list(schema.names) for kind, schema in SCHEMAS.items()} == {k: list(v) for k, v in MEANING.items()}


def test_labelling_writes_both(labelled_dataset: Path) -> None:
    """The card counts what the manifest counts; every file is listed with its checksum."""
    card = (labelled_dataset / CARD).read_text(encoding="utf-8")
    assert card.startswith("---\npretty_name: ")
    assert "license: apache-2.0" in card
    assert "| status optimal | 60 |" in card
    described = json.loads((labelled_dataset / CROISSANT).read_text(encoding="utf-8"))
    manifest = read_manifest(labelled_dataset)
    sums = {each["contentUrl"]: each["sha256"] for each in described["distribution"] if "sha256" in each}
    assert sums == manifest.files
    assert [each["@id"] for each in described["recordSet"]] == list(SCHEMAS)


def test_a_card_of_somebody_else_stays(labelled_dataset: Path, tmp_path: Path) -> None:
    """Only what learnopt wrote is written anew."""
    for path in labelled_dataset.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    written = (tmp_path / CARD).read_bytes()
    describe(tmp_path)
    assert (tmp_path / CARD).read_bytes().replace(tmp_path.name.encode(), b"") == written.replace(
        labelled_dataset.name.encode(), b""
    )
    (tmp_path / CARD).write_text("mine")
    describe(tmp_path)
    assert (tmp_path / CARD).read_text() == "mine"


def test_croissant_is_valid(labelled_dataset: Path) -> None:
    """The reference implementation finds no error in it and reads the labels through it."""
    croissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    dataset = croissant.Dataset(jsonld=str(labelled_dataset / CROISSANT))
    assert not dataset.metadata.ctx.issues.errors
    losses = sorted(row["labels/loss_kw"] for row in dataset.records("labels"))
    assert losses == pytest.approx(sorted(table(labelled_dataset)["loss_kw"].to_pylist()))
