"""OpenDSS's own power flow of the user's circuit in any state: the judge's, where the feeder is balanced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnopt.io import load_with_source
from learnopt.io.export import opendss_script
from learnopt.io.opendss.engine import engine
from learnopt.io.opendss.tool import OpenDSSTool
from learnopt.network import Configuration, Network, ReconfigurationProblem, Scenario, Settings
from learnopt.physics import evaluate

pytest.importorskip("opendssdirect")
CASES = Path(__file__).parents[1] / "data/field_cases"


def compare(name: str, network: Network, state: Configuration, scenario: Scenario | None = None, rel: float = 1e-6):
    """The judge and OpenDSS agree about loss, load, feed-in and every voltage."""
    tool = load_with_source(CASES / f"{name}.dss").source
    assert isinstance(tool, OpenDSSTool)
    theirs = tool.state(network, state, scenario=scenario)
    loads = Scenario.nominal(network) if scenario is None else scenario
    ours = evaluate(ReconfigurationProblem.of(network, loads), state)
    assert theirs.converged, theirs.reason
    assert theirs.loss_kw == pytest.approx(ours.loss_kw, rel=rel)
    assert sum(theirs.heads_kw.values()) == pytest.approx(
        theirs.load_kw - theirs.generation_kw + theirs.loss_kw, rel=1e-7
    )
    for bus, vm in theirs.vm.items():
        assert vm == pytest.approx(ours.vm[network.bus_index[bus]], abs=1e-5)
    return theirs


@pytest.mark.parametrize("opened", ["line.b", "line.c", "line.d"])
@pytest.mark.parametrize("name", ["d_growth", "d_status_fixed", "d_open_load"])
def test_every_radial_state_is_opendss(name: str, opened: str):
    """Its SwtControls would put the switches back: they are held."""
    network = load_with_source(CASES / f"{name}.dss").network
    compare(name, network, network.configuration([opened]))


def test_a_transformer_open_at_one_end():
    network = load_with_source(CASES / "d_xfmr_standby.dss").network
    compare("d_xfmr_standby", network, network.configuration(["transformer.t2", "line.b"]), rel=1e-3)


def test_a_scenario_stands_beside_the_loads_of_the_file():
    network = load_with_source(CASES / "d_status_fixed.dss").network
    loads = Scenario.nominal(network)
    gen = np.zeros(network.n_bus)
    gen[network.bus_index["n2"]] = 0.4
    scenario = replace(loads, p_load=1.2 * loads.p_load, q_load=0.9 * loads.q_load, p_gen=gen)
    theirs = compare("d_status_fixed", network, network.normal_configuration, scenario)
    assert theirs.load_kw - theirs.generation_kw == pytest.approx(1.2 * 2740 - 400, abs=0.1)


def test_a_state_without_power_flow_says_why():
    network = load_with_source(CASES / "d_growth.dss").network
    loads = Scenario.nominal(network)
    too_much = replace(loads, p_load=1000 * loads.p_load)
    tool = load_with_source(CASES / "d_growth.dss").source
    assert tool is not None
    state = tool.state(network, network.normal_configuration, scenario=too_much)
    assert not state.converged or state.loss_kw > 1e4
    assert tool.name == "OpenDSS"


def test_taps_are_set_as_the_network_has_them(tmp_path: Path):
    master = tmp_path / "taps.dss"
    master.write_text(
        "Clear\nNew Circuit.c basekv=110 bus1=hv mvasc3=5000 mvasc1=5000\n"
        "New Transformer.t buses=[hv mv] conns=[wye wye] kvs=[110 11] kvas=[10000 10000] xhl=8 %r=0.3\n"
        "New RegControl.r transformer=t winding=2 vreg=122 band=1 ptratio=52.93\n"
        "New Line.a bus1=mv bus2=a r1=0.3 x1=0.3 r0=0.3 x0=0.3 c1=0 c0=0 length=3\n"
        "New Load.a bus1=a kv=11 kw=3000 kvar=900 vminpu=0.7\nSet voltagebases=[110 11]\nCalcvoltagebases\nSolve\n"
    )
    read = load_with_source(master)
    network = read.network
    assert network.controls.taps[0].positions is not None
    assert read.source is not None
    value = float(network.controls.taps[0].positions[4])
    theirs = read.source.state(network, network.normal_configuration, Settings(taps=(value,)))
    problem = ReconfigurationProblem.of(network, controls=network.controls)
    ours = evaluate(problem.applied(Settings(taps=(value,))), network.normal_configuration)
    # The impedance of the network stays that of the present tap, OpenDSS's moves with the square of the tap.
    assert theirs.vm["a"] == pytest.approx(ours.vm[network.bus_index["a"]], abs=3e-3)
    assert theirs.vm["a"] < 0.97 * max(read.source.state(network, network.normal_configuration).vm.values())
    script = opendss_script(network, [], Settings(taps=(value,)), master)
    with engine(master) as dss:
        for command in script.splitlines():
            dss.Text.Command(command)
        dss.Solution.Solve()
        dss.Circuit.SetActiveBus("a")
        assert dss.Bus.puVmagAngle()[0] == pytest.approx(theirs.vm["a"], abs=1e-5)


TERMINALS = """clear
new circuit.c bus1=s basekv=10 r1=0 x1=1e-6 r0=0 x0=1e-6
new line.a bus1=s bus2=m r1=1 x1=1 r0=1 x0=1 c1=0 c0=0 length=1 switch=no
new line.b bus1=m bus2=e r1=0.5 x1=0.5 r0=0.5 x0=0.5 c1={c} c0={c} length=1
new line.t bus1=s bus2={end} r1=0.4 x1=0.4 r0=0.4 x0=0.4 c1={c} c0={c} length=1
new load.m bus1=m kv=10 kw=300 kvar=100 model=1
new load.e bus1=e kv=10 kw=900 kvar=300 model=1
new swtcontrol.b SwitchedObj=line.b SwitchedTerm=2
{state}
set voltagebases=[10]
calcvoltagebases
solve
"""
STATES = {
    "open at its end": ("new swtcontrol.t SwitchedObj=line.t SwitchedTerm=1\nopen line.t 2", "e"),
    "open at both ends": ("new swtcontrol.t SwitchedObj=line.t\nopen line.t 1\nopen line.t 2", "e"),
    "control at its end": ("new swtcontrol.t SwitchedObj=line.t SwitchedTerm=2 action=open", "e"),
    "disabled": ("new swtcontrol.t SwitchedObj=line.t\nline.t.enabled=no", "e"),
    "a bus of its own": ("new line.z bus1=e_open bus2=e_open.0 r1=1e6 enabled=no\nline.t.switch=yes", "e_open"),
}


@pytest.mark.parametrize("capacitance", [0.0, 400.0])
@pytest.mark.parametrize("state", STATES)
def test_exported_switches_act_where_they_are(tmp_path: Path, state: str, capacitance: float) -> None:
    """The tie closes at whatever terminal it is open, the other opens at its second one, and OpenDSS agrees."""
    commands, end = STATES[state]
    master = tmp_path / "terminals.dss"
    master.write_text(TERMINALS.format(state=commands, end=end, c=0.0 if end == "e_open" else capacitance))
    read = load_with_source(master)
    network = read.network
    index = {str(name): e for e, name in enumerate(network.branch_ids)}
    tie, section = index["line.t"], index["line.b"]
    assert not network.normal_configuration.closed[tie]
    closed = network.normal_configuration.closed.copy()
    closed[[tie, section]] = True, False
    ours = evaluate(ReconfigurationProblem.of(network), Configuration(closed))
    assert ours.converged
    script = opendss_script(network, [(tie, True), (section, False)], source=master)
    opened = [line for line in script.splitlines() if line.lower().startswith("open")]
    assert [line.split("  !")[0] for line in opened] == ['Open "line.b" 2']
    with engine(master) as dss:
        for command in script.splitlines():
            dss.Text.Command(command)
        dss.Solution.Solve()
        assert dss.Circuit.Losses()[0] / 1e3 == pytest.approx(ours.loss_kw, rel=1e-5)
        dss.Circuit.SetActiveBus("e")
        assert dss.Bus.puVmagAngle()[0] == pytest.approx(ours.vm[network.bus_index["e"]], abs=1e-6)
