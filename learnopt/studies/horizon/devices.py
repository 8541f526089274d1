"""What the devices add to the candidates of a horizon: capacitor banks and tap changers with positions.

They are fixed within a step and bound over time; continuous taps and generators follow the loads. A candidate is
therefore a configuration together with the settings of the devices, which are none where the horizon has no controls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from learnopt.engines.dispatch import Dispatch
from learnopt.engines.exchange import PENALTY
from learnopt.engines.milp.coupled import DEVICES
from learnopt.network import Configuration, Floats, HorizonProblem, Settings
from learnopt.physics.batch import feasible_losses
from learnopt.studies.horizon.store import StepRecord

MOST_CANDIDATES = {True: 48, False: 600}
"""Candidates made by crossing: few where every one needs a dispatch in every step, many where a power flow does."""


class Candidate(NamedTuple):
    """A configuration and the settings of the devices [pu], length n_device: capacitors, then taps with positions."""

    configuration: Configuration
    devices: tuple[float, ...] = ()

    @classmethod
    def of(cls, problem: HorizonProblem, configuration: Configuration, settings: Settings | None = None) -> Candidate:
        """The candidate with the devices as settings have them."""
        return cls(configuration, tuple(problem.device_values(settings).tolist()))


class Devices:
    """Settles what candidates leave open, the devices held.

    Parameters
    ----------
    problem
        The horizon.
    alone
        Settings of the controls in each step where it is solved alone, length n_step: what is not a device starts
        there; empty without controls.
    """

    def __init__(self, problem: HorizonProblem, alone: Sequence[Settings] = ()) -> None:
        self.problem, self.alone = problem, alone

    def settled(self, candidates: Sequence[Candidate]) -> tuple[Floats, list[tuple[Settings, ...]]]:
        """Losses and settings of candidates.

        Returns
        -------
        losses
            In each step [kW], ``inf`` where not feasible, shape (n_candidate, n_step).
        settings
            Of each candidate in each step; empty without controls.
        """
        starts = [tuple(with_devices(self.problem, each, c.devices) for each in self.alone) for c in candidates]
        if _follows(self.problem):
            return self._dispatched(candidates, starts)
        losses = np.empty((len(candidates), self.problem.n_steps))
        for devices in dict.fromkeys(c.devices for c in candidates):
            alike = [k for k, c in enumerate(candidates) if c.devices == devices]
            settings = starts[alike[0]]
            applied = self.problem.together.applied(settings[0] if settings else None)
            losses[alike] = feasible_losses(applied, [candidates[k].configuration for k in alike])
        return losses, starts

    def _dispatched(
        self, candidates: Sequence[Candidate], starts: list[tuple[Settings, ...]]
    ) -> tuple[Floats, list[tuple[Settings, ...]]]:
        """The same where something follows the loads: set anew in every step."""
        problem, kw = self.problem, self.problem.network.base.kw
        losses, settings = np.empty((len(candidates), problem.n_steps)), []
        for k, (candidate, begin) in enumerate(zip(candidates, starts, strict=True)):
            found = [
                Dispatch(step, candidate.configuration).improve(start, DEVICES)
                for step, start in zip(problem.steps, begin, strict=True)
            ]
            losses[k] = [merit * kw if merit < PENALTY else math.inf for _, merit in found]
            settings.append(tuple(values for values, _ in found))
        return losses, settings


def _follows(problem: HorizonProblem) -> bool:
    """Something that is no device is set in every step."""
    return bool(problem.controls.generators) or len(problem.stepped_taps) < len(problem.controls.taps)


def with_devices(problem: HorizonProblem, settings: Settings, values: Sequence[float]) -> Settings:
    """Settings with those of the devices replaced."""
    banks = len(settings.capacitors)
    taps = list(settings.taps)
    for k, value in zip(problem.stepped_taps, values[banks:], strict=True):
        taps[k] = value
    return replace(settings, taps=tuple(taps), capacitors=tuple(values[:banks]))


def first_candidates(
    problem: HorizonProblem, records: Sequence[StepRecord], further: Iterable[tuple[Candidate, int]] = ()
) -> dict[int, list[Candidate]]:
    """Candidates of the steps alone, by the step that was the last one needed to find them.

    What was found together comes first, then configurations and settings of devices crossed, common ones first.

    Parameters
    ----------
    records
        Of every step, each with a configuration.
    further
        More candidates, with the step that each was found for.
    """
    initial, before = problem.initial, _devices_before(problem)
    known: dict[Configuration | tuple[float, ...], int] = {initial: 0, before: 0}
    configurations: Counter[Configuration] = Counter({initial: 1})
    devices: Counter[tuple[float, ...]] = Counter()
    together: list[Candidate] = []
    found = [(c, t) for t, record in enumerate(records) for c in _candidates_of(problem, record)]
    for candidate, t in [*found, *further]:
        together.append(candidate)
        configurations[candidate.configuration] += 1
        devices[candidate.devices] += 1
        for key in candidate:
            known[key] = min(known.get(key, t), t)
    devices[before] += 1
    crossed = [Candidate(c, v) for c, _ in configurations.most_common() for v, _ in devices.most_common()]
    crossed.sort(key=lambda each: -configurations[each.configuration] * devices[each.devices])
    # Staying as one is must be possible, whatever the rules allow.
    staying = [Candidate(initial, values) for values in (before, devices.most_common(1)[0][0])]
    first = list(dict.fromkeys([*together, *staying]))
    most = max(MOST_CANDIDATES[_follows(problem)], len(first))
    by_step: dict[int, list[Candidate]] = {}
    for candidate in list(dict.fromkeys([*first, *crossed]))[:most]:
        by_step.setdefault(max(known[key] for key in candidate), []).append(candidate)
    return dict(sorted(by_step.items()))


def _candidates_of(problem: HorizonProblem, record: StepRecord) -> list[Candidate]:
    settings = record.settings or (None,) * len(record.configurations)
    return [Candidate.of(problem, *pair) for pair in zip(record.configurations, settings, strict=True)]


def _devices_before(problem: HorizonProblem) -> tuple[float, ...]:
    """Settings of the devices before the first step, the neutral ones where nothing is known."""
    values = problem.device_values(problem.controls.neutral) if problem.devices is None else problem.devices
    return tuple(values.tolist())
