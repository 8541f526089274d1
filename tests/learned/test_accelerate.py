"""Whatever the model believes, the learned engine answers radially, and in certified mode it answers right."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from conftest import make_network
from instances import PASSIVE, random_problem
from oracles import LIGHT, PREDICTORS, THRESHOLDS, CertainPredictor, enumerated, sure_of, untrained, worst_of_many

from learnopt.engines import SolveOptions, Stopwatch, load_engine
from learnopt.engines.tree import engine as tree_search
from learnopt.engines.tree.coverage import mixed_signs
from learnopt.engines.tree.proof import AcProof
from learnopt.errors import DataError
from learnopt.learned import engine as accelerate
from learnopt.learned.answers import Best
from learnopt.learned.belief import Belief
from learnopt.learned.engine import LearnedEngine
from learnopt.learning.predict import Prediction
from learnopt.network import Certificate, Configuration, Limits, Network, ReconfigurationProblem, Result, Status

FAST, PROOF = SolveOptions(), SolveOptions(certify=Certificate.AC)
STAGES = {"predict", "start", "decide", "reduce", "solve"}


def solve(problem: ReconfigurationProblem, predictor: str, options: SolveOptions = FAST) -> Result:
    return LearnedEngine(PREDICTORS[predictor]).solve(problem, options)


def only_predicted(
    problem: ReconfigurationProblem,
    belief: Belief,
    start: Configuration | None,
    options: SolveOptions,
    best: Best,
) -> None:
    """Instead of exchange: the most probable tree as it is."""
    best.offer(belief.most_probable)


def assert_sound(problem: ReconfigurationProblem, result: Result) -> None:
    """Admissible, judged feasible, and nothing claimed without a certificate."""
    if result.configuration is not None:
        assert problem.faults(result.configuration) == []
        assert result.evaluation is not None
        assert result.evaluation.feasible
    if result.certificate is Certificate.NONE:
        assert result.dual_bound_kw is None
        assert result.status is not Status.OPTIMAL


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("first", range(0, 240, 40))
def test_fast_mode_on_many_small_networks(predictor: str, first: int) -> None:
    """Random problems of every kind: an answer where there is one, radial and judged, never with a claim."""
    answers = left = calibrated = 0
    for seed in range(first, first + 40):
        problem = random_problem(seed, load=LIGHT)
        oracle, result = enumerated(problem), solve(problem, predictor)
        assert_sound(problem, result)
        assert result.certificate is Certificate.NONE
        assert (result.configuration is None) == (oracle.configuration is None), seed
        if result.configuration is None:
            assert result.status in (Status.INFEASIBLE, Status.NO_SOLUTION)
            continue
        answers += 1
        assert result.status is Status.FEASIBLE
        assert result.engine == "learned"
        assert result.learned is not None
        assert result.stage_times_s.keys() >= STAGES
        assert "audit" not in result.stage_times_s
        if result.learned.alpha is None:
            assert result.learned.fixed_closed == result.learned.fixed_open == 0
        if predictor == "expert":
            assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=1e-6)
            calibrated += result.learned.alpha is not None
            left += result.learned.free if result.learned.alpha is not None else 0
    assert answers > 15
    assert left <= 4  # where exchange finds another configuration of equal loss, two switches are free
    assert predictor != "expert" or calibrated > 3


@pytest.mark.parametrize("predictor", PREDICTORS)
@pytest.mark.parametrize("kind", ["loads only", "generation"])
def test_certified_mode_returns_the_enumerated_optimum(predictor: str, kind: str) -> None:
    """Even where the model is confidently wrong; the tree search audits loads, the MILP generation."""
    auditor, tolerance, seeds = ("tree", 1e-6, 30) if kind == "loads only" else ("milp", 1.0001e-4, 16)
    answers = 0
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        drawn = [f for f in PASSIVE if rng.random() < 0.25] if kind == "loads only" else ["generation"]
        problem = random_problem(seed, drawn, load=LIGHT)
        oracle, result = enumerated(problem), solve(problem, predictor, PROOF)
        assert_sound(problem, result)
        if oracle.configuration is None:
            assert result.configuration is None
            continue
        if bool(mixed_signs(problem)) != (auditor == "milp"):  # by chance no bus generates
            continue
        answers += 1
        assert result.status is Status.OPTIMAL
        assert result.certificate is Certificate.AC
        assert f"Audited by {auditor}" in result.message
        assert result.objective_kw == pytest.approx(oracle.objective_kw, rel=tolerance, abs=1e-9)
        assert result.dual_bound_kw <= oracle.objective_kw * (1 + 1e-9)
        assert result.stage_times_s.keys() >= {*STAGES - {"solve"}, "audit"}
        assert "solve" in result.stage_times_s or result.learned.fixed_closed + result.learned.fixed_open == 0
    assert answers >= 6


@dataclass(frozen=True)
class Unusual(CertainPredictor):
    """Sure of the optimum on a feeder unlike those it was trained on."""

    strange: float = field(kw_only=True)

    def predict(self, problem: ReconfigurationProblem) -> Prediction:
        """As ever, but with a novelty."""
        return replace(super().predict(problem), novelty=self.strange, thresholds={0.01: 0.9, 0.001: 0.99})


def test_nothing_fixed_is_solved_once(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a foreign feeder nothing is fixed: certified mode goes to the audit at once, which proves the answer."""
    problem, solved = ReconfigurationProblem.of(case33), []
    monkeypatch.setattr(accelerate, "load_engine", lambda name: solved.append(name) or load_engine(name))
    predictor = Unusual(untrained().model, choose=lambda _: case33.normal_configuration, strange=2.1)
    result = LearnedEngine(predictor).solve(problem, PROOF)
    assert result.status is Status.OPTIMAL
    assert result.loss_kw == pytest.approx(139.5513, abs=1e-3)
    assert result.learned is not None
    assert (result.learned.used_alpha, result.learned.fixed_closed, result.learned.novelty) == (None, 0, 2.1)
    assert "solve" not in result.stage_times_s
    assert solved == ["tree", "tree"]  # imported before the clock starts, then the audit


