"""Public OpenDSS feeders: what is read of each, beside OpenDSS's own solution, or why it is refused.

    python benchmarks/opendss_feeders.py FOLDER            # every master file in FOLDER and below
    python benchmarks/opendss_feeders.py FOLDER --hour 12  # where the loads follow shapes

A master file is one that sets voltage bases itself. Files may redirect to others anywhere in FOLDER.
Nothing is written but the table, to stdout.

Columns: loss and lowest voltage of the present state, OpenDSS's and the judge's on the network that was read, with the
difference of the losses; ``stated`` counts the reductions that explain it, imbalance among them.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.opendss.reader import read_opendss
from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate_as_it_is

_BASES = re.compile(r"^\s*(set\s+voltageb|calcv)", re.I | re.M)
_WIDTH = 150
"""Characters of a refusal."""


def masters(folder: Path) -> list[Path]:
    """Master files below a folder, in order of their names."""
    texts = {
        path: path.read_text("latin-1")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix.lower() == ".dss"
    }
    return [path for path, text in texts.items() if _BASES.search(text)]


def row(path: Path, root: Path, hour: float | None) -> str:
    """A line of the table."""
    name = path.relative_to(root).as_posix()
    begin = time.process_time()
    try:
        case = read_opendss(path, hour, root)
    except (DataError, UnsupportedError) as error:
        text = " ".join(str(error).replace(str(path.resolve()), "").replace(str(path), "").split()).lstrip(": ")
        return f"| {name} | refused: {text[:_WIDTH].replace('|', '/')}{' ...' * (len(text) > _WIDTH)} |" + " |" * 7
    net = case.network
    state = net.normal_configuration
    theirs = case.tool.state(net, state)
    ours = evaluate_as_it_is(ReconfigurationProblem.of(net), state)
    size = f"{net.n_bus}, {net.n_branch}, {int(net.switchable.sum())}"
    cells = [name, size, "-", "-", "-", "-", "-", str(len(case.explained)), f"{time.process_time() - begin:.1f}"]
    if theirs.converged:
        cells[2], cells[5] = f"{theirs.loss_kw:,.2f}", f"{min(theirs.vm.values(), default=float('nan')):.4f}"
    if ours.converged:
        cells[3], cells[6] = f"{ours.loss_kw:,.2f}", f"{ours.vm.min():.4f}"
    else:
        cells[3] = "; ".join(ours.violations)[:_WIDTH]
    if theirs.converged and ours.converged:
        cells[4] = f"{100 * (ours.loss_kw / theirs.loss_kw - 1):+.2f} %"
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hour", type=float)
    options = parser.parse_args()
    root = options.folder.resolve()
    print(
        "| feeder | buses, branches, switches | loss OpenDSS kW | loss learnopt kW | difference | lowest OpenDSS pu "
        "| lowest learnopt pu | stated | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for path in masters(root):
        print(row(path, root, options.hour), flush=True)


if __name__ == "__main__":
    main()
