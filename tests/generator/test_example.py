"""The example feeder and its files: readable, within limits, the same bytes from one seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.generator.example import write_example
from learnopt.io import load, read_profiles, read_scenarios
from learnopt.network import Limits, ReconfigurationProblem, Situations
from learnopt.physics import evaluate

FILES = ("feeder.json", "now.json", "several.json", "day.csv", "weeks.csv", "year.csv")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, in a folder of its own."""
    folder = tmp_path_factory.mktemp("example") / "sample"
    assert [path.name for path in write_example(folder, np.random.default_rng(7))] == list(FILES)
    return folder


def test_one_seed_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    """Twice the same files, and others from another seed."""
    write_example(tmp_path / "again", np.random.default_rng(7))
    write_example(tmp_path / "other", np.random.default_rng(8))
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (written / name).read_bytes()
    assert (tmp_path / "other" / "feeder.json").read_bytes() != (written / "feeder.json").read_bytes()


def test_feeder_has_names_and_starts_within_its_limits(written: Path) -> None:
    """Every station has a name of its own; the present state is radial and breaks no limit."""
    network = load(written / "feeder.json")
    assert all(network.bus_names)
    assert len(set(network.bus_names)) == network.n_bus
    problem = ReconfigurationProblem.of(network, limits=Limits.of(network))
    assert problem.faults(network.normal_configuration) == []
    assert evaluate(problem, network.normal_configuration).violations == ()


def test_scenarios_and_profiles_are_read(written: Path) -> None:
    """The scenario takes a cable out, the three have weights, and the profiles have a day, four weeks and a year."""
    network = load(written / "feeder.json")
    now, _ = read_scenarios(written / "now.json", network)
    assert not isinstance(now, Situations)
    assert now.out_of_service.sum() == 1
    several, _ = read_scenarios(written / "several.json", network)
    assert isinstance(several, Situations)
    assert several.weights.tolist() == [0.25, 0.625, 0.125]
    assert several.scenarios[2].p_gen.sum() > 0
    for name, instants in (("day.csv", 24), ("weeks.csv", 336), ("year.csv", 8760)):
        profiles = read_profiles(written / name, network)
        assert len(profiles) == instants
        assert (profiles.p[:, network.p_load > 0] > 0).all()


def test_files_that_exist_are_kept(written: Path) -> None:
    """A folder that holds one of the files is refused, and named."""
    before = (written / "now.json").read_bytes()
    with pytest.raises(DataError, match="exist already"):
        write_example(written, np.random.default_rng(1))
    assert (written / "now.json").read_bytes() == before
