"""Errors say what would help, in the words of whoever asked."""

from __future__ import annotations

import pickle

import pytest

from learnopt.cli.options import as_flag
from learnopt.errors import CheckpointError, DataError, LearnoptError, UnsupportedError


@pytest.mark.parametrize(
    ("use", "in_python", "on_command_line"),
    [
        ({"engine": "milp"}, 'use engine="milp"', "use --engine milp"),
        ({"engine": ("tree", "milp")}, 'use engine="tree" or "milp"', "use --engine tree or milp"),
        ({"gap": 0.1, "controls": None}, "use gap=0.1, without controls", "use --gap 0.1, without --controls"),
        ({"risk": None, "k_best": None}, "leave out risk and k_best", "leave out --risk and --k-best"),
        ({"accept_differences": True}, "use accept_differences=True", "use --accept-differences"),
        ({"charging": False}, "use charging=False", "use --no-charging"),
    ],
)  # fmt: skip
def test_options_in_the_words_of_python_and_of_the_command_line(
    use: dict[str, object], in_python: str, on_command_line: str
) -> None:
    error = UnsupportedError("the problem has controls", use)
    assert str(error) == f"the problem has controls: {in_python}"
    assert error.messages == [str(error)]
    assert error.sentences(as_flag) == [f"the problem has controls: {on_command_line}"]
    several = DataError("grid.json", ["bus 7: no load"], use)
    assert several.messages == ["grid.json: bus 7: no load", f"grid.json: {in_python}"]
    assert several.told(as_flag).splitlines()[1:] == ["  - bus 7: no load", f"  - {on_command_line}"]


@pytest.mark.parametrize(
    "error",
    [DataError("a", ["b"], {"gap": 0.1}), UnsupportedError("a", {"engine": ("tree", "milp")}), CheckpointError("a")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_errors_cross_processes(error: LearnoptError) -> None:
    """With what would help."""
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.messages, copy.use) == (type(error), str(error), error.messages, error.use)
