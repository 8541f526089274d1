"""Steps of a horizon proven in blocks: the same plan whoever proves them, and going on where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from horizons import controlled_horizon, random_horizon

from learnopt.engines import Patience
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Status
from learnopt.parallel import Workers
from learnopt.studies.horizon import HorizonPlan, HorizonProblem, blocks, plan_horizon
from learnopt.studies.horizon.blocks import BLOCK, Block, prove_block, prove_steps
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work


def told(plan: HorizonPlan) -> tuple[object, ...]:
    """What a plan says, to the last bit."""
    opened = [tuple(np.flatnonzero(~c.closed)) for c in plan.configurations]
    return plan.status, plan.certificate, plan.objective_kwh, plan.dual_bound_kwh, opened, plan.nodes, plan.settings


@pytest.mark.parametrize("node_limit", [None, 40])
@pytest.mark.parametrize("controls", [False, True])
def test_the_same_plan_by_processes(controls: bool, node_limit: int | None) -> None:
    """To the last bit, nodes included, with a limit of nodes too."""
    problem = controlled_horizon(1, 6) if controls else random_horizon(2, n_steps=9, switching_cost=0.1)
    here = plan_horizon(problem, node_limit=node_limit)
    assert here.configurations
    assert told(plan_horizon(problem, node_limit=node_limit, workers=Workers(2))) == told(here)


class Recorded:
    """A proof that writes down what it was given; its record says the step in the message."""

    def __init__(self, portable: bool = False) -> None:
        self.portable = portable
        self.given: list[tuple[int, Configuration | None, int | None, float]] = []

    def __call__(
        self, t: int, step: ReconfigurationProblem, start: Configuration | None, work: Work, share: float
    ) -> StepRecord:
        """A record at once."""
        nodes, seconds = work.nodes_left(share), work.seconds(share)
        self.given.append((t, start, nodes, 0.0 if seconds is None else seconds))
        work.nodes += 1
        return StepRecord(Status.OPTIMAL, Certificate.AC, str(t), 1.0, (answer(step, t),))


def answer(step: ReconfigurationProblem, t: int) -> Configuration:
    """A configuration by which a step is known."""
    closed = np.ones(step.network.n_branch, dtype=bool)
    closed[t % len(closed)] = False
    return Configuration(closed)


def horizon_of(n_steps: int) -> HorizonProblem:
    """Some steps."""
    return random_horizon(1, n_steps=n_steps)


def test_a_block_knows_nothing_of_the_others() -> None:
    """Its first step starts from nothing, the others from the answer before, or from what was suggested."""
    problem, proof, taken = horizon_of(2 * BLOCK + 1), Recorded(), []
    suggested = answer(problem.steps[0], 3)
    records = prove_steps(
        problem.steps,
        proof,
        Work(float("inf")),
        [None] * problem.n_steps,
        lambda t: suggested if t == BLOCK + 2 else None,
        lambda t, _: taken.append(t),
    )
    starts = {t: start for t, start, _, _ in proof.given}
    assert [record.message for record in records] == [str(t) for t in range(problem.n_steps)]
    assert taken == list(range(problem.n_steps))
    assert all(starts[t] is None for t in (0, BLOCK, 2 * BLOCK))
    assert starts[BLOCK + 2] == suggested
    assert starts[1] == answer(problem.steps[0], 0)


def test_known_steps_are_not_proven_again() -> None:
    """They are where the next one starts, and cost no nodes."""
    problem, proof, work = horizon_of(BLOCK + 2), Recorded(), Work(float("inf"), node_limit=60)
    known: list[StepRecord | None] = [None] * problem.n_steps
    known[1] = StepRecord(Status.OPTIMAL, Certificate.AC, "known", 1.0, (answer(problem.steps[1], 2),))
    told_of: list[tuple[str, int, int]] = []
    work.report = lambda *words: told_of.append(words)
    records = prove_steps(problem.steps, proof, work, known, lambda _: None, lambda _t, _r: None)
    assert [t for t, _, _, _ in proof.given] == [0, 2, 3, 4, 5]
    assert records[1].message == "known"
    assert proof.given[1][1] == answer(problem.steps[1], 2)
    assert work.nodes == 5
    assert told_of == [("steps", k, 6) for k in range(1, 7)]


def test_limits_are_shared() -> None:
    """Each block has its part of the nodes, each of its steps a share of what is left of them."""
    problem, proof = horizon_of(2 * BLOCK), Recorded()
    work = Work(1000.0, node_limit=100, patience=Patience(500.0, 0.1))
    prove_steps(problem.steps, proof, work, [None] * problem.n_steps, lambda _: None, lambda _t, _r: None)
    nodes = [n for _, _, n, _ in proof.given]
    assert nodes == [12, 16, 24, 47] * 2  # 50 a block, one spent by each step
    seconds = [s for _, _, _, s in proof.given]
    assert seconds[0] == pytest.approx(1000 / 8, rel=0.1)
    assert seconds[BLOCK] == pytest.approx(1000 / 4, rel=0.1)  # what the first block has left over


def test_what_was_proven_before_an_end_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan goes on in its folder with processes, and is that of a run in one go."""
    problem = random_horizon(4, n_steps=BLOCK + 2, switching_cost=0.1)
    whole = plan_horizon(problem)
    proven = blocks.prove_block

    def interrupted(block: Block, *more: object) -> object:
        if block.first:
            raise KeyboardInterrupt
        return proven(block, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(blocks, "prove_block", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plan_horizon(problem, out=tmp_path)
    assert len(list((tmp_path / "steps").iterdir())) == BLOCK
    monkeypatch.undo()
    again = plan_horizon(problem, out=tmp_path, workers=Workers(2))
    assert told(replace(again, nodes=whole.nodes)) == told(whole)
    assert len(list((tmp_path / "steps").iterdir())) == BLOCK + 2


def test_a_block_alone() -> None:
    """Nodes are those of its searches."""
    problem, proof = horizon_of(2), Recorded()
    found = prove_block(Block(proof, 0, problem.steps, [None, None], [None, None], 10.0, 7, None))
    assert found.nodes == 2
    assert [n for _, _, n, _ in proof.given] == [3, 6]
