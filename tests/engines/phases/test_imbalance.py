"""The loss with balanced loads is a lower bound of that in all phases: random feeders against OpenDSS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_feeders import KV, Feeder, losses_kw, radial_states, random_feeder

from learnopt.engines.base import SolveOptions
from learnopt.engines.phases import engine as engine_module
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.engines.phases.imbalance import balanced_problem, candidates, least_of_balanced, transposed
from learnopt.engines.phases.search import Choice
from learnopt.io import load_with_source
from learnopt.network import Base, Certificate, Configuration, Limits, Network, ReconfigurationProblem, Status
from learnopt.network.unbalanced import PhaseCircuit, TransposedCircuit
from learnopt.physics import power_flow

opendssdirect = pytest.importorskip("opendssdirect")
FEW, TIGHT = range(12), 35


def problem_of(feeder: Feeder) -> ReconfigurationProblem:
    """Of which the bound reads the graph; lines and loads are those of the circuit."""
    n, m, root = feeder.n_bus, len(feeder.ends), feeder.n_source
    nothing = np.zeros(m)
    network = Network(
        name="random",
        base=Base(v_base=KV, s_base=1.0),
        bus_ids=tuple(range(n)),
        p_load=np.zeros(n),
        q_load=np.zeros(n),
        branch_ids=tuple(range(m)),
        from_bus=np.array([tail for tail, _ in feeder.ends]),
        to_bus=np.array([head for _, head in feeder.ends]),
        r=nothing,
        x=nothing,
        b=nothing,
        i_max=np.full(m, np.inf),
        switchable=np.ones(m, dtype=bool),
        normally_open=np.zeros(m, dtype=bool),
        substations=np.arange(root),
        substation_vm=np.ones(root),
        substation_s_min=np.zeros(root),
        substation_s_max=np.full(root, np.inf),
    )
    return ReconfigurationProblem.of(network)


def closed(feeder: Feeder, opened: tuple[int, ...]) -> Configuration:
    states = np.ones(len(feeder.ends), dtype=bool)
    states[list(opened)] = False
    return Configuration(states)


def read_by(circuit: PhaseCircuit, network: Network) -> TransposedCircuit | str:
    whole = circuit.radial(np.arange(network.n_branch))
    return whole if isinstance(whole, str) else transposed(whole, network)


def violations(dss: object, seed: int) -> Iterator[float]:
    """AC loss over the bound, less 1, of every state and of the least: of states, with the loss itself as budget."""
    feeder = random_feeder(seed)
    if not feeder.circuit.p.any():
        return
    states = radial_states(feeder)
    losses = losses_kw(dss, feeder, states)
    problem = problem_of(feeder)
    for opened, loss in zip(states, losses, strict=True):
        balanced = (
            balanced_problem(problem, feeder.circuit, loss * (1 + 1e-6), closed(feeder, opened))
            if math.isfinite(loss)
            else ""
        )
        if not isinstance(balanced, str):
            yield loss / (power_flow(balanced, closed(feeder, opened)).loss * 1e3) - 1
    least = min(losses)
    balanced = (
        balanced_problem(problem, feeder.circuit, 1.05 * least, closed(feeder, states[losses.index(least)]))
        if math.isfinite(least)
        else ""
    )
    if isinstance(balanced, str) or len(states) < 2:
        return
    bound, touching = least_of_balanced(balanced, None)
    assert touching is not None
    yield least / bound - 1
    m = len(feeder.ends)
    free = Choice.free(m)
    for most in (1, 1000):
        found = candidates(balanced, touching, np.arange(m), free, most, 10**5, 1.05 * least)
        known = {tuple(np.flatnonzero(o).tolist()): b for o, b in zip(found.opened, found.bound_kw, strict=True)}
        for opened, loss in zip(states, losses, strict=True):
            yield loss / known.get(opened, found.rest_kw) - 1 if loss < 1.05 * least else 0.0


def test_no_bound_lies_above_the_loss_that_opendss_finds() -> None:
    """Of any state, of the least, and of the states that a search leaves out; it is tight where loads are balanced."""
    dss = opendssdirect.NewContext()
    slack = np.array([one for seed in FEW for one in violations(dss, seed)])
    assert len(slack) > 100
    assert slack.min() > -1e-7
    assert slack.min() < 1e-4


def test_a_feeder_read_from_its_file(tmp_path: Path) -> None:
    """What is read is what was written."""
    feeder = random_feeder(4)
    states = radial_states(feeder)
    losses = losses_kw(opendssdirect.NewContext(), feeder, states)
    path = tmp_path / "feeder.dss"
    path.write_text(feeder.text, encoding="utf-8")
    loaded = load_with_source(path)
    assert loaded.source is not None
    problem = ReconfigurationProblem.of(loaded.network)
    with loaded.source.circuit(loaded.network) as circuit:
        result = PhaseTreeEngine([circuit]).solve(problem, SolveOptions(certify=Certificate.MODEL))
        assert result.configuration is not None
        assert circuit.solve(result.configuration.closed)
        read = read_by(circuit, loaded.network)
    assert not isinstance(read, str)
    lines = [loaded.network.branch_ids.index(f"line.l{e}") for e in range(len(feeder.ends))]
    buses = [loaded.network.bus_ids.index(f"b{k}") for k in range(feeder.n_bus)]
    known = feeder.circuit
    assert read.z1[lines] == pytest.approx(known.z1, rel=1e-9)
    assert read.z0[lines] == pytest.approx(known.z0, rel=1e-9)
    assert read.p[buses] == pytest.approx(known.p, rel=1e-7)
    assert read.q[buses] == pytest.approx(known.q, rel=1e-7)
    assert read.floor_v[buses] == pytest.approx(known.floor_v)
    assert (read.emf, read.most_a, read.most_s, read.source_ohm) == (
        pytest.approx(known.emf), pytest.approx(known.most_a), pytest.approx(known.most_s),
        pytest.approx(known.source_ohm),
    )  # fmt: skip
    assert result.loss_kw == pytest.approx(min(losses), rel=1e-6)


@pytest.mark.parametrize("change", ["r", "loads"])
def test_a_wrong_bound_would_be_seen(change: str) -> None:
    """One percent more resistance or load than there is, and bounds lie above losses."""
    dss = opendssdirect.NewContext()
    worst = 1.0
    for seed in FEW:
        feeder = random_feeder(seed)
        circuit = feeder.circuit
        wrong = replace(circuit, z1=1.01 * circuit.z1, z0=1.01 * circuit.z0)
        if change == "loads":
            wrong = replace(circuit, p=1.01 * circuit.p, q=1.01 * circuit.q)
        states = radial_states(feeder)
        for opened, loss in zip(states, losses_kw(dss, feeder, states), strict=True):
            balanced = (
                balanced_problem(problem_of(feeder), wrong, loss, closed(feeder, opened)) if math.isfinite(loss) else ""
            )
            if not isinstance(balanced, str):
                worst = min(worst, loss / (power_flow(balanced, closed(feeder, opened)).loss * 1e3) - 1)
    assert worst < -1e-4


def test_the_engine_bounds_what_it_does_not_solve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer states allowed than there are: gap 0 where balance leaves few open, an AC bound with a gap else."""
    feeder = random_feeder(TIGHT)
    least = min(losses_kw(opendssdirect.NewContext(), feeder, radial_states(feeder)))
    path = tmp_path / "feeder.dss"
    path.write_text(feeder.text, encoding="utf-8")
    loaded = load_with_source(path)
    assert loaded.source is not None
    problem = ReconfigurationProblem.of(loaded.network)
    monkeypatch.setattr(engine_module, "ASKED_SWEEPS", 0)
    monkeypatch.setattr(engine_module, "UNASKED_SWEEPS", 0)
    with loaded.source.circuit(loaded.network) as circuit:
        for share, gap in ((1.0, 1e-6), (0.0, 0.5)):
            monkeypatch.setattr(engine_module, "ASKED_STATES", 3)
            monkeypatch.setattr(engine_module, "SHARE_OF_BALANCED", share)
            result = PhaseTreeEngine([circuit]).solve(problem, SolveOptions(certify=Certificate.AC))
            assert result.certificate is Certificate.AC, result.message
            assert result.dual_bound_kw is not None
            assert least * (1 - gap) <= result.dual_bound_kw <= least * (1 + 1e-6)
            assert "with its loads balanced among the phases" in result.message
        monkeypatch.setattr(engine_module, "ASKED_STATES", 0)
        by_default = PhaseTreeEngine([circuit]).solve(problem, SolveOptions())
    assert (by_default.certificate, by_default.status) == (Certificate.AC, Status.OPTIMAL)


def test_a_load_is_an_impedance_below_vlowpu_whatever_vminpu_is(tmp_path: Path) -> None:
    """Its default is 0.5: where a voltage may fall below that there is no bound, unless a limit forbids it."""
    feeder = random_feeder(TIGHT)
    path = tmp_path / "feeder.dss"
    text = "\n".join(line.partition(" vlowpu")[0] for line in feeder.text.splitlines())
    path.write_text(text, encoding="utf-8")
    loaded = load_with_source(path)
    assert loaded.source is not None
    with loaded.source.circuit(loaded.network) as circuit:
        read = read_by(circuit, loaded.network)
    assert not isinstance(read, str)
    assert read.floor_v.max() == pytest.approx(0.5e3 * KV / math.sqrt(3))
    problem, normal = ReconfigurationProblem.of(loaded.network, limits=Limits()), loaded.network.normal_configuration
    refused = balanced_problem(problem, read, 1e6, normal)
    assert isinstance(refused, str)
    assert "where loads draw less than their power" in refused
    kept = problem.replace(limits=Limits(vm_min=0.6))
    assert not isinstance(balanced_problem(kept, read, 1e6, normal), str)
