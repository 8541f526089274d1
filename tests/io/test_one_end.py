"""Equipment energised from one end: what lies behind an open switch stays in the network, as in pandapower."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandapower_nets as pn
import pytest

from learnopt.io.export import pandapower_in_state
from learnopt.io.pandapower.reader import case_from_pandapower_json
from learnopt.io.stations import Link, energised_from_one_end, equipment
from learnopt.network import Configuration, Network, ReconfigurationProblem
from learnopt.network.open_ends import as_operated
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate
from learnopt.studies.configuration.switching_order import switching_plan

FIELD_CASES = Path(__file__).parents[1] / "data" / "field_cases"


def radial_states(net: Network) -> list[Configuration]:
    """Every radial configuration, by trying all states of the switches."""
    deciding = np.flatnonzero(net.switchable)
    found = []
    for number in range(2 ** len(deciding)):
        closed = ~net.normally_open
        closed[deciding] = [number >> k & 1 for k in range(len(deciding))]
        if not radiality_faults(net, closed):
            found.append(Configuration(closed))
    return found


def agreed_losses(raw: dict[str, Any], states: list[Configuration], net: Network) -> list[float]:
    """Losses of states [kW]; as operated each is pandapower's of the exported net, and of the net set by its tool."""
    tool = case_from_pandapower_json(raw, "net.json").loaded.source
    assert tool is not None
    problem, losses = ReconfigurationProblem.of(net), []
    for state in states:
        written = pandapower_in_state(raw, net, state)
        expected, _ = pn.reference(written)
        losses.append(evaluate(problem, state).loss_kw)
        assert evaluate(*as_operated(problem, state)).loss_kw == pytest.approx(expected, rel=1e-6), net.open_ids(state)
        assert tool.state(net, state).loss_kw == pytest.approx(expected, rel=1e-6)
    return losses


@pytest.mark.parametrize(
    ("name", "now", "least", "opened"),
    [
        ("pp_standby_trafo_hvopen", 45.153, 25.138, ["line 3", "trafo 0"]),
        ("pp_one_end_switches", 86.237, 57.958, ["line 3"]),
        ("pp_oosbus", 30.681, 25.190, ["line 3"]),
    ],
)
def test_field_cases(name: str, now: float, least: float, opened: list[str]) -> None:
    """Loss of the present and of the best state are pandapower's; decisions keep the ids of the file."""
    raw = json.loads((FIELD_CASES / f"{name}.json").read_text(encoding="utf-8"))
    net = case_from_pandapower_json(raw, name).network
    assert agreed_losses(raw, [net.normal_configuration], net) == [pytest.approx(now, abs=1e-3)]
    problem = ReconfigurationProblem.of(net)
    best = min(radial_states(net), key=lambda state: evaluate(problem, state).loss_kw)
    assert agreed_losses(raw, [best], net) == [pytest.approx(least, abs=1e-3)]
    assert net.open_ids(best) == opened


def test_a_transformer_is_switched_off_on_either_side() -> None:
    """What has iron losses is opened at both ends, a cable at one; as operated the loss is that of the answer."""
    raw = json.loads((FIELD_CASES / "pp_standby_trafo_hvopen.json").read_text(encoding="utf-8"))
    net = case_from_pandapower_json(raw, "net.json").network
    problem, start = ReconfigurationProblem.of(net), net.normal_configuration
    best = min(radial_states(net), key=lambda state: evaluate(problem, state).loss_kw)
    order = [(o.action.value, o.device) for o in switching_plan(problem, start, best)]
    assert order[-2:] == [("open", "switch 15"), ("open", "switch 14")]
    assert [k for k in order if k[0] == "open"][:1] == [("open", "switch 6")]
    assert evaluate(*as_operated(problem, best)).loss_kw == pytest.approx(25.1, abs=0.05)


@pytest.mark.parametrize("seed", range(8))
def test_export_of_random_nets(seed: int) -> None:
    """Switches at one end or at both: pandapower's loss of the export is the judged one of what is operated."""
    rng = np.random.default_rng(seed)
    raw = pn.random_net(rng)
    net = case_from_pandapower_json(raw, "net.json").network
    states = radial_states(net)
    some = [states[k] for k in rng.permutation(len(states))[:3]]
    agreed_losses(raw, some, net)


def test_one_branch_becomes_two() -> None:
    """The fixed part keeps impedance, ratio and taps, the switch the id; what draws nothing stays one branch."""
    trafo = Link("trafo 1", "trafo", "T", 0, 1, 0.1j, 0.01 + 0j, 1.05, 100.0, True, True, True, 0, (0.95, 1.0))
    plain = Link("line 2", "line", "", 0, 1, 0.1j, switchable=True, switch_end=1)
    together = Link("line 3", "line", "", 0, 1, 0.1j, 0.2j, switchable=True)
    kv = {0: 110.0, 1: 20.0}
    links, (end,) = energised_from_one_end([trafo, plain, together], kv)
    assert links[2:] == [plain, together]
    fixed, switch = links[:2]
    assert (fixed.id, fixed.from_bus, fixed.to_bus) == ("trafo 1 behind its switch", "trafo 1 at 0", 1)
    assert (fixed.z, fixed.y, fixed.ratio, fixed.taps) == (trafo.z, trafo.y, trafo.ratio, trafo.taps)
    assert not fixed.switchable
    assert not fixed.is_open
    assert (switch.id, switch.from_bus, switch.to_bus, switch.z) == ("trafo 1", "trafo 1 at 0", 0, 0)
    assert switch.coupler
    assert switch.ampacity == 100.0
    assert switch.is_open
    assert switch.manual
    assert kv == {0: 110.0, 1: 20.0, "trafo 1 at 0": 110.0}
    places = {0: (0.0, 0.0), 1: (10.0, 20.0)}
    end.place(places)
    assert places[end.bus] == pytest.approx((0.5, 1.0))
    assert equipment(fixed.id) == ["trafo 1"]
    assert equipment("trafo 0 + trafo 1") == ["trafo 0", "trafo 1"]
