"""Load situations: one or more of them, their weights, and how their losses add up.

One configuration serves them all. A problem of one situation is a problem of a list of one: nothing asks which it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from learnopt.errors import DataError
from learnopt.network.aliases import Bools, Floats, Id
from learnopt.network.configuration import freeze
from learnopt.network.model import Network
from learnopt.wording import counted

OBJECTIVES = ("expected", "worst")
"""What the loss of several situations is: their weighted mean, or the largest."""


@dataclass(frozen=True, eq=False)
class Scenario:
    """One load situation as a file states it: loads, generation, and the outages and locks it finds.

    Parameters
    ----------
    p_load, q_load, p_gen, q_gen
        Consumption and injection [pu], shape (n_bus,).
    out_of_service
        bool, shape (n_branch,): equipment that cannot carry current; such a branch counts as open.
    locked
        int8, shape (n_branch,): -1 free, 0 locked open, 1 locked closed.
    name
        For people: the instant, the sample.
    tagged
        Ids of devices that bear a tag "do not operate".
    """

    p_load: Floats
    q_load: Floats
    p_gen: Floats
    q_gen: Floats
    out_of_service: Bools
    locked: NDArray[np.int8]
    name: str = "nominal"
    tagged: tuple[Id, ...] = ()

    def __post_init__(self) -> None:
        freeze(self)

    def __repr__(self) -> str:
        out, locked = int(self.out_of_service.sum()), int((self.locked >= 0).sum())
        load = f"net load {self.p.sum():.6g} + j {self.q.sum():.6g} pu"
        return f"Scenario({self.name!r}: {load}, {out} out of service, {locked} locked)"

    @classmethod
    def nominal(cls, network: Network) -> Scenario:
        """The loads of the case file, everything in service, nothing locked."""
        return cls(
            p_load=network.p_load + network.p_fed,
            q_load=network.q_load + network.q_fed,
            p_gen=network.p_fed.copy(),
            q_gen=network.q_fed.copy(),
            out_of_service=np.zeros(network.n_branch, dtype=bool),
            locked=np.full(network.n_branch, -1, dtype=np.int8),
        )

    @property
    def p(self) -> Floats:
        """Net active load [pu], shape (n_bus,)."""
        return self.p_load - self.p_gen

    @property
    def q(self) -> Floats:
        """Net reactive load [pu], shape (n_bus,)."""
        return self.q_load - self.q_gen


@dataclass(frozen=True, eq=False)
class Situations:
    """One or more load situations that one configuration must serve: now, the hours of a day, samples of a forecast.

    Parameters
    ----------
    scenarios
        At least one; they differ in loads and generation, and share outages and locks.
    weights
        Shape (n_scenario,), each >= 0 with a positive sum; kept normalised to sum 1.
    objective
        How their losses add: ``expected`` = the weighted mean, ``worst`` = the largest, whatever its weight.
    networks
        The network in each where controls set differently make them differ in taps or capacitors; empty = the same.

    Raises
    ------
    DataError
        If the weights do not fit, outages or locks differ, or the objective is unknown.
    """

    scenarios: tuple[Scenario, ...]
    weights: Floats
    objective: str = "expected"
    networks: tuple[Network, ...] = ()

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=float)
        problems = []
        if not self.scenarios:
            problems.append("no scenario: give at least one")
        if weights.shape != (len(self.scenarios),):
            problems.append(
                f"{counted(weights.size, 'weight')} for {counted(len(self.scenarios), 'scenario')}: one each"
            )
        elif not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
            problems.append(f"weights = {weights.tolist()} must be finite and >= 0, with a positive sum")
        for scenario in self.scenarios[1:]:
            first = self.scenarios[0]
            for key in ("out_of_service", "locked"):
                if not np.array_equal(getattr(scenario, key), getattr(first, key)):
                    problems.append(f"scenario {scenario.name!r}: {key} must be the same as in {first.name!r}")
            if scenario.tagged != first.tagged:
                problems.append(f"scenario {scenario.name!r}: tagged must be the same as in {first.name!r}")
        if self.objective not in OBJECTIVES:
            problems.append(f"objective = {self.objective!r} must be one of {', '.join(OBJECTIVES)}")
        if self.networks and len(self.networks) != len(self.scenarios):
            problems.append(
                f"{counted(len(self.networks), 'network')} for {counted(len(self.scenarios), 'scenario')}: one each"
            )
        if problems:
            raise DataError("scenario set", problems)
        object.__setattr__(self, "scenarios", tuple(self.scenarios))
        object.__setattr__(self, "weights", weights / weights.sum())
        freeze(self)

    @classmethod
    def of(cls, given: Scenario | Situations) -> Situations:
        """A list of one where one situation is given."""
        return given if isinstance(given, Situations) else cls((given,), np.ones(1))

    def __repr__(self) -> str:
        names = ", ".join(repr(one.name) for one in self.scenarios[:3]) + (", ..." if len(self) > 3 else "")
        return f"Situations({len(self)} of {self.objective} loss: {names})"

    def __len__(self) -> int:
        return len(self.scenarios)

    def __iter__(self) -> Iterator[Scenario]:
        return iter(self.scenarios)

    @property
    def worst_case(self) -> bool:
        """The loss is the largest of several; that of one is its own."""
        return self.objective == "worst" and len(self) > 1

    def total(self, losses: Any) -> float:
        """The loss of all from the loss of each."""
        return float(np.max(losses)) if self.worst_case else float(np.dot(self.weights, losses))

    @property
    def out_of_service(self) -> Bools:
        """bool, shape (n_branch,): equipment that cannot carry current, in none of them."""
        return self.scenarios[0].out_of_service

    @property
    def locked(self) -> NDArray[np.int8]:
        """int8, shape (n_branch,): -1 free, 0 locked open, 1 locked closed, in all of them."""
        return self.scenarios[0].locked

    @property
    def tagged(self) -> tuple[Id, ...]:
        """Ids of devices with a tag "do not operate", in all of them."""
        return self.scenarios[0].tagged

    def in_state(self, out_of_service: Bools, locked: NDArray[np.int8]) -> Situations:
        """The same loads under other outages and locks; itself where they are these."""
        if out_of_service is self.out_of_service and locked is self.locked:
            return self
        changed = (replace(one, out_of_service=out_of_service, locked=locked) for one in self.scenarios)
        # Searches lock switches by the thousand: what was checked before does not change, and is not checked again.
        twin = object.__new__(Situations)
        known = {"weights": self.weights, "objective": self.objective, "networks": self.networks}
        twin.__dict__.update(known, scenarios=tuple(changed))
        return twin

    @cached_property
    def mean(self) -> Scenario:
        """The scenario of weighted mean loads and generation; the only one where there is one."""
        if len(self) == 1:
            return self.scenarios[0]

        def average(key: str) -> Floats:
            return np.tensordot(self.weights, np.stack([getattr(s, key) for s in self.scenarios]), 1)

        return Scenario(
            p_load=average("p_load"),
            q_load=average("q_load"),
            p_gen=average("p_gen"),
            q_gen=average("q_gen"),
            out_of_service=self.out_of_service,
            locked=self.locked,
            name=f"mean of {len(self)} scenarios",
            tagged=self.tagged,
        )
