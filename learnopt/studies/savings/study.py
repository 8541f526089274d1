"""The study: candidates from representative hours, every candidate in every hour, the best per kind, and bounds."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.base import AGREEMENT, PICOWATT
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.errors import DataError
from learnopt.network import Certificate, Configuration, Floats, Ints, Limits, ReconfigurationProblem
from learnopt.network.held import held_in_words
from learnopt.studies.configuration.order_check import unsafe_moves
from learnopt.studies.horizon.path import cheapest_path, operations_of
from learnopt.studies.savings.bound import HourlyBound
from learnopt.studies.savings.measure import Judged, pool_losses
from learnopt.studies.savings.problem import Savings, SavingsProblem, Strategy
from learnopt.studies.savings.representatives import Representatives, representatives
from learnopt.studies.savings.searches import THREADS, Search, Searches

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""

WORK = 1_500_000
"""Representatives times buses times loops of the year: some seconds of search."""
FEWEST = 12
SITUATIONS = 48
"""Representatives whose own optimum becomes a candidate."""
SEARCH_WORK, LEAST_NODES = 1.2e9, 100
"""Entries that one search for a season or for all of them may touch where no limit is set, half a minute, and its least
nodes."""
PROOF_WORK, SETUP_WORK = 5e9, 1e5
"""Entries that all proofs of single steps may touch where no limit is set, two minutes; what a node costs besides."""
PROOF_SHARE = 0.5
"""Share of a node limit that is kept for the proofs of single steps."""
SINGLE = 0.8
"""Gap of the proof of a single step, in parts of the gap of all: a looser one is faster."""
USELESS = 0.5
"""A bound below this share of the energy lost says nothing, and is not given."""


def savings_study(
    problem: SavingsProblem,
    *,
    representative_steps: int | None = None,
    gap: float = 1e-2,
    proof_time: float | None = None,
    node_limit: int | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
    threads: int = THREADS,
    scheduler: str | None = None,
) -> Savings:
    """Compare the present configuration with the best one, one per season and one per step.

    1. Steps are clustered within each season. The tree search solves seasons and the whole profile on the means of
       the clusters, and some means alone: the candidates, with proven bounds by convexity.
    2. Every candidate is computed in every step, and steps are proven one by one where bounds are loose.
    3. Each strategy takes the candidates that lose least, hours outside limits first; the judge measures it in every
       step.

    Parameters
    ----------
    representative_steps
        Load situations that stand for the steps while configurations are chosen; by size of the feeder where absent.
    gap
        Relative gap of the hourly bound at which proofs stop.
    proof_time
        Seconds for proofs of single steps; 0 = none. None = nodes are counted, so that the answer is the same on every
        machine.
    node_limit
        Branch-and-bound nodes of all searches and proofs together; None = by size of the feeder.
    directory
        Folder that keeps every search (:class:`Searches`): an interrupted study goes on there; None = none.
    progress
        Called with what is being done, how many are done and how many there are.
    threads, scheduler
        Searches at one time, or the Dask scheduler whose workers search instead; the study is the same.

    Raises
    ------
    DataError
        If an option does not fit, no radial configuration exists, or the folder holds another study.
    """
    bad = []
    if representative_steps is not None and representative_steps < 1:
        bad.append(f"representative_steps = {representative_steps} must be >= 1")
    if not (math.isfinite(gap) and gap >= 0):
        bad.append(f"gap = {gap} must be a finite number >= 0")
    if node_limit is not None and node_limit < 1:
        bad.append(f"node_limit = {node_limit} must be >= 1")
    if proof_time is not None and not proof_time >= 0:
        bad.append(f"proof_time = {proof_time} must be >= 0 [s]")
    bad += problem.of_steps(np.arange(1)).contradictions
    if bad:
        raise DataError("savings", bad)
    searches = Searches(problem, directory, threads, scheduler)
    try:
        study = _Study(problem, searches, progress or (lambda _what, _done, _total: None), node_limit)
        result = study.run(representative_steps, gap, proof_time)
    finally:
        searches.save(now=True)
    _refuse_unsafe(result)
    return result


def _refuse_unsafe(savings: Savings) -> None:
    """No change of a strategy closes onto anything out of service or moves what is locked.

    Raises
    ------
    DataError
        Naming strategy and step.
    """
    problem = savings.problem
    rules, unsafe = problem.of_steps(np.arange(1)), []
    for strategy in savings.strategies:
        before = problem.present
        for t in np.flatnonzero(np.append(True, np.diff(strategy.used) != 0)):
            after = strategy.configurations[strategy.used[t]]
            moves = unsafe_moves(rules, before, after)
            unsafe += [f"{strategy.name}, step {t + 1}: {sentence}" for sentence in moves]
            before = after
    if unsafe:
        raise DataError("savings: not safe", unsafe)


@dataclass
class Bounds:
    """What is proven, in energy [kWh]: of all steps by one configuration, of each season by one, of each step."""

    static: float
    seasons: Floats
    steps: Floats

    @classmethod
    def none(cls, problem: SavingsProblem) -> Bounds:
        """Nothing."""
        return cls(0.0, np.zeros(len(problem.seasons)), np.zeros(problem.n_steps))


class _Study:
    def __init__(
        self, problem: SavingsProblem, searches: Searches, report: Progress, node_limit: int | None = None
    ) -> None:
        self.problem = problem
        self.node_limit = node_limit
        self.nodes = self.asked = 0
        self.searches = searches
        self.report = report
        self.watch = Stopwatch()
        self.pool: dict[Configuration, int] = {}
        self.representatives = 0

    def run(self, count: int | None, gap: float, proof_time: float | None) -> Savings:
        problem = self.problem
        hourly = HourlyBound(problem, self.searches, SINGLE * gap)
        self._add([problem.present])
        with self.watch.stage("representatives"):
            bounds = self._representatives(count, hourly.monotone)
        with self.watch.stage("candidates"):
            self.report("candidates in all steps", 0, 1)
            loss, within = pool_losses(problem, list(self.pool))
        with self.watch.stage("proofs"):
            least = loss.min(axis=1)
            start = [list(self.pool)[k] for k in np.argmin(loss, axis=1)]
            hourly.raise_to(
                least,
                start,
                gap,
                math.inf if proof_time is None else proof_time,
                self._proof_nodes(proof_time),
                lambda proven: self.report("steps proven", proven, problem.n_steps),
            )
            fresh = self._add(hourly.found)
            if fresh:
                more = pool_losses(problem, fresh)
                loss, within = np.concatenate([loss, more[0]], axis=1), np.concatenate([within, more[1]], axis=1)
        bounds.steps = hourly.bound_kw * problem.hours
        bounds.seasons = np.maximum(bounds.seasons, np.add.reduceat(bounds.steps, problem.seasons))
        bounds.static = max(bounds.static, float(bounds.seasons.sum()))
        with self.watch.stage("judge"):
            strategies = strategies_of(problem, list(self.pool), loss, within, bounds, Judged(problem), self.report)
        return Savings(
            problem=problem,
            strategies=strategies,
            certificate=Certificate.AC if any(s.bound_mwh is not None for s in strategies) else Certificate.NONE,
            message=" ".join(
                filter(None, (self._message(hourly, proof_time), held_in_words(problem.network, problem.limits)))
            ),
            representatives=self.representatives,
            candidates=len(self.pool),
            proven_steps=hourly.proven,
            stage_times_s=dict(self.watch.stages),
            solve_time_s=self.watch.elapsed,
        )

    def _add(self, configurations: Iterable[Configuration]) -> list[Configuration]:
        """New candidates; returns those that were not there."""
        fresh = [c for c in dict.fromkeys(configurations) if c not in self.pool]
        for configuration in fresh:
            self.pool[configuration] = len(self.pool)
        return fresh

    def _representatives(self, count: int | None, convex: bool) -> Bounds:
        """Candidates of representative steps, and what their means prove."""
        problem, net = self.problem, self.problem.network
        wanted = WORK // (net.n_bus * max(net.n_loops, 1)) if count is None else count
        ends = np.append(problem.seasons, problem.n_steps)
        each = max(min(FEWEST, wanted), wanted // len(problem.seasons))
        parts = [representatives(problem, np.arange(a, b), each) for a, b in pairwise(ends)]
        whole = Representatives(
            np.concatenate([part.p for part in parts]),
            np.concatenate([part.q for part in parts]),
            np.concatenate([part.hours for part in parts]),
            exact=all(part.exact for part in parts),
        )
        self.representatives = len(whole.hours)
        (static,) = self._best([whole], convex, "all steps")
        seasons = self._best(parts, convex, "seasons")
        order = np.argsort(whole.p.sum(axis=1), kind="stable")
        chosen = np.unique(np.linspace(0, len(order) - 1, min(SITUATIONS, len(order))).astype(np.int64))
        alone = [problem.together(whole.p[[at]], whole.q[[at]], np.ones(1)) for at in order[chosen]]
        self._candidates(alone, "load situations")
        return Bounds(static, seasons, np.zeros(problem.n_steps))

    def _best(self, parts: Sequence[Representatives], convex: bool, what: str) -> Floats:
        """Candidates for each of some representatives in one configuration, and what that loses at least [kWh]."""
        problem = self.problem
        bounds = self._candidates([problem.together(r.p, r.q, r.hours, limits=Limits()) for r in parts], what)
        if problem.limits != Limits():
            self._candidates([problem.together(r.p, r.q, r.hours) for r in parts], f"{what}, within limits")
        hours = np.array([r.hours.sum() if r.exact or convex else 0.0 for r in parts])
        return np.maximum(bounds, 0.0) * hours

    def _candidates(self, asked: Sequence[ReconfigurationProblem], what: str) -> Floats:
        """Solve each, keep what was found, and return the proven AC bounds [kW]; 0 where there is none."""
        start = next(reversed(self.pool))  # of all of them: who searches first has no influence on the others
        searches = []
        for one in asked:
            certify = Certificate.MODEL if tight_obstacles(one) else Certificate.AC
            searches.append(Search(one, SolveOptions(certify, 1e-4, node_limit=self._search_nodes(one)), start))
        self.report(what, 0, len(asked))
        found = self.searches.ask(searches, lambda done: self.report(what, done, len(asked)))
        self.nodes += sum(one.nodes for one in found)
        self.asked += len(asked)
        self._add(one.configuration for one in found if one.configuration is not None)
        return np.array([one.bound_kw for one in found])

    def _search_nodes(self, asked: ReconfigurationProblem) -> int:
        """Nodes for one search: what it may touch by the size of the feeder, and a share of those left."""
        net = asked.network
        entries = net.n_branch * (max(net.n_loops, 1) + 2 * len(asked.situations))
        most = max(int(SEARCH_WORK / entries), LEAST_NODES)
        if self.node_limit is None:
            return most
        searches = 2 * (1 + len(self.problem.seasons)) + SITUATIONS
        left = (1 - PROOF_SHARE) * self.node_limit - self.nodes
        return max(min(most, int(left / max(searches - self.asked, 1))), 1)

    def _proof_nodes(self, proof_time: float | None) -> int:
        """Nodes for the proofs of single steps; seconds count where they are given."""
        if self.node_limit is not None:
            return max(self.node_limit - self.nodes, 0)
        net = self.problem.network
        entries = net.n_branch * max(net.n_loops, 1) + SETUP_WORK
        return int(PROOF_WORK / entries) if proof_time is None else sys.maxsize

    @staticmethod
    def _message(hourly: HourlyBound, proof_time: float | None) -> str:
        """What is not proven, and why."""
        if hourly.obstacles:
            return f"Nothing is proven: {'; '.join(hourly.obstacles)}."
        if not hourly.monotone:
            return (
                "With generation, charging, iron losses or shunts only steps proven one by one count in the bounds: "
                f"{hourly.proven} of {hourly.problem.n_steps}."
            )
        return "" if proof_time is None or proof_time > 0 else "Steps were not proven one by one (proof time 0)."


def strategies_of(
    problem: SavingsProblem,
    pool: list[Configuration],
    loss: Floats,
    within: np.ndarray,
    bounds: Bounds,
    judge: Judged,
    report: Progress,
) -> tuple[Strategy, ...]:
    """Each strategy by dynamic programming over the candidates, measured by the judge.

    Parameters
    ----------
    pool
        Candidates, the present configuration first.
    loss, within
        Loss of each in each step [kW], infinite without power flow, and whether it respects the limits, shape (n_step,
        n).
    bounds
        What is proven.
    report
        Called with what is being done, how many are done and how many there are.
    """
    closed = np.stack([c.closed for c in pool])[:, problem.counted].astype(np.int32)
    first = np.count_nonzero(closed != closed[0], axis=1)  # the present configuration came first
    ones = closed.sum(axis=1)
    distance = (ones[:, None] + ones[None, :] - 2 * (closed @ closed.T)).astype(np.int64)
    energy = loss * problem.hours[:, None]
    # An hour outside limits is worse than any loss and any number of operations.
    worst = float(np.max(energy, initial=0.0, where=np.isfinite(energy)))
    penalty = problem.n_steps * (worst + problem.switching_cost * problem.network.n_branch + 1.0)
    price = np.where(np.isfinite(energy), energy, 2 * penalty) + np.where(within, 0.0, penalty)
    every = np.zeros(problem.n_steps, dtype=np.int64)
    strategies = [judge.strategy("present", pool, every, 0, None)]
    kinds: list[tuple[str, Ints, float]] = [
        ("static", np.zeros(1, dtype=np.int64), bounds.static),
        ("seasonal", problem.seasons, float(bounds.seasons.sum())),
        ("hourly", np.arange(problem.n_steps), float(bounds.steps.sum())),
    ]
    for k, (name, starts, bound) in enumerate(kinds):
        report("judge", k, len(kinds))
        path = cheapest_path(np.add.reduceat(price, starts), first, distance, problem.switching_cost)
        assert path is not None, "every price is finite"
        used = np.repeat(path, np.diff(np.append(starts, problem.n_steps)))
        operations = int(operations_of(path, first, distance).sum())
        measured = judge.strategy(name, pool, used, operations, bound / 1e3)
        own = loss[np.arange(problem.n_steps), used]
        agreed = np.abs(measured.loss_kw - own) <= AGREEMENT * own + PICOWATT
        if not agreed.all() or (measured.gap is not None and measured.gap > USELESS):
            measured = replace(measured, bound_mwh=None)  # two power flows disagree, or it says nothing
        strategies.append(measured)
    return tuple(strategies)
