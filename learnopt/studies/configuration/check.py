"""A given configuration: is it radial, what does it lose, which limits does it break."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from learnopt.network import Configuration, Evaluation, Id, PhaseSummary, ReconfigurationProblem
from learnopt.network.topology import radiality_faults
from learnopt.physics import evaluate_as_it_is, other_solution
from learnopt.studies.configuration.switching_order import normal_state


@dataclass(frozen=True, eq=False)
class Check:
    """A configuration as it stands.

    Parameters
    ----------
    problem, configuration
        What was checked; branches out of service are open.
    evaluation
        Its AC power flow by the judge, with all of its loops closed.
    faults
        Why it is not radial but for fixed loops, one sentence each.
    violations
        Everything it breaks: locks, caps, radiality and limits, one sentence each.
    note
        That its power flow has a second solution; "" where none is known.
    phases
        What a power flow of all phases says, where the evaluation is one.
    """

    problem: ReconfigurationProblem
    configuration: Configuration
    evaluation: Evaluation
    faults: tuple[str, ...]
    violations: tuple[str, ...]
    note: str = ""
    phases: PhaseSummary | None = None

    def __repr__(self) -> str:
        return f"Check({self.problem.network.name!r}: {self.evaluation!r})"


def check_configuration(problem: ReconfigurationProblem, configuration: Configuration) -> Check:
    """Judge a configuration; with loops too many it is computed as it stands, all of them closed."""
    evaluation = evaluate_as_it_is(problem, configuration)
    faults = tuple(radiality_faults(problem.network, configuration.closed))
    violations = tuple(dict.fromkeys([*problem.faults(configuration), *evaluation.violations]))
    note = "" if faults else other_solution(problem, configuration, evaluation)
    return Check(problem, configuration, evaluation, faults, violations, note)


def state_of(problem: ReconfigurationProblem, open_branches: Configuration | Iterable[Id] | None) -> Configuration:
    """States that were given, branches out of service open: a configuration, ids of the open branches, None = normal.

    Raises
    ------
    DataError
        Listing ids that the network does not have.
    """
    if open_branches is None:
        return normal_state(problem)
    net = problem.network
    given = open_branches if isinstance(open_branches, Configuration) else net.configuration(open_branches)
    return Configuration(given.closed & ~problem.out_of_service)
