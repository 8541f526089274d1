"""Named networks for tests, each with the reason it exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from learnopt.io.case_json import network_from_dict, read_case_json
from learnopt.network import Network

CASES = Path(__file__).parents[1] / "datasets" / "cases"

# How long drawing an example takes says how busy the machine is, nothing else.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def make_network(
    branches: list[tuple[Any, ...]],
    loads: dict[Any, tuple[float, float]],
    substations: list[Any] | None = None,
    base_kv: float = 10.0,
    **case: Any,
) -> Network:
    """A network from tuples (from, to, r_ohm, x_ohm[, overrides]); buses are what branches and loads name.

    Branch ids count from 1; ``overrides`` is a dict of further branch keys of the case file.
    """
    substations = [0] if substations is None else substations
    names = dict.fromkeys([*substations, *(end for b in branches for end in b[:2]), *loads])
    return network_from_dict(
        {
            "name": "test",
            "base_kv": base_kv,
            "substations": substations,
            "buses": [{"id": k, "p_kw": loads.get(k, (0, 0))[0], "q_kvar": loads.get(k, (0, 0))[1]} for k in names],
            "branches": [
                {"id": e, "from": b[0], "to": b[1], "r_ohm": b[2], "x_ohm": b[3], **(b[4] if len(b) > 4 else {})}
                for e, b in enumerate(branches, 1)
            ],
            **case,
        },
        "test network",
    )


def random_network(rng: np.random.Generator, n_bus: int, n_loops: int, n_substations: int = 1, **case: Any) -> Network:
    """A connected random network with parallel branches allowed; the first tree is closed, the chords are open."""
    ends = [(k, int(rng.integers(max(0, k - 3), k))) for k in range(1, n_bus)]
    ends = [(b, a) for a, b in ends if a >= n_substations]
    while len(ends) < n_bus - n_substations + n_loops:
        a, b = (int(k) for k in rng.choice(n_bus, 2, replace=False))
        if a >= n_substations or b >= n_substations:
            ends.append((a, b))
    n_tree = n_bus - n_substations
    branches = [
        (a, b, *rng.uniform(0.1, 1.5, 2).round(4).tolist(), {"normally_open": e >= n_tree})
        for e, (a, b) in enumerate(ends)
    ]
    loads = {k: tuple(rng.uniform(0, 1, 2).round(4) * (300, 150)) for k in range(n_substations, n_bus)}
    return make_network(branches, loads, substations=list(range(n_substations)), **case)


@pytest.fixture(scope="session")
def two_bus() -> Network:
    """One line, one load: the power flow has a closed formula."""
    return make_network([(0, 1, 1.0, 0.5)], {1: (1000, 400)})


@pytest.fixture(scope="session")
def triangle() -> Network:
    """Smallest loop: three configurations, checked by hand."""
    loads = {1: (500, 200), 2: (300, 100)}
    return make_network([(0, 1, 1, 1), (1, 2, 1, 1), (0, 2, 2, 2, {"normally_open": True})], loads)


@pytest.fixture(scope="session")
def parallel_branches() -> Network:
    """Two branches between the same buses: a branch is an index, not a pair of buses."""
    return make_network(
        [(0, 1, 1, 1), (0, 1, 2, 1, {"normally_open": True}), (1, 2, 1, 1)], {1: (200, 50), 2: (300, 90)}
    )


@pytest.fixture(scope="session")
def two_substations() -> Network:
    """A path between two substations is a loop."""
    loads = {1: (400, 100), 2: (400, 100)}
    return make_network([("A", 1, 1, 1), (1, 2, 1, 1, {"normally_open": True}), (2, "B", 1, 1)], loads, ["A", "B"])


@pytest.fixture(scope="session")
def coupler() -> Network:
    """A zero-impedance bus coupler between two feeders (ACBOUND 11.1: contracting it would lose the optimum)."""
    loads = {1: (1000, 0), 2: (1000, 0)}
    return make_network([(0, 1, 1, 1), (0, 2, 1, 1), (1, 2, 0, 0, {"normally_open": True})], loads)


@pytest.fixture(scope="session")
def case33() -> Network:
    """The 33-bus system of Baran and Wu: 5 loops, 50751 radial configurations."""
    return read_case_json(CASES / "case33.json")


@pytest.fixture(scope="session")
def case16() -> Network:
    """Three feeders on three substations with capacitors: 190 radial configurations."""
    return read_case_json(CASES / "case16.json")


def _labelled(folder: Path, seed: int) -> Path:
    """30 feeders of 10 to 20 buses with two scenarios each, labelled exactly."""
    from learnopt.dataset.generate import GenerateConfig, generate
    from learnopt.generator import FeederConfig, ScenarioConfig
    from learnopt.learned.labels import label_dataset

    config = GenerateConfig(
        seed=seed,
        n_feeders=30,
        scenarios_per_feeder=2,
        shard_size=20,
        charging=False,
        feeder=FeederConfig(buses=(10, 20), substations=(1, 2), loops=(2, 3)),
        scenario=ScenarioConfig(generation_probability=0.1),
    )
    generate(config, folder)
    label_dataset(folder)
    return folder


@pytest.fixture(scope="session")
def labelled_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 feeders with labels, of seed 3. Read only."""
    return _labelled(tmp_path_factory.mktemp("data") / "tiny", 3)


@pytest.fixture(scope="session")
def other_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 others of the kind, of seed 4: the tiny checkpoint has not seen them. Read only."""
    return _labelled(tmp_path_factory.mktemp("data") / "held_out", 4)


@pytest.fixture(scope="session")
def tiny_checkpoint(labelled_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that saw a handful of feeders twice, calibrated on enough to fix at a risk of 0.05. Read only."""
    from learnopt.learned.training import train
    from learnopt.learning.config import TrainingConfig
    from learnopt.learning.model import ModelConfig

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    config = TrainingConfig(
        name="tiny", epochs=2, calibration_share=0.64, test_share=0.1, model=ModelConfig(hidden=8, layers=1)
    )
    train(config, labelled_dataset, folder)
    return folder


@pytest.fixture
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache and state of the user in a folder of the test, and no MLflow store in the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user" / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "user" / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "user"
