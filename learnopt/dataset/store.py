"""Shards of a dataset folder.

.. code-block:: text

    DIR/manifest.json               how it was made; checksums; label statistics
        feeders-00000.parquet       the feeders of shard 0: feeder_index, name, case_json (a case file)
        scenarios-00000.parquet     one row per instance: loads and generation per bus, outages, locks
        labels-00000.parquet        one row per instance, in the same order

``DIR`` is a folder, or an address of an object store (:mod:`learnopt.io.places`). Buses and branches in lists are
positions in the case file. Whoever does the work writes its shards, whole or not at all, so a file that exists is
complete: after a kill, finished shards are kept and the interrupted one is made again. The manifest is written by the
one process that hands out the work. Labels are never replaced: of two processes that come to the same shard (one was
taken for dead and has come back), the first one to finish has labelled it. Files hold no time of day: the same seed and
versions give the same bytes (solve times apart).
"""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from learnopt.dataset.manifest import MANIFEST, LabelStatistics, Manifest, read_manifest, sha256
from learnopt.dataset.records import Instance, LabelRecord
from learnopt.errors import DataError
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.io.places import Place, names_in, place_of, remove_partial, write_bytes, write_new
from learnopt.network import (
    Certificate,
    Configuration,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    Status,
)

_INDICES = pa.list_(pa.int32())
_PER_BUS = pa.list_(pa.float64())
_PLACE = [("feeder_index", pa.int32()), ("scenario_index", pa.int32())]

FEEDER_SCHEMA = pa.schema([("feeder_index", pa.int32()), ("name", pa.string()), ("case_json", pa.string())])
SCENARIO_SCHEMA = pa.schema(
    [
        *_PLACE,
        ("seed", pa.int64()),
        ("name", pa.string()),
        ("p_kw", _PER_BUS),
        ("q_kvar", _PER_BUS),
        ("p_gen_kw", _PER_BUS),
        ("q_gen_kvar", _PER_BUS),
        ("out_of_service", _INDICES),
        ("locked_open", _INDICES),
        ("locked_closed", _INDICES),
    ]
)
LABEL_SCHEMA = pa.schema(
    [
        *_PLACE,
        ("status", pa.string()),
        ("open_branches", _INDICES),
        ("loss_kw", pa.float64()),
        ("dual_bound_kw", pa.float64()),
        ("certificate", pa.string()),
        ("gap", pa.float64()),
        ("engine", pa.string()),
        ("engine_version", pa.string()),
        ("solve_time_s", pa.float64()),
        ("message", pa.string()),
    ]
)


