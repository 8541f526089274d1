"""A horizon of an unbalanced file in all its phases, against all sequences of states with losses by OpenDSS itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.api.horizon_study import HorizonStudy
from learnopt.io.opendss.engine import HELD, engine
from learnopt.io.opendss.setting import set_switches
from learnopt.network import Certificate, Configuration, Network

pytest.importorskip("opendssdirect")
pytestmark = pytest.mark.filterwarnings("ignore:OpenDSS computes the present state differently")
OWN = Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"
SCALES = (0.4, 1.2, 0.5)


@pytest.fixture(scope="module")
def network() -> Network:
    return learnopt.load(OWN)


@pytest.fixture(scope="module")
def states(network: Network) -> list[Configuration]:
    """All five radial states."""
    ranked = learnopt.solve(network, k_best=5, limits="none").result.alternatives
    assert len(ranked) == 5
    return [one.configuration for one in ranked]


@pytest.fixture(scope="module")
def losses(network: Network, states: list[Configuration]) -> np.ndarray:
    """Loss of each state in each step [kW], shape (n_step, n_state), loads multiplied by OpenDSS."""
    found = np.zeros((len(SCALES), len(states)))
    with engine(OWN) as dss:
        dss.Solution.ControlMode(HELD)
        for t, scale in enumerate(SCALES):
            dss.Text.Command(f"Set LoadMult={scale}")
            for k, state in enumerate(states):
                set_switches(dss, network, state.closed)
                dss.Solution.Solve()
                found[t, k] = float(dss.Circuit.Losses()[0]) / 1e3
    return found


def profile(folder: Path) -> str:
    path = folder / "day.csv"
    rows = [f"2024-01-01T{t:02d}:00,{scale}" for t, scale in enumerate(SCALES)]
    path.write_text("\n".join(["time,scale", *rows]) + "\n", encoding="utf-8")
    return str(path)


def cheapest(
    network: Network, states: Sequence[Configuration], losses: np.ndarray, cost: float, cap: int = 99
) -> tuple[float, tuple[int, ...]]:
    """Cost and states of the best of all sequences."""
    normal = network.normal_configuration
    found = []
    for way in product(range(len(states)), repeat=len(losses)):
        steps = [normal, *(states[k] for k in way)]
        moved = sum(int((a.closed != b.closed).sum()) for a, b in pairwise(steps))
        if moved <= cap:
            found.append((cost * moved + sum(losses[t, k] for t, k in enumerate(way)), way))
    return min(found)


@pytest.mark.parametrize(("cost", "cap"), [(0.0, None), (0.3, None), (0.02, None), (0.0, 2), (20.0, None)])
def test_the_plan_is_the_cheapest_sequence_of_states(
    tmp_path: Path, network: Network, states: list[Configuration], losses: np.ndarray, cost: float, cap: int | None
) -> None:
    """Its losses are OpenDSS's, no sequence costs less, and the bound lies below."""
    study = learnopt.horizon(network, profile(tmp_path), switching_cost=cost, max_operations=cap, limits="none")
    least, way = cheapest(network, states, losses, cost, 99 if cap is None else cap)
    assert study.result.objective_kwh == pytest.approx(least, rel=1e-5)
    assert study.result.configurations == tuple(states[k] for k in way)
    own = [losses[t, k] for t, k in enumerate(way)]
    assert [one.loss_kw for one in study.result.evaluations] == pytest.approx(own, rel=1e-5)
    assert study.result.dual_bound_kwh is not None
    assert study.result.dual_bound_kwh <= least * (1 + 1e-6)
    assert study.certificate is Certificate.AC  # all five states of every step were solved
    assert not study.origin.equivalent
    if cost == 0 and cap is None:
        assert study.gap == pytest.approx(0.0, abs=1e-6)


def test_limits_hold_phase_by_phase(tmp_path: Path, network: Network) -> None:
    """One state keeps 0.95 pu in the step of most load; what none keeps is held, strict limits leave no plan."""
    day = profile(tmp_path)
    free = learnopt.horizon(network, day, limits="none")
    assert min(one.min_voltage_pu for one in free.result.evaluations) < 0.95
    kept = learnopt.horizon(network, day, limits="none", vmin=0.95)
    assert min(one.min_voltage_pu for one in kept.result.evaluations) >= 0.95
    held = learnopt.horizon(network, day, limits="none", vmin=0.99)
    assert held.found
    assert "Held at their present value" in held.result.message
    assert min(one.min_voltage_pu for one in held.result.evaluations) < 0.99
    strict = learnopt.horizon(network, day, limits="none", vmin=0.99, strict_limits=True)
    assert not strict.found
    assert "in a phase" in strict.result.message


def test_what_is_not_in_phases_says_so(tmp_path: Path, network: Network) -> None:
    """The balanced equivalent on request: in JSON and above the table; the plan in phases tells of unbalance."""
    day = profile(tmp_path)
    reduced, own = learnopt.horizon(network, day, balanced=True), learnopt.horizon(network, day)
    assert (reduced.to_dict()["balanced_equivalent"], own.to_dict()["balanced_equivalent"]) == (True, False)
    assert all(step["max_unbalance"] > 0 for step in own.to_dict()["plan"])
    assert "figures and proofs are those of the balanced equivalent" in shown(reduced)
    assert "balanced equivalent" not in shown(own)


def shown(study: HorizonStudy) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(study.rendered())
    return " ".join(captured.get().split())
