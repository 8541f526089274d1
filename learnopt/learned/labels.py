"""Exact labels for a dataset: parallel over shards, resumable after a kill."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import finish_labels, labelled_shards, read_instances, write_labels
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.network import Certificate, Result, Status
from learnopt.studies.configuration.solve import warm_up

LABEL_NODES = 20_000
"""Nodes of one label, some seconds on the largest feeders of the generator: labels are the same on every machine."""
LABEL_OPTIONS = SolveOptions(certify=Certificate.AC, node_limit=LABEL_NODES)
"""Proof of the AC problem where the engine gives one at once; a label that is not proven by then keeps its gap."""


def label_dataset(
    directory: Path,
    engine: str = "tree",
    options: SolveOptions = LABEL_OPTIONS,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    shards: Collection[int] | None = None,
) -> Manifest:
    """Solve every instance of a dataset that has no label yet.

    A shard is written when all its instances are solved, atomically: a killed run loses the shards in work and no
    others. An instance whose solve raises is kept as a failure with the message; Ctrl-C stops everything.

    Parameters
    ----------
    workers
        Processes; each takes one shard at a time.
    progress
        Called with the number of labelled shards and of all shards.
    shards
        Only these, for a large dataset that is made piece by piece; all where absent.
    """
    load_engine(engine)
    total = read_manifest(directory).n_shards
    done = labelled_shards(directory)
    missing = [shard for shard in (range(total) if shards is None else sorted(shards)) if shard not in done]
    finished = len(done)
    if progress is not None:
        progress(finished, total)
    # One thread each: the processes are the parallelism. Spawned, since compiled code and solvers do not fork well.
    others = set(multiprocessing.active_children())
    previous = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            max(1, workers), mp_context=context, initializer=_start_worker, initargs=(engine, options)
        ) as pool:
            tasks = [pool.submit(_label_shard, directory, shard, engine, options) for shard in missing]
            try:
                for task in as_completed(tasks):
                    task.result()
                    finished += 1
                    if progress is not None:
                        progress(finished, total)
            except BaseException:
                # Shards appear whole or not at all, so stopping at once loses nothing but the work on these.
                for process in set(multiprocessing.active_children()) - others:
                    process.terminate()
                raise
    finally:
        if previous is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = previous
    return finish_labels(directory)


def _start_worker(engine: str, options: SolveOptions) -> None:
    """Compile before the first label is timed."""
    end_with_parent()
    warm_up(engine, replace(options, time_limit=None, node_limit=None))


def end_with_parent() -> None:
    """End this process when its parent ends, however that happens: a killed run leaves no workers behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:

        def wait() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=wait, daemon=True).start()


def _label_shard(directory: Path, shard: int, engine: str, options: SolveOptions) -> None:
    solver = load_engine(engine)
    records = []
    for instance in read_instances(directory, shard):
        try:
            # With mixed signs the tree search's AC bound is loose: a quick proof of the model labels more.
            loose = engine == "tree" and mixed_signs(instance.problem)
            asked = replace(options, certify=Certificate.MODEL) if loose else options
            result = solver.solve(instance.problem, asked)
        except Exception as error:  # a label must not take the other labels of its shard with it
            result = Result(
                status=Status.NO_SOLUTION, engine=engine, engine_version="", message=f"{type(error).__name__}: {error}"
            )
        if result.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # engines turn Ctrl-C into a result, which is no label
        records.append(LabelRecord.of(instance, result))
    write_labels(directory, shard, records)
