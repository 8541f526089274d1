"""Regulators and capacitors set by phase with the switches, against OpenDSS told every setting by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import HELD, engine
from learnopt.io.opendss.setting import set_switches
from learnopt.network import Certificate, Network, PhaseSetting, Status

pytest.importorskip("opendssdirect")
pytestmark = pytest.mark.filterwarnings("ignore:OpenDSS computes the present state differently")
OWN = Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"
LINE = "r1=.3 x1=.4 r0=.6 x0=1.2 c1=0 c0=0 length=2"
REGULATED = f"""Clear
New Circuit.feeder basekv=12.47 pu=1.0 phases=3 bus1=sub mvasc3=2000 mvasc1=2000
New Line.a bus1=sub bus2=n1 {LINE}
New Line.b bus1=n1 bus2=n2 {LINE} switch=yes
New Line.c bus1=n3 bus2=n4 {LINE} switch=yes
New Line.t bus1=n2 bus2=n4 {LINE} switch=yes
{{units}}
New Load.x1 bus1=n1 kv=12.47 kw=600 kvar=400 vminpu=0.7
New Load.x2 bus1=n2 kv=12.47 kw=900 kvar=500 vminpu=0.7
New Load.x3 bus1=n4.1 phases=1 kv=7.2 kw=500 kvar=200 vminpu=0.7
New Load.x4 bus1=n4.2 phases=1 kv=7.2 kw=200 kvar=200 model=2 vminpu=0.7
New Load.x5 bus1=n4.3 phases=1 kv=7.2 kw=300 kvar=100 vminpu=0.7
New Capacitor.q bus1=n2 phases=3 kv=12.47 kvar=900 numsteps=3 states=[1 0 0]
Set voltagebases=[12.47]
CalcVoltageBases
Open Line.t 1
Solve
"""
UNITS = "\n".join(
    f"New Transformer.r{p} phases=1 windings=2 buses=[n1.{k} n3.{k}] kvs=[7.2 7.2] kvas=[3000 3000] xhl=.1 numtaps=4\n"
    f"New RegControl.r{p} transformer=r{p} winding=2 vreg=120 band=4 ptratio=60"
    for k, p in enumerate("abc", 1)
)


@pytest.fixture(autouse=True)
def without_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnopt.io.opendss.engine.rehearse", lambda _commands: None)


@contextmanager
def circuit(path: Path) -> Iterator[Any]:
    """The file in a context of its own."""
    with engine(path) as dss:
        dss.Solution.ControlMode(HELD)
        dss.Solution.Convergence(1e-7)
        dss.Solution.MaxIterations(500)
        yield dss


def told(dss: Any, network: Network, closed: np.ndarray, settings: dict[str, int]) -> tuple[float, float]:
    """Loss [kW] and highest voltage [pu] with switches and devices set by OpenDSS's own commands."""
    for element, position in settings.items():
        kind, name = element.split(".")
        if kind == "transformer":
            dss.Transformers.Name(name)
            dss.Transformers.Wdg(2)
            share = (dss.Transformers.MaxTap() - dss.Transformers.MinTap()) / dss.Transformers.NumTaps()
            dss.Text.Command(f"Transformer.{name}.wdg=2 tap={1 + position * share!r}")
        else:
            dss.Capacitors.Name(name)
            steps = [int(k < position) for k in range(dss.Capacitors.NumSteps())]
            dss.Text.Command(f"Capacitor.{name}.states=({' '.join(map(str, steps))})")
    set_switches(dss, network, closed)
    dss.Solution.Solve()
    assert dss.Solution.Converged()
    return float(dss.Circuit.Losses()[0]) / 1e3, max(dss.Circuit.AllBusMagPu())


def positions(settings: tuple[PhaseSetting, ...]) -> dict[str, int]:
    return {one.element: one.position for one in settings}


def test_every_state_with_every_setting(tmp_path: Path) -> None:
    """Three regulators of five positions in a loop, a bank of three steps: 1500 pairs, each told to OpenDSS anew."""
    path = tmp_path / "feeder.dss"
    path.write_text(REGULATED.format(units=UNITS), encoding="utf-8")
    solution = learnopt.solve(path, controls="taps,capacitors", vmax=1.06)
    found, phases = solution.result, solution.result.phases
    assert phases is not None
    assert (found.status, found.certificate) == (Status.OPTIMAL, Certificate.AC)
    assert "Each of 1500 pairs" in found.message
    assert found.configuration is not None
    own = positions(phases.controls)
    assert set(own) == {"transformer.ra", "transformer.rb", "transformer.rc", "capacitor.q"}
    net = solution.problem.network
    best = np.inf
    with circuit(path) as dss:
        assert told(dss, net, found.configuration.closed, own)[0] == pytest.approx(found.loss_kw, rel=1e-6)
        for opened, *numbers in product(("line.b", "line.c", "line.t"), *3 * [range(-2, 3)], range(4)):
            closed = np.ones(net.n_branch, dtype=bool)
            closed[net.branch_index[opened]] = False
            loss, highest = told(dss, net, closed, dict(zip([*sorted(own)[1:], "capacitor.q"], numbers, strict=True)))
            best = min(best, loss if highest <= 1.06 else np.inf)
    assert found.loss_kw == pytest.approx(best, rel=1e-6)
    steps = solution.operations
    assert not steps or steps[-1].loss_kw == pytest.approx(found.loss_kw, rel=1e-5)


def test_capacitors_of_ieee_123() -> None:
    """Sixteen settings of four banks, five states, all told to OpenDSS by hand."""
    solution = learnopt.solve(OWN, controls="capacitors", limits="none")
    found, phases, net = solution.result, solution.result.phases, solution.problem.network
    assert phases is not None
    assert found.configuration is not None
    assert found.certificate is Certificate.AC
    assert "no capacitors" not in " ".join(solution.notes)
    own = positions(phases.controls)
    with circuit(OWN) as dss:
        best = min(
            told(dss, net, found.configuration.closed, dict(zip(own, states, strict=True)))[0]
            for states in product((0, 1), repeat=4)
        )
    assert found.loss_kw == pytest.approx(best, rel=1e-6)
    assert found.dual_bound_kw == pytest.approx(best, rel=1e-6)


def test_taps_by_phase_of_ieee_123_prove_nothing_and_break_no_limit() -> None:
    """Seven regulators of 33 positions: no move of one, or of all, is better; nothing is claimed beyond that."""
    plain = learnopt.solve(OWN, vmax=1.06)
    solution = learnopt.solve(OWN, controls="taps", vmax=1.06)
    found, phases, net = solution.result, solution.result.phases, solution.problem.network
    assert phases is not None
    assert found.configuration is not None
    assert (found.certificate, found.dual_bound_kw) == (Certificate.NONE, None)
    assert found.loss_kw is not None
    assert plain.loss_kw is not None
    assert found.loss_kw < plain.loss_kw
    own = positions(phases.controls)
    assert len(own) == 7
    with circuit(OWN) as dss:
        loss, highest = told(dss, net, found.configuration.closed, own)
        moved = {element: [own[element] - 1, own[element] + 1] for element in own}
        others = [
            told(dss, net, found.configuration.closed, own | {element: to})
            for element, ends in moved.items()
            for to in ends
            if abs(to) <= 16
        ]
    assert loss == pytest.approx(found.loss_kw, rel=1e-5)
    assert highest <= 1.0601
    assert all(other > loss * (1 - 1e-6) or high > 1.06 for other, high in others)
    assert solution.to_dict()["phases"]["controls"][0]["element"].startswith("transformer.reg")
