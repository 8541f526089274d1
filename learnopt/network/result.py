"""What every engine returns: complete even in failure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from learnopt.network.aliases import Floats, Id
from learnopt.network.configuration import Configuration
from learnopt.network.controls import Settings
from learnopt.network.notebook import fact_table
from learnopt.network.unbalanced import PhaseFlow
from learnopt.wording import counted


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    """Proven within the requested gap, in the meaning of the result's certificate."""
    FEASIBLE = "feasible"
    """A configuration that respects everything asked for, not proven optimal."""
    INFEASIBLE = "infeasible"
    """Proven that no configuration exists; ``message`` says why."""
    NO_SOLUTION = "no_solution"
    """None was found within the limits of the run, none is excluded either."""
    INTERRUPTED = "interrupted"
    """Stopped by the user; the best configuration so far, if any, is in the result."""


class Certificate(StrEnum):
    """What ``dual_bound_kw`` bounds."""

    AC = "ac"
    """The AC objective of every admissible radial configuration."""
    MODEL = "model"
    """The objective of a stated approximation; ``message`` says which."""
    NONE = "none"
    """Nothing is proven for the full problem."""


@dataclass(frozen=True)
class Evaluation:
    """AC power flow of one configuration by the independent judge.

    Parameters
    ----------
    converged
        False: the power flow has no solution or none was found; every other number is NaN.
    loss_kw
        Active loss [kW]; of several scenarios the weighted mean, or the largest (``problem.objective``).
    vm
        Voltage magnitudes [pu], shape (n_bus,); of several scenarios the lowest.
    loading
        Current over ampacity, larger end, shape (n_branch,); 0 where no ampacity is known; the scenarios' highest.
    current_a
        Larger end current [A], at the voltage of the from end, shape (n_branch,); the highest of the scenarios.
    substation_kva
        Apparent power drawn at each substation [kVA], shape (n_substation,); the highest of the scenarios.
    violations
        One sentence per limit violated, by id; empty when the configuration respects the problem.
    scenarios
        The power flow of each situation where the problem has several, in its order: see :attr:`situations`.
    unsettled
        True where no power flow was found and none is excluded: neither a low loss nor a proof that there is none.
        False where it converged, where the state is not radial, and where it is proven that it has no power flow.
    """

    converged: bool
    loss_kw: float
    vm: Floats
    loading: Floats
    current_a: Floats
    substation_kva: Floats
    violations: tuple[str, ...]
    scenarios: tuple[Evaluation, ...] = ()
    unsettled: bool = False

    @classmethod
    def together(cls, members: Sequence[Evaluation], loss_kw: float, violations: Iterable[str]) -> Evaluation:
        """Situations with power flows as one: the worst of everything but the loss; of one its own."""
        if len(members) == 1:
            return members[0]
        return cls(
            converged=True,
            loss_kw=loss_kw,
            vm=np.min([one.vm for one in members], axis=0),
            loading=np.max([one.loading for one in members], axis=0),
            current_a=np.max([one.current_a for one in members], axis=0),
            substation_kva=np.max([one.substation_kva for one in members], axis=0),
            violations=tuple(violations),
            scenarios=tuple(members),
        )

    @property
    def situations(self) -> tuple[Evaluation, ...]:
        """The power flow of each load situation of the problem, in its order; of one its only one, this."""
        return self.scenarios or (self,)

    def __repr__(self) -> str:
        broken = counted(len(self.violations), "violation")
        if not self.converged:
            return f"Evaluation(no power flow{', unsettled' if self.unsettled else ''}, {broken})"
        figures = f"{self.loss_kw:.6g} kW lost, lowest voltage {self.min_voltage_pu:.4f} pu"
        return f"Evaluation({figures}, highest loading {self.max_loading:.2f}, {broken})"

    @property
    def feasible(self) -> bool:
        """Converged and within every limit of the problem."""
        return self.converged and not self.violations

    @property
    def min_voltage_pu(self) -> float:
        """Lowest voltage magnitude [pu]."""
        return float(np.min(self.vm))

    @property
    def max_loading(self) -> float:
        """Highest current over ampacity; 0 where no ampacity is known."""
        return float(np.max(self.loading, initial=0.0))


