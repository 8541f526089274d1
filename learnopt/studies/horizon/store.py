"""What a horizon has proven so far, in a folder: a run that was killed goes on where it was.

.. code-block:: text

    DIR/horizon.json          fingerprint of what the steps depend on
        steps/00000.json      best configurations of step 0 and the proven bound of its loss
        plan.json             the answer, as printed by ``--json``

Files appear whole or not at all. Steps depend on network, loads, limits and caps; switching cost, window and gap may
differ between runs in one folder.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.errors import DataError
from learnopt.io.case_json import network_to_dict, read_json
from learnopt.io.files import write_text
from learnopt.network import Certificate, Configuration, HorizonProblem, Settings, Status


@dataclass(frozen=True, eq=False)
class StepRecord:
    """What is known of one step.

    Parameters
    ----------
    status, certificate, message
        Of the search of this step alone.
    bound_kw
        Proven lower bound of its loss [kW], None without one.
    configurations
        Its best configurations, best first; empty where there is none.
    settings
        Those of the controls with each configuration; empty where the horizon has none.
    """

    status: Status
    certificate: Certificate
    message: str
    bound_kw: float | None
    configurations: tuple[Configuration, ...]
    settings: tuple[Settings, ...] = ()

    @property
    def settled(self) -> bool:
        """Nothing is left to be found out about this step."""
        return self.status in (Status.OPTIMAL, Status.INFEASIBLE)

    @property
    def ac_bound_kw(self) -> float:
        """AC bound of its loss [kW], NaN where there is none."""
        known = self.bound_kw is not None and self.certificate is Certificate.AC
        return self.bound_kw if known and self.bound_kw is not None else math.nan


class HorizonFolder:
    """A folder of step records.

    Parameters
    ----------
    directory
        Made where it does not exist.
    problem, k_best
        What the records are of.
    tool
        Of records in all phases, the tool that judges; "" = the network's own power flow.

    Raises
    ------
    DataError
        If the folder holds another horizon.
    """

    def __init__(self, directory: Path, problem: HorizonProblem, k_best: int, tool: str = "") -> None:
        self.directory = directory
        self.problem = problem
        (directory / "steps").mkdir(parents=True, exist_ok=True)
        identity = {"fingerprint": _fingerprint(problem, k_best), "n_steps": problem.n_steps}
        if tool:
            identity["phases"] = tool
        manifest = directory / "horizon.json"
        if not manifest.exists():
            _write(manifest, identity)
        elif read_json(manifest) != identity:
            reason = "holds a horizon of another network, profile, limits or caps: choose another folder, or delete it"
            raise DataError(str(directory), [reason])

    def read(self, step: int) -> StepRecord | None:
        """The record of a step; None where it is not there or cannot be read: it is then made again."""
        try:
            raw = json.loads(self._path(step).read_text(encoding="utf-8"))
            return StepRecord(
                Status(raw["status"]),
                Certificate(raw["certificate"]),
                raw["message"],
                raw["bound_kw"],
                tuple(self.problem.network.configuration(ids) for ids in raw["open_branches"]),
                tuple(_settings(values) for values in raw["settings"]),
            )
        except (OSError, ValueError, KeyError, TypeError, DataError):
            return None

    def write(self, step: int, record: StepRecord) -> None:
        """Keep the record of a step."""
        raw = {
            "status": record.status.value,
            "certificate": record.certificate.value,
            "message": record.message,
            "bound_kw": record.bound_kw,
            "open_branches": [self.problem.network.open_ids(c) for c in record.configurations],
            "settings": [asdict(settings) for settings in record.settings],
        }
        _write(self._path(step), raw)

    def _path(self, step: int) -> Path:
        return self.directory / "steps" / f"{step:05d}.json"


def _settings(raw: dict[str, Any]) -> Settings:
    """Settings of their JSON object."""
    generators = tuple((float(p), float(q)) for p, q in raw["generators"])
    return Settings(**{key: tuple(values) for key, values in raw.items()} | {"generators": generators})


def write_plan(directory: Path, answer: dict[str, Any]) -> None:
    """Keep the answer of a run."""
    _write(directory / "plan.json", answer)


def _write(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, allow_nan=False))


def _fingerprint(problem: HorizonProblem, k_best: int) -> str:
    """Digest of everything that the record of a step depends on."""
    digest = hashlib.sha256()
    rules = [
        repr(problem.limits),
        repr(problem.charging),
        repr(problem.max_operations),
        repr(problem.max_operations_per_step),
        repr(k_best),
        repr(problem.controls),
        json.dumps(network_to_dict(problem.network), sort_keys=True),
    ]
    digest.update("\n".join(rules).encode())
    digest.update(np.ascontiguousarray(problem.hours).tobytes())
    for scenario in problem.scenarios:
        for array in (scenario.p, scenario.q, scenario.out_of_service, scenario.locked):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
