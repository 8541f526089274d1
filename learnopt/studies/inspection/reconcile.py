"""Every import against the tool that the file comes from, and every answer set in that tool.

Whether the network that was read is the one of the file, only the tool of the file can say
(:mod:`learnopt.io.source`). The present state is computed by the judge and by the tool; a difference beyond the
tolerances below that no stated reduction explains refuses the file, or becomes a warning that goes with every answer
where the user accepts it. Answers are set in the tool in the same way, and what it finds is told beside ours.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from learnopt.errors import DataError
from learnopt.io.source import Loaded, SourceState, SourceTool
from learnopt.network import (
    Configuration,
    Evaluation,
    HorizonProblem,
    Limits,
    Network,
    PhaseSummary,
    ReconfigurationProblem,
    Result,
    Scenario,
    Settings,
)
from learnopt.network.topology import DisjointSets
from learnopt.network.unbalanced import PhaseCircuit
from learnopt.physics import evaluate_as_it_is, evaluate_as_operated
from learnopt.physics.judge import branch_loss_kw
from learnopt.physics.situation_circuits import situations_of

LOAD_TOLERANCE = 1e-3
"""Share of the load by which loads may differ."""
LOSS_TOLERANCE, LOSS_OF_LOAD = 1e-2, 1e-5
"""Share of the loss by which losses may differ, and share of the load that is no difference at all."""
VOLTAGE_TOLERANCE = 2e-3
"""Difference of the lowest and of the highest voltage [pu]."""
HEAD_TOLERANCE, HEAD_OF_LOAD = 1e-2, 5e-3
"""Share of the power at a feeder head, and share of the load, of which the larger is allowed."""
IMBALANCE = "imbalance"
"""How the sentence of a stated reduction to balanced phases begins (:attr:`learnopt.io.source.Loaded.explained`)."""
ADVICE = (
    "the network read is not that of the file: look for equipment that learnopt does not model (an inspection names "
    "it), or accept the difference, which then stands on top of every answer"
)


@dataclass(frozen=True)
class SourceCheck:
    """What the tool of the file says of an answer (key ``source_tool`` of an answer); None = not known.

    Parameters
    ----------
    name
        The tool.
    loss_kw, min_voltage_pu, max_loading
        Of its own power flow; of several scenarios their loss as the problem counts it, the lowest and the highest.
    difference
        Its loss over ours, less 1.
    reason
        Why it has no answer, "" where it has.
    scenario
        Name of the scenario that was set; "" where there is one only.
    scenarios
        What it says of each of several scenarios.
    """

    name: str
    loss_kw: float | None = None
    min_voltage_pu: float | None = None
    max_loading: float | None = None
    difference: float | None = None
    reason: str = ""
    scenario: str = ""
    scenarios: tuple[SourceCheck, ...] = ()


@dataclass(frozen=True)
class Origin:
    """What is known of the file behind a problem, told with every answer.

    Parameters
    ----------
    warnings
        Differences to the source tool, stated or accepted, one sentence each: on top of every answer.
    equivalent
        The network is the balanced equivalent of an unbalanced file: proofs hold for it only.
    source
        The answer in the source tool.
    """

    warnings: tuple[str, ...] = ()
    equivalent: bool = False
    source: SourceCheck | None = None


@dataclass(frozen=True, eq=False)
class Imported:
    """A file that was read and compared with its tool.

    Parameters
    ----------
    loaded
        What was read.
    origin
        What answers have to say of it.
    """

    loaded: Loaded
    origin: Origin = field(default_factory=Origin)

    def __repr__(self) -> str:
        return f"Imported({self.network!r})"

    @property
    def network(self) -> Network:
        """What was read."""
        return self.loaded.network

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed on the way."""
        return self.loaded.notes

    @contextmanager
    def circuits(self, problem: ReconfigurationProblem) -> Iterator[tuple[PhaseCircuit, ...]]:
        """The file in all its phases, open, one circuit per load situation; none where it is balanced.

        None too with controls, and where the tool of the file has no phases.
        """
        tool = self.loaded.source
        members = problem.members
        only = members[0].scenario if len(members) == 1 and not _as_in_file(members[0]) else None
        circuit = None
        if tool is not None and self.origin.equivalent and not problem.controls:
            circuit = tool.circuit(problem.network, only)
        if circuit is None:
            yield ()
            return
        with circuit as opened:
            yield (opened,) if len(members) == 1 else situations_of(opened, [one.scenario for one in members])

    def answered(self, problem: ReconfigurationProblem, result: Result, check: bool = True) -> Origin:
        """The origin with a result in the source tool; without, where there is no configuration or none is wanted."""
        if result.phases is not None:
            return self.of_phases(problem, result.configuration, result.evaluation, result.phases, check)
        if not check or result.configuration is None or result.evaluation is None:
            return self.origin
        settings = result.settings or (None,) * len(problem.members)
        return self._with(problem, result.configuration, settings, result.evaluation)

    def judged(
        self, problem: ReconfigurationProblem, configuration: Configuration, found: Evaluation, check: bool = True
    ) -> Origin:
        """The origin with a given configuration in the source tool."""
        return self._with(problem, configuration, (None,) * len(problem.members), found) if check else self.origin

    def of_phases(
        self,
        problem: ReconfigurationProblem,
        configuration: Configuration | None,
        found: Evaluation | None,
        phases: PhaseSummary,
        check: bool = True,
    ) -> Origin:
        """The origin of an answer in all phases, with what the tool of the file says where another one judged it."""
        tool = self.loaded.source
        if tool is None or tool.name == phases.tool or configuration is None or found is None or not check:
            return in_phases(problem, found, phases)
        each = []
        for member, state in zip(problem.members, found.situations, strict=True):
            scenario = None if _as_in_file(member) else member.scenario
            each.append(check_answer(tool, member.network, configuration, None, scenario, state))
        if len(each) == 1:
            return Origin(source=each[0])
        named = zip(each, problem.situations, strict=True)
        checks = tuple(replace(one, scenario=scenario.name) for one, scenario in named)
        return Origin(source=_together(problem, found.situations, checks))

    def planned(
        self,
        problem: HorizonProblem,
        configuration: Configuration,
        settings: Settings | None,
        found: Evaluation,
        check: bool = True,
    ) -> Origin:
        """The origin with the last step of a plan in the source tool."""
        return self._with(problem.steps[-1], configuration, (settings,), found) if check else self.origin

    def _with(
        self,
        problem: ReconfigurationProblem,
        configuration: Configuration,
        settings: Sequence[Settings | None],
        found: Evaluation,
    ) -> Origin:
        """The origin with each scenario set in the source tool."""
        tool = self.loaded.source
        if tool is None:
            return self.origin
        each, states = [], []
        for member, own, state in zip(problem.members, settings, found.situations, strict=True):
            scenario = None if _as_in_file(member) else member.scenario
            # Settings are those of the controls that were to be set, which may be some of the network's.
            network = member.network if own is None else replace(member.network, controls=member.controls)
            states.append(evaluate_as_operated(member.applied(own), configuration) or state)
            each.append(check_answer(tool, network, configuration, own, scenario, states[-1]))
        if len(each) == 1:
            return replace(self.origin, source=each[0])
        named = zip(each, problem.situations, strict=True)
        checks = tuple(replace(one, scenario=scenario.name) for one, scenario in named)
        return replace(self.origin, source=_together(problem, states, checks))


