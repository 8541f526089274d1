"""Datasets on disk: feeders, scenarios and labels in Parquet shards, described by a manifest."""

from learnopt.dataset.generate import GenerateConfig, generate
from learnopt.dataset.manifest import LabelStatistics, Manifest, read_manifest
from learnopt.dataset.records import Instance, LabelRecord
from learnopt.dataset.store import (
    create_dataset,
    finish_labels,
    labelled_feeders,
    labelled_shards,
    missing_shards,
    read_instances,
    read_labels,
    write_instances,
    write_labels,
)

__all__ = [
    "GenerateConfig",
    "Instance",
    "LabelRecord",
    "LabelStatistics",
    "Manifest",
    "create_dataset",
    "finish_labels",
    "generate",
    "labelled_feeders",
    "labelled_shards",
    "missing_shards",
    "read_instances",
    "read_labels",
    "read_manifest",
    "write_instances",
    "write_labels",
]
