"""Which part of the model earns its place: variants trained on the same pairs, three seeds each.

    python training/ablation.py datasets/reference --pairs 2000 --epochs 6

Prints Markdown: mean and range over the seeds, on feeders that no run was trained on. Small on purpose; it ranks
variants, the reference model is trained on more.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.dataset.store import read_labels
from learnopt.learning.calibration import fit_temperature
from learnopt.learning.config import TrainingConfig
from learnopt.learning.evaluation import evaluate_predictions
from learnopt.learning.model import ModelConfig
from learnopt.learning.predict import Predictor
from learnopt.learning.training import Pair, fit, split_by_feeder
from learnopt.pipeline.train import proven_pairs

GNN = ModelConfig(hidden=48, layers=3)
VARIANTS = {
    "per-switch mlp, switch likelihood": (ModelConfig(kind="mlp", hidden=64, layers=3), {"likelihood": "switch"}),
    "per-switch mlp": (ModelConfig(kind="mlp", hidden=64, layers=3), {}),
    "gnn, no pooling": (replace(GNN, pooling="none"), {}),
    "gnn, chains pooled": (GNN, {}),
    "gnn, chains and blocks pooled": (replace(GNN, pooling="blocks"), {}),
    "the same, switch likelihood": (replace(GNN, pooling="blocks"), {"likelihood": "switch"}),
    "the same, no partial states": (replace(GNN, pooling="blocks"), {"partial_states": 0}),
    "the same, three members": (replace(GNN, pooling="blocks", members=3), {}),
}
SEEDS = (0, 1, 2)
STEPWISE = 150
"""Test pairs that are decoded step by step too."""


def measure(config: TrainingConfig, train: list[Pair], validation: list[Pair], test: list[Pair]) -> list[float]:
    """Exact and regret in percent, one-shot and step by step, then likelihood per loop on validation feeders."""
    model = fit(config, train, validation)
    raw = Predictor(model.model)
    temperature = fit_temperature([raw.predict(p) for p, _ in validation], [y for _, y in validation])
    predictor = Predictor(model.model, temperature)
    problems, labels = [p for p, _ in test], [y for _, y in test]
    once = evaluate_predictions(problems, labels, [predictor.predict(p) for p in problems])
    few = slice(0, STEPWISE)
    steps = evaluate_predictions(
        problems[few], labels[few], [predictor.predict_step_by_step(p, 0.9) for p in problems[few]]
    )
    return [
        100 * once.tree_rate,
        once.mean_regret_percent,
        100 * steps.tree_rate,
        steps.mean_regret_percent,
        model.metrics["validation_loss"],
    ]


def main() -> None:
    """Train all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--variants", help="comma-separated places in the table, from 0; all where absent")
    options = parser.parse_args()
    pairs, feeders, _ = proven_pairs(islice(read_labels(options.data), options.pairs))
    sides = split_by_feeder(feeders, [0.1, 0.2], np.random.default_rng(0))
    train, validation, test = ([pairs[i] for i in side] for side in sides)
    print(
        f"{len(train)} pairs for training, {len(validation)} for early stopping, {len(test)} for this table "
        f"({min(STEPWISE, len(test))} step by step); {options.epochs} epochs, {options.seeds} seeds; mean (range).\n"
    )
    print("| variant | exact % | regret % | exact %, step by step | regret % | validation loss |")
    print("|---|---|---|---|---|---|", flush=True)
    chosen = list(VARIANTS.items())
    if options.variants:
        chosen = [chosen[int(k)] for k in options.variants.split(",")]
    for name, (model, changes) in chosen:
        base = TrainingConfig(epochs=options.epochs, patience=options.epochs, batch_size=32, partial_states=1)
        rows = np.array(
            [
                measure(replace(base, seed=100 * seed, model=model, **changes), train, validation, test)
                for seed in SEEDS[: options.seeds]
            ]
        )
        cells = [
            f"{mean:.{d}f} ({low:.{d}f} to {high:.{d}f})"
            for mean, low, high, d in zip(rows.mean(0), rows.min(0), rows.max(0), (1, 2, 1, 2, 3), strict=True)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
