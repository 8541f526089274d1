"""At the root of the MILP: what its relaxation tells beside a plan becomes features, heads hold what is sure.

The relaxation is that of :mod:`learnopt.engines.milp.neighbourhoods`, near the voltages of the plan, which is made and
cut anyway: features cost what reading it takes, and an AC power flow for each choice of a device.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines.dispatch import Dispatch
from learnopt.engines.exchange import LocalSearch
from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.highs import Outcome
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.model import JointModel
from learnopt.engines.milp.neighbourhoods import Neighbourhoods
from learnopt.engines.milp.readout import KINDS, Choices, Readout
from learnopt.learned.policy import risk_used
from learnopt.learned.problem_class import ProblemClass
from learnopt.learning.classes import CalibratedHeads
from learnopt.learning.graph import DecisionGraph, SeriesChains
from learnopt.learning.heads import ROOT_SCHEMA, RootData
from learnopt.network import Bools, Controls, Floats, ReconfigurationProblem, Settings
from learnopt.physics import power_flow
from learnopt.wording import counted

_FLOOR = 1e-8
_PRICES = (1e-4, 1e2)
_RISES = (1e-6, 1e2)
_MOST_ODDS = 8.0
_LARGEST_EFFECT = 10.0
"""Relative rise beyond which a choice is out of the question, be it for a limit or for want of a power flow."""


@dataclass(frozen=True)
class Known:
    """A plan of one decision at the root.

    Parameters
    ----------
    problem
        What it is a plan of; its mean loads are what exchanges and choices are tried at.
    plan, objective
        The plan and its objective [kW].
    p_closed
        Probability that a branch is closed, by the model that sees loads and impedances, shape (n_branch,).
    """

    problem: ReconfigurationProblem
    plan: Plan
    objective: float
    p_closed: Floats


def root_data(known: Known, readout: Readout, label: Plan | None = None) -> RootData:
    """Features of a plan at the root, and the label if given."""
    problem, plan = known.problem.mean, known.plan
    graph = DecisionGraph.of(problem)
    closed = plan.configurations[0].closed[graph.branch_index]
    choices = readout.choices
    best_closed = None if label is None else label.configurations[0].closed[graph.branch_index]
    best_chosen = None if label is None else _chosen(choices, label.settings[0] if label.settings else None)
    return RootData(
        n_nodes=graph.n_nodes,
        tail=graph.tail,
        head=graph.head,
        branch_index=graph.branch_index,
        branch=_branch_features(known, problem, graph, readout),
        choice=_choice_features(known, problem, readout),
        device=choices.device,
        closed=closed,
        planned=choices.planned,
        best_closed=best_closed,
        best_chosen=best_chosen,
    )


def _chosen(choices: Choices, settings: Settings | None) -> Bools:
    """bool, shape (n_choice,): choices that settings make."""
    chosen = np.zeros(len(choices.value), dtype=bool)
    for rows in _by_device(choices):
        assert settings is not None
        kind, k = KINDS[choices.kind[rows[0]]], int(choices.index[rows[0]])
        value = {"capacitor": settings.capacitors, "tap": settings.taps, "generator": settings.on}[kind][k]
        chosen[rows[np.abs(choices.value[rows] - float(value)).argmin()]] = True
    return chosen


def _by_device(choices: Choices) -> list[np.ndarray]:
    return [np.flatnonzero(choices.device == k) for k in range(int(choices.device.max(initial=-1)) + 1)]


def _gap(known: Known, bound: float) -> float:
    """Gap of plan and bound [kW], a little at least."""
    return max(known.objective - bound, 1e-6 * abs(known.objective), 1e-12)


def _log(values: Floats, low: float = _FLOOR, high: float = np.inf) -> Floats:
    return np.log10(np.clip(values, low, high))


def _branch_features(known: Known, problem: ReconfigurationProblem, graph: DecisionGraph, readout: Readout) -> Floats:
    index, n = graph.branch_index, graph.n_undecided
    configuration = known.plan.configurations[0]
    closed, share = configuration.closed[index], np.clip(readout.closed[index], 0.0, 1.0)
    gap, objective = _gap(known, readout.bound), max(abs(known.objective), 1e-12)
    price = np.where(closed, readout.price_open[index], readout.price_closed[index])
    p = np.clip(known.p_closed[index], 1e-12, 1 - 1e-12)
    odds = np.clip(np.log(p / (1 - p)), -_MOST_ODDS, _MOST_ODDS)
    held = problem.applied(known.plan.settings[:1] or None)
    rise = LocalSearch(held).least_rise(configuration, np.arange(problem.network.n_branch))[index] / objective
    total = float(np.abs(problem.p + 1j * problem.q).sum()) or 1.0
    flow = power_flow(held, configuration)
    sent = np.zeros(problem.network.n_branch)
    fed = flow.feed >= 0
    sent[flow.feed[fed]] = np.abs(flow.v * flow.current.conjugate())[fed]
    chains = SeriesChains.of(graph)
    opened = np.bincount(chains.chain, 1.0 - share, len(chains.length))[chains.chain] if n else share
    planned = np.bincount(chains.chain, ~closed, len(chains.length))[chains.chain] if n else share
    columns = {
        "share": share,
        "planned": closed,
        "agreement": 1.0 - np.abs(share - closed),
        "price": _log(np.maximum(price, 0.0) / gap, *_PRICES),
        "belief": np.where(closed, odds, -odds),
        "rise": _log(np.maximum(rise, 0.0), *_RISES),
        "flow": _log(readout.flow[index] / total),
        "flow_planned": _log(sent[index] / total),
        "loss": _log(readout.loss[index] / max(abs(readout.bound), 1e-12)),
        "chain_open": opened,
        "chain_share": (1.0 - share) / np.maximum(opened, _FLOOR),
        "chain_planned": planned > 0,
        "gap": np.full(n, np.log10(gap / objective)),
        "branches": np.full(n, np.log2(1.0 + n)),
        "loops": np.full(n, np.log2(1.0 + graph.n_loops)),
        "devices": np.full(n, np.log2(1.0 + len(_by_device(readout.choices)))),
    }
    return np.column_stack([columns[feature.name] for feature in ROOT_SCHEMA.branch]).astype(np.float32)


def _choice_features(known: Known, problem: ReconfigurationProblem, readout: Readout) -> Floats:
    choices, devices = readout.choices, _by_device(readout.choices)
    gap, objective, n = _gap(known, readout.bound), max(abs(known.objective), 1e-12), len(readout.choices.value)
    columns = {feature.name: np.zeros(n) for feature in ROOT_SCHEMA.choice}
    columns["share"], columns["planned"] = np.clip(choices.share, 0.0, 1.0), choices.planned.astype(float)
    columns["price"] = np.arcsinh(10.0 * choices.price / gap)
    columns["capacitor"] = (choices.kind == KINDS.index("capacitor")).astype(float)
    columns["tap"] = (choices.kind == KINDS.index("tap")).astype(float)
    columns["gap"] = np.full(n, np.log10(gap / objective))
    columns["devices"] = np.full(n, np.log2(1.0 + len(devices)))
    if devices:
        dispatch = Dispatch(problem, known.plan.configurations[0])
        settings, base = known.plan.settings[0], problem.network.base.kw
        present = dispatch.merit(settings) * base
    for rows in devices:
        values, weight = choices.value[rows], columns["share"][rows]
        low, span = values.min(), float(np.ptp(values)) or 1.0
        relaxed = float(weight @ values / weight.sum()) if weight.sum() > 0 else float(values[choices.planned[rows]][0])
        own = float(values[choices.planned[rows]][0])
        kind, k = KINDS[choices.kind[rows[0]]], int(choices.index[rows[0]])
        changed = [dispatch.merit(_with(problem.controls, settings, kind, k, float(v))) * base for v in values]
        effect = np.clip((np.array(changed) - present) / objective, -_LARGEST_EFFECT, _LARGEST_EFFECT)
        effect[choices.planned[rows]] = 0.0
        others = effect[~choices.planned[rows]]
        columns["from_relaxed"][rows] = np.abs(values - relaxed) / span
        columns["from_planned"][rows] = np.abs(values - own) / span
        columns["place"][rows] = (values - low) / span
        columns["effect"][rows] = np.arcsinh(100.0 * effect)
        columns["best_effect"][rows] = np.arcsinh(100.0 * float(others.min(initial=_LARGEST_EFFECT)))
        columns["choices"][rows] = np.log2(len(rows))
    return np.column_stack([columns[feature.name] for feature in ROOT_SCHEMA.choice]).astype(np.float32)


def _with(controls: Controls, settings: Settings, kind: str, k: int, value: float) -> Settings:
    """Settings with one device changed; a generator that starts injects the middle of its range."""
    if kind == "capacitor":
        return replace(settings, capacitors=_changed(settings.capacitors, k, value))
    if kind == "tap":
        return replace(settings, taps=_changed(settings.taps, k, value))
    generator, (p, q) = controls.generators[k], settings.generators[k]
    if value < 0.5:
        p, q = 0.0, 0.0
    elif not settings.on[k]:
        p_min, p_max, *_ = generator.span
        p, q = generator.nearest((p_min + p_max) / 2, 0.0)
    generators = (*settings.generators[:k], (p, q), *settings.generators[k + 1 :])
    return replace(settings, generators=generators, on=(*settings.on[:k], value > 0.5, *settings.on[k + 1 :]))


def _changed(values: tuple[float, ...], k: int, value: float) -> tuple[float, ...]:
    return (*values[:k], value, *values[k + 1 :])


class RootLook(Neighbourhoods):
    """The root near the voltages of an incumbent, cut and rounded, then read."""

    def read(self) -> tuple[JointModel, Readout | None] | None:
        """Model, and what its relaxation tells beside the incumbent that rounding left; None without time for it."""
        search = self.search
        if (model := self.relaxed()) is None or search.plan is None:
            return None
        with search.watch.stage("features"):
            run = model.solve_relaxation(search.remaining)
            if run.outcome is Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            told = run.values is not None and run.outcome is Outcome.OPTIMAL
            return model, Readout.of(model, run, search.plan) if told else None


@dataclass(frozen=True)
class Holding:
    """What heads hold of a plan, and why nothing where it is nothing.

    Parameters
    ----------
    branches
        bool, shape (n_branch,): undecided branches held in their state.
    devices
        Kind, and place among its kind, of each device held.
    closed
        Number of the branches held closed.
    free_branches, free_devices
        Numbers of those that are left.
    threshold, alpha
        Confidence from which on something is held, and the risk it is stated for; None where nothing may be held.
    reason
        Why nothing may be held; empty where it may.
    """

    branches: Bools
    devices: frozenset[tuple[str, int]]
    closed: int
    free_branches: int
    free_devices: int
    threshold: float | None = None
    alpha: float | None = None
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What was held, or why nothing."""
        if self.threshold is None:
            return f"Nothing was fixed: {self.reason}."
        switches, devices = int(self.branches.sum()), len(self.devices)
        return (
            f"{switches} of {counted(switches + self.free_branches, 'undecided switch', 'undecided switches')} and "
            f"{devices} of {counted(devices + self.free_devices, 'device')} were fixed at a confidence of at least "
            f"{self.threshold:.4g} while the rest was looked for (stated risk {100 * (self.alpha or 0):g} %)."
        )


