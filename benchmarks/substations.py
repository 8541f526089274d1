r"""Generated substation plans: cost, proven gap and time; what local search alone and HiGHS alone give beside it.

    python benchmarks/substations.py                                  # 100 demands, 5 sites, 60 s each
    python benchmarks/substations.py --demands 30 --sites 3 --seeds 5 --time-limit 20

Every row is one problem of ``random_expansion`` (radial, three line types, two sizes, quadratic losses).
HiGHS alone solves the same model with eight tangents per square, without start, cuts and branching on sites; its
objective counts squares by the tangents, so a little too low.
"""

from __future__ import annotations

import argparse
import math
import platform
import time

import numpy as np
from random_expansion import ExpansionConfig, random_expansion

from learnopt.engines.milp.highs import VERSION, CompiledModel
from learnopt.formulations.expansion import build_expansion, cost_scale
from learnopt.network.expansion import ExpansionProblem
from learnopt.studies.substations.engine import PlanOptions, plan_substations
from learnopt.studies.substations.local_search import find_plan
from learnopt.studies.substations.plan import plan_cost
from learnopt.studies.substations.squares import PIECES, Squares


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demands", type=int, default=100)
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--gap", type=float, default=1e-3)
    wanted = parser.parse_args()
    print(f"Python {platform.python_version()}, HiGHS {VERSION}, one thread, time limit {wanted.time_limit:g} s\n")
    print(
        "| seed | routes | MVA | local search, k | plan, k | proven bound, k | gap | s | HiGHS alone: gap | AC check |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for seed in range(wanted.seeds):
        problem = random_expansion(ExpansionConfig(wanted.demands, wanted.sites), np.random.default_rng(seed))
        start = find_plan(problem, np.random.default_rng(0))
        result = plan_substations(problem, PlanOptions(gap=wanted.gap, time_limit=wanted.time_limit))
        local = "none" if start is None else f"{plan_cost(problem, start).total:.1f}"
        alone = plain_gap(problem, wanted.gap, wanted.time_limit)
        gap = "-" if result.gap is None else f"{result.gap:.2%}"
        bound = "-" if result.dual_bound is None else f"{result.dual_bound:.1f}"
        (checked,) = result.evaluations or (None,)
        ac = (
            "-"
            if checked is None
            else ("within limits" if checked.feasible else f"{len(checked.violations)} violations")
        )
        size = f"{len(problem.routes)} | {problem.total_mva(0):.1f}"
        ours = f"{local} | {result.total_cost:.1f} | {bound} | {gap} | {result.solve_time_s:.1f}"
        print(f"| {seed} | {size} | {ours} | {alone} | {ac} |", flush=True)


def plain_gap(problem: ExpansionProblem, gap: float, time_limit: float) -> str:
    """Gap and objective of HiGHS on the model as it stands."""
    started = time.perf_counter()
    m = build_expansion(problem)
    model = CompiledModel(m)
    Squares(problem, m, model).spread(PIECES)
    run = model.solve(gap=gap, time_limit=time_limit - (time.perf_counter() - started))
    if not math.isfinite(run.objective):
        return "no plan"
    scale = cost_scale(problem)
    return f"{(run.objective - run.bound) / run.objective:.2%} ({run.objective * scale:.1f})"


if __name__ == "__main__":
    main()
