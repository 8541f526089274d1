"""What switching saves over a year: the present, one configuration, one per season, one per hour, each with a bound."""

from learnopt.studies.savings.problem import Period, Savings, SavingsProblem, Strategy
from learnopt.studies.savings.study import savings_study

__all__ = ["Period", "Savings", "SavingsProblem", "Strategy", "savings_study"]
