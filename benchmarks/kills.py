"""Kill whoever takes part in labelling, at any moment, and see that the dataset is what it would have been.

A cluster of this machine (four workers of Dask) or today's pool of processes labels a dataset shard by shard, while one
of them after the other is ended: a worker, the scheduler with its workers around it, the command itself (SIGKILL), and
the pool by SIGTERM and by the kill of one of its processes. What ended is started again, as a user would. At the end:

- every shard is there once, its rows are those of the serial run to the last bit (but for the seconds they took), and
  so are feeders, scenarios and counts of the manifest;
- no shard that was there before a kill was written again;
- no temporary file and no process is left over.

``python benchmarks/kills.py`` makes 30 kills (``--kills``, ``--workers``, ``--seed``); exit code 1 where something is
otherwise. Needs the extra ``cluster``; psutil comes with it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import labelled_shards, table
from learnopt.generator import FeederConfig
from learnopt.learned.labels import label_dataset

KINDS = ("worker", "scheduler", "command", "pool, SIGTERM", "process of the pool")
"""What is ended, in turn."""
MARK = "LEARNOPT_KILLS"
"""Of the environment of every process that takes part, so that none is overlooked."""
_POLL_S = 0.02
_PATIENCE_S = 3600.0
"""Most time without a new shard, on a machine that is busy with something else."""
_GONE_S = 300.0
"""Most time until processes whose parent was killed have ended."""


@dataclass(eq=False)
class Outcome:
    """What was done, and what is wrong with it."""

    kills: Counter[str] = field(default_factory=Counter)
    shards: int = 0
    datasets: int = 0
    commands: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(eq=False)
class Site:
    """Processes that take part, started when they are needed."""

    workers: int
    mark: str
    cluster: subprocess.Popen[str] | None = None
    command: subprocess.Popen[bytes] | None = None
    address: str = ""

    def label(self, folder: Path, pool: bool) -> None:
        """Start the command, on the cluster or with processes of its own."""
        if not pool:
            self._start_cluster()
        how = ["--workers", "2"] if pool else ["--scheduler", self.address]
        self.command = subprocess.Popen(
            [sys.executable, "-m", "learnopt", "label", str(folder), *how],
            env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def children(self, of: str) -> list[psutil.Process]:
        """Workers of the cluster, or processes of the pool, that compute."""
        parent = self.cluster if of == "cluster" else self.command
        assert parent is not None
        try:
            found = psutil.Process(parent.pid).children(recursive=True)
            return [each for each in found if "spawn_main" in " ".join(each.cmdline())]
        except psutil.Error:
            return []

    def left_over(self) -> list[int]:
        """Processes that carry the mark, this one aside."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != os.getpid() and process.environ().get(MARK) == self.mark:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    def end(self) -> None:
        """End what runs, as a user would: SIGTERM."""
        for process in (self.command, self.cluster):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait()
        self.command = self.cluster = None

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, MARK: self.mark}

    def _start_cluster(self) -> None:
        if self.cluster is not None and self.cluster.poll() is None:
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.cluster = subprocess.Popen(
            [sys.executable, str(Path(__file__).absolute()), "--serve", str(port), "--workers", str(self.workers)],
            env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self.cluster.stdout is not None
        self.address = self.cluster.stdout.readline().strip()


def serve(port: int, workers: int) -> None:
    """A cluster of this machine, until it is ended; says its address."""
    from distributed import LocalCluster

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, scheduler_port=port, dashboard_address=None,
        silence_logs=50,
    ) as cluster:  # fmt: skip
        print(cluster.scheduler_address, flush=True)
        signal.pause()


