"""Maps over independent tasks: in this process, in processes of this machine, or on a Dask cluster.

A task is a function that can be imported and an item that can be pickled; what is random in it comes with the item.
Then the answers, and the files that tasks write, are the same bytes whoever does the work. A task should take seconds:
a shard of a dataset and not an instance.
"""

from learnopt.parallel.tasks import run_tasks, size_of
from learnopt.parallel.workers import HERE, Workers, WorkersLostError

__all__ = ["HERE", "Workers", "WorkersLostError", "run_tasks", "size_of"]
