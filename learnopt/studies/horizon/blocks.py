"""The steps of a horizon alone, in blocks of a few: proven here, in processes or on a cluster, with the same answers.

Within a block each step starts from the answer of the one before; a block knows nothing of the others, so that who
proves it, and when, has no influence on what is found. Only a time limit does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from learnopt.engines import Patience
from learnopt.network import Configuration, ReconfigurationProblem
from learnopt.parallel import HERE, Workers, run_tasks, size_of
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work

BLOCK = 4
"""Steps of a block: a fraction of a second to half a minute."""


class StepProof(Protocol):
    """Finds out about one step alone."""

    @property
    def portable(self) -> bool:
        """It can be sent to another process."""
        ...

    def __call__(
        self, t: int, step: ReconfigurationProblem, start: Configuration | None, work: Work, share: float
    ) -> StepRecord:
        """What is found out within this share of the time and the nodes that are left."""
        ...


@dataclass(frozen=True, eq=False)
class Block:
    """Steps that are proven one after the other.

    Parameters
    ----------
    prove
        Proves a step.
    first
        Number of the first step.
    steps
        The problems.
    known
        Records of earlier runs, None where there is none, length n.
    starts
        Suggested configurations, None = the answer of the step before, length n.
    seconds, nodes, patience
        For all of them together.
    """

    prove: StepProof
    first: int
    steps: Sequence[ReconfigurationProblem]
    known: Sequence[StepRecord | None]
    starts: Sequence[Configuration | None]
    seconds: float
    nodes: int | None
    patience: Patience | None


@dataclass(frozen=True, eq=False)
class Proven:
    """What became of a block: its records, and the nodes of its searches."""

    records: list[StepRecord]
    nodes: int


def prove_block(block: Block, take: Callable[[int, StepRecord], None] = lambda _t, _record: None) -> Proven:
    """Prove the steps of a block that are not known; each new record is handed to ``take`` with its step."""
    work = Work(block.seconds, node_limit=block.nodes, patience=block.patience)
    records: list[StepRecord] = []
    start: Configuration | None = None
    for k, (step, record, suggested) in enumerate(zip(block.steps, block.known, block.starts, strict=True)):
        if record is None:
            share = 1 / (len(block.steps) - k)  # every step gets its share of time and nodes, so that each has a bound
            record = block.prove(block.first + k, step, suggested or start, work, share)
            take(block.first + k, record)
        records.append(record)
        if record.configurations:
            start = record.configurations[0]
    return Proven(records, work.nodes)


def prove_steps(
    steps: Sequence[ReconfigurationProblem],
    prove: StepProof,
    work: Work,
    known: Sequence[StepRecord | None],
    suggestion: Callable[[int], Configuration | None],
    take: Callable[[int, StepRecord], None],
    workers: Workers = HERE,
) -> list[StepRecord]:
    """Records of all steps.

    Parameters
    ----------
    work
        Time and effort of the call; nodes are added there.
    known
        Records of earlier runs, None where there is none, shape (n_step,).
    suggestion
        Gives a configuration to start a step with.
    take
        Takes each new record with its step.
    workers
        Who proves, where the proof can be sent.
    """
    n = len(steps)
    done = sum(record is not None for record in known)

    def taken(t: int, record: StepRecord) -> None:
        nonlocal done
        take(t, record)
        done += 1
        work.report("steps", done, n)

    def block(first: int, part: float) -> Block:
        """The block from a step on, with this part of the time that is left."""
        here = range(first, min(first + BLOCK, n))
        starts = [None if known[t] is not None else suggestion(t) for t in here]
        seconds, patience = (math.inf, None) if all(known[t] for t in here) else work.part(part)
        nodes = None if work.node_limit is None else max(work.node_limit * len(here) // n, 1)
        return Block(prove, first, steps[first : here.stop], known[first : here.stop], starts, seconds, nodes, patience)

    work.report("steps", done, n)
    begins = range(0, n, BLOCK)
    records: list[StepRecord] = []
    if workers == HERE or not prove.portable:
        for first in begins:
            proven = prove_block(block(first, min(BLOCK / (n - first), 1.0)), taken)
            work.nodes += proven.nodes
            records += proven.records
        return records
    missing = [first for first in begins if None in known[first : first + BLOCK]]
    limited = bool(missing) and (work.left != math.inf or work.patience is not None)
    part = min(size_of(workers) / len(missing), 1.0) if limited else 1.0

    def arrived(place: int, proven: Proven) -> None:
        work.nodes += proven.nodes
        for t, record in enumerate(proven.records, missing[place]):
            if known[t] is None:
                taken(t, record)

    found = run_tasks(prove_block, [block(first, part) for first in missing], workers, take=arrived)
    fresh = {first: proven.records for first, proven in zip(missing, found, strict=True)}
    for first in begins:
        records += fresh.get(first) or [record for record in known[first : first + BLOCK] if record is not None]
    return records
