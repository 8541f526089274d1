"""Strength of the mixed-integer relaxation alone: root gap, nodes and CPU time to a proof, switches not fixed first.

    python benchmarks/relaxation.py [--cases DIR] [--only case33,case70] [--time-limit S]

For work on the model: what :mod:`learnopt.engines.tree.probing` settles beforehand is left to the model here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from exact import feeders, number

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.highs import SolverRun
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.results import DEFAULT_GAP, searching, solve_by_rounds
from learnopt.engines.milp.rounds import Effort
from learnopt.network import Network, ReconfigurationProblem, Result

EFFORT = Effort(probing=False)


class RootOnly(JointModel):
    """Stops where the mixed-integer rounds begin."""

    def solve(self, *_: object) -> SolverRun:
        """End of the search."""
        raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder of further case files (.json)")
    parser.add_argument("--only", help="comma-separated beginnings of feeder names")
    parser.add_argument("--max-buses", type=int, default=300, help="larger feeders are left out")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds per solve")
    options = parser.parse_args()
    networks = feeders(options.cases, options.only, options.max_buses)
    if not networks:
        print("No feeder of this name and size.", file=sys.stderr)
        return 2
    MilpEngine(EFFORT).solve(ReconfigurationProblem.of(networks[0]), SolveOptions())  # compilation is not timed
    print("| feeder | root bound kW | root gap | status | loss kW | gap | nodes | CPU s |")
    print("|---" * 8 + "|")
    for network in networks:
        root = root_of(network)
        begin = time.process_time()
        problem = ReconfigurationProblem.of(network)
        result = MilpEngine(EFFORT).solve(problem, SolveOptions(time_limit=options.time_limit))
        seconds = time.process_time() - begin
        cells = [network.name, number(root.dual_bound_kw, 3), percent(root.gap), result.status.value]
        cells += [number(result.loss_kw, 3), percent(result.gap), str(result.nodes), f"{seconds:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)
    return 0


def root_of(network: Network) -> Result:
    """Result with the bound of the linear relaxation."""
    problem, options = ReconfigurationProblem.of(network), SolveOptions()
    search = searching(problem, "root", DEFAULT_GAP, options, Stopwatch())
    return solve_by_rounds(problem, search, RootOnly, EFFORT, None, "")


def percent(gap: float | None) -> str:
    """A gap to print."""
    return "-" if gap is None else f"{gap:.2%}"


if __name__ == "__main__":
    sys.exit(main())
