"""OpenDSS master files: base loss and voltages are OpenDSS's own where the feeder is balanced."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import load, load_with_notes, read_profiles
from learnopt.network import Network, ReconfigurationProblem, Settings
from learnopt.physics import evaluate

dss = pytest.importorskip("opendssdirect")

SOURCE = "Clear\nNew Circuit.feeder basekv=110 pu=1.02 bus1=hv R1=0.5 X1=4 R0=0.5 X0=4\n"
TRANSFORMER = "New Transformer.sub buses=[hv mv] conns=[delta wye] kvs=[110 11] kvas=[10000 10000] xhl=8 %r=0.3 {}\n"
LINES = (
    "New Linecode.over r1=0.3 x1=0.35 r0=0.6 x0=1 c1=12 c0=6 units=km\n"
    "New Line.one bus1=mv bus2=a linecode=over length=3 units=km normamps=250\n"
    "New Line.two bus1=a bus2=b linecode=over length=2 units=km\n"
)
LOADS = "New Load.a bus1=a kv=11 kw=1500 kvar=500\nNew Load.b bus1=b kv=11 kw=900 kvar=300 {}\n"
BASES = "Set VoltageBases=[110 11]\nCalcVoltageBases\nSet Tolerance=1e-9\n"
FEEDER = SOURCE + TRANSFORMER.format("") + LINES + LOADS.format("") + BASES


def write(folder: Path, text: str, name: str = "feeder.dss") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def reference(path: Path) -> tuple[float, dict[str, float]]:
    """Loss [kW] of OpenDSS without that of its source, and the voltages of its buses [pu]."""
    engine = dss.NewContext()
    engine.Basic.AllowChangeDir(False)
    engine.Text.Command(f'Redirect "{path}"')
    engine.Solution.Solve()
    voltages = {}
    for name in engine.Circuit.AllBusNames():
        engine.Circuit.SetActiveBus(name)
        voltages[name] = float(np.mean(engine.Bus.puVmagAngle()[0::2]))
    return engine.Circuit.Losses()[0] / 1e3, voltages


def solved(network: Network) -> tuple[float, dict[str, float]]:
    """The same of the judge."""
    found = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    inside = np.array([str(branch).startswith("vsource.") for branch in network.branch_ids])
    r_ohm = network.r * network.branch_kv**2 / network.base.s_base
    loss = found.loss_kw - 3e-3 * float((r_ohm * found.current_a**2)[inside].sum())
    return loss, dict(zip(map(str, network.bus_ids), found.vm.tolist(), strict=True))


BALANCED = {
    "feeder": "",
    "tap": "Edit Transformer.sub taps=[1 1.05]\n",
    "capacitor": "New Capacitor.c bus1=b kv=11 kvar=600\n",
    "delta capacitor in steps": "New Capacitor.c bus1=b kv=11 kvar=600 conn=delta numsteps=2 states=[1 0]\n",
    "PV and generator": "New PVSystem.pv bus1=b kv=11 kva=800 pmpp=700 irradiance=0.9\n"
    "New Generator.g bus1=a kv=11 kw=200 kvar=50 model=1\n",
    "load multiplier": "Set LoadMult=1.3\n",
    "constant impedance": "Load.b.model=2\n",
    "geometry": "New WireData.w Rac=0.3 GMRac=0.004 radius=0.006 Runits=km GMRunits=m radunits=m\n"
    "New LineGeometry.g nconds=3 nphases=3 cond=1 wire=w x=-1.2 h=10 units=m cond=2 wire=w x=0 h=10 units=m "
    "cond=3 wire=w x=1.2 h=10 units=m\n"
    "New Line.three bus1=b bus2=c geometry=g length=1 units=km\n",
    "bank": "New Transformer.r1 phases=1 buses=[b.1 c.1] kvs=[6.351 6.351] kvas=[900 900] xhl=1 %r=0.1 taps=[1 1.025]\n"
    "New Transformer.r2 phases=1 buses=[b.2 c.2] kvs=[6.351 6.351] kvas=[900 900] xhl=1 %r=0.1 taps=[1 1.025]\n"
    "New Transformer.r3 phases=1 buses=[b.3 c.3] kvs=[6.351 6.351] kvas=[900 900] xhl=1 %r=0.1 taps=[1 1.025]\n"
    "New Load.c bus1=c kv=11 kw=700 kvar=200\n",
}


@pytest.mark.parametrize("addition", BALANCED)
def test_a_balanced_feeder_is_opendss(addition: str, tmp_path: Path):
    path = write(tmp_path, FEEDER + BALANCED[addition] + BASES)
    network, notes = load_with_notes(path)
    loss, voltages = reference(path)
    ours, ours_at = solved(network)
    assert ours == pytest.approx(loss, rel=1e-4)
    for bus, vm in voltages.items():
        assert ours_at[bus] == pytest.approx(vm, abs=2e-5)
    assert any("OpenDSS's own solution" in note for note in notes)
    assert not any(note.startswith("imbalance") for note in notes)


BALANCED_MORE = {
    "three windings": "New Transformer.t phases=3 windings=3 buses=[b c d] conns=[wye wye wye] kvs=[11 11 0.4] "
    "kvas=[2000 2000 2000] xhl=6 xht=9 xlt=5 %Rs=[0.5 0.4 0.6] taps=[1 1.02 1]\n"
    "New Load.c bus1=c kv=11 kw=600 kvar=200 vminpu=0.7\nNew Load.d bus1=d kv=0.4 kw=300 kvar=90 vminpu=0.7\n"
    "Set VoltageBases=[110 11 0.4]\nCalcVoltageBases\nSet Tolerance=1e-9\n",
    "bank of three windings": "".join(
        f"New Transformer.t{k} phases=1 windings=3 buses=[b.{k} c.{k} d.{k}] kvs=[6.351 6.351 0.231] "
        "kvas=[700 700 700] xhl=6 xht=9 xlt=5 %Rs=[0.5 0.4 0.6]\n"
        for k in (1, 2, 3)
    )
    + "New Load.c bus1=c kv=11 kw=600 kvar=200 vminpu=0.7\nNew Load.d bus1=d kv=0.4 kw=300 kvar=90 vminpu=0.7\n"
    "Set VoltageBases=[110 11 0.4]\nCalcVoltageBases\nSet Tolerance=1e-9\n",
}


@pytest.mark.parametrize("addition", BALANCED_MORE)
def test_three_windings_are_a_star(addition: str, tmp_path: Path):
    path = write(tmp_path, FEEDER + BALANCED_MORE[addition])
    network, notes = load_with_notes(path)
    loss, voltages = reference(path)
    ours, ours_at = solved(network)
    assert ours == pytest.approx(loss, rel=2e-4)
    assert all(ours_at[bus] == pytest.approx(vm, abs=1e-4) for bus, vm in voltages.items())
    assert any("stars of three branches" in note for note in notes)


def test_a_small_negative_leg_is_counted_at_its_neighbour(tmp_path: Path):
    """Winding 2 has -0.5 %: the way from 1 to 2 stays exact."""
    addition = BALANCED_MORE["three windings"].replace("xht=9", "xht=12").replace(" kw=300 kvar=90", " kw=0 kvar=0")
    path = write(tmp_path, FEEDER + addition)
    network, notes = load_with_notes(path)
    assert any("is counted at winding 1" in note for note in notes)
    assert solved(network)[0] == pytest.approx(reference(path)[0], rel=2e-4)
    with pytest.raises(UnsupportedError, match="large negative reactance"):
        load(write(tmp_path, FEEDER + addition.replace("xht=12", "xht=300")))


SPLIT = """Clear
Set DefaultBaseFrequency=60
New circuit.service basekv=12.47 pu=1.0 mvasc3=1e6 mvasc1=1e6
New Line.lateral phases=1 bus1=sourcebus.1 bus2=p.1 r1=0.5 x1=0.4 r0=0.5 x0=0.4 c1=0 c0=0 length=1
New Transformer.pole phases=1 windings=3 xhl=2.0 xht=2.0 xlt=1.4 %Rs=(0.6 1.2 1.2) ppm_antifloat=0
~ wdg=1 bus=p.1.0 conn=wye kV=7.2 kVA=50
~ wdg=2 bus=s.1.0 conn=wye kV=0.12 kVA=50
~ wdg=3 bus=s.0.2 conn=wye kV=0.12 kVA=50
New Linecode.triplex nphases=2 units=kft rmatrix=[0.0237 0.0091|0.0091 0.0237] xmatrix=[0.0155 0.0085|0.0085 0.0155]
~ cmatrix=[0 0|0 0]
New Line.drop bus1=s.1.2 bus2=h.1.2 linecode=triplex length=0.3 units=kft
New load.home kV=0.24 phases=1 bus1=h.1.2 kVA=30 pf=0.95 model=1 vminpu=0.7
Set voltagebases=[12.47 0.208]
Calcvoltagebases
Set Tolerance=1e-9
"""


def test_legs_of_a_service_are_in_opposition(tmp_path: Path):
    """A balanced split-phase service loses in its transformer and its triplex what OpenDSS says."""
    path = write(tmp_path, SPLIT)
    network = load(path)
    engine = dss.NewContext()
    engine.Basic.AllowChangeDir(False)
    engine.Text.Command(f'Redirect "{path}"')
    engine.Solution.Solve()
    found = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    for name in ("line.drop", "transformer.pole", "line.lateral"):
        engine.Circuit.SetActiveElement(name)
        theirs = engine.CktElement.Losses()[0] / 1e3
        e = network.branch_index[name]
        r_ohm = network.r[e] * network.branch_kv[e] ** 2
        behind = network.kv[network.to_bus[e]] / network.kv[network.from_bus[e]] * network.ratio[e]
        assert 3e-3 * r_ohm * (found.current_a[e] * behind**0) ** 2 == pytest.approx(theirs, rel=0.01), name


OPEN_DELTA = (
    SOURCE + "New Line.one bus1=hv bus2=n2 r1=0.1 x1=0.2 r0=0.1 x0=0.2 c1=0 c0=0 length=0.01\n"
    "New Transformer.t1 xhl=6 phases=1 ppm=0 wdg=1 bus=n2.1.2 conn=delta kv=110 kva=2000 %r=0.5 "
    "wdg=2 bus=n3.1.2 conn=delta kv=4.16 kva=2000 %r=0.5\n"
    "New Transformer.t2 xhl=6 phases=1 ppm=0 wdg=1 bus=n2.2.3 conn=delta kv=110 kva=2000 %r=0.5 "
    "wdg=2 bus=n3.2.3 conn=delta kv=4.16 kva=2000 %r=0.5\n"
    "New Load.l phases=3 bus1=n3 conn=delta kv=4.16 kw=1200 kvar=300 model=1 vminpu=0.7\n"
    "New Capacitor.stabilizer bus1=n3 kv=4.16 kvar=1 conn=wye\n"
    "Set VoltageBases=[110 4.16]\nCalcVoltageBases\nSet Tolerance=1e-9\n"
)


def test_an_open_delta_loses_what_opendss_says(tmp_path: Path):
    """Each unit carries 1 / sqrt(3) of the power: two thirds of the impedance of one, not half."""
    path = write(tmp_path, OPEN_DELTA)
    network, notes = load_with_notes(path)
    assert any("open delta" in note for note in notes)
    assert network.kv[network.bus_index["n3"]] == pytest.approx(4.16)
    assert solved(network)[0] == pytest.approx(reference(path)[0], rel=0.02)


def test_iron_losses_stand_at_both_ends(tmp_path: Path):
    """OpenDSS has them at the last winding: they differ as the squares of the voltages do, by a few percent."""
    path = write(tmp_path, FEEDER + "Edit Transformer.sub %noloadloss=0.2 %imag=0.5\n" + BASES)
    loss = reference(path)[0]
    assert solved(load(path))[0] == pytest.approx(loss, abs=0.03 * 20)
    without = solved(load(write(tmp_path, FEEDER)))[0]
    assert loss - without > 15


@pytest.mark.parametrize("winding", [1, 2])
def test_regulators_become_taps(winding: int, tmp_path: Path):
    """Positions of the regulated winding; a position set as a control is OpenDSS with its tap there."""
    control = f"New RegControl.r transformer=sub winding=2 TapWinding={winding} vreg=122 band=1 ptratio=52.93\n"
    edit = f"Edit Transformer.sub wdg={winding} tap={{}} numtaps=8 mintap=0.9 maxtap=1.1\nSet ControlMode=off\n"
    network, notes = load_with_notes(write(tmp_path, FEEDER + control + edit.format(1.0) + BASES))
    (tap,) = network.controls.taps
    positions = np.linspace(0.9, 1.1, 9)
    np.testing.assert_allclose(tap.positions, positions if winding == 2 else 1 / positions[::-1])
    assert network.branch_ids[tap.branch] == "transformer.sub"
    assert any("controls (taps)" in note for note in notes)
    moved = write(tmp_path, FEEDER + control + edit.format(1.025) + BASES, "moved.dss")
    problem = ReconfigurationProblem.of(network, controls=network.controls)
    value = 1.025 if winding == 2 else 1 / 1.025
    found = evaluate(problem.applied(Settings((value,))), network.normal_configuration)
    at = dict(zip(network.bus_ids, found.vm.tolist(), strict=True))
    expected = reference(moved)[1]
    for bus in ("mv", "a", "b"):
        # Per unit behind a regulated second winding the impedance grows with the square of its tap; it is kept here.
        assert at[bus] == pytest.approx(expected[bus], abs=2e-5 if winding == 1 else 1e-3)


SWITCHES = (
    "New Line.close bus1=b bus2=c switch=yes r1=1e-3 x1=1e-3 length=1\nNew Line.tie bus1=c bus2=a switch=yes\n"
    "New Line.controlled bus1=c bus2=d linecode=over length=1 units=km\n"
    "New SwtControl.s switchedobj=Line.controlled switchedterm=1 normal=closed state=closed\n"
    "New Line.off bus1=d bus2=a switch=yes enabled=no\nNew Line.gone bus1=d bus2=a linecode=over enabled=no\n"
    "New Line.spare bus1=b bus2=d_OPEN switch=yes\nNew Line.one_phase phases=1 bus1=b.1 bus2=d_OPEN.1 switch=yes\n"
    "New Load.d bus1=d kv=11 kw=100 kvar=10\nOpen Line.tie 2\n"
)


def test_switches_by_terminal_control_and_name(tmp_path: Path):
    path = write(tmp_path, FEEDER + SWITCHES + BASES)
    network, notes = load_with_notes(path)
    states = {
        branch: bool(network.normally_open[e]) for e, branch in enumerate(network.branch_ids) if network.switchable[e]
    }
    assert states == {
        "line.close": False,
        "line.controlled": False,
        "line.tie": True,
        "line.off": True,
        "line.spare": True,
    }
    spare = network.branch_ids.index("line.spare")
    assert network.bus_ids[network.to_bus[spare]] == "d"
    assert "d_open" not in network.bus_ids
    assert any("1 line is disabled" in note for note in notes)
    # A balanced network would feed all of d through one phase.
    assert "line.one_phase" not in network.branch_ids
    assert any("line.one_phase" in note for note in notes)
    assert solved(network)[0] == pytest.approx(reference(path)[0], rel=1e-4)


def test_one_phase_loses_what_it_loses_alone(tmp_path: Path):
    """A lateral of one phase behind a stiff source: loss and voltage are those of its circuit, not those of a third."""
    stiff = "Clear\nNew Circuit.stiff basekv=11 bus1=mv R1=1e-4 X1=1e-4 R0=1e-4 X0=1e-4\n"
    text = stiff + (
        "New Line.lateral phases=1 bus1=mv.2 bus2=a.2 rmatrix=[0.8] xmatrix=[0.9] cmatrix=[10] length=2 normamps=90\n"
        "New Load.a phases=1 bus1=a.2 kv=6.351 kw=300 kvar=100\nSet VoltageBases=[11]\nCalcVoltageBases\n"
    )
    path = write(tmp_path, text)
    network = load(path)
    loss, voltages = reference(path)
    ours, ours_at = solved(network)
    assert ours == pytest.approx(loss, rel=2e-4)
    assert ours_at["a"] == pytest.approx(voltages["a"], abs=1e-5)
    lateral = network.branch_ids.index("line.lateral")
    assert network.i_max[lateral] * network.i_base[lateral] == pytest.approx(30)


def test_regulators_keep_the_tap_opendss_sets(tmp_path: Path):
    control = "New RegControl.r transformer=sub winding=2 vreg=122 band=1 ptratio=52.93\n"
    path = write(tmp_path, FEEDER + control)
    network, notes = load_with_notes(path)
    ratio = network.ratio[network.branch_ids.index("transformer.sub")]
    assert ratio == pytest.approx(1 / 1.00625)
    loss, voltages = reference(path)
    ours, ours_at = solved(network)
    assert (ours, ours_at["b"]) == (pytest.approx(loss, rel=1e-4), pytest.approx(voltages["b"], abs=2e-5))
    assert any("regulator" in note for note in notes)


def test_coordinates_and_load_shapes(tmp_path: Path):
    """A file of coordinates beside the master is found; shapes repeat, those without one keep their power."""
    write(tmp_path, "mv,0,0\nhv,0,1\na,1,0\nb,2,0\n", "BusCoords.csv")
    shape = (
        "New Loadshape.day npts=4 interval=6 mult=(0.5 1 2 1)\nNew Loadshape.half npts=2 interval=1 mult=(1 0)\n"
        "Load.b.daily=day\nNew Load.c bus1=b kv=11 kw=100 kvar=0 yearly=half\n"
    )
    path = write(tmp_path, FEEDER + shape)
    network = load(path)
    assert network.coordinates is not None
    assert network.coordinates[network.bus_index["b"]].tolist() == [2, 0]
    profiles = read_profiles(path, network)
    kw = profiles.p * network.base.kw
    assert len(profiles) == 24
    assert kw[:, network.bus_index["a"]] == pytest.approx(np.full(24, 1500.0))
    at_b = kw[:, network.bus_index["b"]]
    assert at_b[[0, 1, 6, 13]] == pytest.approx([450 + 100, 450, 900 + 100, 1800])
    assert profiles.q[0, network.bus_index["b"]] * network.base.kw == pytest.approx(150)
    with pytest.raises(DataError, match="no load, generator or PV system"):
        read_profiles(write(tmp_path, FEEDER, "other.dss"), network)


BROKEN = {
    "no circuit": ("! nothing\n", "no circuit"),
    "a command before": ("New Line.a bus1=x bus2=y\n", "OpenDSS: "),
    "no such code": (FEEDER + "New Line.z bus1=b bus2=c linecode=nope\n", "nope"),
    "no such property": (FEEDER + "New Line.z bus1=b bus2=c colour=red\n", "colour"),
    "no such file": (FEEDER + "Redirect absent.dss\n", "absent.dss"),
    "bytes": ("\x01\x02\x03 lines of nothing", "not text"),
    "no bus": (SOURCE.replace("Clear", "Clear\nSet foo=1"), "foo"),
}


def test_a_load_at_a_bus_without_voltage_is_left_out(tmp_path: Path):
    """Nothing leads to its bus, so OpenDSS gives it no base."""
    path = write(tmp_path, FEEDER + "New Load.lost bus1=nowhere kv=11 kw=10 kvar=1\n")
    network, notes = load_with_notes(path)
    assert "nowhere" not in network.bus_ids
    assert any("load.lost" in note for note in notes)


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_speak_with_the_text_of_opendss(case: str, tmp_path: Path):
    text, message = BROKEN[case]
    here, before = os.getcwd(), dss.Basic.NumCircuits()
    with pytest.raises(DataError, match=message):
        load(write(tmp_path, text))
    assert os.getcwd() == here
    # Nothing of it is left for the next file, and the other way round.
    assert load(write(tmp_path, FEEDER, "whole.dss")).name == "feeder"
    assert dss.Basic.NumCircuits() == before


def test_what_is_not_modelled_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    three = "New Transformer.t windings=4 buses=[mv x y z] kvs=[11 0.4 0.4 0.4] kvas=[100 50 50 50]\n"
    for addition, name in ((three, "transformer.t"), ("New Capacitor.s bus1=b bus2=c kvar=600 kv=11\n", "capacitor.s")):
        with pytest.raises(UnsupportedError, match=name):
            load(write(tmp_path, FEEDER + addition))
    monkeypatch.setitem(sys.modules, "opendssdirect", None)
    with pytest.raises(UnsupportedError, match=r"learnopt\[opendss\]"):
        load(write(tmp_path, FEEDER))
