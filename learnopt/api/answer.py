"""What every function of the package returns: an answer that shows itself wherever it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from learnopt.api.unused import Unused, told


class Answer(ABC):
    """An answer together with its question: as plain values, for the terminal, in a notebook and as a page."""

    unused: tuple[Unused, ...] = ()
    """Options that were given and had no effect."""

    @property
    @abstractmethod
    def found(self) -> bool:
        """There is what was asked for; where there is not, the answer says why."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values: the object that the command of the same name prints."""

    @abstractmethod
    def rendered(self) -> RenderableType:
        """What the command of the same name prints for people."""

    @abstractmethod
    def report(self, path: str | Path) -> Path:
        """Write a self-contained page; returns its path."""

    @abstractmethod
    def _repr_html_(self) -> str:
        """What a notebook shows."""

    @property
    def without_effect(self) -> list[str]:
        """A sentence for each option that was given and had no effect."""
        return told(self.unused)

    def table(self) -> None:
        """Print what the command of the same name prints."""
        console = Console()
        for sentence in self.without_effect:
            console.print(f"Warning: {sentence}", style="yellow", highlight=False, markup=False)
        console.print(self.rendered())
