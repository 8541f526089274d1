"""What the parts of a training step cost per graph, before batches were packed and since.

    python benchmarks/training_step.py datasets/small --batch 256 --device cuda

Before, PyG collated single graphs, and log Z was computed twice by the compiled search on the CPU: for the loss, and
for the share of exact trees. Since then batches are gathered from packed arrays and the trees are looked at in
validation only; on a GPU log Z is computed there by elimination. Prints Markdown: the median of repeated runs, CPU
seconds of one thread, or on a GPU seconds of the clock with the device waited for.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from learnopt.dataset.store import read_labels
from learnopt.learned.training import training_pair
from learnopt.learning.features import extract
from learnopt.learning.likelihood import batch_arrays, negative_log_likelihood
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.packed import PackedFeeders
from learnopt.learning.pyg import graph_data
from learnopt.learning.spanning_tree import log_partition_batch

REPEATS = 15


def median_time(part: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a part of the step, after a warm-up."""
    on_gpu = device.type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    times = []
    for _ in range(REPEATS + 2):
        begin = clock()
        part()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(clock() - begin)
    return float(np.median(times[2:]))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", type=int, default=1000, help="leading labels of the dataset")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device(options.device)
    pairs = [p for r in islice(read_labels(options.data), options.labels) if (p := training_pair(r, 0.2)) is not None]
    feeders = [data for data in (extract(*pair) for pair in pairs) if data.edge_index.shape[1]]
    pack = PackedFeeders.of(feeders)
    held = pack.to(device)
    chosen = np.random.default_rng(0).permutation(len(feeders))[: options.batch]
    torch.manual_seed(0)
    model = build_model(ModelConfig(hidden=options.hidden, layers=options.layers, pooling="blocks"))
    model.fit_scaling(pack)
    model = model.to(device)
    compiled, eliminated = (held.batch(chosen, eliminate=how) for how in (False, True))
    theta = model(compiled).detach().double().requires_grad_()

    def gradient(batch: Batch) -> Tensor:
        return torch.autograd.grad((negative_log_likelihood(batch, theta) / batch.n_loops).mean(), theta)[0]

    graphs = [graph_data(feeders[k]) for k in chosen]
    parts: dict[str, Callable[[], object]] = {
        "before: collate single graphs": lambda: Batch.from_data_list(graphs).to(device),
        "before: trees, once more log Z": lambda: log_partition_batch(
            *batch_arrays(compiled), theta.detach().cpu().numpy()
        ),
        "gather a packed batch": lambda: held.batch(chosen),
        "likelihood and gradient, compiled": lambda: gradient(compiled),
        "likelihood and gradient, elimination": lambda: gradient(eliminated),
        "network, forward and backward": lambda: model(compiled).sum().backward(),
    }
    difference = float((gradient(compiled) - gradient(eliminated)).abs().max())
    branches = compiled.edge_index.shape[1] / len(chosen)
    print(
        f"{len(chosen)} graphs of {branches:.0f} branches in the mean, hidden {options.hidden}, "
        f"{options.layers} layers; {device}, torch {torch.__version__}; "
        f"gradients of both likelihoods differ by {difference:.0e}\n"
    )
    print("| part | microseconds per graph |\n|---|---|")
    for name, part in parts.items():
        print(f"| {name} | {1e6 * median_time(part, device) / len(chosen):.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