def holding(
    heads: CalibratedHeads | None, kind: ProblemClass, alpha: float, novelty: float, known: Known, readout: Readout
) -> Holding:
    """What heads hold of a plan at a risk.

    Parameters
    ----------
    kind
        The class of the problem.
    alpha
        Accepted risk that anything held is wrong, on problems of the class.
    novelty
        How unlike the training feeders this one is.
    """
    data = root_data(known, readout)
    nothing = Holding(np.zeros(len(known.p_closed), dtype=bool), frozenset(), 0, len(data.tail), data.n_devices)
    calibration = None if heads is None else heads.classes.get(kind.family)
    if heads is None or calibration is None:
        return replace(nothing, reason=f"the risk of a wrong fixing was never measured with {kind.family}")
    if reason := calibration.refusal(kind.traits, len(data.tail), data.n_devices):
        return replace(nothing, reason=reason)
    used = risk_used(alpha, calibration.thresholds, novelty)
    threshold = None if used is None else calibration.thresholds[used]
    if threshold is None:
        few = f"{calibration.feeders} feeders of the class are too few to state a risk of {100 * alpha:g} %"
        unlike = f"the feeder is unlike those of the training (novelty {novelty:.2g})"
        return replace(nothing, reason=unlike if novelty > 1 else few)
    belief = heads.model.believe(data)
    branches = nothing.branches.copy()
    branches[data.branch_index[belief.branch >= threshold]] = True
    sure = np.flatnonzero(belief.device >= threshold)
    firsts = np.searchsorted(data.device, sure)
    choices = readout.choices
    devices = frozenset((KINDS[choices.kind[i]], int(choices.index[i])) for i in firsts.tolist())
    closed = int((branches & known.plan.configurations[0].closed).sum())
    free = len(data.tail) - int(branches.sum()), data.n_devices - len(devices)
    return Holding(branches, devices, closed, *free, threshold, used)


def known_at(search: Incumbent, p_closed: Floats) -> Known:
    """The incumbent of a search, which has one."""
    assert search.plan is not None
    return Known(search.coupled.together, search.plan, search.objective, p_closed)
