"""The state that is there today, judged whether or not it is radial: circuits may run in parallel on purpose."""

from __future__ import annotations

from dataclasses import replace

from learnopt.network import Configuration, Evaluation, ReconfigurationProblem
from learnopt.network.open_ends import as_operated
from learnopt.network.topology import radiality_faults, unfed_buses
from learnopt.physics.judge import evaluate, evaluate_transition


def evaluate_as_it_is(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation:
    """AC power flow of a state as it stands, with closed loops if it has some.

    As :func:`learnopt.physics.judge.evaluate` where it is radial but for fixed loops. Where only loops too many are
    closed they carry what they carry, and ``violations`` begins by naming them. Where buses have no supply it is
    ``converged = False`` with the reason in ``violations``.
    """
    net = problem.network
    faults = radiality_faults(net, configuration.closed)
    if not faults or unfed_buses(net, configuration.closed).any():
        return evaluate(problem, configuration)
    looped = evaluate_transition(problem, configuration)
    each = tuple(replace(one, violations=(*faults, *one.violations)) for one in looped.scenarios)
    return replace(looped, violations=(*faults, *looped.violations), scenarios=each)


def evaluate_as_operated(problem: ReconfigurationProblem, configuration: Configuration) -> Evaluation | None:
    """The same with every cable that is opened at one end energised from the other; None where there is no such cable.

    Its buses are those of the network, and one more for each end.
    """
    operated, closed = as_operated(problem, configuration)
    return None if operated is problem else evaluate_as_it_is(operated, closed)
