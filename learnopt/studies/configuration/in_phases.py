"""The answer in all phases of an unbalanced file, instead of one about its balanced equivalent."""

from __future__ import annotations

from dataclasses import replace

from learnopt.engines import Engine, SolveOptions
from learnopt.engines.phases.engine import PhaseTreeEngine
from learnopt.io.opendss.branches import LEFT_OUT
from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result
from learnopt.studies.configuration.solve import AUTO, TREE
from learnopt.studies.inspection.reconcile import Imported


def solve_in_phases(
    imported: Imported,
    problem: ReconfigurationProblem,
    engine: str | Engine = AUTO,
    options: SolveOptions | None = None,
    start: Configuration | None = None,
    k_best: int = 1,
    hold: bool = True,
) -> Result | None:
    """Solve a problem of an unbalanced file in all its phases, judged by the tool of the file.

    Parameters
    ----------
    engine
        ``auto`` or ``tree``; another one solves the balanced equivalent.
    hold
        Limits that the present state breaks are held at its values.

    Returns
    -------
    None where the file is balanced, where its tool has no phases, with controls and with other engines.
    """
    options = options or SolveOptions()
    if engine not in (AUTO, TREE) or problem.worst_case:
        return None
    with imported.circuits(problem) as circuits:
        if not circuits:
            return None
        result = PhaseTreeEngine(circuits, k_best, hold).solve(problem, options, start)
    said = "Solved in all phases, since the file is unbalanced."
    if options.certify is Certificate.AC:
        said += " No AC certificate: in phases there is one of the model only."
    for note in imported.notes:
        if note.startswith(LEFT_OUT):
            said += f" Stays open, since it has not all three phases: {note.partition(': ')[2]}."
    return replace(result, message=f"{said} {result.message}")
