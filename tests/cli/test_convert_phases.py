"""Master files converted with their phases: the same losses in every state, or a sentence that says what is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from invocation import invoke

import learnopt
from learnopt.io import load_with_source, read_source
from learnopt.io.opendss.exported import ExportedTool
from learnopt.io.opendss.phase_record import UnwrittenPhasesError, case_in_phases
from learnopt.io.opendss.tool import OpenDSSTool

pytest.importorskip("opendssdirect")
IEEE123 = Path(__file__).parents[1] / "data" / "threephase" / "ieee123"
SMALL = """
New Circuit.c basekv=12.47 bus1=s
New Line.a bus1=s bus2=m R1=0.4 X1=0.8 R0=1 X0=2 C1=3 C0=2 units=none length=1
New Line.b phases=2 bus1=m.1.3 bus2=l.1.3 rmatrix=[.5 | .1 .5] xmatrix=[1 | .4 1] cmatrix=[0 | 0 0]
New Capacitor.k bus1=m kvar=300 kv=12.47 conn=delta
New Load.x bus1=m kv=12.47 kw=300 kvar=100 model=8 zipv=[.3 .2 .5 .1 .1 .8 0] vminpu=.5 vmaxpu=1.5
New Load.y phases=1 bus1=l.1.3 kv=12.47 kw=200 kvar=30 model=4
{more}
Set VoltageBases=[12.47]
CalcVoltageBases
Solve
"""


def test_ieee_123_is_the_same_circuit_in_every_state(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Regulators by phase, delta loads, capacitors, laterals, ties: the losses of the file to 1e-6, from its tables."""
    out = tmp_path / "tables"
    said = invoke(capsys, "convert", IEEE123 / "ieee123_ties.dss", out)
    assert (said.code, "PHASES ARE LOST" in said.err) == (0, False)
    net = load_with_source(out).network
    source = read_source(IEEE123 / "ieee123_ties.dss")
    assert source.source is not None
    for opened in ([], ["line.sw5", "line.sw7", "line.t17", "line.t18", "line.t20", "line.t21", "line.t22"]):
        configuration = net.configuration(opened) if opened else net.normal_configuration
        ours = ExportedTool(net).state(net, configuration)
        theirs = source.source.state(source.network, configuration)
        assert ours.loss_kw == pytest.approx(theirs.loss_kw, rel=1e-6)


def test_what_has_no_word_is_named_and_the_loss_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """A load whose model is none of a case file would lose another power: nothing is written in silence."""
    path = tmp_path / "m.dss"
    path.write_text(SMALL.format(more=""), encoding="utf-8")
    loaded = read_source(path)
    assert isinstance(loaded.source, OpenDSSTool)
    with pytest.raises(UnwrittenPhasesError, match=r"load\.y has a model"):
        case_in_phases(loaded.network, loaded.source)
    said = invoke(capsys, "convert", path, tmp_path / "m.json")
    assert said.code == 0
    assert "PHASES ARE LOST (load.y has a model" in " ".join(said.err.split())
    assert learnopt.load(tmp_path / "m.json").phases is None
    path.write_text(SMALL.format(more="Load.y.model=1"), encoding="utf-8")
    loaded = read_source(path)
    assert isinstance(loaded.source, OpenDSSTool)
    made = case_in_phases(loaded.network, loaded.source)
    assert made.phases is not None
    assert sorted({one.phases for one in made.phases.branches}) == ["abc", "ac"]
