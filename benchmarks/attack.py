"""Random networks with everything in them, every engine, and an oracle that shares no code: no claim may break.

    python benchmarks/attack.py [--problems 1000] [--first 0] [--jobs 2] [--markdown FILE]
    python benchmarks/attack.py --one 4711           # what each engine says of one problem, and of each fault why
    python benchmarks/attack.py --only milp,horizon  # the answers of some, of the problems that they get

Problem number k is drawn from the seed k alone, so a fault is reproduced by its number. See README.md beside this file
for what is drawn and checked. Exit code 1 where a claim broke.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from attack_oracle import States, ac_states, configurations, excess, held_losses

from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.base import ROUNDING
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.errors import UnsupportedError
from learnopt.io import network_from_dict
from learnopt.network import (
    Capacitor,
    Certificate,
    Configuration,
    Controls,
    Evaluation,
    Generator,
    HorizonProblem,
    Limits,
    Network,
    ReconfigurationProblem,
    Result,
    Scenario,
    Settings,
    Situations,
    Status,
    Tap,
)
from learnopt.physics import evaluate
from learnopt.studies.configuration.pareto import pareto_front
from learnopt.studies.horizon import plan_horizon

SAME_LOSS = 1e-7
"""Largest relative difference of two losses of one state."""
ROOM = 1e-7
"""What a bound may exceed the optimum by, relative: rounding."""
INSIDE, OUTSIDE = 1e-8, 2e-6
"""Relative excess up to which a limit is respected for certain, and above which it is violated (tolerance 1e-6)."""
EXACT = 1e-8
"""Gap of a search asked for the optimum: its own (1e-9), couplers that stand in with 1e-9 of the mean resistance, and
the rounding of two power flows."""
MESHED = 1_000_000
"""From this seed on many branches have no switch and many of them are closed: loops that stay closed are common."""
MOST = 400
"""Configurations of a problem; those with more are drawn again."""
FEATURES = (
    "couplers", "generation", "capacitors", "charging", "transformers", "shunts", "voltages", "voltage limits",
    "ampacity", "ratings", "lock", "outage", "cost", "cap",
)  # fmt: skip


@dataclass
class Report:
    """What a batch of problems gave: claims checked, faults (claims that broke), and answers that were not found."""

    checked: Counter[str] = field(default_factory=Counter)
    status: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take over what another batch gave."""
        self.checked += other.checked
        self.status += other.status
        self.missed += other.missed
        self.faults += other.faults


# --- what is drawn ----------------------------------------------------------------------------------------------------


def draw(seed: int) -> tuple[ReconfigurationProblem, np.ndarray, np.random.Generator]:
    """The problem of a seed, its radial configurations, and the generator for what else is drawn."""
    rng = np.random.default_rng([seed, 2026])
    while True:
        problem = _draw_once(rng, seed >= MESHED)
        closed = configurations(problem)
        if len(closed) <= MOST:
            return problem, closed, rng


def _draw_once(rng: np.random.Generator, meshed: bool) -> ReconfigurationProblem:
    has = {f for f in FEATURES if rng.random() < 0.22}
    network, total = _network(rng, has, meshed)
    net, n, m = network, network.n_bus, network.n_branch
    nominal = Scenario.nominal(net)
    p, q = net.p_load.copy(), net.q_load.copy()
    if "generation" in has:
        some = rng.random(n) < rng.uniform(0.1, 0.6)
        p = np.where(some, -rng.uniform(0.2, 4.0) * p, p)
        q = np.where(some, rng.uniform(-1, 1, n) * q, q)
    if "capacitors" in has:
        q = np.where(rng.random(n) < 0.3, -q, q)
    scenario = replace(nominal, p_load=p, q_load=q)
    if "lock" in has:
        locked = np.full(m, -1, dtype=np.int8)
        locked[rng.choice(m, size=int(rng.integers(1, 3)), replace=False)] = rng.integers(0, 2)
        scenario = replace(scenario, locked=locked)
    if "outage" in has:
        scenario = replace(scenario, out_of_service=np.arange(m) == rng.integers(m))
    rules: dict[str, Any] = {}
    if "cost" in has:
        rules["switching_cost"] = float(rng.uniform(0, 0.05)) * total * net.base.kw
    if "cap" in has:
        rules["max_operations"] = int(rng.integers(0, 5))
    return _limited(rng, ReconfigurationProblem(net, Situations.of(scenario), **rules), has)


