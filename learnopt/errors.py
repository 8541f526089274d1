"""The error family of learnopt.

.. code-block:: text

    LearnoptError                 everything learnopt raises on purpose
    ├── DataError                 a file or object breaks the rules; carries the list of all violations
    ├── UnsupportedError          a valid request that this part cannot serve; names what can
    └── CheckpointError           weights that are absent or do not fit the features of this version

What would serve is said as options by name (``use``), which Python and the command line write in their own way.

Limits reached and infeasible scenarios are statuses of :class:`learnopt.network.Result`, not exceptions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from learnopt.wording import counted

Wording = Callable[[str, object], str]
"""How an option is written: its name, and its value, None = the option alone; of a tuple of values any will do."""


def in_python(option: str, value: object) -> str:
    """An option as a keyword argument: ``engine="tree" or "milp"``."""
    return option if value is None else f"{option}={alternatives(value, _literal)}"


def alternatives(value: object, write: Callable[[object], str]) -> str:
    """A value, or those of a tuple in words: ``a, b or c``."""
    *some, last = map(write, value if isinstance(value, tuple) else (value,))
    return f"{', '.join(some)} or {last}" if some else last


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def advice(use: Mapping[str, object], wording: Wording) -> str:
    """``use engine="tree", without controls``; options whose value is None are to be left out."""
    wanted = " and ".join(wording(option, value) for option, value in use.items() if value is not None)
    unwanted = " and ".join(wording(option, None) for option, value in use.items() if value is None)
    if not wanted:
        return f"leave out {unwanted}"
    return f"use {wanted}, without {unwanted}" if unwanted else f"use {wanted}"


class LearnoptError(Exception):
    """Base of all errors raised on purpose; the message says what to do next.

    Parameters
    ----------
    reason
        What is wrong.
    use
        Options that help, by name: a value, a tuple of values of which any will do, or None = leave the option out.
    """

    def __init__(self, reason: str, use: Mapping[str, object] | None = None) -> None:
        self.reason = reason
        self.use = dict(use or {})
        super().__init__(reason)

    def told(self, wording: Wording = in_python) -> str:
        """The message, options written in a given way."""
        return f"{self.reason}: {advice(self.use, wording)}" if self.use else self.reason

    def sentences(self, wording: Wording = in_python) -> list[str]:
        """One sentence per problem, options written in a given way: ``errors`` in JSON output."""
        return [self.told(wording)]

    @property
    def messages(self) -> list[str]:
        """One sentence per problem."""
        return self.sentences()

    def __str__(self) -> str:
        return self.told()

    def __reduce__(self) -> tuple[Any, ...]:
        """What it is made from, so that it crosses process boundaries."""
        return type(self), (self.reason, self.use)


class DataError(LearnoptError):
    """Bad input. All violations are collected and reported at once.

    Parameters
    ----------
    subject
        What was read, for instance the path of a file.
    violations
        One sentence each: the object, its value, what is expected.
    use
        As of the base.
    """

    def __init__(self, subject: str, violations: Sequence[str], use: Mapping[str, object] | None = None) -> None:
        self.subject = subject
        self.violations = tuple(violations)
        super().__init__(subject, use)

    def told(self, wording: Wording = in_python) -> str:
        """The subject, and a line for each violation and for what helps."""
        count = len(self.violations)
        problems = counted(count, "problem")
        return "\n".join([f"{self.subject}: {problems}", *(f"  - {line}" for line in self._lines(wording))])

    def sentences(self, wording: Wording = in_python) -> list[str]:
        """The violations, each with its subject."""
        return [f"{self.subject}: {line}" for line in self._lines(wording)]

    def _lines(self, wording: Wording) -> list[str]:
        return [*self.violations, *([advice(self.use, wording)] if self.use else [])]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.subject, self.violations, self.use)


class UnsupportedError(LearnoptError):
    """A valid request that this engine or format does not serve."""


LEARNING = ("torch", "torch_geometric", "lightning", "mlflow", "sklearn", "safetensors", "pandas")
"""Packages that learning and tracking need and nothing else does: a light install has none of them."""


PROFILES = ("pyarrow",)
"""Packages that load profiles and datasets need: a light install goes without until it is asked for these."""


SERVICE = ("alembic", "argon2", "fastapi", "jinja2", "psycopg", "sqlalchemy", "starlette", "uvicorn")
"""Packages of the control room's service, and of its databases."""


def without_learning(wish: str, missing: ModuleNotFoundError) -> UnsupportedError:
    """The error of a light install that is asked for what learns, for a load profile, or for the service.

    Parameters
    ----------
    wish
        What was asked for, for instance ``the learned engine``.
    missing
        As raised by an import.

    Raises
    ------
    ModuleNotFoundError
        ``missing`` itself where it is none of :data:`LEARNING`, :data:`PROFILES` and :data:`SERVICE`.
    """
    package = (missing.name or "").partition(".")[0]
    if package not in (*LEARNING, *PROFILES, *SERVICE):
        raise missing
    if package in SERVICE:
        extra = "postgresql" if package == "psycopg" else "service"
        return UnsupportedError(f"{wish} needs {package}, which is not installed: pip install 'learnopt[{extra}]'")
    everything = "pip install learnopt adds what is missing"
    how = f"pip install {package} (or everything: pip install learnopt)" if package in PROFILES else everything
    return UnsupportedError(f"{wish} needs {package}, which is not installed: {how}")


class CheckpointError(LearnoptError):
    """A checkpoint is missing, damaged or made for another feature schema."""
