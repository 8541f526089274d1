"""What a labelled dataset holds, read without learnopt: Parquet, JSON and a power flow of its own.

    python datasets/describe.py datasets/large --sample 300

Prints Markdown: sizes, loops, status and certificate, distinct configurations, and on a random sample of proven labels
how often branch exchange from the normal configuration misses the label. The sample also recomputes the loss of every
label it looks at and counts those that differ from the file or are not radial.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

BANDS = (0, 30, 100, 300, 1001)
MISS = 1e-6
"""A relative loss above the label's by more than this is a miss."""


class Feeder:
    """A case file as arrays: impedances in ohm, voltage in volt per phase."""

    def __init__(self, text: str) -> None:
        case = json.loads(text)
        number = {bus["id"]: k for k, bus in enumerate(case["buses"])}
        branches = case["branches"]
        self.tail = np.array([number[b["from"]] for b in branches])
        self.head = np.array([number[b["to"]] for b in branches])
        self.z = np.array([complex(b["r_ohm"], b["x_ohm"]) for b in branches])
        self.switchable = np.array([b.get("switchable") is not False for b in branches])
        self.normally_open = np.array([bool(b.get("normally_open")) for b in branches])
        self.roots = [number[k] for k in case["substations"]]
        self.v0 = 1000.0 * case["base_kv"] / np.sqrt(3.0)
        self.n_bus, self.n_branch = len(case["buses"]), len(branches)
        self.at: list[list[int]] = [[] for _ in range(self.n_bus)]
        for e in range(self.n_branch):
            self.at[self.tail[e]].append(e)
            self.at[self.head[e]].append(e)

    @property
    def n_loops(self) -> int:
        """Branches - buses + substations."""
        return self.n_branch - self.n_bus + len(self.roots)

    def orient(self, closed: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray] | None:
        """Buses from the substations outwards, with the bus and the branch that feed each; None if not radial."""
        order, parent, feed = list(self.roots), np.full(self.n_bus, -1), np.full(self.n_bus, -1)
        seen = np.zeros(self.n_bus, bool)
        seen[self.roots] = True
        for bus in order:
            for e in self.at[bus]:
                if closed[e] and e != feed[bus]:
                    other = self.tail[e] + self.head[e] - bus
                    if seen[other]:
                        return None
                    seen[other], parent[other], feed[other] = True, bus, e
                    order.append(int(other))
        return (order, parent, feed) if len(order) == self.n_bus else None

    def loss(self, closed: np.ndarray, s: np.ndarray) -> tuple[float, Any]:
        """Loss [kW] by backward/forward sweeps for loads s [VA per phase], and the tree with its branch currents."""
        tree = self.orient(closed)
        if tree is None:
            return np.inf, None
        order, parent, feed = tree
        outwards = [bus for bus in order if parent[bus] >= 0]
        v = np.full(self.n_bus, self.v0, complex)
        for _ in range(200):
            below = np.conj(s / v)
            for bus in reversed(outwards):
                below[parent[bus]] += below[bus]
            before = v.copy()
            for bus in outwards:
                v[bus] = v[parent[bus]] - self.z[feed[bus]] * below[bus]
            if np.abs(v - before).max() < 1e-9 * self.v0:
                current = np.zeros(self.n_branch, complex)
                for bus in outwards:
                    current[feed[bus]] = below[bus]
                loss = 3e-3 * float(np.sum(self.z.real * np.abs(current) ** 2))
                return loss, (parent, feed, current)
        return np.inf, None


def branch_exchange(feeder: Feeder, closed: np.ndarray, movable: np.ndarray, s: np.ndarray) -> float:
    """Loss [kW] of the local optimum: the best of twenty estimated exchanges is taken until none helps."""
    loss, state = feeder.loss(closed, s)
    while state is not None:
        parent, feed, current = state
        moves = []
        for tie in np.flatnonzero(movable & ~closed):
            path: dict[int, float] = {}  # branch of the loop: its direction of feeding
            for bus, side in ((feeder.tail[tie], 1.0), (feeder.head[tie], -1.0)):
                while parent[bus] >= 0:
                    if path.pop(int(feed[bus]), None) is None:
                        path[int(feed[bus])] = side
                    bus = parent[bus]
            # Closing the tie and opening k shifts k's current around the loop.
            edges = np.array(list(path))
            side, r = np.array(list(path.values())), feeder.z.real
            around, resistance = np.sum(side * r[edges] * current[edges]), r[edges].sum() + r[tie]
            for k, sign in path.items():
                if movable[k]:
                    x = -sign * current[k]
                    moves.append((float(2 * (np.conj(x) * around).real + abs(x) ** 2 * resistance), tie, k))
        moves.sort(key=lambda move: move[0])
        for _, tie, k in moves[:20]:
            trial = closed.copy()
            trial[tie], trial[k] = True, False
            value, after = feeder.loss(trial, s)
            if value < loss * (1 - 1e-9):
                closed, loss, state = trial, value, after
                break
        else:
            return loss
    return loss


def normal_start(feeder: Feeder, usable: np.ndarray, must_close: np.ndarray) -> np.ndarray:
    """The normal configuration, repaired where outages or locks break it."""
    group = list(range(feeder.n_bus))

    def find(k: int) -> int:
        while group[k] != k:
            group[k] = group[group[k]]
            k = group[k]
        return k

    for root in feeder.roots[1:]:
        group[find(root)] = find(feeder.roots[0])
    closed = np.zeros(feeder.n_branch, bool)
    preference = np.where(must_close, 0, np.where(feeder.normally_open, 2, 1))
    for e in np.argsort(preference, kind="stable"):
        a, b = find(feeder.tail[e]), find(feeder.head[e])
        if usable[e] and a != b:
            group[a] = b
            closed[e] = True
    return closed


