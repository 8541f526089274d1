"""Inspection: every way in which data usually go wrong is found, by object, and a sound network raises no alarm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import make_network

from learnopt.io import load, load_with_notes
from learnopt.network import Network
from learnopt.studies.inspection.inspection import Severity, inspect_network

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
RATED = {"ampacity_a": 300.0}
LIMITS = {"voltage_limits": {"vmin_pu": 0.9, "vmax_pu": 1.1}}


def ring(**case: Any) -> Network:
    """Six buses in a ring of 10 kV, open at one place."""
    branches = case.pop("branches", {})
    rows = [(k, (k + 1) % 6, 0.5, 0.4, RATED | {"normally_open": k == 3} | branches.get(k + 1, {})) for k in range(6)]
    loads = dict.fromkeys(range(1, 6), (300.0, 100.0)) | case.pop("loads", {})
    return make_network(rows, loads, **LIMITS | case)


def every(**keys: Any) -> dict[int, dict[str, Any]]:
    return dict.fromkeys(range(1, 7), keys)


FINDINGS = {
    "line without impedance": (
        ring(branches={2: {"r_ohm": 0.0, "x_ohm": 0.0, "switchable": False}}),
        (WARNING, "branch 2", "r and x are 0"),
    ),
    "reactance missing": (ring(branches={2: {"x_ohm": 0.0}}), (WARNING, "branch 2", "x is 0")),
    "resistance missing": (ring(branches={2: {"r_ohm": 0.0}}), (WARNING, "branch 2", "r is 0")),
    "one odd r/x": (ring(branches={2: {"r_ohm": 40.0, "x_ohm": 0.4}}), (WARNING, "branch 2", "r/x = 100")),
    "odd r/x everywhere": (
        ring(branches=every(r_ohm=0.5, x_ohm=400.0), loads=dict.fromkeys(range(1, 6), (1.0, 0.3))),
        (ERROR, "6 of 6 lines", "r/x is 0.00125"),
    ),
    "metres for kilometres": (
        ring(branches={4: {"r_ohm": 5000.0, "x_ohm": 4000.0}}),
        (WARNING, "branch 4", "over 1000 times the median"),
    ),
    "kiloampere": (ring(branches={5: {"ampacity_a": 0.3}}), (WARNING, "branch 5", "ampacity 0.3 A")),
    "ampacity missing": (ring(branches={5: {"ampacity_a": None}}), (NOTE, "branch 5", "no ampacity")),
    "no switch": (ring(branches=every(switchable=False)), (ERROR, "network", "no branch is switchable")),
    "no tie": (
        make_network([(0, 1, 0.5, 0.4, RATED), (1, 2, 0.5, 0.4, RATED)], {2: (100, 30)}, **LIMITS),
        (WARNING, "network", "no switch lies in a loop"),
    ),
    "closed loop": (
        ring(branches={4: {"normally_open": False}}),
        (WARNING, "present state", "1 closed branches too many"),
    ),
    "bus not fed": (ring(branches={5: {"normally_open": True}}), (WARNING, "present state", "1 bus has no path")),
    "loop that cannot open": (
        ring(branches=every(switchable=False, normally_open=False)),
        (NOTE, "network", "1 fixed loop of branches that stay closed"),
    ),
    "parallel": (
        make_network(
            [(0, 1, 0.5, 0.4, RATED), (1, 0, 0.5, 0.4, RATED | {"normally_open": True})], {1: (300, 100)}, **LIMITS
        ),
        (NOTE, "branches 1, 2", "lie in parallel"),
    ),
    "no load": (ring(loads=dict.fromkeys(range(1, 6), (0.0, 0.0))), (WARNING, "network", "the total load is 0")),
    "p and q exchanged": (
        ring(loads=dict.fromkeys(range(1, 6), (100.0, 300.0))),
        (WARNING, "bus 1", "power factor 0.32"),
    ),
    "watts": (
        make_network(
            [(0, k, 0.5, 0.4, RATED) for k in range(1, 8)], {k: (300.0 if k > 1 else 3e4, 10.0) for k in range(1, 8)}
        ),
        (WARNING, "bus 1", "has 94% of the whole load"),
    ),
    "charging in siemens": (ring(branches={1: {"b_us": 3e6}}), (WARNING, "line charging", "kvar for 1500 kW of load")),
    "megawatts": (
        ring(loads=dict.fromkeys(range(1, 6), (3e5, 1e5))),
        (ERROR, "present state", "no AC power flow"),
    ),
    "ohm per unit": (ring(branches=every(r_ohm=11.0, x_ohm=2.0)), (ERROR, "present state", "% of the load is lost")),
    "kilovolt": (ring(base_kv=1000.0), (WARNING, "present state", "kW are lost")),
    "low voltage": (
        ring(branches=every(r_ohm=6.0, x_ohm=3.0)),
        (WARNING, "bus 3", " pu in the present state (limit 0.9 pu)"),
    ),
    "overload": (
        ring(branches={1: {"ampacity_a": 50.0}}),
        (WARNING, "branch 1", "loaded to 111% in the present state"),
    ),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_findings(name: str):
    """Each defect is found, at its object and with its value; every finding says what to do."""
    network, (severity, where, said) = FINDINGS[name]
    found = inspect_network(network).findings
    assert any(f.severity is severity and f.object == where and said in f.value for f in found), found
    assert all(f.advice for f in found)
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=list(Severity).index)


def test_sound_networks_raise_no_alarm():
    """The ring as it is, and published feeders, have no error; the ring has nothing at all."""
    assert inspect_network(ring()).findings == ()
    for case in ("case16", "case33", "case69", "case119", "case533"):
        assert inspect_network(load(case)).of(ERROR) == []


def test_generation_stated_apart_is_no_low_power_factor():
    """A load netted with the generation at its bus looks like p and q exchanged; the load alone does not."""
    net = ring()
    fed = 0.95 * net.p_load
    netted = replace(net, p_load=net.p_load - fed)
    told = replace(netted, p_fed=fed)
    assert any("exchanged" in one.advice for one in inspect_network(netted, []).findings)
    assert not any("exchanged" in one.advice for one in inspect_network(told, []).findings)


def test_many_objects_are_one_finding():
    """Hundreds of rows of one kind would hide all others: they are counted, with the worst first."""
    network = make_network(
        [(k, k + 1, 0.2, 0.2, {"ampacity_a": 20.0 + k}) for k in range(12)], {12: (900, 100)}, base_kv=20.0, **LIMITS
    )
    (overload,) = (f for f in inspect_network(network).findings if "loaded" in f.value)
    assert overload.object == "7 branches (1, 2, 3, 4, 5 ...)"
    assert overload.value.startswith("1: loaded to 131%")


def test_facts_and_notes():
    """Counts, levels, loops and totals; what an importer noted is a finding."""
    network, notes = load_with_notes("pandapower:mv_oberrhein")
    found = inspect_network(network, (*notes, "something was assumed"))
    facts = found.facts
    # The net's own; 46 lines have a loose end behind the only switch that they have besides.
    assert (facts["buses"], facts["branches"], facts["transformers"], facts["loops"]) == (179, 183, 2, 6)
    assert (facts["auxiliary_buses"], facts["couplers"]) == (46, 0)
    assert facts["kv_levels"] == {"110": 2, "20": 177}
    assert (facts["loops_closed"], facts["radial"], facts["open"], facts["switchable"]) == (0, True, 6, 181)
    assert facts["load_kw"] == pytest.approx(1e3 * 0.6 * 61.2, rel=0.1)
    assert facts["loss_kw"] == pytest.approx(1017.7, abs=0.1)
    assert facts["charging_kvar"] == pytest.approx(
        float(network.b[~network.normally_open].clip(0).sum()) * network.base.kw
    )
    assert "something was assumed" in [f.value for f in found.of(NOTE)]
    assert np.isfinite(facts["max_loading"])
