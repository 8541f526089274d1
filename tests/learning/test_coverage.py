"""What a calibration covers, read from the card: nothing that is not stated."""

from __future__ import annotations

from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.learning.coverage import CALIBRATED_ON, Coverage


def described(limits: str = "none", charging: bool = False, share: float = 0.4) -> dict:
    scenario = {"generation_probability": 0.3, "generation_share": [0.05, share]}
    return {"limits": limits, "charging": charging, "config": {"scenario": scenario}}


def test_reference_checkpoint_knows_loads_and_generation_only() -> None:
    """Calibrated without limits and charging, with generation up to 60 % of the load."""
    assert Coverage.of(load_card("reference").data) == Coverage(charging=False, limits=False, generation=0.6)
    assert load_checkpoint("reference").coverage.generation == 0.6


def test_several_datasets_cover_what_each_has() -> None:
    """One dataset without charging is enough for it not to be covered."""
    both = {CALIBRATED_ON: {"a": described("file", True, 0.6), "b": described("file", False, 0.2), "pairs": {}}}
    assert Coverage.of(both | described()) == Coverage(charging=False, limits=True, generation=0.2)
    assert Coverage.of({"a": described("file", True)}) == Coverage(charging=True, limits=True, generation=0.4)


def test_what_is_not_stated_is_not_covered() -> None:
    """An empty card covers topology only."""
    assert Coverage.of({}) == Coverage()
    assert Coverage.of({"limits": "file", "config": {}}) == Coverage(limits=True)
