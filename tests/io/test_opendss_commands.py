"""Master files are programs: what builds a circuit is run, everything else is refused by name or passed over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from learnopt.errors import DataError
from learnopt.io import load, load_with_source
from learnopt.io.opendss import commands, rehearsal
from learnopt.io.opendss.commands import read_program
from learnopt.io.opendss.statements import full_name, lines_of, parameters
from learnopt.network import Network

pytest.importorskip("opendssdirect")

FEEDER = (
    "Clear\nNew Circuit.c basekv=11 bus1=s mvasc3=500 mvasc1=500\n"
    "New Line.a bus1=s bus2=a r1=0.3 x1=0.3 r0=0.3 x0=0.3 c1=0 c0=0 length=3\n"
    "New Load.a bus1=a kv=11 kw=1000 kvar=300\nSet voltagebases=[11]\nCalcvoltagebases\nSolve\n"
)
REFUSED = {
    "export": ("Export voltages x.txt", "Export is not run"),
    "abbreviated": ("exp v x.txt", "Export is not run"),
    "quoted": ('"Export" voltages x.txt', "Export is not run"),
    "upper case, indented": ("  \tSHOW voltages", "Show is not run"),
    "save": ("Save circuit dir=out", "Save is not run"),
    "dump": ("Dump debug", "Dump is not run"),
    "plot": ("Plot circuit", "Plot is not run"),
    "visualize": ("Visualize powers Line.a", "Visualize is not run"),
    "folder": ("CD /tmp", "Cd is not run"),
    "shell": ("DOScmd rm x", "Doscmd is not run"),
    "editor": ("FileEdit x", "Fileedit is not run"),
    "variables": ("var @x=1", "Var is not run"),
    "data path": ("Set datapath=out", "Set datapath is not run"),
    "data path, abbreviated, in Solve": ("Solve datap=out", "Set datapath is not run"),
    "trace": ("Set tracecontrol=yes", "Set tracecontrol is not run"),
    "meters to files": ("Set demandinterval=yes", "Set demandinterval is not run"),
    "other circuit": ("MakePosSeq", "Makeposseq is not run"),
    "no verb": ("Frobnicate Line.a", "'Frobnicate' is not a command"),
    "no object": ("colour=red", "neither a command"),
    "no option": ("Set colour=red", "'colour' is not an option"),
    "no property": ("New Line.z colour=red", "'colour' is not a property of class line"),
    "no class": ("New Colour.z", "no class 'colour'"),
    "full path": ("Redirect /etc/passwd", "is a full path"),
    "drive": ("Redirect C:\\x.dss", "is a full path"),
    "parent": ("Redirect ../other.dss", "lies outside of the folder"),
    "parent, deep": ("Compile sub/../../other.dss", "lies outside of the folder"),
    "link": ("Redirect link.dss", "lies outside of the folder"),
    "absent": ("Redirect absent.dss", "no such file"),
    "circle": ("Redirect feeder.dss", "deep: do they form a circle"),
    "coordinates": ("Buscoords ../other.dss", "lies outside of the folder"),
    "shape": ("New Loadshape.x npts=2 csvfile=../other.dss", "lies outside of the folder"),
    "shape by position": ("New Loadshape.x 2 1 (1 1) () 1 1 ../other.dss", "lies outside of the folder"),
    "shape inside": ("New Loadshape.x npts=2 mult=(file=/etc/passwd)", "is a full path"),
    "shape inside, other array": ("New XYcurve.x npts=2 yarray=[dblfile=../other.dss]", "lies outside of the folder"),
    "shape written": ("New Loadshape.x npts=2 mult=(1 2) action=dblsave", "action=dblsave of class loadshape"),
    "library": ("New Generator.g bus1=a kv=11 kw=1 usermodel=x.so", "usermodel loads a library"),
    "library, abbreviated": ("New Generator.g bus1=a kv=11 kw=1 userm=x.so", "usermodel loads a library"),
    "memory": ("New Line.z phases=100000 bus1=s bus2=a", "phases=100000 is above"),
    "values": ("New Loadshape.x npts=1e9", "npts=1e9 is above"),
    "number": ("Load.a.kw=1e308", "kw=1e308 is above"),
    "pattern": ("BatchEdit Load..*.*.*.*.* kw=1", "a pattern may have"),
    "loads as admittances": ("Set loadmodel=admittance", "not modelled"),
    "control character": ("! \x07", "is not text"),
}


def write(folder: Path, text: str) -> Path:
    """A master file alone in its folder, beside a file that is no business of it."""
    inside = folder / "inside"
    inside.mkdir(exist_ok=True)
    (inside / "sub").mkdir(exist_ok=True)
    (folder / "other.dss").write_text("New Load.other bus1=a kv=11 kw=1 kvar=0\n")
    if not (inside / "link.dss").is_symlink():
        (inside / "link.dss").symlink_to(folder / "other.dss")
    path = inside / "feeder.dss"
    path.write_text(FEEDER + text)
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name_file_and_line(case: str, tmp_path: Path):
    line, said = REFUSED[case]
    path = write(tmp_path, f"{line}\n")
    before = sorted(os.listdir(path.parent))
    with pytest.raises(DataError) as caught:
        load(path)
    assert said in str(caught.value)
    assert "feeder.dss, line 8" in str(caught.value)
    assert sorted(os.listdir(path.parent)) == before


def kw(network: Network) -> float:
    return float(network.p_load.sum() * network.base.kw)


def test_every_refusal_is_told_at_once(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        load(write(tmp_path, "Show voltages\nNew Load.b bus1=a kv=11 kw=1\nPlot circuit\n" + 30 * "Dump\n"))
    assert "line 8: Show" in str(caught.value)
    assert "line 10: Plot" in str(caught.value)
    assert "and 12 more" in str(caught.value)


PASSED_OVER = (
    "/* Export a\nShow b\n*/\n! Export\n// Export\nuuids absent.dat\n? Load.a.kw\nAddBusMarker bus=a code=5\n"
    "Set mode=yearly number=87600000\nSolve mode=duty number=1000000\nSet tracecontrol=no markercode=4\n"
    "New Transformer.t buses=[a b] conns=[wye wye] kvs=[11 0.4] kvas=[100 100] xhl=4\n"
    "New RegControl.r transformer=t winding=2 vreg=120 ptratio=2 debugtrace=yes\n"
    "New Load.b bus1=b kv=0.4 kw=10 kvar=0 ! Export\n"
)


def test_what_changes_nothing_is_passed_over(tmp_path: Path):
    path = write(tmp_path, PASSED_OVER)
    before = sorted(os.listdir(path.parent))
    assert kw(load(path)) == pytest.approx(1010)
    assert sorted(os.listdir(path.parent)) == before


def test_files_beside_and_below_the_master(tmp_path: Path):
    """In any case, with backslashes, relative to the file that names them; a compiled one moves the folder."""
    path = write(tmp_path, "Redirect SUB\\Loads.DSS\nNew Load.d bus1=a kv=11 kw=1 kvar=0\nCompile sub/more.dss\n"
                 "Redirect last.dss\n")  # fmt: skip
    sub = path.parent / "sub"
    (sub / "loads.dss").write_text("New Load.b bus1=a kv=11 kw=10 kvar=0\nRedirect deeper.dss\n")
    (sub / "deeper.dss").write_text("New Loadshape.s npts=2 interval=1 mult=(file=shape.csv)\nLoad.b.yearly=s\n")
    (sub / "shape.csv").write_text("0.5\n2\n")
    (sub / "more.dss").write_text("More kvar=0\n")
    (sub / "last.dss").write_bytes("New Load.é bus1=a kv=11 kw=100 kvar=0\n".encode("latin-1"))
    assert kw(load(path)) == pytest.approx(1111)
    assert kw(load_with_source(path, 2).network) == pytest.approx(1121, rel=1e-5)


def test_a_folder_above_only_where_it_is_given(tmp_path: Path):
    path = write(tmp_path, "Redirect ../other.dss\n")
    assert len(read_program(path, tmp_path).commands) == 8
    (tmp_path / "above.dss").write_text("Redirect inside/feeder.dss\n")
    assert kw(load(tmp_path / "above.dss")) == pytest.approx(1001)


def test_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(tmp_path, "")
    monkeypatch.setattr(commands, "FILE_BYTES", 100)
    with pytest.raises(DataError, match="a file may have"):
        load(path)
    path.write_bytes("New Circuit.x".encode("utf-16"))
    monkeypatch.undo()
    with pytest.raises(DataError, match="is not text"):
        load(path)


def test_a_second_load_in_one_process_is_the_same(tmp_path: Path):
    """Nothing that a file sets for OpenDSS as a whole is left for the next one."""
    path = write(tmp_path, "")
    first = load_with_source(path)
    other = tmp_path / "other50.dss"
    other.write_text(
        "Clear\nSet DefaultBaseFrequency=50\n" + FEEDER.removeprefix("Clear\n") + "Set loadmult=2\nSolve\n"
    )
    assert kw(load(other)) == pytest.approx(2000)
    second = load_with_source(path)
    assert (second.network.x == first.network.x).all()
    assert second.notes == first.notes
    assert kw(second.network) == kw(first.network)


def test_statements_as_opendss_takes_them_apart():
    found = parameters("New 'Line.a b' bus1 = x.1, kvs=(1 2 ! 3) length=3!comment")
    assert [part.text for part in found] == ["New", "'Line.a b'", "bus1=x.1", "kvs=(1 2 ! 3)", "length=3"]
    assert list(lines_of("/* a\nb\nc */ d\ne")) == [(4, "e")]
    assert full_name("EXP", ("edit", "export", "exportoverloads")) == "export"
    assert full_name("x", ("edit",)) is None


def test_a_file_that_crashes_opendss_is_an_error(tmp_path: Path):
    """A load without a bus, once the list of buses is made, ends the process that OpenDSS runs in."""
    with pytest.raises(DataError, match=r"OpenDSS crashes on it, at|power flow"):
        load(write(tmp_path, "New Load.q\nSolve\n"))


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of processor time")
@pytest.mark.parametrize(("work", "said"), [("while True: pass", "takes longer than 1 s"), ("time.sleep(2.5)", None)])
def test_rehearsals_count_the_time_of_the_processor(monkeypatch: pytest.MonkeyPatch, work: str, said: str | None):
    """A file that works for longer than it may is refused; one that only waits, on a busy machine, is not."""
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.9)
    monkeypatch.setattr(rehearsal, "_PATIENCE", 60.0)
    monkeypatch.setattr(rehearsal, "_CHILD", f"import time\n{work}")
    found = rehearsal.rehearse((f"! {work}",))
    assert (None if found is None else found[1]) == said


def test_a_file_without_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rehearsal, "_SECONDS", 0.0)
    monkeypatch.setattr(rehearsal, "_CHARACTERS_PER_SECOND", 1e12)
    with pytest.raises(DataError, match="takes longer than"):
        load(write(tmp_path, "! never rehearsed before\nNew Load.slow bus1=a kv=11 kw=1 kvar=0\n"))


def test_a_program_is_read_again_where_any_of_its_files_changed(tmp_path: Path) -> None:
    """By what they hold: the second file may be as long as the first, written at once after it."""
    master, part = tmp_path / "m.dss", tmp_path / "part.dss"
    master.write_text(FEEDER + "Redirect part.dss\n", encoding="utf-8")
    part.write_text("New Load.b bus1=a kv=11 kw=100\n", encoding="utf-8")
    first = read_program(master)
    assert read_program(master) is first
    part.write_text("New Load.b bus1=a kv=11 kw=200\n", encoding="utf-8")
    assert "kw=200" in read_program(master).commands[-1][0].lower()
    part.write_text("Export voltages x.txt\n", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(DataError, match="Export is not run"):
            read_program(master)
    part.unlink()
    with pytest.raises(DataError):
        read_program(master)
