"""Unbalanced feeders: the search in all phases, what a balanced answer gives away, and 10^4 random circuits.

    python benchmarks/three_phase.py [--cases case33,case70] [--seeds 3] [--kappa 10,1,0] [--markdown FILE]
    python benchmarks/three_phase.py --folder FOLDER        # every master file (.dss) with switches in it
    python benchmarks/three_phase.py --random 10000         # every radial state against enumeration, no OpenDSS
    python benchmarks/three_phase.py --large 9000,18500     # import and search of made-up feeders of so many buses

Named cases get their loads split among the phases by a Dirichlet law of parameter kappa at every bus (0 = each bus on
one phase), and lines with mutual impedances whose positive sequence is the published one. See README.md beside this.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from large_feeder import write_feeder

from learnopt.engines import SolveOptions
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.engines.phases.search import Choice, search
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.generator import PhaseConfig, split_phases
from learnopt.io import Loaded, load, load_with_source, loaded_network
from learnopt.network import Certificate, Limits, ReconfigurationProblem, Result
from learnopt.network.unbalanced import PhaseCircuit
from learnopt.physics.held_currents import loop_model

PROOF_S = 60.0
"""Time limit of the AC certificate."""
HEAD = (
    "| feeder | switches | loops | present kW | balanced kW | here kW | bound kW | nodes | search s | in all s "
    "| AC bound kW | AC s |",
    "|---|---|---|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Row:
    """One feeder: losses by OpenDSS."""

    name: str
    switches: int
    loops: int
    present_kw: float
    balanced_kw: float
    result: Result
    seconds: float
    proven: Result

    def __str__(self) -> str:
        found, bound = self.result.loss_kw, self.result.dual_bound_kw
        stages = self.result.stage_times_s
        cells = [
            self.name,
            str(self.switches),
            str(self.loops),
            f"{self.present_kw:.5g}",
            f"{self.balanced_kw:.6g}",
            "–" if found is None else f"{found:.6g}",
            "–" if bound is None else f"{bound:.6g}",
            str(self.result.nodes),
            f"{stages.get('search', 0.0):.3g}",
            f"{self.seconds:.3g}",
            f"{self.proven.dual_bound_kw:.6g}" if self.proven.certificate is Certificate.AC else "–",
            f"{self.proven.solve_time_s:.3g}",
        ]
        return f"| {' | '.join(cells)} |"


def compare(name: str, loaded: Loaded) -> Row | None:
    """Solve a network in all phases and as its balanced equivalent."""
    problem = ReconfigurationProblem.of(loaded.network, limits=Limits())
    if loaded.source is None or not problem.free.any():
        return None
    opened = loaded.source.circuit(loaded.network)
    if opened is None:
        return None
    with opened as circuit:
        balanced = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.MODEL))
        start = perf_counter()
        result = PhaseTreeEngine([circuit]).solve(problem, SolveOptions(certify=Certificate.MODEL))
        seconds = perf_counter() - start
        proving = SolveOptions(certify=Certificate.AC, time_limit=PROOF_S)
        proven = PhaseTreeEngine([circuit]).solve(problem, proving)
        given = float("nan")
        if balanced.configuration is not None and circuit.solve(balanced.configuration.closed):
            given = circuit.loss_kw
        present = circuit.loss_kw if circuit.solve(loaded.network.normal_configuration.closed) else float("nan")
        loops = _loops(circuit, problem)
    return Row(name, int(problem.free.sum()), loops, present, given, result, seconds, proven)


def _loops(circuit: PhaseCircuit, problem: ReconfigurationProblem) -> int:
    return loop_model(circuit.conductors(np.flatnonzero(problem.network.switchable))).n_loop


def split_cases(names: list[str], kappas: list[float], seeds: int) -> Iterator[Row]:
    for name in names:
        network = load(name)
        everywhere = replace(network, switchable=np.ones(network.n_branch, dtype=bool))
        for kappa in kappas:
            for seed in range(seeds):
                made = split_phases(everywhere, np.random.default_rng(seed), PhaseConfig(kappa))
                row = compare(f"{name}, kappa {kappa:g}, seed {seed}", loaded_network(made))
                if row is not None:
                    yield row


def random_circuits(count: int) -> int:
    """Circuits whose radial states differ from those of enumeration, in number or loss."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines" / "phases"))
    from random_circuits import radial_losses, random_case

    wrong = states = 0
    for seed in range(count):
        case = random_case(seed)
        expected = radial_losses(case)
        states += len(expected)
        model = loop_model(case.circuit)
        n = case.circuit.n_switch
        meshed, constant, saved = model.meshed(case.current)
        free = Choice.free(n)
        leaves = search(model, meshed[:, None], constant[:, None], free, max(len(expected), 1) + 2, 10**9)
        base = float((case.current.conj() @ (case.circuit.resistance @ case.current)).real) - saved
        found = {tuple(o.tolist()): base + c for o, c in zip(leaves.opened, leaves.cost, strict=True)}
        same = found.keys() == expected.keys() and all(abs(found[k] / expected[k] - 1) < 1e-6 for k in expected)
        if not same:
            wrong += 1
            print(f"seed {seed}: {len(found)} states found, {len(expected)} expected")
        if (seed + 1) % 1000 == 0:
            print(f"... {seed + 1} circuits, {states} radial states, {wrong} wrong", file=sys.stderr, flush=True)
    print(f"{count} random circuits of up to six buses, {states} radial states: {wrong} circuits wrong")
    return wrong


