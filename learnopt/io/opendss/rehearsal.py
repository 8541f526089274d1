"""A rehearsal of a file in a process of its own: some circuits make OpenDSS crash or run without end.

A crash inside OpenDSS ends the whole process, which no ``except`` can help, and nothing can stop it while it computes.
So every new sequence of commands runs once in a child first, with a limit of time, and only then here.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

_LIMITED = """
import json, sys
commands, seconds = json.load(sys.stdin)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
except ImportError:
    pass  # no such limit on this system: the clock has the last word
"""
"""How a child begins: its commands, and the seconds of the processor that it has."""
_CHILD = """
import opendssdirect
dss = opendssdirect.NewContext()
for switch in (dss.Basic.AllowForms, dss.Basic.AllowEditor, dss.Basic.AllowChangeDir, dss.Basic.AllowDOScmd):
    switch(False)
try:
    for k, command in enumerate(commands):
        print(k, flush=True)
        dss.Text.Command(command)
    print(len(commands), flush=True)
    dss.Solution.Solve()
    for name in dss.Circuit.AllElementNames():
        dss.Circuit.SetActiveElement(name)
        dss.CktElement.NodeOrder(), dss.CktElement.Powers(), dss.CktElement.YPrim()
except opendssdirect.DSSException:
    pass  # it will say so again, where somebody listens
"""
_SECONDS = 25.0
"""Time of the processor for a small file."""
_CHARACTERS_PER_SECOND = 100_000.0
"""What larger ones have beyond it."""
_PATIENCE = 4.0
"""Times as much by the clock: a busy machine must not refuse a file, and what waits without working must end."""
_OUT_OF_TIME = -24
"""How a process ends that has used up its processor time (SIGXCPU)."""


@lru_cache(maxsize=64)
def rehearse(commands: tuple[str, ...]) -> tuple[int, str] | None:
    """Run commands in a child process.

    Returns
    -------
    tuple or None
        Index of the command that OpenDSS does not come back from (their number: the power flow after them) and what
        happens, as a sentence; None where all is well.
    """
    limit = _SECONDS + sum(map(len, commands)) / _CHARACTERS_PER_SECOND
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _LIMITED + _CHILD],
            input=json.dumps([commands, math.ceil(limit)]),
            capture_output=True,
            text=True,
            timeout=_PATIENCE * limit,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or ""
        return _last(output.decode() if isinstance(output, bytes) else output), f"takes longer than {limit:.0f} s"
    if done.returncode == _OUT_OF_TIME:
        return _last(done.stdout), f"takes longer than {limit:.0f} s"
    if done.returncode < 0 or done.returncode > 1:
        return _last(done.stdout), "crashes"
    return None


def _last(output: str) -> int:
    """Number on the last whole line."""
    lines: Sequence[str] = [line for line in output.splitlines() if line.isdigit()]
    return int(lines[-1]) if lines else 0
