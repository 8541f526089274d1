"""What tuning on one's own feeder gains, measured on last days that it never saw: four weeks, every second hour.

The feeder is a published one, its four weeks are made up (three kinds of customers, weather, noise; seeded): a stand-in
for a utility's measurements. All it writes lies under ``demo/own_feeder/``. About two minutes on one core.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from rich.console import Console

from learnopt.cli import data, learn
from learnopt.io import load

OUT = Path(__file__).parents[1] / "demo" / "own_feeder"
CASE, DAYS, STEP_H, SEED = "case119", 28, 2, 2026

console = Console()


def day_shapes() -> np.ndarray:
    """Load over its peak by hour: homes, offices, industry; shape (3, 24)."""
    hour = np.arange(24)
    homes = 0.35 + 0.25 * np.exp(-(((hour - 7.5) / 2) ** 2)) + 0.65 * np.exp(-(((hour - 19.5) / 2.5) ** 2))
    offices = 0.2 + 0.8 / (1 + np.exp(-1.5 * (hour - 8))) / (1 + np.exp(1.5 * (hour - 18)))
    industry = 0.7 + 0.2 * np.sin(2 * np.pi * (hour - 6) / 24)
    return np.stack([homes, offices, industry])


def write_profile(path: Path, case: str = CASE, days: int = DAYS, seed: int = SEED) -> None:
    """Loads of every bus, per unit of the case's load: kind of customer, weekend, weather of the day, noise."""
    network, rng = load(case), np.random.default_rng(seed)
    kind = rng.integers(0, 3, network.n_bus)
    shapes = day_shapes()
    start = np.datetime64("2026-03-02T00", "h")  # a Monday
    weather = 1.0
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["time", *(f"{bus}.pu" for bus in network.bus_ids)])
        for day in range(days):
            weather = 1.0 + 0.7 * (weather - 1.0) + rng.normal(scale=0.06)
            working = np.where(kind == 0, 1.1, 0.35 if day % 7 >= 5 else 1.0)
            for hour in range(0, 24, STEP_H):
                loads = shapes[kind, hour] * weather * working * rng.lognormal(sigma=0.1, size=network.n_bus)
                rows.writerow([start + np.timedelta64(24 * day + hour, "h"), *(f"{x:.4f}" for x in loads)])


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    profile, dataset, tuned = OUT / "profile.csv", OUT / "dataset", OUT / "checkpoint"
    console.rule("1 snapshots of the feeder")
    write_profile(profile)
    data.generate(dataset, case=CASE, profile=str(profile))
    console.rule("2 label them exactly")
    data.label(dataset)
    console.rule("3 tune the reference model on the first days")
    learn.train(start="reference", data=dataset, out=tuned, store=OUT / "mlruns")
    console.rule("4 the last days, never trained on")
    learn.evaluate(dataset, tuned)


# Labelling starts processes, which import this file.
if __name__ == "__main__":
    main()
