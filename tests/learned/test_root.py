"""At the root of the MILP: what is read of its relaxation, what heads hold, and that a class without them says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from learnopt.engines import SolveOptions, Stopwatch
from learnopt.engines.milp.engine import MilpEngine
from learnopt.engines.milp.incumbent import Incumbent
from learnopt.engines.milp.readout import KINDS
from learnopt.engines.milp.results import searching
from learnopt.engines.milp.starts import offer_starts
from learnopt.generator import ControlsConfig, FeederConfig, random_controls, random_feeder
from learnopt.learned.engine import LearnedEngine
from learnopt.learned.problem_class import CONTROLS, ProblemClass
from learnopt.learned.root import RootLook, known_at, root_data
from learnopt.learning.checkpoint import load_checkpoint
from learnopt.learning.classes import CalibratedHeads, ClassCalibration
from learnopt.learning.heads import ROOT_SCHEMA, RelaxationHeads, softmax_by
from learnopt.network import Certificate, ReconfigurationProblem, Situations, Status

FEEDER = FeederConfig(buses=(12, 14), substations=(1, 1), loops=(2, 3))
CONTROLLED = ControlsConfig(banks=(2, 2), tap_probability=1.0, tap_step=0.05, generators=(1, 1))
ALPHA = 0.01


def controlled(seed: int) -> ReconfigurationProblem:
    """Two banks, tap changers of three positions and a generator."""
    rng = np.random.default_rng([41, seed])
    network = random_feeder(FEEDER, rng)
    controls = random_controls(network, CONTROLLED, rng)
    return ReconfigurationProblem.of(replace(network, controls=controls), controls=controls)


def begun(problem: ReconfigurationProblem) -> Incumbent:
    """A search with the plan that the MILP begins with."""
    search = searching(problem, "test", 1e-4, SolveOptions(), Stopwatch())
    offer_starts(search, None)
    assert search.plan is not None
    return search


def heads(threshold: float | None, traits: tuple[str, ...] = (), bias: float = 0.0) -> CalibratedHeads:
    """Untrained heads that trust every branch of the plan as ``bias`` says, with a threshold for one class."""
    torch.manual_seed(0)
    model = RelaxationHeads(8).eval()
    with torch.no_grad():
        for head in (model.branch_head, model.choice_head):
            head[-1].weight.zero_()
            head[-1].bias.fill_(bias)
    calibration = ClassCalibration({ALPHA: threshold}, traits=(CONTROLS, *traits), feeders=10, branches=60, devices=9)
    return CalibratedHeads(model, {CONTROLS: calibration})


@pytest.mark.parametrize("seed", range(2))
def test_readout_is_that_of_a_relaxation(seed: int) -> None:
    """Shares of trees and of choices add up, and the bound is not above the plan."""
    problem = controlled(seed)
    search = begun(problem)
    _, readout = RootLook(search).read()
    n_closed = int(search.plan.configurations[0].closed.sum())
    assert readout.closed.sum() == pytest.approx(n_closed, abs=1e-6)
    assert readout.bound <= search.objective * (1 + 1e-6)
    choices = readout.choices
    assert np.bincount(choices.device, choices.share) == pytest.approx(np.ones(choices.device.max() + 1), abs=1e-6)
    assert np.bincount(choices.device, choices.planned) == pytest.approx(np.ones(choices.device.max() + 1))
    assert {KINDS[k] for k in choices.kind} == set(KINDS)
    assert (readout.price_closed >= 0).all()
    assert (readout.price_open >= 0).all()
    data = root_data(known_at(search, np.full(problem.network.n_branch, 0.5)), readout, search.plan)
    assert data.branch.shape == (len(data.tail), len(ROOT_SCHEMA.branch))
    assert data.choice.shape == (len(choices.value), len(ROOT_SCHEMA.choice))
    assert np.isfinite(data.branch).all()
    assert np.isfinite(data.choice).all()
    assert (data.best_closed == data.closed).all()
    assert (data.best_chosen == data.planned).all()


def test_belief_speaks_of_the_plan() -> None:
    """The odds of the model that sees loads are those of the state in the plan, cut at 8."""
    problem = controlled(0)
    search = begun(problem)
    _, readout = RootLook(search).read()
    known = known_at(search, np.full(problem.network.n_branch, 0.5))
    data = root_data(known, readout)
    assert np.abs(data.branch[:, [f.name for f in ROOT_SCHEMA.branch].index("belief")]).max() < 1e-9
    sure = root_data(replace(known, p_closed=search.plan.configurations[0].closed.astype(float)), readout)
    assert (sure.branch[:, [f.name for f in ROOT_SCHEMA.branch].index("belief")] == 8.0).all()


@pytest.mark.parametrize("seed", range(2))
def test_held_is_what_solutions_have(seed: int) -> None:
    """Every solution of the model keeps what was held: some branches in the middle, and every device but one."""
    problem = controlled(seed)
    search = begun(problem)
    look = RootLook(search)
    model, readout = look.read()
    plan, choices = search.plan, readout.choices
    branches = np.zeros(problem.network.n_branch, dtype=bool)
    branches[np.flatnonzero(problem.free)[::2]] = True
    devices = {(KINDS[k], int(i)) for k, i in zip(choices.kind, choices.index, strict=True)} - {("capacitor", 0)}
    model.hold(plan, branches, devices)
    run = model.solve_held(np.inf, 1e-4, np.inf, 50)
    found = model.proposal(run)
    assert (found.configurations[0].closed == plan.configurations[0].closed)[branches].all()
    own, theirs = found.settings[0], plan.settings[0]
    assert own.capacitors[1:] == pytest.approx(theirs.capacitors[1:])
    assert own.taps == pytest.approx(theirs.taps)
    assert own.on == theirs.on


@pytest.mark.parametrize(("seed", "bias"), [(0, 20.0), (1, -20.0), (2, 0.0), (3, 0.0)])
def test_heads_of_any_quality_give_admissible_answers(seed: int, bias: float) -> None:
    """Right or wrong heads: never worse than the start, within limits; certified mode proves what the MILP proves."""
    problem = controlled(seed)
    start = begun(problem)
    kind = ProblemClass.of(problem, load_checkpoint().coverage)
    predictor = replace(load_checkpoint(), heads=heads(0.4, kind.traits, bias))
    engine = LearnedEngine(predictor, alpha=ALPHA)
    fast = engine.solve(problem, SolveOptions())
    assert fast.status is Status.FEASIBLE
    assert fast.evaluation.feasible
    assert fast.objective_kw <= start.objective * (1 + 1e-9)
    assert fast.dual_bound_kw is None
    learned = fast.learned
    assert (learned.family, learned.threshold, learned.alpha) == (CONTROLS, 0.4, ALPHA)
    assert "features" in fast.stage_times_s
    if bias > 0:  # sure of the plan: nothing is left to look for
        assert learned.free == 0
        assert learned.fixed_closed + learned.fixed_open > 0
    if bias < 0:  # sure that every branch of it is wrong: none is held
        assert learned.fixed_closed + learned.fixed_open == 0
    exact = MilpEngine().solve(problem, SolveOptions(gap=1e-4))
    proven = engine.solve(problem, SolveOptions(gap=1e-4, certify=Certificate.AC))
    assert proven.certificate is Certificate.AC
    assert proven.dual_bound_kw <= exact.objective_kw * (1 + 1e-9)
    assert exact.dual_bound_kw <= proven.objective_kw * (1 + 1e-9)
    assert fast.objective_kw >= exact.dual_bound_kw * (1 - 1e-9)


@pytest.mark.parametrize(
    ("calibrated", "why"),
    [
        (None, "never measured with controls"),
        (CalibratedHeads(RelaxationHeads(0).eval(), {}), "never measured with controls"),
        (heads(None), "too few to state a risk of 1 %"),
        (replace(heads(0.1), classes={CONTROLS: ClassCalibration({ALPHA: 0.1})}), "never measured with controls"),
    ],
)
def test_class_without_calibration_fixes_nothing(calibrated: CalibratedHeads | None, why: str) -> None:
    """It names itself and why."""
    problem = controlled(1).replace(charging=False)
    predictor = replace(load_checkpoint(), heads=calibrated)
    result = LearnedEngine(predictor, alpha=ALPHA).solve(problem, SolveOptions())
    learned = result.learned
    assert (learned.family, learned.threshold, learned.alpha) == (CONTROLS, None, None)
    assert (learned.fixed_closed, learned.fixed_open, learned.fixed_devices) == (0, 0, 0)
    assert why in result.message


def test_larger_than_the_calibration_fixes_nothing() -> None:
    calibration = ClassCalibration({ALPHA: 0.1}, traits=(CONTROLS,), feeders=100, branches=20, devices=4)
    assert not calibration.refusal((CONTROLS,), 30, 6)
    assert "31 switches" in calibration.refusal((CONTROLS,), 31, 6)
    assert "7 devices" in calibration.refusal((CONTROLS,), 30, 7)
    assert "line charging" in calibration.refusal((CONTROLS, "line charging"), 10, 1)
    assert ClassCalibration.from_dict(calibration.as_dict()) == calibration


def test_several_situations_are_a_class_of_their_own() -> None:
    problem = controlled(2)
    scenario = problem.scenario
    half = replace(scenario, p_load=scenario.p_load / 2, q_load=scenario.q_load / 2, name="half")
    problem = problem.under(Situations((scenario, half), np.ones(2)))
    assert ProblemClass.of(problem, load_checkpoint().coverage).family == "controls, several load situations"
    search = begun(problem)
    _, readout = RootLook(search).read()
    choices = readout.choices
    assert np.bincount(choices.device, choices.share) == pytest.approx(np.ones(choices.device.max() + 1), abs=1e-6)


def test_softmax_by_group() -> None:
    assert softmax_by(np.array([0.0, 0.0, 700.0, 0.0]), np.array([0, 0, 1, 1])) == pytest.approx([0.5, 0.5, 1.0, 0.0])
    assert len(softmax_by(np.zeros(0), np.zeros(0, dtype=np.int64))) == 0
