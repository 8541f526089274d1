"""The learned half against what a sceptic would use, on feeders that no model was trained on.

    python benchmarks/learning.py [--quick] [--checkpoint DIR] [--cases DIR] [--data DIR] [--budget S] [--markdown FILE]

Five tables: decoding without search; search from starts at equal time; fixing; reduced against full problem; what the
order of values could save the tree search. Feeders are the named cases, every case file of ``--cases``, and synthetic
feeders drawn from a seed that no dataset uses. All on one thread and in CPU seconds, so that other work on the machine
does not count; nor do compilation and imports.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.dataset.store import read_labels
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.exchange import LocalSearch, radial_start, sequential_opening
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.generator import FeederConfig, ScenarioConfig, random_feeder, random_scenario
from learnopt.io import case_names, load, read_case_json
from learnopt.learned.engine import LearnedEngine
from learnopt.learned.policy import DEFAULT_ALPHA as ALPHA
from learnopt.learned.policy import Decision, FixingPolicy, consistent
from learnopt.learned.reduction import Reduction
from learnopt.learned.starts import ROUNDS, SURE, anytime, confidence_for_fixing, settled
from learnopt.learned.training import proven_pairs
from learnopt.learning.baselines import BoostedTrees, OpeningCostTree
from learnopt.learning.checkpoint import REFERENCE, load_checkpoint
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.predict import Prediction, Predictor
from learnopt.learning.spanning_tree import SpanningTrees
from learnopt.network import Certificate, Configuration, Limits, Network, ReconfigurationProblem, Status
from learnopt.physics import power_flow
from learnopt.tracking.provenance import git_commit, library_versions

SEED = 77_000
"""Seed of synthetic feeders and scenarios here; datasets use others."""
SAME = 1e-6
"""Relative difference of losses below which two configurations are equally good."""
HARD = FeederConfig(buses=(300, 600), substations=(2, 4), loops=(30, 45), flat_share=0.5)
LARGE = FeederConfig(buses=(2000, 4000), substations=(3, 6), loops=(80, 150), flat_share=0.2)
MEDIUM = FeederConfig(buses=(60, 250), substations=(1, 4), loops=(8, 25), flat_share=0.15)
SCENARIOS = ScenarioConfig(generation_probability=0.0, outage_probability=0.1, lock_probability=0.0)
HUGE = FeederConfig(buses=(500, 1000), substations=(2, 4), loops=(30, 60), flat_share=0.5)
BOOTSTRAP = 2000
BLIND = 60
"""Batches of kicks without a model for the best known configuration."""
UNGUIDED, GUIDED = "exchange and blind kicks, currents held", "exchange and learned kicks, currents held"
"""Methods whose answers are improved by AC exchange only when they come twice."""


@dataclass
class Instance:
    """One problem and the best that anything found for it."""

    group: str
    feeder: str
    problem: ReconfigurationProblem
    best_kw: float = np.inf
    proven: bool = False

    def offer(self, loss_kw: float) -> None:
        """Remember a better loss."""
        self.best_kw = min(self.best_kw, loss_kw)


@dataclass
class Trace:
    """What one method did on one instance."""

    steps: list[tuple[float, float]] = field(default_factory=list)  # CPU seconds, loss [kW] of the best so far
    starts: int = 0

    @property
    def final_kw(self) -> float:
        """Loss of the best."""
        return self.steps[-1][1] if self.steps else np.inf

    def primal_integral(self, best_kw: float, budget: float) -> float:
        """Mean over the budget of the relative distance from the best known, 1 before the first answer."""
        total, before, gap = 0.0, 0.0, 1.0
        for at, loss in self.steps:
            total += gap * (min(at, budget) - before)
            before, gap = min(at, budget), min(loss / best_kw - 1.0, 1.0)
        return (total + gap * (budget - before)) / budget


Starts = Callable[[ReconfigurationProblem, np.random.Generator], Iterator[Configuration]]


def random_trees(problem: ReconfigurationProblem, rng: np.random.Generator) -> Iterator[Configuration]:
    """The present configuration, then uniform spanning trees without end."""
    yield radial_start(problem)
    graph = DecisionGraph.of(problem)
    trees = SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, np.zeros(graph.n_undecided))
    while True:
        yield graph.expand(trees.sample(1, rng)[0])


def learned_trees(predictor: Predictor, sequential: bool) -> Starts:
    """The present configuration, the most probable tree, if wanted the one decoded step by step, then samples."""

    def starts(problem: ReconfigurationProblem, rng: np.random.Generator) -> Iterator[Configuration]:
        yield radial_start(problem)
        prediction = predictor.predict(problem)
        yield prediction.most_probable
        if sequential:
            yield predictor.predict_step_by_step(problem, SURE, ROUNDS)
        while True:
            yield from prediction.sample(1, rng)

    return starts


def once(method: Callable[[ReconfigurationProblem], Configuration]) -> Starts:
    """A single start."""
    return lambda problem, _: iter([method(problem)])


def without_belief(problem: ReconfigurationProblem) -> Prediction:
    """The prediction of who knows nothing: all spanning trees alike."""
    graph = DecisionGraph.of(problem).joined
    return Prediction(graph, SpanningTrees.of(graph.n_nodes, graph.tail, graph.head, np.zeros(graph.n_undecided)))


def start_methods(predictor: Predictor, boosted: BoostedTrees | None) -> dict[str, Starts]:
    """Everything that proposes starts for branch exchange."""
    methods: dict[str, Starts] = {
        "present configuration": once(radial_start),
        "sequential opening": once(sequential_opening),
        "log-delta tree": once(OpeningCostTree().predict),
        "uniform random trees": random_trees,
        "learned trees": learned_trees(predictor, False),
        "learned trees, one step by step": learned_trees(predictor, True),
        UNGUIDED: lambda problem, rng: anytime(problem, without_belief, rng),
        GUIDED: lambda problem, rng: anytime(problem, predictor.predict, rng),
    }
    if boosted is not None:
        methods["gradient boosting per switch"] = once(boosted.predict)
    return methods


def search(problem: ReconfigurationProblem, starts: Starts, budget: float, seed: int, late: bool = False) -> Trace:
    """Power flow of, and branch exchange from, one start after the other until the CPU time is spent.

    Parameters
    ----------
    late
        Exchange only from starts that come a second time.
    """
    trace = Trace()
    begin = time.process_time()
    local = LocalSearch(problem)
    kw = problem.network.base.kw
    sights: Counter[Configuration] = Counter()

    def offer(loss_kw: float) -> float:
        spent = time.process_time() - begin
        if loss_kw < trace.final_kw and (spent <= budget or not trace.steps):
            trace.steps.append((spent, loss_kw))
        return spent

    for start in starts(problem, np.random.default_rng(seed)):
        sights[start] += 1
        trace.starts += sights[start] == 1
        if sights[start] == 1 and (flow := power_flow(problem, start)).converged:
            offer(flow.loss * kw)
        if sights[start] == (2 if late else 1) and (found := local.improve(start)) is not None:
            offer(found[1])
        if time.process_time() - begin > budget:
            break
    return trace


def exact_search(engine: str, problem: ReconfigurationProblem, budget: float) -> Trace:
    """An exact engine, cold, stopped after the budget (of wall time); only its last answer is seen."""
    begin = time.process_time()
    result = load_engine(engine).solve(problem, SolveOptions(time_limit=budget))
    spent = time.process_time() - begin
    return Trace([] if result.loss_kw is None else [(min(spent, budget), result.loss_kw)], 1)


def instances(options: argparse.Namespace) -> list[Instance]:
    """Named cases, case files and synthetic feeders, with a few scenarios each."""
    networks: list[tuple[str, Network]] = [("named", load(name)) for name in case_names() if name != "case16"]
    if options.cases:
        known = {(net.n_bus, net.n_branch) for _, net in networks}
        for path in sorted(options.cases.glob("*.json")):
            if path.stem == "conductors":
                continue
            network = read_case_json(path)
            if (network.n_bus, network.n_branch) not in known and network.n_bus <= options.max_buses:
                networks.append(("files", replace(network, name=path.stem)))
    for group, config, count in (
        ("synthetic", MEDIUM, options.synthetic),
        ("synthetic hard", HARD, options.synthetic),
        ("synthetic, 500 to 1000 buses", HUGE, options.synthetic),
        ("synthetic large", LARGE, options.large),
    ):
        for k in range(count):
            rng = np.random.default_rng([SEED, len(group), k])
            networks.append((group, random_feeder(config, rng, f"{group} {k}")))
    if options.only:
        networks = [row for row in networks if row[1].name.startswith(tuple(options.only.split(",")))]
    result = []
    for group, network in networks:
        for k in range(options.scenarios):
            rng = np.random.default_rng([SEED, k, network.n_bus])
            scenario = random_scenario(network, SCENARIOS, rng) if k else None
            result.append(Instance(group, network.name, ReconfigurationProblem.of(network, scenario, limits=Limits())))
            # Line charging would leave the tree search without its AC bound; all methods see the same problem.
            result[-1].problem = result[-1].problem.replace(charging=False)
    return result


def groups_of(instances: Sequence[Instance]) -> list[str]:
    """Groups in order, and all together where there are several."""
    groups = [*dict.fromkeys(i.group for i in instances)]
    return [*groups, "all"] if len(groups) > 1 else groups


def interval(values: Sequence[float], feeders: Sequence[str]) -> str:
    """Mean and its 95 % interval by bootstrap over feeders: scenarios of one feeder are not independent."""
    names = sorted(set(feeders))
    means = np.array([np.mean([v for v, f in zip(values, feeders, strict=True) if f == name]) for name in names])
    rng = np.random.default_rng(0)
    drawn = means[rng.integers(len(means), size=(BOOTSTRAP, len(means)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{means.mean():.3g} [{low:.3g}, {high:.3g}]"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def decoding(chosen: list[Instance], predictor: Predictor, boosted: BoostedTrees | None) -> str:
    """Configurations as they are proposed, before any search."""

    def stepwise(problem: ReconfigurationProblem) -> Configuration:
        return predictor.predict_step_by_step(problem, SURE, ROUNDS)

    methods: dict[str, Callable[[ReconfigurationProblem], Configuration]] = {
        "present configuration": radial_start,
        "sequential opening": sequential_opening,
        "log-delta tree": OpeningCostTree().predict,
        "learned, most probable tree": lambda p: predictor.predict(p).most_probable,
        "learned, step by step": stepwise,
        "the same, then exchange with currents held": lambda p: settled(p, stepwise(p)),
        "sequential opening, then the same": lambda p: settled(p, sequential_opening(p)),
        "what fixing starts from": lambda p: confidence_for_fixing(p, predictor.predict(p)).configuration,
    }
    if boosted is not None:
        methods["gradient boosting per switch"] = boosted.predict
    rows, wrong = [], 0
    for group in groups_of(chosen):
        inside = [i for i in chosen if group in (i.group, "all")]
        feeders = [i.feeder for i in inside]
        for name, method in methods.items():
            exact, regret, spent = [], [], []
            for instance in inside:
                begin = time.process_time()
                configuration = method(instance.problem)
                spent.append(time.process_time() - begin)
                wrong += bool(instance.problem.faults(configuration))
                flow = power_flow(instance.problem, configuration)
                loss = flow.loss * instance.problem.network.base.kw if flow.converged else np.inf
                exact.append(100.0 * (loss <= instance.best_kw * (1 + SAME)))
                regret.append(min(100.0 * (loss / instance.best_kw - 1.0), 100.0))
            cells = [interval(exact, feeders), interval(regret, feeders), f"{max(regret):.3g}"]
            rows.append([group, name, *cells, f"{1e3 * np.mean(spent):.1f}"])
    head = ["feeders", "method", "best known %", "mean regret %", "max regret %", "CPU ms"]
    return table(head, rows) + f"\n\nAnswers that are not radial or break a lock: {wrong}."


def starting(chosen: list[Instance], traces: dict[str, list[Trace]], budget: float) -> str:
    """Best of as many starts as fit into the budget, each improved by branch exchange; single starts stop early."""
    rows = []
    for group in groups_of(chosen):
        for name, all_traces in traces.items():
            inside = [(i, t) for i, t in zip(chosen, all_traces, strict=True) if group in (i.group, "all")]
            feeders = [i.feeder for i, _ in inside]
            regret = [100.0 * (t.final_kw / i.best_kw - 1.0) for i, t in inside]
            exact = [100.0 * (t.final_kw <= i.best_kw * (1 + SAME)) for i, t in inside]
            primal = [100.0 * t.primal_integral(i.best_kw, budget) for i, t in inside]
            starts = np.median([t.starts for _, t in inside])
            cells = [interval(exact, feeders), interval(regret, feeders), f"{max(regret):.3g}"]
            rows.append([group, name, *cells, interval(primal, feeders), f"{starts:.0f}"])
    head = ["feeders", "starts from", "best known %", "mean regret %", "max regret %", "primal integral %", "starts"]
    return table(head, rows)


def fixing(chosen: list[Instance], predictor: Predictor, answers: list[Configuration]) -> str:
    """Coverage and mistakes against the best known configuration."""
    rows = []
    predictions = [predictor.predict(i.problem) for i in chosen]
    confidences = [confidence_for_fixing(i.problem, p) for i, p in zip(chosen, predictions, strict=True)]
    for group in groups_of(chosen):
        inside = [k for k, i in enumerate(chosen) if group in (i.group, "all")]
        feeders = [chosen[k].feeder for k in inside]
        for alpha in sorted(predictor.thresholds):
            coverage, failed, per_loop, nothing = [], [], [], 0
            for k in inside:
                problem, prediction = chosen[k].problem, predictions[k]
                answer = prediction.graph.canonical(answers[k])
                policy = FixingPolicy(alpha)
                decisions = consistent(problem, policy.decide(prediction, confidences[k]), prediction.p_closed)
                reduction = Reduction.apply(problem, decisions)
                undecided = prediction.graph.n_undecided
                coverage.append(100.0 * (1.0 - reduction.n_free / undecided))
                fixed = decisions != Decision.FREE
                failed.append(100.0 * bool(np.any(answer.closed[fixed] != (decisions[fixed] == Decision.FIX_CLOSED))))
                per_loop.append(reduction.n_free / prediction.graph.n_loops)
                nothing += policy.used_alpha(prediction) is None
            cells = [interval(coverage, feeders), interval(failed, feeders), f"{np.mean(per_loop):.2f}"]
            rows.append([group, f"{alpha:g}", *cells, f"{nothing} of {len(inside)}"])
    novelty = {i.feeder: p.novelty for i, p in zip(chosen, predictions, strict=True)}
    unlike = ", ".join(f"{name} {value:.2f}" for name, value in novelty.items() if value > 1)
    head = ["feeders", "alpha", "coverage %", "a wrong fixing, % of instances", "free per loop", "too foreign to fix"]
    return table(head, rows) + f"\n\nNovelty above 1: {unlike or 'none'}."


def reducing(
    chosen: list[Instance], predictor: Predictor, answers: list[Configuration], limit: float, quick: bool
) -> str:
    """Both exact engines on the reduced and on the full problem, to gap 1e-4, from the same start."""
    rows = []
    options = SolveOptions(certify=Certificate.AC, gap=1e-4, time_limit=limit)
    for k, instance in enumerate(chosen):
        problem, before = instance.problem, time.process_time()
        prediction = predictor.predict(problem)
        confidence = confidence_for_fixing(problem, prediction)
        decisions = consistent(problem, FixingPolicy(ALPHA).decide(prediction, confidence), prediction.p_closed)
        reduction = Reduction.apply(problem, decisions)
        decided = time.process_time() - before
        for engine in ("tree",) if quick and "hard" in instance.group else ("tree", "milp"):
            times, states, losses = [], [], []
            for each in (reduction.reduced, problem):
                answer = prediction.graph.canonical(answers[k])
                start = answer if each.admits(answer) else prediction.most_probable
                begin = time.process_time()
                result = load_engine(engine).solve(each, options, start)
                times.append(time.process_time() - begin)
                states.append(result.status)
                losses.append(np.inf if result.loss_kw is None else result.loss_kw)
            ratio = f"{times[1] / times[0]:.1f}"
            if Status.OPTIMAL not in states:
                ratio = "-"
            elif states[1] is not Status.OPTIMAL:
                ratio = f"> {ratio}"
            elif states[0] is not Status.OPTIMAL:
                ratio = f"< {ratio}"
            free = f"{reduction.n_free} of {prediction.graph.n_undecided}"
            cells = [f"{decided:.3f}", f"{times[0]:.3f} ({states[0]})", f"{times[1]:.3f} ({states[1]})", ratio]
            rows.append([instance.feeder, engine, free, *cells, f"{100 * (losses[0] / losses[1] - 1):.4f}"])
            print(rows[-1], file=sys.stderr, flush=True)
    head = ["feeder", "engine", "free", "decide [s]", "reduced [s]", "full [s]", "ratio", "reduced above full %"]
    note = (
        "Nominal scenario; both from the best known configuration. To decide: predict, find a start, fix. Exact "
        "engines are stopped by wall time but timed in CPU time: on a busy machine a stopped run used less."
    )
    return f"{table(head, rows)}\n\n{note}"


def ordering(chosen: list[Instance], answers: list[Configuration], limit: float) -> str:
    """Nodes of the tree search cold, and with the best known configuration from the start.

    A node is visited when its bound is below the incumbent; an order of values can only make good incumbents come
    sooner, and none comes sooner than one that is there before the first node. Up to the branching, which follows the
    load currents of the start, the second count is what the best possible order would leave.
    """
    tree = load_engine("tree")
    rows = []
    for group in groups_of(chosen):
        counts = []
        inside = [(i, a) for i, a in zip(chosen, answers, strict=True) if group in (i.group, "all")]
        for instance, answer in inside:
            if not instance.proven:
                continue
            certify = Certificate.MODEL if tight_obstacles(instance.problem) else Certificate.AC
            options = SolveOptions(certify=certify, time_limit=limit)
            pair = [tree.solve(instance.problem, options, start) for start in (None, answer)]
            if all(result.status is Status.OPTIMAL for result in pair):
                counts.append([result.nodes for result in pair])
        cold, given = np.sum(counts, axis=0) if counts else (0, 0)
        saved = f"{100 * (1 - given / cold):.1f}" if cold else "-"
        some = sum(a != b for a, b in counts)
        rows.append([group, f"{len(counts)} of {len(inside)}", f"{cold}", f"{given}", saved, f"{some}"])
    head = ["feeders", "proven both times", "nodes, cold", "with the optimum given", "saved %", "feeders that differ"]
    return table(head, rows)


def best_known(chosen: list[Instance], traces: dict[str, list[Trace]], limit: float) -> list[Configuration]:
    """Fill in the best losses and return configurations that have them, found without the model.

    By tree search, by exchange from random trees and by blind kicks.
    """
    answers = []
    tree = load_engine("tree")
    for k, instance in enumerate(chosen):
        certify = Certificate.MODEL if tight_obstacles(instance.problem) else Certificate.AC
        options = SolveOptions(certify=certify, time_limit=limit)
        result = tree.solve(instance.problem, options)
        local = LocalSearch(instance.problem)
        trees = random_trees(instance.problem, np.random.default_rng(SEED))
        candidates = [result.configuration] if result.configuration is not None else []
        candidates += [f[0] for start in islice(trees, 16) if (f := local.improve(start)) is not None]
        blind = islice(anytime(instance.problem, without_belief, np.random.default_rng(SEED)), BLIND)
        candidates += [f[0] for each in dict.fromkeys(blind) if (f := local.improve(each)) is not None]
        losses = [power_flow(instance.problem, c).loss for c in candidates]
        answers.append(candidates[int(np.argmin(losses))])
        instance.offer(min(losses) * instance.problem.network.base.kw)
        instance.proven = result.status is Status.OPTIMAL
        for each in traces.values():
            instance.offer(each[k].final_kw)
    return answers


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="folder; the reference one where absent")
    parser.add_argument("--cases", type=Path, help="folder of further case files")
    parser.add_argument("--max-buses", type=int, default=2000, help="larger case files are left out")
    parser.add_argument("--data", type=Path, help="labelled dataset to fit gradient boosting on; left out where absent")
    parser.add_argument("--only", help="comma-separated beginnings of feeder names")
    parser.add_argument("--synthetic", type=int, default=20, help="synthetic feeders of either kind")
    parser.add_argument("--large", type=int, default=0, help="synthetic feeders of 2000 to 4000 buses")
    parser.add_argument("--scenarios", type=int, default=3, help="per feeder, the nominal one first")
    parser.add_argument("--budget", type=float, default=0.25, help="CPU seconds of search per instance and method")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds per exact solve")
    parser.add_argument("--quick", action="store_true", help="a minute or two: fewer feeders, one scenario")
    parser.add_argument("--markdown", type=Path, help="write the page to this file too")
    options = parser.parse_args()
    if options.quick:
        options.synthetic, options.scenarios = min(options.synthetic, 3), 1
        options.budget, options.limit = min(options.budget, 0.1), min(options.limit, 5.0)
    predictor = load_checkpoint(options.checkpoint or REFERENCE)
    boosted = None
    if options.data:
        boosted = BoostedTrees()
        boosted.fit(proven_pairs(islice(read_labels(options.data), 2000))[0])
    warm = ReconfigurationProblem.of(load("case33"), limits=Limits())
    for certify in (Certificate.NONE, Certificate.AC):
        LearnedEngine(predictor).solve(warm, SolveOptions(certify=certify))
    load_engine("milp").solve(warm, SolveOptions(time_limit=5.0))
    chosen = instances(options)
    traces = {}
    for name, starts in start_methods(predictor, boosted).items():
        search(warm, starts, 0.01, 0)
        late = name in (UNGUIDED, GUIDED)
        traces[name] = [search(i.problem, starts, options.budget, k, late) for k, i in enumerate(chosen)]
        print(name, file=sys.stderr, flush=True)
    for name, engine in (("tree search, cold", "tree"), ("MILP, cold", "milp")):
        traces[name] = [exact_search(engine, i.problem, options.budget) for i in chosen]
    answers = best_known(chosen, traces, options.limit)
    seen: set[str] = set()
    nominal = [k for k, i in enumerate(chosen) if not (i.feeder in seen or seen.add(i.feeder))]  # type: ignore[func-returns-value]
    hard = [k for k in nominal if chosen[k].feeder in ("case119", "case136", "case533") or "hard" in chosen[k].group]
    versions = library_versions()
    command = ["python", *(Path(word).name if Path(word).is_absolute() else word for word in sys.argv)]
    page = "\n\n".join(
        [
            "## Learning: `benchmarks/learning.py`",
            f"`{' '.join(command)}`; checkpoint `{predictor.name}`, commit {git_commit()}, "
            + ", ".join(f"{name} {versions[name]}" for name in ("python", "numpy", "torch", "numba"))
            + f"; {platform.machine()}, one thread, CPU seconds; seed {SEED}.",
            f"{len(chosen)} instances of {len({i.feeder for i in chosen})} feeders, none trained on; best known is "
            f"proven for {sum(i.proven for i in chosen)} of them. Intervals: 95 %, bootstrap over feeders.",
            "### Decoding, before any search",
            decoding(chosen, predictor, boosted),
            f"### Starts with branch exchange, {options.budget:g} CPU s per instance",
            starting(chosen, traces, options.budget),
            "### Fixing, against the best known configuration",
            fixing(chosen, predictor, answers),
            f"### Reduced against full problem, alpha {100 * ALPHA:g} %, gap 1e-4, at most {options.limit:g} s",
            reducing([chosen[k] for k in hard], predictor, [answers[k] for k in hard], options.limit, options.quick)
            if hard
            else "No feeder of this run is among those compared here.",
            f"### What an order of values could save the tree search, nominal scenario, at most {options.limit:g} s",
            ordering([chosen[k] for k in nominal], [answers[k] for k in nominal], options.limit),
        ]
    )
    print(page)
    raw = Path(__file__).parent / "raw"
    raw.mkdir(exist_ok=True)
    rows = [{"feeder": i.feeder, "best_kw": i.best_kw, "proven": i.proven} for i in chosen]
    (raw / "learning.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(page + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
