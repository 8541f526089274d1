"""How much the maps over independent tasks cost, and how they scale, on this machine.

``python benchmarks/throughput.py`` prints a table each of

- labels per second with 1 and 2 workers, in processes and on a Dask cluster of this machine, the counts of workers in
  turn so that other load meets all alike. Counted from the moment at which every worker has delivered once: starting
  and compiling are not part of it. Beside it processor seconds per label, which other load does not change;
- time per task that does nothing, and 10^5 of them;
- a region of a thousand small feeders in one command, killed in the middle and gone on with.

Load of others is told with it (``/proc/loadavg``). Needs the extra ``cluster``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.manifest import read_manifest
from learnopt.generator import FeederConfig, random_feeder
from learnopt.io.case_json import network_to_dict
from learnopt.learned.labels import LABEL_OPTIONS, _label_shard
from learnopt.parallel import Workers, run_tasks
from learnopt.report.region.rows import read_rows
from learnopt.studies.configuration.solve import warm_up

console = Console()
MADE = ("processes", "Dask")


@contextmanager
def workers_of(kind: str, count: int) -> Iterator[Workers]:
    """So many workers of a kind."""
    if kind == "processes":
        yield Workers(count)
        return
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield Workers(scheduler=cluster.scheduler_address)


def processor_s() -> float:
    """Processor seconds of this process and of those that it started and that run."""
    used = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        used += times.user + times.system
    return used


class Watch:
    """Looks at the clocks when every worker has delivered, and at the last answer.

    Parameters
    ----------
    first, last
        Answers by then.
    """

    def __init__(self, first: int, last: int) -> None:
        self.first, self.last, self.count = first, last, 0
        self.seen: list[tuple[float, float]] = []

    def take(self, *_: object) -> None:
        """An answer is there."""
        self.count += 1
        if self.count in (self.first, self.last):
            self.seen.append((time.perf_counter(), processor_s()))

    @property
    def measured(self) -> tuple[int, float, float]:
        """Answers, seconds, processor seconds."""
        (begun, before), (ended, after) = self.seen
        return self.last - self.first, ended - begun, after - before


def labels(scratch: Path, shards: int, per_shard: int, rounds: int) -> None:
    """Labels per second."""
    source = scratch / "labels"
    generate(
        GenerateConfig(
            seed=11, n_feeders=shards, scenarios_per_feeder=per_shard, shard_size=per_shard, charging=False,
            feeder=FeederConfig(buses=(40, 60), substations=(1, 2), loops=(4, 7)),
        ),
        source,
    )  # fmt: skip
    table = Table("engine", "workers", "labels/s", "against 1", "processor s per label", "load of all")
    warm = (warm_up, ("tree", replace(LABEL_OPTIONS, time_limit=None, node_limit=None)))
    for kind in MADE:
        found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(rounds):
            for count in found:
                folder = shutil.copytree(source, scratch / "work")
                task = partial(_label_shard, folder, engine="tree", options=LABEL_OPTIONS)
                n = read_manifest(folder).n_shards
                watch = Watch(count, n)
                with workers_of(kind, count) as who:
                    run_tasks(task, range(n), who, warm, watch.take)
                shutil.rmtree(folder)
                done, seconds, used = watch.measured
                found[count].append((done * per_shard / seconds, used / (done * per_shard)))
        for count, each in found.items():
            rates, costs = zip(*each, strict=True)
            ratio = np.mean(rates) / np.mean([rate for rate, _ in found[1]])
            row = f"{np.mean(rates):.2f}", f"{ratio:.2f}", f"{np.mean(costs):.4f}", load()
            table.add_row(kind, str(count), *row)
    console.print(table)


def overhead(*counts: int) -> None:
    """Time of tasks that do nothing."""
    table = Table("engine", "workers", "tasks", "s", "ms per task", "processor ms per task", "load of all")
    for kind in MADE:
        for n in counts:
            watch = Watch(2, n)
            with workers_of(kind, 2) as who:
                answers = run_tasks(abs, range(n), who, take=watch.take)
            assert answers == list(range(n))
            done, seconds, used = watch.measured
            row = str(n), f"{seconds:.1f}", f"{1e3 * seconds / done:.2f}", f"{1e3 * used / done:.2f}", load()
            table.add_row(kind, "2", *row)
    console.print(table)


def load() -> str:
    """Processes that want to run, in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def region(scratch: Path, feeders: int) -> None:
    """A thousand feeders, one of them bad, the command killed in the middle."""
    folder = scratch / "region"
    folder.mkdir()
    config = FeederConfig(buses=(10, 30), substations=(1, 1), loops=(2, 4))
    for k in range(feeders):
        network = random_feeder(config, np.random.default_rng([17, k]), name=f"feeder-{k:04d}")
        text = "{" if k == feeders // 2 else json.dumps(network_to_dict(network))
        (folder / f"feeder-{k:04d}.json").write_text(text)
    out = scratch / "region.parquet"
    command = [sys.executable, "-m", "learnopt", "region", str(folder), "--out", str(out), "--workers", "2", "--json"]
    begin = time.perf_counter()
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while first.poll() is None and _rows(out) < feeders // 2:
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.wait()
    kept = {row.name: row for row in read_rows(out)}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begin
    told = json.loads(again.stdout)
    same = sum(row == kept[row.name] for row in read_rows(out) if row.name in kept and not row.error)
    table = Table("feeders", "solved", "errors", "rows kept after the kill", "s", "exit code", "load of all")
    table.add_row(
        str(told["feeders"]), str(told["solved"]), str(told["errors"]), f"{same} of {len(kept)}", f"{seconds:.0f}",
        str(again.returncode), load(),
    )  # fmt: skip
    console.print(table)


def _rows(path: Path) -> int:
    return len(read_rows(path))


PARTS: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "labels": lambda options, scratch: labels(scratch, options.shards, options.per_shard, options.rounds),
    "overhead": lambda options, _: overhead(options.tasks, options.many),
    "region": lambda options, scratch: region(scratch, options.feeders),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--shards", type=int, default=40)
    parser.add_argument("--per-shard", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=2000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--feeders", type=int, default=1000)
    options = parser.parse_args()
    for name in options.only or PARTS:
        with tempfile.TemporaryDirectory() as scratch:
            PARTS[name](options, Path(scratch))


if __name__ == "__main__":
    main()
