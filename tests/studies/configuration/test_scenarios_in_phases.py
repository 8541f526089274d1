"""Loads of scenarios in all phases, against OpenDSS on the file itself with its loads multiplied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import HELD, engine
from learnopt.io.opendss.setting import set_switches
from learnopt.network import Bools, Network, Scenario, Situations

pytest.importorskip("opendssdirect")
pytestmark = pytest.mark.filterwarnings("ignore:OpenDSS computes the present state differently")
OWN = Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"
SCALES, WEIGHTS = (0.6, 1.2), (0.75, 0.25)


def scaled(net: Network, loads: float, generation: float = 1.0) -> Scenario:
    """All loads and all generation of a network times factors."""
    now = Scenario.nominal(net)
    return replace(
        now,
        p_load=loads * now.p_load,
        q_load=loads * now.q_load,
        p_gen=generation * now.p_gen,
        q_gen=generation * now.q_gen,
        name=f"{loads:g}",
    )


def expected_in_opendss(network: Network, states: Sequence[Bools]) -> list[float]:
    """Expected loss of states [kW]: taps as the present state of the file has them, loads multiplied by OpenDSS."""
    with engine(OWN) as dss:
        dss.Solution.ControlMode(HELD)
        losses = np.zeros((len(SCALES), len(states)))
        for row, scale in zip(losses, SCALES, strict=True):
            dss.Text.Command(f"Set LoadMult={scale}")
            for k, closed in enumerate(states):
                set_switches(dss, network, closed)
                dss.Solution.Solve()
                assert dss.Solution.Converged()
                row[k] = float(dss.Circuit.Losses()[0]) / 1e3
    return [float(value) for value in np.array(WEIGHTS) @ losses]


def test_expected_loss_of_scaled_loads_is_that_of_opendss() -> None:
    """All five radial states of IEEE 123, in the order of their loss: constant power, current, impedance all follow."""
    net = learnopt.load(OWN)
    both = Situations(tuple(scaled(net, scale) for scale in SCALES), np.array(WEIGHTS))
    answer = learnopt.solve(net, scenario=both, k_best=5, limits="none")
    ranked = answer.result.alternatives
    assert len(ranked) == 5
    direct = expected_in_opendss(answer.problem.network, [one.configuration.closed for one in ranked])
    assert [one.loss_kw for one in ranked] == pytest.approx(direct, rel=1e-5)
    assert direct == sorted(direct)
    assert answer.loss_kw == pytest.approx(direct[0], rel=1e-5)


def test_a_load_in_one_phase_stays_in_its_phase(tmp_path: Path) -> None:
    """The load of one bus halved: what is left of it is drawn where it was, as OpenDSS has it after an edit."""
    feeder = (
        "Clear\nNew Circuit.c bus1=b0 basekv=4.16 mvasc3=2000 mvasc1=2100\n"
        "New Line.e1 bus1=b0 bus2=b1 r1=.3 x1=.4 r0=.6 x0=1.2 c1=0 c0=0 length=1\n"
        "New Line.t1 bus1=b0 bus2=b1 switch=yes r1=.3 x1=.4 r0=.6 x0=1.2 c1=0 c0=0 length=1\n"
        "New Load.x bus1=b1.1 phases=1 kv=2.4 kw={} kvar={}\n"
        "New Load.y bus1=b1.2.3 phases=1 conn=delta kv=4.16 kw={} kvar={} model=5\n"
        "New Generator.g bus1=b1.3 phases=1 kv=2.4 kw={} kvar=0 model=1\n"
        "Set VoltageBases=[4.16]\nCalcVoltageBases\nSolve\n"
    )
    full, half = tmp_path / "full.dss", tmp_path / "half.dss"
    full.write_text(feeder.format(200, 60, 0, 0, 40), encoding="utf-8")
    half.write_text(feeder.format(100, 30, 0, 0, 20), encoding="utf-8")
    net = learnopt.load(full)
    now = learnopt.check(net, ["line.t1"], scenario=scaled(net, 0.5, 0.5))
    edited = learnopt.check(half, ["line.t1"])
    assert now.loss_kw == pytest.approx(edited.loss_kw, rel=1e-5)
    assert now.result.phases is not None
    assert edited.result.phases is not None
    assert now.result.phases.unbalance == pytest.approx(edited.result.phases.unbalance, rel=1e-4)
