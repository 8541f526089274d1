"""Damaged files of every format: an answer or an error with words, within the time, and no file written anywhere.

    python benchmarks/fuzz.py [--count 10000] [--seed 1] [--formats json,m,...] [--keep FOLDER] [--markdown FILE]

File number k of a seed is drawn from (seed, k) alone. Each is a small file of this repository, or one made from its
cases, with one to three mutations: bytes changed, cut, repeated, swapped lines, spliced with another file, words
replaced by junk (400 digits, NaN, deep nesting, other files' names). It is read as the commands read it: network and
notes, findings of ``inspect``, and one power flow of the source tool where there is one. A worker process reads them
one by one in a scratch folder; it is watched from outside, so that what hangs or crashes in compiled code counts too.

Outcomes: ``read``, ``refused`` (an error of learnopt's own), ``traceback`` (any other exception), ``hang`` (more than
30 s of the processor, or 120 s by the clock), ``crash`` (the process died), ``written`` (a file opened for writing, or
found, outside of the temporary folder).
Exit code 1 where there is any of the last four.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from learnopt.errors import LearnoptError
from learnopt.io import load, network_to_dict, write_csv_folder
from learnopt.io.sources import load_with_source

ROOT = Path(__file__).resolve().parents[1]
HANG_SECONDS = 30.0
BATCH = 500
"""Files that one worker process reads before a fresh one takes over."""
BAD = ("traceback", "hang", "crash", "written")
_JUNK = [
    *(b"", b"null", b"NaN", b"Infinity", b"-1", b"0", b"1e308", b"-1e308", b"1e999", b"1e-320", b"true", b'"x"'),
    *(b"[]", b"{}", b"[" * 3000, b'{"a":' * 2000, b"(" * 3000, b"9" * 400, b"9" * 5000, b"0." + b"3" * 400, b"-"),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", "ü\u202e".encode(), b"'", b'"', b",", b";", b"}", b"]", b"\r", b"\t"),
    *(
        b"../../x",
        b"/etc/passwd",
        b"=1+1",
        b"%{",
        b"[" * 900 + b"]" * 900,
        b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
        b"&b;",
        b"2016-02-30",
        b"24:00",
    ),
]
_WORD = re.compile(rb'-?\d+\.?\d*(?:[eE][-+]?\d+)?|"[^"\\\n]{0,60}"|\w+')


class Recipe:
    """Files of one format: texts to damage by the name of the file, and how such a file is read."""

    def __init__(
        self, name: str, texts: dict[str, bytes], read: Callable[[Path], object], companions: str = ""
    ) -> None:
        self.name = name
        self.texts = texts
        self.read = read
        self.companions = companions


def mutated(rng: np.random.Generator, text: bytes, others: list[bytes]) -> bytes:
    """One to three mutations, mostly one."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        text = _mutated_once(rng, text or b"0", others)
    return text


def _mutated_once(rng: np.random.Generator, text: bytes, others: list[bytes]) -> bytes:
    kind, at = int(rng.integers(15)), int(rng.integers(len(text)))
    end = min(len(text), at + int(rng.integers(1, 60)))
    junk = _JUNK[rng.integers(len(_JUNK))]
    if kind == 0:
        return text[:at]
    if kind == 1:
        return text[:at] + text[end:]
    if kind == 2:
        return text[:at] + text[at:end] * int(rng.integers(2, 6)) + text[end:]
    if kind == 3:
        return text[:at] + bytes([int(rng.integers(256))]) + text[at + 1 :]
    if kind == 4:
        return text[:at] + junk + text[at:]
    if kind == 5:
        lines = text.split(b"\n")
        a, b = rng.integers(len(lines), size=2)
        lines[a], lines[b] = lines[b], lines[a]
        return b"\n".join(lines)
    if kind == 6:
        other = others[rng.integers(len(others))] or b"0"
        return text[:at] + other[int(rng.integers(len(other))) :][:2000] + text[end:]
    words = list(_WORD.finditer(text))
    if not words:
        return text + junk
    word = words[rng.integers(len(words))]
    if kind in (7, 8):
        junk = words[rng.integers(len(words))].group()
    if kind in (9, 10):
        junk = b"%g" % (rng.choice([-1.0, 0.1, 10.0, 1e3, 1e6]) * rng.uniform(0.5, 2.0) * _magnitude(word.group()))
    return text[: word.start()] + junk + text[word.end() :]


