"""Indices of IEEE 1366 from the table of single faults, by hand."""

from __future__ import annotations

import pytest

import learnopt
from learnopt.errors import DataError
from learnopt.io import network_from_dict


@pytest.fixture(scope="module")
def ring():
    """S feeds A by L1 and B behind it by L2; the tie T from S to B is open; L2 and T are set by a crew."""
    return network_from_dict(
        {
            "name": "ring",
            "base_kv": 10.0,
            "substations": ["S"],
            "buses": [
                {"id": "S"},
                {"id": "A", "p_kw": 100.0, "customers": 40},
                {"id": "B", "p_kw": 300.0, "customers": 10},
            ],
            "branches": [
                {"id": "L1", "from": "S", "to": "A", "r_ohm": 0.1, "x_ohm": 0.1},
                {"id": "L2", "from": "A", "to": "B", "r_ohm": 0.1, "x_ohm": 0.1, "operation": "manual"},
                {
                    "id": "T",
                    "from": "S",
                    "to": "B",
                    "r_ohm": 0.1,
                    "x_ohm": 0.1,
                    "normally_open": True,
                    "operation": "manual",
                },
            ],
        },
        "ring",
    )


def test_indices_of_a_ring_by_hand(ring):
    """Opened in a minute, L1 is earthed and T closed by crews: 61 min; L2 needs a crew for each step."""
    table = learnopt.restorability(ring, failures={"L1": 0.5, "L2": 0.2}, repair_hours=4.0)
    rows = {row.id: row for row in table.result.rows}
    assert [rows[k].minutes for k in ("L1", "L2")] == pytest.approx([61.0, 90.0])
    assert [rows[k].interrupted for k in ("L1", "L2", "T")] == [50.0, 10.0, 0.0]
    indices = table.to_dict()["indices"]
    assert indices["by"] == "customers"
    assert indices["saifi"] == pytest.approx((0.5 * 50 + 0.2 * 10) / 50)
    assert indices["saidi_hours"] == pytest.approx((0.5 * 50 * 61 / 60 + 0.2 * 10 * 1.5) / 50)
    assert indices["eens_kwh"] == pytest.approx(0.5 * 400 * 61 / 60 + 0.2 * 300 * 1.5)
    assert "0.540 interruptions (SAIFI)" in table._repr_html_()


def test_what_cannot_be_restored_waits_for_the_repair(ring):
    """With T locked open, A and B wait for L1 until its repair."""
    table = learnopt.restorability(
        ring, failures=1.0, repair_hours=3.0, scenario={"locked": {"T": "open"}}, crew_minutes=0.0
    )
    first = table.result.rows[0]
    assert (first.interrupted, first.interrupted_hours) == (50.0, pytest.approx(150.0))
    assert first.unserved_kwh == pytest.approx(1200.0)


def test_momentary_interruptions_are_energy_only(ring):
    """All by remote control within five minutes: no sustained interruption."""
    table = learnopt.restorability(ring, failures=1.0, crew_minutes=0.5)
    indices = table.to_dict()["indices"]
    assert (indices["saifi"], indices["saidi_hours"], indices["caidi_hours"]) == (0.0, 0.0, None)
    assert indices["eens_kwh"] > 0
    assert learnopt.restorability(ring).to_dict()["indices"] is None


def test_rates_of_a_file(ring, tmp_path):
    """One line for each fault; what is missing never fails."""
    path = tmp_path / "rates.csv"
    path.write_text("id,failures_per_year\nL2,0.2\n", encoding="utf-8")
    table = learnopt.restorability(ring, failures=path)
    assert table.result.indices.saifi == pytest.approx(0.2 * 10 / 50)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (-1.0, "failures_per_year = -1 must be"),
        ({"L9": 1.0}, "L9"),
        ({"L1": float("inf")}, "'L1': failures_per_year = inf must be"),
        ("id,rate\nL1,2\n", "needs the columns id and failures_per_year, has id, rate"),
        ("id,failures_per_year\nL1,often\n", "line 2: failures_per_year = 'often' must be a number"),
        ("missing.csv", "cannot be read"),
    ],
)
def test_bad_rates_are_refused(ring, tmp_path, given, said):
    """By name, value and line."""
    if isinstance(given, str) and "\n" in given:
        path = tmp_path / "rates.csv"
        path.write_text(given, encoding="utf-8")
        given = path
    with pytest.raises(DataError, match=said):
        learnopt.restorability(ring, failures=given)
