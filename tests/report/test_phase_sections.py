"""The page of an answer in all phases: currents and loading of every conductor, what returns, unbalance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.generator import PhaseConfig, split_phases
from learnopt.io.opendss.exported import ExportedTool
from learnopt.network import Network
from learnopt.network.unbalanced import PhaseFlow

pytest.importorskip("opendssdirect")


def test_every_phase_is_on_the_page(case16: Network, tmp_path: Path) -> None:
    """The first row is the most loaded branch, with the currents of OpenDSS and the loading of the answer."""
    made = split_phases(case16, np.random.default_rng(0), PhaseConfig(kappa=1.0))
    answer = learnopt.solve(made)
    answer.write_page(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    summary, evaluation = answer.result.phases, answer.result.evaluation
    assert summary is not None
    assert evaluation is not None
    assert summary.flow is not None
    assert summary.unbalance_at is not None
    assert answer.configuration is not None
    with ExportedTool(made).circuit(made) as circuit:
        assert circuit.solve(answer.configuration.closed)
        flow, state = circuit.flow(), circuit.state()
    np.testing.assert_allclose(summary.flow.phase_a, flow.phase_a, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(summary.unbalance_at, np.nan_to_num(state.unbalance), atol=1e-6)
    section = page.split("<h2>Loading by phase</h2>")[1].split("</section>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", section)
    order = np.lexsort((-np.nan_to_num(flow.phase_a).max(axis=1), -evaluation.loading))
    shown = [float(re.sub(r"[^\d.]", "", cell.split("(")[0])) for cell in cells[1:4]]
    np.testing.assert_allclose(shown, flow.phase_a[order[0]], rtol=1e-3)
    assert f"{np.nanmax(flow.return_a):.4g}"[:4] in section
    assert "all phases as the file has them" in page
    written = json.loads(json.dumps(answer.to_dict()["phases"]))
    assert written["max_return_a"] == pytest.approx(np.nanmax(flow.return_a), rel=1e-5)


def test_several_flows_are_their_largest() -> None:
    """A phase that is not there stays so; powers keep their sign."""
    nothing = np.nan
    one = PhaseFlow(np.array([[1.0, nothing, 3.0]]), np.array([5.0]), np.array([[-4.0, nothing, 1.0]]), np.ones((1, 3)))
    other = PhaseFlow(
        np.array([[2.0, nothing, 1.0]]), np.array([2.0]), np.array([[3.0, nothing, 2.0]]), np.zeros((1, 3))
    )
    both = PhaseFlow.largest([one, other])
    np.testing.assert_array_equal(both.phase_a, [[2.0, nothing, 3.0]])
    np.testing.assert_array_equal(both.from_kw, [[-4.0, nothing, 2.0]])
    np.testing.assert_array_equal(both.return_a, [5.0])
