"""The package in a notebook: what its functions return keeps question and answer together, and shows itself."""

from learnopt.api.picture import Picture
from learnopt.api.solution import Solution, load, problem, solve
from learnopt.api.study import SavingsStudy, savings

__all__ = ["Picture", "SavingsStudy", "Solution", "load", "problem", "savings", "solve"]