def test_proven_fixings_join_the_learned_ones(case33: Network) -> None:
    """With the MILP inside, what bounds exclude is fixed too, and a sure but wrong model loses against a proof."""
    problem = ReconfigurationProblem.of(case33, limits=Limits())
    for predictor in ("wrong", "untrained"):
        engine = LearnedEngine(PREDICTORS[predictor], exact="milp")
        result = engine.solve(problem, SolveOptions(gap=1e-4))
        assert result.loss_kw == pytest.approx(139.5513, abs=1e-3)
        assert result.learned is not None
        assert result.learned.proven > 20
        assert result.learned.free < 10
    with pytest.raises(DataError, match="exact = 'magic'"):
        LearnedEngine(PREDICTORS["wrong"], exact="magic")


def test_wrong_model_is_overruled_by_the_audit() -> None:
    """Without exchange a wrong model costs losses; certified mode gets them back."""
    engine = LearnedEngine(PREDICTORS["wrong"])
    engine._starts = only_predicted  # type: ignore[method-assign]
    for seed in range(10):
        problem = random_problem(seed, [], load=LIGHT, n_bus=(10, 12), n_loops=(3, 4))
        best = enumerated(problem).objective_kw
        assert engine.solve(problem, FAST).objective_kw > best * (1 + 1e-3)
        assert engine.solve(problem, PROOF).objective_kw == pytest.approx(best, rel=1e-6)


def test_model_certificate_on_request(case33: Network) -> None:
    """``model`` audits by the tree search and says so, also with generation."""
    problem = ReconfigurationProblem.of(case33, limits=Limits())
    generating = problem.under(replace(problem.scenario, p_gen=1.5 * case33.p_load))
    for each in (problem, generating):
        result = solve(each, "wrong", SolveOptions(certify=Certificate.MODEL))
        assert result.certificate is Certificate.MODEL
        assert result.status is Status.OPTIMAL


def test_known_optimum_of_the_33_bus_system(case33: Network) -> None:
    """Certified from a wrong and an untrained model."""
    problem = ReconfigurationProblem.of(case33)
    for predictor in ("wrong", "untrained"):
        result = solve(problem, predictor, PROOF)
        assert case33.open_ids(result.configuration) == [7, 9, 14, 32, 37]
        assert result.loss_kw == pytest.approx(139.5513, abs=1e-3)
        assert result.gap <= 1e-6


def fixing_that_cannot_work() -> tuple[ReconfigurationProblem, Configuration]:
    """A ring whose voltage limit leaves only openings near its middle, and the opening next to the substation."""
    ring = [(k, k + 1, 1, 1) for k in range(7)] + [(7, 0, 1, 1, {"normally_open": True})]
    net = make_network(ring, dict.fromkeys(range(1, 8), (250, 100)))
    problem = ReconfigurationProblem.of(net)
    best = enumerated(problem)
    problem = problem.replace(limits=Limits(vm_min=best.evaluation.min_voltage_pu - 1e-4))
    return problem, net.normal_configuration


