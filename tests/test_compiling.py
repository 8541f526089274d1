"""Functions are compiled when that pays, and interpreted until then: to the last bit the same answers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from instances import EQUIPMENT, FEATURES, random_problem

from learnopt import compiling
from learnopt.compiling import Kernel, everything_compiled, njit
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.exchange import LocalSearch
from learnopt.errors import UnsupportedError
from learnopt.io import load_case
from learnopt.network import Certificate, ReconfigurationProblem
from learnopt.physics.sweep import power_flow


@contextmanager
def _everything_interpreted() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "GLANCE", 1e12)
        for kernel in compiling.kernels:
            if kernel._steps is not None:
                patch.setattr(kernel, "_ready", False)
                patch.setattr(kernel, "_patience", 1e12)
                patch.setattr(kernel, "_spent", 0.0)
        yield


def _same(interpreted: Any, compiled: Any) -> None:
    """Equal to the last bit, NaN equal to NaN."""
    assert type(interpreted) is type(compiled)
    if isinstance(interpreted, dict):
        assert interpreted.keys() == compiled.keys()
        for key in interpreted:
            _same(interpreted[key], compiled[key])
    elif isinstance(interpreted, tuple | list):
        assert len(interpreted) == len(compiled)
        for one, other in zip(interpreted, compiled, strict=True):
            _same(one, other)
    else:
        np.testing.assert_array_equal(interpreted, compiled)


def _answers(problem: ReconfigurationProblem) -> list[Any]:
    """What sweeps, branch exchange and the exact engines say of a problem."""
    start = problem.network.normal_configuration
    flow = power_flow(problem, start)
    found: list[Any] = [asdict(flow) if flow.converged else None]
    search = LocalSearch(problem)
    if flow.converged:
        found += [
            [each.closed for each in search.neighbours(start, 99)],
            search.least_rise(start, np.arange(len(start.closed))),
        ]
    for engine in ("exchange", "tree", "enumerate"):
        for certify in (Certificate.AC, Certificate.MODEL):
            try:
                result = load_engine(engine).solve(problem, SolveOptions(certify=certify))
            except UnsupportedError:
                continue
            closed = None if result.configuration is None else result.configuration.closed
            found.append([closed, result.objective_kw, result.dual_bound_kw, result.nodes, result.message])
    return found


@pytest.mark.parametrize("seed", range(12))
def test_interpreted_and_compiled_answers_are_the_same(seed: int) -> None:
    """Every feature of a feeder, limits, two substations; fixed loops where locks close them."""
    features = None if seed % 2 else {f for f in (*FEATURES, *EQUIPMENT) if (seed + len(f)) % 3}
    problem = random_problem(seed, features, n_bus=(6, 14), n_loops=(2, 5))
    with _everything_interpreted():
        interpreted = _answers(problem)
    with everything_compiled():
        compiled = _answers(problem)
    _same(interpreted, compiled)


@pytest.mark.parametrize("case", ["case16", "case33", "case70"])
def test_of_published_feeders_too(case: str) -> None:
    """A search of some dozens of nodes."""
    problem = ReconfigurationProblem.of(load_case(case))
    options = SolveOptions(certify=Certificate.AC)
    with _everything_interpreted():
        interpreted = load_engine("tree").solve(problem, options)
    with everything_compiled():
        compiled = load_engine("tree").solve(problem, options)
    assert (interpreted.loss_kw, interpreted.dual_bound_kw) == (compiled.loss_kw, compiled.dual_bound_kw)
    assert (interpreted.nodes, interpreted.gap) == (compiled.nodes, compiled.gap)


def _counted(patience: float) -> Kernel:
    @njit(cache=False, steps=lambda n: n, patience=patience)
    def twice(n: int) -> int:
        return 2 * n

    compiling.kernels.remove(twice)
    return twice


def test_work_is_counted_in_steps_and_compiled_when_it_pays() -> None:
    """Below the patience Python runs it; beyond, numba, and from then on."""
    twice = _counted(patience=100.0)
    assert [twice(60), twice.patience(10.0), twice(30)] == [120, compiling.CHUNK // 10, 60]
    assert not twice._ready
    assert twice(20) == 40
    assert twice._ready
    assert twice.patience(10.0) == sys.maxsize


def test_everything_compiled_counts_nothing() -> None:
    """For benchmarks and labels."""
    twice = _counted(patience=100.0)
    with everything_compiled():
        assert twice(1) == 2
    assert twice._ready


def test_what_takes_long_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before numba starts, and not where its cache holds the code."""
    told: list[str] = []
    monkeypatch.setattr(compiling, "announcements", [lambda: told.append("compiling")])
    with everything_compiled():
        for _ in range(2):
            assert _counted(patience=100.0)(1) == 2
    assert told == ["compiling"]


SCRIPT = """
import sys
from learnopt.cli.app import run
try:
    run(["solve", "case33", "--json"])
finally:
    print("numba" in sys.modules, file=sys.stderr)
"""


def test_a_small_feeder_is_solved_without_numba() -> None:
    """In a fresh process: the first answer on a machine does not wait for a compiler."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "False", done.stderr


WITHOUT_NUMBA = """
import sys
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.bounds.trunk import leaf_loss
from learnopt.io import load_case
from learnopt.network import Certificate, ReconfigurationProblem
problem = ReconfigurationProblem.of(load_case("case16"))
tree = load_engine("tree").solve(problem, SolveOptions(certify=Certificate.AC))
all_states = load_engine("enumerate").solve(problem, SolveOptions())
print(tree.configuration == all_states.configuration, all_states.status.value, leaf_loss._ready)
"""


def test_with_numba_disabled_python_runs_everything() -> None:
    """Beyond every patience, and what has none: for a debugger."""
    script = "from learnopt import compiling\ncompiling.GLANCE = 1.0\n" + WITHOUT_NUMBA
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "True optimal False\n", done.stderr
