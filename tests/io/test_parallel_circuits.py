"""A double circuit that runs in parallel on purpose stays so, with pandapower's loss."""

from __future__ import annotations

import json
from pathlib import Path

import pandapower_nets as pn
import pytest

from learnopt.io import load_with_notes, read_source
from learnopt.io.export import pandapower_in_state
from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate, evaluate_as_operated
from learnopt.studies.configuration.solve import solve

TWIN = Path(__file__).parents[1] / "data" / "field_cases" / "pp_twin_circuit.json"


def test_field_case() -> None:
    """Both circuits stay closed, line 3 opens: 23.67 kW; losses of the present and of the best state are runpp's."""
    raw = json.loads(TWIN.read_text(encoding="utf-8"))
    net, notes = load_with_notes(TWIN)
    assert any("stay closed, as one connection in parallel operation" in note for note in notes)
    problem = ReconfigurationProblem.of(net)
    now = evaluate(problem, net.normal_configuration)
    assert now.loss_kw == pytest.approx(pn.reference(raw)[0], rel=1e-6)
    best = solve(problem)
    assert (best.status.value, best.certificate.value) == ("optimal", "ac")
    assert best.loss_kw == pytest.approx(23.667, abs=1e-3)
    assert net.open_ids(best.configuration) == ["line 3"]
    written = pandapower_in_state(raw, net, best.configuration)
    operated = evaluate_as_operated(problem, best.configuration)  # line 3 is opened at one end
    assert operated is not None
    assert pn.reference(written)[0] == pytest.approx(operated.loss_kw, rel=1e-6)


def test_as_the_file_has_it() -> None:
    """To be written again every switch is operable."""
    assert read_source(TWIN).network.switchable.sum() == load_with_notes(TWIN)[0].switchable.sum() + 2
