"""Master files that went wrong in the field: what OpenDSS says of them, or a refusal that names the object."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import load, load_with_source
from learnopt.io.opendss.engine import engine
from learnopt.network import Network, ReconfigurationProblem
from learnopt.physics import evaluate

pytest.importorskip("opendssdirect")
CASES = Path(__file__).parents[1] / "data/field_cases"


def loss(network: Network, opened: list[str] | None = None) -> float:
    """Of the judge [kW], in the present state or with these branches open."""
    state = network.normal_configuration if opened is None else network.configuration(opened)
    found = evaluate(ReconfigurationProblem.of(network), state)
    assert found.converged
    return found.loss_kw


@pytest.mark.parametrize(
    ("name", "load_kw", "loss_kw"),
    [
        ("d_status_fixed", 2740, 21.09),  # fixed and exempt loads do not follow LoadMult
        ("d_growth", 3922, 40.85),  # a year, a growth shape for one load and a rate for the others
        ("d_open_load", 3000, 23.78),  # a load that is disconnected
        ("d_xfmr_standby", 2500, 63.6),  # iron losses of a transformer open at one end
    ],
)
def test_the_network_is_that_of_the_file(name: str, load_kw: float, loss_kw: float):
    read = load_with_source(CASES / f"{name}.dss")
    assert read.network.p_load.sum() * read.network.base.kw == pytest.approx(load_kw, abs=1)
    assert loss(read.network) == pytest.approx(loss_kw, rel=1e-3)
    assert not read.explained


def test_the_standby_transformer_stays_energised_whatever_is_switched():
    network = load(CASES / "d_xfmr_standby.dss")
    assert loss(network, ["transformer.t2", "line.b"]) == pytest.approx(50.9, abs=0.1)


def test_single_wire_earth_return():
    read = load_with_source(CASES / "d_swer.dss")
    assert loss(read.network) == pytest.approx(1.686, rel=5e-3)
    assert any("imbalance" in one for one in read.explained)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("d_fault", "fault.f1"),
        ("d_open_phase", "line.b is open in phase 2"),
        ("d_fuse_open", "line.c is open in phase 1"),
    ],
)
def test_what_is_no_balanced_state_is_refused_by_name(name: str, said: str):
    with pytest.raises(UnsupportedError, match=said):
        load(CASES / f"{name}.dss")


def test_a_file_that_writes_is_refused_and_writes_nothing(tmp_path: Path):
    shutil.copy(CASES / "evil2.dss", tmp_path)
    (tmp_path / "victim.txt").write_text("precious")
    with pytest.raises(DataError, match=r"line 8: Export"):
        load(tmp_path / "evil2.dss")
    assert (tmp_path / "victim.txt").read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 2


SHAPED = (
    "Clear\nNew Circuit.c basekv=11 bus1=s mvasc3=500 mvasc1=500\n"
    "New Loadshape.d npts=3 interval=1 mult=(0.1 0.5 0.2)\n"
    "New Line.a bus1=s bus2=a r1=0.3 x1=0.3 r0=0.3 x0=0.3 c1=0 c0=0 length=3\n"
    "New Load.a bus1=a kv=11 kw={} kvar=300 vminpu=0.01 vlowpu=0.001 daily=d\nNew Load.b bus1=a kv=11 kw=100 kvar=0\n"
    "Set voltagebases=[11]\nCalcvoltagebases\nSet mode=daily number=24\nSolve\n"
)


@pytest.mark.parametrize(("hour", "kw"), [(None, 1100), (1, 200), (2, 600), (3, 300)])
def test_an_hour_of_the_load_shapes(hour: float | None, kw: float, tmp_path: Path):
    path = tmp_path / "shaped.dss"
    path.write_text(SHAPED.format(1000))
    read = load_with_source(path, hour)
    assert read.network.p_load.sum() * read.network.base.kw == pytest.approx(kw, rel=1e-5)
    assert read.source is not None
    state = read.source.state(read.network, read.network.normal_configuration)
    assert state.load_kw == pytest.approx(kw, rel=1e-5)
    assert sum(state.heads_kw.values()) == pytest.approx(kw + state.loss_kw, rel=1e-5)
    assert state.loss_kw == pytest.approx(loss(read.network), rel=1e-5)
    assert any("option hour" in note for note in read.notes) is (hour is None)


def test_a_snapshot_without_power_flow_asks_for_an_hour(tmp_path: Path):
    path = tmp_path / "shaped.dss"
    path.write_text(SHAPED.format(100000))
    with pytest.raises(DataError, match="option hour"):
        load(path)
    assert load(path, hour=1).p_load.sum() > 0
    with pytest.raises(DataError, match="8784"):
        load(path, hour=-1)
    with pytest.raises(DataError, match="an hour belongs to an OpenDSS file"):
        load("case33", hour=1)


REGULATED = (
    "Clear\nNew Circuit.c basekv=11 bus1=s mvasc3=2000 mvasc1=2000\n"
    "New Line.a bus1=s bus2=a r1=0.3 x1=0.3 r0=0.3 x0=0.3 c1=0 c0=0 length=3\n"
    "New Line.b bus1=r bus2=b r1=0.3 x1=0.3 r0=0.3 x0=0.3 c1=0 c0=0 length=2\n"
    "New Load.b bus1=b kv=11 kw=1500 kvar=400 vminpu=0.7 vmaxpu=1.2\n"
)
UNIT = (
    "New Transformer.r{0} phases=1 buses=[a.{0} r.{0}] kvs=[6.351 6.351] kvas=[2000 2000] xhl=1 %r=0.1 taps=[1 {1}]\n"
)
JUMPER = "New Line.j phases={1} bus1=a.{0} bus2=r.{0} r1=1e-4 x1=1e-4 r0=1e-4 x0=1e-4 c1=0 c0=0 length=1 {2}\n"
ENDING = "Set voltagebases=[11]\nCalcvoltagebases\nSolve\n"


def test_a_high_tap_is_no_other_connection(tmp_path: Path):
    """A winding at 1.0875 of the voltage between phases is nearer to 0.94 of 2 / sqrt(3) of it than to 1."""
    path = tmp_path / "high.dss"
    path.write_text(
        REGULATED + "New Transformer.r buses=[a r] conns=[delta delta] kvs=[11 11] kvas=[6000 6000] xhl=1 %r=0.1 "
        "taps=[1 1.0875]\n" + "New Capacitor.c bus1=r kv=11 kvar=30\n" + ENDING
    )
    read = load_with_source(path)
    assert read.source is not None
    theirs = read.source.state(read.network, read.network.normal_configuration)
    assert loss(read.network) == pytest.approx(theirs.loss_kw, rel=1e-5)


def test_phases_without_a_regulator_go_by_their_jumper(tmp_path: Path):
    path = tmp_path / "jumper.dss"
    path.write_text(REGULATED + UNIT.format(1, 1.05) + JUMPER.format("2.3", 2, "") + ENDING)
    read = load_with_source(path)
    e = read.network.branch_index["transformer.r1"]
    assert read.network.ratio[e] == pytest.approx((1 / 1.05 + 2) / 3)
    assert any("different taps" in one for one in read.explained)
    assert read.source is not None
    theirs = read.source.state(read.network, read.network.normal_configuration)
    assert loss(read.network) == pytest.approx(theirs.loss_kw, rel=2e-3)


def test_a_closed_bypass_of_a_regulator_off_neutral_is_refused(tmp_path: Path):
    path = tmp_path / "bypass.dss"
    units = "".join(UNIT.format(k, 1.05) for k in (1, 2, 3))
    path.write_text(REGULATED + units + JUMPER.format("1.2.3", 3, "switch=yes") + ENDING)
    with pytest.raises(UnsupportedError, match=r"line\.j is closed across"):
        load(path)
    path.write_text(REGULATED + units + JUMPER.format("1.2.3", 3, "switch=yes") + "Open Line.j 1\n" + ENDING)
    assert load(path).n_branch == 5


def test_a_switch_with_one_phase_open_is_refused_line_by_line(tmp_path: Path):
    path = tmp_path / "phases.dss"
    single = "".join(
        f"New Line.k{k} phases=1 bus1=a.{k} bus2=r.{k} r1=0.1 x1=0.1 r0=0.1 x0=0.1 c1=0 c0=0 length=1\n"
        for k in (1, 2, 3)
    )
    path.write_text(REGULATED + single + "Open Line.k2 1\n" + ENDING)
    with pytest.raises(UnsupportedError, match=r"line\.k2 is open and line\.k1 beside it is closed"):
        load(path)


@pytest.mark.parametrize(
    ("element", "named"),
    [
        ("New Isource.i bus1=b amps=10", "isource.i"),
        ("New Generator.pv bus1=b kv=11 kw=100 model=3", "generator.pv"),
        ("New VCCS.v bus1=b phases=1", "vccs.v"),
        ("New IndMach012.m bus1=b kv=11 kw=100 kva=150", "indmach012.m"),
        ("New UPFC.u bus1=a.1 bus2=b.1 phases=1 refkv=6.35", "upfc.u"),
        ("New Capacitor.s bus1=b bus2=z kvar=600 kv=11", "capacitor.s"),
        ("New Fault.f bus1=b r=40", "fault.f"),
    ],
)
def test_classes_that_are_not_modelled_are_refused_by_name(element: str, named: str, tmp_path: Path):
    path = tmp_path / "classes.dss"
    through = JUMPER.format("1.2.3", 3, "")
    path.write_text(REGULATED + through + element + "\n" + ENDING)
    with pytest.raises(UnsupportedError, match=named):
        load(path)
    path.write_text(REGULATED + through + element + " enabled=no\n" + ENDING)
    assert loss(load(path)) > 0


def test_phase_angles_of_transformers_and_sources(tmp_path: Path):
    path = tmp_path / "angles.dss"
    path.write_text(
        "Clear\nNew Circuit.c basekv=110 bus1=hv mvasc3=2000 mvasc1=2000 angle=25\n"
        "New Transformer.t buses=[hv mv] conns=[delta wye] kvs=[110 11] kvas=[10000 10000] xhl=8 %r=0.3\n"
        "New Transformer.u buses=[mv lv.2.3.1] conns=[wye wye] kvs=[11 0.4] kvas=[1000 1000] xhl=4 %r=0.3\n"
        "New Load.b bus1=lv kv=0.4 kw=300 kvar=0\nSet voltagebases=[110 11 0.4]\nCalcvoltagebases\nSolve\n"
    )
    network = load(path)
    shift = np.degrees(network.shift)
    assert shift[network.branch_index["transformer.t"]] == pytest.approx(30)
    assert abs(shift[network.branch_index["transformer.u"]]) == pytest.approx(120)
    assert np.degrees(network.substation_va) == pytest.approx([25])


def test_conductors_beyond_three_phases_are_refused_by_name(tmp_path: Path):
    path = tmp_path / "second.dss"
    second = "New Load.six bus1=r.4.5.6 kv=11 kw=10 kvar=1\nNew Vsource.two bus1=a.4.5.6 basekv=11\n"
    second += "New Line.second phases=3 bus1=a.4.5.6 bus2=r.4.5.6 r1=0.1 x1=0.1 r0=0.1 x0=0.1 c1=0 c0=0 length=1\n"
    path.write_text(REGULATED + JUMPER.format("1.2.3", 3, "") + second + ENDING)
    with pytest.raises(UnsupportedError, match=r"(line\.second|load\.six) is connected to node 6"):
        load(path)


def test_opened_elements_are_disabled_before_the_solution() -> None:
    """What is open in all phases draws nothing, and OpenDSS must not compute currents for it (now and then NaN)."""
    with engine(CASES / "d_open_load.dss") as dss:
        enabled = {name: _enabled(dss, f"Load.{name}") for name in dss.Loads.AllNames()}
    assert sorted(enabled.values()).count(False) == 1
    with engine(CASES / "d_growth.dss") as dss:
        assert all(_enabled(dss, f"Load.{name}") for name in dss.Loads.AllNames())
    assert any(
        "disconnected (Open) and left out: load." in n for n in load_with_source(CASES / "d_open_load.dss").notes
    )


def _enabled(dss: Any, name: str) -> bool:
    dss.Circuit.SetActiveElement(name)
    return bool(dss.CktElement.Enabled())
