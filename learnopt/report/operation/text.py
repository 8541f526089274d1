"""A replay and its advice as JSON and for the terminal."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType

from learnopt.network import ReconfigurationProblem
from learnopt.report.configuration.order import operation_to_dict, what
from learnopt.report.kit.numbers import finite, moment, number, percent
from learnopt.report.kit.terminal import Listing, Paragraph, paragraphs
from learnopt.studies.operation.advice import Advice, Verdict
from learnopt.studies.operation.picture import Picture
from learnopt.studies.operation.replay import Cycle, Replay


def at(time: datetime) -> str:
    """An instant in UTC for people."""
    return moment(time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds"))


def picture_to_dict(picture: Picture) -> dict[str, Any]:
    """How far a picture can be trusted, as JSON."""
    return {
        "measured": picture.measured,
        "allotted": picture.allotted,
        "oldest_s": picture.oldest_s,
        "rejected": [point.text(picture.network) for point in picture.rejected],
        "contradictions": list(picture.contradictions),
        "worst_residual": picture.worst_residual,
        "estimated": picture.estimated,
    }


def advice_to_dict(advice: Advice) -> dict[str, Any]:
    """Advice as JSON; null for what is not known."""
    problem, target = advice.problem, advice.target
    least, most = advice.saving_range_kwh
    return {
        "verdict": advice.verdict.value,
        "reason": advice.reason,
        "open_branches": None if problem is None or target is None else problem.network.open_ids(target),
        "operations": 0 if problem is None or target is None else problem.operations(target),
        "saving_kwh": finite(advice.saving_kwh),
        "saving_least_kwh": finite(least),
        "saving_most_kwh": finite(most),
        "cost_kwh": advice.cost_kwh,
        "at_most_kwh": finite(advice.at_most_kwh),
        "certificate": advice.certificate.value,
        "present_violations": list(advice.present_broken),
        "steps": [] if problem is None else [operation_to_dict(problem, step) for step in advice.steps],
    }


def cycle_to_dict(cycle: Cycle) -> dict[str, Any]:
    """One cycle as JSON."""
    return {
        "time": cycle.time.isoformat(),
        "loss_kw": finite(cycle.loss_kw),
        "unchanged_kw": finite(cycle.unchanged_kw),
        "violations": list(cycle.violations),
        "seconds": cycle.seconds,
        "picture": picture_to_dict(cycle.picture),
        "advice": advice_to_dict(cycle.advice),
    }


def replay_to_dict(replay: Replay) -> dict[str, Any]:
    """The object that ``replay --json`` prints."""
    verdicts = Counter(one.advice.verdict for one in replay.cycles)
    return {
        "case": replay.network.name,
        "cycles": len(replay.cycles),
        "hours": replay.hours * len(replay.cycles),
        "begin": replay.cycles[0].time.isoformat(),
        "energy_unchanged_kwh": finite(replay.energy_kwh(unchanged=True)),
        "energy_kwh": finite(replay.energy_kwh()),
        "saved_kwh": finite(replay.saved_kwh),
        "proposals": len(replay.proposals),
        "operations": replay.operations,
        "unfit": verdicts[Verdict.UNFIT],
        "hours_outside_limits": replay.outside_hours(),
        "hours_outside_limits_unchanged": replay.outside_hours(unchanged=True),
        "slowest_s": max(one.seconds for one in replay.cycles),
        "open_branches": replay.network.open_ids(replay.final),
        "log": [cycle_to_dict(one) for one in replay.cycles],
    }


def sentences(replay: Replay) -> list[str]:
    """What the replay says, in words."""
    before, after, saved = replay.energy_kwh(unchanged=True), replay.energy_kwh(), replay.saved_kwh
    n = len(replay.proposals)
    if before is None or after is None or saved is None:
        words = ["Some state has no power flow at the true loads: there is nothing to compare."]
    else:
        words = [
            f"{number(saved)} kWh of {number(before)} kWh lost would have been saved "
            f"({percent(saved / max(before, 1e-12))}) by {n} proposal{'' if n == 1 else 's'} with {replay.operations} "
            "operations, each carried out at once."
        ]
    unfit = [one for one in replay.cycles if one.advice.verdict is Verdict.UNFIT]
    if unfit:
        words.append(
            f"In {len(unfit)} of {len(replay.cycles)} cycles nothing was proposed for want of a good picture, first "
            f"at {at(unfit[0].time)}: {unfit[0].advice.reason}"
        )
    rejected = sum(len(one.picture.rejected) for one in replay.cycles)
    if rejected:
        words.append(f"{rejected} measurement{'' if rejected == 1 else 's'} contradicted the others and stayed out.")
    outside, was = replay.outside_hours(), replay.outside_hours(unchanged=True)
    if outside or was:
        words.append(f"Hours with a limit broken: {outside:g}; without any change: {was:g}.")
    return words


def moves(problem: ReconfigurationProblem, advice: Advice) -> str:
    """What is closed and opened, in order."""
    return ", ".join(f"{step.action.value} {what(problem.network, step)}" for step in advice.steps)


def proposal_rows(replay: Replay) -> list[tuple[str, ...]]:
    """When, what, expected saving, and its proof."""
    return [
        (
            at(one.time),
            "" if one.advice.problem is None else moves(one.advice.problem, one.advice),
            number(one.advice.saving_kwh - one.advice.cost_kwh),
            "–" if one.advice.at_most_kwh is None else number(one.advice.at_most_kwh),
            one.advice.certificate.value,
        )
        for one in replay.proposals
    ]


PROPOSAL_HEAD = ("at", "proposed", "saves [kWh]", "no state more [kWh]", "proof")


def replay_table(replay: Replay) -> RenderableType:
    """A summary for the terminal."""
    first, hours = replay.cycles[0], replay.hours * len(replay.cycles)
    title = f"{replay.network.name}: {len(replay.cycles)} cycles over {hours:g} h from {at(first.time)}"
    rows = [
        ("lost if nothing is switched", f"{number(replay.energy_kwh(unchanged=True))} kWh"),
        ("lost with the proposals", f"{number(replay.energy_kwh())} kWh"),
        ("proposals, operations", f"{len(replay.proposals)}, {replay.operations}"),
        ("slowest cycle", f"{max(one.seconds for one in replay.cycles):.2f} s"),
    ]
    parts: list[RenderableType] = [Listing(("", "over all cycles"), rows, (1,), title), *paragraphs(sentences(replay))]
    if replay.proposals:
        parts.append(Listing(PROPOSAL_HEAD, proposal_rows(replay), (2, 3)))
        parts.append(Paragraph("Saved: expected over the hours ahead, after the cost of operations.", "dim"))
    return Group(*parts)
