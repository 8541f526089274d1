"""A look at a model in use: tests of its claims against enumeration, verdicts, periods, and calibration on days."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from learnopt.dataset.snapshots import generate_snapshots
from learnopt.errors import DataError
from learnopt.io.profiles.series import Profiles
from learnopt.learned.claims import check_risk, fewer, p_value
from learnopt.learned.evaluate import evaluate
from learnopt.learned.labels import label_dataset
from learnopt.learned.monitoring import Every, Period, Verdict, judge, monitor
from learnopt.learned.own_feeder import recalibrate_on_days
from learnopt.learning.checkpoint import load_card, load_checkpoint
from learnopt.network import Network


def history(network: Network, folder: Path, days: int, first: str = "2026-03-02", seed: int = 3) -> Path:
    """Three snapshots a day, labelled."""
    rng, n = np.random.default_rng(seed), 3 * days
    times = np.datetime64(f"{first}T00:00:00") + np.arange(n) * np.timedelta64(8, "h")
    factor = rng.lognormal(sigma=0.4, size=(n, network.n_bus))
    profiles = Profiles.net(times, factor * network.p_load, factor * network.q_load, (), network.n_branch)
    generate_snapshots(network, profiles, folder, charging=False)
    label_dataset(folder)
    return folder


@pytest.fixture(scope="module")
def ten_days(case33: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days from a Monday on. Read only."""
    return history(case33, tmp_path_factory.mktemp("history") / "march", 10)


def test_binomial_tail_is_that_of_enumeration() -> None:
    for n, alpha in ((1, 0.3), (5, 0.1), (9, 0.02)):
        for k in range(n + 1):
            tail = sum(
                np.prod([alpha if fails else 1 - alpha for fails in outcome])
                for outcome in product((0, 1), repeat=n)
                if sum(outcome) >= k
            )
            assert p_value(k, n, alpha, whole=True) == pytest.approx(float(tail), rel=1e-12)


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_a_kept_risk_is_seldom_called_broken(alpha: float) -> None:
    """Units that fail in part, exactly as often as stated: at level 0.05 no more than that many false alarms."""
    rng, alarms, runs = np.random.default_rng(0), 0, 2000
    units = [str(k) for k in range(40) for _ in range(4)]
    for _ in range(runs):
        day = rng.random(40) < alpha * 2
        failures = (rng.random((40, 4)) < 0.5 * day[:, None]).astype(float).ravel()  # half of a bad day
        alarms += check_risk(failures.tolist(), units, alpha, 0.05).broken
    assert alarms / runs <= 0.05


def test_a_broken_risk_is_seen_and_what_can_be_seen_is_said() -> None:
    units = [str(k) for k in range(100)]
    broken = check_risk([1.0] * 8 + [0.0] * 92, units, 0.01, 0.01)
    assert broken.broken
    assert (broken.failures, broken.units, broken.rate) == (8.0, 100, 0.08)
    edge = broken.seen_from
    assert edge is not None
    k = round(edge * 100)
    assert check_risk([1.0] * k + [0.0] * (100 - k), units, 0.01, 0.01).broken
    assert not check_risk([1.0] * (k - 1) + [0.0] * (101 - k), units, 0.01, 0.01).broken
    assert check_risk([1.0], ["one"], 0.1, 0.01).seen_from is None  # one day can show nothing
    assert check_risk([1.0, 0.0, 1.0, 0.0], ["a", "a", "b", "c"], 0.1, 0.01).failures == 1.5


def test_fisher_is_that_of_a_known_table() -> None:
    """Tea: 3 of 4 right and 1 of 4: one-sided 0.2429 (Fisher 1935)."""
    assert fewer(1, 4, 3, 4) == pytest.approx(17 / 70)
    assert fewer(4, 4, 3, 4) == pytest.approx(1.0)


def test_many_feeders_are_periods_by_dataset(tiny_checkpoint: Path, other_dataset: Path) -> None:
    """The model alone, as evaluate measures it; every failure is one of the same switches."""
    found = monitor(tiny_checkpoint, [other_dataset])
    assert [period.name for period in found.periods] == [other_dataset.name]
    assert found.periods[0].metrics == found.whole.metrics
    assert found.unit == "feeder"
    assert found.whole.metrics == evaluate(tiny_checkpoint, other_dataset, baselines=False).methods["model"]
    if found.whole.units == found.whole.metrics.n:  # an instance per feeder: both count the same
        for risk in found.risks:
            assert risk.rate == pytest.approx(found.whole.metrics.fixing[risk.alpha].failure_rate)
    json.dumps(found.as_dict(), allow_nan=False)


def test_what_the_model_has_learned_from_does_not_count(tiny_checkpoint: Path, labelled_dataset: Path) -> None:
    card = load_card(tiny_checkpoint)
    found = monitor(tiny_checkpoint, [labelled_dataset])
    assert found.whole.metrics.n == card.metrics["test"]["n"]


def test_days_make_periods(tiny_checkpoint: Path, ten_days: Path) -> None:
    weeks = monitor(tiny_checkpoint, [ten_days])
    assert [period.name for period in weeks.periods] == ["week of 2026-03-02", "week of 2026-03-09"]
    assert [period.units for period in weeks.periods] == [7, 3]
    assert [period.metrics.n for period in weeks.periods] == [21, 9]
    assert weeks.unit == "day"
    assert len(monitor(tiny_checkpoint, [ten_days], Every.DAY).periods) == 10
    assert [p.name for p in monitor(tiny_checkpoint, [ten_days], Every.MONTH).periods] == ["2026-03"]


