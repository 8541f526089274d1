"""Shards survive kills and reveal damage; what is read back is what was written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_network

from learnopt.dataset import (
    Instance,
    LabelRecord,
    Manifest,
    create_dataset,
    finish_labels,
    labelled_feeders,
    labelled_shards,
    missing_shards,
    read_instances,
    read_labels,
    read_manifest,
    write_instances,
    write_labels,
)
from learnopt.dataset.store import begin_labels
from learnopt.errors import DataError
from learnopt.network import Certificate, Limits, Network, ReconfigurationProblem, Result, Scenario, Situations, Status
from learnopt.physics import evaluate

MANIFEST = Manifest(seed=7, n_feeders=2, scenarios_per_feeder=3, shard_size=4)


def square(vm_min: float | None = None) -> Network:
    branches = [
        ("a", 1, 1, 1),
        (1, "b", 1, 1, {"b_us": 9}),
        ("b", 3.5, 1, 1),
        ("a", 3.5, 1, 1, {"normally_open": True}),
    ]
    limits = {"voltage_limits": {"vmin_pu": vm_min, "vmax_pu": None}} if vm_min else {}
    return make_network(branches, {1: (100, 50), "b": (70, -20), 3.5: (0, 0)}, substations=["a"], **limits)


def instances() -> list[Instance]:
    """Six instances on two feeders, with generation, an outage and locks somewhere."""
    made = []
    for feeder in range(2):
        low = np.array([0.95, 0.9, 0.92, 0.95]) if feeder else 0.95  # of each bus, and of all alike
        network = replace(square(), name=f"square {feeder}", vm_min=low)
        for scenario in range(3):
            rng = np.random.default_rng([feeder, scenario])
            changed = replace(
                Scenario.nominal(network),
                name=f"{feeder}/{scenario}",
                p_load=network.p_load * rng.uniform(0.5, 1.5),
                p_gen=rng.uniform(size=4) * (scenario == 1),
                q_gen=-rng.uniform(size=4) * (scenario == 1),
                out_of_service=np.array([False, scenario == 2, False, False]),
                locked=np.array([1, -1, -1, 0 if scenario == 0 else -1], dtype=np.int8),
            )
            made.append(Instance(feeder, scenario, 7, ReconfigurationProblem(network, Situations.of(changed))))
    return made


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    create_dataset(tmp_path / "d", MANIFEST)
    made = instances()
    write_instances(tmp_path / "d", 0, made[:4])
    write_instances(tmp_path / "d", 1, made[4:])
    return tmp_path / "d"


def solved(instance: Instance) -> LabelRecord:
    """The normal configuration, as if it were the optimum."""
    configuration = instance.problem.network.normal_configuration
    evaluation = evaluate(instance.problem, configuration)
    return LabelRecord.of(
        instance,
        Result(
            Status.OPTIMAL,
            "fake",
            "1.0",
            Certificate.AC,
            configuration,
            evaluation,
            objective_kw=evaluation.loss_kw,
            dual_bound_kw=evaluation.loss_kw,
            message="proven",
            solve_time_s=0.25,
        ),
    )


def failed(instance: Instance) -> LabelRecord:
    return LabelRecord.of(instance, Result(Status.INFEASIBLE, "fake", "1.0", message="bus 3 cannot be fed"))


def label_all(directory: Path) -> None:
    for shard in range(2):
        read = read_instances(directory, shard)
        write_labels(directory, shard, [failed(i) if i.scenario_index == 2 else solved(i) for i in read])


def assert_same_problem(a: ReconfigurationProblem, b: ReconfigurationProblem) -> None:
    for name in ("p_load", "q_load", "p_gen", "q_gen"):
        np.testing.assert_allclose(getattr(a.scenario, name), getattr(b.scenario, name), rtol=1e-12)
    for name in ("out_of_service", "locked"):
        assert np.array_equal(getattr(a.scenario, name), getattr(b.scenario, name))
    assert a.scenario.name == b.scenario.name
    assert (a.network.name, a.network.bus_ids, a.network.branch_ids) == (
        b.network.name,
        b.network.bus_ids,
        b.network.branch_ids,
    )
    np.testing.assert_allclose(a.network.r, b.network.r, rtol=1e-11)
    assert (a.network.vm_min.tolist(), a.network.vm_max.tolist()) == (
        b.network.vm_min.tolist(),
        b.network.vm_max.tolist(),
    )
    assert (a.limits, a.charging) == (b.limits, b.charging)


def test_instances_round_trip(dataset: Path) -> None:
    """Problems come back equal, in order, with ids of their type, across shards that split a feeder."""
    read = [i for shard in range(2) for i in read_instances(dataset, shard)]
    assert [(i.feeder_index, i.scenario_index, i.seed) for i in read] == [(f, s, 7) for f in range(2) for s in range(3)]
    for ours, theirs in zip(instances(), read, strict=True):
        assert_same_problem(ours.problem, theirs.problem)
    assert read[0].problem.network.bus_ids == ("a", 1, "b", 3.5)


def test_instances_of_a_feeder_share_their_network(dataset: Path) -> None:
    """A network is parsed once per shard."""
    read = read_instances(dataset, 0)
    assert read[0].problem.network is read[2].problem.network
    assert read[0].problem.network is not read[3].problem.network


def test_limits_and_charging_come_from_the_manifest(tmp_path: Path) -> None:
    """``file`` enforces the limits of the case files, ``none`` enforces none."""
    options = (("file", False, Limits(ampacity=True, substations=True, voltage=True)), ("none", True, Limits()))
    for limits, charging, expected in options:
        directory = tmp_path / limits
        create_dataset(directory, replace(MANIFEST, limits=limits, charging=charging))
        write_instances(directory, 0, instances()[:4])
        problem = read_instances(directory, 0)[0].problem
        assert (problem.limits, problem.charging) == (expected, charging)


def test_labels_round_trip(dataset: Path) -> None:
    """Labels come back with their problems, numbers to the last bit."""
    label_all(dataset)
    read = list(read_labels(dataset))
    assert len(read) == 6
    for record in read:
        assert_same_problem(record.problem, instances()[3 * record.feeder_index + record.scenario_index].problem)
        if record.status is Status.OPTIMAL:
            assert record == replace(solved(record.instance), configuration=record.configuration)
            assert record.configuration == record.problem.network.normal_configuration
            assert record.loss_kw > 0
            assert record.gap == 0


def test_labels_of_some_feeders(dataset: Path) -> None:
    """Those of one feeder as among all, in order; the manifest alone tells which feeders are labelled."""
    assert labelled_feeders(dataset) == []
    label_all(dataset)
    assert labelled_feeders(dataset) == [0, 1]
    for feeder in range(2):
        places = [(r.feeder_index, r.scenario_index, r.status) for r in read_labels(dataset, {feeder})]
        expected = [(r.feeder_index, r.scenario_index, r.status) for r in read_labels(dataset)]
        assert places == [each for each in expected if each[0] == feeder]
        assert len(places) == 3
    assert list(read_labels(dataset, set())) == []


def test_failures_survive(dataset: Path) -> None:
    """A failure is a row with status and message, without configuration or numbers."""
    label_all(dataset)
    failures = [r for r in read_labels(dataset) if r.scenario_index == 2]
    assert len(failures) == 2
    for record in failures:
        assert record.status is Status.INFEASIBLE
        assert record.message == "bus 3 cannot be fed"
        assert record.certificate is Certificate.NONE
        assert (record.configuration, record.loss_kw, record.dual_bound_kw, record.gap) == (None, None, None, None)


def test_a_power_flow_that_failed_has_no_loss(dataset: Path) -> None:
    """NaN of a failed evaluation is stored as absent."""
    instance = read_instances(dataset, 0)[0]
    bad = instance.problem.network.configuration([])
    record = LabelRecord.of(
        instance, Result(Status.FEASIBLE, "fake", "1", configuration=bad, evaluation=evaluate(instance.problem, bad))
    )
    assert record.loss_kw is None


def test_labelling_resumes_after_a_kill(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard killed while it is written is not there, and finished ones stay as they are."""
    read = [read_instances(dataset, shard) for shard in range(2)]
    write_labels(dataset, 0, [solved(i) for i in read[0]])
    before = (dataset / "labels-00000.parquet").read_bytes()

    def killed(self: Path, content: bytes) -> None:
        with self.open("wb") as file:
            file.write(b"PAR1 half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            write_labels(dataset, 1, [solved(i) for i in read[1]])
    assert labelled_shards(dataset) == [0]
    assert len(list(read_labels(dataset))) == 4
    assert not list(dataset.glob(".*partial"))
    write_labels(dataset, 1, [solved(i) for i in read[1]])
    assert labelled_shards(dataset) == [0, 1]
    assert (dataset / "labels-00000.parquet").read_bytes() == before


def test_instances_of_a_killed_run_are_missing(tmp_path: Path) -> None:
    """A shard counts only once the manifest lists it, whatever files lie around."""
    create_dataset(tmp_path, MANIFEST)
    write_instances(tmp_path, 1, instances()[4:])
    (tmp_path / "scenarios-00000.parquet").write_bytes(b"half")
    assert missing_shards(tmp_path) == [0]
    with pytest.raises(DataError, match="shard 0 was not generated"):
        read_instances(tmp_path, 0)


@pytest.mark.parametrize("name", ["feeders-00000.parquet", "scenarios-00000.parquet", "labels-00000.parquet"])
def test_changed_file_is_noticed(dataset: Path, name: str) -> None:
    """One flipped byte in any file is an error that names the file and says checksum."""
    label_all(dataset)
    finish_labels(dataset)
    content = bytearray((dataset / name).read_bytes())
    content[len(content) // 2] ^= 1
    (dataset / name).write_bytes(content)
    with pytest.raises(DataError, match="checksum") as caught:
        list(read_labels(dataset))
    assert name in str(caught.value)


def test_damaged_unfinished_labels_are_noticed(dataset: Path) -> None:
    """Before checksums of labels exist, a file that is not Parquet is still an error with advice."""
    label_all(dataset)
    (dataset / "labels-00001.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="not a Parquet file"):
        list(read_labels(dataset))


def test_missing_file_is_noticed(dataset: Path) -> None:
    """A file that the manifest lists but that is gone is an error that names it."""
    (dataset / "feeders-00001.parquet").unlink()
    with pytest.raises(DataError, match="feeders-00001"):
        read_instances(dataset, 1)


def test_statistics_of_labels(dataset: Path) -> None:
    """Counts by status, and distinct configurations per feeder."""
    for shard in range(2):
        read = read_instances(dataset, shard)
        records = [failed(i) if i.scenario_index == 2 else solved(i) for i in read]
        if shard == 1:  # scenario 1 of feeder 1 gets another configuration
            net = records[0].problem.network
            records[0] = replace(records[0], configuration=net.configuration([1]))
        write_labels(dataset, shard, records)
    labels = finish_labels(dataset).labels
    assert labels is not None
    assert labels.labelled == 6
    assert labels.status == {"infeasible": 2, "optimal": 4}
    assert labels.certificate == {"ac": 4, "none": 2}
    assert labels.engine == {"fake 1.0": 6}
    assert labels.distinct_configurations == 3
    assert (labels.feeders, labels.feeders_with_one_configuration) == (2, 1)
    assert labels.solve_time_s == 1.0
    assert read_manifest(dataset).labels == labels
    assert len(list(read_labels(dataset))) == 6


def test_labels_of_a_shard_stay(dataset: Path) -> None:
    """Whoever comes later with other answers (taken for dead, and back) changes nothing that was counted."""
    label_all(dataset)
    finish_labels(dataset)
    before = {path.name: path.read_bytes() for path in dataset.iterdir()}
    write_labels(dataset, 0, [failed(i) for i in read_instances(dataset, 0)])
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == before


def test_what_killed_writers_left_is_cleared(dataset: Path) -> None:
    """Temporary files of shards that are complete go; of others they may be in work."""
    label_all(dataset)
    (dataset / ".labels-00001.parquet.77-abc.partial").write_bytes(b"half")
    (dataset / ".labels-00009.parquet.78-abc.partial").write_bytes(b"half")
    finish_labels(dataset)
    assert [path.name for path in dataset.glob(".*")] == [".labels-00009.parquet.78-abc.partial"]


def test_new_labels_drop_old_statistics(dataset: Path) -> None:
    """Labelling a shard again makes statistics and checksums of labels void until finished again."""
    label_all(dataset)
    finish_labels(dataset)
    begin_labels(dataset)
    (dataset / "labels-00000.parquet").unlink()
    write_labels(dataset, 0, [failed(i) for i in read_instances(dataset, 0)])
    manifest = read_manifest(dataset)
    assert manifest.labels is None
    assert not any(name.startswith("labels") for name in manifest.files)
    assert sum(r.status is Status.INFEASIBLE for r in read_labels(dataset)) == 5
    assert finish_labels(dataset).labels.status == {"infeasible": 5, "optimal": 1}


def test_rows_must_match_the_shard(dataset: Path) -> None:
    """Labels that miss an instance or come in another order are refused."""
    records = [solved(i) for i in read_instances(dataset, 0)]
    with pytest.raises(DataError, match="3 rows instead of 4"):
        write_labels(dataset, 0, records[:3])
    with pytest.raises(DataError, match="row 0 is"):
        write_labels(dataset, 0, records[::-1])
    with pytest.raises(DataError, match="shard 2 does not exist"):
        write_labels(dataset, 2, [])


def test_another_dataset_is_not_overwritten(dataset: Path) -> None:
    """The same origin continues; another one is told to choose another folder."""
    assert create_dataset(dataset, MANIFEST) == read_manifest(dataset)
    with pytest.raises(DataError, match=r"seed \(7 there, 8 here\).*another folder"):
        create_dataset(dataset, replace(MANIFEST, seed=8))


def test_manifest_of_another_schema(dataset: Path) -> None:
    """A dataset of a later format is refused with the version that wrote it; a folder without manifest says so."""
    raw = json.loads((dataset / "manifest.json").read_text())
    (dataset / "manifest.json").write_text(json.dumps({**raw, "schema_version": 99, "learnopt_version": "9.9"}))
    with pytest.raises(DataError, match=r"schema_version = 99.*learnopt 9\.9"):
        read_manifest(dataset)
    with pytest.raises(DataError, match="not a dataset"):
        read_manifest(dataset / "nowhere")
