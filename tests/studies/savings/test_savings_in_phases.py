"""Savings of an unbalanced file in all its phases, against every sequence of states with losses by OpenDSS itself."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import HELD, engine
from learnopt.io.opendss.setting import set_switches
from learnopt.network import Certificate, Configuration, Network
from learnopt.studies.savings import by_phases

pytest.importorskip("opendssdirect")
pytestmark = pytest.mark.filterwarnings("ignore:OpenDSS computes the present state differently")
OWN = Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"
SCALES = (0.4, 1.2, 0.5, 0.9)
COST = 0.05


@pytest.fixture(scope="module")
def network() -> Network:
    return learnopt.load(OWN)


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two months, two steps in each."""
    path = tmp_path_factory.mktemp("profile") / "days.csv"
    times = ("2024-01-31T22:00", "2024-01-31T23:00", "2024-02-01T00:00", "2024-02-01T01:00")
    rows = [f"{time},{scale}" for time, scale in zip(times, SCALES, strict=True)]
    path.write_text("\n".join(["time,scale", *rows]) + "\n", encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def states(network: Network) -> list[Configuration]:
    """The present one, which is radial, and all others."""
    ranked = learnopt.solve(network, k_best=5, limits="none").result.alternatives
    present = network.normal_configuration
    return [present, *(one.configuration for one in ranked if one.configuration != present)]


@pytest.fixture(scope="module")
def losses(network: Network, states: list[Configuration]) -> np.ndarray:
    """Loss of each state in each step [kW], shape (n_step, n_state)."""
    found = np.zeros((len(SCALES), len(states)))
    with engine(OWN) as dss:
        dss.Solution.ControlMode(HELD)
        dss.Solution.Convergence(1e-7)
        for t, scale in enumerate(SCALES):
            dss.Text.Command(f"Set LoadMult={scale}")
            for k, state in enumerate(states):
                set_switches(dss, network, state.closed)
                dss.Solution.Solve()
                found[t, k] = float(dss.Circuit.Losses()[0]) / 1e3
    return found


def cheapest(states: list[Configuration], losses: np.ndarray, starts: list[int]) -> float:
    """Least energy and operations of all sequences that change at ``starts`` only [kWh]."""
    best = np.inf
    for choice in product(range(len(states)), repeat=len(starts)):
        at = [choice[sum(t >= start for start in starts) - 1] for t in range(len(SCALES))]
        order = [0, *at]
        moves = sum(int(np.count_nonzero(states[a].closed != states[b].closed)) for a, b in pairwise(order))
        best = min(best, float(sum(losses[t, k] for t, k in enumerate(at))) + COST * moves)
    return best


def test_strategies_are_the_best_of_all_sequences(
    network: Network, profile: str, states: list[Configuration], losses: np.ndarray
) -> None:
    study = learnopt.savings(network, profile, switching_cost=COST, limits="none")
    found = study.result
    assert found.certificate is Certificate.AC
    assert found.candidates == len(states) == 5
    assert "Each of the 5 radial states was solved in every step" in found.message
    assert found["present"].energy_mwh == pytest.approx(losses[:, 0].sum() / 1e3, rel=1e-6)
    for name, starts in (("static", [0]), ("seasonal", [0, 2]), ("hourly", [0, 1, 2, 3])):
        strategy = found[name]
        assert strategy.energy_mwh is not None
        assert strategy.bound_mwh is not None
        total = 1e3 * strategy.energy_mwh + COST * strategy.operations
        assert total == pytest.approx(cheapest(states, losses, starts), rel=1e-6)
        assert strategy.bound_mwh <= strategy.energy_mwh
    assert found["hourly"].bound_mwh == pytest.approx(losses.min(axis=1).sum() / 1e3, rel=1e-6)
    assert found["static"].bound_mwh == pytest.approx(losses.sum(axis=0).min() / 1e3, rel=1e-6)
    assert study.origin.equivalent is False


def test_many_states_are_searched_and_prove_nothing(
    network: Network, profile: str, losses: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits of the file hold: those that every candidate breaks at their present value."""
    monkeypatch.setattr(by_phases, "EVERY_STATE", 1)
    found = learnopt.savings(network, profile, limits="none").result
    assert found.certificate is Certificate.NONE
    assert "too many radial states" in found.message
    assert found["hourly"].energy_mwh == pytest.approx(losses.min(axis=1).sum() / 1e3, rel=1e-6)
    study = learnopt.savings(network, profile, vmin=0.99, proof_time=1.0)
    within = study.result["hourly"]
    assert "pu instead of 0.99" in study.result.message
    assert within.within_limits.all()
    assert within.energy_mwh is not None
    assert found["hourly"].energy_mwh < within.energy_mwh <= study.result["present"].energy_mwh
    assert [one.option for one in study.unused] == ["proof_time"]
    with pytest.raises(learnopt.UnsupportedError, match="keeps no searches"):
        learnopt.savings(network, profile, resume="somewhere")


def test_the_balanced_equivalent_where_it_is_asked_for(network: Network, profile: str) -> None:
    study = learnopt.savings(network, profile, balanced=True, proof_time=0.0)
    assert study.origin.equivalent