def test_infeasible_fixings_are_given_up() -> None:
    """With every switch fixed wrongly nothing respects the limit: fixings are freed until something does."""
    problem, wrong = fixing_that_cannot_work()
    engine = LearnedEngine(sure_of(lambda _: wrong, "wrong"))
    engine._starts = only_predicted  # type: ignore[method-assign]  # exchange must not find the answer first
    result = engine.solve(problem, FAST)
    assert result.configuration == enumerated(problem).configuration
    assert result.learned is not None
    assert result.learned.free > 0


def test_hair_over_the_limit_does_not_beat_a_feasible_answer() -> None:
    """A configuration that violates a limit by a few parts in a million is no better than one that respects it."""
    checked = 0
    for seed in range(205, 245):
        problem = random_problem(seed, [], load=(0.3, 2.0))
        free = enumerated(problem)
        if free.configuration is None:
            continue
        # Just out of reach of the configuration of least loss, but not of every other one.
        limited = problem.replace(limits=Limits(vm_min=float(free.evaluation.min_voltage_pu * (1 + 2e-6))))
        if enumerated(limited).configuration is None:
            continue
        checked += 1
        for predictor in PREDICTORS:
            assert solve(limited, predictor).configuration is not None, (seed, predictor)
        assert load_engine("exchange").solve(limited, FAST).configuration is not None, seed
    assert checked > 0


def test_contradictory_locks_are_a_status(triangle: Network) -> None:
    """All three branches of a loop locked closed: infeasible, before any model is asked."""
    problem = ReconfigurationProblem.of(triangle)
    locks = replace(problem.scenario, locked=np.ones(3, dtype=np.int8))

    def never(_: ReconfigurationProblem) -> Configuration:
        raise AssertionError

    result = LearnedEngine(sure_of(never, "never")).solve(problem.under(locks), PROOF)
    assert result.status is Status.INFEASIBLE
    assert result.configuration is None


def test_impossible_limit_is_infeasible_in_both_modes(case33: Network) -> None:
    """Nothing fixed any more and still infeasible: that is a proof, and it is not asked for twice."""
    problem = ReconfigurationProblem.of(case33, limits=Limits(vm_min=1.2))
    for options in (FAST, PROOF):
        result = solve(problem, "wrong", options)
        assert result.status is Status.INFEASIBLE
        assert result.engine == "learned"
        assert result.learned is not None
        assert result.learned.fixed_closed + result.learned.fixed_open == 0


def test_checkpoint_without_the_risk_is_refused(triangle: Network) -> None:
    """A risk for which there is no threshold is an error, not a silent default."""
    with pytest.raises(DataError, match="alpha"):
        LearnedEngine(untrained(), alpha=0.3).solve(ReconfigurationProblem.of(triangle), FAST)


def test_without_a_threshold_nothing_is_fixed(case33: Network) -> None:
    """The reduced problem is the full one, and still fast mode claims nothing."""
    result = LearnedEngine(PREDICTORS["wrong"], alpha=0.1).solve(ReconfigurationProblem.of(case33), FAST)
    assert result.learned is not None
    assert (result.learned.fixed_closed, result.learned.fixed_open) == (0, 0)
    assert result.loss_kw == pytest.approx(139.5513, abs=1e-3)
    assert result.certificate is Certificate.NONE


@pytest.mark.parametrize("net", ["two_bus", "triangle", "parallel_branches", "two_substations", "coupler"])
def test_smallest_networks(net: str, request: pytest.FixtureRequest) -> None:
    """No loop at all, two parallel branches, a path between substations, a zero-impedance coupler."""
    problem = ReconfigurationProblem.of(request.getfixturevalue(net))
    for predictor in PREDICTORS:
        assert_sound(problem, solve(problem, predictor))
        proven = solve(problem, predictor, PROOF)
        assert proven.certificate is Certificate.AC
        assert proven.objective_kw == pytest.approx(enumerated(problem).objective_kw, rel=1e-6)


def test_cap_on_operations_is_kept(case33: Network) -> None:
    """A model that wants five exchanges gets two; certified mode proves the best that two can do."""
    problem = ReconfigurationProblem.of(case33, max_operations=4)
    for options in (FAST, PROOF):
        result = solve(problem, "expert", options)
        assert problem.operations(result.configuration) <= 4
    assert result.status is Status.OPTIMAL
    assert result.objective_kw == pytest.approx(enumerated(problem).objective_kw, rel=1e-6)


