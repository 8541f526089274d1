"""Command line of learnopt: ``learnopt --help``."""

from __future__ import annotations

import os


def main() -> None:
    """Entry point of the ``learnopt`` command; exits with 0, 1 (no configuration) or 2 (bad input)."""
    # The matrices here are small: threads of the linear algebra library only get in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from learnopt.cli.app import run

    run()
