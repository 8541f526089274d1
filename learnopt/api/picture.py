"""A drawing in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from learnopt.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawing that a notebook shows and :meth:`save` writes.

    Parameters
    ----------
    figure
        The matplotlib figure.
    """

    figure: Figure

    def save(self, path: str | Path) -> Path:
        """Write as .png, .svg or .pdf, by the ending; returns the path.

        Raises
        ------
        DataError
            For another ending.
        """
        from learnopt.io.files import write_atomically
        from learnopt.report.kit.files import figure_bytes

        path = Path(path)
        kind = path.suffix.lower().removeprefix(".")
        if kind not in ("png", "svg", "pdf"):
            raise DataError(path.name, ["give a file that ends in .png, .svg or .pdf"])
        write_atomically(path, lambda partial: partial.write_bytes(figure_bytes(self.figure, kind)))
        return path

    def _repr_png_(self) -> bytes:
        from learnopt.report.kit.files import figure_bytes

        return figure_bytes(self.figure, "png")
