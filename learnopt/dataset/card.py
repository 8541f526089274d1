"""A dataset described for others: ``README.md`` as a data card, and ``croissant.json`` (MLCommons Croissant 1.0).

Both say what the manifest and the schemas say; who reads them needs no learnopt. A ``README.md`` that somebody else has
written stays.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import FEEDER_SCHEMA, LABEL_SCHEMA, SCENARIO_SCHEMA
from learnopt.io.files import write_text
from learnopt.io.places import Place

CARD, CROISSANT = "README.md", "croissant.json"
_MARK = "<!-- written by learnopt: describe -->"
_LICENCE = "Apache-2.0"
"""Of made-up feeders; those of cases and of one's own keep the licence of their source."""

MEANING = {
    "feeders": {
        "feeder_index": "number of the feeder",
        "name": "name of the feeder",
        "case_json": "the network: text of a case file of learnopt (buses, branches, impedances in ohm, limits)",
    },
    "scenarios": {
        "feeder_index": "number of the feeder",
        "scenario_index": "number of the load situation of this feeder",
        "seed": "seed of the dataset",
        "name": "name of the load situation",
        "p_kw": "active load of each bus, in the order of the case file [kW]",
        "q_kvar": "reactive load of each bus [kvar]",
        "p_gen_kw": "active generation of each bus [kW]",
        "q_gen_kvar": "reactive generation of each bus [kvar]",
        "out_of_service": "positions of branches that are not available",
        "locked_open": "positions of branches that must stay open",
        "locked_closed": "positions of branches that must stay closed",
    },
    "labels": {
        "feeder_index": "number of the feeder",
        "scenario_index": "number of the load situation of this feeder",
        "status": "optimal (proven), feasible, infeasible, no_solution",
        "open_branches": "positions of the open branches of the best configuration; absent without one",
        "loss_kw": "AC loss of that configuration, by an independent power flow [kW]",
        "dual_bound_kw": "no radial configuration has less loss than this [kW]",
        "certificate": "what the bound is proven for: ac (the AC power flow), model, none",
        "gap": "(loss - bound) / loss",
        "engine": "what solved it",
        "engine_version": "its version",
        "solve_time_s": "seconds it took",
        "message": "why it stopped, where that needs words",
    },
}
"""Columns by kind of file."""
SCHEMAS = {"feeders": FEEDER_SCHEMA, "scenarios": SCENARIO_SCHEMA, "labels": LABEL_SCHEMA}


def describe(directory: Place) -> None:
    """Write both descriptions of a dataset beside its files.

    Raises
    ------
    DataError
        If the folder holds no dataset.
    """
    manifest = read_manifest(directory)
    write_text(directory / CROISSANT, json.dumps(croissant(directory.absolute().name, manifest), indent=1) + "\n")
    card = directory / CARD
    if not card.exists() or _MARK in card.read_text(encoding="utf-8"):
        write_text(card, data_card(directory.absolute().name, manifest))


def licence(manifest: Manifest) -> str:
    """Licence of the data, as far as learnopt can say."""
    return "other" if manifest.sources else _LICENCE


def sentence(manifest: Manifest) -> str:
    """What it is, in one sentence."""
    kind = "given feeders" if manifest.sources else f"made-up feeders (seed {manifest.seed})"
    if "phases" in manifest.config:
        kind += " in three phases that differ"
    return (
        f"{manifest.n_instances} load situations of {manifest.n_feeders} {kind}, each with the radial switch "
        "configuration of least loss and what is proven about it."
    )


def data_card(name: str, manifest: Manifest) -> str:
    """A data card with the header that hubs read; no times, so that the same data have the same card."""
    labels = manifest.labels
    size = next(text for most, text in _SIZES if manifest.n_instances < most)
    head = [
        "---",
        f"pretty_name: {json.dumps(name)}",
        f"license: {licence(manifest).lower()}",
        "task_categories: [graph-ml]",
        "tags: [power-systems, distribution-network, reconfiguration, combinatorial-optimisation]",
        f"size_categories: [{size}]",
        "configs:",
        *(
            f"  - {{config_name: {kind}, data_files: '{kind}-*.parquet'}}"
            for kind in ("labels", "scenarios", "feeders")
        ),
        "---",
        _MARK,
    ]
    about = [f"# {name}", "", sentence(manifest), ""]
    if labels is not None:
        counts = [
            ("labels", labels.labelled),
            *((f"status {key}", n) for key, n in labels.status.items()),
            *((f"certificate {key}", n) for key, n in labels.certificate.items()),
            ("different best configurations, summed over feeders", labels.distinct_configurations),
            ("feeders whose labels all agree", labels.feeders_with_one_configuration),
        ]
        about += ["| labels | number |", "|---|---|", *(f"| {what} | {n} |" for what, n in counts), ""]
    limits = "none" if manifest.limits == "none" else "those of the case files"
    about += [
        f"Operating limits: {limits}. Line charging: {'as in the case files' if manifest.charging else 'ignored'}. "
        "Split by `feeder_index`: load situations of one feeder are not independent.",
        "",
    ]
    columns = [
        line
        for kind, meaning in MEANING.items()
        for line in (
            f"## {kind}-*.parquet",
            "",
            "| column | meaning |",
            "|---|---|",
            *(f"| `{column}` | {text} |" for column, text in meaning.items()),
            "",
        )
    ]
    use = [
        "## Use",
        "",
        "```python",
        "import learnopt.datasets",
        "",
        f'graphs = learnopt.datasets.load("{name}")  # torch_geometric, a graph per label',
        f'labels = learnopt.datasets.table("{name}").to_pandas()  # polars: polars.from_arrow(table)',
        "```",
        "",
        "How it was made: `config` and `sources` of `manifest.json`, which also has a checksum of every file.",
        "",
    ]
    return "\n".join([*head, "", *about, *columns, *use])


_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (float("inf"), "n>1M"))


def croissant(name: str, manifest: Manifest) -> dict[str, Any]:
    """The description in the vocabulary of Croissant: every file with its checksum, every column with its type."""
    files = sorted(file for file in manifest.files if file.endswith(".parquet"))
    kinds = [kind for kind in SCHEMAS if any(file.startswith(f"{kind}-") for file in files)]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": sentence(manifest),
        "license": _LICENCE_URL if licence(manifest) == _LICENCE else "other",
        "version": "1.0.0",
        "keywords": ["distribution network", "reconfiguration", "combinatorial optimisation"],
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": file,
                    "name": file,
                    "contentUrl": file,
                    "encodingFormat": "application/x-parquet",
                    "sha256": manifest.files[file],
                }
                for file in files
            ),
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{kind}-files",
                    "name": f"{kind}-files",
                    "encodingFormat": "application/x-parquet",
                    "includes": f"{kind}-*.parquet",
                }
                for kind in kinds
            ),
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": kind,
                "name": kind,
                "field": [_field(kind, field) for field in SCHEMAS[kind]],
            }
            for kind in kinds
        ],
    }


def _field(kind: str, field: pa.Field) -> dict[str, Any]:
    listed = pa.types.is_list(field.type)
    of = field.type.value_type if listed else field.type
    found: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{kind}/{field.name}",
        "name": field.name,
        "description": MEANING[kind][field.name],
        "dataType": _type(of),
        "source": {"fileSet": {"@id": f"{kind}-files"}, "extract": {"column": field.name}},
    }
    return {**found, "repeated": True} if listed else found


def _type(kind: pa.DataType) -> str:
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


_LICENCE_URL = "https://www.apache.org/licenses/LICENSE-2.0"
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
