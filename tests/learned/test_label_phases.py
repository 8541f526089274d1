"""Datasets of unbalanced feeders: drawn alike from one seed, labelled in all phases, and no model learns from them."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from learnopt.dataset.card import sentence
from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.store import read_instances, read_labels, read_manifest
from learnopt.errors import DataError, UnsupportedError
from learnopt.generator import FeederConfig, PhaseConfig
from learnopt.io.opendss.exported import ExportedTool
from learnopt.learned.labels import label_dataset
from learnopt.learned.training import proven_pairs, training_pair
from learnopt.network import Configuration, Network, ReconfigurationProblem, Status
from learnopt.network.topology import radiality_faults

FEEDERS = FeederConfig(buses=(10, 12), substations=(1, 1), loops=(2, 2), min_voltage=(0.95, 0.98))
CONFIG = GenerateConfig(
    seed=4,
    n_feeders=2,
    scenarios_per_feeder=1,
    shard_size=1,
    feeder=FEEDERS,
    phases=PhaseConfig(kappa=2.0, lateral_share=1.0, delta_share=0.3),
)


def test_one_seed_makes_one_dataset(tmp_path: Path) -> None:
    """The same bytes, whichever shards are made first; feeders are those without phases, split."""
    made = generate(CONFIG, tmp_path / "a")
    generate(CONFIG, tmp_path / "b", shards=[1])
    again = generate(CONFIG, tmp_path / "b")
    assert again.files == made.files
    assert "phases" in made.config
    assert "three phases" in sentence(made)
    balanced = GenerateConfig(seed=4, n_feeders=2, scenarios_per_feeder=1, shard_size=1, feeder=FEEDERS)
    assert "phases" not in generate(balanced, tmp_path / "c").config
    networks = [read_instances(tmp_path / name, 1)[0].problem.network for name in "ac"]
    assert networks[0].phases is not None
    assert not networks[0].phases.balanced
    assert networks[1].phases is None
    np.testing.assert_allclose(networks[0].p_load, networks[1].p_load)
    with pytest.raises(DataError, match="phases"):
        generate(balanced, tmp_path / "a")


def test_a_table_of_a_configuration(tmp_path: Path) -> None:
    """What is wrong in it is named with its table."""
    path = tmp_path / "d.toml"
    text = "seed = 1\nn_feeders = 1\nscenarios_per_feeder = 1\n"
    path.write_text(text + "[phases]\nkappa = 3.0\n", encoding="utf-8")
    assert GenerateConfig.from_toml(path).phases == PhaseConfig(kappa=3.0)
    path.write_text(text + "[phases]\nkappa = -3.0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"\[phases\] kappa = -3.0"):
        GenerateConfig.from_toml(path)
    path.write_text(text + "charging = false\n[phases]\n", encoding="utf-8")
    with pytest.raises(DataError, match="charging = false"):
        GenerateConfig.from_toml(path)


def _states(net: Network) -> list[Configuration]:
    """All radial states; laterals of one phase hang on no loop, so the buses decide."""
    switches = np.flatnonzero(net.switchable).tolist()
    found = []
    for opened in combinations(switches, int(net.n_loops)):
        closed = np.ones(net.n_branch, dtype=bool)
        closed[list(opened)] = False
        if not radiality_faults(net, closed):
            found.append(Configuration(closed))
    return found


def test_labels_are_the_least_of_all_states_in_all_phases(tmp_path: Path) -> None:
    """OpenDSS solves each radial state; models are not trained on these labels."""
    pytest.importorskip("opendssdirect")
    generate(replace(CONFIG, n_feeders=1), tmp_path / "d")
    with pytest.raises(UnsupportedError, match="milp"):
        label_dataset(tmp_path / "d", "milp")
    label_dataset(tmp_path / "d")
    statistics = read_manifest(tmp_path / "d").labels
    assert statistics is not None
    assert statistics.labelled == 1
    for record in read_labels(tmp_path / "d"):
        assert record.status is Status.OPTIMAL, record.message
        assert record.configuration is not None
        problem = record.problem
        least = _least(problem)
        assert record.loss_kw == pytest.approx(least, rel=1e-5)
        with pytest.raises(UnsupportedError, match="balanced feeders only"):
            proven_pairs([record])
        with pytest.raises(UnsupportedError, match="balanced feeders only"):
            training_pair(record, 0.1)


def _least(problem: ReconfigurationProblem) -> float:
    net, (scenario,) = problem.network, problem.situations
    losses = []
    with ExportedTool(net).circuit(net, scenario) as circuit:
        for state in _states(net):
            respected = not problem.faults(state)
            if respected and circuit.solve(state.closed):
                losses.append(circuit.loss_kw)
    return min(losses)
