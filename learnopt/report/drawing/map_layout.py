"""Layout on the coordinates of the network: buses where they are, branches as the crow flies."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from learnopt.network import Floats, Network
from learnopt.network.topology import maximum_spanning_tree
from learnopt.physics.rooted_tree import rooted
from learnopt.report.drawing.layout import one_line_layout
from learnopt.report.drawing.positions import Layout

_MOST_COLUMNS = 55.0
"""Longest side of a map in columns, the distance at which buses can be told apart."""
_APART = 0.45
"""Distance at which buses that share a place are drawn [columns]."""
_BAR = 0.5
"""Half the length of the bar of a substation [columns]."""
_DEGREES = 15.0
"""Largest extent of places that are taken for longitude and latitude."""


def layout_of(network: Network, schematic: bool = False) -> Layout:
    """Layout on the map where the network has coordinates that make one, else the schematic one."""
    if schematic or network.coordinates is None or not np.isfinite(network.coordinates).all():
        return one_line_layout(network)
    if len(np.unique(network.coordinates, axis=0)) < 0.5 * network.n_bus:
        return one_line_layout(network)  # most buses in one place: that is no map
    return map_layout(network)


def map_layout(network: Network) -> Layout:
    """Buses at their coordinates, turned into columns; buses that share a place are drawn around it."""
    assert network.coordinates is not None, "a map needs coordinates"
    place = _plane(network.coordinates)
    place = place - place.min(axis=0)
    distinct = np.unique(place, axis=0)
    nearest = cKDTree(distinct).query(distinct, k=2)[0][:, 1]
    column = max(float(np.median(nearest)), float(np.ptp(place, axis=0).max()) / _MOST_COLUMNS)
    place = _spread(place / column)
    every = np.ones(network.n_branch, dtype=bool)
    tree = rooted(network, maximum_spanning_tree(network, every, network.normal_configuration.closed.astype(float)))
    if tree is None:
        raise ValueError(f"network {network.name!r}: some buses have no path to a substation")
    _, parent, feed = tree
    bars = {int(k): place[k] + np.array([[0.0, -_BAR], [0.0, _BAR]]) for k in network.substations}
    return Layout(network, place[:, 0].copy(), place[:, 1].copy(), bars, parent, feed, on_map=True)


def _plane(coordinates: Floats) -> Floats:
    """Longitude and latitude on a plane; other coordinates as they are."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    degrees = (
        abs(low[1]) <= 90 and abs(high[1]) <= 90 and abs(high[0]) <= 180 and np.ptp(coordinates, 0).max() < _DEGREES
    )
    east = np.cos(np.deg2rad(0.5 * (low[1] + high[1]))) if degrees else 1.0
    return np.asarray(coordinates * (east, 1.0), dtype=np.float64)


def _spread(place: Floats) -> Floats:
    """Buses nearer to each other than a mark is wide, on a circle around the first of them."""
    spread = place.copy()
    seen = np.zeros(len(place), dtype=bool)
    tree = cKDTree(place)
    for k in range(len(place)):
        here = [j for j in sorted(tree.query_ball_point(place[k], 0.25 * _APART)) if not seen[j]]
        seen[here] = True
        radius = max(_APART, 0.16 * len(here))
        for i, j in enumerate(here[1:]):
            angle = 2 * np.pi * i / (len(here) - 1) + np.pi / 4
            spread[j] = place[k] + radius * np.array([np.cos(angle), np.sin(angle)])
    return spread
