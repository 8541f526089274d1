"""Reconfiguration for users of Pyomo: the model of a feeder, and learnopt as a solver of it.

.. code-block:: python

    import pyomo.environ as pyo
    import learnopt.pyomo

    model = learnopt.pyomo.model("case33")
    model.closed["7"].fix(1)  # whatever a user of Pyomo knows about this switch
    results = pyo.SolverFactory("learnopt").solve(model)
    results.problem.lower_bound, results.problem.upper_bound, results.solver.certificate

Importing it registers the solver.
"""

from learnopt.pyomo.export import model
from learnopt.pyomo.solver import LearnoptSolver

__all__ = ["LearnoptSolver", "model"]
