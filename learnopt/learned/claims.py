r"""Whether a stated risk is kept, by a test that asks little of the data.

Instances come in *units* that count as independent: feeders, or days of one's own feeder. With :math:`L_i` the share of
the instances of unit i in which a fixed switch is wrong, the claim "risk at most alpha" is tested by

.. math:: p = P(\mathrm{Bin}(n, \alpha) \ge k), \qquad k = \textstyle\sum_i L_i

exactly where every :math:`L_i` is 0 or 1, else by Bentkus' bound :math:`e \, P(\mathrm{Bin}(n, \alpha) \ge \lfloor k
\rfloor)`, which holds for any independent :math:`L_i` in [0, 1]. The same test compares the share of unusual instances
(novelty above 1) with the one in a hundred of the calibration. Several risks share one level. Days in a row are alike,
and who looks every day finds a false alarm some day: a small level, or longer periods, make up for both.

References
----------
Bentkus (2004), doi:10.1214/009117904000000360; Angelopoulos, Bates, Candès, Jordan & Lei (2021), arXiv:2110.01052
(tests of a risk by it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc


@dataclass(frozen=True)
class RiskCheck:
    """A stated risk against what was measured.

    Parameters
    ----------
    alpha
        The risk; of novelty its share in the calibration.
    rate
        Mean over the units of the share of instances that fail.
    failures, units
        Sum of these shares, and their number.
    p_value
        Chance of so many failures or more if the risk were kept.
    seen_from
        Least rate that this number of units would show as broken, None where none would.
    broken
        The claim is rejected.
    """

    alpha: float
    rate: float
    failures: float
    units: int
    p_value: float
    seen_from: float | None
    broken: bool


def check_risk(failures: Sequence[float], units: Sequence[str], alpha: float, level: float) -> RiskCheck:
    """Test whether the mean over units of the share of failures is at most ``alpha``.

    Parameters
    ----------
    failures
        0 or 1 of each instance.
    units
        Unit of each instance.
    """
    _, unit, size = np.unique(np.asarray(units), return_inverse=True, return_counts=True)
    shares = np.bincount(unit, weights=np.asarray(failures, dtype=float)) / size
    n, whole = len(size), bool(((shares == 0) | (shares == 1)).all())
    p = p_value(float(shares.sum()), n, alpha, whole)
    seen = next((k / n for k in range(1, n + 1) if p_value(float(k), n, alpha, whole) <= level), None)
    return RiskCheck(alpha, float(shares.mean()), float(shares.sum()), n, p, seen, p <= level)


def p_value(failures: float, units: int, alpha: float, whole: bool) -> float:
    """Chance of so many failures or more among units that fail with probability at most ``alpha``.

    Parameters
    ----------
    whole
        A unit fails or not: the binomial tail. Else it may fail in part: Bentkus' bound.
    """
    least = math.floor(failures + 1e-9)
    tail = 1.0 if least <= 0 else float(bdtrc(least - 1, units, alpha))
    return tail if whole else min(1.0, math.e * tail)


def fewer(now: int, n_now: int, before: int, n_before: int) -> float:
    """Fisher's chance of so few successes now, or fewer, if they were as frequent as before."""
    from scipy.stats import hypergeom  # takes long to load: only where models are compared

    return float(hypergeom.cdf(now, n_before + n_now, before + now, n_now))
