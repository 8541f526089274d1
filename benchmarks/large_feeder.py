"""Large unbalanced feeders for OpenDSS, made up: what ``three_phase.py --large`` measures.

A three-phase trunk with switches and ties, laterals of one phase, service transformers with a load behind each.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

_TRUNK, _LATERAL = 0.35, 0.25
"""Shares of the buses that are of three phases, and in laterals of one; the others are at low voltage."""
_LOAD_KW = 9000.0
_HEAD = """\
Clear
New Circuit.large basekv=12.47 pu=1.03 phases=3 bus1=b0 MVAsc3=20000 MVAsc1=20000
New LineCode.three nphases=3 rmatrix=[0.28 | 0.1 0.29 | 0.095 0.1 0.285] xmatrix=[0.66 | 0.31 0.65 | 0.26 0.28 0.66] \
cmatrix=[9 | -2 9 | -1 -2 9] units=km
New LineCode.one nphases=1 rmatrix=[0.75] xmatrix=[0.84] cmatrix=[6] units=km
New LineCode.low nphases=1 rmatrix=[0.4] xmatrix=[0.25] cmatrix=[0] units=km
"""
_SWITCH = "switch=y r1=1e-4 x1=1e-4 r0=1e-4 x0=1e-4 c1=0 c0=0 length=1"
_TAIL = "Set VoltageBases=[12.47 0.4157]\nCalcVoltageBases\nSolve\n"


def write_feeder(path: Path, n_bus: int, n_switch: int, n_tie: int, rng: np.random.Generator) -> None:
    """Write a master file of about so many buses."""
    trunk, lateral = int(n_bus * _TRUNK), int(n_bus * _LATERAL)
    lines = [*_trunk(trunk, n_switch, rng), *_ties(trunk, n_tie, rng)]
    ends: list[tuple[str, int]] = []
    for k in range(lateral):
        at, phase = ends[-1] if ends and rng.random() < 0.6 else _place(trunk, rng)
        lines.append(
            f"New Line.s{k} phases=1 bus1={at}.{phase} bus2=s{k}.{phase} linecode=one "
            f"length={rng.uniform(0.02, 0.15):.4f} units=km"
        )
        ends.append((f"s{k}", phase))
    lines += _services((n_bus - trunk - lateral) // 2, trunk, ends, rng)
    path.write_text(_HEAD + "\n".join(lines) + "\n" + _TAIL, encoding="utf-8")


def _trunk(n: int, n_switch: int, rng: np.random.Generator) -> Iterator[str]:
    switched = set(rng.choice(np.arange(1, n), n_switch, replace=False).tolist())
    for k in range(1, n):
        before = k - 1 if rng.random() < 0.8 else int(rng.integers(max(0, k - 400), k))
        kind = f"linecode=three length={rng.uniform(0.02, 0.06):.5f} units=km normamps=600"
        yield f"New Line.l{k} phases=3 bus1=b{before} bus2=b{k} {_SWITCH if k in switched else kind}"


def _ties(n: int, count: int, rng: np.random.Generator) -> Iterator[str]:
    for k in range(count):
        a, b = rng.choice(np.arange(1, n), 2, replace=False)
        yield f"New Line.tie{k} phases=3 bus1=b{a} bus2=b{b} {_SWITCH}"
        yield f"Open Line.tie{k} 1"


def _place(n: int, rng: np.random.Generator) -> tuple[str, int]:
    return f"b{rng.integers(1, n)}", int(rng.integers(1, 4))


def _services(count: int, trunk: int, ends: list[tuple[str, int]], rng: np.random.Generator) -> Iterator[str]:
    """Transformers of one phase, a line of low voltage and a load behind each."""
    for k in range(count):
        at, phase = ends[int(rng.integers(len(ends)))] if rng.random() < 0.6 else _place(trunk, rng)
        kw = rng.uniform(0.2, 1.2) * _LOAD_KW / count
        yield (
            f"New Transformer.t{k} phases=1 windings=2 buses=[{at}.{phase} x{k}.{phase}] kvs=[7.2 0.24] kvas=[25 25] "
            "%rs=[0.6 0.6] xhl=2 %noloadloss=0.2 %imag=0.5"
        )
        yield f"New Line.v{k} phases=1 bus1=x{k}.{phase} bus2=y{k}.{phase} linecode=low length=0.03 units=km"
        yield f"New Load.d{k} phases=1 bus1=y{k}.{phase} kv=0.24 kw={kw:.3f} kvar={0.3 * kw:.3f} model=1 vminpu=0.7"
