"""What a one-line diagram shows, before any drawing library: states, changes, colours, widths, labels and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from learnopt.network import Bools, Configuration, Evaluation, Floats, Ints, ReconfigurationProblem
from learnopt.network.names import (
    branch_label,
    branch_short,
    bus_label,
    bus_short,
    ends_label,
    lowest_bus,
    short,
    whole_id,
)
from learnopt.network.totals import by_bus
from learnopt.network.unbalanced import Complex
from learnopt.physics.balance import UPSTREAM, fed_by
from learnopt.physics.judge import LIMIT_TOLERANCE, branch_loss_kw
from learnopt.report.drawing.colours import BUS_NAME, CLOSE, INK, LINE, OPEN, VIOLATED, branch_colours, feeder_colours
from learnopt.report.drawing.map_layout import layout_of
from learnopt.report.drawing.positions import Layout
from learnopt.report.kit.numbers import number
from learnopt.wording import counted

VOLTAGE_COLOURS = "cividis"
"""Dark = low: the darker a bus, the deeper its voltage, in colour and in grey."""
UNKNOWN = "#FFFFFF"


@dataclass(frozen=True)
class Scale:
    """Ranges that pictures to be compared have in common.

    Parameters
    ----------
    vm_low, vm_high
        Voltages at the ends of the colour scale [pu].
    loss_kw
        Branch loss drawn at full width [kW].
    """

    vm_low: float
    vm_high: float
    loss_kw: float

    @classmethod
    def of(cls, problem: ReconfigurationProblem, *evaluations: Evaluation | None) -> Scale:
        """The ranges that these power flows span."""
        known = [e for e in evaluations if e is not None and e.converged]
        vm = np.concatenate([e.vm for e in known]) if known else np.ones(1)
        low, high = float(vm.min()), float(vm.max())
        if high - low < 0.01:  # a flat profile is not blown up to full colour
            low = high - 0.01
        loss = max((float(branch_loss_kw(problem, e).max(initial=0.0)) for e in known), default=0.0)
        return cls(low, high, max(loss, 1e-9))


def why_unsolved(evaluation: Evaluation) -> str:
    """Why there are no voltages, without the list of ids."""
    return evaluation.violations[0].split(":")[0] if evaluation.violations else "no AC power flow solution"


@dataclass(frozen=True, eq=False)
class OneLine:
    """One picture.

    Parameters
    ----------
    configuration, evaluation
        The state drawn and its power flow (None: not computed).
    reference
        State to compare with: branches that differ are marked as changed.
    scale
        Ranges of colour and width.
    title
        Heading.
    feeders
        Colour of each feeder by the branch at its outlet; empty: all lines alike.
    """

    problem: ReconfigurationProblem
    layout: Layout
    configuration: Configuration
    evaluation: Evaluation | None
    reference: Configuration | None
    scale: Scale
    title: str
    feeders: Mapping[int, str] = field(default_factory=dict)

    @property
    def solved(self) -> Evaluation | None:
        """The power flow, if it has a solution."""
        return self.evaluation if self.evaluation is not None and self.evaluation.converged else None

    @property
    def closed(self) -> Bools:
        """bool, shape (n_branch,)."""
        return self.configuration.closed

    @cached_property
    def changed(self) -> Bools:
        """bool, shape (n_branch,): in another state than in the reference, and in service."""
        if self.reference is None:
            return np.zeros(self.problem.network.n_branch, dtype=bool)
        return (self.closed != self.reference.closed) & ~self.problem.out_of_service

    @property
    def out_of_service(self) -> Bools:
        """bool, shape (n_branch,): drawn with a cross."""
        return self.problem.out_of_service

    def marked(self, closing: bool) -> Bools:
        """bool, shape (n_branch,): changed branches that the switching closes (normally open) or opens."""
        normally_open = self.problem.network.normally_open
        return self.changed & (normally_open if closing else ~normally_open)

    @property
    def carried_out(self) -> bool:
        """The picture shows the state after switching (its changed branches are not in their normal state)."""
        return bool(np.any(self.changed & (self.closed == self.problem.network.normally_open)))

    @cached_property
    def loss_kw(self) -> Floats:
        """Loss of each branch [kW], shape (n_branch,)."""
        return np.zeros(len(self.closed)) if self.solved is None else branch_loss_kw(self.problem, self.solved)

    @cached_property
    def weight(self) -> Floats:
        """Line weight from 0 to 1, shape (n_branch,); the root of the loss, that is proportional to current."""
        return np.sqrt(np.clip(self.loss_kw / self.scale.loss_kw, 0.0, 1.0))

    @cached_property
    def tones(self) -> list[str]:
        """Colour of each branch, shape (n_branch,): its feeder, or the alarm of an overload."""
        tones = branch_colours(self.problem.network, self.fed, self.feeders)
        return [VIOLATED if over else tone for over, tone in zip(self.overloaded, tones, strict=True)]

    @cached_property
    def fed(self) -> Ints | None:
        """Feeder of each bus as the branch at its outlet, shape (n_bus,); None where that is not known."""
        return fed_by(self.problem.network, self.closed, self.layout.bars) if self.feeders else None

    @property
    def feeder_names(self) -> list[tuple[str, str]]:
        """Colour and name of the feeders in this state."""
        heads = [] if self.fed is None else [h for h in np.unique(self.fed).tolist() if h in self.feeders]
        net = self.problem.network
        names = [branch_short(net, h) for h in heads]
        # Names that are alike where they are cut say nothing: then ids.
        return [
            (self.feeders[h], name if names.count(name) == 1 else short(whole_id(net.branch_ids[h]), ""))
            for h, name in zip(heads, names, strict=True)
        ]

    @cached_property
    def overloaded(self) -> Bools:
        """bool, shape (n_branch,): current above the ampacity."""
        return np.zeros(len(self.closed), dtype=bool) if self.solved is None else self.solved.loading > _SLACK

    @cached_property
    def out_of_voltage(self) -> Bools:
        """bool, shape (n_bus,): outside the voltage limits of the problem."""
        if self.solved is None:
            return np.zeros(self.problem.network.n_bus, dtype=bool)
        vm = self.solved.vm
        outside: Bools = (vm * _SLACK < self.problem.vm_min) | (vm > self.problem.vm_max * _SLACK)
        return outside

    @cached_property
    def drawn_buses(self) -> np.ndarray:
        """Indices of the buses drawn as points: those of the file that are no bars."""
        own = np.flatnonzero(~self.problem.network.auxiliary).tolist()
        return np.array([k for k in own if k not in self.layout.bars], dtype=np.int64)

    @cached_property
    def _powers(self) -> tuple[Complex, Complex]:
        """Load and generation of each bus [pu]."""
        return by_bus(self.problem.network, self.problem.scenario)

    @property
    def lowest(self) -> int | None:
        """Bus of the lowest voltage."""
        return None if self.solved is None else lowest_bus(self.problem.network, self.solved.vm)

    @cached_property
    def labels(self) -> list[tuple[float, float, str, str, int, str]]:
        """Place, text, colour, rank and kind ("bold" or "") of every label there could be, where there is room.

        Substations first, then switches that change, those that are open, and buses.
        """
        net, layout = self.problem.network, self.layout
        found: list[tuple[float, float, str, str, int, str]] = []
        for k in net.substations.tolist():
            x, y = layout.bars[k][np.argmax(layout.bars[k][:, 1])].tolist()
            found.append((x, y, bus_short(net, k), INK, 0, "bold"))
        quiet = (~self.closed & ~self.changed) | self.out_of_service
        groups = [(self.marked(True), CLOSE, 1, "bold"), (self.marked(False), OPEN, 1, "bold"), (quiet, LINE, 2, "")]
        for mask, tone, rank, kind in groups:
            for e in np.flatnonzero(mask).tolist():
                found += [(x, y, branch_short(net, e), tone, rank, kind) for x, y in layout.switch_places(e).tolist()]
        for k in self.drawn_buses.tolist():
            found.append((float(layout.x[k]), float(layout.y[k]), bus_short(net, k), BUS_NAME, 3, ""))
        return found

    @property
    def summary(self) -> str:
        """One line of figures."""
        net = self.problem.network
        n_open = int(np.count_nonzero(~self.closed))
        parts = [counted(n_open, "open switch")]
        if self.solved is None:
            if self.evaluation is not None:
                parts.insert(0, why_unsolved(self.evaluation))
            return "  ·  ".join(parts)
        vm, loading = self.solved.vm, self.solved.loading
        low = lowest_bus(net, vm)
        parts = [
            f"loss {number(self.solved.loss_kw)} kW",
            f"lowest voltage {vm[low]:.4f} pu at bus {bus_label(net, low)}",
        ]
        if np.isfinite(net.i_max).any():
            high = int(np.argmax(loading))
            parts.append(f"highest loading {100 * loading[high]:.0f} % on branch {branch_label(net, high)}")
        return "  ·  ".join([*parts, counted(n_open, "open switch")])

    def bus_text(self, k: int) -> list[str]:
        """Facts about a bus, one per line."""
        net = self.problem.network
        lines = [f"{'substation' if net.is_substation[k] else 'bus'} {bus_label(net, k)}"]
        if self.solved is not None:
            vm = self.solved.vm[k]
            lines.append(f"{vm:.4f} pu = {vm * net.kv[k]:.3f} kV")
        for name, powers in zip(("load", "generation"), self._powers, strict=True):
            s = complex(powers[k]) * net.base.kw
            if s or name == "load":
                lines.append(f"{name} {number(s.real)} kW, {number(s.imag)} kvar")
        if self.fed is not None and self.fed[k] != UPSTREAM:
            lines.append(f"feeder {branch_label(net, int(self.fed[k]))}")
        return lines

    def branch_text(self, e: int) -> list[str]:
        """Facts about a branch, one per line."""
        net = self.problem.network
        ends = ends_label(net, e)
        lines = [f"branch {branch_label(net, e)} ({ends})", "closed" if self.closed[e] else "open"]
        if self.out_of_service[e]:
            lines[1] = "out of service"
        elif self.changed[e]:
            action = "close" if net.normally_open[e] else "open"
            lines[1] += f", changed by switching ({action})"
        if self.closed[e] and self.solved is not None:
            lines.append(f"{number(self.solved.current_a[e])} A, loss {number(self.loss_kw[e])} kW")
            if np.isfinite(net.i_max[e]):
                rating = number(net.i_max[e] * net.i_base[e])
                lines.append(f"loading {100 * self.solved.loading[e]:.1f} % of {rating} A")
        return lines


_SLACK = 1 + LIMIT_TOLERANCE


def one_line(
    problem: ReconfigurationProblem,
    configuration: Configuration,
    evaluation: Evaluation | None,
    reference: Configuration | None = None,
    *,
    layout: Layout | None = None,
    scale: Scale | None = None,
    title: str | None = None,
    feeders: Mapping[int, str] | None = None,
) -> OneLine:
    """Everything a picture needs; layout, scale and feeders are shared by pictures to be compared."""
    states = [state for state in (reference, configuration) if state is not None]
    layout = layout or layout_of(problem.network)
    return OneLine(
        problem=problem,
        layout=layout,
        configuration=configuration,
        evaluation=evaluation,
        reference=reference,
        scale=scale or Scale.of(problem, evaluation),
        title=title if title is not None else problem.network.title or problem.network.name,
        feeders=feeder_colours(problem.network, layout.bars, *states) if feeders is None else feeders,
    )
