"""Schedules of switching crews against published answers: least time to the end of the last step.

    python benchmarks/crews.py FOLDER best_known.csv --pattern "ORCS-0[01]*" --time-limit 60

The instances are those of Goulart, Maravilha, Carrano and Campelo (2018), doi:10.1016/j.epsr.2018.06.020 (MIT licence,
https://github.com/andremaravilha): ``n m density``; a line ``index M|R minutes`` for each step; a line ``index count
predecessors`` for each; then m matrices of travel times, the depot first. Every schedule is checked by hand.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np

from learnopt.engines.crews import CrewSchedule, CrewTask, schedule_crews


def read_instance(path: Path) -> CrewTask:
    """An instance of the published set."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    n, crews = int(rows[0][0]), int(rows[0][1])
    steps, before, rest = rows[1 : n + 1], rows[n + 1 : 2 * n + 1], rows[2 * n + 1 :]
    return CrewTask(
        minutes=np.array([float(row[2]) for row in steps]),
        manual=np.array([row[1] == "M" for row in steps]),
        after=tuple(tuple(int(j) - 1 for j in row[2:]) for row in before),
        travel=np.array(rest, dtype=float).reshape(crews, n + 1, n + 1),
    )


def faults(task: CrewTask, schedule: CrewSchedule) -> list[str]:
    """What a schedule does against the rules."""
    said = []
    for i, before in enumerate(task.after):
        said += [f"step {i} begins before {j} ends" for j in before if schedule.begin[i] < schedule.end[j] - 1e-9]
        if (schedule.crew[i] is not None) != bool(task.manual[i]):
            said.append(f"step {i}: crew {schedule.crew[i]}")
    for k in range(len(task.travel)):
        here, free = 0, 0.0
        for i in sorted((i for i, crew in enumerate(schedule.crew) if crew == k), key=lambda i: schedule.begin[i]):
            if schedule.begin[i] < free + task.travel[k, here, i + 1] - 1e-9:
                said.append(f"crew {k} is not yet at step {i}")
            here, free = i + 1, schedule.end[i]
    return said


def run(folder: Path, known: Path, pattern: str, time_limit: float, workers: int) -> int:
    """Solve, check and compare; how many answers are wrong."""
    with known.open(encoding="utf-8") as file:
        best = {row["instance"]: row for row in csv.DictReader(file)}
    proven = matched = better = wrong = 0
    spent: list[float] = []
    paths = sorted(folder.rglob(f"{pattern}.txt"))
    for path in paths:
        task, row = read_instance(path), best[path.stem]
        begin = time.perf_counter()
        schedule = schedule_crews(task, time_limit, workers)
        spent.append(time.perf_counter() - begin)
        if schedule is None:
            print(f"{path.stem}: no schedule")
            continue
        published = float(row["best_known"])
        bad = faults(task, schedule)
        if row["proven_optimum"]:
            bad += [f"bound {schedule.bound} above {published}"] if schedule.bound > published + 1e-6 else []
            bad += [f"{schedule.minutes} below the optimum {published}"] if schedule.minutes < published - 1e-6 else []
        wrong += bool(bad)
        proven += schedule.proven
        matched += schedule.minutes <= published + 1e-6
        better += schedule.minutes < published - 1e-6
        said = "; ".join(bad) or ("proven" if schedule.proven else f"bound {schedule.bound:g}")
        print(f"{path.stem}: {schedule.minutes:g} (published {published:g}), {said}, {spent[-1]:.2f} s", flush=True)
    print(
        f"{len(paths)} instances: {proven} proven, {matched} as good as published or better ({better} better), "
        f"{wrong} wrong; {np.mean(spent):.2f} s on average, {max(spent):.2f} s at most"
    )
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("known", type=Path)
    parser.add_argument("--pattern", default="*")
    parser.add_argument("--time-limit", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    raise SystemExit(bool(run(chosen.folder, chosen.known, chosen.pattern, chosen.time_limit, chosen.workers)))
