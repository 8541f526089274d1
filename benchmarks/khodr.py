"""The paper of Khodr et al. beside us: its tables I to IX on the 33- and 70-bus systems, with bounds.

    python benchmarks/khodr.py --time-limit 20

Printed numbers are those of H. M. Khodr, J. Martinez-Crespo, Z. A. Vale, C. Ramos, *Optimal methodology for
distribution systems reconfiguration based on OPF and solved by decomposition technique*; everything else is computed in
the run. Needs CasADi (extra ``benders``). Times are CPU seconds of this process; bounds are those of ``--engine milp``
within the time limit, or of the Benders master where that is better.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass

import numpy as np

from learnopt.engines import SolveOptions, load_engine
from learnopt.io import load_case
from learnopt.network import Configuration, Controls, Limits, ReconfigurationProblem, Result, Settings
from learnopt.physics import evaluate

LIMITS = Limits(vm_min=0.90, vm_max=1.05)
"""The paper states 0.955 to 1.05, and prints voltages down to 0.911; 0.90 is what its results respect."""
INITIAL, BARAN = (33, 34, 35, 36, 37), (11, 28, 31, 33, 34)
SHIRMOHAMMADI, OPTIMUM = (7, 10, 14, 32, 37), (7, 9, 14, 32, 37)
TABLE_I = (
    ("Optimum", 136.57, 647.03, OPTIMUM),
    ("Gomes [37]", 136.57, 1.66, OPTIMUM),
    ("Goswami [35]", 136.57, 0.87, OPTIMUM),
    ("McDermott [38]", 136.57, 1.99, OPTIMUM),
    ("Gomes [25]", 136.66, 0.96, SHIRMOHAMMADI),
    ("Shirmohammadi [4]", 136.66, 0.14, SHIRMOHAMMADI),
    ("Khodr", 139.55, 0.11, OPTIMUM),
)
TABLE_II = (
    ("Optimum [36]", 139.550, OPTIMUM),
    ("Gomes [25], Shirmohammadi [4]", 140.278, SHIRMOHAMMADI),
    ("Baran [7]", 146.832, BARAN),
    ("initial", 202.677, INITIAL),
)
CONFIGURATIONS = (("initial", INITIAL), ("Baran [7]", BARAN), ("[4, 25]", SHIRMOHAMMADI), ("[35-38], Khodr", OPTIMUM))
"""Columns of tables III and IV."""
TABLE_III = {"1-2": (328.77, 248.63, 235.51, 235.51), "1-18": (28.71, 104.29, 111.65, 111.78)}
"""Feeder currents; nodes count from 0, so that 1-2 is branch 2 and 1-18 branch 18."""
FEEDERS_33 = {"1-2": 2, "1-18": 18}
TABLE_IV = """
    1.0000000 1.0000000 1.0000000 1.0000000
    0.9970323 0.9970708 0.9970776 0.9970782
    0.9829380 0.9864138 0.9869909 0.9869915
    0.9754564 0.9835440 0.9824720 0.9824726
    0.9680592 0.9809444 0.9781570 0.9781576
    0.9496582 0.9750771 0.9673163 0.9673168
    0.9461726 0.9733230 0.9666750 0.9666756
    0.9413284 0.9713967 0.9615375 0.9626152
    0.9350594 0.9699693 0.9576645 0.9592472
    0.9292444 0.9690252 0.9571597 0.9626999
    0.9283844 0.9689557 0.9643907 0.9627847
    0.9268848 0.9538125 0.9645150 0.9630796
    0.9207717 0.9440395 0.9619468 0.9604988
    0.9185050 0.9401454 0.9611547 0.9597055
    0.9170927 0.9371778 0.9515998 0.9531927
    0.9157248 0.9339523 0.9498405 0.9514364
    0.9136975 0.9279670 0.9469188 0.9485196
    0.9130905 0.9254893 0.9458915 0.9474941
    0.9965039 0.9952720 0.9950750 0.9950768
    0.9929263 0.9802671 0.9782329 0.9782458
    0.9922218 0.9761698 0.9735994 0.9736156
    0.9915844 0.9693899 0.9705426 0.9701564
    0.9793523 0.9799069 0.9834203 0.9834208
    0.9726811 0.9669578 0.9767772 0.9767778
    0.9693561 0.9574195 0.9734662 0.9734668
    0.9477289 0.9747968 0.9655366 0.9655372
    0.9451652 0.9745367 0.9631798 0.9631804
    0.9337256 0.9740100 0.9526576 0.9526582
    0.9255075 0.9534489 0.9451246 0.9451252
    0.9219501 0.9511453 0.9419160 0.9419166
    0.9177889 0.9497422 0.9384931 0.9384937
    0.9168735 0.9232616 0.9378185 0.9378191
    0.9165898 0.9241040 0.9455616 0.9471647
