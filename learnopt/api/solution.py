"""One problem in a notebook: :func:`problem`, :func:`solve`, and a :class:`Solution` that shows itself.

A thin layer over studies and reports: it takes what a user has at hand (a name, a file, a network), and keeps problem
and result together, so that ids, pictures and the switching plan need no further argument.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from learnopt.api.picture import Picture
from learnopt.engines import SolveOptions
from learnopt.errors import DataError
from learnopt.io import Loaded, SourceTool, load_with_source, read_scenarios
from learnopt.io.scenario_json import scenario_set_from_dict
from learnopt.learned.choice import engine_of
from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    Id,
    Limits,
    Network,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
    Status,
)
from learnopt.report.configuration.order import operated_by, plan_of, state_after, what
from learnopt.report.configuration.text import (
    initial_evaluation,
    result_table,
    result_to_dict,
    summary_rows,
    verdict,
)
from learnopt.report.kit.origin import in_source
from learnopt.studies.configuration.held import solve_holding
from learnopt.studies.configuration.in_phases import solve_in_phases
from learnopt.studies.configuration.solve import AUTO, warm_up
from learnopt.studies.configuration.solve import solve as run_solve
from learnopt.studies.configuration.switching_order import Operation, normal_state
from learnopt.studies.inspection.reconcile import Imported, Origin, reconcile

Source = Network | ReconfigurationProblem | str | Path
"""What can be solved: a network, a problem, or what :func:`learnopt.load` takes."""
Situation = Scenario | Situations | Mapping[str, Any] | str | Path | None
"""Loads and states of the switches: a record, the content of a scenario file, a file, or None for those of the case."""

_read: WeakKeyDictionary[Network, tuple[SourceTool | None, Origin]] = WeakKeyDictionary()
"""Tool and origin of every network that was read, as long as it lives. Networks do not change: an edited one is
another, and not that of the file."""
_EXPLANATION_S = 5.0
"""Most time spent on finding the limits that conflict."""


@dataclass(frozen=True, eq=False)
class Solution:
    """A result together with its problem.

    Parameters
    ----------
    problem, result
        What was asked, and the complete answer.
    notes
        What was assumed or repaired while the scenario file was read, one sentence each.
    origin
        Differences of the file to its own tool (``origin.warnings``), and the answer in it (``origin.source``).
    """

    problem: ReconfigurationProblem
    result: Result
    notes: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)

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
        return plan_of(self.problem, self.result)

    @cached_property
    def conflicts(self) -> list[str]:
        """Where there is no configuration: the limits that cannot be met together, one sentence each."""
        if self.status not in (Status.INFEASIBLE, Status.NO_SOLUTION):
            return []
        from learnopt.studies.configuration.explain import explain_infeasibility

        return explain_infeasibility(self.problem, _EXPLANATION_S)

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain JSON values: the object that ``learnopt solve --json`` prints, without its conflicts."""
        return result_to_dict(self.problem, self.result, origin=self.origin)

    def table(self) -> None:
        """Print what ``learnopt solve`` prints: figures before and after, what is proven, the switching plan."""
        from rich.console import Console

        Console().print(result_table(self.problem, self.result, origin=self.origin))

    def plot(self, kind: Literal["diagram", "voltages"] = "diagram") -> Picture:
        """Draw the configuration.

        Parameters
        ----------
        kind
            ``diagram``: one-line diagram, changed switches marked; ``voltages``: voltages along the feeders, before
            and after.

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
            from learnopt.report.drawing.profile import profile_figure, voltage_profile

            before = voltage_profile(problem, present, self.initial)
            after = voltage_profile(problem, self.result.configuration, self.result.evaluation)
            return Picture(profile_figure(problem, before, after))
        raise DataError("plot", [f"kind = {kind!r} must be 'diagram' or 'voltages'"])

    def report(self, path: str | Path) -> Path:
        """Write the self-contained interactive page of ``learnopt solve --report``; returns its path."""
        from learnopt.report.configuration.page import write_report

        write_report(Path(path), self.problem, self.result, origin=self.origin)
        return Path(path)

    def __repr__(self) -> str:
        name, status = self.problem.network.name, self.status.value
        if self.loss_kw is None:
            return f"Solution({name!r}: {status}; {self.result.message})"
        opened = ", ".join(str(i) for i in self.open_branches or ())
        loss = f"{self.loss_kw:.3f} kW, before {self.initial.loss_kw:.3f} kW"
        return f"Solution({name!r}: {status}, certificate {self.certificate.value}; {loss}; open {opened})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        words = verdict(self.problem, self.result, self.origin)
        parts = [
            f"<h4>{escape(self.problem.network.name)}: {escape(words.headline)}</h4>",
            *(f"<p><b>Warning:</b> {escape(warning)}</p>" for warning in self.origin.warnings),
            table(("", "before", "after"), summary_rows(self.problem, self.result), numeric=(1, 2)),
            "".join(f"<p>{escape(sentence)}</p>" for sentence in words.sentences),
        ]
        if self.open_branches is not None:
            parts.append(f"<p>open branches: {escape(', '.join(map(str, self.open_branches)))}</p>")
        if self.operations:
            rows = (
                [str(o.step), o.action.value, operated_by(o), what(self.problem.network, o), state_after(o)]
                for o in self.operations
            )
            parts.append(table(("step", "action", "by", "what", "state after"), rows, numeric=(0, 4)))
        found = in_source(self.origin)
        parts += [f"<p>{escape(note)}</p>" for note in (*([found] if found else []), *self.notes)]
        return "".join(parts)


def problem(
    network: Network | str | Path,
    scenario: Situation = None,
    limits: Literal["file", "none"] | Limits = "file",
    controls: str = "none",
    charging: bool = True,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    remote_only: bool = False,
) -> ReconfigurationProblem:
    """What is to be solved, from what is at hand.

    Parameters
    ----------
    network
        A network, or what :func:`learnopt.load` takes.
    scenario
        Loads, outages and locks: a record, a mapping read as a scenario file is (``{"out_of_service": [22]}``), a JSON
        file or a load profile (CSV, Parquet; several times are several scenarios). None = the loads of the case.
    limits
        ``file``: all limits of the case; ``none``; or a record.
    controls
        Kinds of controls to set with the switches: ``none``, ``all``, or some of ``taps,capacitors,generators``.
    charging
        Use the line charging of the case.
    switching_cost
        Cost of one operation [kW].
    max_operations
        Cap on operations, None = no cap.
    remote_only
        Nobody travels now: switches operated by hand stay as they are.

    Raises
    ------
    DataError
        With every violation of the files and options.
    """
    net = network if isinstance(network, Network) else read_file(network).network
    if not isinstance(limits, Limits) and limits not in ("file", "none"):
        raise DataError("problem", [f"limits = {limits!r} must be 'file', 'none' or a Limits record"])
    asked = ReconfigurationProblem.of(
        net,
        read_situation(scenario, net)[0],
        limits=limits if isinstance(limits, Limits) else Limits.of(net) if limits == "file" else Limits(),
        charging=charging,
        switching_cost=switching_cost,
        max_operations=max_operations,
        controls=net.controls.only(controls),
    )
    return asked.remote_only() if remote_only else asked


def load(source: str | Path, accept_differences: bool = False, hour: float | None = None) -> Network:
    """A network, compared in its present state with the tool of its file where there is one.

    Parameters
    ----------
    source
        A named case, a file, a folder, or a code (``simbench:1-MV-urban--0-sw``, ``pandapower:mv_oberrhein``).
    accept_differences
        Warn instead of refusing where they differ and nothing explains it.
    hour
        Of an OpenDSS file: the hour of its load shapes to read; None = the snapshot that it describes.

    Raises
    ------
    DataError
        If there is nothing of that name, if the file breaks the rules of its format, or for such a difference.
    UnsupportedError
        If the file asks for something that learnopt does not model, or a package is missing.
    """
    imported = read_file(source, accept_differences, hour)
    for sentence in imported.origin.warnings:
        warnings.warn(sentence, stacklevel=2)
    return imported.network


def read_file(source: str | Path, accept_differences: bool = False, hour: float | None = None) -> Imported:
    """What :func:`load` reads, with what answers have to say of it."""
    imported = reconcile(load_with_source(source, hour), accept_differences)
    _read[imported.network] = imported.loaded.source, imported.origin
    return imported


def as_read(network: Network) -> Imported:
    """A network with the tool and the origin of the file that it was read from; with neither where it is of no file."""
    source, origin = _read.get(network, (None, Origin()))
    return Imported(Loaded(network, source=source), origin)


def read_situation(scenario: Situation, network: Network) -> tuple[Scenario | Situations | None, tuple[str, ...]]:
    """Loads and states of the switches as a record, and the notes of reading them."""
    if isinstance(scenario, str | Path):
        return read_scenarios(Path(scenario), network)
    if isinstance(scenario, Mapping):
        return scenario_set_from_dict(dict(scenario), network, "scenario"), ()
    return scenario, ()


def solve(
    network: Source,
    *,
    engine: str = AUTO,
    certify: Certificate | str | None = None,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    threads: int = 1,
    checkpoint: str | Path | None = None,
    k_best: int = 1,
    strict_limits: bool = False,
    accept_differences: bool = False,
    source_check: bool = True,
    balanced: bool = False,
    **options: Any,
) -> Solution:
    """Find the radial configuration of least loss, and say what is proven.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem.
    engine
        ``auto`` picks one and says why; ``tree``, ``milp``, ``exchange``, ``enumerate``, ``learned``.
    certify
        Proof wanted: ``ac``, ``model``, ``none``; each engine has its default.
    gap
        Relative gap at which to stop; each engine has its default.
    time_limit
        Seconds; the best configuration found by then is returned.
    node_limit
        Nodes of branch and bound after which the same happens, with the same answer on every machine.
    threads
        Of the tree search; the answer and its proof are the same for any number.
    checkpoint
        Of the learned engine; the reference one where absent.
    k_best
        More than one: prove that many best configurations (``result.alternatives``).
    strict_limits
        Enforce also limits that the present state breaks and no switch can change. Otherwise they are held at their
        present value: ``problem.limits.held`` of the solution, and its message.
    accept_differences
        Go on where a file differs in its own tool and nothing explains it; the solution then says so.
    source_check
        Compute the answer in the tool of the file (``origin.source``), where the network is that of a file with one: as
        :func:`learnopt.load` gave it, not edited since.
    balanced
        Solve the balanced equivalent of an unbalanced file, not the file in all its phases.
    options
        ``scenario``, ``limits``, ``controls``, ``charging``, ``switching_cost``, ``max_operations`` and
        ``remote_only`` of :func:`problem`; none where a problem is given.

    Raises
    ------
    DataError
        If the input is bad. Limits and infeasibility are statuses of the solution.
    UnsupportedError
        If the engine does not serve this problem.
    """
    notes: tuple[str, ...] = ()
    if isinstance(network, ReconfigurationProblem):
        if options:
            raise DataError("solve", [f"{', '.join(options)}: part of the problem that was given; use its replace()"])
        asked = network
    else:
        net = network if isinstance(network, Network) else read_file(network, accept_differences).network
        loads, notes = read_situation(options.pop("scenario", None), net)
        asked = problem(net, loads, **options)
    wanted = SolveOptions(
        None if certify is None else _certificate(certify), gap, time_limit, node_limit, threads=threads
    )
    warm(engine, wanted.certify, checkpoint)

    def run(one: ReconfigurationProblem) -> Result:
        return run_solve(one, engine_of(engine, checkpoint), wanted, k_best=k_best)

    read = as_read(asked.network)
    found = None
    if not balanced:
        found = solve_in_phases(read, asked, engine, wanted, k_best=k_best, hold=not strict_limits)
    if found is not None:
        result = found
    else:
        asked, result = (asked, run(asked)) if strict_limits else solve_holding(asked, run)
    origin = read.answered(asked, result, check=source_check)
    return Solution(asked, result, notes, origin)


@cache
def warm(engine: str, certify: Certificate | None, checkpoint: str | Path | None) -> None:
    """Compile once, so that the time of a solve is its own."""
    warm_up(engine_of(engine, checkpoint), SolveOptions(certify=certify))


def _certificate(name: Certificate | str) -> Certificate:
    try:
        return Certificate(name)
    except ValueError:
        known = ", ".join(repr(c.value) for c in Certificate)
        raise DataError("solve", [f"certify = {name!r} must be one of {known}"]) from None
