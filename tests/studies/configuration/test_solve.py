"""One door to every engine: the rule of ``auto`` says why, and unknown names are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from learnopt.engines import SolveOptions
from learnopt.network import Certificate, Network, ReconfigurationProblem, Status
from learnopt.studies.configuration.solve import choose_engine, solve, warm_up

AC, MODEL, NONE = (SolveOptions(certify=certificate) for certificate in Certificate)


def generating(network: Network) -> ReconfigurationProblem:
    """Every second load bus feeds back."""
    problem = ReconfigurationProblem.of(network)
    p_gen = np.where(np.arange(network.n_bus) % 2 == 1, 2 * network.p_load, 0.0)
    return problem.under(replace(problem.scenario, p_gen=p_gen))


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


@pytest.mark.parametrize("engine", ["auto", "milp", "tree", "enumerate", "exchange"])
def test_every_engine_answers_by_name(engine: str, triangle: Network) -> None:
    """Three configurations, one best, also after a warm-up, which any options survive."""
    for options in (SolveOptions(), SolveOptions(time_limit=1e-6), NONE):
        warm_up(engine, options)
    result = solve(ReconfigurationProblem.of(triangle), engine)
    assert triangle.open_ids(result.configuration) == [2]
