"""What a worker process is asked: functions of their arguments alone, so that the same question has the same answer.

Questions and answers are JSON, apart from the loads that were estimated.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from learnopt._version import __version__
from learnopt.api.question import Rules
from learnopt.errors import DataError, UnsupportedError
from learnopt.io.case_json import network_from_dict, network_to_dict
from learnopt.network import (
    Configuration,
    Evaluation,
    Floats,
    Limits,
    Network,
    ReconfigurationProblem,
    Scenario,
    Status,
)
from learnopt.network.names import branch_quoted, bus_label, lowest_bus
from learnopt.network.topology import radiality_faults, unfed_buses
from learnopt.physics import evaluate, evaluate_transition
from learnopt.report.configuration.order import operation_to_dict, what
from learnopt.report.kit.numbers import finite
from learnopt.report.operation.text import advice_to_dict, picture_to_dict
from learnopt.service.audit import canonical
from learnopt.service.settings import settings_of
from learnopt.studies.configuration.switching_order import Operation
from learnopt.studies.operation.advice import Advice, History, advise
from learnopt.studies.operation.faults import fault_of, live
from learnopt.studies.operation.forecast import forecast_of
from learnopt.studies.operation.measurements import Latest, Measurement, Quality, Quantity, point_of
from learnopt.studies.operation.picture import Picture, picture_of
from learnopt.studies.operation.resupply import Resupply, no_ground, resupply, supposed
from learnopt.studies.restoration.fault import Fault

OPPOSITE = {"close": "open", "open": "close"}
"""What moves a switch, and what undoes it."""
_UNDONE = OPPOSITE | {"earth": "unearth", "disconnect": "reconnect"}
RESTORE = "restore"
"""Verdict on a picture with load in the dark that a plan brings back."""
NAMES = 40
"""Buses or branches that a list in an answer names."""


@dataclass(frozen=True)
class Snapshot:
    """All that a cycle looks at.

    Parameters
    ----------
    case
        Case file of the feeder (JSON).
    settings
        As of :class:`.settings.Settings`.
    time
        ISO 8601.
    measurements
        (point, value, time, quality) of the last usable values.
    past
        (time, p, q): loads that were estimated before, as the forecast needs them [pu].
    changes
        (time, branch id): operations of the last days.
    """

    case: str
    settings: dict[str, Any]
    time: str
    measurements: list[tuple[str, float, str, str]]
    past: list[tuple[str, list[float], list[float]]]
    changes: list[tuple[str, str]]

    def packed(self) -> bytes:
        """To be kept; :func:`unpacked` reads it."""
        return zlib.compress(canonical(asdict(self)).encode(), 6)

    @property
    def hash(self) -> str:
        """Of the question and the version that answers it."""
        return hashlib.sha256(canonical([__version__, asdict(self)]).encode()).hexdigest()


def unpacked(kept: bytes) -> Snapshot:
    """A snapshot that was kept."""
    return Snapshot(**json.loads(zlib.decompress(kept)))


@dataclass(frozen=True)
class Seen:
    """Answer to a snapshot.

    Parameters
    ----------
    answer
        JSON: picture, advice, steps there and back, state and figures of now.
    loads
        Estimated p and q [pu], shape (2, n_bus), as bytes of float64; None where nothing was estimated.
    """

    answer: dict[str, Any]
    loads: bytes | None


@lru_cache(maxsize=256)
def network_of(case: str) -> Network:
    """The network of a case file that was taken before."""
    return network_from_dict(json.loads(case), "feeder")


def case_of(source: str, content: str | None = None) -> str:
    """A case file in the one form that is kept, from a named case, a file, or the text of a JSON case file.

    Raises
    ------
    DataError
        With everything that is wrong in it.
    UnsupportedError
        If it is unbalanced.
    """
    if content is None:
        return _checked(source, source)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "feeder.json"
        path.write_text(content, encoding="utf-8")
        return _checked(path, source)


def _checked(place: str | Path, name: str) -> str:
    question = Rules().question(place)
    if question.origin.equivalent or question.problem.network.phases is not None:
        raise UnsupportedError(
            f"{name}: the feeder is unbalanced, and measurements of single phases are not estimated yet: its balanced "
            "equivalent ('learnopt convert') can be watched"
        )
    net = question.problem.network
    if faults := radiality_faults(net, net.normal_configuration.closed):
        raise DataError(name, [f"the normal state is not radial: {one}" for one in faults])
    return canonical(network_to_dict(net))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def asked_of_the_past(now: datetime, last: datetime | None, hours: int) -> list[datetime]:
    """Times whose loads the forecast may ask for."""
    known = [now + timedelta(hours=k) for k in range(hours)] + ([] if last is None else [last])
    return [time - timedelta(days=days) for days in (1, 7) for time in known]


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture with what was expected of now, what is expected of the hours after, and what is out of order."""

    picture: Picture
    expected: Scenario
    ahead: list[Scenario]
    fault: Fault
    located: bool


