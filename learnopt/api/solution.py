"""The answer to one problem, a :class:`Solution`, and to all trade-offs with operations, a :class:`ParetoFront`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal

from rich.console import Group, RenderableType

from learnopt.api.answer import Answer
from learnopt.api.picture import Picture
from learnopt.api.question import Question
from learnopt.api.unused import Unused
from learnopt.errors import DataError
from learnopt.io.files import write_text
from learnopt.network import Certificate, Configuration, Evaluation, Id, ReconfigurationProblem, Result, Status
from learnopt.network.names import open_labels
from learnopt.network.unbalanced import ControlledCircuit
from learnopt.physics.phase_judge import PhaseJudge
from learnopt.report.configuration.head import Head
from learnopt.report.configuration.order import operated_by, plan_of, state_after, what
from learnopt.report.configuration.text import (
    initial_evaluation,
    pareto_point,
    pareto_rows,
    pareto_table,
    result_table,
    result_to_dict,
    summary_rows,
    verdict,
)
from learnopt.report.kit.origin import in_source
from learnopt.studies.configuration.switching_order import Operation, Paralleling, normal_state
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

EXPLANATION_S = 5.0
"""Most time spent on finding the limits that conflict, where a time limit is set."""


@dataclass(frozen=True, eq=False)
class Solution(Answer):
    """A result together with its problem.

    Parameters
    ----------
    question
        What was asked; its problem holds the limits that were held.
    result
        The complete answer.
    origin
        Differences of the file to its own tool (``origin.warnings``), and the answer in it (``origin.source``).
    paralleling
        May a loop be closed for a moment while switching?
    head
        Who made and checked the switching order, and of when its data are.
    explanation_s
        Most time for :attr:`conflicts` [s]; None = the work is counted.
    unused
        Options that were given and had no effect.
    """

    question: Question
    result: Result
    origin: Origin
    paralleling: Paralleling = Paralleling.ALLOWED
    head: Head = field(default_factory=Head)
    explanation_s: float | None = None
    unused: tuple[Unused, ...] = ()

    @property
    def problem(self) -> ReconfigurationProblem:
        """What was solved."""
        return self.question.problem

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed or repaired while the scenario file was read, one sentence each."""
        return self.question.notes

    @property
    def found(self) -> bool:
        """There is a configuration."""
        return self.result.configuration is not None

    @property
    def status(self) -> Status:
        """How the solve ended."""
        return self.result.status

    @property
    def certificate(self) -> Certificate:
        """What is proven."""
        return self.result.certificate

    @property
    def configuration(self) -> Configuration | None:
        """State of every branch, None where none was found."""
        return self.result.configuration

    @property
    def open_branches(self) -> list[Id] | None:
        """Ids of the open branches, None where no configuration was found."""
        found = self.result.configuration
        return None if found is None else self.problem.network.open_ids(found)

    @property
    def loss_kw(self) -> float | None:
        """AC loss of the configuration [kW]."""
        return self.result.loss_kw

    @property
    def gap(self) -> float | None:
        """Relative distance of the objective and its proven bound; None where nothing is proven."""
        return None if self.result.certificate is Certificate.NONE else self.result.gap

    @cached_property
    def initial(self) -> Evaluation:
        """AC power flow before reconfiguration."""
        return initial_evaluation(self.problem, self.result)

    @cached_property
    def operations(self) -> list[Operation]:
        """The switching plan: operations in order, each with the state it leads to; empty without a configuration."""
        if self.result.phases is None:
            return plan_of(self.problem, self.result, self.paralleling)
        with self.question.imported.circuits(self.problem) as circuits:
            positions = {one.element: one.position for one in self.result.phases.controls}
            for circuit in circuits if positions else ():
                assert isinstance(circuit, ControlledCircuit), "it was set in this circuit"
                circuit.operate(positions)
            return plan_of(self.problem, self.result, self.paralleling, PhaseJudge(circuits))

    @cached_property
    def conflicts(self) -> list[str]:
        """Where there is no configuration: the limits that cannot be met together, one sentence each."""
        if self.status not in (Status.INFEASIBLE, Status.NO_SOLUTION) or self.result.phases is not None:
            return []  # what is found out about the balanced equivalent is not true of its phases
        from learnopt.studies.configuration.explain import explain_infeasibility

        return explain_infeasibility(self.problem, self.explanation_s)

    @cached_property
    def explained(self) -> Result:
        """The result, its message with the conflicts."""
        if self.status not in (Status.INFEASIBLE, Status.NO_SOLUTION):
            return self.result
        message = " ".join([self.result.message.rstrip(".") + ".", *self.conflicts])
        return replace(self.result, message=message)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt solve --json`` prints."""
        answer = result_to_dict(self.problem, self.explained, self.operations, self.origin, self.head)
        return answer | {"conflicts": self.conflicts}

    def rendered(self) -> RenderableType:
        """What ``learnopt solve`` prints: figures before and after, what is proven, the switching plan."""
        return result_table(self.problem, self.explained, self.operations, self.origin, self.head)

    def plot(self, kind: Literal["diagram", "voltages"] = "diagram") -> Picture:
        """Draw the configuration.

        Parameters
        ----------
        kind
            ``diagram``: one-line diagram, changed switches marked; ``voltages``: voltages along the feeders, before
            and after; of an answer in all phases those of each phase.

        Raises
        ------
        DataError
            If there is no configuration to draw, or no drawing of this kind.
        """
        if self.result.configuration is None:
            raise DataError("plot", [f"there is no configuration to draw: the solve ended {self.status.value}"])
        problem = self.problem.applied(self.result.settings)
        present = normal_state(problem)
        if kind == "diagram":
            from learnopt.report.drawing.diagram import one_line_figure

            return Picture(one_line_figure(problem, self.result.configuration, self.result.evaluation, present))
        if kind == "voltages":
            from learnopt.report.drawing.profile import phase_figure, phase_profiles, profile_figure, voltage_profile

            summary = self.result.phases
            if summary is not None and summary.voltage is not None:
                found = self.result.configuration, self.result.evaluation
                if profiles := phase_profiles(problem, *found, summary.voltage):
                    return Picture(phase_figure(problem, profiles))
            before = voltage_profile(problem, present, self.initial)
            after = voltage_profile(problem, self.result.configuration, self.result.evaluation)
            return Picture(profile_figure(problem, before, after))
        raise DataError("plot", [f"kind = {kind!r} must be 'diagram' or 'voltages'"])

    def report(self, path: str | Path) -> Path:
        """Write the self-contained interactive page of ``learnopt solve --report``; returns its path."""
        return self.write_page(path)

    def write_page(self, path: str | Path, front: tuple[Result, ...] = ()) -> Path:
        """The page, with a front of loss against operations where one is known."""
        from learnopt.report.configuration.page import report_html

        page = report_html(
            self.problem, self.explained, plan=self.operations, front=front, notes=self.question.imported.notes,
            origin=self.origin, head=self.head,
        )  # fmt: skip
        write_text(Path(path), page)
        return Path(path)

    def export(self, path: str | Path) -> Path:
        """Write the new switch states as .json (case or pandapower net), .dss (OpenDSS) or .csv (steps).

        Raises
        ------
        DataError
            If there is no configuration, or the folder does not exist.
        UnsupportedError
            For another ending, or settings that the format does not hold.
        """
        from learnopt.report.configuration.export import check_export, write_export

        path = Path(path)
        check_export(path)
        if not self.found:
            raise DataError("export", [f"there is no configuration to write: the solve ended {self.status.value}"])
        question = self.question
        write_export(path, question.source, self.problem, self.result, self.operations, question.hour, self.head)
        return path

    def __repr__(self) -> str:
        name, status = self.problem.network.name, self.status.value
        if self.loss_kw is None:
            return f"Solution({name!r}: {status}; {self.result.message})"
        opened = ", ".join(open_labels(self.problem.network, self.configuration) if self.configuration else ())
        loss = f"{self.loss_kw:.3f} kW, before {self.initial.loss_kw:.3f} kW"
        return f"Solution({name!r}: {status}, certificate {self.certificate.value}; {loss}; open {opened})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        words = verdict(self.problem, self.result, self.origin)
        parts = [
            f"<h4>{escape(self.problem.network.name)}: {escape(words.headline)}</h4>",
            *(f"<p><b>Warning:</b> {escape(said)}</p>" for said in (*self.origin.warnings, *self.without_effect)),
            table(("", "before", "after"), summary_rows(self.problem, self.result), numeric=(1, 2)),
            "".join(f"<p>{escape(sentence)}</p>" for sentence in words.sentences),
        ]
        if self.configuration is not None:
            parts.append(
                f"<p>open branches: {escape(', '.join(open_labels(self.problem.network, self.configuration)))}</p>"
            )
        if self.operations:
            rows = (
                [str(o.step), o.action.value, operated_by(o), what(self.problem.network, o), state_after(o)]
                for o in self.operations
            )
            parts.append(table(("step", "action", "by", "what", "state after"), rows, numeric=(0, 4)))
        found = in_source(self.origin)
        parts += [f"<p>{escape(note)}</p>" for note in (*([found] if found else []), *self.notes)]
        return "".join(parts)


@dataclass(frozen=True, eq=False)
class ParetoFront(Answer):
    """Least loss for every number of switching operations.

    Parameters
    ----------
    solution
        The point of least loss, or the ranking that was asked for.
    points
        Results of rising operations and falling loss, each proven by itself.
    unused
        Options that were given and had no effect.
    """

    solution: Solution
    points: tuple[Result, ...]
    unused: tuple[Unused, ...] = ()

    @property
    def problem(self) -> ReconfigurationProblem:
        """What was solved."""
        return self.solution.problem

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the solution."""
        return self.solution.notes

    @property
    def found(self) -> bool:
        """There is a configuration."""
        return self.solution.found

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt solve --pareto --json`` prints."""
        return self.solution.to_dict() | {"pareto": [pareto_point(self.problem, point) for point in self.points]}

    def rendered(self) -> RenderableType:
        """What ``learnopt solve --pareto`` prints."""
        parts = [self.solution.rendered()]
        return Group(*parts, pareto_table(self.problem, self.points)) if self.points else Group(*parts)

    def plot(self) -> Picture:
        """Draw loss and proven bound against operations.

        Raises
        ------
        DataError
            If there is no point to draw.
        """
        if not self.points:
            raise DataError("plot", [f"there is no front to draw: the solve ended {self.solution.status.value}"])
        from learnopt.report.configuration.front import front_figure

        return Picture(front_figure(self.problem, self.points))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained interactive page of ``learnopt solve --pareto --report``; returns its path."""
        return self.solution.write_page(path, self.points)

    def __repr__(self) -> str:
        name = self.problem.network.name
        ends = [pareto_point(self.problem, point) for point in (self.points[:1] + self.points[-1:])]
        if not ends:
            return f"ParetoFront({name!r}: {self.solution.status.value}; {self.solution.result.message})"
        words = " to ".join(f"{p['loss_kw']:.3f} kW with {p['operations']} operations" for p in ends)
        return f"ParetoFront({name!r}: {counted(len(self.points), 'point')}, {words})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        head, rows = pareto_rows(self.problem, self.points)
        return f"<h4>{escape(repr(self))}</h4>" + table(head, rows, numeric=(0, 1, 2))
