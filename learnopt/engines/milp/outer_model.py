"""What the outer approximation asks of a solver's model: solve, grow by rows, and say what a solution means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from learnopt.engines.milp.highs import SolverRun
from learnopt.network import Bools, Configuration, Floats, Ints, Settings


class Relaxation(Protocol):
    """A model without its cone in some solver; it grows by rows."""

    cuttable: Bools
    """bool, shape (n_arc,): arcs whose current is a variable of the model."""
    takes_tangents: bool
    """False for a solver that has the cone itself."""

    def solve_relaxation(self, time_limit: float) -> SolverRun:
        """Solve without integrality."""
        ...

    def solve(
        self,
        cutoff: float,
        gap: float,
        time_limit: float,
        heuristics: bool,
        watch: Callable[[float, int], None],
        node_limit: int | None = None,
    ) -> SolverRun:
        """Solve below a cutoff [kW]; ``watch`` hears of bound [kW] and nodes on the way."""
        ...

    def add_tangents(self, arc: Ints, alpha: Floats, beta: Floats) -> None:
        """Append the rows of ``distflow_terms.tangent_row``."""
        ...

    def arc_values(self, run: SolverRun) -> tuple[Floats, Floats, Floats, Floats]:
        """P, Q, l and sending-end w of every arc in a solution, each of shape (n_arc,)."""
        ...

    def proposal(self, run: SolverRun) -> Configuration:
        """The configuration of a solution."""
        ...

    def settings(self, run: SolverRun) -> Settings | None:
        """The controls of a solution; None where the problem has none."""
        ...

    def cut_ratings(self, run: SolverRun) -> int:
        """Append a tangent for each generator outside its rating in a solution; how many."""
        ...

    def exclude(self, configuration: Configuration) -> None:
        """Cut off one configuration."""
        ...


@runtime_checkable
class SettableRelaxation(Relaxation, Protocol):
    """A relaxation whose discrete part can be fixed for a while."""

    def closed_share(self, run: SolverRun) -> Floats:
        """Share by which each branch is closed in a solution of the linear relaxation, shape (n_branch,)."""
        ...

    def settle_on(self, configuration: Configuration, settings: Settings | None = None) -> None:
        """Leave nothing but this configuration and, where given, these discrete settings, until :meth:`release`."""
        ...

    def release(self) -> None:
        """Undo :meth:`settle_on`."""
        ...