def looked(snapshot: Snapshot) -> Looked:
    """The picture of a snapshot, and the hours after it."""
    net, now = network_of(snapshot.case), _time(snapshot.time)
    policy = settings_of(snapshot.settings).policy
    latest = Latest()
    latest.take((Measurement(point_of(p, net), v, _time(t), Quality(q)) for p, v, t, q in snapshot.measurements), now)
    forecast = forecast_of(settings_of(snapshot.settings).forecast)
    nominal = Scenario.nominal(net)
    for time, p, q in snapshot.past:
        forecast.learn(_time(time), _loads(nominal, np.array(p), np.array(q)))
    expected = forecast.expected(now, nominal)
    picture = picture_of(net, expected, latest, now, policy.trust, net.normal_configuration)
    if picture.estimated:
        forecast.learn(now, picture.scenario)
    ahead = [forecast.expected(now + timedelta(hours=k), picture.scenario) for k in range(1, policy.hours)]
    told = [one for one in latest.values() if one.point.quantity is Quantity.FAULT and one.value == 1]
    located = all(one.quality is Quality.GOOD for one in told)
    return Looked(picture, expected, ahead, fault_of(one.point for one in told), located)


def _loads(like: Scenario, p: Floats, q: Floats) -> Scenario:
    return replace(like, p_load=p + like.p_gen, q_load=q + like.q_gen)


def look(snapshot: Snapshot) -> Seen:
    """One cycle: picture, advice, and what is the case now."""
    net = network_of(snapshot.case)
    policy = settings_of(snapshot.settings).policy
    seen = looked(snapshot)
    picture = seen.picture
    history = History([(_time(t), net.branch_index[e]) for t, e in snapshot.changes if e in net.branch_index])
    advice = advise(picture, seen.ahead, policy, history)
    again = resupply(picture, seen.expected, seen.ahead, seen.fault, seen.located, policy.trust)
    answer = {
        "time": snapshot.time,
        "input": snapshot.hash,
        "version": __version__,
        "picture": picture_to_dict(picture),
        "unfit": picture.unfit(policy.trust),
        "advice": advice_to_dict(advice),
        "steps": _steps(picture.network, advice.steps),
        "open": [str(e) for e in net.open_ids(picture.present)],
        "hours": policy.hours,
        **_figures(picture, net.normal_configuration),
        "faults": faults_told(snapshot.measurements),
        "proposed": _proposed(picture, advice),
        "restoration": None,
    }
    if again is not None:
        answer |= _restoring(answer["advice"], again, net)
    kept = np.stack([picture.scenario.p, picture.scenario.q]).tobytes() if picture.estimated else None
    return Seen(json.loads(canonical(answer)), kept)


def faults_told(measurements: Sequence[tuple[str, float, str, str]]) -> list[list[str]]:
    """[point, quality] of what is said to be out of order."""
    return sorted([point, quality] for point, value, _, quality in measurements if is_fault(point) and value == 1)


def is_fault(point: str) -> bool:
    """The point tells of a fault."""
    return point.endswith(f":{Quantity.FAULT.value}")


def _restoring(advice: dict[str, Any], again: Resupply, net: Network) -> dict[str, Any]:
    """What changes in an answer where load is in the dark."""
    found, problem, target = again.restoration, again.problem, again.target
    told: dict[str, Any] = {
        "dark_kw": again.dark_kw,
        "restored_kw": again.restored_kw,
        "settled": True,
    }
    if found is not None:
        told |= {
            "out_of_order": found.outage.fault.labels(net),
            "settled": found.status is Status.OPTIMAL,  # else the clock has ended the search
            "bound_kw": finite(found.bound_kw),
            "served_kw": found.restored_kw,
            "not_served": [bus_label(net, k) for k, _ in found.not_served][:NAMES],
            "certificate": found.certificate.value,
        }
    changed: dict[str, Any] = {"restoration": told, "advice": advice | {"reason": again.reason}}
    if target is None or found is None or problem is None:
        return changed
    changed["advice"] |= {
        "verdict": RESTORE,
        "open_branches": net.open_ids(target),
        "operations": len(again.steps),
        "certificate": found.certificate.value,
        "saving_kwh": None,
        "saving_least_kwh": None,
        "saving_most_kwh": None,
        "steps": [operation_to_dict(problem, step) for step in again.steps],
    }
    return changed | {
        "steps": _steps(net, again.steps),
        "proposed": _told_state(problem, target, evaluate_transition(problem, target)),
    }


def _steps(net: Network, steps: Sequence[Operation]) -> list[dict[str, Any]]:
    """What is done, in order: the branch by its id, and in words."""
    return [
        {"branch": str(net.branch_ids[s.branch]), "action": s.action.value, "told": f"{s.action.value} {what(net, s)}"}
        for s in steps
    ]


