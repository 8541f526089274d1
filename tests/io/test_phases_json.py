"""Phases in a case file: what they mean in OpenDSS, in pandapower and as a balanced network, and what is refused."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import learnopt
from learnopt.errors import DataError
from learnopt.io import load_with_source, loaded_network, network_from_dict, network_to_dict, write_csv_folder
from learnopt.network import Scenario
from learnopt.network.phase_equivalent import edited_since

LINE = {"r_ohm": 0.5, "x_ohm": 1.0, "r0_ohm": 1.1, "x0_ohm": 2.5}
CASE: dict[str, Any] = {
    "name": "small",
    "base_kv": 12.47,
    "substations": [1],
    "buses": [{"id": 1}, {"id": 2, "p_kw": 300, "q_kvar": 100}, {"id": 3}, {"id": 4}, {"id": 5}, {"id": 6, "kv": 0.48}],
    "branches": [
        {"id": 1, "from": 1, "to": 2, **LINE, "b_us": 3.0},
        {
            "id": 2,
            "from": 2,
            "to": 3,
            "r_matrix_ohm": [[0.5], [0.1, 0.6], [0.1, 0.12, 0.55]],
            "x_matrix_ohm": [[1.0], [0.4, 1.1], [0.3, 0.4, 1.2]],
        },
        {"id": 3, "from": 3, "to": 4, **LINE, "ampacity_a": 300},
        {"id": 4, "from": 4, "to": 1, **LINE, "normally_open": True},
        {"id": 5, "from": 3, "to": 5, "phases": "b", "r_ohm": 0.8, "x_ohm": 0.7, "ampacity_a": 90, "switchable": False},
        {"id": 6, "from": 4, "to": 6, "connection": "Dyn", "shift_deg": 30, "r_ohm": 2, "x_ohm": 10, "g_us": 5.0,
         "switchable": False},
    ],
    "loads": [
        {"bus": 5, "p_b_kw": 150, "q_b_kvar": 40, "name": "mill"},
        {"bus": 3, "connection": "delta", "p_a_kw": 200, "q_a_kvar": 30, "p_c_kw": 100, "impedance_percent": 30,
         "current_percent": 20},
        {"bus": 4, "p_a_kw": 250, "q_a_kvar": 90, "p_b_kw": 100, "p_c_kw": 50},
        {"bus": 6, "p_a_kw": 80, "p_b_kw": 20, "q_b_kvar": 20},
    ],
    "generation": [{"bus": 4, "p_kw": 60}],
}  # fmt: skip
BY_HAND = """
New Circuit.small basekv=12.47 bus1=s1 R1=0 X1=1e-7 R0=0 X0=1e-7
New Line.l1 bus1=s1 bus2=s2 R1=0.5 X1=1 R0=1.1 X0=2.5 C1={c} C0={c} units=none length=1
New Line.l2 bus1=s2 bus2=s3 rmatrix=[.5 | .1 .6 | .1 .12 .55] xmatrix=[1 | .4 1.1 | .3 .4 1.2] cmatrix=[0 | 0 0 | 0 0 0]
New Line.l3 bus1=s3 bus2=s4 R1=0.5 X1=1 R0=1.1 X0=2.5 C1=0 C0=0 units=none length=1
New Line.l5 phases=1 bus1=s3.2 bus2=s5.2 R1=0.8 X1=0.7 R0=0.8 X0=0.7 C1=0 C0=0 units=none length=1
New Transformer.t windings=2 buses=[s4 s6] conns=[delta wye] kvs=[12.47 0.48] kvas=[1555.009 1555.009] %Rs=[1 1]
~ XHL=10 %noloadloss=0.05
New Load.d2 bus1=s2 kv=12.47 kw=300 kvar=100{v}
New Load.d5 phases=1 bus1=s5.2 kv=7.199557856794634 kw=150 kvar=40{v}
New Load.d3a phases=1 conn=delta bus1=s3.1.2 kv=12.47 kw=200 kvar=30 model=8 zipv=[.3 .2 .5 .3 .2 .5 0]{v}
New Load.d3c phases=1 conn=delta bus1=s3.3.1 kv=12.47 kw=100 kvar=0 model=8 zipv=[.3 .2 .5 .3 .2 .5 0]{v}
New Load.d4a phases=1 bus1=s4.1 kv=7.199557856794634 kw=250 kvar=90{v}
New Load.d4b phases=1 bus1=s4.2 kv=7.199557856794634 kw=100 kvar=0{v}
New Load.d4c phases=1 bus1=s4.3 kv=7.199557856794634 kw=50 kvar=0{v}
New Generator.g4 bus1=s4 kv=12.47 kw=60 kvar=0 model=1{v}
New Load.d6a phases=1 bus1=s6.1 kv=.2771281292 kw=80 kvar=0{v}
New Load.d6b phases=1 bus1=s6.2 kv=.2771281292 kw=20 kvar=20{v}
Set VoltageBases=[12.47 0.48]
CalcVoltageBases
Solve
"""
"""The circuit of ``CASE`` in other words: sequence impedances, three-phase elements."""


def _read(case: dict[str, Any], tmp_path: Path):
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    return load_with_source(path)


def test_a_file_is_the_circuit_that_somebody_else_would_write(tmp_path: Path):
    """OpenDSS finds the loss of a circuit written by hand, with other elements for the same things, to 1e-6."""
    pytest.importorskip("opendssdirect")
    from learnopt.io.opendss.engine import engine

    loaded = _read(CASE, tmp_path)
    net, tool = loaded.network, loaded.source
    assert tool is not None
    state = tool.state(net, net.normal_configuration)
    path = tmp_path / "hand.dss"
    path.write_text(BY_HAND.format(c=3e3 / (2 * np.pi * 60), v=" vminpu=.3 vmaxpu=2"), encoding="utf-8")
    with engine(path) as dss:
        expected = dss.Circuit.Losses()[0] / 1e3
    assert state.loss_kw == pytest.approx(expected, rel=1e-6)
    assert set(state.vm) == {"2", "3", "4", "5", "6"}  # in the ids of the file
    assert state.heads_kw.keys() == {"1"}


def test_what_is_written_reads_back_as_the_same_network(tmp_path: Path):
    """Phases, matrices, connections and loads survive a round trip, and so does the loss."""
    net = _read(CASE, tmp_path).network
    case = network_to_dict(net)
    again = network_from_dict(case, "again")
    assert network_to_dict(again) == case
    assert case["branches"][4]["ampacity_a"] == 90
    for field in ("r", "x", "b", "g", "p_load", "q_load", "g_shunt", "b_shunt", "p_fed", "i_max", "switchable"):
        np.testing.assert_allclose(getattr(again, field), getattr(net, field), rtol=1e-10, atol=1e-15, err_msg=field)


def test_tables_have_the_same_words(tmp_path: Path):
    """A folder of CSV tables reads back as the same network in phases, with decimal commas too."""
    net = _read(CASE, tmp_path).network
    write_csv_folder(net, tmp_path / "tables")
    loaded = load_with_source(tmp_path / "tables")
    assert network_to_dict(loaded.network) == network_to_dict(net)
    assert loaded.source is not None
    branches = tmp_path / "tables" / "branches.csv"
    branches.write_text(branches.read_text("utf-8").replace(",", ";").replace(".", ","), encoding="utf-8")
    assert network_to_dict(load_with_source(tmp_path / "tables").network) == network_to_dict(net)


def test_a_row_of_loads_without_phases_adds_to_its_bus(tmp_path: Path):
    """Tables of balanced networks mean what they meant, and unreadable cells are named."""
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "buses.csv").write_text("id,kv,p_kw\n1,20,0\n2,20,30\n", encoding="utf-8")
    (folder / "branches.csv").write_text("id,from,to,r_ohm,x_ohm\n1,1,2,0.1,0.1\n", encoding="utf-8")
    (folder / "substations.csv").write_text("bus\n1\n", encoding="utf-8")
    (folder / "loads.csv").write_text("bus,p_kw,p_a_kw\n2,60,\n", encoding="utf-8")
    net = load_with_source(folder).network
    assert (net.phases, net.p_load[1] * net.base.kw) == (None, pytest.approx(90))
    (folder / "loads.csv").write_text("bus,p_kw,p_a_kw\n2,60,\n2,,12\n", encoding="utf-8")
    net = load_with_source(folder).network
    assert net.phases is not None
    assert [load.kw for load in net.phases.loads] == [(30, 30, 30), (12, 0, 0)]
    (folder / "branches.csv").write_text("id,from,to,r_matrix_ohm,x_matrix_ohm\n1,1,2,0.1 | x,0.1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"r_matrix_ohm = '0.1 \| x' is not rows of numbers"):
        load_with_source(folder)


def test_the_balanced_equivalent_has_the_loss_of_evenly_loaded_phases(tmp_path: Path):
    """A lateral of one phase counts three times; currents are half power, half impedance."""
    net = _read(CASE, tmp_path).network
    ohm = net.kv[0] ** 2 / net.base.s_base
    assert net.r[4] * ohm == pytest.approx(3 * 0.8)
    assert net.i_max[4] * net.i_base[4] == pytest.approx(30)
    kw = net.base.kw
    assert net.p_load * kw == pytest.approx([0, 300, 300 * (1 - 0.3 - 0.1), 400 - 60, 150, 100])
    assert net.g_shunt[2] * kw == pytest.approx(300 * 0.4)
    assert net.p_fed[3] * kw == pytest.approx(60)
    assert not edited_since(net)


def test_equal_phases_need_no_phases():
    """A file that says of all phases the same is a balanced network, whose tool nobody asks."""
    case = copy.deepcopy(CASE)
    case["loads"] = [{"bus": 3, "p_kw": 200, "connection": "delta"}, {"bus": 4, "p_a_kw": 9, "p_b_kw": 9, "p_c_kw": 9}]
    case["branches"] = [dict(b, **LINE) if b["id"] == 2 else b for b in case["branches"] if b["id"] != 5]
    del case["branches"][1]["r_matrix_ohm"], case["branches"][1]["x_matrix_ohm"]
    case["buses"] = [bus for bus in case["buses"] if bus["id"] != 5]
    loaded = loaded_network(network_from_dict(case, "equal"))
    assert (loaded.source, loaded.explained, loaded.notes) == (None, (), ())


def test_solved_and_checked_in_all_phases(tmp_path: Path):
    """The answer is that of every radial state in OpenDSS, and a network made in Python has the same one."""
    pytest.importorskip("opendssdirect")
    loaded = _read(CASE, tmp_path)
    net, tool = loaded.network, loaded.source
    assert tool is not None
    with tool.circuit(net) as circuit:
        losses = {}
        for opened in range(4):
            closed = np.ones(net.n_branch, dtype=bool)
            closed[opened] = False
            assert circuit.solve(closed)
            losses[net.branch_ids[opened]] = circuit.loss_kw
    best = min(losses, key=lambda branch: losses[branch])
    answer = learnopt.solve(tmp_path / "case.json")
    assert net.open_ids(answer.configuration) == [best]
    assert answer.loss_kw == pytest.approx(losses[best], rel=1e-7)
    assert answer.result.phases.tool == "OpenDSS"
    made = learnopt.solve(network_from_dict(CASE, "made"))
    assert made.loss_kw == pytest.approx(answer.loss_kw, rel=1e-9)
    state = learnopt.check(tmp_path / "case.json")
    assert state.loss_kw == pytest.approx(losses[4], rel=1e-7)
    reduced = learnopt.solve(tmp_path / "case.json", balanced=True)
    assert reduced.origin.equivalent
    assert any("OpenDSS computes the present state differently" in one for one in reduced.origin.warnings)


def test_a_tie_of_one_phase_stays_open_and_that_is_said(tmp_path: Path):
    """The balanced network would feed three phases through it."""
    case = copy.deepcopy(CASE)
    case["branches"].append(
        {"id": "tie", "from": 4, "to": 5, "phases": "b", "r_ohm": 1, "x_ohm": 1, "normally_open": True}
    )
    loaded = _read(case, tmp_path)
    assert not loaded.network.switchable[-1]
    assert any(note.startswith("open switches of one or two phases") and "tie" in note for note in loaded.notes)
    assert network_to_dict(loaded.network)["branches"][-1]["switchable"]


def _with(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    case: Any = copy.deepcopy(CASE)
    holder = case
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    return case


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("loads", 0, "p_d_kw"), 1, "loads[0].p_d_kw is not a known key"),
        (("loads", 0, "p_a_kw"), 1.0, "load at bus 5: p_a_kw = 1, but phase a of its bus are not there: it has 'b'"),
        (("loads", 0, "p_kw"), 1.0, "load at bus 5: p_kw is the sum of equal phases"),
        (("loads", 0, "bus"), 99, "loads and generation: bus 99 is not a bus"),
        (("loads", 0, "connection"), "delta", "load at bus 5: p_b_kw = 150, but phases b and c"),
        (("loads", 1, "impedance_percent"), 90.0, "add up to more than 100"),
        (("loads", 1, "p_a_kw"), float("nan"), "load at bus 3: p_a_kw = nan must be a finite number"),
        (("generation", 0, "impedance_percent"), 9.0, "generation at bus 4: is constant power"),
        (("branches", 4, "phases"), "bd", "branch 5: phases = 'bd' must be some of a, b, c"),
        (("branches", 1, "r_matrix_ohm"), [[0.5], [0.1, 0.6]], "branch 2: r_matrix_ohm has rows of [1, 2] numbers"),
        (("branches", 1, "r_matrix_ohm"), [[1, 0, 0], [1, 1, 0], [0, 0, 1]], "r_matrix_ohm must be symmetric"),
        (("branches", 1, "r_matrix_ohm"), [[1], [3, 1], [0, 0, 1]], "its resistance matrix has the eigenvalue -2"),
        (("branches", 1, "r_ohm"), 1.0, "branch 2: r_matrix_ohm says it all"),
        (("branches", 0, "r_ohm"), None, "branches[0].r_ohm (id 1) is missing"),
        (("branches", 5, "connection"), None, "branch 6: is a transformer"),
        (("branches", 5, "connection"), "Zz", "branch 6: connection = 'Zz' must be one of YNyn"),
        (("branches", 5, "shift_deg"), 60, "branch 6: shift_deg = 60 is no shift of Dyn: one of -150, -90, -30, 30"),
        (("branches", 5, "r0_ohm"), 1.0, "branch 6: r0_ohm and x0_ohm of a transformer must not be less"),
        (("buses", 4, "phases"), "a", "bus 5: phases = 'a', but a branch brings b"),
        (("buses", 4, "phases"), "abc", "bus 5: phase a, c has no path to a substation"),
        (("substation_data",), {"1": {"x0_ohm": -1.0}}, "substation_data '1': x0_ohm = -1.0 must be"),
    ],
)  # fmt: skip
def test_errors_name_object_value_and_what_to_do(path: tuple[Any, ...], value: Any, said: str):
    """Nothing is passed over: a misspelt key would be a phase without load."""
    with pytest.raises(DataError) as refused:
        network_from_dict(_with(path, value), "case")
    assert any(said in sentence for sentence in refused.value.violations), refused.value.violations


def test_an_edited_network_does_not_pass_for_its_phases(tmp_path: Path):
    """Loads that were changed in the balanced equivalent only are neither solved in phases nor written."""
    net = _read(CASE, tmp_path).network
    edited = replace(net, p_load=2 * net.p_load)
    assert edited_since(edited) == ("p_load",)
    with pytest.raises(DataError, match="p_load were changed without its phases"):
        network_to_dict(edited)
    assert network_to_dict(replace(edited, phases=None))["buses"][1]["p_kw"] == pytest.approx(600)


def test_ids_may_be_numbers_here_and_text_there():
    """The end of a branch is the bus of that name, as in balanced files."""
    text = network_from_dict(_with(("branches", 1, "from"), "2"), "text")
    assert network_to_dict(text) == network_to_dict(network_from_dict(CASE, "text"))


def test_loads_at_a_substation_follow_a_scenario():
    """They are drawn from the source although no branch carries them."""
    pytest.importorskip("opendssdirect")
    drawn = []
    for load in (0.0, 500.0):
        net = network_from_dict(_with(("buses", 0, "p_kw"), load), "busbar")
        tool = loaded_network(net).source
        assert tool is not None
        nominal = Scenario.nominal(net)
        twice = replace(nominal, p_load=2 * nominal.p_load)
        drawn.append([tool.state(net, net.normal_configuration, None, twice).heads_kw["1"]])
        with tool.circuit(net) as circuit:
            for scenario in (nominal, twice):
                circuit.set_loads(scenario)
                assert circuit.solve(net.normal_configuration.closed)
                drawn[-1].append(float(circuit.flow().head_kw.sum()))
    assert np.subtract(drawn[1], drawn[0]) == pytest.approx([1000, 500, 1000], rel=1e-4)


def test_no_bus_is_taken_for_the_core_of_a_transformer(tmp_path: Path):
    """A bus of the name that the circuit would give the core is another bus."""
    pytest.importorskip("opendssdirect")
    losses = []
    for name in ("t_core", "other"):
        case = _with(("branches", 5), {"id": "t", "from": 4, "to": 6, "connection": "YNyn", "r_ohm": 2, "x_ohm": 10,
                                       "r0_magnetising_ohm": 10.0, "x0_magnetising_ohm": 200.0})  # fmt: skip
        case["buses"][4]["id"] = case["branches"][4]["to"] = case["loads"][0]["bus"] = name
        loaded = _read(case, tmp_path)
        assert loaded.source is not None
        losses.append(loaded.source.state(loaded.network, loaded.network.normal_configuration).loss_kw)
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def _random_case(seed: int) -> dict[str, Any]:
    """Three-phase lines with any zero sequence, loads of any size on any phase, in a tree of six buses."""
    rng = np.random.default_rng(seed)
    branches = []
    for k in range(1, 6):
        r, x = rng.uniform(0.2, 0.8, 2)
        branches.append(
            {"id": k, "from": int(rng.integers(0, k)), "to": k, "r_ohm": r, "x_ohm": x, "r0_ohm": r * rng.uniform(1, 4),
             "x0_ohm": x * rng.uniform(1, 4), "b_us": float(rng.uniform(0, 80))}
        )  # fmt: skip
    loads = []
    for k in range(1, 6):
        load: dict[str, Any] = {"bus": k, "connection": str(rng.choice(["wye", "delta"]))}
        for p in "abc":
            load |= {f"p_{p}_kw": float(rng.uniform(0, 400)), f"q_{p}_kvar": float(rng.uniform(0, 200))}
        loads.append(load)
    buses = [{"id": k} for k in range(6)]
    source = {"0": {"v_pu": 1.02, "r2_ohm": 0.1, "x2_ohm": 0.4, "r0_ohm": 0.1, "x0_ohm": 0.4}}
    return {"name": "random", "base_kv": 20.0, "substations": [0], "substation_data": source, "buses": buses,
            "branches": branches, "loads": loads}  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_pandapower_computes_the_same_losses_and_voltages(seed: int):
    """An independent power flow of all phases, made of the case file and not of the circuit that we write."""
    pytest.importorskip("opendssdirect")
    pandapower = pytest.importorskip("pandapower")
    case = _random_case(seed)
    net = pandapower.create_empty_network(f_hz=50)
    for bus in case["buses"]:
        pandapower.create_bus(net, case["base_kv"], index=bus["id"])
    z = np.hypot(0.1, 0.4)  # of the source in the negative and in the zero sequence
    pandapower.create_ext_grid(
        net, 0, vm_pu=1.02, s_sc_max_mva=1.1 * 400 / z, rx_max=0.25, r0x0_max=0.25, x0x_max=1.0
    )  # fmt: skip
    for b in case["branches"]:
        nf = b["b_us"] * 1e3 / (2 * np.pi * 50)
        pandapower.create_line_from_parameters(
            net, b["from"], b["to"], 1.0, b["r_ohm"], b["x_ohm"], nf, 1.0, r0_ohm_per_km=b["r0_ohm"],
            x0_ohm_per_km=b["x0_ohm"], c0_nf_per_km=nf,
        )  # fmt: skip
    for load in case["loads"]:
        powers = {f"p_{p}_mw": load[f"p_{p}_kw"] / 1e3 for p in "abc"} | {
            f"q_{p}_mvar": load[f"q_{p}_kvar"] / 1e3 for p in "abc"
        }
        pandapower.create_asymmetric_load(net, load["bus"], type=load["connection"], **powers)
    pandapower.runpp_3ph(net, numba=False, tolerance_mva=1e-10, calculate_voltage_angles=True)
    lines = net.res_line_3ph
    expected = 1e3 * float(sum(lines[f"p_{p}_{end}_mw"].sum() for p in "abc" for end in ("from", "to")))
    loaded = loaded_network(network_from_dict(case, "random"))
    assert loaded.source is not None
    state = loaded.source.state(loaded.network, loaded.network.normal_configuration)
    assert state.loss_kw == pytest.approx(expected, rel=1e-6)
    lowest = net.res_bus_3ph[["vm_a_pu", "vm_b_pu", "vm_c_pu"]].min(axis=1)
    for bus, vm in state.vm.items():
        assert vm == pytest.approx(lowest[int(bus)], abs=1e-6)
