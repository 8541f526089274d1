"""Exact labels for a dataset: parallel over shards, resumable after a kill."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial

from learnopt.dataset.card import describe
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import begin_labels, finish_labels, labelled_shards, read_instances, write_labels
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.errors import UnsupportedError
from learnopt.io.places import Place
from learnopt.network import Certificate, ReconfigurationProblem, Result, Status
from learnopt.parallel import Workers, run_tasks
from learnopt.studies.configuration.solve import ENUMERATE, TREE, warm_up

LABEL_NODES = 20_000
"""Nodes of one label, some seconds on the largest feeders of the generator: labels are the same on every machine."""
IN_PHASES = (TREE, ENUMERATE)
"""Engines that solve feeders whose phases differ."""
LABEL_OPTIONS = SolveOptions(certify=Certificate.AC, node_limit=LABEL_NODES)
"""Proof of the AC problem where the engine gives one at once; a label that is not proven by then keeps its gap."""


def label_dataset(
    directory: Place,
    engine: str = "tree",
    options: SolveOptions = LABEL_OPTIONS,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    shards: Collection[int] | None = None,
    scheduler: str | None = None,
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
    scheduler
        Address of a Dask scheduler whose workers see the dataset; they write the shards themselves.

    Raises
    ------
    UnsupportedError
        For feeders in phases, if OpenDSSDirect.py is not installed or the engine has no phases.
    """
    load_engine(engine)
    if "phases" in read_manifest(directory).config:
        _check_phases(directory, engine)
    done = labelled_shards(directory)
    total = range(read_manifest(directory).n_shards) if shards is None else sorted(shards)
    missing = [shard for shard in total if shard not in done]
    if missing:
        begin_labels(directory)
    run_tasks(
        partial(_label_shard, directory.absolute(), engine=engine, options=options),
        missing,
        Workers(workers, scheduler),
        prepare=(warm_up, (engine, replace(options, time_limit=None, node_limit=None))),  # before a label is timed
        progress=progress,
        done=len(done),
    )
    manifest = finish_labels(directory)
    describe(directory)
    return manifest


def _label_shard(directory: Place, shard: int, engine: str, options: SolveOptions) -> None:
    solver = load_engine(engine)
    records = []
    for instance in read_instances(directory, shard):
        try:
            phases = instance.problem.network.phases
            if phases is not None and not phases.balanced:
                result = _solved_in_phases(instance.problem, engine, options)
            else:
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


def _check_phases(directory: Place, engine: str) -> None:
    """Whether a dataset in phases can be labelled here."""
    if engine not in IN_PHASES:
        raise UnsupportedError(f"{directory}: feeders in phases, which {engine} does not solve", {"engine": TREE})
    if importlib.util.find_spec("opendssdirect") is None:
        raise UnsupportedError(
            f"{directory}: feeders in phases, which OpenDSSDirect.py computes, and it is not installed: pip install "
            "'learnopt[opendss]'"
        )


def _solved_in_phases(problem: ReconfigurationProblem, engine: str, options: SolveOptions) -> Result:
    """The answer in all phases of one load situation."""
    from learnopt.engines.phases.engine import PhaseTreeEngine
    from learnopt.io.opendss.exported import ExportedTool

    if engine not in IN_PHASES:
        raise UnsupportedError(f"{problem.network.name}: its phases differ, which {engine} does not solve")
    asked, (only,) = problem.in_phases(), problem.situations
    with ExportedTool(problem.network).circuit(asked.network, only) as circuit:
        search = PhaseTreeEngine([circuit], exhaustive=engine == ENUMERATE)
        return search.solve(asked, replace(options, certify=None))