def _network(rng: np.random.Generator, has: set[str], meshed: bool) -> tuple[Network, float]:
    """A connected network whose voltage drop, not its impedances, is drawn: watts to hundreds of MW, 0.4 to 110 kV."""
    n_roots, loops = int(rng.integers(1, 4)), int(rng.integers(1, 5))
    n = n_roots + int(rng.integers(2, 9))
    kv = float(rng.choice([0.4, 4.16, 10.0, 20.0, 33.0, 110.0]))
    total_mw = float(10 ** rng.uniform(-5.7, 2.5))
    drop = float(10 ** rng.uniform(-4, np.log10(0.2)))
    ends = [(k, int(rng.integers(max(0, k - 3), k))) for k in range(n_roots, n)]
    while len(ends) < n - n_roots + loops:
        a, b = (int(k) for k in rng.choice(n, 2, replace=False))
        if a >= n_roots or b >= n_roots:
            ends.append((a, b) if rng.random() < 0.5 else (b, a))
    m = len(ends)
    share = rng.dirichlet(np.ones(n - n_roots)) * (rng.random(n - n_roots) > 0.2)
    ohm = drop * kv**2 / total_mw * 10 ** rng.uniform(-1, 0.4, m)
    angle = rng.uniform(0.15, 1.4, m)
    r, x = ohm * np.cos(angle), ohm * np.sin(angle)
    if "couplers" in has:
        zero, no_r = rng.random(m) < 0.25, rng.random(m) < 0.1
        r, x = np.where(zero | no_r, 0, r), np.where(zero, 0, x)
    tree_first = rng.random() < (0.3 if meshed else 0.9)
    order = np.arange(m) if tree_first else rng.permutation(m)
    branches = [
        {
            "id": f"L{e}", "from": ends[e][0], "to": ends[e][1], "r_ohm": float(r[e]), "x_ohm": float(x[e]),
            "normally_open": bool(order[e] >= n - n_roots), "switchable": bool(rng.random() < (0.5 if meshed else 0.9)),
        }
        for e in range(m)
    ]  # fmt: skip
    buses = [{"id": k} for k in range(n_roots)] + [
        {
            "id": n_roots + k,
            "p_kw": 1e3 * total_mw * float(w),
            "q_kvar": 1e3 * total_mw * float(w * rng.uniform(0, 0.6)),
        }
        for k, w in enumerate(share)
    ]
    net = network_from_dict(
        {"name": "attack", "base_kv": kv, "substations": list(range(n_roots)), "buses": buses, "branches": branches},
        "attack",
    )
    total = float(np.abs(net.p_load).sum()) or 1e-6
    if "charging" in has:
        net = replace(net, b=rng.uniform(0, 0.4, m) * total / m * (rng.random(m) < 0.7))
    if "transformers" in has:
        some = rng.random(m) < 0.4
        net = replace(
            net,
            ratio=np.where(some, rng.uniform(0.93, 1.07, m), 1.0),
            g=np.where(some, rng.uniform(0, 0.02, m) * total, 0.0),
            b=np.where(some, rng.uniform(-0.03, 0.0, m) * total, net.b),
            kv=rng.choice([kv, 2 * kv], n),
        )
    if "shunts" in has:
        some = rng.random(n) < 0.4
        g, b = rng.uniform(0, 0.1, n) * total, rng.uniform(-0.1, 0.3, n) * total
        net = replace(net, g_shunt=np.where(some, g, 0.0), b_shunt=np.where(some, b, 0.0))
    if "voltages" in has:
        net = replace(net, substation_vm=rng.uniform(0.95, 1.07, len(net.substations)))
    return net, total


