"""Command line of learnopt: ``learnopt --help``."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Entry point of the ``learnopt`` command; exits with 0, 1 (no configuration) or 2 (bad input)."""
    # The matrices here are small: threads of the linear algebra library only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A terminal that knows few characters gets escapes, not an error after the work is done.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    from learnopt.cli.app import run

    run()
