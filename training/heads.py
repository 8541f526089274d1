"""Heads that see the relaxation (:mod:`learnopt.learning.heads`): draw problems, label them, train, calibrate, measure.

    python training/heads.py collect datasets/heads --seed 20261130 --first 0 --count 200 [--seconds 20]
    python training/heads.py train datasets/heads --checkpoint checkpoints/reference

``collect`` writes a file per problem, whole or not at all, and leaves those that are there alone: several processes may
share the numbers among them. A problem is a function of seed and number. Labels are the best plan of the MILP to 1e-4,
or what it knew when its CPU seconds were over, kept with the gap. Every fifth problem has several load situations.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.special import betaincinv

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.base import Progress
from learnopt.engines.milp.results import searching
from learnopt.engines.milp.rounds import Effort, Rounds
from learnopt.errors import DataError
from learnopt.generator import (
    ControlsConfig,
    FeederConfig,
    ScenarioConfig,
    random_controls,
    random_feeder,
    random_scenario,
)
from learnopt.learned.answers import Best
from learnopt.learned.belief import Belief
from learnopt.learned.engine import AROUND_GAP, offer_starts
from learnopt.learned.problem_class import CONTROLS, SITUATIONS, ProblemClass
from learnopt.learned.root import RootLook, known_at, root_data
from learnopt.learning.calibration import conformal_threshold, risk_quantile
from learnopt.learning.checkpoint import REFERENCE, add_heads, load_checkpoint
from learnopt.learning.classes import CalibratedHeads, ClassCalibration
from learnopt.learning.coverage import Coverage
from learnopt.learning.heads import RelaxationHeads, RootBelief, RootData
from learnopt.learning.heads_fit import fit_heads
from learnopt.learning.predict import Predictor
from learnopt.network import Limits, ReconfigurationProblem, Situations

LABEL_GAP, SAME = 1e-4, 1e-4
"""Gap that labels are proven to, and relative difference from the best plan below which a plan is as good."""
ALPHAS = (0.01, 0.02, 0.05, 0.1)
"""Risks for which a threshold is looked for."""
SIDES = (*["training"] * 7, *["validation"] * 2, *["thresholds"] * 8, *["test"] * 3)
FEEDERS = FeederConfig(buses=(14, 48), size_law="log-uniform", substations=(1, 2), loops=(3, 9))
SEVERAL = 5
"""One problem in so many has several load situations."""
SCENARIOS = ScenarioConfig(generation_probability=0.0, outage_probability=0.0, lock_probability=0.0)


def drawn(seed: int, number: int) -> ReconfigurationProblem:
    """The problem of a number."""
    rng = np.random.default_rng([seed, number])
    network = random_feeder(FEEDERS, rng)
    controls = random_controls(network, ControlsConfig(), rng)
    network = replace(network, controls=controls)
    limits = (None, None, None, None, Limits(), Limits(vm_min=0.92, vm_max=1.05))[int(rng.integers(6))]
    load = Situations.of(random_scenario(network, SCENARIOS, rng))
    if number % SEVERAL == 0:
        several = tuple(random_scenario(network, SCENARIOS, rng, f"s{k}") for k in range(int(rng.integers(2, 4))))
        load = Situations(several, np.ones(len(several)))
    return ReconfigurationProblem.of(network, load, limits=limits, controls=controls)


class Limited:
    """Progress that ends a solve after CPU seconds."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds

    def __call__(self, progress: Progress) -> None:
        """Look at the clock."""
        if time.process_time() > self._end:
            raise KeyboardInterrupt


def collect(folder: Path, seed: int, number: int, seconds: float, predictor: Predictor) -> str:
    """Label one problem and write it; a line about it."""
    path = folder / f"{seed}_{number:05d}.npz"
    if path.exists():
        return ""
    problem = drawn(seed, number)
    best, options = Best(problem), SolveOptions()
    belief = Belief.of(predictor, problem)
    offer_starts(problem, belief, None, options, best)
    search = searching(problem, "heads", AROUND_GAP, options, Stopwatch())
    if best.configuration is not None:
        search.offer(search.coupled.served(best.configuration, best.common))
    if search.plan is None:
        return f"{number}: no plan to begin with"
    turns, begin = search.objective, time.process_time()
    found = RootLook(search).read()
    if found is None or found[1] is None:
        return f"{number}: nothing to read"
    root_seconds, begin = time.process_time() - begin, time.process_time()
    known = known_at(search, belief.p_closed)
    _, readout = found
    label = searching(problem, "heads", LABEL_GAP, SolveOptions(progress=Limited(seconds)), Stopwatch())
    label.offer(search.plan)
    with suppress(KeyboardInterrupt):
        Rounds(label, Effort()).run()
    assert label.plan is not None
    data = root_data(known, readout, label.plan)
    arrays = {f.name: np.asarray(getattr(data, f.name)) for f in fields(RootData)}
    facts = {
        "turns": turns,
        "planned": known.objective,
        "best": label.objective,
        "gap": label.reached,
        "bound": readout.bound,
        "root_seconds": root_seconds,
        "milp_seconds": time.process_time() - begin,
        "n_bus": problem.network.n_bus,
        "n_situations": len(problem.situations),
        "novelty": belief.novelty,
    }
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("wb") as file:
        np.savez_compressed(file, **arrays, **{f"fact_{key}": value for key, value in facts.items()})
    scratch.replace(path)
    return f"{number}: " + ", ".join(f"{key} {value:.5g}" for key, value in facts.items())


