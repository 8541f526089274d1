"""Colours of feeders: neighbours differ, and everybody can tell them apart."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from conftest import make_network

from learnopt.learning.reliability_svg import _BLUE, _GREEN, _GREY, _RED
from learnopt.network import Network
from learnopt.report.conductors.figure import _LINES
from learnopt.report.drawing.colours import CLOSE, FEEDERS, LINE, OPEN, VIOLATED, feeder_colours
from learnopt.report.drawing.profile import AFTER, BEFORE
from learnopt.report.savings.page import _COLOURS
from learnopt.report.substations.figure import _TYPES

# What people with a form of colour blindness see of linear RGB (Machado, Oliveira & Fernandes 2009, severity 1).
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
TRITAN = [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
SIGHT = {"full": np.eye(3), "protan": np.array(PROTAN), "deutan": np.array(DEUTAN), "tritan": np.array(TRITAN)}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIELAB of a colour as it is seen."""
    srgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(sight @ linear, 0, 1) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Colours that mean something beside each other, by the picture they are in.
PALETTES = {
    "diagram": (*FEEDERS, CLOSE, OPEN, VIOLATED, LINE),
    "bars": (BEFORE, AFTER, VIOLATED),
    "savings": tuple(_COLOURS.values()),
    "conductors": _LINES,
    "substations": _TYPES,
    "reliability": (_BLUE, _RED, _GREEN, _GREY),
}


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("picture", PALETTES)
def test_colours_with_a_meaning_are_told_apart_by_everybody(picture: str, sight: str) -> None:
    """Any two are far more apart than what one can just see (2.3), under red, green and blue blindness too."""
    seen = {colour: lab(colour, SIGHT[sight]) for colour in PALETTES[picture]}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 12, (one, other)


def ring_of_feeders(n: int) -> Network:
    """Feeders of two buses side by side, tied in a ring."""
    rows: list[tuple[object, ...]] = []
    for k in range(n):
        rows += [("S", f"a{k}", 1, 1), (f"a{k}", f"b{k}", 1, 1)]
    rows += [(f"b{k}", f"b{(k + 1) % n}", 1, 1, {"normally_open": True}) for k in range(n)]
    return make_network(rows, {f"b{k}": (10, 1) for k in range(n)}, ["S"])  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [3, 4, 9, 20])
def test_neighbours_differ(n: int) -> None:
    """No two feeders that a tie joins have one colour."""
    net = ring_of_feeders(n)
    colours = list(feeder_colours(net, (), net.normal_configuration).values())
    assert len(colours) == n
    assert all(colours[k] != colours[(k + 1) % n] for k in range(n))


def test_a_feeder_keeps_its_colour_after_switching() -> None:
    """Colours are chosen for all states together; one feeder alone needs none."""
    net = ring_of_feeders(4)
    moved = net.configuration([1, *range(9, 12)])
    before = feeder_colours(net, (), net.normal_configuration)
    both = feeder_colours(net, (), net.normal_configuration, moved)
    assert set(both) == set(before)
    single = make_network([("S", "a", 1, 1), ("a", "b", 1, 1)], {"b": (10, 1)}, ["S"])
    assert feeder_colours(single, (), single.normal_configuration) == {}
