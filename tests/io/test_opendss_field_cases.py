"""Master files that went wrong in the field: what OpenDSS says of them, or a refusal that names the object."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import load, load_with_source
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
    assert any("--hour" in note for note in read.notes) is (hour is None)


def test_a_snapshot_without_power_flow_asks_for_an_hour(tmp_path: Path):
    path = tmp_path / "shaped.dss"
    path.write_text(SHAPED.format(100000))
    with pytest.raises(DataError, match="--hour"):
        load(path)
    assert load(path, hour=1).p_load.sum() > 0
    with pytest.raises(DataError, match="8784"):
        load(path, hour=-1)
    with pytest.raises(DataError, match="an hour belongs to an OpenDSS file"):
        load("case33", hour=1)
