"""What is there: :func:`inspect` for a network, :func:`check` for a configuration of it."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.picture import Picture
from learnopt.api.question import Enforced, Question, Rules, Situation, Source, State, as_read, read_file
from learnopt.api.unused import Unused, of_balanced, of_strict_limits, unused
from learnopt.errors import DataError
from learnopt.network import Id, Network, ReconfigurationProblem
from learnopt.report.configuration.check import check_rows, check_sentences, check_table, check_to_dict
from learnopt.report.inspection.text import fact_rows, inspection_table, inspection_to_dict
from learnopt.studies.configuration.check import Check, check_configuration, state_of
from learnopt.studies.configuration.held import hold_limits
from learnopt.studies.configuration.in_phases import check_in_phases
from learnopt.studies.inspection.inspection import Finding, Inspection, Severity, inspect_network
from learnopt.studies.inspection.phases import inspect_phases
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted


@dataclass(frozen=True, eq=False)
class NetworkInspection(Answer):
    """What was read, and what looks wrong.

    Parameters
    ----------
    result
        Facts and findings.
    origin
        Differences of the file to its own tool (``origin.warnings``).
    """

    result: Inspection
    origin: Origin

    @property
    def found(self) -> bool:
        """Nothing has to be repaired first."""
        return not self.result.of(Severity.ERROR)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What looks wrong, errors first."""
        return self.result.findings

    @property
    def facts(self) -> dict[str, Any]:
        """Counts, totals and the present state."""
        return self.result.facts

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt inspect --json`` prints."""
        return inspection_to_dict(self.result, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt inspect`` prints."""
        return inspection_table(self.result, self.origin)

    def plot(self) -> Picture:
        """Draw the present state.

        Raises
        ------
        DataError
            If it is not radial or has no power flow.
        """
        from learnopt.report.drawing.diagram import one_line_figure

        net = self._drawable()
        return Picture(
            one_line_figure(ReconfigurationProblem.of(net), net.normal_configuration, self.result.evaluation)
        )

    def draw(self, path: str | Path) -> Path:
        """The same to a file, .png, .svg, .pdf or an interactive .html; returns its path."""
        from learnopt.report.drawing.files import write_diagram

        net, path = self._drawable(), Path(path)
        write_diagram(path, ReconfigurationProblem.of(net), net.normal_configuration, self.result.evaluation)
        return path

    def _drawable(self) -> Network:
        if not self.result.drawable:
            raise DataError("plot", ["the present state is not radial or has no power flow"])
        return self.result.network

    def report(self, path: str | Path) -> Path:
        """Write a self-contained page; returns its path."""
        from learnopt.report.inspection.page import write_inspection_report

        write_inspection_report(Path(path), self.result, self.origin)
        return Path(path)

    def __repr__(self) -> str:
        facts = self.facts
        counts = ", ".join(counted(len(self.result.of(kind)), kind.value) for kind in Severity)
        size = f"{self.result.network.size_text}, {counted(facts['loops'], 'loop')}"
        return f"NetworkInspection({facts['case']!r}: {size}; {counts})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.inspection.page import findings_html
        from learnopt.report.kit.page import table

        warned = "".join(f"<p><b>Warning:</b> {escape(warning)}</p>" for warning in self.origin.warnings)
        return warned + table((), fact_rows(self.result)) + findings_html(self.result)


def inspect(
    network: Network | str | Path, *, hour: float | None = None, accept_differences: bool = False
) -> NetworkInspection:
    """What a network holds and what looks wrong in it, before anybody optimises it.

    Parameters
    ----------
    network
        A network, or what :func:`learnopt.load` takes.
    hour, accept_differences
        As of :func:`learnopt.load`.

    Raises
    ------
    DataError
        If the file cannot be read, or differs in its own tool and nothing explains it.
    """
    if isinstance(network, Network):
        if hour is not None:
            raise DataError("options", [f"hour = {hour:g} belongs to an OpenDSS file, a network was given"])
        imported = as_read(network)
    else:
        imported = read_file(network, accept_differences, hour)
    found = inspect_network(imported.network, imported.notes, inspect_phases(imported))
    return NetworkInspection(found, imported.origin)


