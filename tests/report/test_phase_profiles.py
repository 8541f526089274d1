"""Voltage profiles of three phases, with the voltages that OpenDSS has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import engine
from learnopt.report.drawing.profile import phase_chart, phase_figure, phase_profiles

pytest.importorskip("opendssdirect")
OWN = Path(__file__).parents[1] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"


def test_each_phase_has_its_own_line(tmp_path: Path) -> None:
    """Every phase of every bus as in OpenDSS, a gap where a bus has not the phase; on a page and on paper."""
    answer = learnopt.check(OWN)
    check, net = answer.result, answer.result.problem.network
    assert check.phases is not None
    assert check.phases.voltage is not None
    with engine(OWN) as dss:
        volts = dict(zip(dss.Circuit.AllNodeNames(), dss.Circuit.AllBusMagPu(), strict=True))
    expected = np.array([[volts.get(f"{bus}.{phase}", np.nan) for phase in (1, 2, 3)] for bus in net.bus_ids])
    real = ~net.is_substation  # behind the impedance of the source there is no bus in OpenDSS
    assert check.phases.voltage[real] == pytest.approx(expected[real], rel=1e-6, nan_ok=True)
    assert check.evaluation.vm[real] == pytest.approx(np.nanmin(expected[real], axis=1), rel=1e-6)
    profiles = phase_profiles(check.problem, check.configuration, check.evaluation, check.phases.voltage)
    chart = phase_chart(check.problem, profiles)
    lowest = np.nanmin(check.phases.voltage, axis=0)
    assert [one.name for one in chart.series[:3]] == [
        f"phase {name}: lowest {value:.4f} pu" for name, value in zip("abc", lowest, strict=True)
    ]
    assert all(np.isnan(one.y).sum() > len(profiles[0].paths) for one in chart.series[:3])
    labels = [text.get_text() for text in phase_figure(check.problem, profiles).axes[0].get_legend().get_texts()]
    assert labels[:3] == [one.name for one in chart.series[:3]]
    page = answer.report(tmp_path / "check.html").read_text(encoding="utf-8")
    assert all(one.name in page for one in chart.series[:3])
