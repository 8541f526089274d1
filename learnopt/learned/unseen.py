"""What a checkpoint has learned from: written on its card by whoever trains, and asked by whoever measures.

An entry of the card names an origin of feeders (:mod:`learnopt.dataset.identity`) and their numbers on each side. Sides
but the test have been learned from: weights, early stopping, temperature and thresholds come from there. Of one's own
feeder the entry has days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.dataset.generate import drawn_feeder
from learnopt.dataset.identity import (
    FeederIdentity,
    as_ranges,
    data_checksum,
    drawn_origin,
    feeder_key,
    from_ranges,
    identities,
)
from learnopt.dataset.manifest import Manifest, read_manifest
from learnopt.dataset.store import labelled_feeders, read_network
from learnopt.errors import CheckpointError, DataError
from learnopt.generator import FeederConfig
from learnopt.generator.config import config_from_table
from learnopt.io.places import Place
from learnopt.learning.card import ModelCard
from learnopt.learning.coverage import CALIBRATED_ON

TEST = "test"
SIDES = ("training", "validation", "thresholds", TEST)
TRAINING, CALIBRATION = "training", "calibration"
"""What feeders were used for: the weights, or a calibration later."""
LEARNED_UNTIL = "learned_until"
"""Key of the last day that was learned from, of one's own feeder."""
Side = Mapping[Place, Collection[int]]
"""Feeders of each dataset."""


@dataclass(frozen=True)
class Unseen:
    """Feeders with labels of a dataset, by whether a checkpoint has learned from them.

    Parameters
    ----------
    measured
        Those to measure on: never seen, or kept aside for a test.
    test
        Those of them that were kept aside.
    learned
        The others.
    """

    measured: frozenset[int]
    test: frozenset[int]
    learned: frozenset[int]

    @property
    def sentence(self) -> str:
        """Where the numbers come from."""
        n, kept, out = len(self.measured), len(self.test), len(self.learned)
        if not out:
            return f"measured on {n} feeders, none of which the checkpoint has learned from"
        which = "its test feeders" if kept == n else f"{kept} test feeders and {n - kept} that it has never seen"
        return f"measured on {n} feeders, {which}; left out: {out} that the checkpoint has learned from"


def entries(sides: Sequence[Side], use: str) -> list[dict[str, Any]]:
    """Entries of a card for the sides of a split, in the order of :data:`SIDES`."""
    found = []
    for folder in dict.fromkeys(folder for side in sides for folder in side):
        known, checksum = identities(folder), data_checksum(read_manifest(folder))
        numbers: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for name, side in zip(SIDES, sides, strict=True):
            for feeder in side.get(folder, ()):
                numbers[known[feeder].origin][name].append(known[feeder].number)
        for origin, on in sorted(numbers.items()):
            ranges = {name: as_ranges(on[name]) for name in SIDES if name in on}
            found.append({"dataset": folder.name, "origin": origin, "sha256": checksum, "use": use, **ranges})
    return found


def sides_seen(card: ModelCard, directory: Place, use: str | None = None) -> list[str | None]:
    """Side of each feeder of a dataset, None where a checkpoint has not seen it.

    A feeder is on the test side where every entry that has it says so. A dataset of the same feeders is known by its
    checksum, whatever its manifest says, and a feeder by itself where another distribution draws it from the same seed.

    Parameters
    ----------
    use
        Only what was used for this.

    Raises
    ------
    CheckpointError
        If the card is damaged.
    """
    manifest = read_manifest(directory)
    checksum, known = data_checksum(manifest), identities(directory)
    sides: list[str | None] = [None] * len(known)
    for entry in card.split.get("seen", ()):
        if use is not None and entry["use"] != use:
            continue
        numbers = _numbers(card.name, entry)
        same = entry.get("sha256") == checksum and entry["origin"].startswith("seed")
        seen = {number for side in numbers.values() for number in side}
        again = range(len(known)) if same else _drawn_again(card.data, entry["origin"], seen, directory, manifest)
        for k, feeder in enumerate(known):
            side = _side(FeederIdentity(entry["origin"], k) if k in again else feeder, entry["origin"], numbers)
            sides[k] = side if sides[k] in (None, TEST) and side is not None else sides[k]
    return sides


