"""Features do not know size, units, names or the order of the file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch_geometric.data import Batch
from toy_feeders import locked, random_problem

from learnopt.learning.features import FEATURE_SCHEMA, FeederData, extract
from learnopt.learning.model import ModelConfig, build_model
from learnopt.learning.predict import Predictor
from learnopt.learning.pyg import graph_data
from learnopt.network import Base, Network, ReconfigurationProblem

CLOSE = {"rtol": 1e-4, "atol": 1e-4}


def permuted(net: Network, bus: np.ndarray, branch: np.ndarray) -> Network:
    """The same network with buses and branches listed in another order, and every branch turned around."""
    place = np.argsort(bus)
    return replace(
        net,
        bus_ids=tuple(net.bus_ids[k] for k in bus),
        branch_ids=tuple(net.branch_ids[e] for e in branch),
        p_load=net.p_load[bus],
        q_load=net.q_load[bus],
        from_bus=place[net.to_bus[branch]],
        to_bus=place[net.from_bus[branch]],
        substations=place[net.substations],
        **{k: getattr(net, k)[branch] for k in ("r", "x", "b", "i_max", "switchable", "normally_open")},
    )


def test_relabelling_permutes_the_prediction() -> None:
    """Another order of buses and branches, and turned branches, change nothing but the order of the answer."""
    torch.manual_seed(0)
    predictor = Predictor(build_model(ModelConfig(hidden=16, layers=2)).eval())
    for seed in range(5):
        problem = random_problem(seed, 18, 4, 2)
        net, rng = problem.network, np.random.default_rng(seed)
        branch = rng.permutation(net.n_branch)
        other = ReconfigurationProblem.of(permuted(net, rng.permutation(net.n_bus), branch))
        first, second = predictor.predict(problem), predictor.predict(other)
        np.testing.assert_allclose(second.p_closed, first.p_closed[branch], **CLOSE)
        assert first.graph.n_undecided > 4


def test_units_and_load_level_do_not_matter() -> None:
    """Another base, or all loads three times as high, gives the same features."""
    problem = random_problem(1, 18, 4)
    net, base = problem.network, problem.network.base
    rebased = replace(
        net,
        base=Base(base.v_base, 7 * base.s_base),
        p_load=net.p_load / 7,
        q_load=net.q_load / 7,
        r=net.r * 7,
        x=net.x * 7,
    )
    heavier = replace(net, p_load=3 * net.p_load, q_load=3 * net.q_load)
    expected = extract(problem)
    for variant in (rebased, heavier):
        data = extract(ReconfigurationProblem.of(variant))
        torch.testing.assert_close(data.x, expected.x, **CLOSE)
        torch.testing.assert_close(data.edge_attr, expected.edge_attr, **CLOSE)
        torch.testing.assert_close(data.flow, expected.flow, **CLOSE)


def test_columns_match_the_schema() -> None:
    """One column per feature of the schema, names unique, all numbers finite, also without load or resistance."""
    problem = random_problem(2)
    net = problem.network
    dark = ReconfigurationProblem.of(replace(net, p_load=0 * net.p_load, q_load=0 * net.q_load))
    resistance = net.r.copy()
    resistance[-1] = 0.0
    generating = replace(net, p_load=np.where(np.arange(net.n_bus) == 3, -2.0, net.p_load), r=resistance)
    for case in (problem, dark, ReconfigurationProblem.of(generating)):
        data = extract(case)
        assert data.x.shape[1] == len(FEATURE_SCHEMA.node) == len(set(FEATURE_SCHEMA.names()["node"]))
        assert data.edge_attr.shape[1] == len(FEATURE_SCHEMA.branch) == len(set(FEATURE_SCHEMA.names()["branch"]))
        assert torch.isfinite(data.x).all()
        assert torch.isfinite(data.edge_attr).all()


def test_opening_cost_matches_the_rise_of_the_meshed_loss(triangle: Network) -> None:
    """The opening cost column is delta over the meshed loss, here from a triangle worked out by hand."""
    problem = ReconfigurationProblem.of(triangle)
    s = (problem.p + 1j * problem.q)[1:]  # with 0-2 open: both loads on 0-1, the second on 1-2
    tree = np.array([s.sum(), s[1], 0])
    r = np.array([1.0, 1.0, 2.0])
    direction = np.array([1.0, 1.0, -1.0])
    loop = (direction * r) @ tree / r.sum()
    flow = tree - direction * loop
    delta = np.abs(flow) ** 2 * r.sum()
    expected = np.log10(delta / (r @ np.abs(flow) ** 2) + 1e-8)
    column = FEATURE_SCHEMA.names()["branch"].index("opening_cost")
    np.testing.assert_allclose(extract(problem).edge_attr[:, column], expected, rtol=1e-5)


def test_batch_equals_stack_of_singles() -> None:
    """Joining feeders offsets ends and chains, keeps positions in the network, and the model does not notice."""
    torch.manual_seed(1)
    feeders = [extract(random_problem(seed, 8 + 4 * seed, 2 + seed)) for seed in range(3)]
    batch = Batch.from_data_list([graph_data(f) for f in feeders])
    nodes = np.cumsum([0, *(len(f.x) for f in feeders)])
    chains = np.cumsum([0, *(f.n_chains for f in feeders)])
    torch.testing.assert_close(
        batch.edge_index, torch.cat([f.edge_index + int(n) for f, n in zip(feeders, nodes, strict=False)], 1)
    )
    torch.testing.assert_close(
        batch.chain, torch.cat([f.chain + int(c) for f, c in zip(feeders, chains, strict=False)])
    )
    torch.testing.assert_close(batch.branch_index, torch.cat([f.branch_index for f in feeders]))
    for kind in ("gnn", "mlp"):
        model = build_model(ModelConfig(kind=kind, hidden=16, layers=2)).eval()
        with torch.no_grad():
            torch.testing.assert_close(model(batch), torch.cat([model(f) for f in feeders]), rtol=1e-5, atol=1e-5)


def test_problem_without_decision_has_empty_features(two_bus: Network) -> None:
    """A network without loops gives a graph without branches, which the model accepts."""
    data = extract(ReconfigurationProblem.of(two_bus))
    assert isinstance(data, FeederData)
    assert data.edge_attr.shape == (0, len(FEATURE_SCHEMA.branch))
    assert build_model(ModelConfig(hidden=8, layers=1)).eval()(data).shape == (0,)


def test_locked_branches_are_left_out() -> None:
    """Locked branches are no decision; positions of the others are kept."""
    problem = random_problem(3, 14, 4)
    free = extract(problem).branch_index.tolist()
    reduced = extract(locked(problem, {free[0]: 1, free[-1]: 0})).branch_index.tolist()
    assert set(reduced) <= set(free) - {free[0], free[-1]}
