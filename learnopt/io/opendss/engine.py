"""OpenDSS as an engine of its own for each file: nothing of it is shared, shown or left behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.opendss.commands import read_program
from learnopt.io.opendss.rehearsal import rehearse

Matrix = np.ndarray
_PHASES = np.exp(-2j * np.pi / 3 * np.arange(3))
"""Balanced phase voltages of positive sequence, a b c."""
_COORDINATES = ("*buscoord*", "*busxy*")
"""Names that files of coordinates beside a master file have."""
_ATTEMPTS = 4
"""Power flows one after the other: regulators that moved far need more than one."""

HELD = -1
"""OpenDSS's control mode without controls."""
_TOLERANCE = 1e-9


@contextmanager
def engine(path: Path, hour: float | None = None, root: Path | None = None) -> Iterator[Any]:
    """An OpenDSS context with the file read and solved; errors of OpenDSS become a ``DataError`` with its own text.

    Its commands are checked first (:mod:`learnopt.io.opendss.commands`) and run one by one in a context of its own,
    so that neither the working directory nor another circuit of the process changes. Dialogs and editors are off.

    Parameters
    ----------
    hour
        Instant of the load shapes, in OpenDSS's own count: the value number ``hour`` of an hourly shape. None = the
        snapshot that the file describes.
    root
        Folder that no file may lie outside of; None = that of the master.

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
        program = read_program(path, root)
    except opendssdirect.DSSException as error:
        raise UnsupportedError(f"{path}: OpenDSS does not start: {error}") from None
    if (broken := rehearse(tuple(command for command, _ in program.commands))) is not None:
        at, happens = broken
        where = program.commands[at][1] if at < len(program.commands) else "the power flow at its end"
        raise DataError(str(path), [f"OpenDSS {happens} on it, at {where}: an element without a bus, or without ends?"])
    dss = opendssdirect.NewContext()
    for switch in (dss.Basic.AllowForms, dss.Basic.AllowEditor, dss.Basic.AllowChangeDir, dss.Basic.AllowDOScmd):
        switch(False)
    place = ""
    try:
        for command, where in program.commands:
            place = f"{where}: "
            dss.Text.Command(command)
        place = ""
        if not dss.Basic.NumCircuits():
            raise DataError(str(path), ["OpenDSS finds no circuit in it: a master file starts with New Circuit.NAME"])
        _prepare(dss, path, hour)
        yield dss
    except opendssdirect.DSSException as error:
        text = " ".join(str(error.args[-1]).split())
        raise DataError(str(path), [f"{place}OpenDSS: {text}"]) from None


def _prepare(dss: Any, path: Path, hour: float | None) -> None:
    """Voltage bases and coordinates where the file gives none, and the present state solved."""
    names = dss.Circuit.AllBusNames()
    if not any(_of_bus(dss, name, dss.Bus.kVBase) for name in names):
        dss.Text.Command(f"Set VoltageBases=[{' '.join(map(str, rated_voltages(dss)))}]")
        dss.Text.Command("CalcVoltageBases")
    if not any(_of_bus(dss, name, dss.Bus.Coorddefined) for name in names):
        found = sorted({file for pattern in _COORDINATES for file in _glob(path.parent, pattern)})
        if found:
            dss.Text.Command(f'Buscoords "{found[0].resolve()}"')
    for name in disconnected(dss):
        dss.Text.Command(f"{name}.Enabled=no")
    _set_time(dss, hour)
    for _ in range(_ATTEMPTS):
        dss.Solution.Solve()
        if dss.Solution.Converged():
            _settle(dss)
            return
    dss.Solution.BuildYMatrix(0, 0)  # to be read only: OpenDSS does not solve rightly with a matrix built so


def disconnected(dss: Any) -> list[str]:
    """Elements of one terminal that is open in all phases, such as a load after ``Open Load.x 1``; sources left out.

    They draw nothing and are disabled before the solution, since OpenDSS now and then computes NaN for them.
    """
    found = []
    for name in dss.Circuit.AllElementNames():
        dss.Circuit.SetActiveElement(name)
        if dss.CktElement.NumTerminals() != 1 or name.lower().startswith("vsource."):
            continue
        # Nodes are not known before the first solution; phases come first among the conductors.
        if all(dss.CktElement.IsOpen(1, k + 1) for k in range(dss.CktElement.NumPhases())):
            found.append(name.lower())
    return found


def rated_voltages(dss: Any) -> list[float]:
    """Rated voltages of sources and windings, between lines [kV], increasing."""
    rated = {round(float(kv), 6) for _ in each(dss.Vsources) for kv in [dss.Vsources.BasekV()]}
    for _ in each(dss.Transformers):
        for winding in range(dss.Transformers.NumWindings()):
            dss.Transformers.Wdg(winding + 1)
            kv = dss.Transformers.kV()
            rated.add(round(kv if dss.CktElement.NumPhases() > 1 else kv * np.sqrt(3), 6))
    return sorted(kv for kv in rated if kv > 0)


def _settle(dss: Any) -> None:
    """The same state, taps and switches held, to more digits than OpenDSS gives by itself; as it was if that fails.

    The admittances of loads become those of their present power, not of the time when the file was read.
    """
    dss.Text.Command("BuildY")
    control, tolerance, most = dss.Solution.ControlMode(), dss.Solution.Convergence(), dss.Solution.MaxIterations()
    for mode, tight, iterations in ((HELD, _TOLERANCE, 10 * most), (HELD, tolerance, most)):
        dss.Solution.ControlMode(mode)
        dss.Solution.Convergence(tight)
        dss.Solution.MaxIterations(iterations)
        dss.Solution.Solve()
        if dss.Solution.Converged():
            break
    dss.Solution.ControlMode(control)


def _set_time(dss: Any, hour: float | None) -> None:
    """A snapshot, or the load shapes at an hour."""
    if hour is None:
        dss.Solution.Mode(0)
        return
    dss.Text.Command(f"Set mode={'yearly' if any(dss.Loads.Yearly() for _ in each(dss.Loads)) else 'daily'}")
    dss.Text.Command(f"Set number=1 stepsize=0 hour={int(hour)} sec={(hour - int(hour)) * 3600:.6f}")


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
