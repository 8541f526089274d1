"""Outer approximation of perspective DistFlow: on HiGHS, on other solvers by Pyomo, over periods."""