@pytest.mark.parametrize("options", [FAST, PROOF, SolveOptions(seed=3)])
def test_same_seed_same_answer(options: SolveOptions) -> None:
    """Everything but the times."""
    problem = random_problem(11, [], n_bus=(11, 12), n_loops=(4, 5))
    first, second = (solve(problem, "untrained", options) for _ in range(2))
    assert first.configuration == second.configuration
    assert (first.objective_kw, first.dual_bound_kw, first.nodes) == (
        second.objective_kw,
        second.dual_bound_kw,
        second.nodes,
    )
    assert (first.status, first.learned, first.message) == (second.status, second.learned, second.message)


@pytest.mark.parametrize("options", [SolveOptions(time_limit=1e-6), SolveOptions(time_limit=1e-6, certify="ac")])
def test_no_time_still_gives_an_answer(case33: Network, options: SolveOptions) -> None:
    """A limit that is over at once leaves the best of the starts, and no claim that was not proven."""
    problem = ReconfigurationProblem.of(case33)
    result = solve(problem, "wrong", options)
    assert_sound(problem, result)
    assert result.configuration is not None
    if result.certificate is Certificate.AC:
        assert result.dual_bound_kw <= 139.5514


def test_a_start_is_used_and_a_bad_one_ignored(case33: Network) -> None:
    """The optimum as start is the answer even of a wrong model; all branches closed is no start."""
    problem = ReconfigurationProblem.of(case33)
    best = case33.configuration([7, 9, 14, 32, 37])
    engine = LearnedEngine(PREDICTORS["wrong"], samples=0)
    assert engine.solve(problem, FAST, best).configuration == best
    meshed = Configuration(np.ones(case33.n_branch, dtype=bool))
    assert engine.solve(problem, FAST, meshed).configuration == engine.solve(problem, FAST).configuration


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_interrupt_before_anything_was_found(case33: Network) -> None:
    """Ctrl-C while predicting: interrupted, no configuration, no traceback."""
    result = LearnedEngine(sure_of(stop, "slow")).solve(ReconfigurationProblem.of(case33), PROOF)  # type: ignore[arg-type]
    assert result.status is Status.INTERRUPTED
    assert result.configuration is None


def test_interrupt_while_solving_the_reduced_problem(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C that an exact engine caught stops the whole solve: no audit follows, the best so far is returned."""
    monkeypatch.setattr(AcProof, "run", stop)
    for options in (FAST, PROOF):
        result = solve(ReconfigurationProblem.of(case33), "untrained", options)
        assert result.status is Status.INTERRUPTED
        assert result.configuration is not None
        assert "audit" not in result.stage_times_s
        assert result.certificate is Certificate.NONE


def test_interrupt_while_auditing(case33: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """The audit's own interrupted result, with what the fast part found."""
    problem = ReconfigurationProblem.of(case33)
    monkeypatch.setattr(tree_search, "prove_model", stop)
    result = solve(problem, "wrong", SolveOptions(certify=Certificate.MODEL))
    assert result.status is Status.INTERRUPTED
    assert_sound(problem, result)
    assert result.loss_kw <= solve(problem, "wrong").loss_kw * (1 + 1e-9)


def test_solver_is_imported_before_the_clock_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first solve of a process must not be charged with the import of the exact engine."""
    events = []

    def watched_load(name: str) -> object:
        events.append(name)
        return load_engine(name)

    def watch() -> Stopwatch:
        events.append("clock")
        return Stopwatch()

    monkeypatch.setattr(accelerate, "load_engine", watched_load)
    monkeypatch.setattr(accelerate, "Stopwatch", watch)
    problem = random_problem(1, ["charging"], load=LIGHT)
    assert mixed_signs(problem)
    solve(problem, "untrained")
    assert events.index("milp") < events.index("clock")


def test_summary_counts_every_undecided_switch_once(case33: Network) -> None:
    """Fixed closed, fixed open and free add up; the policy's risk and the checkpoint are named."""
    problem = ReconfigurationProblem.of(case33)
    learned = solve(problem, "untrained").learned
    assert learned is not None
    assert learned.fixed_closed + learned.fixed_open + learned.free == problem.free.sum()
    assert learned.fixed_closed > 0
    assert (learned.checkpoint, learned.alpha) == ("untrained", 0.01)


def test_reduced_bound_belongs_to_the_reduced_problem(case33: Network) -> None:
    """Fixing the worst of several trees leaves a bound above the true optimum: it is no bound of the full problem."""
    predictor = CertainPredictor(untrained().model, thresholds=THRESHOLDS, name="wrong", choose=worst_of_many)
    engine = LearnedEngine(predictor)
    engine._starts = only_predicted  # type: ignore[method-assign]
    result = engine.solve(ReconfigurationProblem.of(case33), FAST)
    assert result.learned is not None
    assert result.learned.reduced_bound_kw > 139.6
    assert result.dual_bound_kw is None
