"""Proofs of a horizon in all phases of an unbalanced file: the search of every step, and what they prove together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.network import Certificate, Configuration, Floats, HorizonProblem, ReconfigurationProblem, Result
from learnopt.network.limits import HeldLimit, LimitKind
from learnopt.network.unbalanced import PhaseCircuit
from learnopt.studies.horizon.devices import Candidate
from learnopt.studies.horizon.pool import Pool
from learnopt.studies.horizon.proven import Proven
from learnopt.studies.horizon.store import StepRecord
from learnopt.studies.horizon.work import Work

EVERY_STATE = 5e3
"""Buses in all steps together up to which a step is left to solve every radial state in AC where those are few."""
STATIC_SHARE, LOOK_AHEAD_SHARE = 0.3, 0.1
"""Share of the limits for the best single configuration, and of the nodes left for one window."""
_LEAST = (LimitKind.LOWEST_VOLTAGE, LimitKind.LEAST_POWER)


@dataclass(frozen=True, eq=False)
class PhaseStep:
    """Finds the best configurations of one step in all phases.

    Parameters
    ----------
    circuits
        One per step: of the tool of the file, in this process only.
    k_best
        Configurations proven.
    certify
        Proof wanted; None = that of the engine.
    portable
        It can be sent to another process.
    """

    circuits: Sequence[PhaseCircuit]
    k_best: int
    certify: Certificate | None
    portable: bool = False

    def __call__(
        self, t: int, step: ReconfigurationProblem, start: Configuration | None, work: Work, share: float
    ) -> StepRecord:
        """The record of a step."""
        options = SolveOptions(self.certify, time_limit=work.seconds(share), node_limit=work.nodes_left(share))
        result = PhaseTreeEngine(self.circuits[t : t + 1], self.k_best).solve(step, options, start)
        work.count(result)
        found = [] if result.configuration is None else [result.configuration]
        found += [a.configuration for a in result.alternatives if a.configuration not in found]
        return StepRecord(result.status, result.certificate, result.message, result.dual_bound_kw, tuple(found))


class PhaseProofs:
    """What the search in phases proves of one horizon; see :class:`learnopt.studies.horizon.run.Proofs`.

    Parameters
    ----------
    problem, work
        The horizon, and the time and effort of the call.
    circuits
        One per step.
    k_best
        Configurations proven per step.
    """

    def __init__(self, problem: HorizonProblem, work: Work, circuits: Sequence[PhaseCircuit], k_best: int) -> None:
        self.problem, self.work, self.circuits, self.k_best = problem, work, circuits, k_best
        self.ac_kw: Floats = np.full(problem.n_steps, math.nan)
        few = problem.n_steps * problem.network.n_bus <= EVERY_STATE
        self._certify = None if few else Certificate.MODEL
        self.step_proof = PhaseStep(circuits, k_best, self._certify)
        """Of each step alone."""

    def of_steps(self, records: list[StepRecord]) -> Proven:
        """What the bounds of the steps prove together: each held at its own answer, where all were not solved in AC."""
        self.ac_kw = np.array([record.ac_bound_kw for record in records])
        proven, bounds = Proven.of_steps(self.problem.hours, self.ac_kw), [record.bound_kw for record in records]
        if None in bounds:
            return proven
        total = float(self.problem.hours @ np.array(bounds, dtype=float))
        return proven.with_model(total, tuple(record.configurations[0] for record in records))

    def static(self, pool: Pool) -> Result:
        """Best single configuration of all steps, the cost of switching to it included; a candidate too."""
        path = pool.best()
        start = None if path is None else pool.configurations[int(np.bincount(path).argmax())]
        nodes = self.work.nodes_left(STATIC_SHARE)
        result = self._solve(self.problem.together, self.circuits, start, nodes, STATIC_SHARE)
        if result.configuration is not None:
            pool.add([Candidate(result.configuration)], known=self.problem.n_steps)
        return result

    def look_ahead(self, pool: Pool, ahead: HorizonProblem, state: Configuration, known: int) -> None:
        """The best single configuration of a window is a candidate too."""
        circuits = self.circuits[known + 1 - ahead.n_steps : known + 1]
        result = self._solve(ahead.together, circuits, state, self.work.nodes_left(LOOK_AHEAD_SHARE))
        if result.configuration is not None:
            pool.add([Candidate(result.configuration)], known)

    def raised(self, pool: Pool, proven: Proven, records: list[StepRecord], gap: float) -> Proven:
        """What is proven already: there are no rounds in phases."""
        return proven

    def raises(self, told: Certificate) -> bool:
        """Never."""
        return False

    def _solve(
        self,
        problem: ReconfigurationProblem,
        circuits: Sequence[PhaseCircuit],
        start: Configuration | None,
        nodes: int | None,
        share: float = 1.0,
    ) -> Result:
        options = SolveOptions(certify=self._certify, time_limit=self.work.seconds(share), node_limit=nodes)
        result = PhaseTreeEngine(circuits, 1).solve(problem, options, start)
        self.work.count(result)
        return result


def stubborn_limits(problem: HorizonProblem, circuits: Sequence[PhaseCircuit], steps: Sequence[int]) -> list[HeldLimit]:
    """Limits that keep every state from being an answer in some of these steps, each at its most lenient value.

    Parameters
    ----------
    circuits
        One per step of the horizon.
    """
    held: dict[tuple[LimitKind, int], HeldLimit] = {}
    for t in steps:
        step = problem.steps[t].replace(max_operations=None)
        while True:
            engine = PhaseTreeEngine(circuits[t : t + 1])
            limits = replace(step.limits, held=(*problem.limits.held, *held.values()))
            engine.solve(step.replace(limits=limits), SolveOptions(certify=Certificate.MODEL))
            if not engine.stubborn:
                break
            for one in engine.stubborn:
                other = held.get((one.kind, one.index), one)
                more = min(one.value, other.value) if one.kind in _LEAST else max(one.value, other.value)
                held[one.kind, one.index] = one if more == one.value else other
    return list(held.values())