def test_both_kinds_and_bad_levels_are_refused(tiny_checkpoint: Path, ten_days: Path, other_dataset: Path) -> None:
    with pytest.raises(DataError, match="not both"):
        monitor(tiny_checkpoint, [ten_days, other_dataset])
    with pytest.raises(DataError, match="level"):
        monitor(tiny_checkpoint, [ten_days], level=0.0)


def test_calibration_on_days_states_a_risk_for_later_days(
    tiny_checkpoint: Path, case33: Network, ten_days: Path, tmp_path: Path
) -> None:
    """Weights stay; the days that thresholds come from are known afterwards, and made up for by the next one."""
    card = recalibrate_on_days(tiny_checkpoint, ten_days, tmp_path / "c")
    before = load_card(tiny_checkpoint)
    assert card.training == before.training
    assert card.data["calibrated_on"]["days"] == {"temperature": 1, "thresholds": 7, "test": 2}
    assert card.calibration["n_feeders"] == 7
    assert card.split["rule"] == before.split["rule"]
    assert "Tuned to feeder 'case33'" in card.limits_of_use[-1]
    assert load_checkpoint(tmp_path / "c").thresholds[0.1] is None  # seven days cannot state it
    found = monitor(tmp_path / "c", [ten_days])
    assert found.whole.metrics.n == card.metrics["test"]["n"] == 6  # the last two days only
    assert found.exact_before == found.whole.metrics.tree_rate
    again = recalibrate_on_days(tmp_path / "c", ten_days, tmp_path / "d")
    assert again.calibration == card.calibration
    assert again.split == card.split
    with pytest.raises(DataError, match="2 days: 3 are needed"):
        recalibrate_on_days(tiny_checkpoint, history(case33, tmp_path / "short", 2), tmp_path / "e")


def test_verdicts(tiny_checkpoint: Path, ten_days: Path) -> None:
    """Risk or novelty: recalibrate; answers worse than on the card: retrain, whatever else; neither: keep."""
    found = monitor(tiny_checkpoint, [ten_days])
    card = load_card(tiny_checkpoint)
    card = replace(card, metrics={"test": {"tree_rate": 0.9, "n": 50, "mean_regret_percent": 0.1}})
    kept = check_risk([0.0] * 50, [str(k) for k in range(50)], 0.1, 0.01)
    broken = check_risk([1.0] * 50, [str(k) for k in range(50)], 0.1, 0.01)
    good = replace(found.whole, metrics=replace(found.whole.metrics, mean_regret_percent=0.05))
    bad = replace(found.whole, metrics=replace(found.whole.metrics, mean_regret_percent=0.5))

    def verdict(whole: Period, risks: list, unusual: object, p_exact: float | None) -> Verdict:
        return judge(card, whole, risks, unusual, p_exact, 0.01, "day")[0]  # type: ignore[arg-type]

    assert verdict(good, [kept], kept, 0.5) is Verdict.KEEP
    assert verdict(good, [kept, broken], kept, 0.5) is Verdict.RECALIBRATE
    assert verdict(good, [kept], broken, 0.5) is Verdict.RECALIBRATE
    assert verdict(bad, [broken], broken, 1e-4) is Verdict.RETRAIN
    assert verdict(good, [kept], kept, 1e-4) is Verdict.KEEP  # fewer exact, no dearer
    assert verdict(bad, [kept], kept, None) is Verdict.KEEP  # nothing to compare with
    assert "states no risk" in judge(card, good, [], kept, 0.5, 0.01, "day")[1][0]


def test_shifts_name_the_feature_that_moved(
    tiny_checkpoint: Path, ten_days: Path, case33: Network, tmp_path: Path
) -> None:
    """Reactive loads five times as large: their feature is among those named, with a positive sign."""
    heavy = replace(case33, q_load=5 * case33.q_load)
    found = monitor(tiny_checkpoint, [history(heavy, tmp_path / "reactive", 3)])
    usual = {shift.feature: shift.spreads for shift in monitor(tiny_checkpoint, [ten_days]).shifts}
    moved = {shift.feature: shift.spreads for shift in found.shifts}
    feature = next(name for name in moved if "load_q" in name)
    assert abs(moved[feature]) > abs(usual.get(feature, 0.0))


def test_perfect_answers_have_no_failures(
    tiny_checkpoint: Path, ten_days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels replaced by the predictions themselves: no regret, nothing wrong, keep."""
    from learnopt.learned import monitoring

    predictor = load_checkpoint(tiny_checkpoint)
    real = monitoring.proven_pairs

    def flattered(records: object) -> tuple:
        pairs, owners, proven = real(records)  # type: ignore[arg-type]
        return [(p, predictor.predict(p).most_probable) for p, _ in pairs], owners, proven

    monkeypatch.setattr(monitoring, "proven_pairs", flattered)
    found = monitor(tiny_checkpoint, [ten_days])
    assert found.whole.metrics.tree_rate == 1.0
    assert found.whole.metrics.mean_regret_percent == 0.0
    assert found.exact_p_value == pytest.approx(1.0)
