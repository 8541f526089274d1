"""What a network file holds and what looks wrong in it, before anybody optimises it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from learnopt.network import Bools, Evaluation, Floats, Network, ReconfigurationProblem
from learnopt.network.loop_reduction import told_fixed_loops
from learnopt.network.names import branch_label, bus_label, lowest_bus
from learnopt.network.topology import radiality_faults, unfed_buses
from learnopt.network.totals import totals
from learnopt.physics import evaluate_as_it_is
from learnopt.studies.inspection.decision_size import decision_size
from learnopt.studies.inspection.phases import PhaseFacts
from learnopt.wording import counted

ODD_RX = (0.05, 20.0)
"""r/x of lines and cables of every kind lies well inside."""
ODD_SIZE = 1e3
"""An impedance this many times the median is hardly one of the same network."""
ODD_AMPERES = (5.0, 10e3)
"""Ampacities of medium- and low-voltage equipment lie inside [A]."""
LOW_VOLTAGE, HIGH_VOLTAGE = 0.9, 1.1
"""Voltages to point out where the file states no limits [pu]: EN 50160 allows 10 %."""
SUSPICIOUS_DROP, SUSPICIOUS_LOSS, NO_LOSS = 0.3, 0.2, 1e-5
"""Voltage drop [pu] and loss (share of the load) beyond which units are suspected."""
LOW_POWER_FACTOR = 0.6
_LISTED = 5


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """The network cannot be reconfigured as it is, or a number is almost certainly wrong."""
    WARNING = "warning"
    """Worth a look before results are trusted."""
    NOTE = "note"
    """What was assumed, or what the file does not say."""


@dataclass(frozen=True)
class Finding:
    """One observation.

    Parameters
    ----------
    object
        Bus, branch or network, by id.
    value
        What was found.
    advice
        What to do about it.
    """

    severity: Severity
    object: str
    value: str
    advice: str


@dataclass(frozen=True)
class Inspection:
    """Facts and findings of a network, errors first.

    Parameters
    ----------
    facts
        Counts, totals and the present state; values are JSON.
    evaluation
        AC power flow of the present state, its loops closed; None where it does not feed every bus.
    phases
        The present state in all phases, of an unbalanced file.
    """

    network: Network
    facts: dict[str, Any]
    findings: tuple[Finding, ...]
    evaluation: Evaluation | None
    phases: PhaseFacts | None = None

    def __repr__(self) -> str:
        return f"Inspection({self.network.name!r}: {counted(len(self.findings), 'finding')})"

    def of(self, severity: Severity) -> list[Finding]:
        """Findings of one severity."""
        return [finding for finding in self.findings if finding.severity is severity]

    @property
    def drawable(self) -> bool:
        """The present state is radial and has a power flow, so that a diagram shows it."""
        return bool(self.facts["radial"]) and self.evaluation is not None and self.evaluation.converged


def inspect_network(network: Network, notes: Iterable[str] = (), phases: PhaseFacts | None = None) -> Inspection:
    """Look at a network and at the AC power flow of its present state.

    Parameters
    ----------
    notes
        What the importer assumed, merged or left out; they become findings.
    phases
        The present state in all phases, of an unbalanced file.
    """
    problem = ReconfigurationProblem.of(network)
    closed = network.normal_configuration.closed
    faults = radiality_faults(network, closed)
    unfed = bool(unfed_buses(network, closed).any())
    state = None if unfed else evaluate_as_it_is(problem, network.normal_configuration)
    findings = [
        *_topology(problem, faults),
        *_impedances(network),
        *_ratings(network),
        *_voltage_limits(problem),
        *_loads(network),
        *(_present_state(problem, state) if state is not None else ()),
        *(Finding(Severity.NOTE, "import", note, "") for note in notes),
    ]
    order = list(Severity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    facts = _facts(problem, state, not faults)
    if phases is not None:
        facts["phases"] = phases.to_dict()
    return Inspection(network, facts, tuple(findings), state, phases)


def _facts(problem: ReconfigurationProblem, state: Evaluation | None, radial: bool) -> dict[str, Any]:
    net, kw = problem.network, problem.network.base.kw
    levels = Counter(f"{kv:g}" for kv in net.kv[~net.auxiliary])
    known = state is not None and state.converged
    rated = np.isfinite(net.i_max)
    present = _present_loops(net)
    return {
        "case": net.name,
        "title": net.title,
        "source": net.source,
        "buses": net.n_own_bus,
        "branches": net.n_own_branch,
        "auxiliary_buses": net.n_bus - net.n_own_bus,
        "substations": [net.bus_ids[k] for k in net.substations],
        "kv_levels": dict(sorted(levels.items(), key=lambda item: -float(item[0]))),
        "transformers": int(np.count_nonzero((net.ratio != 1) | (net.kv[net.from_bus] != net.kv[net.to_bus]))),
        "couplers": int(np.count_nonzero((net.r == 0) & (net.x == 0) & net.own_branch)),
        "loops": net.n_loops,
        "loops_closed": present,
        "fixed_loops": net.n_fixed_loops,
        "switchable": int(net.switchable.sum()),
        "manual": int((net.manual & net.switchable).sum()),
        "decisions": int(problem.free.sum()),
        "reduction": None if problem.contradictions else decision_size(problem).to_dict(),
        "open": int(net.normally_open.sum()),
        **totals(net).to_dict(),
        "capacitors_kvar": float((np.maximum(-net.q_load, 0).sum() + np.maximum(net.b_shunt, 0).sum()) * kw),
        "charging_kvar": float(np.maximum(net.b, 0)[~net.normally_open].sum() * kw),
        "controls": {
            "taps": len(net.controls.taps),
            "capacitors": len(net.controls.capacitors),
            "generators": len(net.controls.generators),
        },
        "rated_branches": int((rated & net.own_branch).sum()),
        # The widest of them all; what each end ranges over stands below it.
        "voltage_limits_pu": [ends and ends[k] for k, ends in enumerate(problem.voltage_ranges)],
        "voltage_limit_ranges_pu": [ends and list(ends) for ends in problem.voltage_ranges],
        "voltage_limited_buses": int(np.count_nonzero((problem.vm_min > 0) | np.isfinite(problem.vm_max))),
        "coordinates": net.coordinates is not None,
        "customers": None if net.customers is None else int(net.customers.sum()),
        "radial": radial,
        "loss_kw": float(state.loss_kw) if state is not None and known else None,
        "min_voltage_pu": float(state.vm.min()) if state is not None and known else None,
        "max_voltage_pu": float(state.vm.max()) if state is not None and known else None,
        "max_loading": float(state.loading.max()) if state is not None and known and rated.any() else None,
    }


def _present_loops(net: Network) -> int:
    """Loops of the present state that are not fixed, substations merged."""
    return int(net.chords_of(~net.normally_open).sum()) - net.n_fixed_loops


def _topology(problem: ReconfigurationProblem, faults: Sequence[str]) -> list[Finding]:
    net = problem.network
    found = [
        Finding(Severity.ERROR, "network", sentence, "no radial state exists: say which branches have a switch")
        for sentence in problem.contradictions
    ]
    if problem.chords.any():
        found.append(
            Finding(
                Severity.NOTE,
                "network",
                told_fixed_loops(problem),
                "every state has them, and is computed meshed; radial is meant but for them",
            )
        )
    found += [
        Finding(
            Severity.WARNING, "present state", sentence, "the optimiser starts elsewhere; check which switches are open"
        )
        for sentence in faults
    ]
    if not net.switchable.any():
        found.append(Finding(Severity.ERROR, "network", "no branch is switchable", "say which branches have a switch"))
    elif not problem.free.any():
        found.append(
            Finding(
                Severity.WARNING,
                "network",
                "no switch lies in a loop",
                "there is nothing to decide: are the ties missing?",
            )
        )
    decided = np.flatnonzero(~net.fixed)
    ends = np.sort(np.column_stack([net.from_bus, net.to_bus])[decided], axis=1)
    _, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    side_by_side = [
        ", ".join(branch_label(net, e) for e in decided[(ends == ends[first[k]]).all(axis=1)])
        for k in np.flatnonzero(count > 1)
    ]
    if side_by_side:
        listed = "; ".join(side_by_side[:_LISTED]) + (" ..." if len(side_by_side) > _LISTED else "")
        found.append(
            Finding(
                Severity.NOTE, f"branches {listed}", "lie in parallel", "only one of them is closed in a radial state"
            )
        )
    return found


def _impedances(net: Network) -> list[Finding]:
    line = (net.ratio == 1) & (net.kv[net.from_bus] == net.kv[net.to_bus])
    size = np.hypot(net.r, net.x)
    none = line & (size == 0)
    found = _group(
        net,
        none & ~net.switchable,
        Severity.WARNING,
        lambda e: "r and x are 0",
        "no line is like that: give its impedance",
    )
    some = line & ~none
    found += _group(net, some & (net.x == 0), Severity.WARNING, lambda e: "x is 0", "is the reactance missing?")
    found += _group(
        net, some & (net.r == 0), Severity.WARNING, lambda e: "r is 0", "its loss is 0: is the resistance missing?"
    )
    both = some & (net.r > 0) & (net.x > 0)
    if not both.any():
        return found
    rx = np.divide(net.r, net.x, out=np.ones(net.n_branch), where=both)
    odd = both & ((rx < ODD_RX[0]) | (rx > ODD_RX[1]))
    if odd.sum() > 0.5 * both.sum():
        found.append(
            Finding(
                Severity.ERROR,
                f"{odd.sum()} of {both.sum()} lines",
                f"r/x is {np.median(rx[both]):.3g} in the median",
                "wrong units are suspected: r and x in different ones, or columns exchanged",
            )
        )
    else:
        found += _group(
            net, odd, Severity.WARNING, lambda e: f"r/x = {rx[e]:.3g}", "check r_ohm and x_ohm: units, exchanged?"
        )
    far = both & (size > ODD_SIZE * np.median(size[both]))
    ohm = size * net.branch_kv**2 / net.base.s_base
    return found + _group(
        net,
        far,
        Severity.WARNING,
        lambda e: f"|z| = {ohm[e]:.4g} ohm, over 1000 times the median",
        "is a length in metres?",
    )


def _ratings(net: Network) -> list[Finding]:
    rated = np.isfinite(net.i_max)
    found = []
    if not rated.any():
        found.append(
            Finding(Severity.NOTE, "network", "no branch has an ampacity", "give ampacity_a: no current is limited")
        )
    elif not rated.all():
        found += _group(net, ~rated, Severity.NOTE, lambda e: "no ampacity", "its current is not limited")
    amperes = net.i_max * net.i_base
    odd = rated & ((amperes < ODD_AMPERES[0]) | (amperes > ODD_AMPERES[1]))
    advice = "wrong unit suspected: ampacity_a is in A, not kA"
    found += _group(net, odd, Severity.WARNING, lambda e: f"ampacity {amperes[e]:.4g} A", advice)
    return found


def _voltage_limits(problem: ReconfigurationProblem) -> list[Finding]:
    if any(problem.voltage_ranges):
        return []
    return [
        Finding(Severity.NOTE, "network", "no voltage limits", "give them in the file, or as options vmin and vmax")
    ]


def _loads(net: Network) -> list[Finding]:
    found = []
    drawn = float(np.maximum(net.p_load, 0).sum())
    if drawn == 0:
        return [Finding(Severity.WARNING, "network", "the total load is 0", "give loads in the file or as a scenario")]
    # What is drawn, without the generation that the file states apart: netted, the power factor would say nothing.
    p, q = net.p_load + net.p_fed, net.q_load + net.q_fed
    apparent = np.hypot(p, q)
    factor = np.divide(np.abs(p), apparent, out=np.ones(net.n_bus), where=apparent > 0)
    consuming = (p > 0) & (q > 0)
    odd = consuming & (factor < LOW_POWER_FACTOR)
    # A few are netted with generation, or just so; where most are, the columns are exchanged.
    severity = Severity.WARNING if 2 * odd.sum() > consuming.sum() else Severity.NOTE
    text = "are p_kw and q_kvar exchanged?"
    found += _group_buses(net, odd, lambda k: f"power factor {factor[k]:.2f}", text, -factor, severity)
    one = (net.p_load > 0.5 * drawn) & (np.count_nonzero(net.p_load > 0) > _LISTED)
    share = net.p_load / drawn
    found += _group_buses(net, one, lambda k: f"has {share[k]:.0%} of the whole load", "is its unit W, not kW?")
    charging = float(np.maximum(net.b, 0).sum())
    if charging > 2 * drawn:
        value = f"{charging * net.base.kw:.4g} kvar for {drawn * net.base.kw:.4g} kW of load"
        found.append(Finding(Severity.WARNING, "line charging", value, "wrong unit suspected: b_us is in microsiemens"))
    return found


def _present_state(problem: ReconfigurationProblem, state: Evaluation) -> list[Finding]:
    net = problem.network
    drawn = float(np.maximum(net.p_load, 0).sum()) * net.base.kw
    units = "wrong units are suspected: kW for MW, ohm for per unit, base_kv"
    if not state.converged:
        return [
            Finding(Severity.ERROR, "present state", "no AC power flow exists", f"{units}; or the load is too high")
        ]
    found = []
    lowest = lowest_bus(net, state.vm)
    drop = float(net.substation_vm.max() - state.vm[lowest])
    if drop > SUSPICIOUS_DROP:
        found.append(
            Finding(Severity.ERROR, f"bus {bus_label(net, lowest)}", f"voltage {state.vm[lowest]:.3f} pu", units)
        )
    if drawn and state.loss_kw > SUSPICIOUS_LOSS * drawn:
        found.append(
            Finding(Severity.ERROR, "present state", f"{state.loss_kw / drawn:.0%} of the load is lost", units)
        )
    elif drawn and net.n_bus > 2 and state.loss_kw < NO_LOSS * drawn:
        found.append(Finding(Severity.WARNING, "present state", f"only {state.loss_kw:.3g} kW are lost", units))
    low = np.where(problem.vm_min > 0, problem.vm_min, LOW_VOLTAGE)
    high = np.where(np.isfinite(problem.vm_max), problem.vm_max, HIGH_VOLTAGE)
    beyond = ~net.is_substation & ((state.vm < low - 1e-9) | (state.vm > high + 1e-9))
    limit = "limit" if any(problem.voltage_ranges) else "customary limit"
    found += _group_buses(
        net,
        beyond,
        lambda k: (
            f"{state.vm[k]:.4f} pu in the present state ({limit} {low[k] if state.vm[k] < low[k] else high[k]} pu)"
        ),
        "reconfiguration may help; solve says so",
        np.abs(state.vm - 1.0),
    )
    overloaded = state.loading > 1 + 1e-6
    return found + _group(
        net,
        overloaded,
        Severity.WARNING,
        lambda e: f"loaded to {state.loading[e]:.0%} in the present state",
        "reconfiguration may help; check its ampacity",
        state.loading,
    )


def _group(
    net: Network, mask: Bools, severity: Severity, value: Any, advice: str, worst: Floats | None = None
) -> list[Finding]:
    mask = mask.copy()
    for switch, fixed in net.switchgear.behind.items():  # the cable says it for its switch
        mask[switch] &= ~mask[fixed]
    return _grouped([branch_label(net, e) for e in range(net.n_branch)], "branch", mask, severity, value, advice, worst)


def _group_buses(
    net: Network,
    mask: Bools,
    value: Any,
    advice: str,
    worst: Floats | None = None,
    severity: Severity = Severity.WARNING,
) -> list[Finding]:
    return _grouped([bus_label(net, k) for k in range(net.n_bus)], "bus", mask, severity, value, advice, worst)


def _grouped(
    ids: Sequence[str], kind: str, mask: Bools, severity: Severity, value: Any, advice: str, worst: Floats | None
) -> list[Finding]:
    """One finding each for a few objects; for many one finding that counts them and shows the worst."""
    chosen: list[int] = np.flatnonzero(mask).tolist()
    if worst is not None:
        chosen.sort(key=lambda k: -worst[k])
    if len(chosen) <= _LISTED:
        return [Finding(severity, f"{kind} {ids[k]}", value(k), advice) for k in chosen]
    listed = ", ".join(ids[k] for k in chosen[:_LISTED])
    return [
        Finding(
            severity, f"{counted(len(chosen), kind)} ({listed} ...)", f"{ids[chosen[0]]}: {value(chosen[0])}", advice
        )
    ]
