"""A dataset is a function of its configuration, and an interrupted one is continued."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import CASES

from learnopt.dataset import GenerateConfig, generate, missing_shards, read_instances, read_manifest
from learnopt.errors import DataError
from learnopt.generator import FeederConfig, ScenarioConfig
from learnopt.network import Network
from learnopt.parallel import Workers

CONFIG = GenerateConfig(
    seed=3,
    n_feeders=4,
    scenarios_per_feeder=3,
    shard_size=5,
    feeder=FeederConfig(buses=(12, 20), substations=(1, 2), loops=(2, 3)),
)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Two runs give byte-identical folders; another seed does not."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate(replace(CONFIG, seed=seed), tmp_path / name)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert len(a) == 2 * 3 + 1
    assert a["scenarios-00000.parquet"] != c["scenarios-00000.parquet"]


def test_other_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Two processes, each a shard at a time: manifest and shards are those of this process."""
    generate(CONFIG, tmp_path / "here")
    generate(CONFIG, tmp_path / "there", workers=Workers(2))
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_interrupted_run_is_continued(tmp_path: Path) -> None:
    """Killed after the first shard and started again, a run gives the bytes of one that was not."""
    generate(CONFIG, tmp_path / "whole")

    def kill(done: int, total: int) -> None:
        assert (done, total) == (5, 12)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(CONFIG, tmp_path / "killed", progress=kill)
    assert missing_shards(tmp_path / "killed") == [1, 2]
    seen = []
    generate(CONFIG, tmp_path / "killed", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(10, 12), (12, 12)]
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_finished_dataset_is_left_alone(tmp_path: Path) -> None:
    """A second run on a finished folder writes no shard and returns the manifest."""
    generate(CONFIG, tmp_path)
    assert generate(CONFIG, tmp_path, progress=pytest.fail) == read_manifest(tmp_path)


def test_other_configuration_needs_another_folder(tmp_path: Path) -> None:
    """A changed distribution is an error that names it."""
    generate(CONFIG, tmp_path)
    changed = replace(CONFIG, scenario=ScenarioConfig(bus_sigma=0.3))
    with pytest.raises(DataError, match=r"config \(scenario\).*another folder"):
        generate(changed, tmp_path)


def test_more_feeders_keep_the_first_ones(tmp_path: Path) -> None:
    """Feeder and scenario k do not depend on how many there are."""
    generate(CONFIG, tmp_path / "few")
    generate(replace(CONFIG, n_feeders=6, shard_size=20), tmp_path / "many")
    few = [i for shard in range(3) for i in read_instances(tmp_path / "few", shard)]
    many = read_instances(tmp_path / "many", 0)[:12]
    for a, b in zip(few, many, strict=True):
        assert a.problem.network.name == b.problem.network.name
        assert (a.problem.p == b.problem.p).all()


def test_scenarios_of_a_feeder_differ(tmp_path: Path) -> None:
    """No two instances share their loads, and none contradicts itself."""
    generate(CONFIG, tmp_path)
    problems = [i.problem for shard in range(3) for i in read_instances(tmp_path, shard)]
    assert len({p.p.tobytes() for p in problems}) == 12
    assert all(p.contradictions == [] for p in problems)


def test_given_networks_instead_of_synthetic_ones(tmp_path: Path, case33: Network, triangle: Network) -> None:
    """Cases are used in order, and a case that changed since is noticed."""
    config = GenerateConfig(seed=1, cases=("33-bus", "triangle"), scenarios_per_feeder=2, limits="file")
    manifest = generate(config, tmp_path, [case33, triangle])
    assert [i.problem.network.n_bus for i in read_instances(tmp_path, 0)] == [33, 33, 3, 3]
    assert "feeder" not in manifest.config
    with pytest.raises(DataError, match=r"sources \(triangle\)"):
        generate(config, tmp_path, [case33, replace(triangle, r=2 * triangle.r)])
    with pytest.raises(DataError, match="1 networks were given for 2 cases"):
        generate(config, tmp_path, [case33])


@pytest.mark.skipif(not (CASES / "index.json").exists(), reason="no named cases in this checkout")
def test_named_cases(tmp_path: Path) -> None:
    """Names of published cases are enough; unknown ones are an error."""
    config = GenerateConfig(seed=1, cases=("case33",), scenarios_per_feeder=1)
    generate(config, tmp_path)
    assert read_instances(tmp_path, 0)[0].problem.network.n_bus == 33
    with pytest.raises(DataError, match="case34"):
        generate(replace(config, cases=("case34",)), tmp_path / "other")


@pytest.mark.parametrize(
    ("name", "buses"),
    [("small", (20, 60)), ("held_out", (20, 200)), ("held_out_wide", (10, 1000)), ("large", (10, 1000))],
)
def test_configurations_of_training_are_readable(name: str, buses: tuple[int, int]) -> None:
    """The files that the training steps use load, with the sizes they promise."""
    config = GenerateConfig.from_toml(Path(__file__).parents[2] / "training" / "configs" / f"dataset_{name}.toml")
    assert config.n_feeders >= 60
    assert config.feeder.buses == buses


def test_all_problems_of_a_file_at_once(tmp_path: Path) -> None:
    """Wrong values of all tables and misspelt keys come in one error that names the file."""
    path = tmp_path / "config.toml"
    path.write_text(
        "seed = -1\nscenarios_per_feeder = 0\nn_feeders = 2\n[feeder]\nbuses = [30, 20]\n[scenario]\nx = 1\n"
    )
    with pytest.raises(DataError) as caught:
        GenerateConfig.from_toml(path)
    text = str(caught.value)
    assert len(caught.value.violations) == 4
    for part in (str(path), "[feeder] buses = [30, 20]", "[scenario] x", "seed = -1", "scenarios_per_feeder = 0"):
        assert part in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed = = 1", "not TOML"),
        ("seed = 1\nscenarios_per_feeder = 1", "n_feeders = 0 must be >= 1, or list cases"),
        ('seed = 1\nscenarios_per_feeder = 1\nn_feeders = 1\ncases = ["case33"]', "give one of the two"),
        ("seed = 1\nscenarios_per_feeder = 1\nn_feeders = 1\nfeeder = 3", "must be a table"),
        ('seed = 1\nscenarios_per_feeder = 1\nn_feeders = 1\nlimits = "some"', "'none' or 'file'"),
        ("n_feeders = 1", "is missing"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, expected: str) -> None:
    """Each kind of wrong file has its own sentence."""
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(DataError, match=expected):
        GenerateConfig.from_toml(path)
    with pytest.raises(DataError, match="cannot be read"):
        GenerateConfig.from_toml(tmp_path / "absent.toml")
