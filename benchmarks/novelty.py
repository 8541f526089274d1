"""How unlike the training feeders public feeders are, and which features make them so.

    python benchmarks/novelty.py [--feeders case69,simbench:1-MV-urban--0-sw,FILE.m] [--checkpoint DIR]

One row per feeder: buses, loops, novelty (above 1 unusual, above 2 foreign: nothing is fixed), whether the risk of the
checkpoint is believed, and the features whose deviation, the others given, counts most: their mean (m) or standard
deviation (s) over nodes and branches, in standard deviations of the training feeders.
"""

from __future__ import annotations

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from learnopt.errors import LearnoptError
from learnopt.io import case_names, load
from learnopt.learned.policy import FOREIGN
from learnopt.learning.checkpoint import REFERENCE, load_checkpoint
from learnopt.learning.features import FEATURE_SCHEMA, feeder_data
from learnopt.learning.graph import DecisionGraph
from learnopt.learning.novelty import Novelty, describe
from learnopt.network import ReconfigurationProblem

PUBLIC = (
    *(
        "simbench:1-MV-rural--0-sw",
        "simbench:1-MV-semiurb--0-sw",
        "simbench:1-MV-urban--0-sw",
        "simbench:1-MV-comm--0-sw",
    ),
    *("pandapower:mv_oberrhein", "pandapower:create_cigre_network_mv", "pandapower:case33bw"),
)
"""Feeders of public collections that the readers take by name."""
REASONS = 3
"""Features named per feeder."""


def names_of_description() -> list[str]:
    """Entries of :func:`learnopt.learning.novelty.describe`."""
    features = [f.name for f in (*FEATURE_SCHEMA.node, *FEATURE_SCHEMA.branch)]
    return [*(f"{name} m" for name in features), *(f"{name} s" for name in features), "branches", "loops"]


def reasons(novelty: Novelty, description: torch.Tensor, names: list[str]) -> str:
    """Entries without whose deviation the distance would fall most, the others given."""
    scaled = (description - novelty.mean) / novelty.scale
    precision = (novelty.whitening.T @ novelty.whitening).double()
    # Least distance over all values of one entry: its square falls by (P z)_k^2 / P_kk.
    fall = (precision @ scaled.double()) ** 2 / precision.diagonal()
    total = float(scaled.double() @ precision @ scaled.double())
    worst = fall.argsort(descending=True)[:REASONS].tolist()
    return ", ".join(f"{names[k]} {scaled[k]:+.1f} ({100 * float(fall[k]) / total:.0f} %)" for k in worst)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--feeders", help="comma-separated names and files; all named cases and public ones if absent")
    parser.add_argument("--checkpoint", default=str(REFERENCE), help="folder or name")
    options = parser.parse_args()
    predictor, names = load_checkpoint(options.checkpoint), names_of_description()
    chosen = options.feeders.split(",") if options.feeders else [*case_names(), *PUBLIC]
    novelties = []
    print("| feeder | buses | loops | novelty | what is fixed | why (share of the squared distance) |")
    print("|---" * 6 + "|")
    for name in chosen:
        try:
            problem = ReconfigurationProblem.of(load(name))
            graph = DecisionGraph.of(problem)
        except LearnoptError as error:
            print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
            continue
        if not graph.n_loops:
            print(f"{name}: nothing is undecided", file=sys.stderr)
            continue
        data = feeder_data(problem, graph)
        value = predictor.model.novelty(data)
        novelties.append(value)
        fixed = "nothing" if value > FOREIGN else "at a smaller risk" if value > 1 else "at the stated risk"
        why = reasons(predictor.model.novelty, describe(data), names) if value > 1 else ""
        print(f"| {name} | {problem.network.n_bus} | {graph.n_loops} | {value:.2f} | {fixed} | {why} |", flush=True)
    print(f"\n{sum(v <= 1 for v in novelties)} of {len(novelties)} feeders are familiar (novelty at most 1).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
