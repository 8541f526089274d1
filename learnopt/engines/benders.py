r"""Generalised Benders decomposition: topology and discrete controls in the master, an AC optimal power flow below.

Master (seed eq. 17, 18), on HiGHS: the DistFlow model with its tangents, all controls in it, and

.. math::

    \min\ \text{loss} + c\,n_{\mathrm{switching}} + \alpha,\quad \alpha \ge 0,\quad
    \alpha \ge \alpha^m + \sum_e \mu^m_e (w_e - W^m_e) + \sum_k \eta^m_k (c_k - C^m_k)
        + \sum_g \lambda^m_g (o_g - O^m_g) \quad \text{for every cut } m

with the states :math:`w` of the branches, the connected steps :math:`c` of the banks, the states :math:`o` of the
generators, and :math:`\alpha` in kW of slack. Slave (eq. 19-23): :class:`~learnopt.engines.opf.AcOpf`, whose
multipliers of the fixings are :math:`\mu, \eta, \lambda`. It ends when the slave's slacks are zero (section 2.4), and
the AC optimal power flow of least loss then sets what is continuous.

**What is proven.** The slave is not convex and :math:`w` is relaxed inside it, so a cut may cut off the optimum: the
bound is the master's before its first cut, when it is a relaxation of the AC problem as
:mod:`learnopt.formulations.distflow` shows. Where a gap is asked for, the rounds of
:mod:`learnopt.engines.milp.rounds`, the same master without cuts, go on from the answer until bound and
incumbent meet.

References
----------
Khodr, Martinez-Crespo, Vale, Ramos, *Optimal methodology for distribution systems reconfiguration based on OPF and
solved by decomposition technique*, eq. (17)-(23). Geoffrion (1972), doi:10.1007/BF00934810 (generalised Benders).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from learnopt.engines.base import SolveOptions, Stopwatch, infeasible
from learnopt.engines.dispatch import settle_from_each_step
from learnopt.engines.exchange import LocalSearch, find_incumbent
from learnopt.engines.fixed_loops import solve_without_loops
from learnopt.engines.milp import highs
from learnopt.engines.milp.coupled import Plan
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.relaxation import HighsRelaxation
from learnopt.engines.milp.results import DEFAULT_GAP, SMALLEST_GAP, concluded, searching
from learnopt.engines.milp.rounds import Effort, End, Rounds
from learnopt.engines.milp.starts import offer_starts
from learnopt.engines.milp.tangents import Tangents
from learnopt.engines.opf import FEASIBLE, AcOpf, OpfRun
from learnopt.engines.tree.probing import fix_by_bounds
from learnopt.formulations.benders import build_master
from learnopt.formulations.distflow_data import DistFlowData
from learnopt.network import Configuration, Iteration, ReconfigurationProblem, Result, Settings, Status
from learnopt.physics import power_flow

CAUTION = "Cuts from the slave, which is not convex, are no valid bounds: the bound is the master's before any of them."
KEEP = 1e-6
"""Relative margin above the incumbent at which bounds fix switches, so that they never exclude the incumbent."""


@dataclass(frozen=True)
class BendersEffort:
    """Effort of the decomposition.

    Parameters
    ----------
    iterations
        Most master problems.
    master_gap
        Relative gap of each master problem.
    master_nodes
        Most branch-and-bound nodes of each: the master only proposes, and what it has proven by then stands.
    neighbours
        Exchanges of the start whose AC points get tangents before the first master.
    root_rounds
        Most rounds of tangents at solutions of the linear relaxation.
    rounding
        Relative margin taken off a bound for the tolerances of the solver.
    """

    iterations: int = 50
    master_gap: float = 1e-3
    master_nodes: int = 40
    neighbours: int = 30
    root_rounds: int = 20
    rounding: float = 1e-7


class BendersEngine:
    """Benders decomposition with an AC optimal power flow as slave; needs CasADi.

    Parameters
    ----------
    effort
        Effort of its parts.
    """

    name = "benders"

    def __init__(self, effort: BendersEffort | None = None) -> None:
        self.effort = effort or BendersEffort()

    def solve(
        self, problem: ReconfigurationProblem, options: SolveOptions, start: Configuration | None = None
    ) -> Result:
        """Stop when the slave finds the master's solution feasible, or, with ``options.gap``, when bounds meet.

        Status ``optimal`` only where the bound meets the incumbent within the gap (1e-4 where none is given).

        Raises
        ------
        UnsupportedError
            If CasADi is not installed, or the problem has several scenarios.
        """
        if problem.chords.any():
            return solve_without_loops(self.name, self.solve, problem, options, start)
        watch = Stopwatch()
        if (failure := infeasible(problem, self.name, watch, controls=True)) is not None:
            return failure
        gap = DEFAULT_GAP if options.gap is None else max(options.gap, SMALLEST_GAP)
        search = searching(problem, self.name, gap, options, watch)
        run = _Decomposition(problem, search, self.effort)
        try:
            status, message = run.run(start)
            if status in (Status.FEASIBLE, Status.NO_SOLUTION) and options.gap is not None and search.remaining > 0:
                with watch.stage("incumbent"):
                    offer_starts(search, search.configuration or start)
                status, more = Rounds(search, Effort()).run()
                message = f"{message} Then the master without cuts: {more}"
        except KeyboardInterrupt:
            status, message = Status.INTERRUPTED, "Interrupted; this is the best configuration so far."
        if status is Status.FEASIBLE and search.closed:
            status = Status.OPTIMAL
        message = f"{message} {CAUTION}" if run.cuts else message
        result = concluded(problem, search, status, message, f"HiGHS {highs.VERSION}, IPOPT")
        return replace(result, iterations=tuple(run.log))


class _Decomposition:
    """The iterations on a problem; what they find is in the search and the log."""

    def __init__(self, problem: ReconfigurationProblem, search: Incumbent, effort: BendersEffort) -> None:
        self.problem, self.search, self.effort = problem, search, effort
        with search.watch.stage("build"):
            self.slave = AcOpf(problem)
        self.cuts = 0
        self.log: list[Iteration] = []

    def run(self, start: Configuration | None) -> End:
        """Status and message."""
        search, effort, watch, problem = self.search, self.effort, self.search.watch, self.problem
        with watch.stage("incumbent"):
            point, first = self._start(start)
        if point is not None:
            self._check(0, None, point, first)
        settings: Settings | None = first
        if search.plan is not None:
            point, settings = search.plan.configurations[0], next(iter(search.plan.settings), None)
        kw = problem.network.base.kw
        reduced = problem
        if search.plan is not None and not problem.controls:
            with watch.stage("fix"):  # what this loses costs more than the incumbent, which it keeps
                point, cutoff = search.plan.configurations[0], search.objective * (1 + KEEP) / kw
                reduced = fix_by_bounds(problem, point, cutoff, goes_on=lambda: search.remaining > 0)
        with watch.stage("build"):
            size = search.objective if search.plan is not None else 0.05 * float(np.abs(problem.p).sum()) * kw
            master = _Master(DistFlowData.of(reduced, search.objective / kw), size)
            tangents = Tangents(master.data.arcs, master.add_tangents, master.cuttable)
            applied = problem.applied(settings)
            for configuration in () if point is None else LocalSearch(applied).neighbours(point, effort.neighbours):
                self._touch(tangents, configuration, settings)
            if point is not None:
                self._touch(tangents, point, settings)
        proven = master.data.bounds.proven
        tolerance = 0.1 * search.gap * size / kw / max(float(problem.network.r.sum()), 1e-9)
        with watch.stage("root"):
            self._root(master, tangents, tolerance, proven)
        seen: set[tuple[Configuration, tuple[float, ...], tuple[bool, ...]]] = set()
        for number in range(1, effort.iterations + 1):
            if over := search.over:
                return search.stopped, over
            with watch.stage("master"):
                run = master.propose(effort, search.remaining)
            search.nodes += run.nodes
            untouched = self.cuts == 0 and not seen
            if untouched and proven:
                search.raise_bound(min(run.bound, search.objective) * (1 - effort.rounding))
            if run.outcome is highs.Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is highs.Outcome.FAILED:
                return search.stopped, "The solver reported an error; the result is what was known before."
            if run.outcome is highs.Outcome.INFEASIBLE:
                if untouched and proven and search.plan is None:
                    return Status.INFEASIBLE, "No radial configuration respects the limits: the master is infeasible."
                return search.stopped, "The master has no further proposal."
            if run.values is None:
                return search.stopped, "The master found no proposal within its limits."
            with watch.stage("tangents"):
                tangents.at_values(*master.arc_values(run), tolerance)
                master.cut_ratings(run)
                proposal, proposed = master.proposal(run), master.settings(run) or Settings()
                self._touch(tangents, proposal, proposed)
            key = (proposal, proposed.capacitors, proposed.on)
            if key in seen:
                master.exclude(proposal)  # its cut was too weak to move the master
                continue
            seen.add(key)
            slave = self._check(number, run.objective, proposal, proposed)
            if slave.infeasibility <= FEASIBLE:
                return search.stopped, f"Converged: the slave has no slack; iterations: {number}."
            master.add_cut(slave, proposal, proposed)
            self.cuts += 1
        return search.stopped, f"No feasible master solution in {effort.iterations} iterations."

    def _start(self, start: Configuration | None) -> tuple[Configuration | None, Settings]:
        """Branch exchange, and the controls by coordinate search."""
        search, problem = self.search, self.problem
        rng = np.random.default_rng(search.options.seed)
        found = find_incumbent(problem, start, rng, 8, search.limit, search.watch)
        settings = problem.controls.neutral
        if found is not None and problem.controls and (settled := settle_from_each_step(problem, found)) is not None:
            found, settings, _ = settled
        return found, settings

    def _check(self, number: int, objective: float | None, configuration: Configuration, given: Settings) -> OpfRun:
        """Slave of least slacks and, where they vanish, of least loss: the incumbent."""
        search, kw = self.search, self.problem.network.base.kw
        with search.watch.stage("slave"):
            # The power flow alone may find it feasible already: that stands, whatever the slave finds.
            search.offer(Plan((configuration,), (given,) if self.problem.controls else ()))
            run = self.slave.solve(configuration, given)
            loss = None
            if run.converged and run.infeasibility <= FEASIBLE:
                best = self.slave.solve(configuration, run.settings, minimise_loss=True)
                loss = best.loss * kw if best.converged else None
                for settings in (best.settings, run.settings):
                    search.offer(Plan((configuration,), (settings,) if self.problem.controls else ()))
        self.log.append(
            Iteration(
                number=number,
                master_kw=objective,
                bound_kw=search.bound if math.isfinite(search.bound) else None,
                infeasibility_kw=run.infeasibility * kw,
                loss_kw=loss,
                incumbent_kw=search.objective if search.plan is not None else None,
            )
        )
        return run

    def _root(self, master: _Master, tangents: Tangents, tolerance: float, proven: bool) -> None:
        """Tangents at solutions of the linear relaxation while they raise its bound."""
        previous = -math.inf
        for _ in range(self.effort.root_rounds):
            run = master.solve_relaxation(self.search.remaining)
            if run.outcome is highs.Outcome.INTERRUPTED:
                raise KeyboardInterrupt
            if run.outcome is not highs.Outcome.OPTIMAL or run.values is None:
                return
            if proven:
                self.search.raise_bound(min(run.bound, self.search.objective) * (1 - self.effort.rounding))
            added = tangents.at_values(*master.arc_values(run), tolerance) + master.cut_ratings(run)
            if not added or run.bound < previous + 2e-4 * abs(run.bound):
                return
            previous = run.bound

    def _touch(self, tangents: Tangents, configuration: Configuration, settings: Settings | None) -> None:
        applied = self.problem.applied(settings)
        if (flow := power_flow(applied, configuration)).converged:
            tangents.at_power_flow(flow, applied.network)


class _Master(HighsRelaxation):
    """The DistFlow model with alpha in its objective [kW], and the rows of the cuts."""

    def __init__(self, data: DistFlowData, size: float) -> None:
        model = build_master(data)
        super().__init__(data, size, model)
        self._alpha = int(self.model.columns([model.alpha])[0])
        controls = data.problem.controls
        steps = [(k, s, rated) for k, bank in enumerate(controls.capacitors) for s, rated in enumerate(bank.choices)]
        self._bank = np.array([k for k, _, _ in steps], dtype=np.int64)
        self._rated = np.array([rated for _, _, rated in steps])
        self._step = self.model.columns([model.capacitor_on[k, s] for k, s, _ in steps])
        self._switchable = np.array([g.switchable for g in controls.generators], dtype=bool)
        self._on = self.model.columns([model.generator_on[k] for k in range(len(controls.generators))])

    def propose(self, effort: BendersEffort, time_limit: float) -> highs.SolverRun:
        """Solve with HiGHS's heuristics, as far as the effort goes."""
        return self.model.solve(
            gap=effort.master_gap, time_limit=time_limit, node_limit=effort.master_nodes, watch=lambda *_: None
        )

    def add_cut(self, slave: OpfRun, configuration: Configuration, settings: Settings) -> None:
        r"""Append the cut (18) of a slave solution, all in kW; a branch's state is the sum over its two arcs."""
        kw = self.data.problem.network.base.kw
        branch = self.data.arcs.branch[self.choice]
        variable = np.isin(np.arange(self.data.problem.network.n_branch), branch)
        mu, eta, lam = slave.branch_sensitivity, slave.capacitor_sensitivity, slave.generator_sensitivity
        on = np.array(settings.on, dtype=float)
        at_point = float(mu[variable] @ configuration.closed[variable])
        at_point += float(eta @ np.array(settings.capacitors)) + float(lam[self._switchable] @ on[self._switchable])
        terms = [(self.b, mu[branch]), (self._step, eta[self._bank] * self._rated if len(self._bank) else eta[:0])]
        terms.append((self._on[self._switchable], lam[self._switchable]))
        columns = np.concatenate([[self._alpha], *(c for c, _ in terms)]).astype(np.int64)
        values = np.concatenate([[1.0], *(-kw * v for _, v in terms)])
        present = (columns >= 0) & (np.abs(values) > 1e-9)
        lower = kw * (slave.infeasibility - at_point)
        self.model.add_rows(columns[None, present], values[None, present], np.array([lower]))
