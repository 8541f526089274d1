"""Experiments and models in MLflow: the only room that imports it, and only when something is tracked or fetched.

Runs go to a folder of this machine (a SQLite database and its artifacts) or to a tracking server. Parameters and
metrics are named and logged by hand, autologging is not used.
"""

from learnopt.tracking.registry import CHAMPION, REGISTERED, Version, checkpoint_folder, is_address
from learnopt.tracking.run import DataInput, TrackedRun, track_run
from learnopt.tracking.store import Store

__all__ = [
    "CHAMPION",
    "REGISTERED",
    "DataInput",
    "Store",
    "TrackedRun",
    "Version",
    "checkpoint_folder",
    "is_address",
    "track_run",
]