LARGE_SWITCHES, LARGE_TIES = 60, 12
"""Of made-up feeders."""
LARGE_HEAD = (
    "| buses | switches | loops | import s | opened s | search and judge s | present kW | here kW | gap | nodes |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def large(n_bus: int) -> str:
    """A row of one made-up feeder: seconds of the processor."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "large.dss"
        write_feeder(path, n_bus, LARGE_SWITCHES, LARGE_TIES, np.random.default_rng(1))
        times = [process_time()]
        loaded = load_with_source(path)
        times.append(process_time())
        problem = ReconfigurationProblem.of(loaded.network, limits=Limits())
        assert loaded.source is not None, "an OpenDSS file has its tool"
        opened = loaded.source.circuit(loaded.network)
        assert opened is not None, "it is unbalanced"
        with opened as circuit:
            times.append(process_time())
            found = PhaseTreeEngine([circuit]).solve(problem, SolveOptions(certify=Certificate.MODEL))
            times.append(process_time())
            present = circuit.loss_kw if circuit.solve(loaded.network.normal_configuration.closed) else float("nan")
    seconds = " | ".join(f"{later - earlier:.1f}" for earlier, later in pairwise(times))
    network = loaded.network
    return (
        f"| {network.n_bus} | {int(problem.free.sum())} | {network.n_loops} | {seconds} | {present:.5g} | "
        f"{found.loss_kw:.5g} | {found.gap:.2g} | {found.nodes} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default="case33,case70")
    parser.add_argument("--kappa", default="10,1,0")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--random", type=int)
    parser.add_argument("--large", help="numbers of buses, by commas")
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    if arguments.random:
        return 1 if random_circuits(arguments.random) else 0
    if arguments.large:
        print("\n".join(LARGE_HEAD))
        for n in arguments.large.split(","):
            print(large(int(n)), flush=True)
        return 0
    lines = list(HEAD)
    print("\n".join(lines))
    if arguments.folder is not None:
        masters = sorted(arguments.folder.rglob("*.dss"))
        rows: Iterator[Row] = (row for path in masters if (row := _tried(path)) is not None)
    else:
        kappas = [float(k) for k in arguments.kappa.split(",")]
        rows = split_cases(arguments.cases.split(","), kappas, arguments.seeds)
    for row in rows:
        lines.append(str(row))
        print(row, flush=True)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _tried(path: Path) -> Row | None:
    """A master file of a folder; parts of others and files that are refused give none."""
    from learnopt.errors import LearnoptError

    text = path.read_text(encoding="utf-8", errors="replace").lower()
    if not any(word in text for word in ("new circuit", "new object=circuit", "redirect", "compile")):
        return None
    try:
        return compare(path.stem, load_with_source(path))
    except LearnoptError as error:
        print(f"{path.name}: {' '.join(str(error).split())[:150]}", file=sys.stderr)
        return None


if __name__ == "__main__":
    raise SystemExit(main())
