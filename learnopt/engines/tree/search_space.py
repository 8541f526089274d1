"""One problem made ready for the compiled searches: what they decide, and what they know about the AC side."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines.bounds.trunk import SLACK, TrunkData
from learnopt.engines.tree.budget import CHUNK_WORK
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.frames import SearchData
from learnopt.network import Bools, Floats, ReconfigurationProblem
from learnopt.network.loop_reduction import without_fixed_loops
from learnopt.network.rescaling import without_ratios
from learnopt.network.topology import merged_nodes
from learnopt.physics import LoopSpace, PowerFlow
from learnopt.physics.limits import limit_arrays
from learnopt.physics.sweep import problem_grid


@dataclass(frozen=True)
class SearchSpace:
    """Decisions of a problem in loop coordinates.

    Parameters
    ----------
    problem
        Without fixed loops where these are circuits side by side (:mod:`learnopt.network.loop_reduction`), and in per
        units without ratios (:mod:`learnopt.network.rescaling`) where loops agree on them; else as given.
    scale
        Voltages of the given problem over those of this one, shape (n_bus,).
    space
        Loop coordinates of the usable graph.
    base_closed
        Branches that are closed before any decision, bool, shape (n_branch,).
    decisions, trunk
        What the compiled search reads.
    root_vm
        Largest substation voltage [pu]: the unit of voltages inside the search.
    """

    problem: ReconfigurationProblem
    scale: Floats
    space: LoopSpace
    base_closed: Bools
    decisions: SearchData
    trunk: TrunkData
    root_vm: float

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> SearchSpace:
        """The search space of a problem that some radial configuration solves."""
        given = problem
        problem = without_fixed_loops(problem) or problem
        rescaled = without_ratios(problem)
        scale = np.ones(problem.network.n_bus) if rescaled is None else rescaled.scale
        problem = problem if rescaled is None else rescaled.problem
        net, core = problem.network, problem.core
        space = LoopSpace.of(problem)
        row = np.full(net.n_branch, -1)
        row[space.core] = np.arange(len(space.core))
        root_vm = float(net.substation_vm.max())
        base_closed = (problem.usable & (problem.blocks.block >= 0)) | problem.chords
        base_closed[core.branches] = False
        cost = problem.switching_cost / net.base.kw
        normal = net.normal_configuration.closed
        counted = ~problem.out_of_service
        decided = counted.copy()
        decided[core.branches] = False
        base_closings = int(np.count_nonzero(base_closed & ~normal & decided))
        base_openings = int(np.count_nonzero(~base_closed & normal & decided))
        close_count = (counted & ~normal)[core.branches].astype(np.int64)
        open_count = (counted & normal)[core.branches].astype(np.int64)
        max_closings = max_openings = net.n_branch
        if problem.max_operations is not None:
            n_closed = int(merged_nodes(net).max()) + int(np.count_nonzero(problem.chords))
            surplus = n_closed - int(np.count_nonzero(normal & counted))
            max_closings = (problem.max_operations + surplus) // 2
            max_openings = max_closings - surplus
        decisions = SearchData(
            row=row[core.branches],
            branch=core.branches,
            tail=core.tail,
            head=core.head,
            n_nodes=core.n_nodes,
            cycles=space.cycles,
            g0=space.loop_conductance * root_vm**2,
            bridge=space.bridge_conductance * root_vm**2,
            close_cost=cost * close_count.astype(float),
            open_cost=cost * open_count.astype(float),
            close_count=close_count,
            open_count=open_count,
            max_closings=max_closings,
            max_openings=max_openings,
            base_closings=base_closings,
            base_openings=base_openings,
            gain=0,
            cheapest=np.zeros(0, dtype=np.int64),
            ac_leaves=True,
            share=2 if problem.worst_case else 2 * len(problem.members),
        )
        leaf_constant = cost * (base_closings + base_openings)
        trunk = _trunk_data(problem, root_vm, leaf_constant)
        # Leaves are power flows of the problem as given, and respect its limits.
        trunk = trunk._replace(
            grid=problem_grid(given),
            limits=limit_arrays(given),
            monotone=rescaled is not None and not problem.chords.any() and not mixed_signs(problem),
        )
        return cls(problem, scale, space, base_closed | given.chords, decisions, trunk, root_vm)

    def seen(self, flow: PowerFlow) -> PowerFlow:
        """A power flow of the given problem with the voltages that it has in this one."""
        return replace(flow, v=flow.v / self.scale)

    def with_iron(self, iron: Floats) -> SearchSpace:
        """The space with a price on each closed branch for what it loses in its iron [pu], shape (n_branch,)."""
        if not iron.any():
            return self
        decisions, trunk = self.decisions, self.trunk
        close_cost = decisions.close_cost + iron[decisions.branch]
        cheapest = np.argsort(close_cost - decisions.open_cost, kind="stable")
        constant = trunk.leaf_constant + float(iron[self.base_closed].sum())
        return replace(
            self,
            decisions=decisions._replace(close_cost=close_cost, cheapest=cheapest),
            trunk=trunk._replace(iron=iron, leaf_constant=constant),
        )

    def with_gain(self, gain: int, tau: float = 0.0) -> SearchSpace:
        """The space for another bound, see :attr:`SearchData.gain`; ``tau``: direction of metric B."""
        n = len(self.trunk.weight)
        trunk = self.trunk._replace(alpha=np.full(n, 1 / math.hypot(1, tau)), tau=np.full(n, tau))
        return replace(self, decisions=self.decisions._replace(gain=gain), trunk=trunk)

    @property
    def entries(self) -> int:
        """Entries of the loop matrix, a measure of the work in a node."""
        return self.space.cycles.size + 1000

    @property
    def chunk(self) -> int:
        """Nodes between two looks at the clock."""
        return max(10, int(CHUNK_WORK / self.entries))

    @property
    def n_parts(self) -> int:
        """Parts of the objective, of which the largest counts: the scenarios in the worst case, else one."""
        return len(self.problem.members) if self.problem.worst_case else 1

    @property
    def column_weight(self) -> Floats:
        """Factor of each scenario's injections, so that squared flows add up to the objective, shape (n_scenario,)."""
        weight = self.trunk.weight
        return np.ones(len(weight)) if self.trunk.worst else np.sqrt(weight)


def _trunk_data(problem: ReconfigurationProblem, root_vm: float, leaf_constant: float) -> TrunkData:
    net = problem.network
    fed = ~net.is_substation
    scale = 1.0 / root_vm**2
    p, q = np.stack([m.p for m in problem.members]), np.stack([m.q for m in problem.members])
    return TrunkData(
        grid=problem_grid(problem),
        limits=limit_arrays(problem),
        s=p + 1j * q,
        weight=np.array(problem.weights),
        worst=problem.worst_case,
        r=net.r * scale,
        x=net.x * scale,
        p=np.where(fed, p, 0.0),
        q=np.where(fed, q, 0.0),
        alpha=np.ones(len(p)),
        tau=np.zeros(len(p)),
        w_min=(problem.vm_min * (1 - SLACK)) ** 2 * scale,
        ell_max=(problem.i_max * (1 + SLACK)) ** 2 / scale,
        leaf_constant=leaf_constant,
        iron=np.zeros(net.n_branch),
        monotone=False,
    )
