"""CGMES (the Common Information Model as XML): a zip file or a folder of profiles, converted by pandapower.

Profiles needed: EQ (equipment) and SSH (states, loads); TP for bus-branch models; SV
(state variables) is compared with pandapower's power flow, in a note; others help where there are any.
Version 2.4.15 (CIM16) and 3.0 (CIM100). pandapower's converter makes a net, and :mod:`learnopt.io.pandapower.reader` a
network of that: breakers, load break switches and disconnectors are couplers without impedance, ``switch 7`` with the
name of the device beside it.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from learnopt.errors import DataError, LearnoptError, UnsupportedError
from learnopt.io.pandapower.reader import PandapowerCase, network_from_pandapower
from learnopt.io.pandapower.state_variables import state_variables_note
from learnopt.wording import counted

ENDINGS = (".xml", ".rdf")
"""Files of a profile."""
_NEEDED = {
    "EQ (equipment)": (b"/EquipmentCore/", b"/CoreEquipment-EU/", b"/EquipmentOperation/"),
    "SSH (states and loads)": (b"/SteadyStateHypothesis/", b"/SteadyStateHypothesis-EU/"),
}
_HEAD = 65536
"""Bytes in which a file says its profile and version."""
_LARGEST = 4 * 2**30
"""Bytes that an archive may unpack to."""
_MOST_FILES = 1000
_LISTED = 5
_STATES = (("switch", "closed"), ("line", "in_service"), ("trafo", "in_service"), ("load", "in_service"))


def is_cim_folder(path: Path) -> bool:
    """A folder with at least one profile."""
    return path.is_dir() and any(file.suffix.lower() in ENDINGS for file in path.iterdir())


def read_cim(path: Path) -> PandapowerCase:
    """Read a zip file, a folder of profiles, or one XML file that holds them all.

    Raises
    ------
    UnsupportedError
        If pandapower's converter is not installed, and for elements that are not modelled, by name.
    DataError
        If profiles are missing, for what the converter reports as an error, and with every violation of the net.
    """
    subject = str(path)
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(path, Path(scratch))
        heads = [_head(file) for file in files]
        missing = [name for name, marks in _NEEDED.items() if not any(m in head for m in marks for head in heads)]
        if missing:
            names = ", ".join(file.name for file in files) or "no XML file"
            raise DataError(subject, [f"profile {name} is missing: CGMES needs it ({names})" for name in missing])
        version = "3.0" if any(b"CIM100" in head for head in heads) else "2.4.15"
        net = _converted(files, version, subject)
        case = network_from_pandapower(net, subject)
        stored = state_variables_note(files, net, case)
    kinds = net.switch["type"].astype(str).value_counts() if len(net.switch) else {}
    notes = [f"CGMES {version}, converted by pandapower: {len(files)} profile files"]
    if kinds.get("DS", 0):
        notes.append(
            f"{counted(kinds['DS'], 'disconnector counts', 'disconnectors count')} "
            f"as switches: lock those that may not break a load current"
        )
    if stored is not None:
        notes.append(stored)
    return replace(case, notes=(*notes, *case.notes))


def _files(path: Path, scratch: Path) -> list[Path]:
    """The XML files of a source; archives are unpacked, folders in them flattened."""
    if path.is_dir():
        members = sorted(path.iterdir())
        return [f for one in members if one.suffix.lower() in (*ENDINGS, ".zip") for f in _files(one, scratch)]
    if path.suffix.lower() != ".zip":
        return [path]
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [item for item in archive.infolist() if Path(item.filename).suffix.lower() in ENDINGS]
            if sum(item.file_size for item in inside) > _LARGEST:
                raise DataError(str(path), ["unpacks to more than 4 GiB: give the profiles of one grid"])
            if len(inside) > _MOST_FILES:
                raise DataError(str(path), [f"holds {len(inside)} XML files, more than {_MOST_FILES}"])
            for k, item in enumerate(inside):
                target = scratch / f"{path.stem}_{k}_{Path(item.filename).name}"
                target.write_bytes(archive.read(item))
                found.append(target)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise DataError(str(path), [f"cannot be unpacked: {error}"]) from None
    return found


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_HEAD)


def _converted(files: list[Path], version: str, subject: str) -> Any:
    """The pandapower net of the profiles."""
    try:
        from pandapower.converter.cim.cim2pp.from_cim import from_cim
    except ImportError as error:
        raise UnsupportedError(
            f"{subject}: CGMES needs pandapower's converter, which cannot be imported ({error}): "
            "pip install 'learnopt[pandapower]' lxml"
        ) from None
    with _quiet():
        try:
            net = from_cim([str(file) for file in files], cgmes_version=version, create_tap_controller=False)
        except LearnoptError:
            raise
        except Exception as error:  # whatever somebody else's converter raises for a file
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise DataError(subject, [f"pandapower's CGMES converter does not read it ({reason})"]) from None
    wrong = [str(r.message).splitlines()[0] for r in net.report_container.get_logs() if r.level.name in _SERIOUS]
    if wrong:
        more = [f"and {len(wrong) - _LISTED} more of that kind"] if len(wrong) > _LISTED else []
        raise DataError(subject, [f"pandapower's CGMES converter: {text}" for text in wrong[:_LISTED]] + more)
    stateless = [
        f"{table} {name!r}: its state is not known, SSH must say open and connected at every terminal"
        for table, column in _STATES
        for name in net[table].loc[net[table][column].isna(), "name"].astype(str)
    ]
    if stateless:
        raise DataError(subject, stateless)
    return net


_SERIOUS = ("ERROR", "EXCEPTION")


@contextmanager
def _quiet() -> Iterator[None]:
    """What the converter has to say comes as findings, not on the terminal."""
    loggers = [logging.getLogger(name) for name in ("cim", "pandapower.converter.cim")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
