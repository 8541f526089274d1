"""Labelled datasets for models that are not ours: graphs, tables, and what describes them.

.. code-block:: python

    import learnopt.datasets

    graphs = learnopt.datasets.load("small")            # torch_geometric, a graph per proven label
    train, test = graphs.split([0.2])                   # by feeder
    labels = learnopt.datasets.table("small").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from learnopt.dataset.card import describe
from learnopt.dataset.store import table
from learnopt.errors import without_learning
from learnopt.io.places import Place

if TYPE_CHECKING:
    from learnopt.learning.graphs import FeederGraphs
    from learnopt.network import ReconfigurationProblem

__all__ = ["describe", "graph_of", "load", "table"]


def load(directory: Place | str, proven: bool = True, transform: object = None) -> FeederGraphs:
    """Graphs of a labelled dataset; what they hold: :class:`learnopt.learning.graphs.FeederGraphs`.

    Parameters
    ----------
    directory
        A folder, or an address such as ``s3://bucket/folder``.
    proven
        Only labels that are proven best; else all with a configuration.
    transform
        Of torch_geometric.

    Raises
    ------
    DataError
        If the folder holds no dataset, or no such label.
    UnsupportedError
        If torch_geometric is not installed.
    """
    try:
        from learnopt.learning.graphs import FeederGraphs
    except ModuleNotFoundError as missing:
        raise without_learning("a dataset of graphs", missing) from None
    return FeederGraphs(directory, proven, transform)


def graph_of(problem: ReconfigurationProblem) -> Any:
    """The graph of a problem without a label, as a model sees it that was trained on :func:`load`.

    Raises
    ------
    UnsupportedError
        If torch_geometric is not installed.
    """
    try:
        from learnopt.learning.graphs import graph_of as graph
    except ModuleNotFoundError as missing:
        raise without_learning("a graph", missing) from None
    return graph(problem)
