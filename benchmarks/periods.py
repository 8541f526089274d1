"""Plans of short horizons two ways: candidates with dynamic programming and prices, and one model of all steps.

    python benchmarks/periods.py [--only case33] [--hours 2,4,6] [--gap G] [--time-limit S] [--markdown FILE]

Loads of each hour are made by seed: a daily curve times a factor per bus. Both methods start from the same proofs of
the single hours, which are part of their time; `one model` goes on from the plan of their candidates. Processor time,
one thread.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.io import load
from learnopt.network import Capacitor, Certificate, Controls, HorizonProblem, Network, Scenario
from learnopt.studies.configuration.solve import warm_up
from learnopt.studies.horizon import plan_horizon

COST_KWH = 1.0
"""Cost of an operation."""
CAP_PER_SWITCH = 2
REST_H = 3.0
"""Hours between two changes of a bank, where banks are set."""
BANKS_KVAR = ((300.0, 600.0), (300.0, 600.0))
"""Steps of the two banks added to a feeder without controls, at the buses of largest and second largest kvar."""


@dataclass(frozen=True)
class Row:
    """One method on one horizon."""

    case: str
    controls: bool
    hours: int
    method: str
    status: str
    certificate: str
    objective_kwh: float
    bound_kwh: float
    operations: int
    changes: int
    seconds: float

    @property
    def gap(self) -> float:
        """Relative distance of objective and bound."""
        return (self.objective_kwh - self.bound_kwh) / max(abs(self.objective_kwh), 1e-12)

    def cells(self) -> list[str]:
        """As printed."""
        return [
            self.case,
            "banks" if self.controls else "–",
            str(self.hours),
            self.method,
            self.status,
            self.certificate,
            f"{self.objective_kwh:.3f}",
            f"{self.bound_kwh:.3f}",
            f"{self.gap:.3%}",
            f"{self.operations}, {self.changes}",
            f"{self.seconds:.1f}",
        ]


HEAD = (
    "case", "controls", "hours", "method", "status", "proof", "objective [kWh]", "bound [kWh]", "gap",
    "operations, changes", "CPU [s]",
)  # fmt: skip


def horizon(network: Network, hours: int, banks: bool) -> HorizonProblem:
    """Hours of a day whose loads move over the feeder."""
    base, rng = Scenario.nominal(network), np.random.default_rng(0)
    scenarios = []
    for t in range(hours):
        level = 0.65 + 0.35 * np.sin(2 * np.pi * (24 / hours * t - 8) / 24)
        factor = level * rng.uniform(0.4, 1.6, network.n_bus)
        scenarios.append(replace(base, p_load=base.p_load * factor, q_load=base.q_load * factor, name=f"hour {t}"))
    controls = Controls()
    if banks:
        largest = np.argsort(-base.q_load, kind="stable")[: len(BANKS_KVAR)]
        steps = [tuple(s / network.base.kw for s in kvar) for kvar in BANKS_KVAR]
        controls = Controls(capacitors=tuple(Capacitor(int(k), s) for k, s in zip(largest, steps, strict=True)))
    return HorizonProblem(
        network,
        tuple(scenarios),
        np.ones(hours),
        switching_cost=COST_KWH,
        max_operations_per_switch=CAP_PER_SWITCH,
        controls=controls,
        capacitor_hours=REST_H if banks else 0.0,
    )


def run(case: str, hours: int, banks: bool, one_model: bool, gap: float, limit: float) -> Row:
    """One plan, measured."""
    problem = horizon(load(case), hours, banks)
    begin = time.process_time()
    plan = plan_horizon(problem, gap=gap, time_limit=limit, milp=one_model)
    seconds = time.process_time() - begin
    return Row(
        case,
        banks,
        hours,
        "one model" if one_model else "candidates",
        plan.status.value,
        plan.certificate.value,
        float("nan") if plan.objective_kwh is None else plan.objective_kwh,
        float("nan") if plan.dual_bound_kwh is None else plan.dual_bound_kwh,
        sum(plan.operations),
        sum(plan.changes),
        seconds,
    )


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="case16,case33")
    parser.add_argument("--hours", default="2,4,6")
    parser.add_argument("--gap", type=float, default=1e-4)
    parser.add_argument("--time-limit", type=float, default=120.0)
    parser.add_argument("--no-controls", action="store_true")
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    warm_up("tree", SolveOptions(certify=Certificate.AC))
    warm_up("milp", SolveOptions())
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    print(*lines, sep="\n")
    for case in given.only.split(","):
        for banks in (False,) if given.no_controls else (False, True):
            for hours in map(int, given.hours.split(",")):
                for one_model in (False, True):
                    row = run(case, hours, banks, one_model, given.gap, given.time_limit)
                    lines.append(f"| {' | '.join(row.cells())} |")
                    print(lines[-1], flush=True)
    lines.append(f"\nPython {platform.python_version()}, {platform.machine()}, gap {given.gap:g}, one thread.")
    print(lines[-1])
    if given.markdown is not None:
        given.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