"""
DAS, BEST_70 = (28, 46, 51, 67, 70, 73, 75, 76), (30, 39, 45, 51, 66, 70, 71, 76)
TABLE_V = (
    ("before", 341.427, 0.88389, None),
    ("Das [1]", 304.904, 0.912448, DAS),
    ("Khodr", 301.645, 0.915514, BEST_70),
)
TABLE_VI = {
    "IF1": (123.5, 145.3, 145.3),
    "IF2": (126.6, 154.4, 155.8),
    "IF3": (185.2, 151.5, 151.5),
    "IF4": (166.3, 157.5, 151.8),
}
"""The recalculated columns: before, Das, Khodr."""
FEEDERS_70 = {"IF1": 1, "IF2": 17, "IF3": 31, "IF4": 52}


@dataclass(frozen=True)
class Case:
    """A row of tables VII to IX: what the paper prints."""

    name: str
    controls: str
    loss_kw: float
    cpu_s: float
    iterations: int
    taps: tuple[float, ...] = ()
    capacitors: tuple[int, ...] = ()
    generators: tuple[int, ...] = ()
    open_branches: str = ""


SHARED = "9-15 15-67 21-27 28-29 37-38 40-44 62-65"
WITHOUT, WITH = f"{SHARED} 49-50", f"6-7 {SHARED}"
CASE_V = "7-8 14-15 15-67 21-27 27-28 37-38 40-44 48-49 55-61 62-65"
TAPS_V = (1.007, 1.016, 1.003, 1.004)
CASES = (
    Case("I", "none", 301.6453, 0.140, 1, open_branches=WITHOUT),
    Case("II", "taps", 301.6453, 0.142, 1, (1.003, 1.002, 1.006, 1.006), open_branches=WITHOUT),
    Case("III", "capacitors", 287.142, 0.297, 2, (), (600, 150), open_branches=WITH),
    Case("IV", "taps,capacitors", 287.142, 0.234, 1, (0.999, 1.029, 1.001, 1.001), (600, 150), open_branches=WITH),
    Case("V", "all", 196.810, 0.203, 1, TAPS_V, (0, 300), (372, 561), CASE_V),
)


@dataclass(frozen=True)
class Run:
    """Our answer to a case: Benders, and the proof by the MILP."""

    case: Case
    problem: ReconfigurationProblem
    benders: Result
    cpu_s: float
    milp: Result
    milp_cpu_s: float

    @property
    def best(self) -> Result:
        """The answer of less loss, of equal ones that of Benders."""
        return (
            self.milp if (self.milp.loss_kw or math.inf) < (self.benders.loss_kw or math.inf) - 1e-4 else self.benders
        )

    @property
    def bound_kw(self) -> float:
        """The better of both bounds."""
        return max(self.benders.dual_bound_kw or 0.0, self.milp.dual_bound_kw or 0.0)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="Tables I to IX of Khodr et al. beside ours.")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds for each proof by the MILP")
    limit = parser.parse_args().time_limit
    thirty_three(ReconfigurationProblem.of(load_case("case33"), limits=Limits()))
    seventy(ReconfigurationProblem.of(load_case("case70"), limits=Limits()))
    runs = [solve(case, limit) for case in CASES]
    table_vii(runs)
    table_viii(runs)
    table_ix(runs)


def heading(text: str, *columns: str) -> None:
    """A title and the head of a table."""
    print(f"\n### {text}\n")
    row(*columns)
    print("|" + "---|" * len(columns))


def row(*cells: object) -> None:
    """A row of a table; sequences with spaces between."""
    print("| " + " | ".join(" ".join(map(str, c)) if isinstance(c, tuple | list) else str(c) for c in cells) + " |")


def opened(problem: ReconfigurationProblem, ids: tuple[int, ...] | None) -> Configuration:
    """The configuration with these branches open; the normal one for None."""
    net = problem.network
    if ids is None:
        return net.normal_configuration
    return Configuration(~np.isin(np.array(net.branch_ids), ids))


def timed(engine: str, problem: ReconfigurationProblem, limit: float | None = None) -> tuple[Result, float]:
    """A result and the CPU time it took [s]."""
    begin = time.process_time()
    result = load_engine(engine).solve(problem, SolveOptions(time_limit=limit))
    return result, time.process_time() - begin


def thirty_three(problem: ReconfigurationProblem) -> None:
    """Tables I to IV."""
    timed("benders", problem)  # imports and compilation
    result, cpu = timed("benders", problem)
    columns = ("method", "printed kW", "CPU s printed", "open switches", "our power flow kW")
    heading("Table I: 33-bus system, methods", *columns)
    for name, loss, seconds, ids in TABLE_I:
        row(name, loss, seconds, ids, f"{evaluate(problem, opened(problem, ids)).loss_kw:.3f}")
    name = f"ours, benders: {result.status.value}, bound {result.dual_bound_kw:.3f} kW, {cpu:.2f} CPU s"
    row(name, "-", "-", problem.network.open_ids(result.configuration), f"{result.loss_kw:.3f}")
    columns = ("method", "printed kW", "ours kW", "saving printed %", "saving ours %")
    heading("Table II: one power flow for every configuration", *columns)
    before, printed_before = evaluate(problem, opened(problem, INITIAL)).loss_kw, TABLE_II[-1][1]
    for name, loss, ids in TABLE_II:
        mine = evaluate(problem, opened(problem, ids)).loss_kw
        savings = (f"{100 * (1 - now / then):.3f}" for now, then in ((loss, printed_before), (mine, before)))
        row(name, f"{loss:.3f}", f"{mine:.3f}", *savings)
    currents("Table III", problem, FEEDERS_33, TABLE_III, dict(CONFIGURATIONS))
    printed = np.array(TABLE_IV.split(), dtype=float).reshape(33, 4)
    mine = np.column_stack([evaluate(problem, opened(problem, ids)).vm for _, ids in CONFIGURATIONS])
    columns = ("configuration", "lowest printed", "lowest ours", "largest difference", "at node")
    heading("Table IV: voltages of all 33 nodes", *columns)
    for j, (name, _) in enumerate(CONFIGURATIONS):
        off = np.abs(printed[:, j] - mine[:, j])
        row(name, f"{printed[:, j].min():.6f}", f"{mine[:, j].min():.6f}", f"{off.max():.1e}", off.argmax())


def currents(
    table: str,
    problem: ReconfigurationProblem,
    feeders: dict[str, int],
    printed: dict[str, tuple[float, ...]],
    configurations: dict[str, tuple[int, ...] | None],
) -> None:
    """Printed and own feeder currents of some configurations."""
    pairs = [text for name in configurations for text in (f"{name}: printed", "ours")]
    heading(
        f"{table}: feeder currents; ours are sqrt(3) times those of a phase, the paper's come near that",
        "feeder",
        *pairs,
    )
    flows = [evaluate(problem, opened(problem, ids)).current_a * math.sqrt(3) for ids in configurations.values()]
    for name, branch in feeders.items():
        e = problem.network.branch_ids.index(branch)
        row(name, *(cell for p, a in zip(printed[name], flows, strict=True) for cell in (p, f"{a[e]:.2f}")))


def seventy(problem: ReconfigurationProblem) -> None:
    """Tables V and VI."""
    columns = ("configuration", "printed kW", "ours kW", "lowest voltage printed", "ours")
    heading("Table V: 70-bus system", *columns)
    for name, loss, voltage, ids in TABLE_V:
        mine = evaluate(problem, opened(problem, ids))
        row(name, f"{loss:.3f}", f"{mine.loss_kw:.3f}", f"{voltage:.6f}", f"{mine.min_voltage_pu:.6f}")
    currents("Table VI", problem, FEEDERS_70, TABLE_VI, {name: ids for name, *_, ids in TABLE_V})


def solve(case: Case, limit: float) -> Run:
    """Both engines on a case."""
    net = load_case("case70")
    problem = ReconfigurationProblem.of(net, controls=net.controls.only(case.controls), limits=LIMITS)
    return Run(case, problem, *timed("benders", problem, 3 * limit), *timed("milp", problem, limit))


def table_vii(runs: list[Run]) -> None:
    """Iterations and time."""
    columns = ("case", "iterations printed", "ours", "CPU s printed", "benders CPU s", "milp CPU s")
    heading("Table VII: iterations and CPU time", *columns, "loss kW", "bound kW", "gap")
    for run in runs:
        case, loss = run.case, run.best.loss_kw or math.nan
        numbers = (run.benders.iterations[-1].number, case.cpu_s, f"{run.cpu_s:.1f}", f"{run.milp_cpu_s:.1f}")
        gap = (loss - run.bound_kw) / loss
        row(case.name, case.iterations, *numbers, f"{loss:.3f}", f"{run.bound_kw:.3f}", f"{gap:.1e}")


def table_viii(runs: list[Run]) -> None:
    """Losses and settings."""
    columns = ["case", "loss kW printed", "benders", "milp", "taps printed", "ours", "capacitors kvar printed", "ours"]
    columns += ["generators kVA printed", "ours", "lowest voltage", "highest"]
    heading("Table VIII: losses and controls", *columns)
    for run in runs:
        case, best, kw = run.case, run.best, run.problem.network.base.kw
        ours, found = best.settings[0] if best.settings else Settings(), best.evaluation
        taps, banks = [f"{t:.3f}" for t in ours.taps], [f"{kw * c:.0f}" for c in ours.capacitors]
        power = [f"{kw * math.hypot(*pq):.0f}" for pq in ours.generators]
        losses = (case.loss_kw, f"{run.benders.loss_kw:.3f}", f"{run.milp.loss_kw:.3f}")
        settings = (case.taps, taps, case.capacitors, banks, case.generators, power)
        row(case.name, *losses, *settings, f"{found.min_voltage_pu:.4f}", f"{found.vm.max():.4f}")


def table_ix(runs: list[Run]) -> None:
    """Open branches."""
    heading("Table IX: open branches", "case", "printed", "ours", "least loss at the printed switches kW")
    for run in runs:
        net, closed = run.problem.network, run.best.configuration.closed
        ends = [(net.bus_ids[f], net.bus_ids[t]) for f, t in zip(net.from_bus, net.to_bus, strict=True)]
        pairs = [f"{min(pair)}-{max(pair)}" for pair in ends]
        ours = sorted((ends[e] for e in np.flatnonzero(~closed)), key=min)
        shut = np.array([pair not in run.case.open_branches.split() for pair in pairs])
        ours = [f"{min(pair)}-{max(pair)}" for pair in ours]
        row(run.case.name, run.case.open_branches, ours, printed_switches(run.problem, Configuration(shut)))


def printed_switches(problem: ReconfigurationProblem, configuration: Configuration) -> str:
    """Least loss of the printed configuration over the controls that the paper leaves free, or why there is none."""
    faults = problem.faults(configuration)
    if faults:
        return "not radial: " + faults[0]
    locked = np.where(configuration.closed, 1, 0).astype(np.int8)
    alone = problem.replace(locked=locked)
    if alone.controls == Controls():
        return f"{evaluate(alone, configuration).loss_kw:.3f}"
    result, _ = timed("benders", alone, 20.0)
    return "violates limits" if result.loss_kw is None else f"{result.loss_kw:.3f}"


if __name__ == "__main__":
    main()