def way_back(steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same states in the other order: each step undone, the last one first."""
    back = []
    for step in reversed(steps):
        action = _UNDONE[step["action"]]
        told = step["told"].replace(step["action"], action, 1)
        back.append({"branch": step["branch"], "action": action, "told": told})
    return back


def _figures(picture: Picture, normal: Configuration) -> dict[str, Any]:
    """Losses, voltages and limits of the present state at the loads of now, and how much better than the normal one."""
    net = picture.network
    problem = ReconfigurationProblem.of(net, picture.scenario, limits=Limits.of(net))
    dark = unfed_buses(net, picture.present.closed)
    # What is in the dark has no loss, and compares to nothing.
    now = (evaluate_transition if dark.any() else evaluate)(problem, picture.present)
    figures: dict[str, Any] = {
        "loss_kw": None,
        "better_kw": None,
        "load_kw": float(picture.scenario.p[~dark].sum()) * net.base.kw,
    }
    if now.converged:
        low = lowest_bus(net, np.where(dark, np.inf, now.vm))
        figures |= {
            "loss_kw": finite(now.loss_kw),
            "lowest_pu": float(now.vm[low]),
            "lowest_bus": bus_label(net, low),
            "max_loading": finite(now.max_loading) if np.isfinite(net.i_max).any() else None,
        }
        before = evaluate(problem.replace(limits=Limits()), normal)
        compared = before.converged and not dark.any()
        figures["better_kw"] = finite(before.loss_kw - now.loss_kw) if compared else None
    return figures | {"violations": list(now.violations)[:NAMES]}


def _proposed(picture: Picture, advice: Advice) -> dict[str, Any] | None:
    """Figures of the proposed state at the loads of now."""
    if advice.target is None:
        return None
    problem = ReconfigurationProblem.of(picture.network, picture.scenario, limits=Limits.of(picture.network))
    return _told_state(problem, advice.target, evaluate(problem, advice.target))


def _told_state(problem: ReconfigurationProblem, target: Configuration, after: Evaluation) -> dict[str, Any]:
    """Figures of a state."""
    net = problem.network
    low = lowest_bus(net, np.where(unfed_buses(net, target.closed), np.inf, after.vm))
    return {
        "loss_kw": finite(after.loss_kw),
        "lowest_pu": float(after.vm[low]),
        "lowest_bus": bus_label(net, low),
        "violations": list(after.violations)[:NAMES],
        "open": [str(e) for e in net.open_ids(target)],
    }


def _state(net: Network, open_ids: Sequence[str]) -> Configuration:
    closed = np.ones(net.n_branch, dtype=bool)
    closed[[net.branch_index[e] for e in open_ids]] = False
    return Configuration(closed)


def objections(
    snapshot: Snapshot,
    open_before: Sequence[str],
    done: Sequence[dict[str, Any]],
    left: Sequence[dict[str, Any]],
    unknown: str | None = None,
    *,
    back: bool = False,
    cure: bool = False,
    restoring: bool = False,
) -> list[str]:
    """What speaks against the next step at the measurements of now; empty where nothing does.

    Parameters
    ----------
    open_before
        Ids of the branches that were open when the way began.
    done, left
        Steps that are confirmed, and those to come.
    unknown
        A branch whose step was released and never confirmed: it may be in either state.
    back
        On the way back states that the network has just been in are not judged again.
    cure
        The proposal brings the feeder back within its limits: they may be broken on the way.
    restoring
        The proposal brings load back that is in the dark; that load is as expected, whatever its meters say.
    """
    net = network_of(snapshot.case)
    policy = settings_of(snapshot.settings).policy
    seen = looked(snapshot)
    picture = seen.picture
    planned = _after(net, _state(net, open_before), done)
    there = picture.present.closed
    said = [
        f"branch {branch_quoted(net, e)} is {'closed' if there[e] else 'open'}, and the plan expects the opposite"
        for e in np.flatnonzero(there != planned.closed).tolist()
        if str(net.branch_ids[e]) != unknown
    ]
    points = (point_of(text, net) for text, value, *_ in snapshot.measurements if value == 1)
    tagged = {point.place for point in points if point.quantity is Quantity.TAG}
    moved = dict.fromkeys(net.branch_index[step["branch"]] for step in left if step["action"] in OPPOSITE)
    said += [f"branch {branch_quoted(net, e)} bears a tag" for e in moved if e in tagged]
    said += _awakened(picture, left, seen.fault)
    if back or said:
        return said
    if restoring:
        dark = unfed_buses(net, _state(net, open_before).closed)
        picture = replace(picture, scenario=supposed(picture, seen.expected, dark))
        why = no_ground(picture, seen.fault, policy.trust)
        return [*([why] if why else []), *_judged(picture, left, cure, complete=False)]
    said = _doubts(picture, policy.trust) + _judged(picture, left, cure)
    if done or cure or said:
        return said
    end = _after(net, picture.present, left)
    saving, operations = _saving_kwh(picture, seen.ahead, end), int(np.sum(end.closed != picture.present.closed))
    if saving > policy.operation_cost_kwh * operations:
        return []
    return [f"it would save {saving:.3g} kWh in {policy.hours} h now, less than its {operations} operations cost"]


def _awakened(picture: Picture, left: Sequence[dict[str, Any]], fault: Fault) -> list[str]:
    """What is said to be out of order and would come under voltage by a step."""
    net, state = picture.network, picture.present
    before = set(live(net, state.closed, fault))
    said = []
    for step in left:
        state = _after(net, state, [step])
        awake = [one for one in live(net, state.closed, fault) if one not in before]
        said += [f"{one} is out of order, and {step['told']} would bring it under voltage" for one in awake]
        before |= set(awake)
    return said


def _doubts(picture: Picture, trust: Any) -> list[str]:
    """Why the picture is no ground for a step; a loop that the plan has closed is none."""
    meant = set(radiality_faults(picture.network, picture.present.closed))
    looped = bool(meant)
    standing = replace(
        picture,
        contradictions=tuple(one for one in picture.contradictions if one not in meant),
        estimated=picture.estimated or looped,
    )
    return standing.unfit(trust)


def _judged(picture: Picture, left: Sequence[dict[str, Any]], cure: bool, complete: bool = True) -> list[str]:
    """What the judge says of the states to come, at the loads of now; complete: the last one supplies every load."""
    net, state, said = picture.network, picture.present, []
    problem = ReconfigurationProblem.of(net, picture.scenario, limits=Limits.of(net))
    for step in left:
        state = _after(net, state, [step])
        found = evaluate_transition(problem, state)
        if not found.converged or (found.violations and not cure):
            why = found.violations[0] if found.violations else "no power flow"
            said.append(f"after {step['told']}: {why}")
    end = evaluate(problem, state)
    if complete and not end.feasible:
        said.append(f"the state that is aimed for is not admissible any more: {'; '.join(end.violations[:2])}")
    return said


def _saving_kwh(picture: Picture, ahead: Sequence[Scenario], end: Configuration) -> float:
    """Energy saved over this hour and those ahead; 0 where the present state or that has no power flow."""
    saved = 0.0
    for loads in (picture.scenario, *ahead):
        problem = ReconfigurationProblem.of(picture.network, loads, limits=Limits())
        now, then = evaluate(problem, picture.present), evaluate(problem, end)
        if not (now.converged and then.converged):
            return 0.0
        saved += now.loss_kw - then.loss_kw
    return saved


def _after(net: Network, state: Configuration, steps: Sequence[dict[str, Any]]) -> Configuration:
    closed = state.closed.copy()
    for step in steps:
        if step["action"] in OPPOSITE:
            closed[net.branch_index[step["branch"]]] = step["action"] == "close"
    return Configuration(closed)


def drawn(case: str, loads: bytes | None, open_now: Sequence[str], open_then: Sequence[str] | None) -> str:
    """One-line diagrams (HTML) of the present state and, where there is one, of the proposed state."""
    from learnopt.report.drawing.colours import feeder_colours
    from learnopt.report.drawing.diagram_html import one_line_html
    from learnopt.report.drawing.map_layout import layout_of
    from learnopt.report.drawing.one_line import Scale, one_line

    net = network_of(case)
    scenario = Scenario.nominal(net)
    if loads is not None:
        p, q = np.frombuffer(loads).reshape(2, -1)
        scenario = _loads(scenario, p, q)
    problem = ReconfigurationProblem.of(net, scenario, limits=Limits.of(net))
    now = _state(net, open_now)
    states = [("Now", now)] + ([] if open_then is None else [("Proposed", _state(net, open_then))])
    judged = [evaluate_transition(problem, state) for _, state in states]
    layout, scale = layout_of(net), Scale.of(problem, *judged)
    feeders = feeder_colours(net, layout.bars, *(state for _, state in states))
    reference = [None if open_then is None else states[1][1], now]
    return one_line_html(
        [
            one_line(problem, state, found, other, layout=layout, scale=scale, title=title, feeders=feeders)
            for (title, state), found, other in zip(states, judged, reference, strict=False)
        ]
    )


def warm(cases: Sequence[str]) -> None:
    """Import and compile what questions need, before the first one."""
    from learnopt.engines import SolveOptions
    from learnopt.studies.configuration.solve import warm_up

    largest = max((network_of(case).n_loops for case in cases), default=0)
    warm_up("auto", SolveOptions(), largest)


def imported() -> None:
    """Nothing: whoever calls this has imported what it needs."""
