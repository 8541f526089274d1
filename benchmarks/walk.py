"""Ninety commands as a new user types them: those of README.md and the pages, and what the pages have no room for.

``python benchmarks/walk.py`` runs them one by one in a folder of their own, each as a process, and prints how each
ended and how long it took, by the clock and on the processor. ``--fresh`` runs a clone of the last commit with nothing
compiled: what somebody meets who has just installed. ``--only WORD`` runs those that name it, ``--short`` leaves out
the long ones. The exit code is 1 where a command ended otherwise than it should, showed a traceback, or warned.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import shown  # noqa: E402

LONG = "# long"
LONG_PAGES = ("plan conductors", " own", "tuned", "year.csv")
"""Words of the commands of pages that are long, or need what a long one made."""
FURTHER = """
learnopt --help
learnopt --version
learnopt warmup  # long
learnopt solve --help
learnopt cases
learnopt cases --json
learnopt solve case16 --json
learnopt solve case16 --engine enumerate
learnopt solve case33 --engine milp  # long
learnopt solve case33 --engine exchange
learnopt solve case69 --certify none
learnopt solve case33 --max-operations 4
learnopt solve case33 --switching-cost 1
learnopt solve case33 --k-best 3
learnopt solve case119 --report case119.html  # long
learnopt solve case533 --time-limit 20 --gap 1e-3  # long
learnopt check case33 --open 7,9,14,32,37 --report check.html
learnopt check case33 --open 7,9,14,32,37 --json
learnopt inspect case33 --report inspect.html
learnopt draw case33 --out now.svg
learnopt draw case33 --what profile --open 7,9,14,32,37 --out profile.png
learnopt convert case33 case33.json
learnopt solve case33.json --export steps.csv
learnopt plan substations turkay --report plan.html
learnopt region case33.json case16 --out region.csv
learnopt plan phases case33  # exit code 2
learnopt generate --config CONFIGS/dataset_small.toml --out small
learnopt label small --time-limit 1  # long
learnopt train --config CONFIGS/train_small.toml --data small --out model --store mlruns  # long
learnopt evaluate --data small --checkpoint model  # long
learnopt promote --data small --store mlruns  # long
learnopt monitor --data small --checkpoint model  # long
learnopt sweep --config CONFIGS/train_small.toml --data small --out sweep --store mlruns  # long
learnopt monitor  # exit code 2
learnopt evaluate --data small --checkpoint model --rival mymodel:AsItIs --no-baselines --json  # long
learnopt solve case33 --engine learned --checkpoint model  # long
learnopt solve nothing.json  # exit code 2
learnopt solve case33 --engine magic  # exit code 2
learnopt check case33 --open 99  # exit code 2
learnopt check case33 --open 99 --json  # exit code 2
learnopt draw case33 --out picture.doc  # exit code 2
learnopt evaluate --data nowhere  # exit code 2
learnopt evaluate --data sample --rival nothing:Here  # exit code 2
learnopt train  # exit code 2
learnopt solv case33  # exit code 2
learnopt serve --host 0.0.0.0  # exit code 2
learnopt service user anna --role god  # exit code 2
learnopt service work  # exit code 2
learnopt service adapter folder nowhere  # exit code 2
learnopt service adapter mqtt broker --prefix a/#  # exit code 2
learnopt service adapter opcua opc.tcp://plant nowhere.csv  # exit code 2
"""
"""After those of the pages, in their folder: ``sample`` is there, ``CONFIGS`` stands for training/configs."""
_TROUBLE = re.compile(r"Traceback \(most recent|Warning\b|\bWARNING\b")


@dataclass(frozen=True)
class Step:
    """A command that was run.

    Parameters
    ----------
    line, page
        What was typed, and where it stands.
    seconds, processor
        Wall time, and time of the processor in all threads and processes of the command.
    faults
        What was not as it should be.
    """

    line: str
    page: str
    seconds: float
    processor: float
    faults: tuple[str, ...]


def is_long(line: str) -> bool:
    """Takes longer than half a minute, or needs what such a command made."""
    return LONG in line or any(word in line for word in LONG_PAGES)


def lines() -> list[tuple[str, str]]:
    """Every command once, in order, with the page where it stands first."""
    found: dict[str, str] = {}
    for page in shown.pages():
        for line in shown.commands(page.read_text(encoding="utf-8")):
            typed = line.removeprefix(".venv/bin/")
            found.setdefault(" ".join(re.sub(r"#(?! exit code| long).*", "", typed).split()), page.name)
    return [*found.items(), *((line, "") for line in further())]


def further(short: bool = False) -> list[str]:
    """Commands that no page shows; the short ones only."""
    typed = FURTHER.strip().replace("CONFIGS", str(ROOT / "training" / "configs")).splitlines()
    return [line for line in typed if not (short and is_long(line))]


def files() -> dict[str, str]:
    """Files that the pages have their reader write."""
    return {k: v for page in shown.pages() for k, v in shown.files(page.read_text(encoding="utf-8")).items()}


def walked(line: str, page: str, folder: Path, source: Path, compiled: Path | None = None) -> Step:
    """Run one command.

    Parameters
    ----------
    source
        Root of the sources to run.
    compiled
        Folder of compiled code, where not the usual one.
    """
    given, expected = shown.arguments(line)
    more = {"PYTHONPATH": str(source), "COLUMNS": "80"} | ({"NUMBA_CACHE_DIR": str(compiled)} if compiled else {})
    started, worked = time.perf_counter(), _processor()
    command = [sys.executable, "-m", "learnopt", *given]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, processor = time.perf_counter() - started, _processor() - worked
    faults = [f"exit code {done.returncode}, {expected} expected"] if done.returncode != expected else []
    faults += [text.strip() for text in (done.stdout + done.stderr).splitlines() if _TROUBLE.search(text)][:2]
    faults += [] if done.stdout or done.stderr else ["said nothing"]
    return Step(line, page, seconds, processor, tuple(faults))


def _processor() -> float:
    """Time on the processor of all commands that have ended [s]."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def table(steps: list[Step]) -> Table:
    """How each command ended."""
    times = (Column("s", justify="right"), Column("processor s", justify="right"))
    found = Table("", "", *times, Column("command", overflow="fold"), "page", show_edge=False)
    for number, step in enumerate(steps, 1):
        told = "\n".join((step.line, *step.faults))
        times_told = f"{step.seconds:.1f}", f"{step.processor:.1f}"
        found.add_row(str(number), "✗" if step.faults else "✓", *times_told, told, step.page)
    return found


