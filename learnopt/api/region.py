"""Many feeders at once: :func:`region`, a row each, and a :class:`RegionTable` that shows itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.configuration import solve
from learnopt.api.question import Enforced, optional, warm
from learnopt.api.solution import Solution
from learnopt.errors import DataError, LearnoptError
from learnopt.io.files import check_writable, write_text
from learnopt.io.places import Place, place_of
from learnopt.io.region_file import RegionFeeder, read_region
from learnopt.network import Certificate, Status
from learnopt.parallel import Workers, WorkersLostError, run_tasks
from learnopt.report.kit.numbers import finite
from learnopt.report.kit.page import page, table
from learnopt.report.region.rows import RegionRow, check_kind, read_rows, write_rows
from learnopt.report.region.text import HEAD, NUMERIC, region_rows, region_sentences, region_table, region_to_dict
from learnopt.studies.configuration.solve import AUTO
from learnopt.wording import counted

CHUNK = 8
"""Feeders of a task: small ones take some tenths of a second each, a task should take seconds."""
_SHARE_KEPT = 20
"""A table is written anew when a twentieth of it is new: each row is written some times and not a thousand."""


@dataclass(frozen=True, eq=False)
class RegionTable(Answer):
    """A row for each feeder of a region.

    Parameters
    ----------
    rows
        In the order of the list.
    place
        The file that keeps them, None where there is none.
    """

    rows: tuple[RegionRow, ...]
    place: Place | None = None

    @property
    def found(self) -> bool:
        """Every feeder has an answer."""
        return all(row.solved for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt region --json`` prints."""
        return region_to_dict(self.rows)

    def rendered(self) -> RenderableType:
        """What ``learnopt region`` prints."""
        return region_table(self.rows, None if self.place is None else str(self.place))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt region --report``; returns its path."""
        write_text(Path(path), page("Feeders of a region", ["<h1>Feeders of a region</h1>", self._repr_html_()]))
        return Path(path)

    def __repr__(self) -> str:
        return f"RegionTable({sum(row.solved for row in self.rows)} of {counted(len(self.rows), 'feeder')} solved)"

    def _repr_html_(self) -> str:
        """What a notebook shows: all rows."""
        told = "".join(f"<p>{escape(sentence)}</p>" for sentence in region_sentences(self.rows))
        return told + table(HEAD, region_rows(self.rows), NUMERIC)


def region(
    source: str | Path | Sequence[str | Path | RegionFeeder],
    *,
    out: str | Path | None = None,
    engine: str = AUTO,
    certify: Certificate | str | None = None,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    controls: str = "none",
    charging: bool = True,
    remote_only: bool = False,
    accept_differences: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
    chunk: int = CHUNK,
    progress: Callable[[int, int], None] | None = None,
) -> RegionTable:
    """Solve every feeder of a region; what is wrong with one is in its row and stops no other.

    Parameters
    ----------
    source
        A CSV or TOML file that lists feeders (:mod:`learnopt.io.region_file`), a folder of case files, a pattern such
        as ``feeders/*.json``, a case, or several of these.
    out
        Table of all rows (.csv, .json, .parquet), in a folder or an object store. It is written while the work goes on;
        rows that are there are taken over where files and options of their feeder are the same, so that an interrupted
        region goes on; rows with an error are tried again.
    engine, certify, gap, time_limit, node_limit, limits, vmin, vmax, strict_limits, controls, charging, remote_only, \
    accept_differences
        As of :func:`solve`, for all feeders whose list does not say otherwise. One thread each.
    workers
        Processes.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers see the files and take the place of processes.
    chunk
        Feeders of a task.
    progress
        Called with the number of feeders that are done, and of all.

    Raises
    ------
    DataError
        If the list is wrong, or ``out`` holds something else.
    """
    options = {
        "engine": engine, "certify": certify, "gap": gap, "time_limit": time_limit, "node_limit": node_limit,
        "limits": limits, "vmin": vmin, "vmax": vmax, "strict_limits": strict_limits, "controls": controls,
        "charging": charging, "remote_only": remote_only, "accept_differences": accept_differences,
    }  # fmt: skip
    if chunk < 1:
        raise DataError("region", [f"chunk = {chunk} must be >= 1"])
    who = Workers(0 if workers == 1 else workers, scheduler)
    given = {key: value for key, value in options.items() if value is not None}
    sources = [source] if isinstance(source, str | Path) else source
    feeders = [each for each in sources if isinstance(each, RegionFeeder)]
    if len(feeders) < len(sources) or not sources:
        feeders += read_region(*(each for each in sources if not isinstance(each, RegionFeeder)), options=given)
    rows = _Rows.open(out, feeders)
    proof = optional(Certificate, "certify", certify)
    _work(rows, chunk, who, (warm, (engine, proof)), progress)
    return RegionTable(tuple(rows.in_order()), rows.place)


@dataclass(eq=False)
class _Rows:
    """Rows that are known, in memory and in a file."""

    place: Place | None
    feeders: Sequence[RegionFeeder]
    questions: Mapping[str, str]
    """Checksum of each feeder, by name."""
    known: dict[str, RegionRow]
    new: int = 0

    @classmethod
    def open(cls, out: str | Path | None, feeders: Sequence[RegionFeeder]) -> _Rows:
        """What the file holds of these feeders."""
        questions = {feeder.name: feeder.fingerprint() for feeder in feeders}
        if out is None:
            return cls(None, feeders, questions, {})
        place = place_of(out)
        check_kind(place.name)
        if isinstance(place, Path):
            check_writable(table=place)
        found = {row.name: row for row in read_rows(place)}
        kept = {n: row for n, row in found.items() if questions.get(n) == row.question and not row.error}
        return cls(place, feeders, questions, kept)

    @property
    def missing(self) -> list[RegionFeeder]:
        """Feeders without a row."""
        return [feeder for feeder in self.feeders if feeder.name not in self.known]

    def in_order(self) -> list[RegionRow]:
        """Rows so far, in the order of the list."""
        return [self.known[feeder.name] for feeder in self.feeders if feeder.name in self.known]

    def take(self, rows: Sequence[RegionRow]) -> None:
        """Keep rows, in the file when it is time."""
        for row in rows:
            self.known[row.name] = replace(row, question=self.questions[row.name])
        self.new += len(rows)
        if self.new * _SHARE_KEPT >= len(self.known):
            self.write()

    def write(self) -> None:
        """Bring the file up to date."""
        if self.place is not None:
            write_rows(self.place, self.in_order())
        self.new = 0


def _work(
    rows: _Rows,
    chunk: int,
    who: Workers,
    prepare: tuple[Callable[..., object], tuple[Any, ...]],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Solve what is missing. A feeder whose worker ends again and again gets a row that says so."""

    def take(_: int, found: list[RegionRow]) -> None:
        rows.take(found)
        tell()

    def tell() -> None:
        if progress is not None:
            progress(len(rows.known), len(rows.feeders))

    tell()
    try:
        while missing := rows.missing:
            chunks = [missing[k : k + chunk] for k in range(0, len(missing), chunk)]
            try:
                run_tasks(_solved, chunks, who, prepare, take)
            except WorkersLostError as lost:
                if not lost.places:
                    raise
                # Which of those that were in work is the cause, each of them shows alone.
                for feeder in (each for place in lost.places for each in chunks[place]):
                    if feeder.name not in rows.known:
                        take(0, [_alone(feeder, who, prepare)])
    finally:
        rows.write()


def _alone(feeder: RegionFeeder, who: Workers, prepare: tuple[Callable[..., object], tuple[Any, ...]]) -> RegionRow:
    """The row of a feeder that has a worker for itself."""
    try:
        return run_tasks(_solved, [[feeder]], replace(who, processes=1), prepare)[0][0]
    except WorkersLostError as lost:
        if not lost.places:
            raise
        return _failed(feeder, "its process ended again and again: killed, or out of memory")


def _solved(feeders: Sequence[RegionFeeder]) -> list[RegionRow]:
    """Rows of some feeders."""
    return [_row(feeder) for feeder in feeders]


def _row(feeder: RegionFeeder) -> RegionRow:
    started = time.perf_counter()
    try:
        solution = solve(feeder.case, scenario=feeder.scenario, **feeder.options)
        if solution.status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # engines turn Ctrl-C into a result, which is no row
        return _told(feeder, solution, time.perf_counter() - started)
    except LearnoptError as error:
        return _failed(feeder, "; ".join(error.messages))
    except Exception as error:  # a feeder must not take the other ones with it
        return _failed(feeder, f"{type(error).__name__}: {error}")


def _told(feeder: RegionFeeder, solution: Solution, seconds: float) -> RegionRow:
    result, network, judged = solution.result, solution.problem.network, solution.result.evaluation
    before, after = finite(solution.initial.loss_kw), finite(solution.loss_kw)
    proven = result.certificate is not Certificate.NONE
    return RegionRow(
        name=feeder.name,
        case=feeder.case,
        scenario=feeder.scenario,
        question="",
        buses=network.n_bus,
        branches=network.n_branch,
        status=result.status.value,
        certificate=result.certificate.value,
        initial_loss_kw=before,
        loss_kw=after,
        saving_percent=None if after is None or not before else 100 * (before - after) / before,
        bound_kw=finite(result.dual_bound_kw) if proven else None,
        gap=finite(solution.gap),
        operations=len(solution.operations) if solution.found else None,
        min_voltage_pu=None if judged is None else finite(judged.min_voltage_pu),
        violations=None if judged is None else len(judged.violations),
        open_branches=", ".join(map(str, solution.open_branches or ())),
        engine=result.engine,
        seconds=seconds,
        message=result.message,
    )


def _failed(feeder: RegionFeeder, why: str) -> RegionRow:
    return RegionRow(feeder.name, feeder.case, feeder.scenario, "", error=" ".join(why.split()))