def _limited(rng: np.random.Generator, problem: ReconfigurationProblem, has: set[str]) -> ReconfigurationProblem:
    """The problem with limits that some configurations just meet and others just miss."""
    wanted = has & {"voltage limits", "ampacity", "ratings"}
    if not wanted:
        return problem
    closed = configurations(problem)
    if not 0 < len(closed) <= MOST:
        return problem
    states = ac_states(problem, closed)
    known = np.flatnonzero(states.settled)
    if not len(known):
        return problem
    net, limits = problem.network, Limits()
    inner = np.setdiff1d(np.arange(net.n_bus), net.substations)

    def edge() -> float:
        return float(1 + rng.choice([-1, 1]) * 10 ** rng.uniform(-5, -1.3))

    row = int(rng.choice(known))
    if "voltage limits" in wanted and len(inner):
        vm = np.abs(states.v[row, inner])
        limits = replace(limits, vm_min=min(float(vm.min()), 1.2) * edge())
        if rng.random() < 0.5 and float(vm.max()) * 1.02 > limits.vm_min:
            limits = replace(limits, vm_max=max(float(vm.max()) * edge(), limits.vm_min))
    if "ampacity" in wanted:
        used = states.current[row]
        rated = (rng.random(net.n_branch) < 0.5) & (used > 0)
        factor = np.array([edge() if rng.random() < 0.5 else rng.uniform(1.2, 3) for _ in range(net.n_branch)])
        net = replace(net, i_max=np.where(rated, used * factor, np.inf))
        limits = replace(limits, ampacity=True)
    if "ratings" in wanted:
        drawn = states.drawn[row]
        high = np.where(drawn > 0, drawn * [edge() for _ in drawn], np.inf)
        low = np.where(rng.random(len(drawn)) < 0.3, drawn * [min(edge(), 1.0) * 0.9 for _ in drawn], 0.0)
        net = replace(net, substation_s_min=np.minimum(low, high), substation_s_max=high)
        limits = replace(limits, substations=True)
    return problem.replace(network=net, limits=limits)


# --- what is known of it ----------------------------------------------------------------------------------------------


@dataclass
class Truth:
    """Every configuration with its state in each load situation, per unit and kW."""

    problem: ReconfigurationProblem
    closed: np.ndarray
    states: list[States]
    settled: np.ndarray = field(init=False)
    loss_kw: np.ndarray = field(init=False)
    operations: np.ndarray = field(init=False)
    inside: np.ndarray = field(init=False)
    """Admissible for certain."""
    outside: np.ndarray = field(init=False)
    """For certain not."""

    def __post_init__(self) -> None:
        problem = self.problem
        self.settled = np.logical_and.reduce([s.settled for s in self.states])
        losses = np.array([s.loss for s in self.states])
        weights = problem.weights
        self.loss_kw = (losses.max(axis=0) if problem.worst_case else weights @ losses) * problem.network.base.kw
        changed = self.closed != ~problem.network.normally_open
        self.operations = (changed & ~problem.out_of_service).sum(axis=1)
        cap = np.inf if problem.max_operations is None else problem.max_operations
        over = np.max([excess(problem, s) for s in self.states], axis=0)
        self.inside = self.settled & (over <= INSIDE) & (self.operations <= cap)
        self.outside = (self.settled & (over > OUTSIDE)) | (self.operations > cap)

    @property
    def objective(self) -> np.ndarray:
        """Loss plus cost of switching [kW]."""
        return self.loss_kw + self.problem.switching_cost * self.operations

    @property
    def best(self) -> float:
        """Least objective of what is admissible for certain [kW]; infinite where there is nothing."""
        return float(np.min(self.objective[self.inside], initial=np.inf))

    @property
    def looped(self) -> bool:
        """Every state has loops that stay closed."""
        net = self.problem.network
        return bool((self.closed.sum(axis=1) > net.n_bus - len(net.substations)).any())

    def row(self, configuration: Configuration) -> int | None:
        """Where a configuration stands; None where it is not radial or not allowed."""
        found = np.flatnonzero((self.closed == configuration.closed).all(axis=1))
        return int(found[0]) if len(found) else None


def truth_of(problem: ReconfigurationProblem, closed: np.ndarray) -> Truth:
    return Truth(problem, closed, [ac_states(member, closed) for member in problem.members])


# --- what is checked --------------------------------------------------------------------------------------------------


