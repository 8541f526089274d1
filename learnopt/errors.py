"""The error family of learnopt.

.. code-block:: text

    LearnoptError                 everything learnopt raises on purpose
    ├── DataError                 a file or object breaks the rules; carries the list of all violations
    ├── UnsupportedError          a valid request that this part cannot serve; names what can
    └── CheckpointError           weights that are absent or do not fit the features of this version

Limits reached and infeasible scenarios are statuses of :class:`learnopt.network.Result`, not exceptions.
"""

from __future__ import annotations

from collections.abc import Sequence


class LearnoptError(Exception):
    """Base of all errors raised on purpose; the message says what to do next."""

    @property
    def messages(self) -> list[str]:
        """One sentence per problem, for ``errors`` in JSON output."""
        return [str(self)]


class DataError(LearnoptError):
    """Bad input. All violations are collected and reported at once.

    Parameters
    ----------
    subject
        What was read, for instance the path of a file.
    violations
        One sentence each: the object, its value, what is expected.
    """

    def __init__(self, subject: str, violations: Sequence[str]) -> None:
        self.subject = subject
        self.violations = tuple(violations)
        count = len(self.violations)
        problems = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{subject}: {problems}", *(f"  - {v}" for v in self.violations)]))

    def __reduce__(self) -> tuple[type[DataError], tuple[str, tuple[str, ...]]]:
        """What it is made from, so that it crosses process boundaries."""
        return type(self), (self.subject, self.violations)

    @property
    def messages(self) -> list[str]:
        """The violations, each with its subject."""
        return [f"{self.subject}: {violation}" for violation in self.violations]


class UnsupportedError(LearnoptError):
    """A valid request that this engine or format does not serve."""


class CheckpointError(LearnoptError):
    """A checkpoint is missing, damaged or made for another feature schema."""
