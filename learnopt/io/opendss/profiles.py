"""Load shapes of an OpenDSS master file as profiles of its network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from learnopt.errors import DataError
from learnopt.io.opendss.reader import read_opendss
from learnopt.io.profiles.clock import Times
from learnopt.network import Floats, Network
from learnopt.wording import counted

_START = np.datetime64("2001-01-01T00:00:00", "s")
"""OpenDSS knows hours only; this year begins on a Monday and has 8760 of them."""


def opendss_profiles(path: Path, network: Network) -> tuple[Times, Floats, Floats, list[str]]:
    """Times, net loads p and q [pu] of shape (n_time, n_bus), and notes.

    Each load, generator and PV system follows its yearly shape, or else its daily one; one without a shape keeps its
    power. Shapes of fewer hours repeat, shapes of longer intervals hold their value.

    Raises
    ------
    DataError
        If no element has a load shape, or if the network is not that of the file.
    """
    case = read_opendss(path)
    if case.network.bus_ids != network.bus_ids:
        raise DataError(str(path), [f"network {network.name!r} is not that of this file: its buses differ"])
    used = {one.shape: case.shapes[one.shape] for one in case.injections if one.shape in case.shapes}
    if not used:
        raise DataError(str(path), ["no load, generator or PV system in it has a load shape (yearly= or daily=)"])
    step = min(shape.hours for shape in used.values())
    span = max(shape.hours * len(shape.p) for shape in used.values())
    hours = step * np.arange(max(round(span / step), 1))
    p, q = np.zeros((len(hours), network.n_bus)), np.zeros((len(hours), network.n_bus))
    constant = 0
    for one in case.injections:
        k = network.bus_index[one.bus]
        if one.shape not in used:
            constant += bool(one.kw or one.kvar)
            p[:, k] += one.kw / network.base.kw
            q[:, k] += one.kvar / network.base.kw
            continue
        shape = used[one.shape]
        at = np.floor(hours / shape.hours + 1e-9).astype(np.int64) % len(shape.p)
        kw, kvar = (np.sign(one.kw), np.sign(one.kvar)) if shape.actual else (one.kw, one.kvar)
        p[:, k] += kw * shape.p[at] / network.base.kw
        q[:, k] += kvar * shape.q[at] / network.base.kw
    notes = ["load shapes of OpenDSS have no date: their first value stands at 2001-01-01 00:00"]
    if constant:
        notes.append(f"{counted(constant, 'element has', 'elements have')} no load shape: constant power")
    times = _START + np.round(hours * 3600).astype("timedelta64[s]")
    return times, p, q, notes
