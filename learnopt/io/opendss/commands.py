"""A master file is a program: it is read here, and only what builds a circuit is handed on to OpenDSS.

==================  ====================================================================================
verbs               those of :data:`_RUN`; those of :data:`_SKIPPED` have no effect on the circuit and are
                    passed over; everything else (``Export``, ``Save``, ``Show``, ``Plot``, ``CD`` ...) is
                    refused by name. An abbreviation counts as the verb that OpenDSS takes it for
``Redirect``,       followed here, within the folder of the master only, at most :data:`DEPTH` deep
``Compile``
``Set``             options of :data:`_OPTIONS`; modes are passed over, the state is a snapshot or an instant
properties          ``debugtrace``, which writes a file, is passed over; those that load a library or write
                    numbers to a file are refused, those that read one stay within
                    the folder
sizes               :data:`FILE_BYTES` per file, :data:`TOTAL_BYTES` together, :data:`_COUNTS`, :data:`_LARGEST`
==================  ====================================================================================

OpenDSS itself opens no file but those of coordinates and of numbers, each by the full path that was checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from learnopt.errors import DataError
from learnopt.io.opendss.statements import Parameter, full_name, lines_of, parameters, shown, vocabulary, words

FILE_BYTES = 64 * 1024**2
TOTAL_BYTES = 256 * 1024**2
DEPTH = 20
"""Files that redirect to each other: how deep."""
_LISTED = 20
"""Refusals that are written out."""
_RUN = words(
    "new edit more m ~ select set solve enable disable open close batchedit calcvoltagebases setkvbase buscoords "
    "latlongcoords giscoords setbusxy clear clearall allocateloads setloadandgenkv makebuslist interpolate reset "
    "init buildy"
)
_SKIPPED = words("// ? get next uuids addbusmarker clearbusmarkers sample closedi reprocessbuses zscrefresh help about")
_FOLLOWED = frozenset(("redirect", "compile"))
_COORDINATES = frozenset(("buscoords", "latlongcoords", "giscoords"))
_OF_OBJECTS = frozenset(("select", "enable", "disable", "open", "close"))
_OPTIONS = words(
    "type element year class object circuit tolerance maxiterations loadmodel loadmult normvminpu normvmaxpu "
    "emergvminpu emergvmaxpu %mean %stddev ldcurve %growth genkw genpf capkvar allowduplicates zonelock ueweight "
    "lossweight ueregs lossregs voltagebases algorithm trapezoidal autobuslist controlmode genmult defaultdaily "
    "defaultyearly allocationfactors pricesignal pricecurve terminal basefrequency harmonics maxcontroliter bus "
    "keeplist %normal cfactors numallociterations defaultbasefrequency loadshapeclass earthmodel miniterations "
    "keepload zmag seasonrating seasonsignal linetypes longlinecorrection eventlogdefault"
)
_OPTIONS_SKIPPED = words(
    "mode hour sec stepsize time h random number casename markercode nodewidth markswitches switchmarkercode daisysize "
    "marktransformers transmarkercode transmarkersize markcapacitors markregulators markpvsystems markstorage "
    "capmarkercode regmarkercode pvmarkercode storemarkercode capmarkersize regmarkersize pvmarkersize "
    "storemarkersize markfuses fusemarkercode fusemarkersize markreclosers reclosermarkercode reclosermarkersize "
    "markrelays relaymarkercode relaymarkersize sampleenergymeters showexport showreports numcpus numcores "
    "numactors activeactor cpu actorprogress parallel concatenatereports editor reduceoption addtype "
    "dssvisualizationtool neglectloady"
)
"""Options of drawings, reports, processors and series of solutions, which leave the circuit as it is."""
_OFF_ONLY = words(
    "demandinterval diverbose overloadreport voltexceptionreport tracecontrol log querylog recorder registryupdate"
)
"""Options that make OpenDSS write files once they are on."""
_LIBRARIES = words("usermodel userdata dynadll dynadata shaftmodel shaftdata")
_NAMES = words(
    "linecode geometry spacing wire wires cncable cncables tscable tscables xfmrcode like yearly daily duty growth "
    "cvrcurve spectrum element transformer capacitor monitoredobj switchedobj zonelist derlist pvsystemlist "
    "elementlist genlist effcurve p-tcurve tyearly tdaily tduty fusecurve phasecurve groundcurve"
)
"""Properties whose values are names, which may look like numbers: bus 008E1248."""
_FILES = words("csvfile sngfile dblfile pqcsvfile")
_INSIDE = re.compile(r"\s*\|?\s*((?:pq)?csvfile|sngfile|dblfile|file)\s*=\s*([^,\s\]\)\}\"']+)(.*)", re.I | re.S)
"""An array that is read from a file."""
_COUNTS: Mapping[str, int] = {
    **dict.fromkeys(("phases", "nphases", "nconds", "windings"), 50),
    **dict.fromkeys(("numsteps", "numtaps"), 1000),
    **dict.fromkeys(("npts", "nvariables", "numharm", "ntiers", "strands", "shots", "seasons", "ndc"), 1_000_000),
    **dict.fromkeys(("maxiterations", "maxcontroliter", "numallociterations", "miniterations"), 10_000),
}
"""Largest value of what OpenDSS reserves memory or repeats by."""
_LARGEST = 1e100
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_HUGE = re.compile(r"[eE]\+?0*\d{3,}|\d{100,}")
"""What a number from :data:`_LARGEST` on contains."""
_PADDING = re.compile(r"[\x00\x1a]+(?=\r?\n|\Z)")
"""How some editors end lines and files."""
_NONE_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_ACTIONS: Mapping[str, str] = {
    **dict.fromkeys(("loadshape", "tshape", "priceshape"), "n"),
    "energymeter": "cta",
    "monitor": "ctp",
}
"""First letters of the values of ``action`` that write no file."""


@dataclass
class Program:
    """Commands for OpenDSS, each with the place it stands at."""

    commands: list[tuple[str, str]] = field(default_factory=list)


def read_program(path: Path, root: Path | None = None) -> Program:
    """Every command of a master file and of the files that it redirects to, checked.

    Parameters
    ----------
    root
        Folder that no file may lie outside of; None = that of the master.

    Raises
    ------
    DataError
        Naming every command, option, property and file that is refused, with file and line.
    """
    inside, master = (path.parent if root is None else root).resolve(), path.resolve()
    if (known := _read.get((master, inside))) is not None and all(_digest(one) == own for one, own in known[0].items()):
        return known[1]
    reader = _Reader(path, inside)
    reader.file(master, 1)
    if reader.bad:
        more = len(reader.bad) - _LISTED
        raise DataError(str(path), reader.bad[:_LISTED] + ([f"and {more} more of that kind"] if more > 0 else []))
    while len(_read) >= _REMEMBERED:
        _read.pop(next(iter(_read)))
    _read[master, inside] = reader.read, reader.program
    return reader.program


_REMEMBERED = 8
"""Programs that are kept: a circuit is read for its network, its state, its phases and its conductors."""
_read: dict[tuple[Path, Path], tuple[dict[Path, bytes], Program]] = {}
"""Programs by master and root, each with what its files held when they were read."""


def _digest(path: Path) -> bytes:
    """Of what a file holds; of none where it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


