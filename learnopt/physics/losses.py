"""Where the loss of a judged state is lost."""

from __future__ import annotations

import numpy as np

from learnopt.network import Evaluation, Floats, ReconfigurationProblem


def branch_loss_kw(problem: ReconfigurationProblem, evaluation: Evaluation) -> Floats:
    """Loss of each branch [kW], shape (n_branch,): r I^2 of the larger end, scaled to the total of the judge."""
    net = problem.network
    if not evaluation.converged:
        return np.zeros(net.n_branch)
    heat = net.r * (evaluation.current_a / net.i_base) ** 2
    total = float(heat.sum())
    return heat * (evaluation.loss_kw / total) if total > 0 else heat