class Judge:
    """Checks of one problem; every broken claim becomes a sentence."""

    def __init__(self, seed: int, verbose: bool = False) -> None:
        self.seed, self.verbose, self.report = seed, verbose, Report()

    def fault(self, who: str, sentence: str) -> None:
        """A claim that broke."""
        self.report.faults.append((self.seed, who, sentence))

    def evaluation(self, truth: Truth, row: int, found: Evaluation, who: str = "judge") -> None:
        """The judge's state of a configuration is the oracle's."""
        self.report.checked[who] += 1
        if not truth.settled[row]:
            return
        if not found.converged:
            if getattr(found, "unsettled", True):
                self.report.missed[who] += 1
            else:
                self.fault(who, f"row {row}: told to have no solution, but has one of {truth.loss_kw[row]:.9g} kW")
            return
        expected = truth.loss_kw[row]
        if not close(found.loss_kw, expected):
            self.fault(who, f"row {row}: loss {found.loss_kw:.12g} kW, oracle {expected:.12g}")
        vm = np.min([np.abs(s.v[row]) for s in truth.states], axis=0)
        if np.abs(found.vm - vm).max() > 1e-7:
            self.fault(who, f"row {row}: voltages differ by {np.abs(found.vm - vm).max():.3g} pu")
        capped = truth.problem.replace(max_operations=None)
        over = np.max([excess(capped, s)[row] for s in truth.states])
        if over <= INSIDE and found.violations:
            self.fault(who, f"row {row}: limits told to be violated are respected: {found.violations[0]}")
        if over > OUTSIDE and not found.violations:
            self.fault(who, f"row {row}: a limit is violated by {over:.3g}, not said")

    def result(self, who: str, truth: Truth, result: Result, gap: float) -> None:
        """Everything that a result claims."""
        best = truth.best
        self.report.checked[who] += 1
        self.report.status[who, f"{result.status.value} {result.certificate.value}"] += 1
        if self.verbose:
            print(f"{who:22s} {result.status.value:12s} {result.certificate.value:6s} {result.objective_kw} "
                  f"bound {result.dual_bound_kw} best {best} {result.message[:150]}")  # fmt: skip
        if result.status is Status.INFEASIBLE and np.isfinite(best):
            self.fault(who, f"infeasible, but {int(truth.inside.sum())} configurations are admissible, best {best:.9g}")
        if result.status is Status.INFEASIBLE and (~truth.settled & ~truth.outside).any() and not truth.inside.any():
            self.report.missed[f"{who}: infeasible beside unsettled ones"] += 1
        if result.configuration is None:
            if result.status in (Status.OPTIMAL, Status.FEASIBLE):
                self.fault(who, f"{result.status.value} without a configuration")
            if result.status is Status.NO_SOLUTION and np.isfinite(best):
                self.report.missed[f"{who}: no_solution"] += 1
            bound = result.dual_bound_kw
            if result.certificate is Certificate.AC and above(bound, best, truth):
                self.fault(who, f"bound {bound:.12g} above the optimum {best:.12g}")
            return
        row = truth.row(result.configuration)
        if row is None:
            self.fault(who, "its configuration is not radial, or breaks a lock or an outage")
            return
        if truth.outside[row]:
            self.fault(who, "its configuration violates a limit or the cap")
        if truth.settled[row] and not close(result.objective_kw, truth.objective[row]):
            self.fault(who, f"objective {result.objective_kw:.12g} kW, oracle {truth.objective[row]:.12g}")
        bound = result.dual_bound_kw
        if (result.certificate is Certificate.NONE) != (bound is None):
            self.fault(who, f"certificate {result.certificate.value} with bound {bound}")
        if result.certificate is Certificate.AC and above(bound, best, truth):
            self.fault(who, f"ac bound {bound:.12g} above the optimum {best:.12g} ({bound / best - 1:.3g})")
        if result.certificate is Certificate.MODEL and truth.settled[row]:
            self.model_bound(who, truth, row, float(bound or 0.0))
        if result.status is Status.OPTIMAL:
            if result.certificate is Certificate.NONE:
                self.fault(who, "optimal without a certificate")
            elif (result.gap or 0.0) > gap * (1 + 1e-6) + ROUNDING:
                self.fault(who, f"optimal with a gap of {result.gap:.3g}, asked for {gap:.3g}")

    def model_bound(self, who: str, truth: Truth, row: int, bound: float) -> None:
        """The bound holds for currents held at the answer, where the model is that simple.

        What has less loss in it was found to have more by AC power flow.
        """
        problem, net = truth.problem, truth.problem.network
        simple = not (
            net.g.any() or problem.b.any() or net.g_shunt.any() or net.b_shunt.any() or (net.ratio != 1).any()
        )
        if not simple or len(truth.states) > 1:
            return
        held = held_losses(problem, truth.closed, truth.states[0].v[row]) * net.base.kw
        held = held + problem.switching_cost * truth.operations
        least = float(np.min(np.maximum(held, truth.objective)[truth.inside], initial=np.inf))
        # The model's own value of the answer differs from its AC loss by rounding only.
        if bound > least * (1 + 1e-6):
            self.fault(who, f"model bound {bound:.12g} above the least {least:.12g} of the model")

    def ranking(self, who: str, truth: Truth, result: Result, k: int) -> None:
        """The best k are the best k of the AC problem, where that is what was proven."""
        self.report.checked[who] += 1
        if result.certificate is not Certificate.AC or result.status is not Status.OPTIMAL:
            return
        values = [a.objective_kw for a in result.alternatives]
        rows = [truth.row(a.configuration) for a in result.alternatives]
        if any(r is None for r in rows) or len(set(rows)) != len(rows):
            self.fault(who, "an alternative is not radial, not allowed, or there twice")
            return
        if any(truth.settled[r] and not close(v, truth.objective[r]) for r, v in zip(rows, values, strict=True)):
            self.fault(who, "the objective of an alternative is not the oracle's")
        if any(truth.outside[r] for r in rows):
            self.fault(who, "an alternative violates a limit")
        rest = truth.inside.copy()
        rest[[r for r in rows if r is not None]] = False
        least = float(np.min(truth.objective[rest], initial=np.inf))
        if len(values) < k and np.isfinite(least) and result.rest_bound_kw in (None, np.inf):
            self.fault(who, f"{len(values)} of {k} told to be all, but one of {least:.9g} kW is missing")
        if values and least < max(values) * (1 - ROOM) and len(values) == k:
            self.fault(who, f"{least:.12g} kW is missing among the best {k}, the last of which has {max(values):.12g}")
        if above(result.rest_bound_kw, least, truth):
            self.fault(who, f"rest_bound_kw {result.rest_bound_kw:.12g} above {least:.12g}")


