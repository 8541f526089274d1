"""``learnopt restore --hours``."""

from __future__ import annotations

from invocation import invoke


def test_hours_of_a_made_up_year(capsys):
    """Loads until the repair come from a profile, as for every other study over time."""
    words = ["restore", "case33", "--fault", "branch:7", "--vmin", "0.88", "--hours", "2", "--profile", "synthetic"]
    outcome = invoke(capsys, *words, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["hours"], len(outcome.json["situations"])) == (2.0, 2)
    assert "holds in each of 2 hours until the repair" in " ".join(invoke(capsys, *words).out.split())
