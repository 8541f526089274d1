"""A checkpoint as a model of MLflow: what ``mlflow models serve`` answers with."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from learnopt._version import __version__

_SCRIPT = """\"\"\"Loaded by MLflow: the learned engine around the checkpoint that lies beside.\"\"\"

from learnopt.learned.serve import serve_checkpoint

serve_checkpoint()
"""
EXAMPLE = {
    "name": "ring",
    "base_kv": 10.0,
    "substations": ["S"],
    "buses": [{"id": "S"}, {"id": "A", "p_kw": 300.0, "q_kvar": 90.0}, {"id": "B", "p_kw": 100.0, "q_kvar": 30.0}],
    "branches": [
        {"id": "S-A", "from": "S", "to": "A", "r_ohm": 0.4, "x_ohm": 0.3},
        {"id": "A-B", "from": "A", "to": "B", "r_ohm": 0.4, "x_ohm": 0.3},
        {"id": "B-S", "from": "B", "to": "S", "r_ohm": 0.4, "x_ohm": 0.3, "normally_open": True},
    ],
}
"""A feeder that shows what to send."""
CHECKPOINT = "checkpoint"
"""Name of the checkpoint among the artifacts of a model."""
_being_recorded: ContextVar[bool] = ContextVar("being_recorded", default=False)
"""MLflow loads a model also when it is written: nobody asks it anything then."""

Answers = Callable[[Sequence[Mapping[str, Any]]], tuple[list[dict[str, Any]], list[str]]]
"""Answers to the rows of a request, and what is wrong in it."""


def log_served_model(run_id: str, directory: Path) -> str:
    """Log a checkpoint as a model of a run of the current store; returns its address.

    It takes a table with the columns ``feeder`` (text of a case file) and ``scenario`` (text of a scenario file,
    optional) and answers with one column ``answer``, JSON text (:func:`learnopt.learned.serve.answer`). The code is a
    reference to learnopt, not a pickle: the server needs this version installed.
    """
    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    inputs = Schema([ColSpec("string", "feeder"), ColSpec("string", "scenario", required=False)])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "served.py"
        script.write_text(_SCRIPT, encoding="utf-8")
        with _recording(), mlflow.start_run(run_id=run_id):
            info = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(script),
                artifacts={CHECKPOINT: str(directory)},
                signature=ModelSignature(inputs, Schema([ColSpec("string", "answer")])),
                input_example=pd.DataFrame({"feeder": [json.dumps(EXAMPLE)]}),
                pip_requirements=[f"learnopt=={__version__}"],
            )
    return str(info.model_uri)


def serve(load: Callable[[Path, str | None], Answers]) -> None:
    """Declare to MLflow, which is loading a model, what answers.

    Parameters
    ----------
    load
        Takes the folder of the checkpoint, and a feeder to get ready with before the server says that it is ready
        (requests have a time limit), None while the model is being written.
    """
    import pandas as pd
    from mlflow.exceptions import MlflowException
    from mlflow.models import set_model
    from mlflow.protos.databricks_pb2 import BAD_REQUEST
    from mlflow.pyfunc import PythonModel, PythonModelContext  # type: ignore[attr-defined]

    class Served(PythonModel):
        """One answer per row."""

        def load_context(self, context: PythonModelContext) -> None:
            """Read the checkpoint and compile."""
            ready_with = None if _being_recorded.get() else json.dumps(EXAMPLE)
            self.answers = load(Path(context.artifacts[CHECKPOINT]), ready_with)

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            """Answers as a table with one column; a bad request is one (HTTP 400)."""
            found, wrong = self.answers(model_input.to_dict("records"))
            if wrong:
                raise MlflowException("; ".join(wrong), BAD_REQUEST, errors=wrong)
            return model_input.iloc[:, :0].assign(answer=[json.dumps(each) for each in found])

        # The type of the input stands for the signature that was logged; without one MLflow warns.
        predict.__annotations__["model_input"] = pd.DataFrame

    set_model(Served())


@contextmanager
def _recording() -> Iterator[None]:
    """A model is being written."""
    token = _being_recorded.set(True)
    try:
        yield
    finally:
        _being_recorded.reset(token)
