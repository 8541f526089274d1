"""OpenDSS as an engine of its own for each file: nothing of it is shared, shown or left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError

Matrix = np.ndarray
_PHASES = np.exp(-2j * np.pi / 3 * np.arange(3))
"""Balanced phase voltages of positive sequence, a b c."""
_COORDINATES = ("*buscoord*", "*busxy*")
"""Names that files of coordinates beside a master file have."""
_ATTEMPTS = 4
"""Power flows one after the other: regulators that moved far need more than one."""


@contextmanager
def engine(path: Path) -> Iterator[Any]:
    """An OpenDSS context with the file read and solved; errors of OpenDSS become a ``DataError`` with its own text.

    The file is read by ``Redirect`` in a context of its own, so that neither the working directory nor another circuit
    of the process changes. Dialogs and editors are switched off.

    Raises
    ------
    UnsupportedError
        If opendssdirect is not installed.
    DataError
        With what OpenDSS says about the file.
    """
    try:
        import opendssdirect
    except ImportError:
        raise UnsupportedError(
            f"{path} needs OpenDSSDirect.py, which is not installed: pip install 'learnopt[opendss]'"
        ) from None
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise DataError(str(path), [f"cannot be read: {error.strerror or error}"]) from None
    dss = opendssdirect.NewContext()
    for switch in (dss.Basic.AllowForms, dss.Basic.AllowEditor, dss.Basic.AllowChangeDir, dss.Basic.AllowDOScmd):
        switch(False)
    try:
        dss.Text.Command(f'Redirect "{path.resolve()}"')
        if not dss.Basic.NumCircuits():
            raise DataError(str(path), ["OpenDSS finds no circuit in it: a master file starts with New Circuit.NAME"])
        _prepare(dss, path)
        yield dss
    except opendssdirect.DSSException as error:
        text = " ".join(str(error.args[-1]).split())
        raise DataError(str(path), [f"OpenDSS: {text}"]) from None


def _prepare(dss: Any, path: Path) -> None:
    """Voltage bases and coordinates where the file gives none, and the present state solved."""
    names = dss.Circuit.AllBusNames()
    if not any(_of_bus(dss, name, dss.Bus.kVBase) for name in names):
        rated = {round(float(kv), 6) for _ in each(dss.Vsources) for kv in [dss.Vsources.BasekV()]}
        for _ in each(dss.Transformers):
            for winding in range(dss.Transformers.NumWindings()):
                dss.Transformers.Wdg(winding + 1)
                kv = dss.Transformers.kV()
                phases = dss.CktElement.NumPhases()
                rated.add(round(kv if phases > 1 else kv * np.sqrt(3), 6))
        dss.Text.Command(f"Set VoltageBases=[{' '.join(map(str, sorted(rated)))}]")
        dss.Text.Command("CalcVoltageBases")
    if not any(_of_bus(dss, name, dss.Bus.Coorddefined) for name in names):
        found = sorted({file for pattern in _COORDINATES for file in _glob(path.parent, pattern)})
        if found:
            dss.Text.Command(f'Buscoords "{found[0].resolve()}"')
    dss.Solution.Mode(0)
    for _ in range(_ATTEMPTS):
        dss.Solution.Solve()
        if dss.Solution.Converged():
            return


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Files of the folder whose name fits in any case."""
    return [file for file in folder.iterdir() if file.is_file() and Path(file.name.lower()).match(pattern)]


def _of_bus(dss: Any, name: str, read: Callable[[], Any]) -> Any:
    dss.Circuit.SetActiveBus(name)
    return read()


def each(collection: Any) -> Iterator[str]:
    """Make every element of a collection active, disabled ones left out, and give its name."""
    more = collection.First()
    while more:
        yield collection.Name().lower()
        more = collection.Next()


def terminals(dss: Any) -> list[tuple[str, np.ndarray]]:
    """Bus and nodes of each terminal of the active element."""
    buses = [name.partition(".")[0].lower() for name in dss.CktElement.BusNames()]
    nodes = np.array(dss.CktElement.NodeOrder(), dtype=int).reshape(len(buses), -1)
    return list(zip(buses, nodes, strict=True))


def admittance(dss: Any) -> Matrix:
    """Primitive admittance matrix of the active element [S]."""
    flat = np.array(dss.CktElement.YPrim(), dtype=float)
    size = int(np.sqrt(len(flat) / 2))
    return (flat[0::2] + 1j * flat[1::2]).reshape(size, size)


def balanced(nodes: np.ndarray) -> Matrix:
    """Voltages of these nodes in a balanced system, 1 from phase to neutral; 0 for ground and neutrals."""
    return np.array([_PHASES[n - 1] if 1 <= n <= 3 else 0j for n in nodes])


def opposed(nodes: np.ndarray) -> Matrix:
    """The same behind a centre-tapped transformer, whose two legs are in opposition."""
    return np.array([{1: 1 + 0j, 2: -1 + 0j}.get(int(n), 0j) for n in nodes])
