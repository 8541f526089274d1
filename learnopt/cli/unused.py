"""Options that a command takes and an answer does not need: told by name, or people believe that they had an effect."""

from __future__ import annotations

from collections.abc import Iterable

from learnopt.cli.options import said

Unused = tuple[bool, str, str]
"""The option was given without use, its name, and what it belongs to."""

PROVES = {"milp": "ac", "enumerate": "ac", "hybrid": "ac", "benders": "ac", "exchange": "none"}
"""Engines with one certificate only."""
UNBRANCHED = ("exchange",)
"""Engines that prove nothing: a gap or a number of nodes means nothing to them."""


def tell_unused(rules: Iterable[Unused]) -> None:
    """One line on stderr for each option that has no effect."""
    for unused, option, reason in rules:
        if unused:
            said(f"{option} has no effect: {reason}.")


def of_strict_limits(strict: bool, no_limits: bool, vmin: float | None, vmax: float | None) -> Unused:
    """``--strict-limits`` where no limit is enforced."""
    none = no_limits and vmin is None and vmax is None
    return strict and none, "--strict-limits", "--no-limits leaves no limit to enforce"


def of_engine(
    engine: str,
    certify: str | None,
    gap: float | None,
    node_limit: int | None,
    threads: int | None,
    checkpoint: object,
) -> list[Unused]:
    """Options of ``solve`` that the engine does not have."""
    proves, never = PROVES.get(engine), engine in UNBRANCHED
    other = engine not in ("auto", "tree", "learned")
    return [
        (checkpoint is not None and engine != "learned", "--checkpoint", "it belongs to --engine learned"),
        (proves is not None and certify not in (None, proves), "--certify", f"--engine {engine} proves {proves} only"),
        (gap is not None and never, "--gap", f"--engine {engine} proves nothing"),
        (node_limit is not None and never, "--node-limit", f"--engine {engine} does not branch"),
        (threads is not None and other, "--threads", "it belongs to the tree search"),
    ]
