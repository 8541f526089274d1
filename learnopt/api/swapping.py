"""Phases of laterals: :func:`plan_phases` and a :class:`PhasePlan` that shows itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.question import Enforced, Rules, Situation, Source
from learnopt.errors import UnsupportedError
from learnopt.io.files import write_text
from learnopt.network.unbalanced import LateralCircuit
from learnopt.report.swapping.text import swapping_page, swapping_sections, swapping_table, swapping_to_dict
from learnopt.studies.swapping.study import Swapping, swap_phases


@dataclass(frozen=True, eq=False)
class PhasePlan(Answer):
    """Which laterals are to be connected to another phase.

    Parameters
    ----------
    result
        The complete answer.
    notes
        What was assumed on the way, one sentence each.
    """

    result: Swapping
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """There is always an answer: to leave all as it is."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt plan phases --json`` prints."""
        return swapping_to_dict(self.result)

    def rendered(self) -> RenderableType:
        """What ``learnopt plan phases`` prints."""
        return swapping_table(self.result)

    def report(self, path: str | Path) -> Path:
        """Write a self-contained page; returns its path."""
        write_text(Path(path), swapping_page(self.result))
        return Path(path)

    def __repr__(self) -> str:
        found = self.result
        return (
            f"PhasePlan({found.problem.network.name!r}: {len(found.swaps)} of {len(found.laterals)} laterals moved, "
            f"{found.before.loss_kw:.5g} -> {found.after.loss_kw:.5g} kW)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return "".join(swapping_sections(self.result))


def plan_phases(
    network: Source,
    max_swaps: int = 3,
    *,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    max_unbalance: float | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
) -> PhasePlan:
    """Connect at most so many laterals of one phase to another phase, so that the loss in all phases is least.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem; it must be unbalanced.
    max_swaps
        Laterals that may move.
    scenario, limits, vmin, vmax, max_unbalance, hour, accept_differences
        As of :func:`solve`. A limit that is broken now must not be broken further.

    Raises
    ------
    DataError
        If the input is bad.
    UnsupportedError
        If the file is balanced, has no phases, or several scenarios are given.
    """
    rules = Rules(scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, hour=hour, max_unbalance=max_unbalance)
    question = rules.question(network, accept_differences)
    problem = question.problem
    if len(problem.situations) > 1:
        raise UnsupportedError("phases of laterals are planned for one load situation", {"scenario": None})
    with question.imported.circuits(problem) as circuits:
        if not circuits or not isinstance(circuit := circuits[0], LateralCircuit):
            raise UnsupportedError(
                f"{problem.network.name}: its phases are equal, or the file states none: there is no lateral of one "
                "phase to move"
            )
        return PhasePlan(swap_phases(problem, circuit, max_swaps), question.notes)
