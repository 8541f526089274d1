"""A day or a week: one configuration per step, switching operations counted, with a proven bound."""

from learnopt.pipeline.horizon.plan import plan_horizon
from learnopt.pipeline.horizon.problem import HorizonPlan, HorizonProblem

__all__ = ["HorizonPlan", "HorizonProblem", "plan_horizon"]