def in_phases(problem: ReconfigurationProblem, found: Evaluation | None, phases: PhaseSummary) -> Origin:
    """Of an answer that the tool itself has judged: it is about the file, not about its balanced equivalent."""
    if found is None:
        return Origin()
    loading = found.max_loading if np.isfinite(problem.i_max).any() else None
    return Origin(source=SourceCheck(phases.tool, found.loss_kw, found.min_voltage_pu, loading, 0.0))


def _together(
    problem: ReconfigurationProblem, states: Sequence[Evaluation], each: tuple[SourceCheck, ...]
) -> SourceCheck:
    """What the source tool says of all scenarios; without a loss where it has none for some of them."""
    name = each[0].name
    reasons = [f"scenario {one.scenario!r}: {one.reason}" for one in each if one.reason]
    reason = "; ".join(reasons[:3]) + (f" and {len(reasons) - 3} more" if len(reasons) > 3 else "")
    if any(one.loss_kw is None for one in each):
        return SourceCheck(name, reason=reason, scenarios=each)
    theirs = problem.total([one.loss_kw for one in each])
    ours = problem.total([state.loss_kw if state.converged else math.nan for state in states])
    return SourceCheck(
        name,
        loss_kw=theirs,
        min_voltage_pu=min((one.min_voltage_pu for one in each if one.min_voltage_pu is not None), default=None),
        max_loading=max((one.max_loading for one in each if one.max_loading is not None), default=None),
        difference=_difference(theirs, ours),
        reason=reason,
        scenarios=each,
    )


