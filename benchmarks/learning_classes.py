"""Fast answers where the MILP is all there is: switches with controls, against what needs no model, at equal time.

    python benchmarks/learning_classes.py [--feeders 4] [--buses 20 40] [--classes capacitors,all] [--seconds 15]

Feeders are drawn from a seed that no dataset uses, with banks, tap changers at the substations and switchable
generators; the class ``random`` has controls as the heads of the checkpoint have learned from, on other feeders.
All on one thread and in CPU seconds. Regrets are against the best that anything found, intervals are over feeders.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from learning import interval

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.base import Progress
from learnopt.engines.dispatch import settle, settle_from_each_step
from learnopt.engines.exchange import find_incumbent, random_start
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.neighbourhoods import look_around
from learnopt.engines.milp.results import searching
from learnopt.engines.milp.rounding import round_relaxation
from learnopt.engines.milp.rounds import Effort, Rounds
from learnopt.engines.milp.starts import offer_starts
from learnopt.generator import ControlsConfig, FeederConfig, random_controls, random_feeder
from learnopt.io import load
from learnopt.learned.engine import AROUND_GAP, HELD_NODES, LearnedEngine
from learnopt.learned.root import RootLook
from learnopt.network import Capacitor, Controls, Generator, Network, ReconfigurationProblem, Settings, Tap

SEED = 78_000
"""Seed of feeders here; datasets use others."""
SAME = 1e-4
"""Relative difference of objectives below which answers are equally good."""
GAP = 1e-3
"""Gap to which the MILP proves."""
FAST = "learned, fast mode"
RANDOM = "random"
"""Class of feeders whose controls are drawn (:func:`learnopt.generator.random_controls`)."""


@dataclass
class Answer:
    """What a method found for one problem: objective [kW], CPU seconds, and the gap it proved."""

    objective: float
    seconds: float
    gap: float = np.inf


class Limited:
    """Progress that ends a solve after CPU seconds, and keeps what was known when."""

    def __init__(self, seconds: float) -> None:
        self._begin, self._seconds = time.process_time(), seconds
        self.trace: list[tuple[float, float]] = []

    def __call__(self, progress: Progress) -> None:
        """Take what is known now."""
        spent = time.process_time() - self._begin
        self.trace.append((spent, np.inf if progress.incumbent_kw is None else progress.incumbent_kw))
        if spent > self._seconds:
            raise KeyboardInterrupt

    def at(self, seconds: float) -> float:
        """Objective known after CPU seconds, infinite before there is one."""
        return min((value for spent, value in self.trace if spent <= seconds), default=np.inf)


def with_controls(network: Network, kinds: str, rng: np.random.Generator) -> ReconfigurationProblem:
    """Three banks of a sixth of the reactive load each, a tap changer per substation feeder, two generators."""
    plain = ReconfigurationProblem.of(network)
    buses = np.flatnonzero(~network.is_substation & (plain.p > 0))
    places = rng.choice(buses, 5, replace=False).tolist()
    p, q = float(plain.p.sum()), float(plain.q.sum())
    banks = tuple(Capacitor(k, tuple(q / 6 * share for share in (0.25, 0.5, 1.0))) for k in places[:3])
    heads = np.flatnonzero(np.isin(network.from_bus, network.substations)).tolist()
    taps = tuple(Tap(e, 0.95, 1.05, 0.0125) for e in heads)
    generators = tuple(Generator(f"G{k}", k, 0.0, p / 4, 0.0, p / 4, switchable=True, s_max=p / 4) for k in places[3:])
    controls = Controls(taps, banks, generators)
    controls = random_controls(network, ControlsConfig(), rng) if kinds == RANDOM else controls.only(kinds)
    return ReconfigurationProblem.of(replace(network, controls=controls), controls=controls)


def begun(problem: ReconfigurationProblem, gap: float, seconds: float) -> tuple[Incumbent, Limited]:
    """What is known before anything is."""
    limited = Limited(seconds)
    return searching(problem, "benchmark", gap, SolveOptions(progress=limited), Stopwatch()), limited


def timed(search: Incumbent, work: Callable[[], object]) -> Answer:
    """Do something to a search until it ends or its CPU seconds do."""
    begin = time.process_time()
    with suppress(KeyboardInterrupt):
        work()
    return Answer(search.objective, time.process_time() - begin, search.reached)


def in_turns(search: Incumbent) -> None:
    """Exchange, then switches and controls in turns."""
    mean = search.coupled.together.mean
    found = find_incumbent(mean, None, np.random.default_rng(0))
    settled = None if found is None else settle_from_each_step(mean, found)
    search.offer(None if settled is None else search.coupled.served(*settled[:2]))


def in_turns_from_many(search: Incumbent, seconds: float) -> None:
    """The same, then from random trees with random settings until the time is over."""
    begin, rng, mean = time.process_time(), np.random.default_rng(0), search.coupled.together.mean
    in_turns(search)
    controls = mean.controls
    while time.process_time() - begin < seconds:
        running = tuple(bool(on) for on in rng.random(len(controls.generators)) < 0.5)
        chosen = Settings(
            tuple(float(rng.choice(tap.positions)) for tap in controls.taps),
            tuple(float(rng.choice(bank.choices)) for bank in controls.capacitors),
            tuple(
                (g.p_max * rng.random(), 0.0) if on else (0.0, 0.0)
                for g, on in zip(controls.generators, running, strict=True)
            ),
            running,
        )
        settled = settle(mean, random_start(mean, rng), chosen)
        search.offer(None if settled is None else search.coupled.served(*settled[:2]))


def rounded(search: Incumbent, known: Incumbent) -> None:
    """The linear relaxation of what is at most as dear as a plan known, rounded and improved in turns."""
    rounds = Rounds(known, Effort())
    model = rounds._model(search.coupled.steps)
    rounds._root(model, search.coupled.steps)
    assert isinstance(model, JointModel)
    round_relaxation(search, model, model.solve_relaxation(), 20)


def nothing_held(search: Incumbent) -> None:
    """In turns, then the model near that answer, solved as fast mode solves it but with nothing held."""
    in_turns(search)
    look = RootLook(search)
    if search.plan is not None and (found := look.read()) is not None:
        look.solve_rest(found[0], HELD_NODES)


def prove(search: Incumbent, starts: bool) -> None:
    """The MILP, from nothing or from what its starts find."""
    if starts:
        offer_starts(search, None)
    Rounds(search, Effort(), look_around=look_around if starts else None).run()


def measured(problem: ReconfigurationProblem, learned: LearnedEngine, seconds: float) -> dict[str, Answer]:
    """Every method on one problem; random starts get the time that fast mode took."""
    found: dict[str, Answer] = {}
    begin = time.process_time()
    result = learned.solve(problem, SolveOptions())
    found[FAST] = Answer(np.inf if result.objective_kw is None else result.objective_kw, time.process_time() - begin)
    equal = found[FAST].seconds
    turns, _ = begun(problem, AROUND_GAP, seconds)
    found["in turns, one start"] = timed(turns, lambda: in_turns(turns))
    many, _ = begun(problem, AROUND_GAP, seconds)
    found["in turns, many starts, time of fast mode"] = timed(many, lambda: in_turns_from_many(many, equal))
    around, _ = begun(problem, AROUND_GAP, seconds)
    found["in turns, then small MILPs around it"] = timed(around, lambda: (in_turns(around), look_around(around)))
    free, _ = begun(problem, AROUND_GAP, seconds)
    found["in turns, then a MILP near it, nothing held"] = timed(free, lambda: nothing_held(free))
    if turns.plan is not None:
        point, _ = begun(problem, AROUND_GAP, seconds)
        found["relaxation rounded"] = timed(point, lambda: rounded(point, turns))
    for name, starts in (("MILP, cold", False), ("MILP, started in turns", True)):
        search, limited = begun(problem, GAP, seconds)
        found[name] = timed(search, partial(prove, search, starts))
        found[f"{name}, time of fast mode"] = Answer(limited.at(equal), equal)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeders", type=int, default=4, help="generated feeders")
    parser.add_argument("--buses", type=int, nargs=2, default=(20, 40), help="least and most buses of one")
    parser.add_argument("--cases", default="", help="comma-separated named cases with controls instead, as case70")
    parser.add_argument("--classes", default="capacitors,all", help="capacitors, taps, generators, all, or random")
    parser.add_argument("--seconds", type=float, default=15.0, help="CPU seconds for each proof")
    options = parser.parse_args()
    learned = LearnedEngine()
    config = FeederConfig(buses=tuple(options.buses), substations=(1, 2), loops=(4, 8))
    for kinds in options.classes.split(","):
        problems = []
        for name in filter(None, options.cases.split(",")):
            network = load(name)
            problems.append((name, ReconfigurationProblem.of(network, controls=network.controls.only(kinds))))
        for k in range(0 if problems else options.feeders):
            rng = np.random.default_rng([SEED, k])
            problems.append((f"feeder {k}", with_controls(random_feeder(config, rng), kinds, rng)))
        learned.solve(problems[0][1], SolveOptions())  # compilation and imports are not timed
        answers = []
        for name, problem in problems:
            answers.append(measured(problem, learned, options.seconds))
            best = min(answer.objective for answer in answers[-1].values())
            told = ", ".join(f"{who} {a.objective:.4f} in {a.seconds:.1f} s" for who, a in answers[-1].items())
            print(
                f"{kinds}, {name} ({problem.network.n_bus} buses), best {best:.4f} kW: {told}",
                file=sys.stderr,
                flush=True,
            )
        table(kinds, answers, [name for name, _ in problems])
    return 0


def table(kinds: str, answers: list[dict[str, Answer]], names: list[str]) -> None:
    """Regret, share of best answers and CPU seconds of every method."""
    best = [min(answer.objective for answer in each.values()) for each in answers]
    print(f"\n### {kinds}: {len(answers)} feeders\n")
    print("| method | regret %, mean and interval | worst % | best found | CPU s, mean | proven to 0.1 % |")
    print("|---" * 6 + "|")
    for method in answers[0]:
        mine = [each[method] for each in answers if method in each]
        regret = [100 * (a.objective / least - 1) for a, least in zip(mine, best, strict=False)]
        reached = sum(value <= 100 * SAME for value in regret)
        proven = sum(a.gap <= GAP for a in mine)
        cells = [method, interval(regret, names[: len(mine)]), f"{max(regret):.3g}", f"{reached} of {len(mine)}"]
        print("| " + " | ".join([*cells, f"{np.mean([a.seconds for a in mine]):.2f}", str(proven)]) + " |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