def above(value: float | None, best: float, truth: Truth) -> bool:
    """A bound, or a loss told to be the least, exceeds the optimum by more than rounding."""
    rounding = 1e-12 * float(np.abs(truth.problem.p).sum()) * truth.problem.network.base.kw + 1e-18
    return value is not None and value > best * (1 + ROOM) + rounding


def close(a: float | None, b: float) -> bool:
    """Two losses of one state are one, down to the rounding of a picowatt."""
    return a is not None and abs(a - b) <= SAME_LOSS * max(abs(a), abs(b)) + 1e-15


# --- the attack -------------------------------------------------------------------------------------------------------


def attack(seed: int, verbose: bool = False, only: str = "") -> Report:
    """Every check of one problem, or of some engines on it; a crash is a fault."""
    check = Judge(seed, verbose)
    chosen = only.split(",")
    if not any(name in who for who, _ in engines(seed, np.random.default_rng()) for name in chosen):
        return check.report
    try:
        problem, closed, rng = draw(seed)
        truth = truth_of(problem, closed)
        if verbose:
            describe(truth)
        for row in rng.choice(len(closed), min(3, len(closed)), replace=False) if len(closed) else ():
            check.evaluation(truth, int(row), evaluate(problem, Configuration(closed[row])))
        for who, run in engines(seed, rng):
            if not any(name in who for name in chosen):
                continue
            guarded(check, who, truth.looped, lambda run=run: run(check, truth))
    except Exception:
        check.fault("attack", traceback.format_exc(limit=-4))
    return check.report


def guarded(check: Judge, who: str, looped: bool, run: Callable[[], None]) -> None:
    """A crash is a fault; to refuse loops that stay closed by name is none."""
    try:
        run()
    except UnsupportedError as refusal:
        if looped and any(named in str(refusal) for named in ("loop", "circuits in parallel")):
            check.report.missed[f"{who}: fixed loops refused"] += 1
        else:
            check.fault(who, f"refused: {refusal}")
    except Exception:
        check.fault(who, traceback.format_exc(limit=-4))


def describe(truth: Truth) -> None:
    """The problem in a few lines."""
    problem, net = truth.problem, truth.problem.network
    print(f"{net.n_bus} buses, {net.n_branch} branches, {len(net.substations)} sources, {net.base.v_base:g} kV, "
          f"{problem.p.sum() * net.base.kw:.4g} kW net, {len(truth.closed)} configurations, {int(truth.settled.sum())} "
          f"settled, {int(truth.inside.sum())} admissible, {problem.limits}, cap {problem.max_operations}")  # fmt: skip


