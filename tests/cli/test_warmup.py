"""``learnopt warmup``: every part is solved once; compiling itself takes minutes and is left out here."""

from __future__ import annotations

import contextlib

import pytest
from invocation import invoke

from learnopt.api import warmup
from learnopt.studies.conductors import study
from learnopt.studies.configuration.solve import import_engine


def test_every_part_is_solved(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the folder of the cache is told."""
    asked: list[str] = []
    monkeypatch.setattr(warmup, "everything_compiled", contextlib.nullcontext)
    monkeypatch.setattr(
        warmup, "warm_up", lambda engine, options, *_: asked.append(engine) or import_engine(engine, options)
    )
    monkeypatch.setattr(study, "warm_up", lambda: asked.append("conductors"))
    outcome = invoke(capsys, "warmup", "--json")
    assert outcome.code == 0, outcome.err
    assert asked == ["tree", "tree", "exchange", "enumerate", "conductors"]
    assert outcome.json["compiled"] == [
        "tree search",
        "branch exchange and enumeration",
        "scenarios and horizons",
        "conductors",
    ]
    assert outcome.json["cache"]
