"""The gallery of the site: reports and pictures of the example feeder, made when the site is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shown import Session


@dataclass(frozen=True)
class Piece:
    """One entry.

    Parameters
    ----------
    title, words
        What it is, and what to look at.
    command
        The command line that makes it.
    file
        What it writes: ``.html`` is shown as a page in the page, anything else as a picture.
    """

    title: str
    words: str
    command: str
    file: str


_BEST = "--open K-N7,K-C7,T1,T3,T5"
PIECES = (
    Piece(
        "The answer of `solve`",
        "Losses before and after, what is proven, the switching order, the feeder to zoom into.",
        "learnopt solve sample/feeder.json --report answer.html",
        "answer.html",
    ),
    Piece(
        "One-line diagram",
        "The state proposed: what opens, what closes, where most is lost.",
        f"learnopt draw sample/feeder.json {_BEST} --out diagram.svg",
        "diagram.svg",
    ),
    Piece(
        "Voltages along the feeders",
        "Present state and proposal, bus by bus, with the limits.",
        f"learnopt draw sample/feeder.json {_BEST} --what profile --out voltages.svg",
        "voltages.svg",
    ),
    Piece(
        "Loading of the cables",
        "The cables that carry most of what they may.",
        f"learnopt draw sample/feeder.json {_BEST} --what loading --out loading.svg",
        "loading.svg",
    ),
    Piece(
        "What `inspect` found",
        "The network as it was read, and what looks wrong in it.",
        "learnopt inspect sample/feeder.json --out inspected.html",
        "inspected.html",
    ),
    Piece(
        "A day",
        "Which switches move when, and what it is worth.",
        "learnopt horizon sample/feeder.json --profile sample/day.csv --switching-cost 1 --report day.html",
        "day.html",
    ),
    Piece(
        "Four weeks of switching",
        "Four ways to operate the feeder, in energy, money and operations.",
        "learnopt savings sample/feeder.json --profile sample/weeks.csv --price 100 --report weeks.html",
        "weeks.html",
    ),
    Piece(
        "Conductors and switches, planned together",
        "Which conductor on which line, with a bill of quantities.",
        "learnopt plan conductors case33 --mode joint --vmin 0.92 --vmax 1.0 --report conductors.html",
        "conductors.html",
    ),
    Piece(
        "Substations and routes",
        "What to build where, and when.",
        "learnopt plan substations turkay --report substations.html",
        "substations.html",
    ),
)


def make(folder: Path) -> str:
    """Run every command in a folder; returns the page that shows what they wrote, as files of ``gallery/``.

    Raises
    ------
    RuntimeError
        If a command failed or wrote nothing.
    """
    session = Session(folder)
    session.command("learnopt example sample", shown=True)
    lines = ["# Gallery", "", "Everything here was made by the command above it, when this site was built.", ""]
    for piece in PIECES:
        session.command(piece.command, shown=True)
        if not (folder / piece.file).is_file():
            session.problems.append(f"{piece.command}: no file {piece.file}")
        lines += [f"## {piece.title}", "", piece.words, "", "```text", piece.command, "```", ""]
        if piece.file.endswith(".html"):
            frame = f'<iframe src="../gallery/{piece.file}" title="{piece.file}" loading="lazy"></iframe>'
            lines += [f'<p><a href="../gallery/{piece.file}">Open as a page</a></p>', "", frame, ""]
        else:
            lines += [f"![{piece.title}](gallery/{piece.file})", ""]
    if session.problems:
        raise RuntimeError("; ".join(session.problems))
    return "\n".join(lines)
