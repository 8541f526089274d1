"""A day or a week, switching operations counted: :func:`horizon` and a :class:`HorizonStudy` that shows itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType

from learnopt.api.answer import Answer
from learnopt.api.picture import Picture
from learnopt.api.question import (
    Enforced,
    Question,
    Rules,
    Situation,
    Source,
    chosen,
    made_up,
    profile_source,
    read_profile,
    warm,
)
from learnopt.api.unused import Unused, of_balanced, of_horizon, of_horizon_in_phases
from learnopt.engines import Patience
from learnopt.errors import DataError, UnsupportedError, without_learning
from learnopt.io import Profiles
from learnopt.io.files import check_folder
from learnopt.learned.choice import HorizonEngine
from learnopt.network import Certificate, HorizonProblem, Id, Status
from learnopt.parallel import Workers
from learnopt.report.horizon.text import COMPARISON_HEAD, comparison, horizon_table, horizon_to_dict, proof
from learnopt.studies.horizon import HorizonPlan, plan_horizon
from learnopt.studies.horizon.plan import DEFAULT_GAP, hold_limits_in_phases, hold_limits_of_steps
from learnopt.studies.horizon.run import Suggest
from learnopt.studies.horizon.steps import horizon_steps
from learnopt.studies.inspection.reconcile import Origin
from learnopt.wording import counted

PATIENCE = Patience()
DAY_STEPS = 24
"""Hours of the day that is planned of a made-up year where nothing else is said."""


@dataclass(frozen=True, eq=False)
class HorizonStudy(Answer):
    """A configuration for every step of a day or a week, with what is proven.

    Parameters
    ----------
    problem
        What was asked.
    result
        The complete answer.
    times
        Begin of each step, datetime64[s], shape (n_step,).
    notes
        What was assumed or repaired while the profile was read, one sentence each.
    origin
        Differences of the file to its own tool, and the last step in it (``origin.source``).
    unused
        Options that were given and had no effect.
    """

    problem: HorizonProblem
    result: HorizonPlan
    times: NDArray[np.datetime64]
    notes: tuple[str, ...]
    origin: Origin
    unused: tuple[Unused, ...] = ()

    @property
    def found(self) -> bool:
        """There is a plan."""
        return bool(self.result.configurations)

    @property
    def status(self) -> Status:
        """How planning ended."""
        return self.result.status

    @property
    def certificate(self) -> Certificate:
        """What is proven."""
        return self.result.certificate

    @property
    def energy_kwh(self) -> float | None:
        """Energy that the plan loses [kWh]; None without one."""
        return self.result.energy_kwh

    @property
    def gap(self) -> float | None:
        """Relative distance of the plan's cost and its proven bound; None where nothing is proven."""
        return None if self.result.certificate is Certificate.NONE else self.result.gap

    @property
    def open_branches(self) -> list[list[Id]]:
        """Ids of the open branches of every step; empty without a plan."""
        return [self.problem.network.open_ids(each) for each in self.result.configurations]

    def to_dict(self) -> dict[str, Any]:
        """The object that ``learnopt horizon --json`` prints."""
        return horizon_to_dict(self.problem, self.result, self.times, self.origin)

    def rendered(self) -> RenderableType:
        """What ``learnopt horizon`` prints."""
        return horizon_table(self.problem, self.result, self.times, self.origin)

    def plot(self) -> Picture:
        """Draw losses and the states of the switches that are operated, over time.

        Raises
        ------
        DataError
            If there is no plan to draw.
        """
        if not self.found:
            raise DataError("plot", [f"there is no plan to draw: planning ended {self.status.value}"])
        from learnopt.report.horizon.figure import switch_figure

        return Picture(switch_figure(self.problem, self.result, self.times))

    def report(self, path: str | Path) -> Path:
        """Write the self-contained page of ``learnopt horizon --report``; returns its path."""
        from learnopt.report.horizon.page import write_horizon_report

        write_horizon_report(Path(path), self.problem, self.result, self.times, self.origin)
        return Path(path)

    def __repr__(self) -> str:
        name, result = self.problem.network.name, self.result
        if result.energy_kwh is None:
            return f"HorizonStudy({name!r}: {result.status.value}; {result.message})"
        gap = "" if self.gap is None else f", gap {self.gap:.2g}"
        energy = f"{result.energy_kwh:.5g} kWh in {counted(self.problem.n_steps, 'step')}, "
        energy += f"{counted(sum(result.operations), 'operation')}"
        return f"HorizonStudy({name!r}: {result.status.value}, certificate {result.certificate.value}{gap}; {energy})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from learnopt.report.kit.page import table

        said = [
            *self.origin.warnings,
            *self.without_effect,
            proof(self.result, self.origin),
            *filter(None, (self.result.message,)),
        ]
        rows = comparison(self.problem, self.result)
        return table(COMPARISON_HEAD, rows, (1, 2, 3)) + "".join(f"<p>{escape(s)}</p>" for s in (*said, *self.notes))