def _drawn_again(
    data: Mapping[str, Any], origin: str, numbers: Collection[int], directory: Place, manifest: Manifest
) -> set[int]:
    """Feeders of a dataset that are those of another origin with its seed: not all of a distribution touches each.

    Parameters
    ----------
    data
        Of the card: the distributions that were learned from.
    numbers
        Feeders of that origin that were seen.
    """
    seed = manifest.seed
    own = drawn_origin(seed, manifest.config.get("feeder", {}))
    if manifest.sources or origin == own or not origin.startswith(f"seed {seed}, "):
        return set()
    drawn = (each for each in _distributions(data) if drawn_origin(seed, each) == origin)
    if (values := next(drawn, None)) is None:
        return set()
    config = config_from_table(FeederConfig, values, str(directory))
    return {
        k
        for k in sorted(numbers)
        if k < manifest.n_feeders
        and feeder_key(read_network(directory, k)) == feeder_key(drawn_feeder(seed, config, k))
    }


def _distributions(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Distributions of feeders of all datasets that the summary of a card names."""
    for key, each in data.items():
        if key == "feeder" and isinstance(each, dict):
            yield each
        elif isinstance(each, Mapping):
            yield from _distributions(each)


def _numbers(name: str, entry: Mapping[str, Any]) -> dict[str, set[int]]:
    """Numbers of the feeders of an entry by side; of one's own feeder all its days are training."""
    try:
        found = {side: from_ranges(entry[side]) for side in SIDES if side in entry}
    except (ValueError, AttributeError, TypeError):
        raise CheckpointError(
            f"the card of checkpoint {name!r} is damaged: its split has no numbers of feeders"
        ) from None
    return found or {TRAINING: {0}}


def _side(feeder: FeederIdentity, origin: str, numbers: Mapping[str, Collection[int]]) -> str | None:
    if feeder.origin != origin:
        return None
    return next((side for side in SIDES if feeder.number in numbers.get(side, ())), None)


def unseen(card: ModelCard, directory: Place) -> Unseen:
    """The feeders of a dataset that can measure a checkpoint.

    Raises
    ------
    DataError
        If it has learned from all of them, from feeders of this seed and its card does not say which, or there are no
        labels.
    """
    labelled = labelled_feeders(directory)
    if not labelled:
        raise DataError(str(directory), ["no labels: run `learnopt label` on the folder first"])
    seed = read_manifest(directory).seed
    if not card.split and seed in _seeds(card.data):
        problem = f"the checkpoint {card.name!r} has seen feeders of seed {seed}, its card does not say which"
        raise DataError(str(directory), [f"{problem}: train it again, or measure it on feeders of another seed"])
    sides = sides_seen(card, directory)
    learned = frozenset(k for k in labelled if sides[k] not in (None, TEST))
    measured = frozenset(labelled) - learned
    if not measured:
        problem = f"the checkpoint {card.name!r} has learned from every feeder with labels"
        raise DataError(str(directory), [f"{problem} ({len(learned)}): measure it on feeders of another seed"])
    return Unseen(measured, frozenset(k for k in measured if sides[k] == TEST), learned)


def learned_until(card: ModelCard, origin: str) -> np.datetime64 | None:
    """The last day of one's own feeder that a checkpoint was tuned on, its test days aside; None where on none."""
    known = [entry for entry in card.split.get("seen", ()) if entry["origin"] == origin]
    days = [entry[LEARNED_UNTIL] for entry in known if LEARNED_UNTIL in entry]
    found: np.datetime64 | None = max((np.datetime64(day, "D") for day in days), default=None)
    return found


def of_training(card: ModelCard) -> list[dict[str, Any]]:
    """What a card says about the feeders of the weights: an earlier calibration is made up for by another."""
    return [entry for entry in card.split.get("seen", ()) if entry["use"] == TRAINING]


def training_seeds(card: ModelCard) -> set[int]:
    """Seeds of the datasets whose feeders made the weights, as the summary of a card has them."""
    several = [each for key, each in card.data.items() if isinstance(each, dict) and key != CALIBRATED_ON]
    return {each["seed"] for each in (card.data, *several) if "seed" in each}


def _seeds(data: Mapping[str, Any]) -> set[int]:
    """Seeds of all datasets that the summary of a card names: of training, and of calibration."""
    inner = (_seeds(each) for each in data.values() if isinstance(each, Mapping))
    return set().union(*inner) | ({data["seed"]} if "seed" in data else set())
