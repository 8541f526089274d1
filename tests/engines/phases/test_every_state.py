"""Every radial state of a circuit of lines: by compiled sweeps, and by what its balanced network proves of it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from random_feeders import losses_kw as losses_of
from random_feeders import radial_states, random_feeder

from learnopt.engines.base import SolveOptions
from learnopt.engines.phases import engine as engine_module
from learnopt.engines.phases.balance import balances_of, state_bounds
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.io import load_with_source
from learnopt.io.opendss.radial import radial_circuit
from learnopt.network import Certificate, Limits, ReconfigurationProblem
from learnopt.network.unbalanced import RadialCircuit
from learnopt.physics.phase_sweep import losses_kw

opendssdirect = pytest.importorskip("opendssdirect")
SEEDS, MANY_STATES = range(14), 53
LATERAL = "New Line.m phases=1 bus1=b{0}.2 bus2=m.2 rmatrix=[{1}] xmatrix=[{1}] cmatrix=[0] length=1 units=none"
DELTA = "New Load.m phases=3 conn=delta bus1=b{0} kv=12.66 kw=60 kvar=20 model=1 vminpu=0.1 vmaxpu=1.2 vlowpu=0.1"
OWN = "New Load.own phases=1 bus1=m.2 kv=7.3 kw=30 kvar=9 model=1 vminpu=0.1 vmaxpu=1.2 vlowpu=0.1"


def untransposed(text: str, rng: np.random.Generator) -> str:
    """The feeder with lines of any coupling, a lateral of one phase and a load between phases."""
    lines = []
    for line in text.splitlines():
        head, found, _ = line.partition(" r1=")
        if not (found and head.startswith("New Line")):
            lines.append(line)
            continue
        for name in ("rmatrix", "xmatrix"):
            part = rng.normal(size=(3, 3))
            matrix = 0.3 * np.eye(3) + 0.2 + 0.05 * part @ part.T
            rows = (" ".join(repr(float(v)) for v in row[: k + 1]) for k, row in enumerate(matrix))
            head += f" {name}=[{' | '.join(rows)}]"
        lines.append(f"{head} cmatrix=[0|0 0|0 0 0] length=1 units=none")
    at = next(k for k, line in enumerate(lines) if line.startswith("Set VoltageBases"))
    bus = 3
    return "\n".join([*lines[:at], LATERAL.format(bus, 0.4), OWN, DELTA.format(bus), *lines[at:]])


def far_and_usual(text: str) -> str:
    """The feeder with lines forty times as long, and loads that draw less below 0.95, as OpenDSS has them by itself."""
    text = re.sub(r"vminpu=\S+ vmaxpu=\S+ vlowpu=\S+", "vminpu=0.95 vmaxpu=1.05 vlowpu=0.5", text)
    return re.sub(r"(New Line.*) length=1 ", r"\1 length=40 ", text)


def solved(dss: Any, seed: int, far: bool = False) -> tuple[RadialCircuit, np.ndarray, np.ndarray]:
    """A random feeder as lines, its radial states, and the loss of each by OpenDSS."""
    feeder = random_feeder(seed)
    if seed % 2:
        feeder = replace(feeder, text=untransposed(feeder.text, np.random.default_rng(seed)))
    if far:
        feeder = replace(feeder, text=far_and_usual(feeder.text))
    states = radial_states(feeder)
    losses = np.array(losses_of(dss, feeder, states))
    opened = np.zeros((len(states), len(feeder.ends)), dtype=bool)
    for k, state in enumerate(states):
        opened[k, list(state)] = True
    for e in range(len(feeder.ends)):
        for end in (1, 2):
            dss.Text.Command(f"Close Line.l{e} {end}")
    dss.Solution.Solve()
    circuit = radial_circuit(dss, dss, [(f"line.l{e}",) for e in range(len(feeder.ends))], [])
    assert not isinstance(circuit, str), circuit
    return circuit, opened, losses


def test_sweeps_and_bounds_against_opendss() -> None:
    """Sweeps have OpenDSS's losses; no bound lies above one, with any budget; a wrong circuit would be seen."""
    dss = opendssdirect.NewContext()
    slack, wrong = [], []
    for seed in SEEDS:
        circuit, opened, losses = solved(dss, seed)
        swept = losses_kw(circuit, opened)
        both = np.isfinite(losses) & np.isfinite(swept)
        assert swept[both] == pytest.approx(losses[both], rel=1e-6, abs=1e-5)
        assert both.sum() >= 0.9 * np.isfinite(losses).sum()
        balances = balances_of(circuit)
        assert not isinstance(balances, str), balances
        more = balances_of(replace(circuit, z=1.01 * circuit.z))
        assert not isinstance(more, str)
        for budget in (1 + 1e-6, 1.1, 3.0):
            most = np.where(np.isfinite(losses), losses * budget, 1.0)
            bounds = state_bounds(circuit, balances, opened, most, np.zeros(circuit.n_bus))
            known = np.isfinite(losses) & (bounds > 0)
            slack += (losses[known] / bounds[known] - 1).tolist()
            above = state_bounds(circuit, more, opened, most, np.zeros(circuit.n_bus))
            wrong += (losses[known] / np.maximum(above[known], 1e-9) - 1).tolist()
    assert len(slack) > 100
    assert min(slack) > -1e-7
    assert min(wrong) < -1e-4


def test_loads_that_draw_less_at_low_voltage_are_solved_wherever_opendss_solves_them() -> None:
    """Far below 0.95 the currents of such loads fall with their voltages, which set simple sweeps swinging."""
    dss = opendssdirect.NewContext()
    count = 0
    for seed in SEEDS:
        circuit, opened, losses = solved(dss, seed, far=True)
        assert np.isfinite(losses).all()
        assert losses_kw(circuit, opened) == pytest.approx(losses, rel=1e-6, abs=1e-5)
        count += len(losses)
    assert count > 100


def test_the_engine_settles_every_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Most by proof or sweeps, the answer by OpenDSS: the bound is that of enumeration."""
    feeder = random_feeder(MANY_STATES)
    states = radial_states(feeder)
    least = min(losses_of(opendssdirect.NewContext(), feeder, states))
    path = tmp_path / "feeder.dss"
    path.write_text(feeder.text, encoding="utf-8")
    loaded = load_with_source(path)
    assert loaded.source is not None
    problem = ReconfigurationProblem.of(loaded.network, limits=Limits())
    monkeypatch.setattr(engine_module, "FEW_SWEEPS", 1)
    with loaded.source.circuit(loaded.network) as circuit:
        result = PhaseTreeEngine([circuit]).solve(problem, SolveOptions())
        monkeypatch.setattr(engine_module, "balances_of", lambda _: "nothing is proven")
        swept = PhaseTreeEngine([circuit], k_best=3, exhaustive=True).solve(problem, SolveOptions())
    assert (result.certificate, swept.certificate) == (Certificate.AC, Certificate.AC)
    assert f"Each of the {len(states)} radial states was settled" in result.message
    assert "lose more as balanced networks" in result.message
    assert "by sweeps that agree" in swept.message
    for one in (result, swept):
        assert one.loss_kw == pytest.approx(least, rel=1e-6)
        assert one.dual_bound_kw == pytest.approx(least, rel=1e-6)
    losses = [one.loss_kw for one in swept.alternatives]
    assert losses == sorted(losses)
    assert len(losses) == 3