def main() -> int:
    """Walk, print."""
    parser = argparse.ArgumentParser(description="Run every command of the documentation as a new user would.")
    parser.add_argument("--fresh", action="store_true", help="a clone of the last commit, nothing compiled")
    parser.add_argument("--short", action="store_true", help="without the long ones")
    parser.add_argument("--only", default="", help="commands that name this word")
    wanted = parser.parse_args()
    chosen = [(line, page) for line, page in lines() if wanted.only in line and not (wanted.short and is_long(line))]
    console = Console(width=max(Console().width, 120), highlight=False)
    with tempfile.TemporaryDirectory() as name:
        folder, source, compiled = Path(name) / "walk", ROOT, None
        folder.mkdir()
        if wanted.fresh:
            source, compiled = Path(name) / "clone", Path(name) / "compiled"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
        for file, text in files().items():
            (folder / file).write_text(text, encoding="utf-8")
        steps = []
        for line, page in chosen:
            steps.append(walked(line, page, folder, source, compiled))
            told = ", ".join(steps[-1].faults) or "clean"
            Console(stderr=True).print(f"{len(steps)} of {len(chosen)}: {line}: {told}", highlight=False, markup=False)
    console.print(table(steps))
    wrong = sum(bool(step.faults) for step in steps)
    clock, worked = (sum(times) for times in zip(*((step.seconds, step.processor) for step in steps), strict=True))
    console.print(f"{len(steps)} commands, {wrong} not clean, {clock:.0f} s, {worked:.0f} s of the processor")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