def create_dataset(directory: Place, manifest: Manifest) -> Manifest:
    """Start a dataset folder, or continue the one that is there; returns the manifest on disk.

    Raises
    ------
    DataError
        If the folder holds a dataset made from something else.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if write_new(directory / MANIFEST, manifest.to_json().encode("utf-8")):
        return manifest
    found = read_manifest(directory)
    theirs, ours = found.origin, manifest.origin
    differing = [k for k in ours if theirs[k] != ours[k]]
    if differing:
        names = []
        for key in differing:
            if isinstance(ours[key], dict):
                inner = sorted(k for k in {*ours[key], *theirs[key]} if ours[key].get(k) != theirs[key].get(k))
                names.append(f"{key} ({', '.join(inner)})")
            else:
                names.append(f"{key} ({theirs[key]} there, {ours[key]} here)")
        raise DataError(
            str(directory),
            [f"holds a dataset that differs in {', '.join(names)}: choose another folder, or delete this one"],
        )
    return found


def missing_shards(directory: Place) -> list[int]:
    """Shards whose instances are not written yet."""
    manifest = read_manifest(directory)
    return [k for k in range(manifest.n_shards) if _scenarios(directory, k).name not in manifest.files]


def write_instances(directory: Place, shard: int, instances: Sequence[Instance]) -> None:
    """Write the instances of one shard, in the order of :meth:`Manifest.places`, and name them in the manifest."""
    name_files(directory, write_shard(directory, shard, instances))


def write_shard(directory: Place, shard: int, instances: Sequence[Instance]) -> dict[str, str]:
    """The same without the manifest, as processes do that write different shards at once; returns checksums by file."""
    manifest = read_manifest(directory)
    _check_places(directory, manifest, shard, [(i.feeder_index, i.scenario_index) for i in instances])
    feeders = {i.feeder_index: i.problem.network for i in instances}
    rows = [
        {"feeder_index": k, "name": net.name, "case_json": json.dumps(network_to_dict(net), separators=(",", ":"))}
        for k, net in feeders.items()
    ]
    contents = {
        _feeders(directory, shard): _parquet(rows, FEEDER_SCHEMA),
        _scenarios(directory, shard): _parquet([_scenario_row(i) for i in instances], SCENARIO_SCHEMA),
    }
    for path, content in contents.items():
        write_bytes(path, content)
    return {path.name: sha256(content) for path, content in contents.items()}


def name_files(directory: Place, files: Mapping[str, str]) -> None:
    """Name files of shards in the manifest: from then on those count as written. One process at a time."""
    manifest = read_manifest(directory)
    replace(manifest, files=dict(sorted({**manifest.files, **files}.items()))).write(directory)
    for name in files:
        remove_partial(directory, name)


def read_instances(directory: Place, shard: int, feeders: Collection[int] | None = None) -> list[Instance]:
    """Instances of one shard, in order; those of one feeder share their network.

    Parameters
    ----------
    feeders
        Only the instances of these; all where absent.

    Raises
    ------
    DataError
        If the shard is not there or does not match its checksum.
    """
    manifest = read_manifest(directory)
    if shard in range(manifest.n_shards) and _scenarios(directory, shard).name not in manifest.files:
        raise DataError(
            str(directory), [f"shard {shard} was not generated: run `learnopt generate` again, it continues"]
        )
    networks = _networks(directory, shard, manifest, feeders)
    limits = {k: Limits.of(net) if manifest.limits == "file" else Limits() for k, net in networks.items()}
    instances = []
    for row in _of(feeders, _read(_scenarios(directory, shard), manifest, SCENARIO_SCHEMA)):
        feeder = row["feeder_index"]
        problem = ReconfigurationProblem.of(
            networks[feeder],
            _scenario(networks[feeder], row),
            limits=limits[feeder],
            charging=manifest.charging,
        )
        instances.append(Instance(feeder, row["scenario_index"], row["seed"], problem))
    return instances


def read_network(directory: Place, feeder: int) -> Network:
    """One feeder of a dataset.

    Raises
    ------
    DataError
        If its shard is not there or does not match its checksum.
    """
    manifest = read_manifest(directory)
    shard = feeder * manifest.scenarios_per_feeder // manifest.shard_size
    return _networks(directory, shard, manifest, {feeder})[feeder]


def _networks(directory: Place, shard: int, manifest: Manifest, feeders: Collection[int] | None) -> dict[int, Network]:
    """Feeders of a shard by their number."""
    path = _feeders(directory, shard)
    return {
        row["feeder_index"]: network_from_dict(json.loads(row["case_json"]), f"{path}, feeder {row['feeder_index']}")
        for row in _of(feeders, _read(path, manifest, FEEDER_SCHEMA))
    }


def _of(feeders: Collection[int] | None, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return rows if feeders is None else [row for row in rows if row["feeder_index"] in feeders]


def labelled_shards(directory: Place) -> list[int]:
    """Shards whose labels are written; the others are still to be labelled."""
    names = names_in(directory)
    return [k for k in range(read_manifest(directory).n_shards) if _labels(directory, k).name in names]


def write_labels(directory: Place, shard: int, records: Sequence[LabelRecord]) -> None:
    """Write the labels of one shard, one per instance in order. Processes may label different shards at once.

    Labels that another process has written meanwhile stay. A manifest that has statistics of earlier labels is made to
    forget them first, by whoever hands out the work (:func:`begin_labels`).
    """
    manifest = read_manifest(directory)
    _check_places(directory, manifest, shard, [(r.feeder_index, r.scenario_index) for r in records])
    write_new(_labels(directory, shard), _parquet([_label_row(r) for r in records], LABEL_SCHEMA))


def begin_labels(directory: Place) -> None:
    """Take statistics and checksums of earlier labels out of the manifest, before more labels are written."""
    manifest = read_manifest(directory)
    if manifest.labels is not None:
        kept = {name: digest for name, digest in manifest.files.items() if not name.startswith("labels-")}
        replace(manifest, files=kept, labels=None).write(directory)


def labelled_feeders(directory: Place) -> list[int]:
    """Feeders of the labelled shards, in order, from the manifest alone: whether a label is proven plays no part."""
    manifest = read_manifest(directory)
    return sorted({feeder for shard in labelled_shards(directory) for feeder, _ in manifest.places(shard)})


def read_labels(directory: Place, feeders: Collection[int] | None = None) -> Iterator[LabelRecord]:
    """Labels so far with their problems, shard by shard: no more than one shard is held.

    Parameters
    ----------
    feeders
        Only the labels of these; all where absent.

    Raises
    ------
    DataError
        If a file is missing, damaged or does not match its checksum.
    """
    manifest = read_manifest(directory)
    for shard in labelled_shards(directory):
        if feeders is None or any(feeder in feeders for feeder, _ in manifest.places(shard)):
            yield from read_shard_labels(directory, shard, feeders)


def read_shard_labels(directory: Place, shard: int, feeders: Collection[int] | None = None) -> Iterator[LabelRecord]:
    """Labels of one shard with their problems, in order; parameters and errors as of :func:`read_labels`."""
    manifest = read_manifest(directory)
    rows = _read(_labels(directory, shard), manifest, LABEL_SCHEMA)
    _check_places(directory, manifest, shard, [(r["feeder_index"], r["scenario_index"]) for r in rows])
    for instance, row in zip(read_instances(directory, shard, feeders), _of(feeders, rows), strict=True):
        yield _label(instance, row)


def read_status(directory: Place, shard: int) -> list[tuple[Status, bool]]:
    """Status of each label of a shard, and whether it has a configuration; errors as of :func:`read_labels`."""
    rows = _read(_labels(directory, shard), read_manifest(directory), LABEL_SCHEMA)
    return [(Status(row["status"]), row["open_branches"] is not None) for row in rows]


def table(directory: Place | str, kind: Literal["labels", "scenarios", "feeders"] = "labels") -> pa.Table:
    """All rows of one kind of a dataset, as Arrow has them: ``.to_pandas()``, or ``polars.from_arrow(...)``.

    What the columns mean is on the data card (:data:`learnopt.dataset.card.MEANING`).

    Raises
    ------
    DataError
        If there is no such kind or dataset, or a file is missing, damaged or does not match its checksum.
    """
    schemas = {"labels": LABEL_SCHEMA, "scenarios": SCENARIO_SCHEMA, "feeders": FEEDER_SCHEMA}
    if kind not in schemas:
        raise DataError("kind", [f"{kind!r} is none: use one of {', '.join(schemas)}"])
    folder = place_of(directory)
    manifest = read_manifest(folder)
    shards = labelled_shards(folder) if kind == "labels" else range(manifest.n_shards)
    parts = [_table(folder / f"{kind}-{shard:05d}.parquet", manifest, schemas[kind]) for shard in shards]
    return pa.concat_tables(parts) if parts else schemas[kind].empty_table()


def finish_labels(directory: Place) -> Manifest:
    """Record statistics and checksums of the labels in the manifest; returns it."""
    manifest = read_manifest(directory)
    paths = [_labels(directory, k) for k in labelled_shards(directory)]
    status: Counter[str] = Counter()
    certificate: Counter[str] = Counter()
    engine: Counter[str] = Counter()
    configurations: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    digests = {}
    time = 0.0
    for path in paths:
        content = _content(path)
        digests[path.name] = sha256(content)
        for row in _parsed(path, content, LABEL_SCHEMA).to_pylist():
            status[row["status"]] += 1
            certificate[row["certificate"]] += 1
            engine[f"{row['engine']} {row['engine_version']}"] += 1
            time += row["solve_time_s"]
            if row["open_branches"] is not None:
                configurations[row["feeder_index"]].add(tuple(row["open_branches"]))
    statistics = LabelStatistics(
        labelled=status.total(),
        status=dict(sorted(status.items())),
        certificate=dict(sorted(certificate.items())),
        engine=dict(sorted(engine.items())),
        distinct_configurations=sum(map(len, configurations.values())),
        feeders_with_one_configuration=sum(len(found) == 1 for found in configurations.values()),
        feeders=len(configurations),
        solve_time_s=round(time, 3),
    )
    finished = replace(manifest, files=dict(sorted({**manifest.files, **digests}.items())), labels=statistics)
    finished.write(directory)
    for name in digests:
        remove_partial(directory, name)
    return finished


def _feeders(directory: Place, shard: int) -> Place:
    return directory / f"feeders-{shard:05d}.parquet"


def _scenarios(directory: Place, shard: int) -> Place:
    return directory / f"scenarios-{shard:05d}.parquet"


def _labels(directory: Place, shard: int) -> Place:
    return directory / f"labels-{shard:05d}.parquet"


def _check_places(directory: Place, manifest: Manifest, shard: int, found: list[tuple[int, int]]) -> None:
    """Rows are aligned by position, so their number and order must be those of the manifest."""
    if shard not in range(manifest.n_shards):
        raise DataError(str(directory), [f"shard {shard} does not exist: there are {manifest.n_shards}, from 0"])
    expected = manifest.places(shard)
    if found != expected:
        k = next((k for k, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), None)
        what = (
            f"{len(found)} rows instead of {len(expected)}"
            if k is None
            else f"row {k} is (feeder, scenario) {found[k]} instead of {expected[k]}"
        )
        raise DataError(str(directory), [f"shard {shard}: {what}; give one row per instance, in order"])


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    """A shard file."""
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return sink.getvalue()


def _read(path: Place, manifest: Manifest, schema: pa.Schema) -> list[dict[str, Any]]:
    """Rows of a shard file, checked as in :func:`_table`."""
    rows: list[dict[str, Any]] = _table(path, manifest, schema).to_pylist()
    return rows


def _table(path: Place, manifest: Manifest, schema: pa.Schema) -> pa.Table:
    """A shard file, checked against the manifest where that lists it."""
    content = _content(path)
    digest = manifest.files.get(path.name)
    if digest is not None and sha256(content) != digest:
        raise DataError(
            str(path),
            ["does not match its checksum in manifest.json: it was changed or cut off after writing; restore it"],
        )
    return _parsed(path, content, schema)


def _content(path: Place) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(str(path), ["is missing: copy it back, or make the dataset again in another folder"]) from None
    except OSError as error:
        raise DataError(str(path), [f"cannot be read: {error.strerror or error}"]) from None


def _parsed(path: Place, content: bytes, schema: pa.Schema) -> pa.Table:
    try:
        # ParquetFile, not read_table: the latter would look for partitions in folder names.
        found = pq.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(str(path), [f"is not a Parquet file that can be read: {error}"]) from None
    if found.schema != schema:
        raise DataError(str(path), [f"has columns {found.schema.names}, expected {schema.names}"])
    return found


def _scenario_row(instance: Instance) -> dict[str, Any]:
    scenario, kw = instance.problem.scenario, instance.problem.network.base.kw
    return {
        "feeder_index": instance.feeder_index,
        "scenario_index": instance.scenario_index,
        "seed": instance.seed,
        "name": scenario.name,
        "p_kw": scenario.p_load * kw,
        "q_kvar": scenario.q_load * kw,
        "p_gen_kw": scenario.p_gen * kw,
        "q_gen_kvar": scenario.q_gen * kw,
        "out_of_service": np.flatnonzero(scenario.out_of_service),
        "locked_open": np.flatnonzero(scenario.locked == 0),
        "locked_closed": np.flatnonzero(scenario.locked == 1),
    }


def _scenario(network: Network, row: dict[str, Any]) -> Scenario:
    def per_unit(column: str) -> NDArray[np.float64]:
        return np.array(row[column], dtype=float) / network.base.kw

    out_of_service = np.zeros(network.n_branch, dtype=bool)
    out_of_service[row["out_of_service"]] = True
    locked = np.full(network.n_branch, -1, dtype=np.int8)
    locked[row["locked_open"]] = 0
    locked[row["locked_closed"]] = 1
    return Scenario(
        p_load=per_unit("p_kw"),
        q_load=per_unit("q_kvar"),
        p_gen=per_unit("p_gen_kw"),
        q_gen=per_unit("q_gen_kvar"),
        out_of_service=out_of_service,
        locked=locked,
        name=row["name"],
    )


def _label_row(record: LabelRecord) -> dict[str, Any]:
    opened = None if record.configuration is None else np.flatnonzero(~record.configuration.closed)
    return {name: getattr(record, name) for name in LABEL_SCHEMA.names if name != "open_branches"} | {
        "open_branches": opened
    }


def _label(instance: Instance, row: dict[str, Any]) -> LabelRecord:
    configuration = None
    if row["open_branches"] is not None:
        closed = np.ones(instance.problem.network.n_branch, dtype=bool)
        closed[row["open_branches"]] = False
        configuration = Configuration(closed)
    answer = {name: row[name] for name in LABEL_SCHEMA.names if name != "open_branches"}
    answer |= {"status": Status(row["status"]), "certificate": Certificate(row["certificate"])}
    return LabelRecord(**(vars(instance) | answer), configuration=configuration)
