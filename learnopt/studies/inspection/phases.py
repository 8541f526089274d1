"""The present state of an unbalanced file in all its phases: what each carries, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from learnopt.network import Floats, Network, PhaseSummary, ReconfigurationProblem
from learnopt.network.names import branch_label, bus_label
from learnopt.physics.balance import feeder_heads
from learnopt.physics.phase_judge import evaluation_of, summary_of
from learnopt.studies.inspection.reconcile import Imported


@dataclass(frozen=True, eq=False)
class Head:
    """Where a feeder or a source begins, phase by phase.

    Parameters
    ----------
    name
        For people: the substation, or the branch.
    kw
        Power drawn in phases a b c [kW], NaN for a phase that is not there, shape (3,).
    return_a
        Current that neutral or earth returns [A]; None for a source.
    """

    name: str
    kw: Floats
    return_a: float | None = None

    @property
    def imbalance(self) -> float | None:
        """Largest distance of a phase from the mean of the phases, over that mean; None where there is one only."""
        if np.count_nonzero(~np.isnan(self.kw)) < 2:
            return None
        mean = float(np.nanmean(self.kw))
        return float(np.nanmax(np.abs(self.kw - mean)) / max(abs(mean), 1e-12))


@dataclass(frozen=True, eq=False)
class PhaseFacts:
    """The present state in all phases.

    Parameters
    ----------
    loss_kw, lowest_pu
        Of all of it, and its lowest phase.
    summary
        Where the lowest and the highest phase and the largest unbalance are.
    heads
        Sources, then the branches at their busbars that carry something.
    buses
        Number of buses with one, two and three phases.
    return_a, return_branch
        Largest current that neutral or earth returns along a branch [A], and where.
    """

    loss_kw: float
    lowest_pu: float
    summary: PhaseSummary
    heads: tuple[Head, ...]
    buses: tuple[int, int, int]
    return_a: float
    return_branch: str

    def to_dict(self) -> dict[str, Any]:
        """Key ``phases`` of ``learnopt inspect --json``; null for a phase that is not there."""
        one = self.summary
        return {
            "tool": one.tool,
            "loss_kw": self.loss_kw,
            "min_voltage_pu": self.lowest_pu,
            "lowest_bus": one.lowest_bus,
            "max_voltage_pu": one.highest_pu,
            "highest_bus": one.highest_bus,
            "max_unbalance": one.unbalance,
            "unbalance_bus": one.unbalance_bus,
            "heads": [
                {
                    "name": head.name,
                    "kw": [None if np.isnan(kw) else float(kw) for kw in head.kw],
                    "imbalance": head.imbalance,
                    "return_a": head.return_a,
                }
                for head in self.heads
            ],
            "buses_by_phases": dict(zip(("1", "2", "3"), self.buses, strict=True)),
            "max_return_a": self.return_a,
            "return_branch": self.return_branch,
        }


def inspect_phases(imported: Imported) -> PhaseFacts | None:
    """The present state of a file in the tool that knows its phases; None where phases are alike, or it has none."""
    net = imported.network
    problem = ReconfigurationProblem.of(net)
    with imported.circuits(problem) as circuits:
        if not circuits or not circuits[0].solve(net.normal_configuration.closed):
            return None
        state, flow = circuits[0].state(), circuits[0].flow()
        summary = summary_of(circuits[0].tool, net, [state], evaluation_of(problem, [state]))
    most = int(np.nanargmax(flow.return_a))
    return PhaseFacts(
        state.loss_kw,
        float(state.lowest.min()),
        summary,
        tuple(_heads(net, flow.head_kw, flow.from_kw, flow.return_a)),
        (int(np.sum(state.live == 1)), int(np.sum(state.live == 2)), int(np.sum(state.live == 3))),
        float(flow.return_a[most]),
        branch_label(net, most),
    )


def _heads(net: Network, drawn: Floats, from_kw: Floats, return_a: Floats) -> list[Head]:
    """What is drawn at the sources and into the branches at their busbars."""
    heads = [Head(f"source {bus_label(net, k)}", kw) for k, kw in zip(net.substations.tolist(), drawn, strict=True)]
    for e in feeder_heads(net).tolist():
        if np.isfinite(from_kw[e]).any() and np.nansum(np.abs(from_kw[e])) > 0:
            heads.append(Head(f"branch {branch_label(net, e)}", np.abs(from_kw[e]), float(return_a[e])))
    return heads