@dataclass(frozen=True)
class Labelled:
    """A problem as ``collect`` wrote it."""

    number: int
    seed: int
    data: RootData
    facts: dict[str, float]

    @property
    def family(self) -> str:
        """Its class."""
        return CONTROLS if self.facts["n_situations"] == 1 else f"{CONTROLS}, {SITUATIONS}"

    @property
    def regret(self) -> float:
        """Of the plan against the best one known, relative."""
        return self.facts["planned"] / self.facts["best"] - 1.0


def read(path: Path) -> Labelled:
    """Read one problem."""
    with np.load(path) as kept:
        arrays = {f.name: kept[f.name] for f in fields(RootData)}
        facts = {key.removeprefix("fact_"): float(kept[key]) for key in kept.files if key.startswith("fact_")}
    seed, number = (int(part) for part in path.stem.split("_"))
    return Labelled(number, seed, RootData(**{**arrays, "n_nodes": int(arrays["n_nodes"])}), facts)


def mistake(one: Labelled, belief: RootBelief) -> float:
    """Largest confidence in something that excludes the label; 0 where the plan is as good as the label."""
    return belief.worst_mistake(one.data) if one.regret > SAME else 0.0


def side_of(one: Labelled) -> str:
    """Training, validation, thresholds or test, by number: the same when the dataset grows."""
    return SIDES[int(np.random.default_rng([one.seed, one.number, 1]).integers(len(SIDES)))]


def calibrated(
    model: RelaxationHeads, family: str, items: Sequence[Labelled], test: Sequence[Labelled]
) -> ClassCalibration:
    """Thresholds of one class, and what was measured on its test problems."""
    mistakes = [mistake(one, model.believe(one.data)) for one in items]
    feeders = [f"{one.seed} {one.number}" for one in items]
    thresholds = {alpha: conformal_threshold(mistakes, feeders, alpha) for alpha in ALPHAS}
    stated = {alpha: tau for alpha, tau in thresholds.items() if tau is not None}
    problems = [drawn(one.seed, one.number) for one in items]
    traits = sorted({trait for each in problems for trait in ProblemClass.of(each, Coverage(), binding=True).traits})
    measured = {f"{alpha:g}": _measured(model, test, tau) for alpha, tau in stated.items()} if test else {}
    return ClassCalibration(
        thresholds=thresholds,
        risks={alpha: risk_quantile(mistakes, feeders, tau) for alpha, tau in stated.items()},
        traits=tuple(traits),
        feeders=len(items),
        branches=max(len(one.data.tail) for one in items),
        devices=max(one.data.n_devices for one in items),
        measured=measured,
    )


def _measured(model: RelaxationHeads, test: Sequence[Labelled], tau: float) -> dict[str, float]:
    beliefs = [model.believe(one.data) for one in test]
    wrong = sum(mistake(one, belief) >= tau for one, belief in zip(test, beliefs, strict=True))
    held = np.mean([np.mean(np.concatenate([belief.branch, belief.device]) >= tau) for belief in beliefs])
    n = len(test)
    low = float(betaincinv(wrong, n - wrong + 1, 0.025)) if wrong else 0.0
    high = float(betaincinv(wrong + 1, n - wrong, 0.975)) if wrong < n else 1.0
    return {"n": n, "wrong": wrong, "low": low, "high": high, "held": float(held)}


def train(folder: Path, checkpoint: str, hidden: int, emphasis: float) -> None:
    """Train on all classes at once, calibrate and measure each, and write heads into a checkpoint."""
    items = [read(path) for path in sorted(folder.glob("*.npz"))]
    sides: dict[str, list[Labelled]] = {side: [] for side in SIDES}
    for one in items:
        sides[side_of(one)].append(one)
    training, validation = ([one.data for one in sides[side]] for side in ("training", "validation"))
    model = fit_heads(training, validation, hidden=hidden, emphasis=emphasis)
    classes = {}
    for family in sorted({one.family for one in sides["thresholds"]}):
        own, test = ([one for one in sides[side] if one.family == family] for side in ("thresholds", "test"))
        classes[family] = calibrated(model, family, own, test)
        print(family, classes[family].as_dict())
    text = (
        f"random feeders of {FEEDERS.buses[0]} to {FEEDERS.buses[1]} buses with banks, tap changers and generators, "
        f"one in {SEVERAL} with two or three load situations; labels by the MILP"
    )
    add_heads(checkpoint, CalibratedHeads(model, classes), {"training": len(training), "text": text})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    collecting = commands.add_parser("collect")
    collecting.add_argument("folder", type=Path)
    collecting.add_argument("--seed", type=int, required=True)
    collecting.add_argument("--first", type=int, default=0)
    collecting.add_argument("--count", type=int, default=200)
    collecting.add_argument("--step", type=int, default=1, help="every so many numbers, for several processes")
    collecting.add_argument("--seconds", type=float, default=20.0, help="CPU seconds for a label")
    training = commands.add_parser("train")
    training.add_argument("folder", type=Path)
    training.add_argument(
        "--checkpoint", default=REFERENCE, help="folder or name of the checkpoint that gets the heads"
    )
    training.add_argument(
        "--hidden", type=int, default=16, help="width of the hidden layers, 0 for logistic regression"
    )
    training.add_argument("--emphasis", type=float, default=1.0, help="weight of a problem whose plan is not the best")
    options = parser.parse_args()
    if options.command == "train":
        train(options.folder, options.checkpoint, options.hidden, options.emphasis)
        return 0
    options.folder.mkdir(parents=True, exist_ok=True)
    predictor = load_checkpoint(REFERENCE)
    for number in range(options.first, options.first + options.count, options.step):
        try:
            told = collect(options.folder, options.seed, number, options.seconds, predictor)
        except DataError as error:
            told = f"{number}: {error}"
        if told:
            print(told, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