@dataclass(frozen=True, eq=False)
class ConfigurationCheck(Answer):
    """A configuration as it stands: loss, voltages and everything it breaks.

    Parameters
    ----------
    question
        What was asked; its problem holds the limits that no switch can change.
    result
        The complete answer.
    origin
        Differences of the file to its own tool, and this configuration in it (``origin.source``).
    unused
        Options that were given and had no effect.
    """

    question: Question
    result: Check
    origin: Origin
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> bool:
        """It is radial, but for fixed loops, and has a power flow; it may break limits."""
        return not self.result.faults and self.result.evaluation.converged

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed or repaired while the scenario file was read, one sentence each."""
        return self.question.notes

    @property
    def violations(self) -> tuple[str, ...]:
        """Everything it breaks, one sentence each; empty where it is admissible and within its limits."""
        return self.result.violations

    @property
    def loss_kw(self) -> float | None:
        """AC loss [kW]; None without a power flow."""
        evaluation = self.result.evaluation
        return evaluation.loss_kw if evaluation.converged else None

    @property
    def open_branches(self) -> list[Id]:
        """Ids of the open branches."""
        return self.result.problem.network.open_ids(self.result.configuration)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt check --json`` prints."""
        return check_to_dict(self.result, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt check`` prints."""
        return check_table(self.result, self.origin)

    def report(self, path: str | Path) -> Path:
        """Write a self-contained page; returns its path."""
        from learnopt.report.configuration.check import write_check_report

        write_check_report(Path(path), self.result, self.origin)
        return Path(path)

    def __repr__(self) -> str:
        name = self.result.problem.network.name
        loss = "no power flow" if self.loss_kw is None else f"{self.loss_kw:.3f} kW"
        shape = "radial" if not self.result.faults else "not radial"
        return f"ConfigurationCheck({name!r}: {shape}; {loss}; {counted(len(self.violations), 'violation')})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        said = [*self.origin.warnings, *self.without_effect, *check_sentences(self.result), *self.notes]
        return table((), check_rows(self.result)) + "".join(f"<p>{escape(s)}</p>" for s in said)


def check(
    network: Source,
    open_branches: State = None,
    *,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    charging: bool = True,
    max_unbalance: float | None = None,
    hour: float | None = None,
    accept_differences: bool = False,
    source_check: bool = True,
    balanced: bool = False,
) -> ConfigurationCheck:
    """AC loss, voltages and violations of a given configuration.

    With loops too many it is computed as it stands, all of them closed.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem.
    open_branches
        The configuration, or the ids of its open branches; the normal one where absent.
    scenario, limits, vmin, vmax, charging
        As of :func:`problem`; none where a problem is given.
    strict_limits, max_unbalance, hour, accept_differences, source_check
        As of :func:`solve`.
    balanced
        Check the balanced equivalent of an unbalanced file, not the file in all its phases.

    Raises
    ------
    DataError
        If the input is bad: unknown ids are all named.
    """
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, hour=hour,
        max_unbalance=max_unbalance,
    )  # fmt: skip
    question = rules.question(network, accept_differences)
    asked = question.problem
    state = state_of(asked, open_branches)
    result = None if balanced else check_in_phases(question.imported, asked, state)
    if result is None:
        question.refuse_unseen_phases()
        asked = asked if strict_limits else hold_limits(asked)
        result = check_configuration(asked, state)
        origin = question.imported.judged(asked, state, result.evaluation, check=source_check)
    elif result.phases is None:
        origin = Origin()
    else:
        origin = question.imported.of_phases(asked, state, result.evaluation, result.phases, check=source_check)
    told = unused([of_strict_limits(strict_limits, limits, vmin, vmax)])
    return ConfigurationCheck(question, result, origin, told + of_balanced(balanced, question.origin.equivalent))