def judge_sample(folder: Path, chosen: list[tuple[int, int]], rows: dict[tuple[int, int], Any]) -> Counter[str]:
    """Counts over the sampled labels (shard, row): missed by exchange, wrong loss, not radial."""
    counts: Counter[str] = Counter()
    for shard in sorted({shard for shard, _ in chosen}):
        feeders = {row["feeder_index"]: row["case_json"] for row in _rows(folder / f"feeders-{shard:05d}.parquet")}
        scenarios = _rows(folder / f"scenarios-{shard:05d}.parquet")
        for row in sorted(row for k, row in chosen if k == shard):
            scenario, label = scenarios[row], rows[shard, row]
            feeder = Feeder(feeders[scenario["feeder_index"]])
            s = np.array(scenario["p_kw"]) - np.array(scenario["p_gen_kw"])
            s = (s + 1j * (np.array(scenario["q_kvar"]) - np.array(scenario["q_gen_kvar"]))) * 1000.0 / 3.0
            usable, must_close = np.ones(feeder.n_branch, bool), ~feeder.switchable
            usable[scenario["out_of_service"] + scenario["locked_open"]] = False
            must_close[scenario["locked_closed"]] = True
            must_close &= usable
            best = np.ones(feeder.n_branch, bool)
            best[label["open_branches"]] = False
            value, _ = feeder.loss(best, s)
            counts["looked at"] += 1
            counts["not radial"] += not np.isfinite(value)
            counts["loss differs"] += bool(abs(value - label["loss_kw"]) > 1e-5 * label["loss_kw"])
            start = normal_start(feeder, usable, must_close)
            reached = branch_exchange(feeder, start, usable & ~must_close, s)
            counts["exchange misses"] += bool(reached > value * (1 + MISS))
            counts["label beaten"] += bool(reached < value * (1 - MISS))
    return counts


def describe(folder: Path, sample: int, seed: int) -> str:
    """The statistics page."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    paths = sorted(folder.glob("labels-*.parquet"))
    rows = {(int(p.stem[7:]), k): row for p in paths for k, row in enumerate(_rows(p))}
    sizes: dict[int, tuple[int, int]] = {}
    for path in paths:
        for row in _rows(folder / path.name.replace("labels", "feeders")):
            case = json.loads(row["case_json"])
            n_bus, n_branch = len(case["buses"]), len(case["branches"])
            sizes[row["feeder_index"]] = (n_bus, n_branch - n_bus + len(case["substations"]))
    proven = [place for place, row in rows.items() if row["status"] == "optimal"]
    per_feeder: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for place in proven:
        per_feeder[rows[place]["feeder_index"]].add(tuple(rows[place]["open_branches"]))
    certificates = Counter(rows[place]["certificate"] for place in proven)
    gaps = [row["gap"] for row in rows.values() if row["status"] == "feasible" and row["gap"] is not None]
    lines = [
        f"{manifest['n_feeders']} feeders x {manifest['scenarios_per_feeder']} scenarios planned, seed "
        f"{manifest['seed']}; labelled so far: {len(rows)} instances of {len(sizes)} feeders.",
        "",
        "| | |",
        "|---|---|",
        f"| proven optimal | {len(proven)} ({100 * len(proven) / max(len(rows), 1):.1f} %) |",
        *(f"| of these with certificate {name} | {count} |" for name, count in sorted(certificates.items())),
        f"| kept with bound and gap, not proven in time | {len(gaps)}, median gap "
        f"{100 * np.median(gaps or [0]):.2f} %, largest {100 * max(gaps, default=0):.1f} % |",
        f"| distinct proven configurations, counted per feeder | {sum(map(len, per_feeder.values()))} |",
        f"| feeders with one configuration for all proven scenarios | "
        f"{sum(len(found) == 1 for found in per_feeder.values())} of {len(per_feeder)} |",
        "",
        "| buses | feeders | loops, median (least to most) | proven |",
        "|---|---|---|---|",
    ]
    for low, high in pairwise(BANDS):
        inside = {k for k, (n, _) in sizes.items() if low <= n < high}
        loops = [sizes[k][1] for k in inside] or [0]
        mine = [row for row in rows.values() if row["feeder_index"] in inside]
        share = 100 * sum(row["status"] == "optimal" for row in mine) / max(len(mine), 1)
        spread = f"{np.median(loops):.0f} ({min(loops)} to {max(loops)})"
        lines.append(f"| {low} to {high - 1} | {len(inside)} | {spread} | {share:.0f} % |")
    chosen = [proven[k] for k in np.random.default_rng(seed).permutation(len(proven))[:sample]]
    counts = judge_sample(folder, chosen, rows)
    seen = max(counts["looked at"], 1)
    lines += [
        "",
        f"Of {counts['looked at']} proven labels drawn at random, branch exchange from the normal configuration misses "
        f"{100 * counts['exchange misses'] / seen:.0f} %; {counts['label beaten']} labels are beaten by it, "
        f"{counts['loss differs']} have another loss than the file says, {counts['not radial']} are not radial "
        "(power flow and exchange of this script, not learnopt's).",
    ]
    return "\n".join(lines)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(path).read().to_pylist()
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=300, help="proven labels that are recomputed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(options.folder, options.sample, options.seed))
