"""``solve`` on limits that no configuration respects says which ones conflict."""

from __future__ import annotations

from invocation import invoke


def test_conflicts_are_named(capsys):
    """One list in the JSON object, the same sentences in the message, exit code 1; an empty list with an answer."""
    outcome = invoke(capsys, "solve", "case16", "--vmin", "0.99", "--engine", "exchange", "--json")
    assert outcome.code == 1
    answer = outcome.json
    assert any(sentence.startswith("Proven: ") for sentence in answer["conflicts"])
    assert any(sentence.startswith("Bus ") for sentence in answer["conflicts"])
    assert all(sentence in answer["message"] for sentence in answer["conflicts"])
    assert invoke(capsys, "solve", "case16", "--engine", "exchange", "--json").json["conflicts"] == []


def test_words_for_people(capsys):
    """The table says it too."""
    outcome = invoke(capsys, "solve", "case16", "--vmin", "0.99", "--engine", "exchange")
    assert outcome.code == 1
    assert "Proven:" in outcome.out
