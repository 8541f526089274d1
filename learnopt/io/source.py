"""The tool that a file comes from, asked for its own power flow: what every import and every answer is compared with.

A reader reduces a file to the balanced network of one phase. Whether that network is the one of the file, and whether
an answer keeps its promise there, only the tool itself can say: OpenDSS for a master file, pandapower for its nets.
Formats without a tool (case files, tables, MATPOWER) have no :class:`SourceTool`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from learnopt.network import Configuration, Network, Scenario, Settings
from learnopt.network.unbalanced import PhaseCircuit


@dataclass(frozen=True)
class SourceState:
    """One power flow of a source tool, in the ids of the network that was read.

    Parameters
    ----------
    tool
        Its name, for people.
    converged
        It found a solution; all that follows is NaN, empty or None where it did not.
    load_kw, generation_kw
        What loads draw and what generators inject, sources left out, both >= 0 in the usual case [kW].
    loss_kw
        Active loss of all that the network models as branches, impedances of the sources among them [kW].
    vm
        Lowest voltage of each bus [pu], the least of its phases; buses that the tool does not have are absent.
    max_loading
        Highest current over ampacity, as a share; None where no rating is known.
    heads_kw
        Active power drawn at each substation [kW].
    reason
        Why there is no solution, or what could not be set; "" where all went well.
    """

    tool: str
    converged: bool
    load_kw: float
    generation_kw: float
    loss_kw: float
    vm: Mapping[str, float] = field(default_factory=dict)
    max_loading: float | None = None
    heads_kw: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def failed(cls, tool: str, reason: str) -> SourceState:
        """No solution, and why."""
        nan = float("nan")
        return cls(tool, False, nan, nan, nan, reason=reason)


class SourceTool(Protocol):
    """A file open in its own tool."""

    @property
    def name(self) -> str:
        """The tool, for people: ``OpenDSS``."""
        ...

    def state(
        self,
        network: Network,
        configuration: Configuration,
        settings: Settings | None = None,
        scenario: Scenario | None = None,
    ) -> SourceState:
        """Power flow of the file in the tool, with switches and controls set as asked; the file is left as it is.

        Parameters
        ----------
        network
            What was read from this file: its ids say what is set.
        configuration
            State of every branch.
        settings
            Values of the controls of ``network``, in their order; None = as they are in the file.
        scenario
            Loads, generation and outages; None = those of the file.

        Returns
        -------
        SourceState
            Not converged, with a reason, where the tool finds no solution or cannot be set so.
        """
        ...

    def circuit(
        self, network: Network, scenario: Scenario | None = None
    ) -> AbstractContextManager[PhaseCircuit] | None:
        """The file in all its phases, open in the tool, with the loads of a scenario where one is given.

        None where the tool has no phases, or the network not all of the switches that act on them.
        """
        ...


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network with all that is known about where it comes from.

    Parameters
    ----------
    network
        What was read.
    notes
        What was assumed, merged or left out on the way, one sentence each.
    source
        The tool of the file; None where the format has none.
    explained
        The reductions, one sentence each, that may make the source tool's loss and voltages differ from those of the
        network (imbalance, phases of unequal loading, loads that depend on the voltage). Where there is none, a
        difference means that the network is not that of the file.
    held
        What the file says may be controlled and learnopt holds at its present power, by name.
    """

    network: Network
    notes: tuple[str, ...] = ()
    source: SourceTool | None = None
    explained: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
