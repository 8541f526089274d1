"""Areas and blocks: what is solved apart adds up to what is solved together, and to the best of all configurations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import make_network, random_network
from instances import feasible_flows, random_problem, solvable_problem

from learnopt.engines import SolveOptions
from learnopt.engines.tree import engine as tree_search
from learnopt.engines.tree import proof as tree_proof
from learnopt.engines.tree.areas import areas, joined
from learnopt.engines.tree.block_search import deciding_blocks
from learnopt.engines.tree.currents import load_currents, tree_loss
from learnopt.engines.tree.engine import TreeSearchEngine
from learnopt.network import (
    Certificate,
    Configuration,
    Limits,
    Network,
    ReconfigurationProblem,
    Result,
    Scenario,
    Situations,
    Status,
)
from learnopt.physics import power_flow

SEPARATE = (
    "generation",
    "capacitors",
    "charging",
    "couplers",
    "voltages",
    "voltage limits",
    "ampacity",
    "lock",
    "cost",
)
"""Features that areas may have; a cap and ratings of substations couple them."""


def composed(rng: np.random.Generator, parts: int, at_root: float) -> Network:
    """Random networks grown onto each other: each hangs on the substation (with this chance) or on an earlier bus."""
    branches, loads, n = [], {}, 1
    for _ in range(parts):
        part = random_network(rng, int(rng.integers(3, 6)), int(rng.integers(1, 3)))
        foot = 0 if rng.random() < at_root else int(rng.integers(n))
        place = np.concatenate([[foot], np.arange(n, n + part.n_bus - 1)]).tolist()
        ohm = part.base.v_base**2
        for e in range(part.n_branch):
            ends = place[part.from_bus[e]], place[part.to_bus[e]]
            z = part.r[e] * ohm, part.x[e] * ohm
            branches.append((*ends, *z, {"normally_open": bool(part.normally_open[e])}))
        loads |= {place[k]: tuple(rng.uniform(0, 1, 2) * (300, 150)) for k in range(1, part.n_bus)}
        n += part.n_bus - 1
    return make_network(branches, loads)


def together(problem: ReconfigurationProblem, certify: Certificate, monkeypatch: pytest.MonkeyPatch) -> Result:
    """The problem solved without looking for areas and blocks."""
    with monkeypatch.context() as patched:
        patched.setattr(tree_search, "areas", lambda whole: [whole])
        patched.setattr(tree_proof, "deciding_blocks", lambda whole: [whole.core.branches])
        return TreeSearchEngine().solve(problem, SolveOptions(certify=certify))


@pytest.mark.parametrize("seed", range(60))
def test_areas_equal_brute_force(seed: int) -> None:
    """Every feature that areas may have: the least AC objective of all, and a bound that no configuration undercuts."""
    rng = np.random.default_rng(seed)
    network = composed(rng, int(rng.integers(2, 4)), at_root=0.8)
    problem = random_problem(seed, [f for f in SEPARATE if rng.random() < 0.3], load=(0.1, 1.0), network=network)
    result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
    flows = feasible_flows(problem) if not problem.contradictions else []
    if not flows:
        assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
        return
    best = min(1e3 * f.loss + problem.switching_cost * problem.operations(c) for c, f in flows)
    if result.dual_bound_kw is None:  # a loss of microwatts, which the judge and the sweep see differently
        assert "two power flows" in result.message
        assert result.status is Status.FEASIBLE
        return
    assert result.dual_bound_kw <= best * (1 + 1e-9) + 1e-9
    if result.certificate is Certificate.AC and result.status is Status.OPTIMAL:
        assert result.objective_kw == pytest.approx(best, rel=1e-6, abs=1e-8)
    assert len(areas(problem)) == 1 or "areas that meet at substations only" in result.message


@pytest.mark.parametrize("seed", range(60))
def test_blocks_equal_all_configurations_of_the_model(seed: int) -> None:
    """At the fixed point the sum of the blocks is the least value of all configurations for the answer's currents."""
    rng = np.random.default_rng(seed)
    network = composed(rng, 3, at_root=0.1)
    features = [f for f in ("generation", "charging", "couplers", "lock", "cost") if rng.random() < 0.3]
    problem = solvable_problem(seed, features, load=(0.1, 0.5), network=network)
    result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.MODEL))
    assert result.status is Status.OPTIMAL
    answer = result.configuration
    currents = load_currents(problem, answer, power_flow(problem, answer))
    values = {
        c: 1e3 * tree_loss(problem, c, currents) + problem.switching_cost * problem.operations(c)
        for c, _ in feasible_flows(problem)
    }
    if values[answer] <= min(values.values()) * (1 + 1e-9):  # else calibration did not settle
        assert result.dual_bound_kw == pytest.approx(min(*values.values(), result.objective_kw), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("certify", [Certificate.AC, Certificate.MODEL])
def test_apart_is_together(certify: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several areas: the same answer, certificate and bound."""
    rng = np.random.default_rng(3)
    problem = ReconfigurationProblem.of(composed(rng, 6, at_root=1.0))
    apart, whole = (
        TreeSearchEngine().solve(problem, SolveOptions(certify=certify)),
        together(problem, certify, monkeypatch),
    )
    assert apart.configuration == whole.configuration
    assert (apart.status, apart.certificate) == (whole.status, whole.certificate) == (Status.OPTIMAL, certify)
    assert apart.dual_bound_kw == pytest.approx(whole.dual_bound_kw, rel=1e-8)


def test_scenarios_share_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The expected loss of several scenarios separates, the worst case does not and is left whole."""
    network = composed(np.random.default_rng(8), 3, at_root=1.0)
    nominal = Scenario.nominal(network)
    rng = np.random.default_rng(1)
    hours = [replace(nominal, p_load=nominal.p_load * rng.uniform(0.5, 2, network.n_bus)) for _ in range(3)]
    problem = ReconfigurationProblem.of(network, Situations(tuple(hours), np.array([1.0, 2.0, 3.0])))
    apart = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
    whole = together(problem, Certificate.AC, monkeypatch)
    assert len(areas(problem)) > 1
    assert apart.configuration == whole.configuration
    assert apart.dual_bound_kw == pytest.approx(whole.dual_bound_kw, rel=1e-8)
    assert len(areas(problem.judged_by("worst"))) == 1


def test_what_couples_areas_leaves_them_whole() -> None:
    """A cap on operations and ratings of substations; and limits that couple the blocks of one area."""
    problem = ReconfigurationProblem.of(composed(np.random.default_rng(0), 3, at_root=1.0))
    assert len(areas(problem)) == 5
    rated = replace(problem.network, substation_s_max=np.array([100.0]))
    for change in ({"max_operations": 4}, {"network": rated, "limits": Limits(substations=True)}):
        assert len(areas(problem.replace(**change))) == 1
    chain = ReconfigurationProblem.of(composed(np.random.default_rng(5), 3, at_root=0.0))
    assert len(deciding_blocks(chain)) == 4
    thin = replace(chain.network, i_max=np.full(chain.network.n_branch, 100.0))
    limited = {"limits": Limits(vm_min=0.9)}, {"network": thin, "limits": Limits(ampacity=True)}
    for change in ({"max_operations": 4}, *limited):
        assert len(deciding_blocks(chain.replace(**change))) == 1


def test_branches_between_substations_stay_open_and_cost_their_switching() -> None:
    """A normally closed tie of two substations can only be opened: part of no area, but of the objective."""
    arms = [(s, s + 2, 1.0, 0.5) for s in (0, 1)] + [(s, s + 2, 1.5, 0.5, {"normally_open": True}) for s in (0, 1)]
    network = make_network([*arms, (0, 1, 1.0, 1.0)], {2: (300, 100), 3: (500, 100)}, substations=[0, 1])
    problem = ReconfigurationProblem.of(network, switching_cost=2.0)
    parts = areas(problem)
    result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
    assert len(parts) == 2
    assert result.objective_kw == pytest.approx(result.loss_kw + 2.0)
    assert result.gap <= 1e-8


def test_one_area_without_a_configuration_is_the_whole_without_one() -> None:
    """Infeasible in one area: infeasible, whatever the others are. And nothing is lost by cutting and joining."""
    branches = [(0, 1, 1.0, 1.0), (0, 1, 2.0, 1.0), (0, 2, 1.0, 1.0), (0, 2, 2.0, 1.0)]
    network = make_network(branches, {1: (100, 0), 2: (1e6, 0)})
    problem = ReconfigurationProblem.of(network)
    result = TreeSearchEngine().solve(problem, SolveOptions(certify=Certificate.AC))
    assert (result.status, result.configuration) == (Status.INFEASIBLE, None)
    for closed in ([True, False, False, True], [False, True, True, False]):
        configuration = Configuration(np.array(closed))
        parts = [(area, area.part_of(configuration)) for area in areas(problem)]
        assert joined(network.n_branch, parts) == configuration


def test_interrupted_between_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second area: the answer of the first, the normal states of the others, and no bound."""
    problem = ReconfigurationProblem.of(composed(np.random.default_rng(0), 3, at_root=1.0))
    parts, real, left = areas(problem), tree_search.prove_model, [2]

    def stopping(*arguments: object) -> None:
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(tree_search, "prove_model", stopping)
    result = TreeSearchEngine().solve(problem, SolveOptions())
    assert (result.status, result.certificate, result.dual_bound_kw) == (Status.INTERRUPTED, Certificate.NONE, None)
    assert problem.admits(result.configuration)
    last = parts[-1]
    assert last.part_of(result.configuration) == last.problem.network.normal_configuration
