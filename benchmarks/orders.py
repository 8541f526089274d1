"""Random outages and switching orders, walked on a graph that shares no code with the planner: none may hurt.

    python benchmarks/orders.py [--orders 10000] [--first 0] [--jobs 2]
    python benchmarks/orders.py --one 4711           # the order of one draw, and each complaint about it

Draw number k comes from the seed k alone. Three of four are pandapower nets whose lines have switches at no, one or
both ends, some by hand, with couplers between busbars; one is a case file that knows branches only. One or two lines
are out of service, some switches are locked or tagged, and the target is a random radial state.

The walk knows the tables of the net alone. Checked is, at every step: no device of a faulted line is closed, none that
bears a tag or a lock is operated; from the first earthing on, no faulted line is ever joined to a source, and none is
earthed that is. At the end every bus is fed, once. The exports (net, case file, OpenDSS script, CSV) move the same
devices as the order, in the same order where they have one. Exit code 1 where anything of this fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.errors import DataError
from learnopt.io import network_from_dict
from learnopt.io.pandapower.reader import case_from_pandapower_json
from learnopt.io.scenario_json import scenario_from_dict
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics import evaluate
from learnopt.report.configuration.export import write_export
from learnopt.report.configuration.order import operation_to_dict
from learnopt.studies.configuration.switching_order import Operation, Paralleling, normal_state, switching_plan

Row = dict[str, Any]
Node = tuple[str, Any]


@dataclass
class Draw:
    """A feeder as tables, with a scenario.

    Parameters
    ----------
    lines, switches
        Ends of each line; each switch with its place, as the net has them. Of a case file every line is a switch.
    raw
        The net of pandapower, or the case file.
    """

    lines: list[Row]
    switches: list[Row]
    sources: list[int]
    loads: dict[int, float]
    scenario: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    case_file: bool = False


def draw(seed: int) -> Draw:
    """A connected ring network of 6 to 16 buses with an outage."""
    rng = np.random.default_rng(seed)
    case_file = seed % 4 == 3
    n = int(rng.integers(6, 17))
    sources = [0] if rng.random() < 0.6 else [0, 1]
    ends = [(int(rng.integers(0, k)), k) for k in range(1, n)]
    while len(ends) < n + int(rng.integers(2, 6)):
        a, b = sorted(int(k) for k in rng.choice(n, 2, replace=False))
        ends.append((a, b))
    switches: list[Row] = []
    lines = [{"index": j, "from": a, "to": b, "name": f"cable {a}-{b}"} for j, (a, b) in enumerate(ends)]
    closed = _present(rng, n, sources, ends)
    for line, is_closed in zip(lines, closed, strict=True):
        places = [line["from"], line["to"]]
        rng.shuffle(places)
        count = 2 if case_file else int(rng.choice([0, 1, 2, 2, 2])) if is_closed else int(rng.choice([1, 2, 2]))
        opened = set() if is_closed else set(places[: count if case_file else int(rng.integers(1, count + 1))])
        for place in places[:count]:
            switches.append({"bus": place, "line": line["index"], "closed": place not in opened})
    for k, switch in enumerate(switches):
        switch |= {"index": k, "name": f"LTS {k} in station {switch['bus']}", "manual": bool(rng.random() < 0.5)}
    result = Draw(lines, switches, sources, {k: float(rng.uniform(50, 400)) for k in range(n)}, case_file=case_file)
    result.raw = _case_file(result, closed) if case_file else _net(result, n)
    result.scenario = _scenario(rng, result, closed)
    return result


def _present(rng: np.random.Generator, n: int, sources: list[int], ends: list[tuple[int, int]]) -> list[bool]:
    """A random radial state."""
    part = {k: (0 if k in sources else k) for k in range(n)}
    closed = [False] * len(ends)
    for j in rng.permutation(len(ends)).tolist():
        a, b = (part[k] for k in ends[j])
        if a != b:
            closed[j] = True
            part = {k: a if p == b else p for k, p in part.items()}
    return closed


def _scenario(rng: np.random.Generator, one: Draw, closed: list[bool]) -> dict[str, Any]:
    """One or two lines out of service, and now and then a lock and a tag."""
    identity = (lambda j: j) if one.case_file else (lambda j: f"line {j}")
    out = rng.choice(len(one.lines), int(rng.integers(1, 3)), replace=False).tolist()
    scenario: dict[str, Any] = {"out_of_service": [identity(j) for j in out]}
    others = [j for j in range(len(one.lines)) if j not in out]
    if rng.random() < 0.4:
        j = int(rng.choice(others))
        scenario["locked"] = {str(identity(j)): "closed" if closed[j] else "open"}
    if not one.case_file and one.switches and rng.random() < 0.4:
        scenario["tagged"] = [one.switches[int(rng.integers(len(one.switches)))]["name"]]
    return scenario


def _case_file(one: Draw, closed: list[bool]) -> dict[str, Any]:
    return {
        "name": "draw",
        "base_kv": 20.0,
        "substations": one.sources,
        "buses": [{"id": k, "p_kw": p, "q_kvar": p / 4, "name": f"station {k}"} for k, p in one.loads.items()],
        "branches": [
            {"id": r["index"], "from": r["from"], "to": r["to"], "r_ohm": 0.4, "x_ohm": 0.3, "name": r["name"]}
            | {"normally_open": not closed[r["index"]]}
            for r in one.lines
        ],
    }


def _net(one: Draw, n: int) -> dict[str, Any]:
    """What ``pandapower.to_json`` writes."""

    def table(rows: Sequence[Row]) -> dict[str, Any]:
        columns = list(rows[0]) if rows else []
        data = [[row[c] for c in columns] for row in rows]
        split = {"columns": columns, "index": list(range(len(rows))), "data": data}
        return {"_module": "pandas.core.frame", "_class": "DataFrame", "_object": json.dumps(split), "orient": "split"}

    cable = {"length_km": 2.0, "r_ohm_per_km": 0.2, "x_ohm_per_km": 0.12, "c_nf_per_km": 200.0, "g_us_per_km": 0.0}
    cable |= {"max_i_ka": 0.3, "df": 1.0, "parallel": 1, "in_service": True, "std_type": None}
    content: dict[str, Any] = {
        "bus": table([{"name": f"station {k}", "vn_kv": 20.0, "type": "b", "in_service": True} for k in range(n)]),
        "ext_grid": table([{"bus": k, "vm_pu": 1.0, "va_degree": 0.0, "in_service": True} for k in one.sources]),
        "line": table([{"name": r["name"], "from_bus": r["from"], "to_bus": r["to"], **cable} for r in one.lines]),
        "switch": table(
            [
                {"bus": s["bus"], "element": s["line"], "et": "l", "closed": s["closed"], "name": s["name"]}
                | {"operation": "manual" if s["manual"] else "remote"}
                for s in one.switches
            ]
        ),
        "load": table(
            [
                {"bus": k, "p_mw": p / 1e3, "q_mvar": p / 4e3, "scaling": 1.0, "in_service": True}
                for k, p in one.loads.items()
            ]
        ),
    }
    content |= {"name": "draw", "f_hz": 50.0, "sn_mva": 1.0, "version": "3.1.2", "format_version": "3.0.0"}
    return {"_module": "pandapower.auxiliary", "_class": "pandapowerNet", "_object": content}


@dataclass
class Walk:
    """States of the switches of a draw, and what they join."""

    one: Draw
    closed: dict[int, bool]
    apart: set[tuple[int, int]] = field(default_factory=set)

    def joins(self, j: int) -> bool:
        """A line joins its two buses."""
        return all(self.closed[s["index"]] for s in self.one.switches if s["line"] == j)

    def live(self) -> set[Node]:
        """Buses and insides of lines that are joined to a source."""
        near: dict[Node, list[Node]] = {}
        for line in self.one.lines:
            j = line["index"]
            for bus in (line["from"], line["to"]):
                at = [s["index"] for s in self.one.switches if s["line"] == j and s["bus"] == bus]
                if all(self.closed[k] for k in at) and (j, bus) not in self.apart:
                    near.setdefault(("bus", bus), []).append(("line", j))
                    near.setdefault(("line", j), []).append(("bus", bus))
        found: set[Node] = {("bus", k) for k in self.one.sources}
        queue = list(found)
        while queue:
            for other in near.get(queue.pop(), []):
                if other not in found:
                    found.add(other)
                    queue.append(other)
        return found


def complaints(one: Draw, steps: Sequence[Row]) -> list[str]:
    """What is wrong with an order, told as ``--json`` tells it."""
    faulted = {_line(i) for i in one.scenario["out_of_service"]}
    locked = {_line(i): state for i, state in one.scenario.get("locked", {}).items()}
    tagged = {s["index"] for s in one.switches if s["name"] in one.scenario.get("tagged", ())}
    walk = Walk(one, {s["index"]: s["closed"] for s in one.switches})
    bad, earthing = [], False  # from the first earthing or closing on, what is faulted has to be dead
    for step in steps:
        j, action, where = _line(step["branch"]), step["action"], f"step {step['step']}"
        moved = []
        if action in ("open", "close"):
            moved = [s["index"] for s in one.switches if s["line"] == j] if one.case_file else [_line(step["device"])]
            if tagged & set(moved):
                bad.append(f"{where}: a tagged device is operated")
            if locked.get(j) == "closed" and j not in faulted and action == "open":
                bad.append(f"{where}: line {j} is locked closed")
            if action == "close" and j in faulted:
                bad.append(f"{where}: closes faulted line {j}")
            if all(walk.closed[k] == (action == "close") for k in moved):
                bad.append(f"{where}: nothing changes")
        for k in moved:
            walk.closed[k] = action == "close"
        if action == "close" and locked.get(j) == "open" and walk.joins(j):
            bad.append(f"{where}: line {j} is locked open")
        if action == "disconnect":
            walk.apart.add((j, step["bus"]))
        earthing |= action in ("earth", "close")
        alive = {k for kind, k in walk.live() if kind == "line"} & faulted
        if earthing and alive:
            bad.append(f"{where}: faulted line {min(alive)} is live")
    fed = {k for kind, k in walk.live() if kind == "bus"}
    if fed != set(one.loads):
        bad.append(f"at the end buses {sorted(set(one.loads) - fed)} are not fed")
    return bad


def _line(identity: Any) -> int:
    """Number of a line or switch: ``line 4 behind its switch`` is line 4."""
    return int(str(identity).split()[1]) if isinstance(identity, str) and " " in identity else int(identity)


def export_complaints(one: Draw, problem: ReconfigurationProblem, plan: list[Operation], result: Result) -> list[str]:
    """Exports that move other devices than the order."""
    steps = [operation_to_dict(problem, o) for o in plan]
    switching = [s for s in steps if s["action"] in ("open", "close")]
    final: dict[Any, bool] = {}
    for s in switching:
        final[s["device"]] = s["action"] == "close"
    bad = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "net.json"
        source.write_text(json.dumps(one.raw), encoding="utf-8")
        for kind in (".json", ".dss", ".csv"):
            write_export(folder / f"out{kind}", str(source), problem, result, plan)
        written = json.loads((folder / "out.json").read_text(encoding="utf-8"))
        was, now = _states(one, one.raw), _states(one, written)
        moved = {k: state for k, state in final.items() if state != was[k]}
        if {k: state for k, state in now.items() if state != was[k]} != moved:
            bad.append("the exported net moves other devices than the order")
        script = (folder / "out.dss").read_text(encoding="utf-8").splitlines()
        told = [line.split("!")[1].split(",")[0].split()[1] for line in script if line.startswith(("open ", "close "))]
        wanted = [str(s["step"]) for s in steps if s["action"] not in ("earth",)]
        if list(dict.fromkeys(told)) != wanted:
            bad.append("the OpenDSS script has other steps than the order")
        with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
            rows = [(r["step"], r["action"], r["device"]) for r in csv.DictReader(file)]
        if rows != [(str(s["step"]), s["action"], "" if s["device"] is None else str(s["device"])) for s in steps]:
            bad.append("the table has other steps than the order")
    return bad


def _states(one: Draw, raw: dict[str, Any]) -> dict[Any, bool]:
    """Whether each device of a written net is closed."""
    if one.case_file:
        return {b["id"]: not b.get("normally_open", False) for b in raw["branches"]}
    text = raw["_object"]["switch"]["_object"]
    table = json.loads(text)
    column = table["columns"].index("closed")
    return {f"switch {k}": bool(row[column]) for k, row in zip(table["index"], table["data"], strict=True)}


def problem_of(one: Draw) -> ReconfigurationProblem:
    """The draw as a problem."""
    net = network_from_dict(one.raw, "draw") if one.case_file else case_from_pandapower_json(one.raw, "draw").network
    return ReconfigurationProblem.of(net, scenario_from_dict(one.scenario, net, "draw"))


def order_of(seed: int) -> tuple[Draw, ReconfigurationProblem, Result, list[Operation]] | None:
    """The order of a draw; None where its outage leaves buses that nothing can feed."""
    one = draw(seed)
    problem = problem_of(one)
    if problem.contradictions:
        return None
    net, rng = problem.network, np.random.default_rng([seed, 1])
    weights = rng.random(net.n_branch) + 10.0 * problem.must_close
    target = Configuration(maximum_spanning_tree(net, problem.usable, weights))
    if problem.faults(target):
        return None
    way = Paralleling.FORBIDDEN if rng.random() < 0.3 else Paralleling.ALLOWED
    plan = switching_plan(problem, normal_state(problem), target, way)
    found = evaluate(problem, target)
    result = Result(Status.FEASIBLE, "random", "", Certificate.NONE, target, found, found.loss_kw)
    return one, problem, result, plan


def examined(seed: int) -> tuple[int, str, list[str]]:
    """(seed, what became of the draw, complaints)."""
    try:
        found = order_of(seed)
        if found is None:
            return seed, "cannot be fed", []
        one, problem, result, plan = found
        steps = [operation_to_dict(problem, o) for o in plan]
        bad = complaints(one, steps) + export_complaints(one, problem, plan, result)
        return seed, "case file" if one.case_file else "net", bad
    except DataError as error:
        return seed, "refused", [f"refused: {error}"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one", type=int)
    asked = parser.parse_args(arguments)
    if asked.one is not None:
        found = order_of(asked.one)
        if found is not None:
            for o in found[3]:
                print(o.step, o.action.value, o.branch_id, o.device, o.bus, o.state.value, o.reason)
            print(found[0].scenario)
        print(examined(asked.one))
        return 0
    kinds: Counter[str] = Counter()
    broken = 0
    seeds = range(asked.first, asked.first + 100 * asked.orders)
    with get_context("spawn").Pool(asked.jobs) as pool:
        for seed, kind, bad in pool.imap(examined, seeds, chunksize=20):
            kinds[kind] += 1
            broken += bool(bad)
            for sentence in bad:
                print(f"draw {seed}: {sentence}", flush=True)
            if kinds["net"] + kinds["case file"] + kinds["refused"] >= asked.orders:
                pool.terminate()
                break
    print(f"{asked.orders} orders: {broken} with complaints; {', '.join(f'{k} {n}' for k, n in sorted(kinds.items()))}")
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
