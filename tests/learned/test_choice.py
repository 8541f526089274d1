"""Engines by name, the learned one among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnopt.engines import SolveOptions
from learnopt.errors import CheckpointError, DataError
from learnopt.learned.choice import engine_of, solver_names
from learnopt.network import Certificate, Network, ReconfigurationProblem
from learnopt.studies.configuration.solve import solve, warm_up

AC = SolveOptions(certify=Certificate.AC)


@pytest.mark.parametrize("name", ["trees", "", "Tree", "annealing"])
def test_unknown_engine_is_bad_input(name: str) -> None:
    """The message lists every name, ``auto`` and ``learned`` included."""
    with pytest.raises(DataError, match="is not an engine: use one of auto, learned, milp") as error:
        engine_of(name)
    assert all(known in str(error.value) for known in solver_names())


def test_missing_checkpoint_is_said(tmp_path: Path) -> None:
    """The learned engine needs weights, and says how to get them."""
    with pytest.raises(CheckpointError, match="learnopt train"):
        engine_of("learned", tmp_path)


def test_learned_by_checkpoint(case33: Network, tiny_checkpoint: Path) -> None:
    """A checkpoint folder, as path or text; certified mode finds the known optimum on a feeder never seen."""
    warm_up(engine_of("learned", tiny_checkpoint), AC)
    for folder in (tiny_checkpoint, str(tiny_checkpoint)):
        result = solve(ReconfigurationProblem.of(case33), engine_of("learned", folder), AC)
        assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
        assert result.certificate is Certificate.AC
        assert result.learned is not None
        assert result.learned.checkpoint == "tiny"
