"""The table of single faults: its rows, and a folder that keeps them."""

from __future__ import annotations

import json

import pytest

import learnopt
from learnopt.errors import DataError
from learnopt.studies.restoration.table import Faults, faults_of, restorability


@pytest.fixture(scope="module")
def problem():
    return learnopt.problem("case16", vmin=0.95)


def test_table_of_branches_says_what_each_fault_costs(problem):
    """Branch 9 feeds a spur that nothing else reaches; all other faults can be made up for."""
    table = restorability(problem)
    assert len(table.rows) == problem.network.n_branch
    assert table.fully_restorable == 15
    worst = table.worst_first[0]
    assert (worst.id, worst.unserved_kw, worst.binding) == (9, pytest.approx(4500.0), "no way")
    assert all((row.status, row.certificate) == ("optimal", "ac") for row in table.rows)


def test_folder_goes_on_and_refuses_another_question(problem, tmp_path):
    """Rows of the folder are taken as they are; other limits are another question."""
    first = restorability(problem, directory=tmp_path)
    kept = tmp_path / "8.json"
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"loss_kw": 1.25}))
    (tmp_path / "3.json").unlink()
    again = restorability(problem, directory=tmp_path)
    assert again.rows[8].loss_kw == 1.25
    assert again.rows[3] == first.rows[3]
    with pytest.raises(DataError, match="another question"):
        restorability(learnopt.problem("case16", vmin=0.94), directory=tmp_path)


def test_zones_are_what_no_switch_parts(problem):
    """Every branch of case16 is a switch, so its zones are its buses."""
    assert len(faults_of(problem, Faults.ZONES)) == problem.network.n_bus
