r"""Reliability indices of IEEE Std 1366 from the table of single faults.

Fault f happens :math:`\lambda_f` times a year. Bus k, with :math:`n_k` customers (or its load, where customers are not
known) and load :math:`P_k`, is without supply for :math:`d_{fk}` hours: until the step of the plan that supplies it
again, or until the repair. Interruptions of at most five minutes are momentary and not in SAIFI and SAIDI:

.. math::

    \mathrm{SAIFI} = \frac{\sum_f \lambda_f \sum_k n_k [d_{fk} > 5\,\mathrm{min}]}{\sum_k n_k}, \quad
    \mathrm{SAIDI} = \frac{\sum_f \lambda_f \sum_k n_k d_{fk} [d_{fk} > 5\,\mathrm{min}]}{\sum_k n_k}, \quad
    \mathrm{EENS} = \sum_f \lambda_f \sum_k P_k d_{fk}

What loses its supply is what the fault and its isolation take it from: a breaker farther up that trips, and is closed
again once the fault is isolated, is not counted.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from learnopt.errors import DataError
from learnopt.network import Floats, Id, Network
from learnopt.studies.configuration.switching_order import Action
from learnopt.studies.restoration.fault import Fault
from learnopt.studies.restoration.study import Restoration

SUSTAINED_H = 5 / 60
"""Hours above which an interruption counts in SAIFI and SAIDI (IEEE Std 1366)."""
COLUMN = "failures_per_year"
"""Of a table of failure rates, beside ``id``."""


@dataclass(frozen=True)
class SwitchingTimes:
    """How long things take.

    Parameters
    ----------
    repair_h
        From the fault until it is repaired [h].
    remote_min, crew_min
        A step by remote control, and one by a crew on the spot, the way there included [min]. Steps are carried out
        one after the other.

    Raises
    ------
    DataError
        For times that are no finite numbers >= 0.
    """

    repair_h: float = 4.0
    remote_min: float = 1.0
    crew_min: float = 30.0

    def __post_init__(self) -> None:
        bad = [
            f"{name} = {value:g} must be a finite number >= 0"
            for name, value in vars(self).items()
            if not (np.isfinite(value) and value >= 0)
        ]
        if bad:
            raise DataError("switching times", bad)


@dataclass(frozen=True)
class Interruption:
    """What one fault costs.

    Parameters
    ----------
    minutes
        From the fault to the last step of the plan; None without a plan.
    interrupted
        Customers with a sustained interruption, or load [kW] where customers are not known.
    interrupted_hours
        Their customer-hours, or kWh.
    unserved_kwh
        Energy that is not served until the repair.
    """

    minutes: float | None
    interrupted: float
    interrupted_hours: float
    unserved_kwh: float


@dataclass(frozen=True)
class Indices:
    """Reliability of a network over a year.

    Parameters
    ----------
    by_customers
        SAIFI and SAIDI count customers; otherwise load (ASIFI and ASIDI of IEEE Std 1366).
    saifi
        Sustained interruptions a year.
    saidi_h
        Hours a year.
    eens_kwh
        Energy not supplied [kWh a year].
    """

    by_customers: bool
    saifi: float
    saidi_h: float
    eens_kwh: float

    @property
    def caidi_h(self) -> float | None:
        """Hours that an interruption lasts; None where there is none."""
        return self.saidi_h / self.saifi if self.saifi > 0 else None


def hours_without_supply(restoration: Restoration, times: SwitchingTimes) -> tuple[Floats, float]:
    """Hours that each bus with supply before is without, shape (n_bus,), and hours until the last step.

    A plan that takes longer than the repair is carried out to its end.
    """
    taken = [(times.crew_min if step.manual else times.remote_min) / 60 for step in restoration.operations]
    return hours_until(restoration, np.cumsum(taken).tolist(), times.repair_h)


def hours_until(restoration: Restoration, ends_h: Sequence[float], repair_h: float) -> tuple[Floats, float]:
    """The same, each step taking effect when it ends; steps that end earlier come first."""
    outage = restoration.outage
    closed = outage.isolated.closed.copy()
    dark = outage.fed_before & ~outage.still_fed
    hours, clock = np.zeros(len(dark)), 0.0
    for k in np.argsort(np.asarray(ends_h), kind="stable").tolist():
        step = restoration.operations[k]
        hours[dark] += ends_h[k] - clock
        clock = ends_h[k]
        if step.action in (Action.OPEN, Action.CLOSE):
            closed[step.branch] = step.action is Action.CLOSE
            dark = outage.fed_before & ~outage.fed(closed)
    hours[dark] += max(repair_h - clock, 0.0)
    return hours, clock


def weights(network: Network, load_kw: Floats) -> tuple[Floats, bool]:
    """Customers at each bus, shape (n_bus,), and True; their load where nobody knows the customers, and False."""
    if network.customers is not None and network.customers.sum() > 0:
        return network.customers.astype(float), True
    return load_kw, False


def interruption(restoration: Restoration, times: SwitchingTimes) -> Interruption:
    """What one fault costs under its plan."""
    load_kw = restoration.outage.load_kw
    hours, clock = hours_without_supply(restoration, times)
    count, _ = weights(restoration.problem.network, load_kw)
    sustained = hours > SUSTAINED_H
    return Interruption(
        None if restoration.configuration is None else 60 * clock,
        float(count[sustained].sum()),
        float(count[sustained] @ hours[sustained]),
        float(load_kw @ hours),
    )


def failure_rates(given: float | str | Path | Mapping[Id, float], network: Network, faults: Sequence[Fault]) -> Floats:
    """Failures a year of each fault of a table, shape (n_fault,).

    Parameters
    ----------
    given
        One rate for all; or rates by id or name, as a mapping or a CSV file with the columns ``id`` and
        ``failures_per_year``. What it does not name never fails.

    Raises
    ------
    DataError
        For rates that are no finite numbers >= 0, for what the network has not, and for what is no fault of the table.
    """
    if (rate := _number(given)) is not None:
        if not (np.isfinite(rate) and rate >= 0):
            raise DataError("failure rates", [f"{COLUMN} = {rate:g} must be a finite number >= 0"])
        return np.full(len(faults), rate)
    table = given if isinstance(given, Mapping) else _read_rates(Path(str(given)))
    place = {(bool(one.branches), (one.branches or one.buses)[0]): k for k, one in enumerate(faults)}
    branches = bool(faults) and bool(faults[0].branches)
    rates, bad = np.zeros(len(faults)), []
    for text, value in table.items():
        index, why = (network.find_branch if branches else network.find_bus)(text)
        if index is None:
            bad.append(why)
        elif (branches, index) not in place:
            bad.append(f"{text!r} is no fault of this table")
        elif not (np.isfinite(value) and value >= 0):
            bad.append(f"{text!r}: {COLUMN} = {value:g} must be a finite number >= 0")
        else:
            rates[place[branches, index]] = value
    if bad:
        raise DataError("failure rates", bad)
    return rates


def _number(given: object) -> float | None:
    """One rate, also as text; None for a table."""
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _read_rates(path: Path) -> dict[Id, float]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), [f"cannot be read: {error}"]) from None
    rows = csv.DictReader(io.StringIO(text))
    if not {"id", COLUMN} <= set(rows.fieldnames or ()):
        raise DataError(
            str(path), [f"needs the columns id and {COLUMN}, has {', '.join(rows.fieldnames or ('none',))}"]
        )
    found: dict[Id, float] = {}
    bad = []
    for number, row in enumerate(rows, start=2):
        try:
            found[row["id"]] = float(row[COLUMN])
        except (TypeError, ValueError):
            bad.append(f"line {number}: {COLUMN} = {row[COLUMN]!r} must be a number")
    if bad:
        raise DataError(str(path), bad)
    return found
