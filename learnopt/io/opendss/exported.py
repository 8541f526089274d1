"""OpenDSS as the tool of a network that states its phases itself: its circuit is written, and judged there.

So there is one description of a network in phases and one physics of it, whatever format it comes from.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.opendss.circuit import Circuit, circuit_of
from learnopt.io.opendss.engine import engine
from learnopt.io.opendss.phases import opened
from learnopt.io.opendss.tool import OpenDSSTool
from learnopt.io.source import SourceState
from learnopt.network import Configuration, Network, Scenario, Settings
from learnopt.network.phase_equivalent import edited_since
from learnopt.network.unbalanced import PhaseCircuit


class ExportedTool(OpenDSSTool):
    """A network with phases in OpenDSS.

    Parameters
    ----------
    network
        What was read, phases included.
    """

    own_sources = False

    def __init__(self, network: Network) -> None:
        super().__init__(Path(network.name))
        self._network = network

    @cached_property
    def _circuit(self) -> Circuit:
        return circuit_of(self._network)

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """A context of its own with the circuit written, read and solved.

        Raises
        ------
        UnsupportedError
            If opendssdirect is not installed.
        """
        if importlib.util.find_spec("opendssdirect") is None:
            raise UnsupportedError(
                f"{self._network.name}: its phases differ, and OpenDSSDirect.py, which computes them, is not "
                "installed: pip install 'learnopt[opendss]', or ask for the balanced equivalent (balanced)"
            )
        with TemporaryDirectory(prefix="learnopt-") as folder:
            path = Path(folder) / "circuit.dss"
            path.write_text(self._circuit.text, encoding="utf-8")
            with engine(path) as dss:
                yield dss

    def circuit(self, network: Network, scenario: Scenario | None = None) -> AbstractContextManager[PhaseCircuit]:
        """The circuit in all its phases.

        Raises
        ------
        DataError
            If the loads or branches of the network are no longer those of its phases.
        """
        if changed := edited_since(network):
            raise DataError(
                network.name,
                [
                    f"{', '.join(changed)} were changed without its phases: change network.phases with them, or ask "
                    "for the balanced equivalent (balanced)"
                ],
            )
        return opened(self.opened, self._renamed(network), scenario)

    def state(
        self,
        network: Network,
        configuration: Configuration,
        settings: Settings | None = None,
        scenario: Scenario | None = None,
    ) -> SourceState:
        """OpenDSS's power flow of the circuit in this state; controls stay as the network has them."""
        if settings is not None:
            return SourceState.failed(self.name, "controls of a network with phases are not set in its circuit")
        renamed = self._renamed(network)
        found = super().state(renamed, configuration, None, scenario)
        named = dict(zip(renamed.bus_ids, map(str, network.bus_ids), strict=True))
        return replace(
            found,
            vm={named[bus]: value for bus, value in found.vm.items()},
            heads_kw={named[bus]: value for bus, value in found.heads_kw.items()},
        )

    def _renamed(self, network: Network) -> Network:
        """A variant of the network that was read, with the names that its elements have in OpenDSS."""
        names = self._circuit.network
        return replace(network, bus_ids=names.bus_ids, branch_ids=names.branch_ids, devices=(), phases=None)
