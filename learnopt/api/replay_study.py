"""A recorded day through the cycle of a control room: :func:`replay` and a :class:`ReplayStudy` that shows itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.over_time import situations_over_time
from learnopt.api.picture import Picture
from learnopt.api.question import Enforced, Rules, Situation, Source, profile_source, read_profile, warm
from learnopt.errors import UnsupportedError
from learnopt.io import Profiles
from learnopt.report.operation.text import PROPOSAL_HEAD, proposal_rows, replay_table, replay_to_dict, sentences
from learnopt.studies.operation.advice import Policy
from learnopt.studies.operation.meters import Telemetry
from learnopt.studies.operation.replay import Replay
from learnopt.studies.operation.replay import replay as run_replay


@dataclass(frozen=True, eq=False)
class ReplayStudy(Answer):
    """What a control room would have been told, and what following it would have saved.

    Parameters
    ----------
    result
        Every cycle.
    notes
        What was assumed or repaired while the profile was read, one sentence each.
    """

    result: Replay
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """A replay always has an answer."""
        return True

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt replay --json`` prints."""
        return replay_to_dict(self.result)

    def rendered(self) -> RenderableType:
        """What ``learnopt replay`` prints."""
        return replay_table(self.result)

    def plot(self) -> Picture:
        """True losses over time."""
        from learnopt.report.operation.page import replay_figure

        return Picture(replay_figure(self.result))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt replay --report``; returns its path."""
        from learnopt.report.operation.page import write_replay_report

        write_replay_report(Path(path), self.result)
        return Path(path)

    def __repr__(self) -> str:
        return f"ReplayStudy({self.result.network.name!r}: {sentences(self.result)[0]})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        said = "".join(f"<p>{escape(one)}</p>" for one in (*sentences(self.result), *self.notes))
        return said + table(PROPOSAL_HEAD, proposal_rows(self.result), (2, 3))


def replay(
    network: Source,
    profile: Profiles | str | Path | None = None,
    *,
    start: str | None = None,
    steps: int | None = None,
    step_hours: float | None = None,
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
    seed: int = 0,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    remote_only: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
    accept_differences: bool = False,
) -> ReplayStudy:
    """Run a recorded time through the cycle of a control room: measure, estimate, forecast, advise, switch.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem, whose limits and locks then hold.
    profile
        Loads over time, as of :func:`learnopt.savings`.
    start, steps, step_hours
        First instant, number of cycles, and hours between them, over which loads are averaged.
    policy
        When switching pays, and how often; that of the house where absent.
    telemetry
        What of the truth is seen: share measured, noise, loss of values, gross errors.
    seed
        Of measured places and noise.
    scenario, limits, vmin, vmax, remote_only
        As of :func:`learnopt.problem`.
    progress
        Called with the number of cycles done and of all.
    accept_differences
        As of :func:`learnopt.load`.

    Raises
    ------
    DataError
        If the input is bad, or the profile does not hold the cycles asked for.
    UnsupportedError
        If the file is unbalanced: the cycle knows balanced networks only.
    """
    rules = Rules(scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, remote_only=remote_only)
    question = rules.question(network, accept_differences)
    problem = question.problem
    if question.origin.equivalent:
        raise UnsupportedError(
            f"{network}: the file is unbalanced, and measurements of single phases are not estimated yet: convert its "
            "balanced equivalent with 'learnopt convert' to replay that"
        )
    profiles = read_profile(profile_source(profile, network), problem.network)
    truth = [(_utc(time), each) for time, each in situations_over_time(problem, profiles, start, steps, step_hours)]
    warm("auto")
    result = run_replay(
        problem.network, truth, policy, telemetry, np.random.default_rng(seed), limits=problem.limits, progress=progress
    )
    return ReplayStudy(result, (*question.notes, *profiles.notes))


def _utc(time: np.datetime64) -> datetime:
    return datetime.fromisoformat(str(time.astype("datetime64[s]"))).replace(tzinfo=UTC)