def campaign(kills: int, workers: int, seed: int, scratch: Path, kinds: Sequence[str] = KINDS, shards: int = 120,
             tell: Callable[[str], None] = print) -> Outcome:  # fmt: skip
    """Make so many kills while datasets are labelled.

    Parameters
    ----------
    kinds
        What is ended, in turn.
    shards
        Of each dataset.
    """
    rng = np.random.default_rng(seed)
    outcome, serial = Outcome(), _serial(scratch, seed, shards)
    left = [kinds[k % len(kinds)] for k in range(kills)]
    site = Site(workers, f"{os.getpid()}-{seed}")
    try:
        while left:
            folder = scratch / f"killed-{outcome.datasets}"
            shutil.copytree(serial, folder, ignore=shutil.ignore_patterns("labels-*", "*.md", "croissant.json"))
            _without_labels(folder)
            _one_dataset(folder, left, site, outcome, rng, tell)
            outcome.datasets += 1
            outcome.shards += shards
            outcome.problems += [f"{folder.name}: {problem}" for problem in _differences(serial, folder)]
    finally:
        site.end()
    outcome.problems += _wait_until_gone(site, site.left_over)
    return outcome


def _one_dataset(
    folder: Path, left: list[str], site: Site, outcome: Outcome, rng: np.random.Generator, tell: Callable[[str], None]
) -> None:
    """Label a dataset to its end, and kill on the way while there are kills left."""
    total = read_manifest(folder).n_shards
    first_seen: dict[str, tuple[int, bytes]] = {}
    finished = False
    while not finished:
        kind = left[0] if left else "none"
        pool = "pool" in kind
        site.label(folder, pool)
        outcome.commands += 1
        assert site.command is not None
        begun = len(labelled_shards(folder))
        # Some shards later; another moment of the shard in work each time.
        at, moment = begun + int(rng.integers(1, 5)), float(rng.uniform(0, 0.2))
        waited = _wait(lambda: site.command.poll() is not None or len(labelled_shards(folder)) >= at)  # noqa: B023
        if waited:
            outcome.problems.append(f"{folder.name}: no new shard for {_PATIENCE_S:g} s before '{kind}'")
            left.clear()
            return
        _note(folder, first_seen, outcome)
        if kind != "none" and site.command.poll() is None and len(labelled_shards(folder)) < total:
            time.sleep(moment)
            told = _kill(kind, site, rng, outcome)
            if told:
                left.pop(0)
                outcome.kills[kind] += 1
                tell(f"{sum(outcome.kills.values())}: {told}, {len(labelled_shards(folder))} of {total} shards there")
        if kind in ("none", "worker", "process of the pool"):
            # The command goes on by itself, unless it is in the way of the next kill.
            if left and kind != "none" and len(labelled_shards(folder)) < total:
                _wait(lambda: site.command.poll() is not None or len(labelled_shards(folder)) > at + 1)  # noqa: B023
                site.command.terminate()
            site.command.wait()
        elif site.command.poll() is None:
            site.command.wait()
        finished = site.command.returncode == 0
        _note(folder, first_seen, outcome)


def _kill(kind: str, site: Site, rng: np.random.Generator, outcome: Outcome) -> str:
    """End one; what it was, empty where it was not there."""
    assert site.command is not None
    if kind in ("worker", "process of the pool"):
        found = site.children("cluster" if kind == "worker" else "command")
        if not found:
            return ""
        chosen = found[int(rng.integers(len(found)))]
        chosen.kill()
        return f"{kind} {chosen.pid} killed"
    if kind == "scheduler":
        assert site.cluster is not None
        around = site.children("cluster")
        site.cluster.kill()
        site.cluster.wait()
        outcome.problems += _wait_until_gone(site, lambda: [p.pid for p in around if _runs(p)])
        return f"scheduler {site.cluster.pid} killed, with {len(around)} workers around it"
    around = site.children("command")
    if kind == "command":
        site.command.kill()
    else:
        site.command.terminate()
    site.command.wait()
    outcome.problems += _wait_until_gone(site, lambda: [p.pid for p in around if _runs(p)])
    return f"{kind} {site.command.pid} ended, with {len(around)} processes"


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _wait(until: Callable[[], bool]) -> bool:
    """Wait; whether patience ended first."""
    begin = time.monotonic()
    while not until():
        if time.monotonic() - begin > _PATIENCE_S:
            return True
        time.sleep(_POLL_S)
    return False


