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
