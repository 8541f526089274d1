"""What comes back from planning a horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from learnopt.network import (
    Certificate,
    Configuration,
    Evaluation,
    Floats,
    HorizonProblem,
    PhaseSummary,
    Settings,
    Status,
)
from learnopt.wording import counted

__all__ = ["HorizonPlan", "HorizonProblem"]


@dataclass(frozen=True, eq=False)
class HorizonPlan:
    """Outcome of :func:`learnopt.studies.horizon.plan_horizon`, complete even in failure.

    Parameters
    ----------
    status, certificate, message
        As in a :class:`~learnopt.network.Result`: ``optimal`` within the gap asked for, as the certificate means it.
    configurations, evaluations
        Configuration of each step and its power flow by the independent judge; empty without a plan.
    settings
        Settings of the controls in each step; empty where the problem has none.
    operations
        Operations before each step, length n_step.
    changes
        Changes of capacitor banks and stepped taps before each step, length n_step; empty without controls.
    energy_kwh
        Energy lost [kWh]; None without a plan.
    objective_kwh, dual_bound_kwh
        Energy lost plus switching cost of the plan, and the proven lower bound for every plan [kWh].
    ac_bound_kwh, model_bound_kwh
        The bounds known of the AC problem, and with load currents held at the voltages of this plan [kWh]; the one that
        the certificate names is ``dual_bound_kwh``. None where not known.
    step_bound_kw
        Proven lower bound of the loss of each step [kW], shape (n_step,), NaN where there is none.
    phases
        Of a plan in all phases of an unbalanced file, what its power flow says of each step; else empty.
    normal_kwh
        Energy that the normal configuration loses without any switching [kWh]; None where it has no power flow or
        violates a limit in some step (``normal_violations`` says how many steps).
    static
        Best single configuration found for all steps, None if there is none.
    static_kwh
        Energy it loses [kWh].
    static_objective_kwh
        The same plus the cost of switching to it once.
    static_bound_kwh
        Proven lower bound of ``static_objective_kwh`` of every single configuration; None without a proof.
    candidates
        Configurations in the pool.
    rounds
        Rounds of the bound.
    nodes
        Branch-and-bound nodes in all searches of this run.
    """

    status: Status
    message: str
    certificate: Certificate = Certificate.NONE
    configurations: tuple[Configuration, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    settings: tuple[Settings, ...] = ()
    operations: tuple[int, ...] = ()
    changes: tuple[int, ...] = ()
    energy_kwh: float | None = None
    objective_kwh: float | None = None
    dual_bound_kwh: float | None = None
    ac_bound_kwh: float | None = None
    model_bound_kwh: float | None = None
    step_bound_kw: Floats = field(default_factory=lambda: np.zeros(0))
    phases: tuple[PhaseSummary, ...] = ()
    normal_kwh: float | None = None
    normal_violations: int = 0
    static: Configuration | None = None
    static_kwh: float | None = None
    static_objective_kwh: float | None = None
    static_bound_kwh: float | None = None
    candidates: int = 0
    rounds: int = 0
    nodes: int = 0
    solve_time_s: float = 0.0
    stage_times_s: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        energy = (
            "no plan"
            if self.energy_kwh is None
            else f"{self.energy_kwh:.6g} kWh in {counted(len(self.configurations), 'step')}"
        )
        return f"HorizonPlan({self.status.value}, certificate {self.certificate.value}: {energy})"

    @property
    def gap(self) -> float | None:
        """|objective - bound| / |objective|."""
        if self.objective_kwh is None or self.dual_bound_kwh is None:
            return None
        return abs(self.objective_kwh - self.dual_bound_kwh) / max(abs(self.objective_kwh), 1e-12)
