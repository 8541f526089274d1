"""Make a labelled dataset piece by piece: draw some shards, prove their labels, go on; stop and resume at any time.

    python datasets/build.py build  training/configs/dataset_large.toml datasets/large --shards 100
    python datasets/build.py verify datasets/large --sample 40
    python datasets/build.py subset datasets/large datasets/large-sample --megabytes 20

``build`` continues where it was left. Feeders are independent draws, so any leading shards are a fair sample of the
whole. ``verify`` proves a random sample again by the MILP, which shares neither bound nor search with the tree search
that made the labels. ``subset`` copies leading shards into a dataset of its own that stays below a size.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import finish_labels, labelled_shards, read_labels
from learnopt.engines import SolveOptions, load_engine
from learnopt.learned.labels import LABEL_OPTIONS, label_dataset
from learnopt.network import Certificate, Status

PIECE = 10
"""Shards drawn and labelled in one go."""
AGREEMENT = 1e-4
"""Relative gap to which the MILP proves, hence to which two proofs can differ."""


def build(config: Path, out: Path, shards: int | None, workers: int, time_limit: float | None) -> Manifest:
    """Draw and label the first ``shards`` shards of a dataset, all where None; without a time limit nodes count."""
    wanted = GenerateConfig.from_toml(config)
    options = LABEL_OPTIONS if time_limit is None else replace(LABEL_OPTIONS, time_limit=time_limit, node_limit=None)
    manifest = generate(wanted, out, shards=())
    last = manifest.n_shards if shards is None else min(shards, manifest.n_shards)
    for first in range(0, last, PIECE):
        piece = range(first, min(first + PIECE, last))
        if set(piece) <= set(labelled_shards(out)):
            continue
        generate(wanted, out, shards=piece)
        manifest = label_dataset(out, options=options, workers=workers, shards=piece)
        labels = manifest.labels
        if labels is not None:
            proven = labels.status.get("optimal", 0)
            print(f"{labels.labelled} of {manifest.n_instances} labelled, {proven} proven", flush=True)
    return finish_labels(out)


def verify(directory: Path, sample: int, time_limit: float, seed: int) -> int:
    """Prove a sample of proven labels again by the MILP; print how they compare, return the contradictions.

    A label is contradicted when the MILP proves a bound above the label's loss or, for labels with an AC certificate,
    finds a configuration below the label's bound. Labels of the calibrated-current model may be beaten in AC: by how
    much is what this measures.
    """
    records = [r for r in read_labels(directory) if r.status is Status.OPTIMAL]
    chosen = np.random.default_rng(seed).permutation(len(records))[:sample]
    milp = load_engine("milp")
    options = SolveOptions(certify=Certificate.AC, gap=AGREEMENT, time_limit=time_limit)
    counts = {c: {"sampled": 0, "settled": 0, "same": 0, "worst": 0.0} for c in (Certificate.AC, Certificate.MODEL)}
    contradictions = 0
    for k in chosen:
        record = records[k]
        assert record.loss_kw is not None
        row = counts[record.certificate]
        row["sampled"] += 1
        result = milp.solve(record.problem, options, record.configuration)
        if result.loss_kw is None or result.dual_bound_kw is None:
            continue
        if result.dual_bound_kw > record.loss_kw * (1 + 1e-6):
            contradictions += 1
            print(f"feeder {record.feeder_index}: the MILP's bound {result.dual_bound_kw} is above {record.loss_kw} kW")
        if record.certificate is Certificate.AC and result.loss_kw < record.loss_kw * (1 - 1e-6):
            contradictions += 1
            print(f"feeder {record.feeder_index}: the MILP found {result.loss_kw} below {record.loss_kw} kW")
        if result.status is Status.OPTIMAL:
            row["settled"] += 1
            row["same"] += result.configuration == record.configuration
            row["worst"] = max(row["worst"], 1 - result.loss_kw / record.loss_kw)
    for certificate, row in counts.items():
        print(
            f"certificate {certificate}: {row['sampled']} sampled, {row['settled']} settled by the MILP within "
            f"{time_limit:g} s, {row['same']} with the same configuration, label beaten by {100 * row['worst']:.4f} % "
            "at most"
        )
    print(f"contradictions: {contradictions}")
    return contradictions


def subset(directory: Path, out: Path, megabytes: float) -> Manifest:
    """Copy leading labelled shards into a dataset of its own, as many as stay below a size."""
    manifest = read_manifest(directory)
    labelled, size, count = set(labelled_shards(directory)), 0, 0
    while count in labelled:
        size += sum(path.stat().st_size for path in _files(directory, count))
        if size > 1e6 * megabytes:
            break
        count += 1
    feeders = count * manifest.shard_size // manifest.scenarios_per_feeder
    if count * manifest.shard_size % manifest.scenarios_per_feeder or not count:
        raise SystemExit(f"{directory}: no whole number of feeders fits into {megabytes:g} MB")
    out.mkdir(parents=True)
    for shard in range(count):
        for path in _files(directory, shard):
            shutil.copyfile(path, out / path.name)
    names = {path.name for path in out.iterdir()}
    kept = {name: digest for name, digest in manifest.files.items() if name in names}
    replace(manifest, n_feeders=feeders, files=kept, labels=None).write(out)
    return finish_labels(out)


def _files(directory: Path, shard: int) -> list[Path]:
    return [directory / f"{kind}-{shard:05d}.parquet" for kind in ("feeders", "scenarios", "labels")]


def main(arguments: list[str] | None = None) -> int:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build")
    make.add_argument("config", type=Path)
    make.add_argument("out", type=Path)
    make.add_argument("--shards", type=int, help="only the first so many; all where absent")
    make.add_argument("--workers", type=int, default=1)
    make.add_argument("--time-limit", type=float, help="seconds per label; nodes are counted where absent")
    check = commands.add_parser("verify")
    check.add_argument("directory", type=Path)
    check.add_argument("--sample", type=int, default=40)
    check.add_argument("--time-limit", type=float, default=30.0, help="seconds per proof")
    check.add_argument("--seed", type=int, default=0)
    copy = commands.add_parser("subset")
    copy.add_argument("directory", type=Path)
    copy.add_argument("out", type=Path)
    copy.add_argument("--megabytes", type=float, default=20.0)
    chosen = parser.parse_args(arguments)
    if chosen.command == "build":
        print(build(chosen.config, chosen.out, chosen.shards, chosen.workers, chosen.time_limit).labels)
    elif chosen.command == "verify":
        return int(verify(chosen.directory, chosen.sample, chosen.time_limit, chosen.seed) > 0)
    else:
        print(subset(chosen.directory, chosen.out, chosen.megabytes).labels)
    return 0


if __name__ == "__main__":  # labelling starts processes, which import this file
    sys.exit(main())
