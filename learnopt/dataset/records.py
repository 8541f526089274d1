"""What a dataset holds: instances, and instances with the answer of an engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from learnopt.network import Certificate, Configuration, ReconfigurationProblem, Result, Status


@dataclass(frozen=True)
class Instance:
    """One problem of a dataset.

    Parameters
    ----------
    feeder_index, scenario_index
        Place in the dataset, both from 0.
    seed
        Seed of the dataset; with the two indices it makes this instance again.
    problem
        Instances of one feeder that are read together share their network object.
    """

    feeder_index: int
    scenario_index: int
    seed: int
    problem: ReconfigurationProblem


@dataclass(frozen=True)
class LabelRecord:
    """One problem with its label. A failure is a label too: it has a status and a message.

    Parameters
    ----------
    feeder_index, scenario_index, seed, problem
        As in :class:`Instance`.
    configuration
        Best configuration, None if there is none.
    loss_kw
        Its AC loss by the independent judge [kW].
    dual_bound_kw, certificate
        Proven bound [kW] and what it bounds.
    gap
        Relative distance of the two, None without a bound.
    solve_time_s
        As in :class:`learnopt.network.Result`.
    """

    feeder_index: int
    scenario_index: int
    seed: int
    problem: ReconfigurationProblem
    status: Status
    configuration: Configuration | None
    loss_kw: float | None
    dual_bound_kw: float | None
    certificate: Certificate
    gap: float | None
    engine: str
    engine_version: str
    solve_time_s: float
    message: str = ""

    @classmethod
    def of(cls, instance: Instance, result: Result) -> LabelRecord:
        """The label that a result gives to an instance."""
        return cls(
            **vars(instance),
            status=result.status,
            configuration=result.configuration,
            loss_kw=_number(result.loss_kw),
            dual_bound_kw=_number(result.dual_bound_kw),
            certificate=result.certificate,
            gap=_number(result.gap),
            engine=result.engine,
            engine_version=result.engine_version,
            solve_time_s=result.solve_time_s,
            message=result.message,
        )

    @property
    def instance(self) -> Instance:
        """The problem without its label."""
        return Instance(self.feeder_index, self.scenario_index, self.seed, self.problem)


def _number(value: float | None) -> float | None:
    """None for a value that is no number: a power flow that failed has no loss, an infinite bound proves nothing."""
    return value if value is not None and math.isfinite(value) else None