def _magnitude(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        return 1.0


def inspected(path: Path) -> None:
    """What ``learnopt inspect`` and the comparison with the source tool do."""
    from learnopt.studies.inspection.inspection import inspect_network

    loaded = load_with_source(path)
    inspect_network(loaded.network, loaded.notes)
    if loaded.source is not None:
        loaded.source.state(loaded.network, loaded.network.normal_configuration)


def recipes(scratch: Path) -> list[Recipe]:
    """Every format that a command reads."""
    from learnopt.io import read_scenarios
    from learnopt.io.conductors import default_costs, read_conductors
    from learnopt.io.planning import load_planning

    case16 = load("case16")
    cases = ROOT / "tests" / "data" / "field_cases"
    bytes_of = {path.name: path.read_bytes() for path in sorted(cases.iterdir()) if path.is_file()}
    slim = {name: _slim(text) for name, text in bytes_of.items() if name.startswith("pp_")}
    folder = scratch / "seed_tables"
    write_csv_folder(case16, folder)
    tables = {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
    controls = network_to_dict(case16) | {
        "capacitors": [{"bus": 5, "steps_kvar": [300, 600]}],
        "taps": [{"branch": 15, "min_pu": 0.95, "max_pu": 1.05, "step_pu": 0.0125}],
        "generators": [{"id": "pv", "bus": 6, "p_max_kw": 500, "s_max_kva": 600, "power_factor": 0.95}],
    }
    scenario = {
        "scenarios": [
            {"name": "day", "weight": 2, "loads": {"5": {"p_kw": 900, "q_kvar": 300}}, "out_of_service": [16]},
            {"name": "night", "generation": {"6": {"p_kw": 20}}, "out_of_service": [16], "locked": {}},
        ]
    }
    wide = "time,5.p_kw,6.pu\n" + "".join(f"2016-10-30 {h:02d}:{m},{h},0.5\n" for h in range(24) for m in ("00", "30"))
    long = "time;bus;p_kw\n" + "".join(f"2016-03-27T{h:02d}:00+01:00;{b};{h},5\n" for h in range(24) for b in (5, 6))
    case_text = json.dumps(network_to_dict(case16)).encode()
    found = [
        Recipe("json", {"c.json": case_text, "k.json": json.dumps(controls).encode()}, inspected),
        Recipe("pandapower", slim, inspected),
        Recipe("m", {n: t for n, t in bytes_of.items() if n.endswith(".m")}, inspected),
        Recipe("csv", tables, lambda path: inspected(path.parent), companions=str(folder)),
        Recipe("scenario", {"s.json": json.dumps(scenario).encode()}, lambda path: read_scenarios(path, case16)),
        Recipe("profile", {"w.csv": wide.encode(), "l.csv": long.encode()}, lambda path: read_scenarios(path, case16)),
        Recipe("planning", {"p.json": (ROOT / "datasets/planning/turkay.json").read_bytes()}, load_planning),
        Recipe("costs", {"c.json": default_costs().read_bytes()}, read_conductors),
    ]
    cim = _cgmes(scratch / "seed_cim")
    if cim:
        found.append(Recipe("cgmes", cim, lambda path: inspected(path.parent), companions=str(scratch / "seed_cim")))
    dss = {name: text for name, text in bytes_of.items() if name.endswith(".dss")}
    if dss:
        found.append(Recipe("dss", dss, inspected))
    parquet = _parquet(scratch / "seed.parquet")
    found.append(Recipe("parquet", {"w.parquet": parquet}, lambda path: read_scenarios(path, case16)))
    return found


def _parquet(path: Path) -> bytes:
    """A day of loads."""
    import pyarrow as pa
    import pyarrow.parquet

    hours = np.arange("2016-03-27", "2016-03-28", dtype="datetime64[h]").astype("datetime64[s]")
    columns = {"time": hours, "5.p_kw": np.arange(24.0), "6.pu": np.full(24, 0.5)}
    pyarrow.parquet.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    return path.read_bytes()


def _slim(text: bytes) -> bytes:
    """A net without its library of types, which no reader looks at."""
    raw = json.loads(text)
    raw["_object"].pop("std_types", None)
    return json.dumps(raw).encode()


def _cgmes(folder: Path) -> dict[str, bytes]:
    """The small CGMES ring of the tests; empty without them."""
    sys.path.insert(0, str(ROOT / "tests" / "io"))
    try:
        from cgmes_files import write_cgmes
    except ImportError:
        return {}
    write_cgmes(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def drawn(k: int, seed: int, formats: list[Recipe]) -> tuple[Recipe, str, bytes]:
    """Format, name and content of file number k."""
    rng = np.random.default_rng([seed, k])
    recipe = formats[k % len(formats)]
    name = list(recipe.texts)[rng.integers(len(recipe.texts))]
    return recipe, name, mutated(rng, recipe.texts[name], list(recipe.texts.values()))


def placed(recipe: Recipe, name: str, content: bytes, folder: Path) -> Path:
    """The file, with those that belong to it, in a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    if recipe.companions:
        shutil.copytree(recipe.companions, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def _watch_writes(allowed: list[str], found: list[str]) -> None:
    """Note every file that Python opens for writing outside of some folders."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not isinstance(arguments[0], (str, bytes)):
            return
        path, mode, flags = os.fsdecode(arguments[0]), arguments[1] or "", arguments[2] or 0
        writes = any(c in str(mode) for c in "wax+") or flags & (os.O_WRONLY | os.O_RDWR)
        if (
            writes
            and not any(os.path.abspath(path).startswith(place) for place in allowed)
            and "__pycache__" not in path
        ):
            found.append(path)

    sys.addaudithook(hook)


def work(pipe: Connection, seed: int, first: int, last: int, names: list[str], scratch: Path) -> None:
    """Read files ``first`` to ``last`` and tell the outcome of each."""
    places = {part: scratch / part for part in ("cwd", "home", "tmp", "seeds")}
    for place in places.values():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
    os.environ |= {"HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "MPLCONFIGDIR": str(places["tmp"])}
    tempfile.tempdir = str(places["tmp"])
    os.chdir(places["cwd"])
    formats = [recipe for recipe in recipes(places["seeds"]) if not names or recipe.name in names]
    written: list[str] = []
    _watch_writes([str(places["tmp"]), "/dev/"], written)
    inside = scratch / "in"
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for recipe in formats:  # imports and compiling count for no file
        name, content = next(iter(recipe.texts.items()))
        with contextlib.suppress(LearnoptError):
            recipe.read(placed(recipe, name, content, inside))
    for k in range(first, last):
        recipe, name, content = drawn(k, seed, formats)
        path = placed(recipe, name, content, inside)
        before = {file.name for file in inside.iterdir()}
        written.clear()
        pipe.send((k, recipe.name, "start", ""))
        started = time.process_time()
        detail = ""
        try:
            recipe.read(path)
            outcome = "read"
        except LearnoptError:
            outcome = "refused"
        except BaseException:
            outcome, detail = "traceback", traceback.format_exc()
        if time.process_time() - started > HANG_SECONDS:
            outcome, detail = "hang", f"{time.process_time() - started:.0f} s"
        left = [str(file) for place in ("cwd", "home") for file in places[place].rglob("*") if file.is_file()]
        left += [file.name for file in inside.iterdir() if file.name not in before]
        if written or left:
            outcome, detail = "written", " ".join([*written, *left])
            for place in ("cwd", "home"):
                shutil.rmtree(places[place])
                places[place].mkdir()
            os.chdir(places["cwd"])
        pipe.send((k, recipe.name, outcome, detail))
    pipe.send((last, "", "end", ""))


def run(count: int, seed: int, names: list[str], keep: Path | None, first: int = 0) -> dict[str, Counter[str]]:
    """Outcomes by format."""
    table: dict[str, Counter[str]] = {}
    kinds: Counter[str] = Counter()
    context = get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fuzz") as scratch:
        k = first
        while k < first + count:
            ours, theirs = context.Pipe()
            last = min(first + count, k + BATCH)
            process = context.Process(target=work, args=(theirs, seed, k, last, names, Path(scratch)))
            process.start()
            theirs.close()
            current, name = k, ""
            while current < last:
                patience = 4 * HANG_SECONDS if name else 600.0  # the first file waits for imports and compiling
                try:
                    message = ours.recv() if ours.poll(patience) else (current, name or "?", "hang", "killed")
                except EOFError:
                    message = (current, name or "?", "crash", f"exit code {process.exitcode}")
                number, name, outcome, detail = message
                if outcome == "end":
                    break
                if outcome == "start":
                    current = number
                    continue
                table.setdefault(name, Counter())[outcome] += 1
                current = number + 1
                if outcome in BAD:
                    kind = detail.strip().splitlines()[-1][:160] if detail else ""
                    kinds[f"{name}: {outcome}: {kind}"] += 1
                    if kinds[f"{name}: {outcome}: {kind}"] == 1:
                        print(f"file {number} ({name}): {outcome}\n{detail}", flush=True)
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        (keep / f"{seed}_{number}_{name}_{outcome}.txt").write_text(detail, encoding="utf-8")
                if outcome in ("hang", "crash"):
                    break
            process.kill()
            process.join()
            k = max(current, k + 1)
            print(f"{k - first} of {count}", file=sys.stderr, flush=True)
    for kind, number in kinds.most_common():
        print(f"{number} x {kind}")
    return table


def markdown(table: dict[str, Counter[str]]) -> str:
    """Outcomes by format."""
    columns = ("read", "refused", *BAD)
    lines = ["| format | files | " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) + 1)]
    for name, outcomes in sorted(table.items()):
        cells = [str(outcomes[column]) for column in columns]
        lines.append(f"| {name} | {sum(outcomes.values())} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--formats", default="", help="names separated by commas; all by default")
    parser.add_argument("--keep", type=Path, help="folder for what was said of failures")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    names = [name for name in options.formats.split(",") if name]
    table = run(options.count, options.seed, names, options.keep, options.first)
    text = markdown(table)
    print(text)
    if options.markdown:
        options.markdown.write_text(text, encoding="utf-8")
    return int(any(outcomes[bad] for outcomes in table.values() for bad in BAD))


if __name__ == "__main__":
    sys.exit(main())