@dataclass(frozen=True)
class LearnedSummary:
    """What the learned pipeline decided (key ``learned`` of ``solve --json``).

    Parameters
    ----------
    checkpoint
        Name of the checkpoint.
    alpha
        Stated risk: P(any fixed switch is wrong) <= alpha on the calibration feeders. None where the class of the
        problem was not calibrated: then nothing is fixed and no risk stated.
    fixed_closed, fixed_open, free
        Counts of undecided switches (locked and bridge branches are in none of them), proven fixings included.
    reduced_bound_kw
        Bound of the reduced problem [kW]: **not** a bound of the full problem.
    used_alpha
        The risk whose threshold was used: ``alpha``, a smaller one on an unusual feeder, None where nothing was fixed
        because the feeder is foreign or the checkpoint cannot state the risk.
    novelty
        How unlike the training feeders this one is; above 1 for one in a hundred of the calibration feeders.
    proven
        Switches among the fixed ones whose other state is excluded by a bound, not by belief.
    problem_class
        What the problem has beyond topology, loads and impedances; ``topology`` where that is nothing.
    family
        The class that thresholds are calibrated for.
    threshold
        Confidence from which on switches, and devices, were fixed; None where nothing may be fixed in this class.
    fixed_devices, free_devices
        Controls with steps, positions or on and off that were fixed by prediction, and those that were not.
    """

    checkpoint: str
    alpha: float | None
    fixed_closed: int
    fixed_open: int
    free: int
    reduced_bound_kw: float | None
    used_alpha: float | None = None
    novelty: float = 0.0
    proven: int = 0
    problem_class: str = "topology"
    family: str = "topology"
    threshold: float | None = None
    fixed_devices: int = 0
    free_devices: int = 0


@dataclass(frozen=True)
class PhaseSummary:
    """What a power flow of all phases says of the answer, where there is none of the present state.

    Parameters
    ----------
    tool
        Which program computed it, from the user's own file.
    present
        Its judgement of the present state, which ``evaluation`` is compared with; None without a power flow.
    highest_pu, highest_bus
        Voltage of the highest phase, and where [pu].
    lowest_bus
        Where the lowest phase is (its voltage is ``evaluation.min_voltage_pu``).
    unbalance, unbalance_bus
        Largest negative- over positive-sequence voltage, and where.
    voltage
        Of each phase a b c of each bus [pu], NaN where it has none, shape (n_bus, 3); the lowest of several situations.
    unbalance_at
        Negative- over positive-sequence voltage, 0 at buses without three phases, shape (n_bus,); the largest of
        several situations.
    flow
        Currents and powers of the phases, the largest of several situations; None where they were not asked for.
    controls
        Regulators and capacitors that were set with the switches; none where they were held.
    """

    tool: str
    present: Evaluation | None
    highest_pu: float
    highest_bus: Id
    lowest_bus: Id
    unbalance: float
    unbalance_bus: Id
    voltage: Floats | None = field(default=None, repr=False, compare=False)
    controls: tuple[PhaseSetting, ...] = ()
    unbalance_at: Floats | None = field(default=None, repr=False, compare=False)
    flow: PhaseFlow | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class PhaseSetting:
    """A regulator or a bank of capacitors, set by itself.

    Parameters
    ----------
    element, kind, phases
        As of :class:`~learnopt.network.unbalanced.PhaseDevice`.
    before, position
        Numbers of its positions in the present state and in the answer.
    value
        Tap of the answer [pu], or capacitors connected [kvar].
    """

    element: str
    kind: str
    phases: str
    before: int
    position: int
    value: float


@dataclass(frozen=True)
class RiskSummary:
    """What uncertainty costs (key ``risk`` of ``solve --json``); None = not computed or not proven.

    Parameters
    ----------
    measure
        What was minimised: ``expected``, ``cvar`` or ``worst``.
    level
        Level of the CVaR where that was minimised.
    expected_kw, cvar_kw, worst_kw
        Loss of the configuration: weighted mean, CVaR at the level asked for, largest [kW].
    price_of_robustness_kw
        Its expected objective above the least possible one [kW].
    stochastic_solution_kw
        Value of the stochastic solution [kW]: what the optimum of the mean loads costs more, expected, than the
        configuration of least expected objective; None also where it violates a limit in some scenario.
    perfect_information_kw
        Expected value of perfect information [kW]: what the best configuration of each scenario would save, expected.
    """

    measure: str
    level: float | None
    expected_kw: float
    cvar_kw: float
    worst_kw: float
    price_of_robustness_kw: float
    stochastic_solution_kw: float | None
    perfect_information_kw: float | None


@dataclass(frozen=True)
class Alternative:
    """One of the best configurations.

    Parameters
    ----------
    configuration, loss_kw, objective_kw
        As in a :class:`Result`: AC loss by the judge, and loss plus switching cost [kW].
    """

    configuration: Configuration
    loss_kw: float
    objective_kw: float


@dataclass(frozen=True)
class Iteration:
    """One iteration of a decomposition (key ``iterations`` of ``solve --json``); None = not known, or none.

    Parameters
    ----------
    number
        0 is the start.
    master_kw
        Objective of the master's solution, loss and infeasibility as it estimates them [kW].
    bound_kw
        Proven lower bound of the problem so far [kW].
    infeasibility_kw
        Sum of the slave's slacks [kW, kvar, kVA].
    loss_kw
        Least AC loss of what was proposed, by the slave [kW]; None where it is not feasible.
    incumbent_kw
        Objective of the best configuration so far [kW].
    """

    number: int
    master_kw: float | None
    bound_kw: float | None
    infeasibility_kw: float
    loss_kw: float | None
    incumbent_kw: float | None


