"""What controls can make of loads, shunts and ratios: the constants of the relaxation hold over all of it."""

from __future__ import annotations

from dataclasses import dataclass

from learnopt.network import Floats, ReconfigurationProblem


@dataclass(frozen=True)
class LoadRanges:
    """What the controls can make of loads, shunts and ratios: equal ends where there is none.

    Parameters
    ----------
    p_low, p_high, q_low, q_high
        Net load of each bus [pu], shape (n_bus,).
    b_low, b_high
        Shunt susceptance of each bus [pu], shape (n_bus,).
    ratio_low, ratio_high
        Transformer ratio of each branch, shape (n_branch,).
    """

    p_low: Floats
    p_high: Floats
    q_low: Floats
    q_high: Floats
    b_low: Floats
    b_high: Floats
    ratio_low: Floats
    ratio_high: Floats

    @classmethod
    def of(cls, problem: ReconfigurationProblem) -> LoadRanges:
        """The ranges over all settings."""
        net, controls = problem.network, problem.controls
        p_low, p_high, q_low, q_high = (v.copy() for v in (problem.p, problem.p, problem.q, problem.q))
        b_low, b_high = net.b_shunt.copy(), net.b_shunt.copy()
        ratio_low, ratio_high = net.ratio.copy(), net.ratio.copy()
        for g in controls.generators:
            p_min, p_max, q_min, q_max = g.reach
            p_low[g.bus] -= p_max
            p_high[g.bus] -= p_min
            q_low[g.bus] -= q_max
            q_high[g.bus] -= q_min
        for bank in controls.capacitors:
            b_high[bank.bus] += max(bank.choices)
        for tap in controls.taps:
            ratio_low[tap.branch], ratio_high[tap.branch] = 1 / tap.high, 1 / tap.low
        return cls(p_low, p_high, q_low, q_high, b_low, b_high, ratio_low, ratio_high)
