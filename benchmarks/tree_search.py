"""Tree search against its rivals: nodes, time, gap; k best, Pareto fronts, a day of scenarios; scaling with loops.

Prints Markdown tables on stdout. All figures of one table are measured in one process, methods alternating on the same
instance, medians over repeats, compilation excluded. Run: ``python benchmarks/tree_search.py --help``.
"""

from __future__ import annotations

import argparse
import contextlib
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import highspy
import numba
import numpy as np

import learnopt
from learnopt.engines import SolveOptions, load_engine
from learnopt.engines.base import Stopwatch
from learnopt.engines.tree.block_search import deciding_blocks, search_blocks
from learnopt.engines.tree.budget import Budget
from learnopt.engines.tree.currents import power_flows
from learnopt.engines.tree.depth_first import DepthFirst
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.engines.tree.relaxation import ac_relaxation
from learnopt.engines.tree.search_space import SearchSpace
from learnopt.errors import LearnoptError
from learnopt.generator import FeederConfig, random_feeder
from learnopt.io import case_names, load
from learnopt.network import Certificate, Limits, Network, ReconfigurationProblem, Result, Scenario, Situations
from learnopt.studies.configuration.pareto import pareto_front
from learnopt.studies.configuration.solve import warm_up

AC, MODEL = SolveOptions(certify=Certificate.AC), SolveOptions(certify=Certificate.MODEL)
FRONTS = ("case33", "case69", "case70", "case119", "case136")
LOOPS = (10, 20, 30, 40, 50, 60)
LARGE = (20, 60, 200)
"""Loops of feeders with fifty buses for each."""
HOURS = 24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, metavar="DIR", help="further case files (JSON); skipped where absent")
    parser.add_argument("--repeat", type=int, default=3, help="runs per method and instance; the median counts")
    parser.add_argument("--milp-buses", type=int, default=70, help="largest feeder for the MILP engine")
    parser.add_argument("--milp-time", type=float, default=60.0, metavar="S", help="time limit of the MILP engine")
    parser.add_argument("--time-limit", type=float, default=10.0, metavar="S", help="per solve of the tree search")
    parser.add_argument("--seed", type=int, default=0, help="of generated feeders and load curves")
    parser.add_argument("--parts", default="proofs,extensions,apart,scaling", help="which tables, comma-separated")
    given = parser.parse_args()
    parts = {
        "proofs": lambda: proofs(given),
        "extensions": lambda: extensions(given),
        "apart": lambda: apart(given),
        "scaling": lambda: scaling(given),
    }
    wanted = given.parts.split(",")
    if unknown := set(wanted) - set(parts):
        parser.error(f"--parts: {', '.join(sorted(unknown))} is none of {', '.join(parts)}")
    machine()
    for engine in ("tree", "exchange", "enumerate", "milp"):
        warm_up(engine, AC)
    for part in wanted:
        parts[part]()


def machine() -> None:
    """What the figures depend on."""
    here = Path(__file__).parent
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True).stdout
    print(f"Command: `python benchmarks/tree_search.py {' '.join(sys.argv[1:])}`".rstrip())
    print(
        f"learnopt {learnopt.__version__} ({commit.strip() or 'no commit'}), Python {platform.python_version()}, ",
        end="",
    )
    print(f"numpy {np.__version__}, numba {numba.__version__}, HiGHS {highspy.Highs().version()}, one thread, ", end="")
    print(f"{processor()}, {os.cpu_count()} cores\n")


