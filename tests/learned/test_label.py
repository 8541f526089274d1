"""Labels are exact, survive interruption, and one bad instance costs no other."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from oracles import enumerated

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.store import labelled_shards, read_instances, read_labels, read_manifest
from learnopt.engines import SolveOptions, load_engine
from learnopt.errors import CheckpointError, DataError, UnsupportedError
from learnopt.generator import FeederConfig
from learnopt.learned import labels as label
from learnopt.learned.labels import LABEL_OPTIONS, label_dataset
from learnopt.learned.training import proven_pairs
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status
from learnopt.parallel import Workers, pool, run_tasks


class Stub:
    """An engine that behaves badly on every second instance."""

    name = "stub"

    def __init__(self, bad: Status | Exception) -> None:
        self.bad = bad
        self.calls = 0

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Well on odd calls."""
        self.calls += 1
        if self.calls % 2:
            return load_engine("tree").solve(problem, options, start)
        if isinstance(self.bad, Exception):
            raise self.bad
        return Result(status=self.bad, engine="stub", engine_version="1", message="as told")


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    """Four instances in two shards."""
    feeder = FeederConfig(buses=(10, 12), substations=(1, 1), loops=(2, 2))
    generate(GenerateConfig(seed=1, n_feeders=2, scenarios_per_feeder=2, shard_size=2, feeder=feeder), tmp_path / "d")
    return tmp_path / "d"


def test_labels_are_the_enumerated_optimum(labelled_dataset: Path) -> None:
    """Every proven AC label; what has no such proof says so."""
    proven = 0
    for record in read_labels(labelled_dataset):
        assert record.configuration is not None
        assert record.problem.faults(record.configuration) == []
        if record.certificate is Certificate.AC:
            proven += 1
            assert record.status is Status.OPTIMAL
            assert record.loss_kw == pytest.approx(enumerated(record.problem).loss_kw, rel=1e-6)
    assert proven > 40


def test_statistics_count_every_label(labelled_dataset: Path) -> None:
    """They are those of the labels on disk."""
    manifest = read_manifest(labelled_dataset)
    records = list(read_labels(labelled_dataset))
    statistics = manifest.labels
    assert statistics is not None
    assert statistics.labelled == len(records) == manifest.n_instances == 60
    assert statistics.status == {"optimal": 60}
    assert sum(statistics.certificate.values()) == sum(statistics.engine.values()) == 60
    assert statistics.certificate["ac"] == sum(r.certificate is Certificate.AC for r in records)
    assert statistics.feeders == 30
    assert statistics.distinct_configurations == len({(r.feeder_index, r.configuration) for r in records})
    assert statistics.solve_time_s == pytest.approx(sum(r.solve_time_s for r in records), abs=1e-3)


def test_second_run_solves_nothing(labelled_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No task is handed out, no label file is touched, progress says all is done, the manifest is the same."""
    files = sorted(labelled_dataset.glob("labels-*"))
    times = [path.stat().st_mtime_ns for path in files]
    before = read_manifest(labelled_dataset)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(pool.ProcessPoolExecutor, "submit", never)
    progress = []
    assert label_dataset(labelled_dataset, progress=lambda *counts: progress.append(counts)) == before
    assert [path.stat().st_mtime_ns for path in files] == times
    assert progress == [(3, 3)]


def test_only_missing_shards_are_solved(unlabelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first shard there, only the second is handed out."""
    label._label_shard(unlabelled, 0, "tree", LABEL_OPTIONS)
    asked = []

    def here(function: Any, shards: list[int], workers: Workers, **rest: Any) -> list[Any]:
        asked.extend(shards)
        return run_tasks(function, shards, Workers(0), **rest)

    monkeypatch.setattr(label, "run_tasks", here)
    progress = []
    manifest = label_dataset(unlabelled, progress=lambda *counts: progress.append(counts))
    assert asked == [1]
    assert progress == [(1, 2), (2, 2)]
    assert manifest.labels is not None
    assert manifest.labels.labelled == 4


def test_engine_that_raises_leaves_failure_records(unlabelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other labels of the shard are kept, the failure has type and message, and nobody trains on it."""
    stub = Stub(ZeroDivisionError("a bug"))
    monkeypatch.setattr(label, "load_engine", lambda _: stub)
    for shard in range(2):
        label._label_shard(unlabelled, shard, "stub", LABEL_OPTIONS)
    records = list(read_labels(unlabelled))
    failed = [r for r in records if r.status is Status.NO_SOLUTION]
    assert len(records) == 4
    assert [r.message for r in failed] == ["ZeroDivisionError: a bug"] * 2
    assert [r.engine for r in failed] == ["stub"] * 2
    pairs, feeders, _ = proven_pairs(records)
    assert len(pairs) == len(feeders) == 2


@pytest.mark.parametrize("status", [Status.FEASIBLE, Status.INFEASIBLE, Status.NO_SOLUTION])
def test_unproven_labels_are_kept_and_not_trained_on(
    unlabelled: Path, monkeypatch: pytest.MonkeyPatch, status: Status
) -> None:
    """Whatever an engine says is on disk; only proven answers are pairs."""
    stub = Stub(status)
    monkeypatch.setattr(label, "load_engine", lambda _: stub)
    label._label_shard(unlabelled, 0, "stub", LABEL_OPTIONS)
    records = list(read_labels(unlabelled))
    assert [r.status for r in records] == [Status.OPTIMAL, status]
    assert len(proven_pairs(records)[0]) == 1


def test_interrupted_instance_is_no_label(unlabelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines turn Ctrl-C into a result; here it stops the work and the shard is solved again next time."""
    stub = Stub(Status.INTERRUPTED)
    monkeypatch.setattr(label, "load_engine", lambda _: stub)
    with pytest.raises(KeyboardInterrupt):
        label._label_shard(unlabelled, 0, "stub", LABEL_OPTIONS)
    assert labelled_shards(unlabelled) == []


def test_bad_calls(unlabelled: Path, tmp_path: Path) -> None:
    """Unknown engine, folder without dataset: errors before a process is started."""
    with pytest.raises(DataError, match="'magic' is not an engine"):
        label_dataset(unlabelled, "magic")
    with pytest.raises(DataError, match="learnopt generate"):
        label_dataset(tmp_path)


@pytest.mark.parametrize(
    "error", [DataError("a file", ["one", "two"]), UnsupportedError("too large"), CheckpointError("gone")]
)
def test_errors_cross_process_boundaries(error: Exception) -> None:
    """An error of a worker reaches the user as it is, not as a broken pool."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.messages) == (str(error), error.messages)  # type: ignore[attr-defined]


def test_instances_keep_their_place(labelled_dataset: Path) -> None:
    """Label k belongs to instance k, through all shards."""
    instances = [i for shard in range(3) for i in read_instances(labelled_dataset, shard)]
    places = [(i.feeder_index, i.scenario_index) for i in instances]
    assert [(r.feeder_index, r.scenario_index) for r in read_labels(labelled_dataset)] == places
    assert places == sorted(places)
