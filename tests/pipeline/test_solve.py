"""One door to every engine: the rule of ``auto`` says why, and unknown names are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnopt.engines import SolveOptions
from learnopt.errors import CheckpointError, DataError
from learnopt.network import Certificate, Network, ReconfigurationProblem, Status
from learnopt.pipeline.solve import choose_engine, solve, solver_names, warm_up

AC, MODEL, NONE = (SolveOptions(certify=certificate) for certificate in Certificate)


def generating(network: Network) -> ReconfigurationProblem:
    """Every second load bus feeds back."""
    problem = ReconfigurationProblem.of(network)
    p_gen = np.where(np.arange(network.n_bus) % 2 == 1, 2 * network.p_load, 0.0)
    return problem.replace(scenario=replace(problem.scenario, p_gen=p_gen))


@pytest.mark.parametrize(
    ("options", "generation", "engine", "certify", "reason"),
    [
        (SolveOptions(), False, "tree", Certificate.AC, "loads only"),
        (SolveOptions(), True, "milp", Certificate.AC, "negative active load"),
        (AC, False, "tree", Certificate.AC, "loads only"),
        (AC, True, "milp", Certificate.AC, "negative active load"),
        (MODEL, True, "tree", Certificate.MODEL, "model certificate"),
        (NONE, False, "exchange", Certificate.NONE, "no proof"),
    ],
)
def test_auto_chooses_and_says_why(
    case33: Network, options: SolveOptions, generation: bool, engine: str, certify: Certificate, reason: str
) -> None:
    """The engine, the certificate it is asked for, and a reason that names what decided."""
    problem = generating(case33) if generation else ReconfigurationProblem.of(case33)
    name, chosen, why = choose_engine(problem, options)
    assert (name, chosen.certify) == (engine, certify)
    assert reason in why


def test_auto_keeps_the_other_options(case33: Network) -> None:
    """Gap, time limit and seed pass through."""
    wanted = SolveOptions(gap=1e-3, time_limit=7.0, seed=5)
    _, options, _ = choose_engine(ReconfigurationProblem.of(case33), wanted)
    assert options == replace(wanted, certify=Certificate.AC)


def test_auto_result_names_engine_and_reason(triangle: Network) -> None:
    """The message starts with the choice; engine and proof are those of the engine that ran."""
    result = solve(ReconfigurationProblem.of(triangle))
    assert result.message.startswith("auto chose tree: loads only")
    assert (result.engine, result.status, result.certificate) == ("tree", Status.OPTIMAL, Certificate.AC)


@pytest.mark.parametrize("name", ["trees", "", "Tree", "annealing"])
def test_unknown_engine_is_bad_input(triangle: Network, name: str) -> None:
    """The message lists every name, ``auto`` and ``learned`` included."""
    with pytest.raises(DataError, match="is not an engine: use one of auto, learned, milp") as error:
        solve(ReconfigurationProblem.of(triangle), name)
    assert all(known in str(error.value) for known in solver_names())


def test_missing_checkpoint_is_said(triangle: Network, tmp_path: Path) -> None:
    """The learned engine needs weights, and says how to get them."""
    with pytest.raises(CheckpointError, match="learnopt train"):
        solve(ReconfigurationProblem.of(triangle), "learned", checkpoint=tmp_path)


@pytest.mark.parametrize("engine", ["auto", "milp", "tree", "enumerate", "exchange"])
def test_every_engine_answers_by_name(engine: str, triangle: Network) -> None:
    """Three configurations, one best, also after a warm-up, which any options survive."""
    for options in (SolveOptions(), SolveOptions(time_limit=1e-6), NONE):
        warm_up(engine, options)
    result = solve(ReconfigurationProblem.of(triangle), engine)
    assert triangle.open_ids(result.configuration) == [2]


def test_learned_by_checkpoint(case33: Network, tiny_checkpoint: Path) -> None:
    """A checkpoint folder, as path or text; certified mode finds the known optimum on a feeder never seen."""
    warm_up("learned", AC, tiny_checkpoint)
    for folder in (tiny_checkpoint, str(tiny_checkpoint)):
        result = solve(ReconfigurationProblem.of(case33), "learned", AC, checkpoint=folder)
        assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
        assert result.certificate is Certificate.AC
        assert result.learned is not None
        assert result.learned.checkpoint == "tiny"
