"""CGMES through pandapower's converter: a hand-written ring, and what is said about broken ones."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from cgmes_files import BREAKERS, LOADS, write_cgmes, zipped

import learnopt
from learnopt.errors import DataError, UnsupportedError
from learnopt.io.sources import load_with_notes, load_with_source
from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate

pp = pytest.importorskip("pandapower")
pytest.importorskip("lxml")


def test_ring_is_read_with_its_names_states_and_loss(tmp_path: Path) -> None:
    """Folder and zip give one network; devices keep their names; the loss is that of pandapower's own power flow."""
    folder = write_cgmes(tmp_path / "ring")
    net, notes = load_with_notes(folder)
    again = learnopt.load(zipped(folder))
    assert again.branch_ids == net.branch_ids
    assert np.array_equal(again.r, net.r)
    assert "CGMES 2.4.15" in notes[0]
    named = dict(zip(net.branch_names, range(net.n_branch), strict=True))
    for name, (_, _, is_open) in BREAKERS.items():
        e = named[f"breaker {name}"]
        assert net.switchable[e]
        assert net.normally_open[e] == is_open
        assert net.r[e] == net.x[e] == 0
        assert net.i_max[e] * net.i_base[e] == pytest.approx(400)
    line = named["cable L1"]
    assert not net.switchable[line]
    assert net.r[line] * net.branch_kv[line] ** 2 == pytest.approx(1.0)
    assert net.i_max[line] * net.i_base[line] == pytest.approx(200)
    assert net.p_load.sum() * net.base.kw == pytest.approx(1e3 * sum(p for _, p, _ in LOADS.values()))
    assert net.substation_vm.tolist() == [1.02]
    state = evaluate(ReconfigurationProblem.of(net), net.normal_configuration)

    grid = pp.create_empty_network()
    bus = [pp.create_bus(grid, 10) for _ in range(3)]
    pp.create_ext_grid(grid, bus[0], vm_pu=1.02)
    for a, b in ((0, 1), (1, 2)):
        pp.create_line_from_parameters(grid, bus[a], bus[b], 2, 0.5, 0.4, 0, 0.2)
    for k, (_, p, q) in enumerate(LOADS.values(), 1):
        pp.create_load(grid, bus[k], p, q)
    pp.runpp(grid, tolerance_mva=1e-9)
    assert state.loss_kw == pytest.approx(1e3 * float(grid.res_line.pl_mw.sum()), rel=1e-4)


def test_ring_is_solved_and_ordered_by_device(tmp_path: Path) -> None:
    """The optimum of the ring, in the words of the file."""
    result = learnopt.solve(write_cgmes(tmp_path / "ring"))
    assert result.status == "optimal"
    assert [(o.action.value, o.name) for o in result.operations] == [("close", "breaker Q2"), ("open", "breaker Q1")]


@pytest.mark.parametrize(
    ("profiles", "without", "sentence"),
    [
        (("EQ",), "", "profile SSH"),
        (("SSH",), "", "profile EQ"),
        (("EQ", "SSH"), "ExternalNetworkInjection", "no external grid"),
        (("EQ", "SSH"), '"_L1T1"', "converter"),
        (("EQ", "SSH"), '"_Q1T2"', "converter"),
        (("EQ", "SSH"), "BaseVoltage ", "vn_kv|converter"),
        (("EQ", "SSH"), "<cim:ConnectivityNode ", "converter|bus"),
        (("EQ", "SSH"), 'about="#_L1T1"', "cable L1.: its state is not known"),
    ],
)
def test_incomplete_profiles(tmp_path: Path, profiles: tuple, without: str, sentence: str) -> None:
    """What is missing is named, nothing is dropped in silence."""
    with pytest.raises(DataError, match=sentence):
        learnopt.load(write_cgmes(tmp_path / "ring", profiles, without))


def test_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that is none, XML that is none, a folder of neither, no converter."""
    archive = tmp_path / "grid.zip"
    archive.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="cannot be unpacked"):
        learnopt.load(archive)
    page = tmp_path / "page.xml"
    page.write_text("<html>", encoding="utf-8")
    with pytest.raises(DataError, match="profile EQ"):
        learnopt.load(page)
    folder = write_cgmes(tmp_path / "ring")
    cut = folder / "ring_EQ.xml"
    cut.write_text(cut.read_text(encoding="utf-8")[:-400], encoding="utf-8")
    with pytest.raises(DataError, match="XMLSyntaxError"):
        learnopt.load(folder)
    whole = write_cgmes(tmp_path / "whole")
    monkeypatch.setitem(sys.modules, "pandapower.converter.cim.cim2pp.from_cim", None)
    with pytest.raises(UnsupportedError, match="pip install"):
        learnopt.load(whole)


@pytest.mark.parametrize(("volts", "said"), [(None, "differ"), (9.0, "the stored state is not that of this network")])
def test_state_variables_are_compared(tmp_path: Path, volts: float | None, said: str) -> None:
    """The voltages that the file stores beside pandapower's power flow, by node; a stale state is said."""
    folder = write_cgmes(tmp_path / "ring")
    loaded = load_with_source(folder)
    assert loaded.source is not None
    state = loaded.source.state(loaded.network, loaded.network.normal_configuration)
    places = dict(zip(loaded.network.bus_names, loaded.network.bus_ids, strict=True))
    nodes = {"_A": "node A", "_B": "node B", "_C": "node C"}
    kilovolts = {node: volts or 10 * state.vm[str(places[name])] for node, name in nodes.items()}
    rows = "".join(
        f'<cim:SvVoltage rdf:ID="_v{node}"><cim:SvVoltage.v>{kilovolt}</cim:SvVoltage.v>'
        f'<cim:SvVoltage.TopologicalNode rdf:resource="#{node}"/></cim:SvVoltage>'
        for node, kilovolt in kilovolts.items()
    )
    (folder / "ring_SV.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:cim="http://iec.ch/TC57/2013/CIM-schema-cim16#" '
        'xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#"><md:FullModel rdf:about="urn:uuid:SV">'
        "<md:Model.profile>http://entsoe.eu/CIM/StateVariables/4/1</md:Model.profile></md:FullModel>"
        + rows
        + "</rdf:RDF>",
        encoding="utf-8",
    )
    (note,) = (note for note in load_with_source(folder).notes if "SV" in note)
    assert "of 3 buses" in note
    assert said in note
    assert ("is not that of this network" in note) == (volts is not None)
