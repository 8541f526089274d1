"""Savings over a year: :func:`savings` and a :class:`SavingsStudy` that shows itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.picture import Picture
from learnopt.api.question import (
    Enforced,
    Question,
    Rules,
    Situation,
    Source,
    chosen,
    profile_source,
    read_profile,
    warm,
)
from learnopt.api.unused import Unused, of_balanced, of_savings, of_savings_in_phases
from learnopt.errors import DataError, UnsupportedError
from learnopt.io import Profiles
from learnopt.io.files import check_folder
from learnopt.network import Certificate
from learnopt.report.savings.text import (
    Factors,
    comparison,
    savings_table,
    savings_to_dict,
    sentences,
    strategy_name,
)
from learnopt.studies.inspection.reconcile import Origin
from learnopt.studies.savings import Period, Savings, SavingsProblem, savings_study
from learnopt.studies.savings.held import hold_limits_of_study
from learnopt.studies.savings.profile import savings_problem


@dataclass(frozen=True, eq=False)
class SavingsStudy(Answer):
    """Ways to operate a feeder over a profile, measured and bounded.

    Parameters
    ----------
    result
        The complete answer.
    factors
        What a MWh stands for.
    notes
        What was assumed or repaired while the profile was read, one sentence each.
    origin
        Differences of the file to its own tool (``origin.warnings``).
    unused
        Options that were given and had no effect.
    """

    result: Savings
    factors: Factors
    notes: tuple[str, ...] = ()
    origin: Origin = field(default_factory=Origin)
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> bool:
        """A study always has an answer."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt savings --json`` prints."""
        return savings_to_dict(self.result, self.factors, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt savings`` prints."""
        return savings_table(self.result, self.factors, self.origin)

    def plot(self) -> Picture:
        """Loss duration curves, and the energy lost by month."""
        from learnopt.report.savings.page import savings_figure

        return Picture(savings_figure(self.result))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt savings --report``; returns its path."""
        from learnopt.report.savings.page import write_savings_report

        write_savings_report(Path(path), self.result, self.factors, self.origin)
        return Path(path)

    def __repr__(self) -> str:
        words = (
            f"{strategy_name(self.result.problem, s)} {s.energy_mwh:.4g} MWh" if s.energy_mwh is not None else s.name
            for s in self.result.strategies
        )
        return f"SavingsStudy({self.result.problem.network.name!r}: {', '.join(words)})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        head, rows = comparison(self.result, self.factors)
        said = [
            *self.origin.warnings,
            *self.without_effect,
            *sentences(self.result, self.factors, self.origin),
            *self.notes,
        ]
        numeric = tuple(range(1, len(head)))
        return table(head, rows, numeric) + "".join(f"<p>{escape(sentence)}</p>" for sentence in said)


def savings(
    network: Source,
    profile: Profiles | str | Path | None = None,
    *,
    start: str | None = None,
    steps: int | None = None,
    step_hours: float | None = None,
    period: Period | str = Period.MONTH,
    switching_cost: float = 0.0,
    price_per_mwh: float | None = None,
    currency: str | None = None,
    co2_kg_per_mwh: float | None = None,
    representatives: int | None = None,
    gap: float = 1e-2,
    proof_time: float | None = None,
    node_limit: int | None = None,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    charging: bool = True,
    remote_only: bool = False,
    resume: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    accept_differences: bool = False,
    balanced: bool = False,
    workers: int = 0,
    scheduler: str | None = None,
) -> SavingsStudy:
    """Energy that switching saves over a profile: present, best single, seasonal and hourly configurations.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem, whose limits and locks then hold in every step.
    profile
        Loads over time: a record, a file, ``simbench:CODE``, or ``synthetic`` for a made-up year (``synthetic:7`` for
        that of another seed). None = those of the SimBench grid.
    start, steps, step_hours
        First instant, number of steps, and hours per step over which loads are averaged; all of the profile where
        absent.
    period
        How long a seasonal configuration stays: ``week``, ``month`` or ``quarter``.
    switching_cost
        Cost of one operation in energy [kWh].
    price_per_mwh, currency, co2_kg_per_mwh
        What a MWh lost costs (in EUR where no currency is named) and emits; not shown where absent.
    representatives
        Load situations that stand for the steps while choosing; by size where absent.
    gap, proof_time
        Proofs of single steps stop at this gap of the hourly bound, or after these seconds; nodes are counted where no
        time is given.
    node_limit
        Nodes of all searches and proofs together, by size where absent: the same answer on every machine.
    scenario
        Outages and locks that hold in every step, as of :func:`problem`.
    limits, vmin, vmax, charging, remote_only
        As of :func:`problem`; none where a problem is given.
    strict_limits
        Enforce also limits that the present state breaks and no switch can change. Otherwise they are held at their
        present value: ``problem.limits.held`` of the result, and its message.
    resume
        Folder that keeps what is proven: an interrupted study goes on there.
    progress
        Called with what is being done, how many are done and how many there are.
    accept_differences
        Go on where a file differs in its own tool and nothing explains it; the study then says so.
    balanced
        Study the balanced equivalent of an unbalanced file, not the file in all its phases.
    workers
        Searches at one time, in threads of this process; 0 = one per core.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers search instead. The study does not depend on who
        searches, unless ``proof_time`` counts seconds.

    Raises
    ------
    DataError
        If the input is bad.
    WorkersLostError
        If the workers of a scheduler end again and again, or the scheduler does.
    UnsupportedError
        If searches of a study in all phases are to be kept in a folder.
    """
    unused = of_savings(
        currency=currency, price_per_mwh=price_per_mwh, strict_limits=strict_limits, limits=limits, vmin=vmin,
        vmax=vmax, workers=workers, scheduler=scheduler,
    )  # fmt: skip
    factors = Factors(price_per_mwh, currency or "EUR", co2_kg_per_mwh)
    season = chosen(Period, "period", period)
    if workers < 0:
        raise DataError("savings", [f"workers = {workers} must be >= 0"])
    source = profile_source(profile, network)
    directory = None if resume is None else Path(resume)
    check_folder(directory)
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, charging=charging, remote_only=remote_only
    )  # fmt: skip
    question = rules.question(network, accept_differences)
    base = question.problem
    if len(base.situations) > 1:
        raise DataError("savings", ["the problem has several scenarios: loads over time belong into the profile"])
    profiles = read_profile(source, base.network)
    asked = savings_problem(base, profiles, start, steps, step_hours, season, switching_cost)
    if not balanced and (found := _in_phases(question, asked, not strict_limits, directory, progress)) is not None:
        unused += of_savings_in_phases(
            representatives=representatives, proof_time=proof_time, node_limit=node_limit, workers=workers or None,
            scheduler=scheduler,
        )  # fmt: skip
        return SavingsStudy(found, factors, (*question.notes, *profiles.notes), Origin(), unused)
    unused += of_balanced(balanced, question.origin.equivalent)
    warm("tree", Certificate.AC)
    result = savings_study(
        asked if strict_limits else hold_limits_of_study(asked),
        representative_steps=representatives,
        gap=gap,
        proof_time=proof_time,
        node_limit=node_limit,
        directory=directory,
        progress=progress,
        threads=workers or os.cpu_count() or 1,
        scheduler=scheduler,
    )
    return SavingsStudy(result, factors, (*question.notes, *profiles.notes), question.origin, unused)


def _in_phases(
    question: Question,
    asked: SavingsProblem,
    hold: bool,
    directory: Path | None,
    progress: Callable[[str, int, int], None] | None,
) -> Savings | None:
    """The study in all phases of an unbalanced file; None where it is balanced."""
    with question.imported.circuits(question.problem) as circuits:
        if not circuits:
            return None
        if directory is not None:
            raise UnsupportedError("a study in all phases keeps no searches", {"resume": None})
        from learnopt.studies.savings.by_phases import savings_in_phases  # nothing of it where a file is balanced

        in_phases = replace(asked, network=asked.network.in_phases())
        return savings_in_phases(in_phases, circuits[0], hold, progress)
