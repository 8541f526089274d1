"""One entry for networks: named cases, files of every format, SimBench grids and pandapower networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from learnopt.errors import DataError
from learnopt.io.case_json import case_from_json, read_json
from learnopt.io.cases import case_names, load_case
from learnopt.io.csv_folder import REQUIRED, is_csv_folder, read_csv_folder, unread_tables
from learnopt.io.source import Loaded
from learnopt.io.unread import unread_keys
from learnopt.network import Network
from learnopt.network.parallel import keep_parallel
from learnopt.wording import suggestion


def loaded_network(network: Network, notes: tuple[str, ...] = ()) -> Loaded:
    """A network that was read or made, with OpenDSS as the tool of its phases where it states phases that differ."""
    phases = network.phases
    if phases is None:
        return Loaded(network, notes)
    from learnopt.io.opendss.branches import BY_PHASE

    names = [str(branch) for branch in network.branch_ids]
    uncoupled = [name for name, one in zip(names, phases.branches, strict=True) if one.uncoupled]
    if uncoupled:
        notes += (
            f"no mutual impedance between the phases of {len(uncoupled)} lines, since neither r0_ohm, x0_ohm nor a "
            f"matrix states one: {_some(uncoupled)}",
        )
    left_open = phases.ties(network.normally_open)
    if left_open:
        notes += (f"{BY_PHASE}: " + ", ".join(names[e] for e in left_open),)
    if phases.balanced:
        return Loaded(network, notes)
    from learnopt.io.opendss.exported import ExportedTool

    why = (
        f"imbalance: {phases.imbalance(names)}; the loss of the balanced network differs from that of all phases for "
        "this reason"
    )
    return Loaded(network, (*notes, why), ExportedTool(network), (why,))


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


# Every format in a function that loads its reader: nobody waits for those of other formats.


def _read_json(path: Path) -> Loaded:
    """A case file, a net of ``pandapower.to_json``, a dataset of power-grid-model: what the file holds decides."""
    from learnopt.io.pandapower.tables import is_pandapower_json
    from learnopt.io.power_grid.tables import is_power_grid_json

    raw = read_json(path)
    if is_pandapower_json(raw):
        from learnopt.io.pandapower.reader import case_from_pandapower_json

        return case_from_pandapower_json(raw, str(path)).loaded
    if is_power_grid_json(raw):
        from learnopt.io.power_grid.reader import network_from_power_grid_json

        return loaded_network(*network_from_power_grid_json(raw, str(path)))
    return loaded_network(case_from_json(raw, str(path)), unread_keys(raw, str(path)))


def _read_cim(path: Path) -> Loaded:
    """Profiles of CGMES."""
    from learnopt.io.pandapower.cim import read_cim

    return read_cim(path).loaded


def _read_dss(path: Path, hour: float | None = None) -> Loaded:
    from learnopt.io.opendss.reader import read_opendss

    return read_opendss(path, hour).loaded


def _read_m(path: Path) -> Loaded:
    from learnopt.io.matpower import matpower_case

    return Loaded(*matpower_case(path))


def _read_simbench(code: str) -> Loaded:
    from learnopt.io.pandapower.simbench import simbench_case

    return simbench_case(code).loaded


def _read_pandapower(name: str) -> Loaded:
    from learnopt.io.pandapower.reader import pandapower_case

    return pandapower_case(name).loaded


READERS: Mapping[str, Callable[[Path], Loaded]] = {
    ".dss": _read_dss,
    ".json": _read_json,
    ".m": _read_m,
    ".xml": _read_cim,
    ".zip": _read_cim,
}
"""Reader of each file ending: a new format is one line here."""
_LISTED = 5
"""Names that a note writes out."""
_HOURS = 8784
"""Hours of the longest year."""


def load(source: str | Path, hour: float | None = None) -> Network:
    """Network of a named case, of a file, or of a code (``simbench:1-MV-urban--0-sw``, ``pandapower:mv_oberrhein``).

    Parameters
    ----------
    hour
        Of an OpenDSS file: the hour of its load shapes to read, in OpenDSS's own count (hour 1 is the first value of an
        hourly shape). None = the snapshot that the file describes.

    Raises
    ------
    DataError
        If there is nothing of that name, if the format is unknown, or if the file breaks the rules of its format.
    UnsupportedError
        If the file asks for something that learnopt does not model, or a package is missing.
    """
    return load_with_notes(source, hour)[0]


def load_with_notes(source: str | Path, hour: float | None = None) -> tuple[Network, tuple[str, ...]]:
    """As :func:`load`, with what was assumed, merged or left out on the way."""
    loaded = load_with_source(source, hour)
    return loaded.network, loaded.notes


def load_with_source(source: str | Path, hour: float | None = None) -> Loaded:
    """As :func:`load`, with notes, the tool that the file comes from, and the reductions that explain a difference.

    Circuits that run in parallel in the present state stay closed (:mod:`learnopt.network.parallel`).
    """
    loaded = read_source(source, hour)
    network, parallel = keep_parallel(loaded.network)
    if parallel:
        loaded = replace(loaded, network=network, notes=(*loaded.notes, *parallel))
    told = any(why.startswith("imbalance") for why in loaded.explained)
    if network.phase_switches and loaded.source is not None and not told:
        names = _some(sorted(network.phase_switches))
        why = f"imbalance: where switches of one or two phases are operated ({names}), phases differ"
        return replace(loaded, notes=(*loaded.notes, why), explained=(*loaded.explained, why))
    return loaded


def read_source(source: str | Path, hour: float | None = None) -> Loaded:
    """As :func:`load_with_source`, every switch that the file has operable: to be written again."""
    name = str(source)
    if hour is not None:
        if Path(source).suffix.lower() != ".dss":
            raise DataError(name, ["an hour belongs to an OpenDSS file (.dss); other formats take a load profile"])
        if not 0 <= hour <= _HOURS:
            raise DataError(name, [f"hour {hour} must be from 0 to {_HOURS}"])
    if name in case_names():
        return Loaded(load_case(name))
    for prefix, reader in (("simbench:", _read_simbench), ("pandapower:", _read_pandapower)):
        if name.startswith(prefix):
            return reader(name.removeprefix(prefix))
    path = Path(source)
    known = (
        f"learnopt reads the named cases {', '.join(case_names())} and files ending in {', '.join(READERS)}, "
        f"folders with {', '.join(f'{table}.csv' for table in REQUIRED)} or with CGMES profiles (.xml), "
        "simbench:CODE and pandapower:NAME"
    )
    if is_csv_folder(path):
        return loaded_network(read_csv_folder(path), unread_tables(path))
    if path.is_dir():
        from learnopt.io.pandapower.cim import is_cim_folder

        if is_cim_folder(path):
            return _read_cim(path)
        raise DataError(name, [f"is a folder without tables of a case; {known}"])
    if not path.exists():
        beside = [] if not path.parent.is_dir() else [str(path.parent / one.name) for one in path.parent.iterdir()]
        near = suggestion(name, (*case_names(), *(one for one in beside if Path(one).suffix.lower() in READERS)))
        raise DataError(name, [f"there is no such file and no named case of that name{near}; {known}"])
    if path.suffix.lower() not in READERS:
        raise DataError(name, [f"the file format {path.suffix or 'without ending'!r} is not known; {known}"])
    if hour is not None:
        return _read_dss(path, hour)
    return READERS[path.suffix.lower()](path)
