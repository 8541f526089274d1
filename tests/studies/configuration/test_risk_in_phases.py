"""Worst case, CVaR and their price in all phases, against every radial state in every scenario by OpenDSS."""

from __future__ import annotations

import numpy as np
import pytest
from partial_networks import partial_case, radial_states

import learnopt
from learnopt.io.case_json import network_from_dict
from learnopt.network import Certificate, Network, Status
from learnopt.studies.configuration.risk import Risk, risk_of

pytest.importorskip("opendssdirect")
SCALES = np.array([[1.0, 1.0, 1.0], [2.5, 0.2, 1.4], [0.3, 2.4, 0.5], [1.2, 1.1, 2.6]])
WEIGHTS = np.array([4.0, 2.0, 1.0, 1.0])


@pytest.fixture(autouse=True)
def without_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnopt.io.opendss.engine.rehearse", lambda _commands: None)


def scenarios(network: Network) -> list[dict[str, object]]:
    """Loads of every bus times a factor, which differs from bus to bus."""
    found = []
    p, q = network.base.kw * network.p_load, network.base.kw * network.q_load
    for k, (factors, weight) in enumerate(zip(SCALES, WEIGHTS, strict=True)):
        loads = {
            str(bus): {"p_kw": p[i] * factors[i % 3], "q_kvar": q[i] * factors[i % 3]}
            for i, bus in enumerate(network.bus_ids)
            if p[i]
        }
        found.append({"name": f"s{k}", "weight": float(weight), "loads": loads})
    return found


def losses_of_states(solution: learnopt.Solution, states: list[frozenset[str]]) -> np.ndarray:
    """Shape (n_state, n_scenario) [kW]."""
    ids = solution.problem.network.branch_ids
    found = np.empty((len(states), len(SCALES)))
    with solution.question.imported.circuits(solution.problem) as circuits:
        for s, circuit in enumerate(circuits):
            for k, out in enumerate(states):
                with circuit.closely(1e-7):
                    assert circuit.solve(np.array([str(branch) not in out for branch in ids]))
                found[k, s] = circuit.loss_kw
    return found


@pytest.mark.parametrize("seed", [3, 5])
@pytest.mark.parametrize(("risk", "level"), [("worst", 0.9), ("cvar", 0.6), ("expected", 0.9)])
def test_risk_is_that_of_brute_force(seed: int, risk: str, level: float) -> None:
    case = partial_case(seed)
    assert case is not None
    network = network_from_dict(case, "case")
    options = {} if risk != "cvar" else {"risk_level": level}
    solution = learnopt.solve(network, scenario={"scenarios": scenarios(network)}, risk=risk, limits="none", **options)
    states = list(radial_states(case))
    losses = losses_of_states(solution, states)
    weights = WEIGHTS / WEIGHTS.sum()
    each = [risk_of(row, weights, Risk(risk), level) for row in losses]
    found, summary = solution.result, solution.result.risk
    assert found.phases is not None
    assert frozenset(map(str, solution.open_branches or [])) in states
    assert found.objective_kw == pytest.approx(min(each), rel=1e-6)
    assert (found.status, found.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert found.dual_bound_kw == pytest.approx(min(each), rel=1e-6)
    assert summary is not None
    alone = float(weights @ losses.min(axis=0))
    assert summary.perfect_information_kw == pytest.approx(float((losses @ weights).min()) - alone, abs=1e-5)


def test_a_worst_case_that_the_scenarios_ask_for_is_in_phases_too() -> None:
    case = partial_case(5)
    assert case is not None
    network = network_from_dict(case, "case")
    problem = learnopt.problem(network, {"scenarios": scenarios(network)}, limits="none").judged_by("worst")
    solution = learnopt.solve(problem, certify="model")
    worst = losses_of_states(solution, list(radial_states(case))).max(axis=1)
    assert solution.result.phases is not None
    assert solution.result.certificate is Certificate.MODEL
    assert solution.result.objective_kw == pytest.approx(worst.min(), rel=1e-6)
    with pytest.raises(learnopt.UnsupportedError, match="worst case in all phases"):
        learnopt.solve(problem, k_best=2)