def engines(seed: int, rng: np.random.Generator) -> Iterator[tuple[str, Callable[[Judge, Truth], None]]]:
    """What is run on the problem of a seed: the cheap always, the dear now and then."""
    yield "tree ac", solved("tree", Certificate.AC)
    yield "enumerate", solved("enumerate", None)
    if seed % 2 == 0:
        yield "tree model", solved("tree", Certificate.MODEL)
        yield "exchange", solved("exchange", None)
    if seed % 4 == 1:
        gap = float(10 ** rng.uniform(-5, -1))
        yield "tree ac, gap", solved("tree", Certificate.AC, gap)
        yield "k best", ranked(int(rng.choice([2, 5, 50])))
    if seed % 4 == 2:
        yield "scenarios", several(rng, "tree")
    if seed % 8 == 3:
        yield "milp", solved("milp", None)
    if seed % 16 == 5:
        yield "hybrid", solved("hybrid", None)
        yield "front", front
    if seed % 16 == 7:
        yield "milp scenarios", several(rng, "milp")
    if seed % 32 == 9:
        yield "milp controls", controlled(rng)
    if seed % 32 == 25:
        yield "horizon", horizon(rng)


def solved(engine: str, certify: Certificate | None, gap: float | None = None) -> Callable[[Judge, Truth], None]:
    def run(check: Judge, truth: Truth) -> None:
        result = load_engine(engine).solve(truth.problem, SolveOptions(certify=certify, gap=gap))
        who = engine if engine != "tree" else f"tree {certify.value if certify else ''}" + (", gap" if gap else "")
        check.result(who, truth, result, gap if gap is not None else (1e-4 if engine in ("milp", "hybrid") else EXACT))
        found = result.objective_kw if engine == "enumerate" and result.status is Status.OPTIMAL else None
        if found is not None and above(found, truth.best, truth):
            check.fault(who, f"{found:.12g} kW is not the least: {truth.best:.12g}")

    return run


def ranked(k: int) -> Callable[[Judge, Truth], None]:
    def run(check: Judge, truth: Truth) -> None:
        result = TreeSearchEngine(k_best=k).solve(truth.problem, SolveOptions(certify=Certificate.AC))
        check.result("k best", truth, result, EXACT)
        check.ranking("k best", truth, result, k)

    return run


def front(check: Judge, truth: Truth) -> None:
    """Every point of the front is a claim about the problem with that cap, and no cheaper point is missing."""
    problem = truth.problem.replace(switching_cost=0.0)
    points = pareto_front(problem, load_engine("tree"), SolveOptions(certify=Certificate.AC))
    for point in points:
        if point.configuration is None:
            continue
        cap = problem.operations(point.configuration)
        capped = Truth(problem.replace(max_operations=cap), truth.closed, truth.states)
        check.result("front", capped, point, EXACT)
        proven = point.certificate is Certificate.AC and point.status is Status.OPTIMAL
        if proven and above(point.objective_kw, capped.best, capped):
            check.fault("front", f"{point.objective_kw:.12g} kW at {cap} operations, oracle {capped.best:.12g}")


def several(rng: np.random.Generator, engine: str) -> Callable[[Judge, Truth], None]:
    def run(check: Judge, truth: Truth) -> None:
        problem = together(truth.problem, rng)
        many = truth_of(problem, truth.closed)
        gap = 1e-4 if engine == "milp" else EXACT
        result = load_engine(engine).solve(problem, SolveOptions(certify=Certificate.AC))
        check.result(f"{engine} scenarios", many, result, gap)

    return run


def together(problem: ReconfigurationProblem, rng: np.random.Generator) -> ReconfigurationProblem:
    """The problem in two or three load situations."""
    base, scenarios = problem.scenario, []
    for k in range(int(rng.integers(2, 4))):
        p, q = (load * rng.uniform(0.2, 1.1, len(load)) for load in (base.p_load, base.q_load))
        scenarios.append(replace(base, p_load=p, q_load=q, name=f"situation {k}"))
    one = Situations(tuple(scenarios), rng.integers(1, 4, len(scenarios)).astype(float))
    objective = str(rng.choice(["expected", "worst"]))
    return problem.under(one).judged_by(objective)


