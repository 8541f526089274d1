"""Which part of the model earns its place, and what more data would: variants, three seeds each.

    python training/ablation.py datasets/large --labels 4000 --epochs 4

Prints Markdown: mean and range over the seeds, on feeders that no run was trained on and whose labels are proven. Every
run is tracked in ``mlruns/`` (experiment ``ablation``). Small on purpose; it ranks variants, the reference model is
trained on more.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.dataset.records import LabelRecord
from learnopt.dataset.store import read_labels
from learnopt.learned.training import proven_pairs, training_pair
from learnopt.learning.calibration import fit_temperature
from learnopt.learning.config import TrainingConfig
from learnopt.learning.evaluation import evaluate_predictions
from learnopt.learning.model import ModelConfig
from learnopt.learning.predict import Predictor
from learnopt.learning.training import Pair, fit, split_by_feeder
from learnopt.tracking import track_run

GNN = ModelConfig(hidden=48, layers=3)
BLOCKS = replace(GNN, pooling="blocks")


@dataclass(frozen=True)
class Variant:
    """What is trained, and on how much of the training feeders."""

    model: ModelConfig
    likelihood: Literal["tree", "switch"] = "tree"
    partial_states: int = 1
    label_gap: float = 0.0
    share: float = 1.0

    def config(self, epochs: int, seed: int) -> TrainingConfig:
        """Training configuration; a share of the data is gone through as much more often."""
        epochs = round(epochs / self.share)
        return TrainingConfig(
            seed=seed,
            epochs=epochs,
            patience=epochs,
            batch_size=32,
            likelihood=self.likelihood,
            partial_states=self.partial_states,
            label_gap=self.label_gap,
            model=self.model,
        )


VARIANTS = {
    "per-switch mlp, switch likelihood": Variant(ModelConfig(kind="mlp", hidden=64, layers=3), "switch"),
    "per-switch mlp": Variant(ModelConfig(kind="mlp", hidden=64, layers=3)),
    "gnn, no pooling": Variant(replace(GNN, pooling="none")),
    "gnn, chains pooled": Variant(GNN),
    "gnn, chains and blocks pooled": Variant(BLOCKS),
    "the same, switch likelihood": Variant(BLOCKS, "switch"),
    "the same, no partial states": Variant(BLOCKS, partial_states=0),
    "the same, three members": Variant(replace(BLOCKS, members=3)),
    "the same, labels within 20 % too": Variant(BLOCKS, label_gap=0.2),
    "the same, a quarter of the feeders": Variant(BLOCKS, share=0.25),
}
SEEDS = (0, 100, 200)
"""Far apart: the members of an ensemble take the next ones."""
STEPWISE = 150
"""Test pairs that are decoded step by step too."""
COLUMNS = {
    "exact %": 1,
    "regret %": 2,
    "exact %, step by step": 1,
    "regret %, step by step": 2,
    "validation loss": 3,
}
"""What is measured, with digits to print."""


def measure(config: TrainingConfig, train: list[Pair], validation: list[Pair], test: list[Pair]) -> dict[str, float]:
    """Exact and regret, one-shot and step by step, then likelihood per loop on validation feeders."""
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
    found = (
        100 * once.tree_rate,
        once.mean_regret_percent,
        100 * steps.tree_rate,
        steps.mean_regret_percent,
        model.metrics["validation_loss"],
    )
    return dict(zip(COLUMNS, found, strict=True))


def main() -> None:
    """Train all variants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", type=int, default=4000, help="leading labels of the dataset")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), choices=range(1, len(SEEDS) + 1))
    parser.add_argument("--variants", help="comma-separated places in the table, from 0; all where absent")
    parser.add_argument("--store", type=Path, default=Path("mlruns"), help="where the runs are tracked")
    options = parser.parse_args()
    records = list(islice(read_labels(options.data), options.labels))
    sides = split_by_feeder([str(r.feeder_index) for r in records], [0.1, 0.2], np.random.default_rng(0))
    train = [records[i] for i in sides[0]]
    validation, test = (proven_pairs(records[i] for i in side)[0] for side in sides[1:])
    proven = len(proven_pairs(train)[0])
    print(
        f"{proven} proven pairs for training, {len(validation)} for early stopping, {len(test)} for this table "
        f"({min(STEPWISE, len(test))} step by step); {options.epochs} epochs, {options.seeds} seeds; mean (range).\n"
    )
    print("| variant | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|", flush=True)
    chosen = list(VARIANTS.items())
    if options.variants:
        chosen = [chosen[int(k)] for k in options.variants.split(",")]
    for name, variant in chosen:
        rows = []
        for seed in SEEDS[: options.seeds]:
            config = variant.config(options.epochs, seed)
            with track_run(options.store, "ablation", f"{name}, seed {seed}") as run:
                run.log_parameters({**config.as_dict(), "share": variant.share})
                rows.append(measure(config, _pairs(train, variant), validation, test))
                run.log_metrics({key.replace("%", "percent").replace(",", ""): v for key, v in rows[-1].items()})
        cells = []
        for column, digits in COLUMNS.items():
            values = [row[column] for row in rows]
            low, high = min(values), max(values)
            cells.append(f"{np.mean(values):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _pairs(records: list[LabelRecord], variant: Variant) -> list[Pair]:
    """Training pairs of the leading share of the feeders."""
    feeders = sorted({r.feeder_index for r in records})
    last = feeders[round(variant.share * len(feeders)) - 1]
    found = [training_pair(r, variant.label_gap) for r in records if r.feeder_index <= last]
    return [pair for pair in found if pair is not None]


if __name__ == "__main__":
    main()
