"""Options that are given and have no effect: told by name, or people believe that they had one.

The rules hold for both front doors; each writes options in its own way (:data:`learnopt.errors.Wording`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from learnopt.errors import Wording, in_python

PROVES = {"milp": "ac", "enumerate": "ac", "hybrid": "ac", "benders": "ac", "exchange": "none"}
"""Engines with one certificate only."""
UNBRANCHED = ("exchange",)
"""Engines that prove nothing: a gap or a number of nodes means nothing to them."""


@dataclass(frozen=True)
class Unused:
    """An option without effect.

    Parameters
    ----------
    option
        Its name in Python.
    reason
        Why; ``{}`` stands for the option that is ``because``.
    because
        Name and value of another option, None = the option alone.
    """

    option: str
    reason: str
    because: tuple[str, object] = ("", None)

    def told(self, wording: Wording = in_python) -> str:
        """A sentence."""
        return f"{wording(self.option, None)} has no effect: {self.reason.format(wording(*self.because))}."


Rule = tuple[bool, Unused]
"""The option was given without use, and what is told then."""


def unused(rules: Iterable[Rule]) -> tuple[Unused, ...]:
    """What is to be told."""
    return tuple(one for without_use, one in rules if without_use)


def of_strict_limits(strict: bool, limits: object, vmin: float | None, vmax: float | None) -> Rule:
    """``strict_limits`` where no limit is enforced."""
    none = limits == "none" and vmin is None and vmax is None
    return strict and none, Unused("strict_limits", "{} leaves no limit to enforce", ("limits", "none"))


def of_workers(workers: int, scheduler: str | None, default: int = 0) -> Rule:
    """``workers`` where a scheduler is given."""
    return scheduler is not None and workers != default, Unused("workers", "the scheduler has its own")


def of_solve(
    *,
    engine: str,
    certify: object,
    gap: float | None,
    node_limit: int | None,
    threads: int | None,
    checkpoint: object,
    risk: object,
    risk_level: float | None,
    strict_limits: bool,
    limits: object,
    vmin: float | None,
    vmax: float | None,
) -> tuple[Unused, ...]:
    """Of ``solve``."""
    proves, never = PROVES.get(engine), engine in UNBRANCHED
    other = engine not in ("auto", "tree", "learned")
    this = ("engine", engine)
    return unused(
        [
            (
                checkpoint is not None and engine != "learned",
                Unused("checkpoint", "it belongs to {}", ("engine", "learned")),
            ),
            (
                proves is not None and certify is not None and str(certify) != proves,
                Unused("certify", f"{{}} proves {proves} only", this),
            ),
            (gap is not None and never, Unused("gap", "{} proves nothing", this)),
            (node_limit is not None and never, Unused("node_limit", "{} does not branch", this)),
            (threads is not None and other, Unused("threads", "it belongs to the tree search")),
            of_strict_limits(strict_limits, limits, vmin, vmax),
            (
                risk_level is not None and risk is None,
                Unused("risk_level", "it belongs to {}", ("risk", None)),
            ),
        ]
    )


def of_balanced(balanced: bool, equivalent: bool) -> tuple[Unused, ...]:
    """``balanced`` of a file that is so."""
    return unused([(balanced and not equivalent, Unused("balanced", "the file is balanced"))])


def of_horizon(
    *,
    engine: str,
    checkpoint: object,
    controls: str,
    capacitor_hours: float,
    tap_hours: float,
    control_cost: float,
    strict_limits: bool,
    limits: object,
    vmin: float | None,
    vmax: float | None,
    workers: int = 1,
    scheduler: str | None = None,
) -> tuple[Unused, ...]:
    """Of ``horizon``."""
    of_controls = ("controls", None)
    none = controls == "none"
    return unused(
        [
            (
                checkpoint is not None and engine != "learned",
                Unused("checkpoint", "it belongs to {}", ("engine", "learned")),
            ),
            *(
                (none and value > 0, Unused(name, "it belongs to {}", of_controls))
                for name, value in (
                    ("capacitor_hours", capacitor_hours),
                    ("tap_hours", tap_hours),
                    ("control_cost", control_cost),
                )
            ),
            of_strict_limits(strict_limits, limits, vmin, vmax),
            of_workers(workers, scheduler, 1),
        ]
    )


def of_horizon_in_phases(workers: int, scheduler: str | None) -> tuple[Unused, ...]:
    """Of ``horizon`` of an unbalanced file."""
    here = "a plan in all phases asks the tool of the file, in this process"
    given = ((workers != 1, "workers"), (scheduler is not None, "scheduler"))
    return unused([(found, Unused(option, here)) for found, option in given])


def of_savings(
    *,
    currency: str | None,
    price_per_mwh: float | None,
    strict_limits: bool,
    limits: object,
    vmin: float | None,
    vmax: float | None,
    workers: int = 0,
    scheduler: str | None = None,
) -> tuple[Unused, ...]:
    """Of ``savings``."""
    return unused(
        [
            (
                currency is not None and price_per_mwh is None,
                Unused("currency", "it is the unit of {}", ("price_per_mwh", None)),
            ),
            of_workers(workers, scheduler),
            of_strict_limits(strict_limits, limits, vmin, vmax),
        ]
    )


def of_savings_in_phases(
    *,
    representatives: int | None,
    proof_time: float | None,
    node_limit: int | None,
    workers: int | None,
    scheduler: str | None,
) -> tuple[Unused, ...]:
    """Of ``savings`` of an unbalanced file, whose states are all solved where they are few."""
    given = {"representatives": representatives, "proof_time": proof_time, "node_limit": node_limit}
    why = "a study in all phases solves states, and proves no single steps"
    who = {"workers": workers, "scheduler": scheduler}
    here = "a study in all phases asks the tool of the file, in this process"
    return unused(
        [
            *((value is not None, Unused(option, why)) for option, value in given.items()),
            *((value is not None, Unused(option, here)) for option, value in who.items()),
        ]
    )


def told(found: Sequence[Unused], wording: Wording = in_python) -> list[str]:
    """A sentence for each."""
    return [one.told(wording) for one in found]
