"""Options without effect are told by name, on stderr, and change nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

import learnopt
from learnopt.api.unused import of_solve, of_strict_limits

CapSys = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--risk-level", "0.9"), "--risk-level has no effect: it belongs to --risk."),
        (("--checkpoint", "nowhere"), "--checkpoint has no effect: it belongs to --engine learned."),
        (
            ("--engine", "tree", "--checkpoint", "nowhere"),
            "--checkpoint has no effect: it belongs to --engine learned.",
        ),
        (("--engine", "exchange", "--gap", "0.1"), "--gap has no effect: --engine exchange proves nothing."),
        (
            ("--engine", "exchange", "--node-limit", "9"),
            "--node-limit has no effect: --engine exchange does not branch.",
        ),
        (("--engine", "exchange", "--certify", "ac"), "--certify has no effect: --engine exchange proves none only."),
        (("--engine", "milp", "--certify", "model"), "--certify has no effect: --engine milp proves ac only."),
        (("--engine", "milp", "--threads", "1"), "--threads has no effect: it belongs to the tree search."),
        (("--no-limits", "--strict-limits"), "--strict-limits has no effect: --no-limits leaves no limit to enforce."),
        (("--balanced",), "--balanced has no effect: the file is balanced."),
    ],
)
def test_solve_tells_what_it_did_not_use(capsys: CapSys, options: tuple[str, ...], told: str) -> None:
    """The answer is on stdout as ever."""
    outcome = invoke(capsys, "solve", "case16", *options, "--json")
    assert outcome.code == 0
    assert outcome.json["loss_kw"] == pytest.approx(466.127, abs=1e-2)
    assert " ".join(outcome.err.split()).count(told) == 1


def test_solve_is_silent_where_everything_is_used(capsys: CapSys) -> None:
    """Options that have an effect, defaults and all."""
    outcome = invoke(capsys, "solve", "case16", "--engine", "tree", "--certify", "ac", "--gap", "0", "--threads", "1")
    assert outcome.code == 0
    assert "has no effect" not in outcome.err


def test_other_commands_tell_too(capsys: CapSys, tmp_path: Path) -> None:
    """Check, horizon and savings; each names its option."""
    told = invoke(capsys, "check", "case16", "--no-limits", "--strict-limits", "--json")
    assert "--strict-limits has no effect" in told.err
    missing = tmp_path / "none.csv"
    told = invoke(
        capsys, "horizon", "case16", "--profile", missing, "--checkpoint", "x", "--tap-hours", 1,
        "--capacitor-hours", 1, "--control-cost", 2,
    )  # fmt: skip
    said = " ".join(told.err.split())
    for option in ("--checkpoint", "--tap-hours", "--capacitor-hours", "--control-cost"):
        assert f"{option} has no effect" in said
    told = invoke(capsys, "savings", "case16", "--profile", missing, "--currency", "CHF")
    assert "--currency has no effect: it is the unit of --price." in " ".join(told.err.split())
    told = invoke(capsys, "savings", "case16", "--profile", missing, "--currency", "CHF", "--price", 3)
    assert "has no effect" not in told.err


@pytest.mark.parametrize(
    "command",
    [
        ("restore", "case16", "--fault", "branch:11"),
        ("horizon", "case16", "--profile", "synthetic", "--steps", "1"),
    ],
)
def test_every_command_tells_that_the_file_is_balanced(capsys: CapSys, command: tuple[str, ...]) -> None:
    """Whoever asks for the balanced equivalent of a balanced file gets the file."""
    told = invoke(capsys, *command, "--balanced", "--json")
    assert " ".join(told.err.split()).count("--balanced has no effect: the file is balanced.") == 1


def test_rules_know_what_is_used() -> None:
    """Nothing is told of a learned engine with a checkpoint, nor of limits given by hand."""
    rest = {
        "gap": 1e-3, "node_limit": 5, "threads": 2, "risk": "cvar", "risk_level": 0.5, "strict_limits": True,
        "limits": "file", "vmin": None, "vmax": None,
    }  # fmt: skip
    assert of_solve(engine="learned", certify=None, checkpoint="folder", **rest) == ()
    assert of_solve(engine="auto", certify="model", checkpoint=None, **rest) == ()
    assert not of_strict_limits(strict=True, limits="none", vmin=0.9, vmax=None)[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"risk_level": 0.9}, "risk_level has no effect: it belongs to risk."),
        ({"checkpoint": "nowhere"}, 'checkpoint has no effect: it belongs to engine="learned".'),
        ({"engine": "exchange", "gap": 0.1}, 'gap has no effect: engine="exchange" proves nothing.'),
        (
            {"limits": "none", "strict_limits": True},
            'strict_limits has no effect: limits="none" leaves no limit to enforce.',
        ),
        ({"balanced": True}, "balanced has no effect: the file is balanced."),
        ({}, ""),
    ],
)
def test_answers_in_python_tell_the_same(capsys: CapSys, options: dict[str, object], told: str) -> None:
    """The same rules, options written as in Python; a notebook shows them, and so does ``table``."""
    solution = learnopt.solve("case16", **options)  # type: ignore[arg-type]
    assert solution.without_effect == ([told] if told else [])
    assert ("has no effect" in solution._repr_html_()) == bool(told)
    solution.table()
    assert (told in " ".join(capsys.readouterr().out.split())) or not told
    assert solution.loss_kw == pytest.approx(466.127, abs=1e-2)


def test_a_horizon_in_python_tells_them_too() -> None:
    """What belongs to controls without any, a checkpoint of another engine; a day of a made-up year is planned."""
    day = learnopt.horizon("case16", "synthetic:2", steps=2, tap_hours=1, checkpoint="x", engine="tree")
    assert [one.option for one in day.unused] == ["checkpoint", "tap_hours"]
    check = learnopt.check("case16", limits="none", strict_limits=True)
    assert check.without_effect == ['strict_limits has no effect: limits="none" leaves no limit to enforce.']
