"""Exact engines against what a sceptic would use, from cold: time to a proof, loss, bound, nodes.

    python benchmarks/exact.py [--cases DIR] [--only case33,case70] [--methods milp,textbook] [--time-limit S]
                               [--repeats N] [--markdown FILE]

Methods run one after another on each feeder, in one process and on one thread; medians over the repeats and ratios of
medians are reported. Every method finds its own start. Raw output goes to ``raw/``, which is not in git.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from textbook import NAME as TEXTBOOK
from textbook import TextbookEngine

from learnopt.engines import Engine, SolveOptions, load_engine
from learnopt.engines.tree.coverage import tight_obstacles
from learnopt.io import load
from learnopt.io.cases import case_names
from learnopt.network import Certificate, Network, ReconfigurationProblem, Result, Status
from learnopt.physics import evaluate
from learnopt.studies.configuration.solve import warm_up

HERE = Path(__file__).parent
OURS = "milp"
METHODS = {OURS: "milp (ours)", "tree": "tree (ours)", "textbook": TEXTBOOK, "scip": "SCIP conic"}
GAP = 1e-4

PUBLISHED = {
    "case16": (466.1, "Zhu (2002), doi:10.1016/S0378-7796(02)00041-X"),
    "case33": (139.55, "Khodr et al., tables II and IV"),
    "case69": (98.59, "Imran, Kowsalya, Kothari (2014), as quoted elsewhere"),
    "case70": (301.645, "Khodr et al., tables V, VIII, IX"),
    "case119": (869.69, "Ahmadi, Martí (2015), as quoted elsewhere"),
    "case136": (280.19, "Barbosa et al. (2013), as quoted elsewhere"),
}
"""Best published loss [kW] and where it stands; only figures that were traced to a source."""
VARIANTS = ("case69_baran_wu_tiex2",)
"""Feeders with the size of a published one but other data."""


@dataclass(frozen=True)
class Row:
    """Median run of one method on one feeder."""

    case: str
    method: str
    status: str
    loss_kw: float | None
    bound_kw: float | None
    certificate: str
    gap: float | None
    time_s: float
    times_s: tuple[float, ...]
    nodes: int
    version: str
    message: str

    @property
    def finished(self) -> bool:
        """It ended by itself, with a proof of some kind."""
        return self.status == Status.OPTIMAL


def main() -> int:
    options = parse()
    methods = [m for m in options.methods.split(",") if available(m)]
    networks = feeders(options.cases, options.only, options.max_buses)
    if not networks:
        print("No feeder of this name and size.", file=sys.stderr)
        return 2
    head = environment(options, methods)
    print(json.dumps(head, indent=1), file=sys.stderr)
    prepare(methods)
    rows: list[Row] = []
    for network in networks:
        runs: dict[str, list[Result]] = {m: [] for m in methods}
        for _ in range(options.repeats):
            for method in methods:
                runs[method].append(solve(method, network, options.time_limit))
        for method in methods:
            rows.append(summary(network, method, runs[method]))
            print(line(rows[-1]), file=sys.stderr, flush=True)
    write_raw(head, rows)
    page = markdown(head, networks, rows, methods, options)
    print(page)
    if options.markdown is not None:
        options.markdown.write_text(page + "\n", encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, help="folder of further case files (.json)")
    parser.add_argument("--only", help="comma-separated beginnings of feeder names")
    parser.add_argument("--max-buses", type=int, default=2000, help="larger feeders are left out")
    parser.add_argument("--methods", default=",".join(METHODS), help=f"of {', '.join(METHODS)}")
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds per solve")
    parser.add_argument(
        "--repeats", type=int, default=1, help="solves of each method on each feeder; the median counts"
    )
    parser.add_argument("--markdown", type=Path, help="write the page to this file too")
    options = parser.parse_args()
    if unknown := set(options.methods.split(",")) - set(METHODS):
        parser.error(f"unknown method {', '.join(sorted(unknown))}: use {', '.join(METHODS)}")
    if options.cases is not None and not options.cases.is_dir():
        parser.error(f"{options.cases} is not a folder")
    return options


def available(method: str) -> bool:
    """Left out with a word on stderr where its package is absent."""
    if method == "scip" and find_spec("pyscipopt") is None:
        print("scip is left out: pip install 'learnopt[scip]'", file=sys.stderr)
        return False
    return True


def feeders(folder: Path | None, only: str | None, max_buses: int) -> list[Network]:
    """Named cases and those of a folder, each feeder once, smallest first."""
    names = [*case_names(), *(str(p) for p in sorted(folder.glob("*.json")) if is_case(p))] if folder else case_names()
    found: dict[tuple[int, int, float], Network] = {}
    for name in names:
        network = load(name)
        if only is not None and not any(network.name.startswith(o) for o in only.split(",")):
            continue
        if network.n_bus <= max_buses:
            problem = ReconfigurationProblem.of(network)
            loss = evaluate(problem, network.normal_configuration).loss_kw
            found.setdefault((network.n_bus, network.n_branch, round(loss, 2)), network)
    return sorted(found.values(), key=lambda n: n.n_bus)


def is_case(path: Path) -> bool:
    """The folder may hold other JSON files."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(content, dict) and "branches" in content


