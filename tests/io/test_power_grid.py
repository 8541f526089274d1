"""JSON datasets of power-grid-model: its own power flows against what was read, and what is refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from power_grid_model import PowerGridModel
from power_grid_model.utils import json_deserialize

import learnopt
from learnopt.errors import DataError, LearnoptError, UnsupportedError
from learnopt.io import load, load_with_source, network_from_dict, network_to_dict
from learnopt.network import ReconfigurationProblem
from learnopt.physics import evaluate


def _dataset(seed: int = 0, dyn: bool = True, tap: int = 2) -> dict[str, Any]:
    """A ring of lines at 10.5 kV with links, a transformer to 0.4 kV, loads of every type and connection."""
    rng = np.random.default_rng(seed)
    nodes = [[k, 10_500.0] for k in range(6)] + [[6, 400.0], [7, 400.0]]
    lines = [
        {"id": 10 + k, "from_node": a, "to_node": b, "from_status": 1, "to_status": 1, "i_n": 300.0,
         "r1": rng.uniform(0.2, 0.6), "x1": rng.uniform(0.1, 0.4), "c1": 3e-7, "tan1": 0.0,
         "r0": rng.uniform(0.8, 1.5), "x0": rng.uniform(0.5, 1.5), "c0": 2e-7, "tan0": 0.0}
        for k, (a, b) in enumerate([(0, 1), (1, 2), (2, 3), (3, 4)])
    ] + [{"id": 14, "from_node": 6, "to_node": 7, "from_status": 1, "to_status": 1, "r1": 0.02, "x1": 0.01, "c1": 0.0,
          "tan1": 0.0, "r0": 0.06, "x0": 0.03, "c0": 0.0, "tan0": 0.0}]  # fmt: skip
    lines[3]["from_status"] = 0
    half = rng.uniform(0.02, 0.1, (4, 4))
    z = {"r": half + half.T + 0.3 * np.eye(4), "x": half + half.T + 0.5 * np.eye(4)}
    names = [(i, j, f"{'abcn'[i]}{'abcn'[j]}") for i in range(4) for j in range(i + 1)]
    asym = {"id": 20, "from_node": 0, "to_node": 5, "from_status": 1, "to_status": 1, "c0": 2e-7, "c1": 3e-7}
    asym |= {f"{letter}_{pair}": float(z[letter][i, j]) for letter in "rx" for i, j, pair in names}
    windings = (
        {"winding_from": 2, "winding_to": 1, "clock": 5} if dyn else {"winding_from": 1, "winding_to": 1, "clock": 0}
    )
    return {
        "version": "1.0",
        "type": "input",
        "is_batch": False,
        "attributes": {"node": ["id", "u_rated"], "source": ["id", "node", "status", "u_ref", "sk", "z01_ratio"]},
        "data": {
            "node": nodes,
            "line": lines,
            "asym_line": [asym],
            "link": [{"id": 25, "from_node": 5, "to_node": 4, "from_status": 1, "to_status": 1}],
            "transformer": [
                {
                    "id": 30,
                    "from_node": 3,
                    "to_node": 6,
                    "from_status": 1,
                    "to_status": 1,
                    "u1": 10_000.0,
                    "u2": 400.0,
                    "sn": 4e5,
                    "uk": 0.05,
                    "pk": 4e3,
                    "i0": 0.0,
                    "p0": 0.0,
                    **windings,
                    "tap_side": 0,
                    "tap_pos": tap,
                    "tap_min": -2,
                    "tap_max": 4,
                    "tap_nom": 1,
                    "tap_size": 250.0,
                    "r_grounding_to": 0.01,
                    "x_grounding_to": 0.005,
                }
            ],
            "source": [[40, 0, 1, 1.03, 5e8, 1.8]],
            "asym_load": [
                {
                    "id": 50,
                    "node": 2,
                    "status": 1,
                    "type": 0,
                    "p_specified": [3e5, 1e5, 2e5],
                    "q_specified": [0, 0, 5e4],
                },
                {"id": 51, "node": 7, "status": 1, "type": 1, "p_specified": [4e4, 0, 1e4], "q_specified": [1e4, 0, 0]},
                {"id": 52, "node": 5, "status": 1, "type": 2, "p_specified": [5e4, 2e5, 0], "q_specified": [0, 0, 4e4]},
                {"id": 53, "node": 5, "status": 0, "type": 2, "p_specified": [9e9, 0, 0], "q_specified": [0, 0, 0]},
            ],
            "sym_load": [{"id": 54, "node": 4, "status": 1, "type": 0, "p_specified": 3e5, "q_specified": 1e5}],
            "sym_gen": [{"id": 55, "node": 3, "status": 1, "type": 0, "p_specified": 1e5, "q_specified": 2e4}],
            "asym_gen": [
                {"id": 56, "node": 1, "status": 1, "type": 0, "p_specified": [0, 6e4, 0], "q_specified": [0, 0, 0]}
            ],
            "shunt": [{"id": 60, "node": 3, "status": 1, "g1": 1e-5, "b1": 1e-3, "g0": 0.0, "b0": 2e-4}],
        },
    }


def _written(dataset: dict[str, Any], folder: Path) -> Path:
    path = folder / "grid.json"
    path.write_text(json.dumps(dataset), encoding="utf-8")
    return path


def _theirs(dataset: dict[str, Any], symmetric: bool) -> tuple[float, dict[str, float]]:
    """Loss of branches and sources [kW] and lowest voltage of each node by power-grid-model."""
    data = json_deserialize(json.dumps(dataset))
    out = PowerGridModel(data).calculate_power_flow(symmetric=symmetric, error_tolerance=1e-8)
    drawn = sum(
        (1 if kind in ("sym_load", "asym_load", "shunt") else -1) * float(np.sum(out[kind]["p"]))
        for kind in ("sym_load", "asym_load", "shunt", "sym_gen", "asym_gen")
        if kind in out
    )
    fed = float(np.sum(out["source"]["p"]))
    # What lies inside a source: emf less voltage times its current.
    node = {int(one["id"]): one for one in out["node"]}
    inner = 0.0
    for given, one in zip(data["source"], out["source"], strict=True):
        at = node[int(given["node"])]
        turn = np.exp(-2j * np.pi / 3 * np.arange(1 if symmetric else 3))
        u = np.atleast_1d(at["u"] * np.exp(1j * at["u_angle"]))
        emf = given["u_ref"] * 10_500.0 / (1 if symmetric else np.sqrt(3)) * turn
        current = np.conj(np.atleast_1d(one["p"] + 1j * one["q"]) / u)
        inner += float(((emf - u) * np.conj(current)).real.sum())
    return (fed - drawn + inner) / 1e3, {str(k): float(np.min(one["u_pu"])) for k, one in node.items()}


def _set(dataset: dict[str, Any], opened: str) -> dict[str, Any]:
    """The dataset with one of its two switches open."""
    data = copy.deepcopy(dataset)
    data["data"]["line"][3]["from_status"] = int(opened != "line 13")
    data["data"]["link"][0]["to_status"] = int(opened != "link 25")
    return data


@pytest.mark.parametrize(
    ("seed", "dyn", "tap", "iron", "within"),
    [(0, True, 2, 0.0, 2e-5), (1, False, -1, 0.0, 2e-5), (2, True, 4, 0.01, 2e-3), (3, False, 1, 0.01, 2e-3)],
)
def test_both_power_flows_agree_in_all_phases(
    seed: int, dyn: bool, tap: int, iron: float, within: float, tmp_path: Path
) -> None:
    """Loss and lowest phase of every node in both states; iron losses stand at one winding in OpenDSS."""
    pytest.importorskip("opendssdirect")
    dataset = _dataset(seed, dyn, tap)
    dataset["data"]["transformer"][0] |= {"i0": iron, "p0": 4e5 * iron / 3, "tap_side": seed % 2}
    dataset["data"]["transformer"][0]["tap_size"] = (250.0, 10.0)[seed % 2]
    loaded = load_with_source(_written(dataset, tmp_path))
    net, losses = loaded.network, {}
    assert "read in all its phases" in " ".join(loaded.notes)
    assert loaded.source is not None
    assert [str(b) for b, on in zip(net.branch_ids, net.switchable, strict=True) if on] == ["line 13", "link 25"]
    for opened in ("line 13", "link 25"):
        theirs, vm = _theirs(_set(dataset, opened), symmetric=False)
        state = loaded.source.state(net, net.configuration([opened]))
        assert state.converged, state.reason
        assert state.loss_kw == pytest.approx(theirs, rel=within)
        assert {bus for bus in vm if abs(state.vm[bus] - vm[bus]) > within} == set()
        losses[opened] = theirs
    answer = learnopt.solve(net, engine="tree") if seed == 0 else None
    if answer is not None:
        assert [str(b) for b in answer.open_branches] == [min(losses, key=lambda one: losses[one])]
        assert answer.loss_kw == pytest.approx(min(losses.values()), rel=within)


def _balanced() -> dict[str, Any]:
    """The same grid with equal phases, lists instead of objects, no word of a zero sequence."""
    dataset = _dataset()
    data = dataset["data"]
    del data["asym_gen"], data["asym_line"]
    keys = ["id", "from_node", "to_node", "from_status", "to_status", "r1", "x1", "c1", "tan1", "i_n"]
    data["line"].append(data["line"][0] | {"id": 20, "from_node": 0, "to_node": 5, "tan1": 0.3})
    data["line"] = [[one.get(key) for key in keys] for one in data["line"]]
    dataset["attributes"]["line"] = keys
    data["asym_load"] = [one | {"p_specified": [1e5] * 3, "q_specified": [5e4] * 3, "type": k % 2}
                         for k, one in enumerate(data["asym_load"])]  # fmt: skip
    data["transformer"][0] |= {"i0": 0.01, "p0": 1e3, "winding_from": 0, "winding_to": 0, "clock": 6}
    data["shunt"][0] = {"id": 60, "node": 3, "status": 1, "g1": 1e-5, "b1": 1e-3}
    return dataset


def test_equal_phases_are_a_balanced_network(tmp_path: Path) -> None:
    """Its loss and voltages are those of the symmetric power flow; stars without a zero sequence do not matter."""
    dataset = _balanced()
    dataset["data"]["line"][3][3] = 1
    dataset["data"]["link"][0]["from_status"] = 0
    net = load(_written(dataset, tmp_path))
    assert net.phases is None
    theirs, vm = _theirs(dataset, symmetric=True)
    found = evaluate(ReconfigurationProblem.of(net), net.normal_configuration)
    assert found.loss_kw == pytest.approx(theirs, rel=1e-6)
    ours = dict(zip(map(str, net.bus_ids), found.vm, strict=True))
    assert {bus for bus in vm if abs(ours[bus] - vm[bus]) > 1e-6} == set()


def test_without_links_lines_are_switches(tmp_path: Path) -> None:
    """Unless the column ``switchable`` says otherwise; a note tells."""
    dataset = _balanced()
    del dataset["data"]["link"]
    dataset["attributes"]["line"] = [*dataset["attributes"]["line"], "switchable"]
    dataset["data"]["line"] = [[*row, k != 1] for k, row in enumerate(dataset["data"]["line"])]
    loaded = load_with_source(_written(dataset, tmp_path))
    assert "every line is a switch" in " ".join(loaded.notes)
    net = loaded.network
    named = {str(b) for b, on in zip(net.branch_ids, net.switchable, strict=True) if on}
    assert {"line 10", "line 12", "line 13"} <= named
    assert "line 11" not in named


def test_phases_survive_in_a_case_file(tmp_path: Path) -> None:
    """What was read is written as a case file and reads back the same."""
    net = load(_written(_dataset(), tmp_path))
    again = network_from_dict(network_to_dict(net), "again")
    assert again.phases is not None
    assert network_to_dict(again) == network_to_dict(net)


def _changed(kind: str, **values: Any) -> dict[str, Any]:
    dataset = _dataset()
    dataset["data"][kind][0] |= values
    return dataset


@pytest.mark.parametrize(
    ("dataset", "error", "said"),
    [
        (_dataset() | {"type": "update"}, UnsupportedError, "type 'update'"),
        (_dataset() | {"is_batch": True}, UnsupportedError, "is_batch"),
        (_changed("line", tan1=0.01), DataError, "line 10: tan1"),
        (_changed("line", r0=None), DataError, "line 10: r0 is missing"),
        (_changed("line", to_node=6), DataError, "line 10: joins node 0 (10.5 kV) and 6 (0.4 kV)"),
        (_changed("line", from_status=2), DataError, "line 10: from_status = 2"),
        (_changed("asym_load", statuss=0), DataError, "'statuss' is not an attribute; 'status' is"),
        (_changed("link", id=10), DataError, "id 10 occurs 2 times"),
        (_changed("transformer", winding_from=3), UnsupportedError, "transformer 30 of the connection Zyn"),
        (_changed("transformer", clock=6), DataError, "transformer 30"),
        (_changed("transformer", i0_zero_sequence=1.0), UnsupportedError, "i0_zero_sequence other than i0"),
        (_changed("asym_load", type=3), DataError, "asym_load 50: type = 3"),
        (_changed("asym_load", p_specified=[1.0, None, 0.0]), DataError, "asym_load 50: p_specified"),
        (_changed("asym_gen", type=1), UnsupportedError, "asym_gen 56 of constant impedance"),
        (_changed("asym_line", r_nn=None), DataError, "asym_line 20: r_nn is missing"),
        (_changed("shunt", g0=1.0), UnsupportedError, "shunt 60 with g0 above g1"),
        (_dataset() | {"data": {"node": [[0, 1e4]], "vortex": [{"id": 7}]}}, UnsupportedError, "vortex 7"),
        (_dataset() | {"data": {"node": [[0, 1e4]]}}, DataError, "no source is in service"),
    ],
)  # fmt: skip
def test_what_is_not_modelled_is_refused_by_name(
    dataset: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as raised:
        load(_written(dataset, tmp_path))
    assert said in str(raised.value)


def test_damaged_files_are_told_and_never_a_traceback(tmp_path: Path) -> None:
    """A value of a random place is another one, or gone."""
    rng = np.random.default_rng(5)
    others = (None, True, -1, 0, 2.5, "x", 1e300, -1e300, [], {}, [1, 2, 3], 10**400, "inf")
    refused = 0
    for _ in range(300):
        dataset = _dataset(dyn=bool(rng.integers(2))) if rng.integers(4) else _balanced()
        for _ in range(1 + int(rng.integers(2))):
            holder, key = _somewhere(dataset, rng)
            if rng.integers(4):
                holder[key] = others[int(rng.integers(len(others)))]
            else:
                del holder[key]
        try:
            load(_written(dataset, tmp_path))
        except LearnoptError:
            refused += 1
    assert 100 < refused < 290


def _somewhere(value: Any, rng: np.random.Generator) -> tuple[Any, Any]:
    """A container inside a dataset, and a key of it."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return {"": 0}, ""
        key = keys[int(rng.integers(len(keys)))]
        if not isinstance(value[key], (dict, list)) or not rng.integers(5):
            return value, key
        value = value[key]
