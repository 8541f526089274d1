"""AC power flow by compiled sweeps, loop space of the meshed network, and the independent judge."""

from learnopt.physics.judge import evaluate, evaluate_transition
from learnopt.physics.loop_space import LoopSpace
from learnopt.physics.present import evaluate_as_it_is, evaluate_as_operated
from learnopt.physics.second_opinion import other_solution
from learnopt.physics.sweep import PowerFlow, PowerFlowBatch, SweepStatus, power_flow, power_flow_batch

__all__ = [
    "LoopSpace",
    "PowerFlow",
    "PowerFlowBatch",
    "SweepStatus",
    "evaluate",
    "evaluate_as_it_is",
    "evaluate_as_operated",
    "evaluate_transition",
    "other_solution",
    "power_flow",
    "power_flow_batch",
]