def processor() -> str:
    """Name of the processor."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def table(*columns: str) -> None:
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def gap_text(result: Result) -> str:
    return "–" if result.gap is None else f"{100 * result.gap:.2g} %"


def alternate(methods: dict[str, Callable[[], Result]], repeat: int) -> dict[str, tuple[Result, float]]:
    """Result and median of ``solve_time_s`` [s] of each method, methods in turn; an engine that refuses is left out."""
    times: dict[str, list[float]] = {name: [] for name in methods}
    results: dict[str, Result] = {}
    for _ in range(repeat):
        for name, method in methods.items():
            try:
                results[name] = method()
            except LearnoptError:
                continue
            times[name].append(results[name].solve_time_s)
    return {name: (result, statistics.median(times[name])) for name, result in results.items()}


def networks(given: argparse.Namespace) -> list[Network]:
    """The named cases, and those of a folder."""
    found = [load(name) for name in case_names()]
    if given.cases is not None and given.cases.is_dir():
        for path in sorted(given.cases.glob("*.json")):
            try:
                found.append(load(path))
            except LearnoptError:
                print(f"{path.name} is not a case file: skipped")
    elif given.cases is not None:
        print(f"{given.cases} is not a folder: only the named cases")
    return found


def proofs(given: argparse.Namespace) -> None:
    """Every engine on every feeder it is made for, cold from the normal configuration."""
    print("## Proofs\n\nLimits off. Ratio: time over that of the tree search with AC certificate, same run.\n")
    table(
        "case", "buses", "loops", "method", "status", "certificate", "loss [kW]", "gap", "nodes", "time [ms]", "ratio"
    )
    limited = SolveOptions(certify=Certificate.AC, time_limit=given.time_limit)
    for net in networks(given):
        problem = ReconfigurationProblem.of(net, limits=Limits())
        methods: dict[str, Callable[[], Result]] = {
            "tree ac": lambda p=problem: TreeSearchEngine().solve(p, limited),
            "tree ac 0.1 %": lambda p=problem: TreeSearchEngine().solve(p, replace(limited, gap=1e-3)),
            "tree model": lambda p=problem: TreeSearchEngine().solve(p, replace(limited, certify=Certificate.MODEL)),
            "exchange": lambda p=problem: load_engine("exchange").solve(p, AC),
        }
        if net.n_bus <= 40:
            methods["enumerate"] = lambda p=problem: load_engine("enumerate").solve(p, AC)
        if net.n_bus <= given.milp_buses:
            options = SolveOptions(time_limit=given.milp_time)
            methods["milp"] = lambda p=problem, o=options: load_engine("milp").solve(p, o)
        measured = alternate(methods, given.repeat)
        reference = measured["tree ac"][1]
        for name, (result, seconds) in measured.items():
            row(
                net.name, net.n_bus, net.n_loops, name, result.status.value, result.certificate.value,
                "–" if result.loss_kw is None else f"{result.loss_kw:.4f}", gap_text(result), result.nodes,
                f"{1e3 * seconds:.1f}", f"{seconds / reference:.2f}",
            )  # fmt: skip
    print()


def day(network: Network, rng: np.random.Generator) -> Situations:
    """A day of hourly loads: one curve from 40 to 100 percent, every bus scattered by 30 percent around it."""
    nominal = Scenario.nominal(network)
    hours = []
    for hour in range(HOURS):
        curve = 0.7 + 0.3 * np.sin((hour - 9) * np.pi / 12)
        factor = curve * rng.uniform(0.7, 1.3, network.n_bus)
        hours.append(replace(nominal, p_load=nominal.p_load * factor, q_load=nominal.q_load * factor, name=f"{hour} h"))
    return Situations(tuple(hours), np.ones(HOURS))


def extensions(given: argparse.Namespace) -> None:
    """Several scenarios, k best, Pareto fronts."""
    limited = SolveOptions(certify=Certificate.AC, time_limit=given.time_limit)
    print(f"## One configuration for {HOURS} hours\n")
    table("case", "certificate", "status", "mean loss [kW]", "gap", "nodes", "time [ms]")
    for name in FRONTS:
        network = load(name)
        hours = day(network, np.random.default_rng(given.seed))
        problem = ReconfigurationProblem.of(network, hours)
        methods = {
            kind.value: lambda p=problem, k=kind: TreeSearchEngine().solve(p, replace(limited, certify=k))
            for kind in (Certificate.MODEL, Certificate.AC)
        }
        for kind, (result, seconds) in alternate(methods, given.repeat).items():
            row(
                name,
                kind,
                result.status.value,
                f"{result.loss_kw:.4f}",
                gap_text(result),
                result.nodes,
                f"{1e3 * seconds:.1f}",
            )
    print("\n## Ten best configurations, AC certificate\n")
    table("case", "status", "best [kW]", "tenth [kW]", "bound of all others [kW]", "nodes", "time [ms]")
    for name in FRONTS:
        problem = ReconfigurationProblem.of(load(name))
        result, seconds = alternate(
            {"": lambda p=problem: TreeSearchEngine(k_best=10).solve(p, limited)}, given.repeat
        )[""]
        last, rest = result.alternatives[-1].loss_kw, result.rest_bound_kw
        row(
            name,
            result.status.value,
            f"{result.loss_kw:.4f}",
            f"{last:.4f}",
            f"{rest:.4f}",
            result.nodes,
            f"{1e3 * seconds:.1f}",
        )
    print("\n## Front of loss against operations, AC certificate\n")
    table("case", "points", "all proven", "operations", "loss [kW]", "largest gap", "nodes", "time [ms]")
    for name in FRONTS:
        problem = ReconfigurationProblem.of(load(name))
        times = []
        for _ in range(given.repeat):
            begin = time.perf_counter()
            front = pareto_front(problem, TreeSearchEngine(), limited)
            times.append(time.perf_counter() - begin)
        counts = [problem.operations(point.configuration) for point in front]
        proven = all(point.status.value == "optimal" and point.certificate is Certificate.AC for point in front)
        row(
            name, len(front), proven, f"{counts[0]} to {counts[-1]}",
            f"{front[0].loss_kw:.4f} to {front[-1].loss_kw:.4f}", f"{100 * max(point.gap for point in front):.2g} %",
            sum(point.nodes for point in front), f"{1e3 * statistics.median(times):.1f}",
        )  # fmt: skip
    print()


def composed(rng: np.random.Generator, parts: int, at_root: bool) -> Network:
    """Feeders of 70 buses and 8 loops, on one substation, or each on a bus of the one before."""
    config = FeederConfig(buses=(70, 70), substations=(1, 1), loops=(8, 8), cable_share=0.0, flat_share=1.0)
    nets = [random_feeder(config, rng, str(k)) for k in range(parts)]
    per_bus, per_branch = (
        ("g_shunt", "b_shunt", "kv"),
        ("r", "x", "b", "i_max", "switchable", "normally_open", "g", "ratio"),
    )
    places, n, load = [], 0, []
    for k, net in enumerate(nets):
        root = int(net.substations[0])
        place = n + np.arange(net.n_bus) - (k > 0) * (np.arange(net.n_bus) > root)
        if k:
            place[root] = int(nets[0].substations[0]) if at_root else int(places[-1][-1])
        places.append(place)
        kept = np.arange(net.n_bus) != root if k else np.ones(net.n_bus, dtype=bool)
        load.append((kept, 1.0 if at_root else 0.1**k))
        n += int(kept.sum())
    joined = {
        name: np.concatenate([getattr(net, name)[kept] for net, (kept, _) in zip(nets, load, strict=True)])
        for name in per_bus
    }
    joined |= {name: np.concatenate([getattr(net, name) for net in nets]) for name in per_branch}
    for name in ("p_load", "q_load"):
        joined[name] = np.concatenate([getattr(net, name)[kept] * f for net, (kept, f) in zip(nets, load, strict=True)])
    for name in ("from_bus", "to_bus"):
        joined[name] = np.concatenate([place[getattr(net, name)] for net, place in zip(nets, places, strict=True)])
    m = len(joined["r"])
    ids = {"bus_ids": tuple(range(n)), "branch_ids": tuple(range(m)), "bus_names": (), "branch_names": ()}
    return replace(nets[0], **joined, **ids, coordinates=None, customers=None, name=f"{parts} parts")


def apart(given: argparse.Namespace) -> None:
    """Areas and blocks solved one by one, and all together."""
    print("## Areas and blocks one by one\n")
    print("Areas meet at the substation only and separate in AC too, blocks at any bus and in the model only.\n")
    table("parts", "meet at", "buses", "loops", "certificate", "search", "status", "gap", "nodes", "time [ms]")
    whole = {
        "learnopt.engines.tree.engine.areas": lambda problem: [problem],
        "learnopt.engines.tree.proof.deciding_blocks": lambda problem: [problem.core.branches],
    }
    for at_root, certify in ((True, Certificate.AC), (True, Certificate.MODEL), (False, Certificate.MODEL)):
        for parts in (1, 2, 4, 8):
            net = composed(np.random.default_rng(given.seed), parts, at_root)
            problem = ReconfigurationProblem.of(net, limits=Limits(), charging=False)
            options = SolveOptions(certify=certify, time_limit=given.time_limit)

            def together(p: ReconfigurationProblem = problem, o: SolveOptions = options) -> Result:
                with contextlib.ExitStack() as patches:
                    for name, function in whole.items():
                        patches.enter_context(mock.patch(name, function))
                    return TreeSearchEngine().solve(p, o)

            methods = {
                "one by one": lambda p=problem, o=options: TreeSearchEngine().solve(p, o),
                "together": together,
            }
            for name, (result, seconds) in alternate(methods, given.repeat).items():
                row(
                    parts, "substation" if at_root else "bus", net.n_bus, net.n_loops, result.certificate.value, name,
                    result.status.value, gap_text(result), result.nodes, f"{1e3 * seconds:.1f}",
                )  # fmt: skip
    print()
    block_minima(given)


def block_minima(given: argparse.Namespace) -> None:
    """What least values of blocks would add to the AC bound at the root, and the joint search that proves instead."""
    print("## AC bound of blocks that meet at a bus\n")
    print("Gaps to the best known: of the relaxation at the root, of that plus the least rise of each block.\n")
    table("parts", "loops", "gap at the root", "with block minima", "their nodes", "gap of joint search", "its nodes")
    for parts in (1, 2, 4):
        net = composed(np.random.default_rng(given.seed), parts, at_root=False)
        problem = ReconfigurationProblem.of(net, limits=Limits(), charging=False)
        result = TreeSearchEngine().solve(problem, replace(AC, time_limit=given.time_limit))
        assert result.configuration is not None
        assert result.objective_kw is not None
        objective = result.objective_kw / net.base.kw
        relaxation = ac_relaxation(SearchSpace.of(problem), power_flows(problem, result.configuration), objective)
        plain = replace(relaxation, space=relaxation.space.with_gain(0))
        budget, blocks = Budget(given.time_limit, Stopwatch()), deciding_blocks(problem)
        _, minima, nodes = search_blocks(plain, blocks, result.configuration, 0.0, budget, sys.maxsize)
        root = DepthFirst(plain, np.inf, 0.0).bound
        row(
            parts, net.n_loops, *(f"{100 * (1 - bound / objective):.2g} %" for bound in (root, minima)), nodes,
            gap_text(result), result.nodes,
        )  # fmt: skip
    print()


def scaling(given: argparse.Namespace) -> None:
    """Generated feeders, ordinary and flat, with the gap reached at the time limit where it is not closed."""
    print("## Scaling with loops on generated overhead feeders\n")
    print(f"Charging and limits left out, one run each, time limit {given.time_limit:g} s.\n")
    table("kind", "buses", "loops", "certificate", "status", "gap", "nodes", "time [s]", "nodes per s")
    for kind, flat, share, sizes in (("ordinary", 0.0, 10, LOOPS), ("flat", 1.0, 7, LOOPS), ("large", 0.0, 50, LARGE)):
        for loops in sizes:
            buses = share * loops
            config = FeederConfig(
                buses=(buses, buses), substations=(2, 2), loops=(loops, loops), cable_share=0.0, flat_share=flat
            )
            net = random_feeder(config, np.random.default_rng([given.seed, loops]), f"{kind} {loops}")
            problem = ReconfigurationProblem.of(net, limits=Limits(), charging=False)
            for certify in (Certificate.MODEL, Certificate.AC):
                options = SolveOptions(certify=certify, time_limit=given.time_limit)
                result = TreeSearchEngine(random_starts=8).solve(problem, options)
                seconds = result.solve_time_s
                row(
                    kind, net.n_bus, net.n_loops, result.certificate.value, result.status.value, gap_text(result),
                    result.nodes, f"{seconds:.3f}", f"{result.nodes / seconds:.0f}",
                )  # fmt: skip
    print()


if __name__ == "__main__":
    main()
