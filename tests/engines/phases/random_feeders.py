"""Random unbalanced feeders of transposed lines, and the loss of every radial state of them by OpenDSS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from learnopt.network.unbalanced import TransposedCircuit

KV = 12.66


@dataclass(frozen=True, eq=False)
class Feeder:
    """Text of a circuit whose lines are all switches, what is known of it, and its lines as pairs of buses.

    The first buses are sources.
    """

    text: str
    circuit: TransposedCircuit
    ends: tuple[tuple[int, int], ...]
    n_bus: int
    n_source: int


def random_feeder(seed: int) -> Feeder:
    """Four to eight buses, one or two sources that may be weak, loads of one to three phases, lines of any length.

    In two of three feeders all lines have the same ratio of zero- to positive-sequence impedance.
    """
    rng = np.random.default_rng(seed)
    n, n_source = int(rng.integers(4, 9)), 1 + int(rng.random() < 0.3)
    ends = [(int(rng.integers(0, k)), k) for k in range(n_source, n)]
    ends += [tuple(sorted(rng.choice(n, 2, replace=False).tolist())) for _ in range(int(rng.integers(1, 4)))]
    ends = [pair for pair in ends if pair != (0, 1) or n_source == 1]
    lines, volts, inside = ["Clear"], [], 0.0
    for k in range(n_source):
        r1, x1, r0, x0 = (rng.uniform(0, 0.3, 4) if rng.random() < 0.4 else np.array([0, 1e-6, 0, 1e-6])).tolist()
        volts.append(float(rng.uniform(0.98, 1.03)))
        head = "New Circuit.c" if k == 0 else "New Vsource.two"
        lines.append(f"{head} bus1=b{k} basekv={KV} pu={volts[-1]!r} R1={r1!r} X1={x1!r} R0={r0!r} X0={x0!r}")
        inside = max(inside, math.hypot(r1, x1), math.hypot(r0, x0))
    common = float(rng.choice([0.5, 1.0, 2.0, 3.0])) if rng.random() < 0.67 else 0.0
    z1, z0 = np.zeros((2, len(ends)), dtype=complex)
    for e, (tail, head) in enumerate(ends):
        z1[e] = complex(*rng.uniform(0.05, 2.0, 2))
        z0[e] = common * z1[e] if common else complex(*(rng.uniform(1, 1.5, 2) * [z1[e].real, z1[e].imag]))
        values = " ".join(f"{name}={float(value)!r}" for name, value in zip(
            ("r1", "x1", "r0", "x0"), (z1[e].real, z1[e].imag, z0[e].real, z0[e].imag), strict=True
        ))  # fmt: skip
        lines.append(f"New Line.l{e} phases=3 bus1=b{tail} bus2=b{head} {values} c1=0 c0=0 length=1 units=none")
        lines.append(f"New SwtControl.s{e} SwitchedObj=Line.l{e} SwitchedTerm=1 Normal=close State=close")
    kappa, low, size = rng.choice([0.3, 1.0, 10.0, 1e4]), rng.choice([0.1, 0.3, 0.6]), rng.uniform(20, 400)
    p, q = np.zeros((2, n))
    for k in range(n_source, n):
        if rng.random() < 0.2:
            continue
        kw, factor = size * rng.uniform(0.2, 1.5), rng.uniform(0.7, 1.0)
        kvar = kw * math.tan(math.acos(factor))
        window = f"model=1 vminpu={low} vmaxpu=1.2 vlowpu={low / 2}"
        for phase, share in enumerate(rng.dirichlet([kappa] * 3).tolist()):
            power = f"kv={KV / math.sqrt(3)!r} kw={kw * share!r} kvar={kvar * share!r}"
            lines.append(f"New Load.d{k}_{phase} phases=1 bus1=b{k}.{phase + 1} {power} {window}")
        lines.append(f"New Load.t{k} phases=3 bus1=b{k} kv={KV} kw={0.1 * kw!r} kvar={0.1 * kvar!r} {window}")
        p[k], q[k] = 1.1e3 * kw, 1.1e3 * kvar
    lines += [f"Set VoltageBases=[{KV}]", "CalcVoltageBases", "Set Tolerance=1e-9", "Set MaxIterations=200", "Solve"]
    rated = 1e3 * KV / math.sqrt(3)
    apparent = float(np.hypot(p, q).sum())
    circuit = TransposedCircuit(
        z1, z0, p, q, (min(volts) * rated, max(volts) * rated), inside,
        np.where(p > 0, low * rated, 0.0),
        apparent / (low * rated), apparent / (1.2 * rated) ** 2,
    )  # fmt: skip
    return Feeder("\n".join([*lines, ""]), circuit, tuple(ends), n, n_source)


def radial_states(feeder: Feeder) -> list[tuple[int, ...]]:
    """Lines that are open in each state in which every bus hangs on one source by one way."""
    m, n = len(feeder.ends), feeder.n_bus
    states = []
    for opened in combinations(range(m), m - (n - feeder.n_source)):
        part = [max(0, k - feeder.n_source + 1) for k in range(n)]
        tree = True
        for e in set(range(m)) - set(opened):
            a, b = part[feeder.ends[e][0]], part[feeder.ends[e][1]]
            tree = tree and a != b
            part = [min(a, b) if one in (a, b) else one for one in part]
        if tree:
            states.append(opened)
    return states


def losses_kw(dss: Any, feeder: Feeder, states: list[tuple[int, ...]]) -> list[float]:
    """Loss of the lines in each state by OpenDSS, ``inf`` where it finds none."""
    for line in feeder.text.splitlines():
        dss.Text.Command(line)
    dss.Solution.ControlMode(-1)
    losses = []
    for opened in states:
        for e in range(len(feeder.ends)):
            for end in (1, 2):
                dss.Text.Command(f"{'Open' if e in opened else 'Close'} Line.l{e} {end}")
        dss.Solution.SolveDirect()
        dss.Solution.Solve()
        losses.append(float(dss.Circuit.LineLosses()[0]) if dss.Solution.Converged() else math.inf)
    return losses
