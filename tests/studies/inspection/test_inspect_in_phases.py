"""What an inspection says of the phases of an unbalanced file, against OpenDSS on the file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import learnopt
from learnopt.io.opendss.engine import engine

pytest.importorskip("opendssdirect")
OWN = Path(__file__).parents[2] / "data" / "threephase" / "ieee123" / "IEEE123Switches.dss"


def test_phases_are_those_of_opendss() -> None:
    """Power of each phase at the source, return current of the first line, buses without phases, lowest phase, loss."""
    facts = learnopt.inspect(OWN).to_dict()["phases"]
    with engine(OWN) as dss:
        loss = dss.Circuit.Losses()[0] / 1e3
        lowest = min(dss.Circuit.AllBusMagPu())
        dss.Circuit.SetActiveElement("Vsource.source")
        drawn = -np.array(dss.CktElement.Powers())[0:6:2]
        dss.Circuit.SetActiveElement("Line.l3")
        flat = np.array(dss.CktElement.Currents())[: 2 * dss.CktElement.NumPhases()]
        returned = abs(complex(flat[0::2].sum(), flat[1::2].sum()))
        at_l3 = np.array(dss.CktElement.Powers())[0 : 2 * dss.CktElement.NumPhases() : 2]
        nodes = [dss.CktElement.NodeOrder()[k] for k in range(dss.CktElement.NumPhases())]
        phases = dict[str, int]()
        for name in dss.Circuit.AllBusNames():
            dss.Circuit.SetActiveBus(name)
            count = str(len({n for n in dss.Bus.Nodes() if 1 <= n <= 3}))
            phases[count] = phases.get(count, 0) + 1
    assert facts["loss_kw"] == pytest.approx(loss, rel=1e-6)
    assert facts["min_voltage_pu"] == pytest.approx(lowest, rel=1e-5)
    source, *others = facts["heads"]
    assert source["kw"] == pytest.approx(drawn, rel=1e-6)
    assert source["imbalance"] == pytest.approx(np.abs(drawn - drawn.mean()).max() / drawn.mean(), rel=1e-6)
    first = next(head for head in others if head["name"] == "branch line.l3")
    assert first["return_a"] == pytest.approx(returned, rel=1e-5)
    assert [kw for kw in first["kw"] if kw is not None] == pytest.approx(np.abs(at_l3), rel=1e-5)
    assert [first["kw"][n - 1] is not None for n in nodes] == [True] * len(nodes)
    assert {k: n for k, n in facts["buses_by_phases"].items() if k != "3"} == {k: phases[k] for k in ("1", "2")}


def test_a_balanced_file_has_no_phases() -> None:
    """Nothing of it is said where phases are alike."""
    assert "phases" not in learnopt.inspect("case33").to_dict()