def controlled(rng: np.random.Generator) -> Callable[[Judge, Truth], None]:
    def run(check: Judge, truth: Truth) -> None:
        problem, net = truth.problem, truth.problem.network
        if len(truth.closed) > 60:
            return
        load = float(np.abs(problem.q).sum()) + 0.05 * float(np.abs(problem.p).sum())
        inner = np.setdiff1d(np.arange(net.n_bus), net.substations)
        power = 0.2 * float(np.abs(problem.p).sum())
        controls = Controls(
            (Tap(int(rng.integers(net.n_branch)), 0.95, 1.05, 0.05),),
            (Capacitor(int(rng.choice(inner)), (0.3 * load, 0.6 * load)),),
            (Generator("G", int(rng.choice(inner)), power, power, 0.0, 0.0, True),) if rng.random() < 0.5 else (),
        )
        problem = problem.replace(controls=controls)
        cases = []
        running = [((0.0, 0.0), False), ((power, 0.0), True)] if controls.generators else [(None, None)]
        for tap, bank, (made, on) in product((0.95, 1.0, 1.05), controls.capacitors[0].choices, running):
            settings = Settings((tap,), (bank,), (made,) if made else (), (on,) if made else ())
            cases.append((settings, truth_of(problem.applied(settings), truth.closed)))
        best = min(case.best for _, case in cases)
        result = load_engine("milp").solve(problem, SolveOptions())
        who = "milp controls"
        check.report.checked[who] += 1
        check.report.status[who, f"{result.status.value} {result.certificate.value}"] += 1
        if check.verbose:
            print(who, result.status, result.certificate, result.objective_kw, result.dual_bound_kw, "best", best)
        if result.status is Status.INFEASIBLE and np.isfinite(best):
            check.fault(who, f"infeasible, but {best:.9g} kW is admissible")
        if result.configuration is None:
            if np.isfinite(best):
                check.report.missed[f"{who}: no_solution"] += 1
            return
        bound = result.dual_bound_kw
        if result.certificate is Certificate.AC and above(bound, best, truth):
            check.fault(who, f"ac bound {bound:.12g} above the optimum {best:.12g}")
        if result.status is Status.OPTIMAL and (result.gap or 0) > 1e-4 * (1 + 1e-6):
            check.fault(who, f"optimal with a gap of {result.gap}")
        for settings, case in cases:
            if result.settings and _same(settings, result.settings[0]):
                row = case.row(result.configuration)
                if row is None or case.outside[row]:
                    check.fault(who, "its configuration is not admissible with its settings")
                elif case.settled[row] and not close(result.objective_kw, case.objective[row]):
                    check.fault(who, f"objective {result.objective_kw:.12g}, oracle {case.objective[row]:.12g}")
                return
        check.fault(who, f"its settings are none of those possible: {result.settings}")

    return run


def _same(a: Settings, b: Settings) -> bool:
    pairs = zip((*a.taps, *a.capacitors, *a.generators), (*b.taps, *b.capacitors, *b.generators), strict=True)
    return all(np.allclose(x, y, rtol=1e-6, atol=1e-12) for x, y in pairs)


def horizon(rng: np.random.Generator) -> Callable[[Judge, Truth], None]:
    def run(check: Judge, truth: Truth) -> None:
        base = truth.problem
        if not 0 < len(truth.closed) <= 60:
            return
        problem = together(base, rng).replace(max_operations=None)
        if len(problem.situations) == 1:
            return
        hours = rng.choice([0.5, 1.0, 2.0], len(problem.situations))
        cost = float(rng.choice([0.0, 0.01, 0.2])) * truth.best if np.isfinite(truth.best) else 0.0
        cap = int(rng.integers(0, 9)) if rng.random() < 0.4 else None
        task = HorizonProblem(
            base.network, problem.situations.scenarios, hours, base.limits, base.charging,
            switching_cost=cost, max_operations=cap,
        )  # fmt: skip
        steps = [truth_of(step.replace(max_operations=None, switching_cost=0.0), truth.closed) for step in task.steps]
        best = least_sequence(task, steps)
        plan = plan_horizon(task)
        who = "horizon"
        check.report.checked[who] += 1
        check.report.status[who, f"{plan.status.value} {plan.certificate.value}"] += 1
        if check.verbose:
            print(who, plan.status, plan.certificate, plan.objective_kwh, plan.dual_bound_kwh, "best", best)
        if plan.status is Status.INFEASIBLE and np.isfinite(best):
            check.fault(who, f"infeasible, but {best:.9g} kWh is admissible")
        bound = plan.dual_bound_kwh
        if plan.certificate is Certificate.AC and above(bound, best, truth):
            check.fault(who, f"ac bound {bound:.12g} above the optimum {best:.12g}")
        if not plan.configurations:
            if np.isfinite(best):
                check.report.missed[f"{who}: no plan"] += 1
            return
        rows = [step.row(c) for step, c in zip(steps, plan.configurations, strict=True)]
        if any(r is None or step.outside[r] for r, step in zip(rows, steps, strict=True)):
            check.fault(who, "a configuration of the plan is not admissible")
            return
        if all(step.settled[r] for r, step in zip(rows, steps, strict=True)):
            energy = sum(h * step.loss_kw[r] for h, r, step in zip(hours, rows, steps, strict=True))
            if not close(plan.energy_kwh, energy):
                check.fault(who, f"energy {plan.energy_kwh:.12g} kWh, oracle {energy:.12g}")

    return run


