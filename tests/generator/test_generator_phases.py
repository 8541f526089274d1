"""Unbalanced feeders: what they keep of the balanced one, and that OpenDSS finds its loss where phases are equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import learnopt
from learnopt.errors import DataError
from learnopt.generator import FeederConfig, PhaseConfig, config_from_table, random_feeder, split_phases
from learnopt.io import network_from_dict, network_to_dict
from learnopt.network import Network
from learnopt.network.phase_equivalent import edited_since


@pytest.mark.parametrize("kappa", [0.0, 1.0, 30.0])
def test_the_balanced_equivalent_is_the_feeder(case33: Network, kappa: float) -> None:
    """Totals and positive sequences stay, one seed gives one feeder, and a case file has all of it."""
    made = split_phases(case33, np.random.default_rng(3), PhaseConfig(kappa=kappa, delta_share=0.3))
    for field in ("r", "x", "p_load", "q_load", "p_fed", "i_max"):
        np.testing.assert_allclose(getattr(made, field), getattr(case33, field), rtol=1e-12, err_msg=field)
    assert made.phases is not None
    assert not made.phases.balanced
    assert any(load.delta for load in made.phases.loads)
    again = split_phases(case33, np.random.default_rng(3), PhaseConfig(kappa=kappa, delta_share=0.3))
    assert network_to_dict(again) == network_to_dict(made)
    read = network_from_dict(network_to_dict(made), "read")
    assert read.phases is not None
    assert not edited_since(read)
    phases_with_load = [sum(np.array(load.kw) > 0) for load in made.phases.loads]
    assert set(phases_with_load) == ({1} if kappa == 0 else {3})


def test_laterals_of_one_phase_hang_on_no_loop() -> None:
    """They are whole: each has one phase, its loads too, and its branches count three times in the equivalent."""
    feeder = random_feeder(FeederConfig(), np.random.default_rng(5))
    made = split_phases(feeder, np.random.default_rng(1), PhaseConfig(lateral_share=1.0))
    assert made.phases is not None
    few = np.array([len(one.phases) == 1 for one in made.phases.branches])
    assert few.any()
    assert not few.all()
    chords = feeder.chords_of(np.ones(feeder.n_branch, dtype=bool))
    assert not (few & chords).any()
    for load in made.phases.loads:
        on = {p for p, kw in zip("abc", load.kw, strict=True) if kw}
        assert on <= set(made.phases.bus_phases[load.bus])
    np.testing.assert_allclose(made.i_max[few], feeder.i_max[few] / 3)
    assert network_from_dict(network_to_dict(made), "read").phases is not None


def test_equal_phases_have_the_loss_of_the_feeder(case33: Network) -> None:
    """OpenDSS on the circuit in phases against the published loss of the balanced feeder."""
    pytest.importorskip("opendssdirect")
    from learnopt.io.opendss.exported import ExportedTool

    made = split_phases(case33, np.random.default_rng(0), PhaseConfig(kappa=1e12))
    state = ExportedTool(made).state(made, made.normal_configuration)
    assert state.loss_kw == pytest.approx(202.677, rel=1e-4)


def test_solved_in_phases_without_a_file(case16: Network) -> None:
    """A made network is solved by OpenDSS; with its phases taken away it is the balanced one."""
    pytest.importorskip("opendssdirect")
    made = split_phases(case16, np.random.default_rng(0), PhaseConfig(kappa=0.0))
    answer = learnopt.solve(made)
    assert answer.result.phases is not None
    plain = learnopt.solve(replace(made, phases=None))
    assert plain.result.phases is None
    assert plain.loss_kw == pytest.approx(466.13, rel=1e-4)
    assert answer.loss_kw > plain.loss_kw


def test_parameters_name_what_is_wrong() -> None:
    """Misspelt keys and impossible values."""
    with pytest.raises(DataError, match="kapa"):
        config_from_table(PhaseConfig, {"kapa": 1.0}, "phases")
    with pytest.raises(DataError, match=r"mutual = 1.0 must be >= 0 and below 1"):
        PhaseConfig(mutual=1.0)
