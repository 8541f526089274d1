"""A day or a week: one configuration per step, switching operations counted, with a proven bound."""

from learnopt.studies.horizon.plan import plan_horizon
from learnopt.studies.horizon.problem import HorizonPlan, HorizonProblem

__all__ = ["HorizonPlan", "HorizonProblem", "plan_horizon"]