def horizon(
    network: Source,
    profile: Profiles | str | Path | None = None,
    *,
    start: str | None = None,
    steps: int | None = None,
    step_hours: float | None = None,
    window: int | None = None,
    switching_cost: float = 0.0,
    max_operations: int | None = None,
    max_operations_per_step: int | None = None,
    max_operations_per_switch: int | None = None,
    controls: str = "none",
    capacitor_hours: float = 0.0,
    tap_hours: float = 0.0,
    control_cost: float = 0.0,
    engine: HorizonEngine | str = HorizonEngine.AUTO,
    checkpoint: str | Path | None = None,
    gap: float | None = None,
    time_limit: float | None = None,
    node_limit: int | None = None,
    k_best: int = 4,
    seed: int = 0,
    scenario: Situation = None,
    limits: Enforced = "file",
    vmin: float | None = None,
    vmax: float | None = None,
    strict_limits: bool = False,
    charging: bool = True,
    remote_only: bool = False,
    out: str | Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    accept_differences: bool = False,
    source_check: bool = True,
    max_unbalance: float | None = None,
    balanced: bool = False,
    workers: int = 1,
    scheduler: str | None = None,
) -> HorizonStudy:
    """Plan the configurations of a day or a week: energy lost plus switching is least, with a proven bound.

    Parameters
    ----------
    network
        A network, what :func:`learnopt.load` takes, or a problem, whose limits, controls and locks then hold in every
        step.
    profile
        Loads over time: a record, a file, ``simbench:CODE``, or ``synthetic`` for a made-up year (``synthetic:7`` for
        that of another seed). None = those of the SimBench grid.
    start, steps, step_hours
        First instant, number of steps, and hours per step over which loads are averaged; all of the profile where
        absent, and the first day of a made-up year.
    window
        Steps known ahead when each step is decided; all of them where absent.
    switching_cost
        Cost of one operation [kWh].
    max_operations, max_operations_per_step, max_operations_per_switch
        Caps on the operations of the whole horizon, before each step, and of each switch.
    controls
        Kinds of controls to set in every step: ``none``, ``all``, or some of ``taps,capacitors,generators``.
    capacitor_hours, tap_hours
        Least hours between changes of one capacitor bank, of one tap with positions.
    control_cost
        Cost of a change of a bank or of a stepped tap [kWh].
    engine
        ``auto``, ``tree``, ``milp`` or ``learned``: :class:`HorizonEngine` says how they differ.
    checkpoint, seed
        Of the learned engine; the reference checkpoint where absent.
    gap
        Relative gap at which to stop; 0.1 % where absent. Where neither it nor a limit is given, 0.5 % is enough after
        a minute, and after two minutes the gap reached by then; the message says so.
    time_limit
        Seconds; the best plan found by then is returned.
    node_limit
        Nodes of all searches after which the same happens, with the same plan on every machine.
    k_best
        Configurations proven per step, as candidates.
    scenario
        Outages and locks that hold in every step, as of :func:`problem`.
    limits, vmin, vmax, charging, remote_only
        As of :func:`problem`; none where a problem is given.
    strict_limits
        Enforce also limits that the present state breaks and no switch can change; otherwise they are held.
    out
        Folder that keeps what is proven: an interrupted run goes on there.
    progress
        Called with what is being done, how many are done and how many there are.
    accept_differences, source_check, max_unbalance
        As of :func:`solve`; the last step is computed in the tool of the file.
    balanced
        Plan for the balanced equivalent of an unbalanced file, not in all its phases. So do controls, ``milp`` and
        ``learned``, and the study says it.
    workers
        Processes that prove the steps alone, which gives the candidates; 0 = one per core. Not in all phases.
    scheduler
        Address of a Dask scheduler (``tcp://host:8786``) whose workers take their place. Without a time limit the plan
        does not depend on who proves.

    Raises
    ------
    DataError
        If the input is bad. Limits and infeasibility are statuses of the result.
    UnsupportedError
        If options exclude each other.
    CheckpointError
        If there is no such checkpoint.
    """
    kind = chosen(HorizonEngine, "engine", engine)
    source = profile_source(profile, network)
    folder = None if out is None else Path(out)
    check_folder(folder)
    rules = Rules(
        scenario=scenario, limits=limits, vmin=vmin, vmax=vmax, controls=controls, charging=charging,
        remote_only=remote_only, max_unbalance=max_unbalance,
    )  # fmt: skip
    question = rules.question(network, accept_differences)
    base = question.problem
    if controls != "none" and not base.controls:
        raise UnsupportedError(f"the case has no controls of the kinds {controls}", {"controls": None})
    unused = of_horizon(
        engine=kind.value, checkpoint=checkpoint, controls="all" if base.controls else "none",
        capacitor_hours=capacitor_hours, tap_hours=tap_hours, control_cost=control_cost, strict_limits=strict_limits,
        limits=limits, vmin=vmin, vmax=vmax, workers=workers, scheduler=scheduler,
    )  # fmt: skip
    who = Workers.of(workers, scheduler)
    if not base.controls:
        capacitor_hours = tap_hours = control_cost = 0.0
    if kind is HorizonEngine.TREE and base.controls:
        raise UnsupportedError("engine 'tree' sets switches only, controls are given", {"engine": ("auto", "milp")})
    profiles = read_profile(source, base.network)
    if made_up(source) and steps is None:
        steps = DAY_STEPS if step_hours is None else max(1, round(DAY_STEPS / step_hours))
    times, scenarios, hours = horizon_steps(profiles, start, steps, step_hours)
    asked = HorizonProblem(
        base.network,
        tuple(replace(step, out_of_service=base.out_of_service, locked=base.locked) for step in scenarios),
        hours,
        base.limits,
        base.charging,
        switching_cost,
        max_operations,
        max_operations_per_step,
        max_operations_per_switch,
        base.controls,
        capacitor_hours,
        tap_hours,
        control_cost,
    )
    in_phases = not balanced and kind in (HorizonEngine.AUTO, HorizonEngine.TREE)
    with question.imported.circuits(asked.together) if in_phases else nullcontext(()) as circuits:
        if not circuits:
            question.refuse_unseen_phases()
            warm("tree", Certificate.AC)
        else:
            asked = replace(asked, network=asked.network.in_phases())
        if not strict_limits:
            asked = hold_limits_in_phases(asked, circuits) if circuits else hold_limits_of_steps(asked)
        plan = plan_horizon(
            asked,
            window=window,
            gap=DEFAULT_GAP if gap is None else gap,
            time_limit=time_limit,
            node_limit=node_limit,
            k_best=k_best,
            out=folder,
            milp=kind is HorizonEngine.MILP,
            suggest=_suggestions(checkpoint, seed) if kind is HorizonEngine.LEARNED else None,
            progress=progress,
            patience=PATIENCE if gap is None and time_limit is None and node_limit is None else None,
            circuits=circuits,
            workers=who,
        )
    if circuits:
        unused += of_horizon_in_phases(workers, scheduler)
    unused += of_balanced(balanced, question.origin.equivalent)
    notes = (*question.notes, *profiles.notes)
    study = HorizonStudy(asked, plan, times, notes, _origin(question, asked, plan, source_check), unused)
    if folder is not None:
        from learnopt.studies.horizon.store import write_plan

        write_plan(folder, study.to_dict())
    return study


def _suggestions(checkpoint: str | Path | None, seed: int) -> Suggest:
    """Candidates of a prediction per step."""
    # Loads torch: only when asked for.
    try:
        from learnopt.learned.horizon import learned_suggestions
        from learnopt.learning.checkpoint import REFERENCE
    except ModuleNotFoundError as missing:
        raise without_learning("the learned engine", missing) from None
    return learned_suggestions(checkpoint or REFERENCE, seed)


def _origin(question: Question, asked: HorizonProblem, plan: HorizonPlan, source_check: bool) -> Origin:
    """What is said of the file, with the last step of the plan in its tool."""
    if plan.phases:
        last = asked.steps[-1], plan.configurations[-1], plan.evaluations[-1], plan.phases[-1]
        return question.imported.of_phases(*last, check=source_check)
    if not plan.configurations:
        return question.origin
    settings = plan.settings[-1] if plan.settings else None
    return question.imported.planned(asked, plan.configurations[-1], settings, plan.evaluations[-1], check=source_check)