def engine_of(method: str) -> Engine:
    return TextbookEngine() if method == "textbook" else load_engine(method)


def prepare(methods: list[str]) -> None:
    """Imports and compilation, which are not timed."""
    for method in methods:
        for certify in (Certificate.AC, Certificate.MODEL) if method == "tree" else (None,):
            if method == "textbook":
                TextbookEngine().solve(ReconfigurationProblem.of(load("case16")), SolveOptions(time_limit=10.0))
            else:
                warm_up(method, SolveOptions(certify=certify))


def solve(method: str, network: Network, time_limit: float) -> Result:
    """One cold solve: a new problem object, so that nothing is cached."""
    problem = ReconfigurationProblem.of(network)
    certify = None
    if method == "tree":
        certify = Certificate.MODEL if tight_obstacles(problem) else Certificate.AC
    return engine_of(method).solve(problem, SolveOptions(certify=certify, gap=GAP, time_limit=time_limit))


def summary(network: Network, method: str, results: list[Result]) -> Row:
    """The run of median time."""
    times = [r.solve_time_s for r in results]
    middle = sorted(results, key=lambda r: r.solve_time_s)[(len(results) - 1) // 2]
    return Row(
        case=network.name,
        method=method,
        status=middle.status.value,
        loss_kw=middle.loss_kw,
        bound_kw=middle.dual_bound_kw,
        certificate=middle.certificate.value,
        gap=middle.gap,
        time_s=statistics.median(times),
        times_s=tuple(times),
        nodes=middle.nodes,
        version=middle.engine_version,
        message=middle.message,
    )


def environment(options: argparse.Namespace, methods: list[str]) -> dict[str, Any]:
    """Versions, machine and settings."""

    def package(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    packages = ("learnopt", "highspy", "pyscipopt", "pyomo", "numba", "numpy", "power-grid-model")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": 1,
        "packages": {name: package(name) for name in packages},
        "time_limit_s": options.time_limit,
        "repeats": options.repeats,
        "gap": GAP,
        "methods": methods,
    }


def processor() -> str:
    """Model name where the system says it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for entry in info.read_text(encoding="utf-8").splitlines():
            if entry.startswith("model name"):
                return entry.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def write_raw(head: dict[str, Any], rows: list[Row]) -> None:
    folder = HERE / "raw"
    folder.mkdir(exist_ok=True)
    path = folder / f"exact-{time.strftime('%Y%m%d-%H%M%S')}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({**head, "rows": [vars(r) for r in rows]}, indent=1), encoding="utf-8")
    os.replace(temporary, path)
    print(f"Raw output: {path.relative_to(HERE.parent)}", file=sys.stderr)


def number(value: float | None, digits: int) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def line(row: Row) -> str:
    """One result in words, as it comes in."""
    gap = "-" if row.gap is None else f"{row.gap:.1e}"
    return (
        f"{row.case:24s} {METHODS[row.method]:16s} {row.status:12s} loss {number(row.loss_kw, 3)} kW, bound "
        f"{number(row.bound_kw, 3)} ({row.certificate}), gap {gap}, {row.time_s:.2f} s, {row.nodes} nodes"
    )


def ratio(row: Row, ours: Row) -> tuple[str, float | None]:
    """Time over ours; a lower bound where the rival was stopped, nothing where we were."""
    if not ours.finished:
        return "-", None
    value = row.time_s / ours.time_s
    return (f"{value:.2g}", value) if row.finished else (f"> {value:.2g}", None)


def published(network: Network) -> tuple[float, str] | None:
    """Best published loss of a feeder and its source."""
    key = network.name.split("_")[0]
    return None if network.name in VARIANTS else PUBLISHED.get(key)


def markdown(
    head: dict[str, Any], networks: list[Network], rows: list[Row], methods: list[str], options: argparse.Namespace
) -> str:
    """The page: one table of results, one of ratios, what it was run on."""
    packages = ", ".join(f"{name} {v}" for name, v in head["packages"].items() if v)
    columns = ["feeder", "buses", "loops", "method", "status", "loss kW", "bound kW", "certificate", "gap", "time s"]
    columns += ["nodes", "published kW"]
    text = [
        "# Exact engines, from cold",
        "",
        f"{head['date']}, Python {head['python']}, {head['system']}, {head['processor']}, {head['cores']} cores, "
        f"one thread; {packages}. Time limit {options.time_limit:g} s, gap {GAP:g}, median of {options.repeats}.",
        "",
        "Certificates: `ac` bounds the AC loss of every configuration; `model` bounds an approximation only. Losses "
        "are those of the AC judge. SCIP's nodes are not reported by its interface.",
        "",
        "| " + " | ".join(columns) + " |",
        "|---" * len(columns) + "|",
    ]
    for network in networks:
        quoted = published(network)
        for row in (r for r in rows if r.case == network.name):
            gap = "-" if row.gap is None else f"{row.gap:.1e}"
            nodes = "-" if row.method == "scip" else str(row.nodes)
            text.append(
                f"| {network.name} | {network.n_bus} | {network.n_loops} | {METHODS[row.method]} | {row.status} "
                f"| {number(row.loss_kw, 3)} | {number(row.bound_kw, 3)} | {row.certificate} | {gap} "
                f"| {row.time_s:.2f} | {nodes} | {'-' if quoted is None else quoted[0]} |"
            )
    rivals = [m for m in methods if m != OURS]
    if OURS in methods and rivals:
        text += ["", f"Time over that of {METHODS[OURS]} in the same run ('>': stopped by the limit):", ""]
        text += ["| feeder | " + " | ".join(METHODS[m] for m in rivals) + " |", "|---" * (len(rivals) + 1) + "|"]
        finite: dict[str, list[float]] = {m: [] for m in rivals}
        for network in networks:
            mine = {r.method: r for r in rows if r.case == network.name}
            cells = []
            for m in rivals:
                cell, value = ratio(mine[m], mine[OURS])
                cells.append(cell)
                if value is not None:
                    finite[m].append(value)
            text.append(f"| {network.name} | " + " | ".join(cells) + " |")
        means = [f"{statistics.geometric_mean(v):.2g} ({len(v)})" if v else "-" for v in finite.values()]
        text.append("| geometric mean (feeders where both finished) | " + " | ".join(means) + " |")
    sources = {n.name: p for n in networks if (p := published(n)) is not None}
    if sources:
        text += [
            "",
            "Published losses: " + "; ".join(f"{name}: {p[0]} kW, {p[1]}" for name, p in sources.items()) + ".",
        ]
    return "\n".join(text)


if __name__ == "__main__":
    sys.exit(main())
