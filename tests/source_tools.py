"""A source tool that computes what the judge computes, and then something else where asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from learnopt.io.source import SourceState
from learnopt.network import Configuration, Limits, Network, ReconfigurationProblem, Scenario, Settings
from learnopt.physics import evaluate
from learnopt.studies.inspection.reconcile import heads_kw

Change = Callable[[SourceState], SourceState]


@dataclass
class FakeTool:
    """A tool that computes what the judge computes, and then something else where asked."""

    change: Change = lambda state: state
    name: str = "Fake"
    asked: list[tuple[Configuration, Settings | None, Scenario | None]] = field(default_factory=list)

    def circuit(self, network: Network, scenario: Scenario | None = None) -> None:
        """It has no phases."""

    def state(
        self,
        network: Network,
        configuration: Configuration,
        settings: Settings | None = None,
        scenario: Scenario | None = None,
    ) -> SourceState:
        """The judge's power flow."""
        self.asked.append((configuration, settings, scenario))
        problem = ReconfigurationProblem.of(network, scenario, limits=Limits(), controls=network.controls)
        if settings is not None:
            problem = problem.applied(settings)
        else:
            problem = ReconfigurationProblem.of(network, scenario, limits=Limits())
        found = evaluate(problem, configuration)
        kw = network.base.kw
        vm = dict(zip(map(str, network.bus_ids), found.vm.tolist(), strict=True))
        load = float(np.maximum(problem.p, 0).sum()) * kw
        generation = float(np.maximum(-problem.p, 0).sum()) * kw
        heads = dict(heads_kw(problem, configuration, found))
        return self.change(SourceState("Fake", True, load, generation, found.loss_kw, vm, 0.5, heads))
