"""The front door as a whole: what it is made of, that nothing of it is hidden, and that it is light."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

import learnopt
from learnopt.cli.app import command
from learnopt.io import read_profiles

ROOT = Path(__file__).parents[2]
DOORS = ("solve", "pareto", "check", "inspect", "horizon", "savings", "plan_conductors", "plan_substations", "problem")


def test_public_names_load_and_are_listed() -> None:
    """Every name of ``__all__`` exists and is in ``dir``; another is an AttributeError."""
    assert {name for name in learnopt.__all__ if getattr(learnopt, name).__name__ == name} == set(learnopt.__all__)
    assert set(learnopt.__all__) <= set(dir(learnopt))
    with pytest.raises(AttributeError, match="no attribute 'optimise'"):
        _ = learnopt.optimise


def test_solve_loads_neither_torch_nor_pictures() -> None:
    """Solving from Python loads no torch, MLflow or matplotlib; plotting does load matplotlib."""
    code = """
import learnopt, sys
assert not {"numpy", "numba", "matplotlib"} & sys.modules.keys()
solution = learnopt.solve("case16", engine="exchange", certify="none")
assert not {"torch", "mlflow", "matplotlib"} & sys.modules.keys()
solution.plot()
assert "matplotlib" in sys.modules and "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", DOORS)
def test_every_option_is_spelled_out(name: str) -> None:
    """No hidden keywords: an editor shows them all, with types and defaults, and the docstring explains each."""
    door = getattr(learnopt, name)
    parameters = inspect.signature(door).parameters
    kinds = {p.kind for p in parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert all(p.annotation is not inspect.Parameter.empty for p in parameters.values())
    words = inspect.getdoc(door) or ""
    assert [p for p in parameters if p not in words.partition("Parameters")[2]] == []


@pytest.mark.parametrize("name", DOORS)
def test_a_misspelt_option_is_pythons_own_error(name: str) -> None:
    """About the function that was called."""
    with pytest.raises(TypeError, match=rf"{name}\(\) got an unexpected keyword argument 'tim_limit'"):
        getattr(learnopt, name)("case33", tim_limit=1.0)


FLAGS: dict[str, tuple[str, ...]] = {
    "solve": ("solve",),
    "check": ("check",),
    "inspect": ("inspect",),
    "horizon": ("horizon",),
    "savings": ("savings",),
    "plan_conductors": ("plan", "conductors"),
    "plan_substations": ("plan", "substations"),
    "plan_phases": ("plan", "phases"),
}
"""Commands of the functions."""
ELSEWHERE = {
    "json_output", "report", "out", "csv", "export", "pareto",  # methods of the answer, and a function of its own
    "no_limits", "no_charging", "no_source_check",  # limits="none", charging=False, source_check=False
    "case", "open_ids", "price", "co2",  # network, open_branches, price_per_mwh, co2_kg_per_mwh
}  # fmt: skip


def _command(*names: str) -> Any:
    found = command(names[0])
    for name in names[1:]:
        found = found.commands[name]
    return found


@pytest.mark.parametrize("name", FLAGS)
def test_as_wide_as_the_command_line(name: str) -> None:
    """Every option of the command is one of the function, of the same name."""
    options = {option.name for option in _command(*FLAGS[name]).params} - ELSEWHERE - {"help"}
    assert options - inspect.signature(getattr(learnopt, name)).parameters.keys() == set()


def test_types_travel_with_the_package() -> None:
    """``py.typed`` lies in it, so that type checkers of users read its annotations."""
    assert files("learnopt").joinpath("py.typed").is_file()


def test_every_error_is_public() -> None:
    """What is raised on purpose can be caught by name."""
    errors = {
        name for name, kind in vars(learnopt.errors).items() if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert errors == {"LearnoptError", "DataError", "UnsupportedError", "CheckpointError"}
    assert errors <= set(learnopt.__all__)


def test_every_record_is_one_line(tmp_path: Path) -> None:
    """What a shell prints of records: no arrays, whatever the size of the network."""
    (tmp_path / "day.csv").write_text("time,scale\n2026-01-01T00:00,0.5\n2026-01-01T01:00,0.9\n")
    net = learnopt.load("case136")
    found = learnopt.solve(net, scenario=tmp_path / "day.csv", limits="none")
    failed = learnopt.solve("case33", vmin=1.2, vmax=1.3)
    plan = learnopt.horizon("case16", tmp_path / "day.csv")
    saved = learnopt.savings("case16", tmp_path / "day.csv", proof_time=0.0)
    wires = learnopt.plan_conductors("case16", "base")
    stations = learnopt.plan_substations("turkay")
    records: list[Any] = [
        net, found, found.question, found.problem, found.problem.situations, found.problem.scenario, found.result,
        found.configuration, found.result.evaluation, found.problem.limits, failed, failed.result, plan, plan.problem,
        plan.result, saved, saved.result, saved.result.problem, wires, wires.problem, *wires.results.values(), stations,
        stations.problem, stations.result, learnopt.check("case16").result, learnopt.inspect("case16").result,
        learnopt.load("case16"), read_profiles(tmp_path / "day.csv", net),
    ]  # fmt: skip
    for record in records:
        line = repr(record)
        assert line.startswith(type(record).__name__ + "("), line
        assert "\n" not in line
        assert "array(" not in line
        assert len(line) < 240, line
    assert repr(found.configuration) == "Configuration(135 of 156 branches closed)"
