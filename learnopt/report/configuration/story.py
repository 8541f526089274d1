"""What all sections of a report tell about."""

from __future__ import annotations

from dataclasses import dataclass, field

from learnopt.network import Evaluation, ReconfigurationProblem, Result
from learnopt.report.configuration.head import BLANK, Head
from learnopt.studies.configuration.switching_order import Operation
from learnopt.studies.inspection.inspection import Finding
from learnopt.studies.inspection.reconcile import Origin


@dataclass(frozen=True)
class Story:
    """A result and what is told with it.

    Parameters
    ----------
    before
        Power flow of the normal configuration.
    operations
        The switching plan.
    front
        Least loss for every number of operations, where that was computed.
    findings
        What looks wrong in the data.
    origin
        What is known of the file, and of the answer in its own tool.
    head
        Author, time of the data, checked by.
    """

    problem: ReconfigurationProblem
    result: Result
    before: Evaluation
    operations: list[Operation]
    front: tuple[Result, ...] = ()
    findings: tuple[Finding, ...] = ()
    origin: Origin = field(default_factory=Origin)
    head: Head = BLANK

    @property
    def after(self) -> Evaluation | None:
        """Power flow of the result, if it has a solution."""
        found = self.result.evaluation
        return found if found is not None and found.converged else None
