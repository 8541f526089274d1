"""Somebody's own model beside ours: a class with ``predict``, named ``module:Class``, measured like a baseline.

.. code-block:: python

    class Mine:
        name = "mine"                                # in the table; the name of the class if absent

        def fit(self, pairs): ...                    # (problem, best configuration) of other feeders; may be absent

        def predict(self, problem):                  # ids of the branches to open, or a Configuration
            return problem.network.open_ids(problem.network.normal_configuration)
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Protocol

from learnopt.errors import DataError
from learnopt.learning.baselines import Baseline
from learnopt.learning.training import Pair
from learnopt.network import Configuration, Id, ReconfigurationProblem


class Rival(Protocol):
    """What a class must have to be measured; ``name`` (text) and ``fit(pairs)`` are used where it has them."""

    def predict(self, problem: ReconfigurationProblem) -> Configuration | Collection[Id]:
        """The configuration of a problem, or the ids (or unique names) of its open branches."""


class OwnModel(Baseline):
    """A rival behind the interface of baselines; what goes wrong in it is told with its place.

    Parameters
    ----------
    model
        An object with ``predict``.
    source
        ``module:Class``, for errors; the class is its name where it has none.
    """

    def __init__(self, model: Any, source: str) -> None:
        if not callable(getattr(model, "predict", None)):
            raise DataError(
                source, ["has no method predict(self, problem): it returns the ids of the branches to open"]
            )
        self._model, self._source = model, source
        name = getattr(model, "name", None)
        self.name = name if isinstance(name, str) and name else source.rpartition(":")[2]
        self.learns = callable(getattr(model, "fit", None))

    def fit(self, pairs: Sequence[Pair]) -> None:
        """Let it learn, where it can."""
        if self.learns:
            self._call("fit", pairs)

    def predict(self, problem: ReconfigurationProblem) -> Configuration:
        """Its configuration.

        Raises
        ------
        DataError
            If it fails, or returns anything but a configuration of the feeder or ids of its branches.
        """
        answer = self._call("predict", problem)
        network = problem.network
        if isinstance(answer, Configuration):
            if len(answer.closed) == network.n_branch:
                return answer
            problem_told = (
                f"predict returned {len(answer.closed)} branches for the {network.n_branch} of {network.name}"
            )
            raise DataError(self._source, [problem_told])
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Collection):
            kind = type(answer).__name__
            raise DataError(self._source, [f"predict returned a {kind}: return the ids of the branches to open"])
        try:
            return network.configuration(answer)
        except DataError as error:
            found = [f"predict returned what {network.name} does not have: {each}" for each in error.violations]
            raise DataError(self._source, found) from error

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._model, method)(*arguments)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}, line {place.lineno}"
            what = f"{method} failed with {type(error).__name__}: {error} ({where})"
            raise DataError(self._source, [what]) from error


def load_rival(source: str) -> OwnModel:
    """The rival that ``module:Class`` names; modules of the current folder are found too.

    Raises
    ------
    DataError
        If there is no such module or class, it cannot be made without arguments, or has no ``predict``.
    """
    module_name, _, attribute = source.partition(":")
    if not module_name or not attribute or module_name.endswith(".py") or "/" in module_name:
        name = Path(module_name).stem or "module"
        advice = f"name it as module:Class, for instance {name}:{attribute or 'Class'}"
        raise DataError(source, [f"is no module and class: {advice}, with the file in the current folder"])
    module = _imported(module_name, source)
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            names = [name for name, each in vars(module).items() if isinstance(each, type)]
            there = [name for name in names if vars(module)[name].__module__ == module_name]
            raise DataError(
                source, [f"module {module_name} has no {attribute!r}; its classes: {', '.join(there) or 'none'}"]
            )
        found = getattr(found, part)
    if not callable(found):
        raise DataError(source, [f"{attribute} is a {type(found).__name__}: name a class with predict(self, problem)"])
    try:
        model = found()
    except Exception as error:
        problem = f"{attribute}() failed with {type(error).__name__}: {error}"
        raise DataError(source, [f"{problem}; it is made without arguments"]) from error
    return OwnModel(model, source)


def _imported(name: str, source: str) -> Any:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            problem = f"no module {error.name}: it is neither installed nor in {here}"
        else:
            problem = f"module {name} imports {error.name}, which is not installed"
        raise DataError(source, [problem]) from error
    except Exception as error:
        raise DataError(source, [f"importing {name} failed with {type(error).__name__}: {error}"]) from error
    finally:
        sys.path.remove(here)
