"""What is asked of a configuration besides least loss: a risk, balanced feeders, a ranking, a front.

Parts of it exclude each other; what is refused, and what to do instead, is said here for every front door.
"""

from __future__ import annotations

from dataclasses import dataclass

from learnopt.engines import Engine, SolveOptions
from learnopt.errors import UnsupportedError
from learnopt.network import Configuration, ReconfigurationProblem, Result
from learnopt.studies.configuration.balance import solve_balanced
from learnopt.studies.configuration.held import solve_holding
from learnopt.studies.configuration.risk import Risk, solve_risk
from learnopt.studies.configuration.solve import AUTO, MILP, TREE, front, solve


@dataclass(frozen=True)
class Wish:
    """What is asked for besides least loss.

    Parameters
    ----------
    k_best
        More than one: prove that many best configurations.
    risk, risk_level
        Of several scenarios: least expected loss, CVaR at this level, or worst case; None = the problem's objective.
    balance_weight
        Price of the balance index of the feeders [kW]; None = it does not count.
    strict_limits
        Enforce also limits that the present state breaks and no switch can change; otherwise they are held.
    """

    k_best: int = 1
    risk: Risk | None = None
    risk_level: float = 0.9
    balance_weight: float | None = None
    strict_limits: bool = False

    @property
    def plain(self) -> bool:
        """Least loss is asked for, and nothing that weighs it otherwise."""
        return self.risk is None and self.balance_weight is None

    def refuse(self, problem: ReconfigurationProblem, engine: str | Engine) -> None:
        """Raise UnsupportedError where parts of the wish exclude each other, or the engine does not serve them."""
        ranked: dict[str, object] = {} if self.k_best == 1 else {"k_best": None}
        if self.balance_weight is not None:
            use = ranked if self.risk is None else {"risk": None} | ranked
            if engine not in (AUTO, TREE):
                use = {"engine": TREE} | use
            if use:
                raise UnsupportedError("balance of the feeders is served by the tree search alone", use)
        if self.risk is None:
            return
        use = ranked if engine in (AUTO, TREE, MILP) else {"engine": (AUTO, TREE, MILP)} | ranked
        if use:
            raise UnsupportedError(
                f"the risk {self.risk.value} is served by tree search and MILP, without ranking", use
            )
        if engine == TREE and problem.controls:
            raise UnsupportedError(
                "engine 'tree' sets switches only, the problem has controls", {"engine": (AUTO, MILP)}
            )


def fulfil(
    problem: ReconfigurationProblem,
    engine: str | Engine,
    options: SolveOptions,
    wish: Wish | None = None,
    start: Configuration | None = None,
) -> tuple[ReconfigurationProblem, Result]:
    """The problem that was solved, with the limits that are held, and its result.

    Raises
    ------
    UnsupportedError
        If the wish contradicts itself, or the engine does not serve it or the problem.
    DataError
        If an option is out of its range.
    """
    wish = wish or Wish()
    wish.refuse(problem, engine)

    def run(asked: ReconfigurationProblem) -> Result:
        if wish.risk is not None:
            return solve_risk(asked, wish.risk, wish.risk_level, options, engine == MILP, start)
        if wish.balance_weight is not None:
            return solve_balanced(asked, wish.balance_weight, options, start)
        return solve(asked, engine, options, start, wish.k_best)

    return (problem, run(problem)) if wish.strict_limits else solve_holding(problem, run)


def refuse_cost_of_front(problem: ReconfigurationProblem) -> None:
    """Raise UnsupportedError where a problem of which a front is asked has a switching cost."""
    if problem.switching_cost:
        raise UnsupportedError("a front shows all trade-offs of loss and operations", {"switching_cost": None})


def fulfil_front(
    problem: ReconfigurationProblem,
    engine: str | Engine,
    options: SolveOptions,
    wish: Wish | None = None,
    start: Configuration | None = None,
) -> tuple[ReconfigurationProblem, Result, tuple[Result, ...]]:
    """The same with the front of least loss for every number of operations, whose last point is the result.

    Of a ranking (``wish.k_best``) the result is that of the ranking.

    Raises
    ------
    UnsupportedError
        If the problem has a switching cost, or another engine than the tree search is named.
    """
    wish = wish or Wish()
    refuse_cost_of_front(problem)
    points: list[Result] = []

    def run(asked: ReconfigurationProblem) -> Result:
        points[:] = front(asked, engine, options, start)
        return points[-1] if points and wish.k_best == 1 else solve(asked, engine, options, start, wish.k_best)

    asked, result = (problem, run(problem)) if wish.strict_limits else solve_holding(problem, run)
    return asked, result, tuple(points)
