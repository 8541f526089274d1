"""SimBench grids: base loss and profiles are those of pandapower and simbench."""

from __future__ import annotations

import functools

import numpy as np
import pandapower_nets as pn
import pytest
import simbench

from learnopt.errors import DataError
from learnopt.io import load, load_with_notes, read_profiles
from learnopt.network import ReconfigurationProblem
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate


@pytest.fixture(scope="module", autouse=True)
def _read_each_grid_once():
    """Making a net takes simbench seconds; nothing here changes one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simbench, "get_simbench_net", functools.cache(simbench.get_simbench_net))
        yield


COMM, URBAN = "1-MV-comm--0-sw", "1-MV-urban--0-sw"


@pytest.mark.parametrize(
    ("code", "loops", "open_ids"),
    [
        (COMM, 8, ["line 0", *(f"line {i}" for i in (101, 102, 103, 104, 106, 108)), "switch 9"]),
        (URBAN, 15, [*(f"line {i}" for i in range(133, 144)), "switch 7", "switch 8", "switch 9", "switch 10"]),
    ],
)
def test_base_loss_is_pandapowers(code: str, loops: int, open_ids: list[str]):
    """Loads, generators, transformers, charging and stations of a real data set, to 0.01 %."""
    net, notes = load_with_notes(f"simbench:{code}")
    problem = ReconfigurationProblem.of(net)
    assert (net.name, net.n_loops) == (code, loops)
    assert net.open_ids(net.normal_configuration) == open_ids
    assert radiality_faults(net, net.normal_configuration.closed) == []
    medium = (net.kv < 110) & (net.vm_max < np.inf)  # loose ends have none
    assert (net.vm_min[medium] == 0.965).all()
    assert (net.vm_max[medium] == 1.055).all()
    assert np.count_nonzero(medium) > 90
    assert np.isfinite(net.i_max[np.char.startswith(net.branch_ids, "line")]).all()
    loss, lowest = pn.reference(simbench.get_simbench_net(code))
    found = evaluate(problem, net.normal_configuration)
    assert found.loss_kw == pytest.approx(loss, rel=1e-4)
    assert found.min_voltage_pu == pytest.approx(lowest, abs=2e-5)
    assert any("work in parallel" in note for note in notes) == (code == COMM)


def test_profiles_are_simbenchs():
    """A year of quarter hours; the totals are those of simbench's own absolute values."""
    net = load(f"simbench:{COMM}")
    profiles = read_profiles(f"simbench:{COMM}", net)
    assert len(profiles) == 366 * 96
    assert str(profiles.times[0]) == "2016-01-01T00:00:00"
    assert any("put back" in note for note in profiles.notes)
    assert (np.diff(profiles.times) == np.timedelta64(900, "s")).all()
    absolute = simbench.get_absolute_values(simbench.get_simbench_net(COMM), profiles_instead_of_study_cases=True)
    wanted_p = absolute["load", "p_mw"].sum(axis=1) - absolute["sgen", "p_mw"].sum(axis=1)
    assert profiles.p.sum(axis=1) * net.base.s_base == pytest.approx(wanted_p.to_numpy())
    wanted_q = absolute["load", "q_mvar"].sum(axis=1).to_numpy()
    assert profiles.q.sum(axis=1) * net.base.s_base == pytest.approx(wanted_q)
    noon = ReconfigurationProblem.of(net, profiles.scenario(48))
    assert evaluate(noon, net.normal_configuration).converged


def test_wrong_codes_and_grids():
    """A code that does not exist, and profiles of another grid."""
    with pytest.raises(DataError, match="no such SimBench code"):
        load("simbench:1-MV-nowhere--0-sw")
    with pytest.raises(DataError, match="is not this grid"):
        read_profiles(f"simbench:{COMM}", load("case33"))