def _difference(theirs: float, ours: float) -> float | None:
    """One loss over another, less 1; None where that is no number."""
    difference = theirs / ours - 1 if ours > 0 else 0.0 if theirs == ours else math.nan
    return difference if math.isfinite(difference) else None


def check_answer(
    tool: SourceTool,
    network: Network,
    configuration: Configuration,
    settings: Settings | None,
    scenario: Scenario | None,
    found: Evaluation,
) -> SourceCheck:
    """A configuration with its settings in the source tool, beside what the judge found.

    Parameters
    ----------
    scenario
        Loads, generation and outages; None = those of the file.
    """
    state = tool.state(network, configuration, settings, scenario)
    if not state.converged:
        return SourceCheck(tool.name, reason=state.reason or "its power flow does not converge")
    return SourceCheck(
        tool.name,
        loss_kw=state.loss_kw,
        min_voltage_pu=min(state.vm.values(), default=None),
        max_loading=state.max_loading,
        difference=_difference(state.loss_kw, found.loss_kw if found.converged else math.nan),
        reason=state.reason,
    )


def reconcile(loaded: Loaded, accept_differences: bool = False) -> Imported:
    """The network of a file, compared in its present state with the tool of the file.

    Parameters
    ----------
    accept_differences
        A difference that nothing explains is a warning, not an error.

    Raises
    ------
    DataError
        Naming each quantity that differs, with both values.
    """
    tool, net = loaded.source, loaded.network
    equivalent = any(sentence.startswith(IMBALANCE) for sentence in loaded.explained)
    if tool is None:
        return Imported(loaded, Origin(equivalent=equivalent))
    problem = ReconfigurationProblem.of(net, limits=Limits())
    present = net.normal_configuration
    state = tool.state(net, present)
    found = evaluate_as_it_is(problem, present)
    if not state.converged or not found.converged:
        who = tool.name if not state.converged else "learnopt"
        why = state.reason if not state.converged else "no power flow of the present state"
        warning = f"The present state could not be compared with {tool.name} ({who}: {why})."
        return Imported(loaded, Origin((warning,), equivalent))
    differences = list(differing(problem, present, found, state))
    if not differences:
        return Imported(loaded, Origin(equivalent=equivalent))
    if loaded.explained:
        reasons = "; ".join(loaded.explained)
        warnings = (f"{tool.name} computes the present state differently: {'; '.join(differences)}. Stated reductions "
                    f"that may explain it: {reasons}.",)  # fmt: skip
    elif accept_differences:
        warnings = (f"The network read differs from that of the file in {tool.name}, accepted by the user: "
                    f"{'; '.join(differences)}. Everything said here is about the network read.",)  # fmt: skip
    else:
        raise DataError(net.source or net.name, [*differences, ADVICE], {"accept_differences": True})
    return Imported(loaded, Origin(warnings, equivalent))


