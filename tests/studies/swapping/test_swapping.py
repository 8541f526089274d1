"""Laterals connected to other phases, against circuits that are written anew with every choice and solved alone."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import engine
from learnopt.network import Certificate
from learnopt.studies.swapping import study
from learnopt.studies.swapping.study import best_moves

pytest.importorskip("opendssdirect")

LINE = "r1=.3 x1=.4 r0=.6 x0=1.2 c1=2 c0=1"
PHASES = (1, 1, 1, 2, 1)
LOADS = (260, 310, 150, 220, 90)


@pytest.fixture(autouse=True)
def without_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learnopt.io.opendss.engine.rehearse", lambda _commands: None)


def feeder(phases: tuple[int, ...] = PHASES) -> str:
    """Three buses of three phases; five laterals, one of two lines with a capacitor, one behind a transformer."""
    a, b, c, d, e = phases
    return f"""Clear
New Circuit.feeder basekv=12.47 pu=1.02 phases=3 bus1=sub mvasc3=2000 mvasc1=2000
New Line.m1 bus1=sub bus2=n1 {LINE} length=2
New Line.m2 bus1=n1 bus2=n2 {LINE} length=3
New Line.m3 bus1=n2 bus2=n3 {LINE} length=2
New Load.three bus1=n3 kv=12.47 kw=400 kvar=150 vminpu=0.7
New Line.l1 phases=1 bus1=n1.{a} bus2=p1.{a} {LINE} length=1
New Load.d1 phases=1 bus1=p1.{a} kv=7.2 kw={LOADS[0]} kvar=90 vminpu=0.7
New Line.l2 phases=1 bus1=n2.{b} bus2=p2.{b} {LINE} length=1
New Line.l2b phases=1 bus1=p2.{b} bus2=p2b.{b} {LINE} length=2
New Capacitor.q phases=1 bus1=p2b.{b} kv=7.2 kvar=60
New Load.d2 phases=1 bus1=p2b.{b} kv=7.2 kw={LOADS[1]} kvar=100 vminpu=0.7
New Line.l3 phases=1 bus1=n2.{c} bus2=p3.{c} {LINE} length=1
New Transformer.t3 phases=1 windings=2 buses=[p3.{c} s3.1] kvs=[7.2 .24] kvas=[300 300] xhl=2
New Load.d3 phases=1 bus1=s3.1 kv=.24 kw={LOADS[2]} kvar=40 vminpu=0.7
New Transformer.t4 phases=1 windings=2 buses=[n3.{d} s4.1] kvs=[7.2 .24] kvas=[300 300] xhl=2
New Load.d4 phases=1 bus1=s4.1 kv=.24 kw={LOADS[3]} kvar=40 vminpu=0.7
New Line.l5 phases=1 bus1=n3.{e} bus2=p5.{e} {LINE} length=1
New Load.d5 phases=1 bus1=p5.{e} kv=7.2 kw={LOADS[4]} kvar=20 model=2 vminpu=0.7
New Line.ring1 phases=1 bus1=n2.3 bus2=r.3 {LINE} length=1
New Line.ring2 phases=1 bus1=n3.3 bus2=r.3 {LINE} length=1 switch=yes
New Load.dr phases=1 bus1=r.3 kv=7.2 kw=80 vminpu=0.7
Set voltagebases=[12.47 .415]
CalcVoltageBases
Open Line.ring2 1
Solve
"""


ELEMENTS = ("line.l1", "line.l2", "line.l3", "transformer.t4", "line.l5")


def losses(folder: Path, most: int) -> dict[tuple[int, ...], float]:
    """Loss of every choice [kW], each in a circuit of its own."""
    found = {}
    for choice in product((1, 2, 3), repeat=len(PHASES)):
        if sum(a != b for a, b in zip(choice, PHASES, strict=True)) > most:
            continue
        path = folder / "choice.dss"
        path.write_text(feeder(choice), encoding="utf-8")
        with engine(path) as dss:
            dss.Solution.Convergence(1e-8)
            dss.Solution.Solve()
            found[choice] = float(dss.Circuit.Losses()[0]) / 1e3
    return found


@pytest.mark.parametrize("every", [True, False])
def test_the_best_connections_are_those_of_circuits_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: bool
) -> None:
    """By solving each choice, and by the quadratic form. A lateral with another way to the line does not move."""
    if not every:
        monkeypatch.setattr(study, "EVERY_CHOICE", 1)
    path = tmp_path / "feeder.dss"
    path.write_text(feeder(), encoding="utf-8")
    each = losses(tmp_path, 2)
    plan = learnopt.plan_phases(path, 2, limits="none")
    found = plan.result
    assert sorted(one.element for one in found.laterals) == sorted(ELEMENTS)
    assert {one.element: one.load_kw for one in found.laterals} == dict(zip(ELEMENTS, LOADS, strict=True))
    chosen = list(PHASES)
    for swap in found.swaps:
        chosen[ELEMENTS.index(swap.lateral.element)] = "abc".index(swap.to_phase) + 1
    assert found.before.loss_kw == pytest.approx(each[PHASES], rel=1e-6)
    assert found.after.loss_kw == pytest.approx(each[tuple(chosen)], rel=1e-6)
    assert found.after.loss_kw == pytest.approx(min(each.values()), rel=1e-6)
    assert found.certificate is (Certificate.AC if every else Certificate.NONE)
    assert ("Each of 51 choices was solved" in found.message) is every
    assert found.after.unbalance < found.before.unbalance
    assert np.ptp(found.after.head_kw) < np.ptp(found.before.head_kw)
    answer = plan.to_dict()
    assert answer["after"]["loss_kw"] == found.after.loss_kw
    assert len(answer["swaps"]) == len(found.swaps) == 2


def test_limits_that_are_kept_stay_kept(tmp_path: Path) -> None:
    """No choice may bring a bus below a limit that all buses keep now."""
    path = tmp_path / "feeder.dss"
    path.write_text(feeder((1, 2, 3, 1, 2)), encoding="utf-8")
    low = learnopt.plan_phases(path, 1, limits="none").result.before.evaluation.min_voltage_pu
    found = learnopt.plan_phases(path, 2, vmin=low - 1e-4).result
    assert found.after.evaluation.min_voltage_pu >= low - 1e-4
    assert not found.after.evaluation.violations


@pytest.mark.parametrize("seed", range(20))
def test_the_search_of_the_form_is_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, most = 9, int(rng.integers(1, 5))
    lateral = rng.integers(0, 5, n).tolist()
    linear, root = rng.normal(size=n), rng.normal(size=(n, n))
    pairs = root + root.T
    np.fill_diagonal(pairs, 0.0)
    values = {
        some: linear[list(some)].sum() + pairs[np.ix_(some, some)].sum() / 2
        for count in range(most + 1)
        for some in combinations(range(n), count)
        if len({lateral[i] for i in some}) == count
    }
    found, complete, _ = best_moves(linear, pairs, lateral, most, keep=4)
    assert complete
    assert [values[some] for some in found] == pytest.approx(sorted(values.values())[:4])


def test_what_has_no_laterals_is_refused_by_name() -> None:
    with pytest.raises(learnopt.UnsupportedError, match="no lateral of one phase"):
        learnopt.plan_phases("case33")
    with pytest.raises(learnopt.DataError, match="max_swaps = 0"):
        learnopt.plan_phases(Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss", 0)