def _wait_until_gone(site: Site, running: Callable[[], list[int]]) -> list[str]:
    begin = time.monotonic()
    while found := running():
        if time.monotonic() - begin > _GONE_S:
            return [f"left over after {_GONE_S:g} s: processes {found}"]
        time.sleep(_POLL_S)
    return []


def _note(folder: Path, first_seen: dict[str, tuple[int, bytes]], outcome: Outcome) -> None:
    """Shards that are there, and whether one was written again."""
    for path in folder.glob("labels-*.parquet"):
        now = path.stat().st_mtime_ns, path.read_bytes()
        if first_seen.setdefault(path.name, now) != now:
            outcome.problems.append(f"{folder.name}: {path.name} was written twice")


def _serial(scratch: Path, seed: int, shards: int) -> Path:
    """The dataset as one process makes it."""
    folder = scratch / "serial"
    generate(
        GenerateConfig(
            seed=seed, n_feeders=shards, scenarios_per_feeder=2, shard_size=2, charging=False,
            feeder=FeederConfig(buses=(20, 40), substations=(1, 2), loops=(3, 5)),
        ),
        folder,
    )  # fmt: skip
    label_dataset(folder, workers=0)
    return folder


def _without_labels(folder: Path) -> None:
    manifest = read_manifest(folder)
    files = {name: digest for name, digest in manifest.files.items() if not name.startswith("labels-")}
    replace(manifest, files=files, labels=None).write(folder)


def _differences(serial: Path, folder: Path) -> Iterator[str]:
    """What two datasets do not have in common, but for times of solving."""
    ours, theirs = read_manifest(serial), read_manifest(folder)
    if len(labelled_shards(folder)) != ours.n_shards:
        yield f"{len(labelled_shards(folder))} of {ours.n_shards} shards"
        return
    for kind in ("labels", "scenarios", "feeders"):
        one, other = (table(each, kind) for each in (serial, folder))  # type: ignore[arg-type]
        if kind == "labels":
            one, other = (each.drop_columns("solve_time_s") for each in (one, other))
        if not one.equals(other):
            yield f"{kind} differ"
    if _timeless(ours) != _timeless(theirs):
        yield "manifests differ"
    if partial := [path.name for path in folder.glob(".*")]:
        yield f"temporary files {partial}"
    if more := {path.name for path in folder.iterdir()} ^ {path.name for path in serial.iterdir()}:
        yield f"files differ: {sorted(more)}"


def _timeless(manifest: Manifest) -> Manifest:
    """Without what depends on times of solving."""
    assert manifest.labels is not None
    files = {name: digest for name, digest in manifest.files.items() if not name.startswith("labels-")}
    return replace(manifest, files=files, labels=replace(manifest.labels, solve_time_s=0.0))


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
    else:
        with tempfile.TemporaryDirectory() as scratch:
            yield Path(scratch)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--shards", type=int, default=120, help="of each dataset")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="an empty one, instead of a temporary one")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(options.serve, options.workers)
        return 0
    begin = time.monotonic()
    with _folder(options.folder) as scratch:
        outcome = campaign(options.kills, options.workers, options.seed, scratch, shards=options.shards,
                           tell=lambda line: print(line, flush=True))  # fmt: skip
    kills = ", ".join(f"{n} {kind}" for kind, n in outcome.kills.items())
    print(f"{sum(outcome.kills.values())} kills ({kills}) in {time.monotonic() - begin:.0f} s")
    print(f"{outcome.shards} shards of {outcome.datasets} datasets, {outcome.commands} commands started")
    print("\n".join(outcome.problems) or "nothing lost, nothing twice, rows as in the serial run, no process left over")
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