def differing(
    problem: ReconfigurationProblem, configuration: Configuration, found: Evaluation, state: SourceState
) -> Iterator[str]:
    """Each quantity that differs beyond its tolerance, a sentence with both values."""
    net, tool = problem.network, state.tool
    kw = net.base.kw
    shunts = float(net.g_shunt @ found.vm**2) * kw
    own, theirs = float(problem.p.sum()) * kw, state.load_kw - state.generation_kw
    size = max(state.load_kw, state.generation_kw, float(np.abs(problem.p).sum()) * kw)
    # Tools count shunts as loads or do not.
    if min(abs(own - theirs), abs(own + shunts - theirs)) > LOAD_TOLERANCE * size:
        yield f"net load {own:.6g} kW here, {theirs:.6g} kW in {tool}"
    allowed = LOSS_TOLERANCE * max(abs(state.loss_kw), abs(found.loss_kw)) + LOSS_OF_LOAD * size
    if abs(found.loss_kw - state.loss_kw) > allowed:
        yield f"loss {found.loss_kw:.6g} kW here, {state.loss_kw:.6g} kW in {tool}"
    ids = [str(bus) for bus in net.bus_ids]
    known = [k for k, bus in enumerate(ids) if bus in state.vm]
    if known:
        theirs_vm = np.array([state.vm[ids[k]] for k in known])
        ours_vm = found.vm[known]
        for name, choose in (("lowest", np.argmin), ("highest", np.argmax)):
            a, b = int(choose(ours_vm)), int(choose(theirs_vm))
            if abs(ours_vm[a] - theirs_vm[b]) > VOLTAGE_TOLERANCE:
                yield (
                    f"{name} voltage {ours_vm[a]:.5f} pu here (bus {ids[known[a]]}), {theirs_vm[b]:.5f} pu in {tool} "
                    f"(bus {ids[known[b]]})"
                )
    for bus, ours in heads_kw(problem, configuration, found).items():
        if bus not in state.heads_kw:
            continue
        power = state.heads_kw[bus]
        if abs(ours - power) > max(HEAD_TOLERANCE * max(abs(ours), abs(power)), HEAD_OF_LOAD * size):
            yield f"power drawn at {bus} {ours:.6g} kW here, {power:.6g} kW in {tool}"


def heads_kw(problem: ReconfigurationProblem, configuration: Configuration, found: Evaluation) -> Mapping[str, float]:
    """Active power drawn at each substation that feeds buses alone, by its id [kW]: their load, shunts and losses."""
    net, kw = problem.network, problem.network.base.kw
    sets = DisjointSets(net.n_bus)
    for e in np.flatnonzero(configuration.closed):
        sets.join(int(net.from_bus[e]), int(net.to_bus[e]))
    root = np.array([sets.find(k) for k in range(net.n_bus)])
    drawn = kw * (problem.p + net.g_shunt * found.vm**2)
    loss = branch_loss_kw(problem, found)
    heads = {}
    for station in net.substations.tolist():
        if np.count_nonzero(root[net.substations] == root[station]) > 1:
            continue
        fed = root == root[station]
        heads[str(net.bus_ids[station])] = float(drawn[fed].sum() + loss[fed[net.from_bus]].sum())
    return heads


def _as_in_file(problem: ReconfigurationProblem) -> bool:
    """Loads and generation are the nominal ones of the network, and nothing is out of service."""
    scenario, nominal = problem.scenario, Scenario.nominal(problem.network)
    return bool(
        all(np.array_equal(getattr(scenario, k), getattr(nominal, k)) for k in ("p_load", "q_load", "p_gen", "q_gen"))
        and not problem.out_of_service.any()
    )