def least_sequence(task: HorizonProblem, steps: list[Truth]) -> float:
    """Least energy and switching cost of all sequences [kWh], by dynamic programming over state and operations used."""
    closed = steps[0].closed
    cap = 10**9 if task.max_operations is None else task.max_operations
    counted = ~task.scenarios[0].out_of_service
    first = ((closed != ~task.network.normally_open) & counted).sum(axis=1)
    moves = ((closed[:, None] != closed[None]) & counted).sum(axis=2)
    value: dict[tuple[int, int], float] = {}  # by configuration and, under a cap, operations used
    for t, step in enumerate(steps):
        fresh: dict[tuple[int, int], float] = {}
        for row in np.flatnonzero(step.inside).tolist():
            ways = (
                [(0, int(first[row]), 0.0)] if t == 0 else [(u, int(moves[k, row]), v) for (k, u), v in value.items()]
            )
            for used, moved, so_far in ways:
                if used + moved <= cap:
                    key = (row, used + moved if task.max_operations is not None else 0)
                    cost = so_far + float(task.hours[t] * step.loss_kw[row]) + task.switching_cost * moved
                    fresh[key] = min(fresh.get(key, np.inf), cost)
        value = fresh
    return min(value.values(), default=np.inf)


# --- running it -------------------------------------------------------------------------------------------------------


def batch(seeds: list[int], only: str = "") -> Report:
    report = Report()
    for seed in seeds:
        report.add(attack(seed, only=only))
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first problem")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", type=int, help="this problem alone, told at length")
    parser.add_argument("--only", default="", help="answers of these alone, as milp,horizon")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.one is not None:
        report = attack(arguments.one, verbose=True, only=arguments.only)
    else:
        seeds = iter(range(arguments.first, arguments.first + arguments.problems))
        batches = list(iter(lambda: list(islice(seeds, 50)), []))
        report, done = Report(), 0
        with get_context("spawn").Pool(arguments.jobs) as pool:
            for part in pool.imap_unordered(partial(batch, only=arguments.only), batches):
                report.add(part)
                done += 1
                for seed, who, sentence in part.faults:
                    print(f"{seed} {who}: {sentence}", flush=True)
                if done % 20 == 0:
                    print(f"... {50 * done} problems, {len(report.faults)} faults", file=sys.stderr, flush=True)
    text = table(report, arguments.problems if arguments.one is None else 1, arguments.first)
    print(text)
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n", encoding="utf-8")
    for seed, who, sentence in sorted(report.faults)[:50]:
        print(f"{seed} {who}: {sentence}")
    return 1 if report.faults else 0


def table(report: Report, problems: int, first: int) -> str:
    """Claims per engine as Markdown."""
    lines = [
        f"{problems} problems (seeds {first} to {first + problems - 1}):",
        f"{sum(report.checked.values())} answers checked, {len(report.faults)} claims broken.",
        "",
        "| who | answers | broken | how they ended |",
        "|---|---|---|---|",
    ]
    broken = Counter(who for _, who, _ in report.faults)
    for who in sorted(report.checked):
        ends = sorted(((n, s) for (w, s), n in report.status.items() if w == who), reverse=True)
        lines.append(
            f"| {who} | {report.checked[who]} | {broken[who]} | " + ", ".join(f"{n} {s}" for n, s in ends) + " |"
        )
    lines += [
        "",
        "Not found, though there: " + (", ".join(f"{w} {n}" for w, n in sorted(report.missed.items())) or "nothing"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