def relative_gap(objective_kw: float, bound_kw: float) -> float:
    """|objective - bound| / |objective|."""
    return abs(objective_kw - bound_kw) / max(abs(objective_kw), 1e-12)


@dataclass(frozen=True)
class GapPoint:
    """What a solve knew at an instant (an entry of ``gap_curve`` of ``solve --json``); None = not known yet.

    Parameters
    ----------
    seconds
        Since its start, without compiling.
    nodes
        Branch-and-bound nodes so far.
    objective_kw
        Of the best configuration so far [kW].
    bound_kw
        Proven lower bound [kW], in the meaning of the certificate of the result.
    gap
        Relative distance of the two, as in the result.
    """

    seconds: float
    nodes: int
    objective_kw: float | None
    bound_kw: float | None
    gap: float | None


@dataclass(frozen=True)
class Result:
    """Outcome of a solve.

    Parameters
    ----------
    status, certificate
        How it ended and what is proven.
    configuration
        Best configuration, None if there is none.
    evaluation
        Its AC power flow by the independent judge.
    objective_kw
        Loss plus switching cost [kW].
    dual_bound_kw
        Proven lower bound of the objective of the full problem [kW], None without one.
    engine, engine_version
        What solved it.
    message
        Reason and advice, in plain words.
    nodes
        Branch-and-bound nodes.
    solve_time_s
        From the loaded problem to the result, imports and compilation excluded.
    stage_times_s
        Seconds per named stage.
    alternatives
        The k best configurations where they were asked for, best first, the answer among them.
    rest_bound_kw
        Proven lower bound of the objective of every configuration not among ``alternatives`` [kW], in the meaning of
        ``certificate``; ``inf`` where they are all there are, None where nothing is proven.
    settings
        Values of the problem's controls in each of its load situations, empty where it has none to set: positions,
        steps, on and off are the same in all.
    iterations
        Log of a decomposition, empty for other engines.
    phases
        Of an unbalanced file: ``evaluation`` is a power flow of all its phases, voltages those of the lowest phase and
        currents those of the most loaded one. None: the network is balanced, or its balanced equivalent was solved.
    gap_curve
        What was known on the way, in the order of time, the end included; empty of engines that do not tell.
    """

    status: Status
    engine: str
    engine_version: str
    certificate: Certificate = Certificate.NONE
    configuration: Configuration | None = None
    evaluation: Evaluation | None = None
    objective_kw: float | None = None
    dual_bound_kw: float | None = None
    message: str = ""
    nodes: int = 0
    solve_time_s: float = 0.0
    stage_times_s: Mapping[str, float] = field(default_factory=dict)
    learned: LearnedSummary | None = None
    risk: RiskSummary | None = None
    alternatives: tuple[Alternative, ...] = ()
    rest_bound_kw: float | None = None
    settings: tuple[Settings, ...] = ()
    iterations: tuple[Iteration, ...] = ()
    phases: PhaseSummary | None = None
    gap_curve: tuple[GapPoint, ...] = ()

    @property
    def loss_kw(self) -> float | None:
        """AC loss of the configuration by the judge [kW]."""
        return None if self.evaluation is None else self.evaluation.loss_kw

    @property
    def gap(self) -> float | None:
        """|objective - bound| / |objective|; without a switching cost the objective is the loss."""
        if self.objective_kw is None or self.dual_bound_kw is None:
            return None
        return relative_gap(self.objective_kw, self.dual_bound_kw)

    def __repr__(self) -> str:
        loss = "no configuration" if self.loss_kw is None else f"{self.loss_kw:.6g} kW"
        proven = self.dual_bound_kw is not None and self.certificate is not Certificate.NONE
        bound = f"{self.certificate.value} bound {self.dual_bound_kw:.6g} kW" if proven else "nothing proven"
        return f"Result({self.status.value} by {self.engine}: {loss}, {bound}, {self.solve_time_s:.3g} s)"

    def _repr_html_(self) -> str:
        """What a notebook shows; ids are the problem's, so the switches to open are in ``Solution`` only."""
        bound = None if self.certificate is Certificate.NONE else self.dual_bound_kw

        def known(value: float | None, unit: str) -> str:
            return "–" if value is None else f"{value:.6g}{unit}"

        return fact_table(
            f"{self.engine}: {self.status.value}",
            [
                ("loss", known(self.loss_kw, " kW")),
                ("objective", known(self.objective_kw, " kW")),
                ("proven bound", f"{known(bound, ' kW')} ({self.certificate.value})"),
                ("gap", known(None if bound is None else self.gap, "")),
                ("limits violated", "–" if self.evaluation is None else len(self.evaluation.violations)),
                ("time", f"{self.solve_time_s:.3g} s"),
                ("message", self.message or "–"),
            ],
        )
