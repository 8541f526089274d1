"""Pictures of a training, for its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from learnopt.learning.calibration import Reliability

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def loss_figure(history: Sequence[Mapping[str, float]]) -> Figure:
    """Training and validation loss per epoch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, label in (("train_loss", "training feeders"), ("validation_loss", "validation feeders")):
        axes.plot([row.get(key, float("nan")) for row in history], label=label)  # nothing was trained before epoch 0
    axes.set_xlabel("epoch")
    axes.set_ylabel("negative log-likelihood per loop")
    axes.legend()
    return figure


def reliability_figure(reliability: Reliability) -> Figure:
    """Frequency of "closed" against its predicted probability; calibrated predictions lie on the diagonal."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--")
    axes.plot(reliability.predicted, reliability.observed, marker="o")
    axes.set_xlabel("predicted probability of closed")
    axes.set_ylabel("share of branches closed")
    axes.set_title(f"expected calibration error {reliability.ece:.4f}")
    return figure


def monitoring_figure(
    periods: Sequence[str], regret_percent: Sequence[float], shares: Mapping[str, Sequence[float]]
) -> Figure:
    """Mean regret of every period, and below it shares of the instances."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(regret_percent, marker="o")
    above.set_ylabel("mean regret [%]")
    for name, values in shares.items():
        below.plot(values, marker="o", label=name)
    below.set_ylabel("share of instances")
    below.set_xticks(range(len(periods)), periods, rotation=30, ha="right")
    below.legend()
    return figure