class _RefusedError(Exception):
    """Why one statement is refused."""


class _Reader:
    """Files on their way into one program."""

    def __init__(self, master: Path, root: Path) -> None:
        self.master, self.root = master, root
        self.program = Program()
        self.bad: list[str] = []
        self.words = vocabulary()
        self.folder = root
        self.kind = ""
        self.position = 0
        self.bytes = 0
        self.read: dict[Path, bytes] = {}

    def file(self, path: Path, depth: int) -> None:
        """Read one file; relative names in it start at its folder."""
        name = shown(path, self.root)
        text = self._text(path, name)
        if text is None:
            return
        before, self.folder = self.folder, path.parent
        for number, line in lines_of(text):
            try:
                compiled = self._statement(line, f"{name}, line {number}", depth)
            except _RefusedError as refusal:
                self.bad.append(f"{name}, line {number}: {refusal}")
                compiled = None
            before = compiled or before
            if len(self.bad) > 10 * _LISTED:
                break
        self.folder = before

    def _text(self, path: Path, name: str) -> str | None:
        try:
            size = path.stat().st_size
            if size > FILE_BYTES or self.bytes + size > TOTAL_BYTES:
                self.bad.append(
                    f"{name} has {size / 1e6:,.0f} MB: a file may have {FILE_BYTES >> 20} MiB, all files together "
                    f"{TOTAL_BYTES >> 20}"
                )
                return None
            self.bytes += size
            raw = path.read_bytes()
            self.read[path] = hashlib.sha256(raw).digest()
        except OSError as error:
            self.bad.append(f"{name} cannot be read: {error.strerror or error}")
            return None
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")  # what Windows writes
        text = _PADDING.sub("", text)
        if found := _NONE_CONTROL.search(text):
            line = text.count("\n", 0, found.start()) + 1
            self.bad.append(f"{name}, line {line}: is not text: it has the character 0x{ord(found[0]):02x}")
            return None
        return text

    def _statement(self, line: str, place: str, depth: int) -> Path | None:
        """Check one line and add what OpenDSS is to run; the folder of a compiled file, in which the rest is read."""
        stripped = line.strip()
        if stripped.startswith("~") and not stripped[1:2].isspace():
            line = "~ " + stripped[1:]
        parts = parameters(line)
        if not parts:
            return None
        first, rest = parts[0], parts[1:]
        if first.name:
            self._assignment(first, rest, place)
            return None
        verb = full_name(first.value, self.words.verbs)
        if verb is None:
            raise _RefusedError(f"{first.value!r} is not a command of OpenDSS")
        if verb in _FOLLOWED:
            return self._follow(verb, rest, depth)
        if verb in _SKIPPED:
            return None
        if verb not in _RUN:
            raise _RefusedError(
                f"{verb.capitalize()} is not run: only commands that build a circuit and read it are. Remove the line"
            )
        if verb in ("new", "edit", "batchedit"):
            rest = self._object(verb, rest)
        elif verb in ("more", "m", "~"):
            rest = self._properties(rest)
        elif verb in ("set", "solve"):
            rest = self._options(rest)
            if verb == "set" and not rest:
                return None
        elif verb in _COORDINATES:
            if not rest:
                raise _RefusedError(f"{verb.capitalize()} names no file")
            rest = [Parameter("", str(self._inside(rest[-1].value)), '"')]
        elif verb in _OF_OBJECTS and rest:
            self.kind, self.position = rest[0].value.partition(".")[0].lower(), 0
        self.program.commands.append((" ".join([verb, *(part.text for part in rest)]), place))
        return None

    def _assignment(self, first: Parameter, rest: list[Parameter], place: str) -> None:
        """``Load.a.kw=5``: an edit of one property, others may follow."""
        name, _, prop = first.name.rpartition(".")
        kind, _, element = name.partition(".")
        if not element or kind.lower() not in self.words.properties:
            raise _RefusedError(f"{first.name}={first.value!r} is neither a command nor CLASS.NAME.PROPERTY=VALUE")
        self.kind, self.position = kind.lower(), 0
        checked = self._properties([replace(first, name=prop), *rest])
        command = " ".join(["edit", Parameter("", name, '"').text, *(part.text for part in checked)])
        self.program.commands.append((command, place))

    def _follow(self, verb: str, rest: list[Parameter], depth: int) -> Path | None:
        if not rest:
            raise _RefusedError(f"{verb.capitalize()} names no file")
        if depth >= DEPTH:
            raise _RefusedError(f"files redirect to each other more than {DEPTH} deep: do they form a circle?")
        path = self._inside(rest[0].value)
        self.file(path, depth + 1)
        if verb == "compile":
            self.folder = path.parent
            return path.parent
        return None

    def _inside(self, name: str) -> Path:
        """The file of a name, in any case of letters, within the folder of the master."""
        wanted = Path(name.strip().replace("\\", "/"))
        if wanted.is_absolute() or re.match(r"[A-Za-z]:", name.strip()):
            raise _RefusedError(f"{name!r} is a full path: files are read within the folder of the master only")
        found = self.folder
        for part in wanted.parts:
            if part != ".." and not (found / part).exists() and found.is_dir():
                part = next((one.name for one in found.iterdir() if one.name.lower() == part.lower()), part)
            found = found / part
        resolved = found.resolve()
        if not resolved.is_relative_to(self.root):
            raise _RefusedError(
                f"{name!r} lies outside of the folder of the master. Put a master of one line, Redirect FOLDER/"
                f"{self.master.name}, into the folder that holds both, and read that one"
            )
        if not resolved.is_file():
            raise _RefusedError(f"{name!r}: there is no such file")
        return resolved

    def _object(self, verb: str, rest: list[Parameter]) -> list[Parameter]:
        if not rest or rest[0].name.lower() not in ("", "object"):
            raise _RefusedError(f"{verb.capitalize()} names no CLASS.NAME")
        first = replace(rest[0], name="")
        kind = first.value.partition(".")[0].lower()
        if kind not in self.words.properties:
            raise _RefusedError(f"{first.value!r}: there is no class {kind!r}")
        if verb == "batchedit" and (len(first.value) > 80 or sum(c in "*+{" for c in first.value) > 3):
            raise _RefusedError(f"{first.value!r}: a pattern may have 80 characters and 3 repetitions")
        self.kind, self.position = kind, 0
        return [first, *self._properties(rest[1:])]

    def _properties(self, parts: list[Parameter]) -> list[Parameter]:
        """Properties of the element at hand, by their full names; those without a name follow the last one."""
        known = self.words.properties.get(self.kind)
        if known is None:
            if parts:
                raise _RefusedError("a property, but no element that it could belong to")
            return []
        result = []
        for part in parts:
            name = full_name(part.name, known) if part.name else None
            if part.name and name is None:
                raise _RefusedError(f"{part.name!r} is not a property of class {self.kind}")
            if name is None:
                if self.position >= len(known):
                    raise _RefusedError(f"{part.value!r} stands at a position that class {self.kind} does not have")
                name = known[self.position]
            self.position = known.index(name) + 1
            if name != "debugtrace":  # it makes OpenDSS write a file, and changes nothing
                result.append(self._property(name, replace(part, name=name)))
        return result

    def _property(self, name: str, part: Parameter) -> Parameter:
        value = part.value.strip()
        if name in _LIBRARIES and value:
            raise _RefusedError(f"{name} loads a library or speaks to one, and is not run. Remove it")
        if name == "memorymapping" and value and value.lower()[0] not in "nf0":
            raise _RefusedError("memorymapping is not run. Remove it")
        if name == "action" and self.kind in _ACTIONS and value[:1].lower() not in _ACTIONS[self.kind]:
            raise _RefusedError(f"action={value} of class {self.kind} writes a file, and is not run. Remove it")
        if name in _FILES:
            return Parameter(name, str(self._inside(value)), '"')
        if name not in _NAMES and not name.startswith("bus"):
            _check_size(name, value)
        if found := _INSIDE.match(value):
            path = str(self._inside(found[2]))
            if any(c in path for c in "()[]{}\"', \t"):
                raise _RefusedError(f"{path!r}: OpenDSS reads numbers from no file with blanks or brackets in its path")
            return Parameter(name, f"{found[1]}={path}{found[3]}", "(")
        if re.search(r"file\s*=", value, re.I):
            raise _RefusedError(f"{name}={value[:60]!r} names a file in a way that is not understood")
        return part

    def _options(self, parts: list[Parameter]) -> list[Parameter]:
        result = []
        for part in parts:
            name = full_name(part.name, self.words.options)
            value = part.value.strip()
            if name is None:
                raise _RefusedError(f"{part.name or part.value!r} is not an option of OpenDSS")
            if name in _OPTIONS_SKIPPED or (name in _OFF_ONLY and value.lower()[:1] in ("n", "f", "0")):
                continue
            if name == "cktmodel" and value.lower().startswith("m"):
                continue
            if name == "loadmodel" and not value.lower().startswith("p"):
                raise _RefusedError(f"Set loadmodel={value}: loads as admittances are not modelled")
            if name not in _OPTIONS:
                raise _RefusedError(f"Set {name} is not run: only options that describe the circuit are. Remove it")
            _check_size(name, value)
            result.append(replace(part, name=name))
        return result


def _check_size(name: str, value: str) -> None:
    """Refuse numbers that no circuit has."""
    if name in _COUNTS and _NUMBER.fullmatch(value) and float(value) > _COUNTS[name]:
        raise _RefusedError(f"{name}={value} is above the largest value read, {_COUNTS[name]}")
    if _HUGE.search(value):
        for number in _NUMBER.findall(value):
            if abs(float(number)) > _LARGEST:
                raise _RefusedError(f"{name}={number} is above the largest number read, {_LARGEST:g}")
