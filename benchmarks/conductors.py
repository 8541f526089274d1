"""Conductor selection and reconfiguration: the six scenarios of Gallego Pareja et al. (2023) with our conductors.

    python benchmarks/conductors.py [--case84 FILE] [--only case33,case69] [--time-limit S] [--gap G] [--markdown FILE]
                                    [--reports DIR]

Feeders and voltage limits are those of the study (33-bus 0.92 to 1.00 pu, 69-bus and 84-bus 0.95 to 1.00 pu); the
84-bus case is not part of learnopt and is read from a path. Conductors, prices and lengths are ours
(``datasets/conductors``), so costs are not comparable with the study's, relations are. Exits with 1 where a relation
does not hold.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import highspy
import numpy as np

import learnopt
from learnopt.io import load
from learnopt.io.conductors import read_conductors
from learnopt.network import Limits, Network, ReconfigurationProblem
from learnopt.network.conductors import ConductorProblem
from learnopt.physics import evaluate
from learnopt.report.conductors.page import write_plan_report
from learnopt.report.conductors.text import bill_rows, study_rows
from learnopt.studies.conductors.engine import ConductorResult
from learnopt.studies.conductors.study import FIRST_STEP, Mode, run_study, warm_up
from learnopt.studies.conductors.substitution import substitute

LARGEST_ERROR = 0.0358
"""Largest error of a base loss after the substitution of conductors in the study."""
CHAIN = [(Mode.JOINT, Mode.ODNR_OCS), (Mode.JOINT, Mode.OCS_ODNR), *FIRST_STEP.items()]
CHAIN += [(Mode.OCS, Mode.BASE), (Mode.ODNR, Mode.BASE)]


def main() -> int:
    options = parse()
    cases = [(load(name), limit) for name, limit in (("case33", 0.92), ("case69", 0.95))]
    if options.case84 is not None:
        cases.append((load(options.case84), 0.95))
    if options.only:
        cases = [(net, limit) for net, limit in cases if net.name in options.only.split(",")]
    warm_up()
    page = [f"learnopt {learnopt.__version__}, HiGHS {highspy.Highs().version()}, numpy {np.__version__}, one thread."]
    holds = True
    for network, vm_min in cases:
        feeder = ReconfigurationProblem.of(network, limits=Limits(vm_min, 1.0, True, True))
        problem = substitute(feeder, *read_conductors())
        results = run_study(problem, gap=options.gap, time_limit=options.time_limit)
        text, fine = section(network, vm_min, problem, results)
        holds &= fine
        page += text
        print("\n".join(text), flush=True)
        if options.reports is not None:
            options.reports.mkdir(parents=True, exist_ok=True)
            write_plan_report(options.reports / f"{network.name}.html", problem, results)
    if options.markdown is not None:
        options.markdown.write_text("\n".join(page) + "\n", encoding="utf-8")
    return 0 if holds else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case84", type=Path, help="file of the 84-bus case (not shipped: non-commercial data)")
    parser.add_argument("--only", help="comma-separated names of feeders")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for each optimisation")
    parser.add_argument("--gap", type=float, default=1e-3, help="relative gap to stop at")
    parser.add_argument("--markdown", type=Path, help="write the page to this file too")
    parser.add_argument("--reports", type=Path, help="folder for an HTML report of each feeder")
    return parser.parse_args()


def section(
    network: Network, vm_min: float, problem: ConductorProblem, results: dict[Mode, ConductorResult]
) -> tuple[list[str], bool]:
    """Tables of one feeder, and whether every relation holds."""
    normal = network.normal_configuration
    before = evaluate(problem.feeder, normal)
    after = evaluate(problem.equipped(problem.installed), normal)
    error = abs(after.loss_kw / before.loss_kw - 1)
    head = "| scenario | cost | investment | energy | benefit | loss kW | lowest pu | open | gap | status | s |"
    text = [f"\n### {network.name}, {vm_min:.2f} to 1.00 pu\n"]
    text.append(
        f"Base with its own impedances {before.loss_kw:.2f} kW, {before.min_voltage_pu:.4f} pu; with conductors of the "
        f"table {after.loss_kw:.2f} kW, {after.min_voltage_pu:.4f} pu (loss off by {100 * error:.2f} %).\n"
    )
    text += [head, "|---" * 11 + "|"]
    for row, result in zip(study_rows(problem, results), results.values(), strict=True):
        text.append("| " + " | ".join([*row, f"{result.solve_time_s:.1f}"]) + " |")
    fine = error <= LARGEST_ERROR
    for better, worse in CHAIN:
        a, b = results[better].total_cost, results[worse].total_cost
        holds = a is not None and b is not None and a <= b * (1 + 1e-9)
        fine &= holds
        if not holds:
            text.append(f"\nDOES NOT HOLD: {better} <= {worse}")
    text.append(f"\nRelations {'hold' if fine else 'DO NOT ALL HOLD'}.")
    text += ["\n| conductor | " + " | ".join(m.value for m in results) + " |", "|---" * (len(results) + 1) + "|"]
    for conductor in problem.catalogue:
        kms = []
        for result in results.values():
            bill = bill_rows(problem, result.plan) if result.plan is not None else []
            km = sum(row["length_km"] for row in bill if row["conductor"] == conductor.name)
            kms.append(f"{km:.2f} km" if km else "")
        if any(kms):
            text.append(f"| {conductor.name} | " + " | ".join(kms) + " |")
    return text, fine


if __name__ == "__main__":
    sys.exit(main())
