"""Advice: whether switching pays now, and to which state; proven, re-judged, and slow to change its mind.

The loads of now and of the next hours are situations of one problem, and each operation costs energy: the answer saves
more over those hours than its operations cost, or it is to stay. Devices that were operated often today, or bear a tag,
stay as they are. Nothing is advised that the judge does not accept in every hour, nor on a picture that is unfit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np

from learnopt.engines import SolveOptions
from learnopt.errors import DataError
from learnopt.network import (
    Certificate,
    Configuration,
    Limits,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
)
from learnopt.physics import evaluate
from learnopt.studies.configuration.solve import solve
from learnopt.studies.configuration.switching_order import Operation, Paralleling, switching_plan
from learnopt.studies.operation.picture import Picture, Trust


class Verdict(StrEnum):
    """What is advised."""

    PROPOSE = "propose"
    STAY = "stay"
    UNFIT = "unfit"
    """The picture is no ground for advice."""


@dataclass(frozen=True)
class Policy:
    """When switching pays, and how often.

    Parameters
    ----------
    hours
        Hours that a change must hold, looked at hour by hour.
    operation_cost_kwh
        Energy that one operation is worth.
    least_saving_kwh
        A change is proposed if it saves so much more than its operations cost.
    hold_off_s
        Time after a change during which only broken limits are a reason for another.
    most_per_device
        Operations of one device within 24 hours.
    most_operations
        Operations of one proposal; None = any number.
    gap
        Relative gap at which the search ends.
    node_limit
        Nodes after which it ends: the same picture gives the same advice on every machine.
    time_limit
        Seconds after which it ends, whatever was found; None = nodes alone count.
    """

    hours: int = 4
    operation_cost_kwh: float = 5.0
    least_saving_kwh: float = 5.0
    hold_off_s: float = 3600.0
    most_per_device: int = 2
    most_operations: int | None = None
    gap: float = 1e-3
    node_limit: int = 20_000
    time_limit: float | None = None
    trust: Trust = field(default_factory=Trust)

    def __post_init__(self) -> None:
        bad = [f"hours = {self.hours} must be at least 1"] if self.hours < 1 else []
        for name in ("operation_cost_kwh", "least_saving_kwh", "hold_off_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                bad.append(f"{name} = {value} must be a finite number >= 0")
        if self.most_per_device < 1:
            bad.append(f"most_per_device = {self.most_per_device} must be at least 1")
        if bad:
            raise DataError("policy", bad)


@dataclass
class History:
    """When which branch was switched."""

    changes: list[tuple[datetime, int]] = field(default_factory=list)

    def record(self, time: datetime, before: Configuration, after: Configuration) -> None:
        """A change was carried out."""
        self.changes += [(time, int(e)) for e in np.flatnonzero(before.closed != after.closed)]

    def last(self) -> datetime | None:
        """Of the last change."""
        return max((time for time, _ in self.changes), default=None)

    def spent(self, now: datetime, most: int) -> list[int]:
        """Branches that were operated as often as they may be within 24 hours."""
        recent = [e for time, e in self.changes if time > now - timedelta(days=1)]
        return sorted(e for e in set(recent) if recent.count(e) >= most)


@dataclass(frozen=True, eq=False)
class Advice:
    """What to do now, and why.

    Parameters
    ----------
    verdict
        Propose, stay, or no ground for either.
    reason
        Why, in a sentence.
    problem
        Loads of now and of the next hours, present state as the normal one; None on an unfit picture.
    target
        State that is proposed; None where none is.
    steps
        Switching order towards it, judged at the loads of now.
    saving_kwh
        Energy saved over the hours by the forecast, before the cost of operations; least and most if one hour stood for
        all of them.
    cost_kwh
        Cost of the operations.
    at_most_kwh
        No state would save more than this over the hours, operations counted; None where nothing is proven.
    certificate
        What that rests on.
    present_broken
        Limits that the present state breaks now.
    result
        Of the search; None where none was run.
    """

    verdict: Verdict
    reason: str
    problem: ReconfigurationProblem | None = None
    target: Configuration | None = None
    steps: tuple[Operation, ...] = ()
    saving_kwh: float = 0.0
    saving_range_kwh: tuple[float, float] = (0.0, 0.0)
    cost_kwh: float = 0.0
    at_most_kwh: float | None = None
    certificate: Certificate = Certificate.NONE
    present_broken: tuple[str, ...] = ()
    result: Result | None = None


def advise(
    picture: Picture, ahead: Sequence[Scenario], policy: Policy, history: History, limits: Limits | None = None
) -> Advice:
    """Advice on one picture.

    Parameters
    ----------
    ahead
        Expected loads of the hours after this one.
    limits
        Those of the network where absent.
    """
    if unfit := picture.unfit(policy.trust):
        return Advice(Verdict.UNFIT, "No proposal on this picture: " + "; ".join(unfit) + ".")
    problem = _problem(picture, ahead, policy, history, limits)
    now = problem.under(picture.scenario)
    present = picture.present
    broken = evaluate(now, present).violations
    last = history.last()
    if not broken and last is not None and (picture.time - last).total_seconds() < policy.hold_off_s:
        return Advice(Verdict.STAY, f"Switched at {last.isoformat()}: nothing else before the hold-off ends.", problem)
    options = SolveOptions(gap=policy.gap, node_limit=policy.node_limit, time_limit=policy.time_limit)
    result = solve(problem, options=options, start=None if broken else present)
    return _judged(picture, problem, now, policy, result, tuple(broken))


def _problem(
    picture: Picture, ahead: Sequence[Scenario], policy: Policy, history: History, limits: Limits | None
) -> ReconfigurationProblem:
    """Now and the next hours as situations of one problem whose operations cost energy."""
    net, present = picture.network, picture.present
    locked = picture.scenario.locked.copy()
    for e in history.spent(picture.time, policy.most_per_device):
        locked[e] = 1 if present.closed[e] else 0
    hours = [picture.scenario, *ahead][: policy.hours]
    out = picture.scenario.out_of_service
    scenarios = tuple(
        replace(one, locked=locked, out_of_service=out, tagged=picture.scenario.tagged, name=f"{k}: {one.name}")
        for k, one in enumerate(hours)
    )
    return ReconfigurationProblem.of(
        net,
        Situations(scenarios, np.ones(len(scenarios))),
        limits=Limits.of(net) if limits is None else limits,
        switching_cost=policy.operation_cost_kwh / policy.hours,
        max_operations=policy.most_operations,
    )


def _judged(
    picture: Picture,
    problem: ReconfigurationProblem,
    now: ReconfigurationProblem,
    policy: Policy,
    result: Result,
    broken: tuple[str, ...],
) -> Advice:
    """What the search found, against staying."""
    hours, present, target = policy.hours, picture.present, result.configuration
    staying = evaluate(problem.replace(limits=Limits()), present)
    most = None
    if result.dual_bound_kw is not None and staying.converged:
        most = max(hours * (staying.loss_kw - result.dual_bound_kw), 0.0)
    stay = Advice(
        Verdict.STAY,
        "",
        problem,
        at_most_kwh=most,
        certificate=result.certificate,
        present_broken=broken,
        result=result,
    )
    if target is None:
        what = "; ".join(broken) + ". " if broken else ""
        return replace(stay, reason=f"{what}No state within the limits was found: {result.message}")
    if target == present:
        return replace(stay, reason="The present state is the best of what was searched.")
    judged = evaluate(problem, target)
    if not judged.feasible:
        return replace(stay, reason="The judge does not accept what was found: " + "; ".join(judged.violations[:2]))
    operations = problem.operations(target)
    cost = policy.operation_cost_kwh * operations
    each = [hours * (a.loss_kw - b.loss_kw) for a, b in zip(staying.situations, judged.situations, strict=True)]
    saving = float(np.average(each, weights=problem.weights)) if staying.converged else math.inf
    net_saving = saving - cost
    if not broken and net_saving < policy.least_saving_kwh:
        said = (
            f"Switching would save {net_saving:.3g} kWh in {hours} h after its cost; {policy.least_saving_kwh:g} are "
            "asked for."
        )
        return replace(stay, reason=said)
    steps = tuple(switching_plan(now, present, target, Paralleling.ALLOWED))
    worse = [step for step in steps if step.violations and not broken]
    if worse:
        return replace(
            stay, reason=f"Limits would be passed on the way, after step {worse[0].step}: {worse[0].violations[0]}"
        )
    why = (
        f"The present state breaks limits: {broken[0]}."
        if broken
        else f"It saves {net_saving:.4g} kWh in {hours} h after the cost of {operations} operations."
    )
    return Advice(
        Verdict.PROPOSE, why, problem, target, steps, saving, (min(each), max(each)), cost, most,
        result.certificate, broken, result,
    )  # fmt: skip
