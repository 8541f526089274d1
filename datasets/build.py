"""Make a labelled dataset piece by piece: draw some shards, prove their labels, go on; stop and resume at any time.

    python datasets/build.py build  training/configs/dataset_large.toml datasets/large --shards 100
    python datasets/build.py verify datasets/large --sample 40
    python datasets/build.py subset datasets/large datasets/large-sample --megabytes 20
    python datasets/build.py publish training/configs/dataset_large.toml published --megabytes 20

``build`` continues where it was left. Feeders are independent draws, so any leading shards are a fair sample of the
whole. ``verify`` proves a random sample again by the MILP, which shares neither bound nor search with the tree search
that made the labels. ``subset`` copies leading shards into a dataset of its own that stays below a size.
``publish`` makes a folder for others, of a dataset or of a configuration, which it then draws and labels as far as the
size needs: shards, card, Croissant, licence, and everything read back from there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from learnopt.dataset.card import describe
from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import finish_labels, labelled_shards, read_labels
from learnopt.datasets import load
from learnopt.engines import SolveOptions, load_engine
from learnopt.learned.labels import LABEL_OPTIONS, label_dataset
from learnopt.network import Certificate, Status

LICENCE = Path(__file__).parents[1] / "LICENSE"
"""Of feeders that are drawn."""
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


def publish(source: Path, out: Path, megabytes: float, workers: int, licence: Path | None) -> Manifest:
    """A folder for others, complete and read back: shards of at most a size, data card, Croissant, licence.

    Parameters
    ----------
    source
        A labelled dataset; or a configuration, drawn and labelled beside ``out``: that goes on where it was left.
    licence
        File with the licence of the data: needed where feeders were given and not drawn.
    """
    given = source.is_dir()
    directory = source if given else out.with_name(f"{out.name}.unfinished")
    if not given:
        _build_up_to(source, directory, megabytes, workers)
    if read_manifest(directory).sources and licence is None:
        raise SystemExit(f"{directory}: its feeders were given, not drawn: say under which licence with --licence FILE")
    subset(directory, out, megabytes)
    shutil.copyfile(licence or LICENCE, out / "LICENSE")
    describe(out)
    manifest = read_manifest(out)
    proven = sum(record.status is Status.OPTIMAL for record in read_labels(out))  # every file against its checksum
    graphs = load(out)
    assert manifest.labels is not None
    if not (len(graphs) == proven == manifest.labels.status["optimal"] and graphs[proven - 1].y.any()):
        raise SystemExit(f"{out}: {len(graphs)} graphs of {proven} proven labels: not what was written")
    if not given:
        shutil.rmtree(directory)
    return manifest


def _build_up_to(config: Path, directory: Path, megabytes: float, workers: int) -> None:
    """Draw and label shards until they are larger than a size, or all there are."""
    shards = 0
    while not shards or _size(directory) <= 1e6 * megabytes:
        shards += PIECE
        manifest = build(config, directory, shards, workers, None)
        if shards >= manifest.n_shards:
            return


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for shard in labelled_shards(directory) for path in _files(directory, shard))


def _files(directory: Path, shard: int) -> list[Path]:
    return [directory / f"{kind}-{shard:05d}.parquet" for kind in ("feeders", "scenarios", "labels")]


def main(arguments: list[str] | None = None) -> int:
    """Run one of the four commands."""
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
    give = commands.add_parser("publish")
    give.add_argument("source", type=Path, help="labelled dataset, or configuration (.toml)")
    give.add_argument("out", type=Path)
    give.add_argument("--megabytes", type=float, default=20.0)
    give.add_argument("--workers", type=int, default=1)
    give.add_argument("--licence", type=Path, help="of feeders that were given")
    chosen = parser.parse_args(arguments)
    if chosen.command == "build":
        print(build(chosen.config, chosen.out, chosen.shards, chosen.workers, chosen.time_limit).labels)
    elif chosen.command == "verify":
        return int(verify(chosen.directory, chosen.sample, chosen.time_limit, chosen.seed) > 0)
    elif chosen.command == "publish":
        print(publish(chosen.source, chosen.out, chosen.megabytes, chosen.workers, chosen.licence).labels)
    else:
        print(subset(chosen.directory, chosen.out, chosen.megabytes).labels)
    return 0


if __name__ == "__main__":  # labelling starts processes, which import this file
    sys.exit(main())
