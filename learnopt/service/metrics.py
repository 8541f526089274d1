"""Figures of the running service in the text format of Prometheus."""

from __future__ import annotations

import threading
from collections import defaultdict

BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper ends of durations [s]."""

Key = tuple[str, tuple[tuple[str, str], ...]]

HELP = {
    "learnopt_cycles_total": ("counter", "Cycles by feeder and verdict."),
    "learnopt_cycles_failed_total": ("counter", "Cycles without an answer by feeder: too late, or the solver ended."),
    "learnopt_cycle_seconds": ("histogram", "From the measurements to the advice."),
    "learnopt_events_total": ("counter", "What brought a cycle forward, by feeder and kind."),
    "learnopt_measurements_total": ("counter", "Measurements by feeder and what became of them."),
    "learnopt_decisions_total": ("counter", "Changes of proposals by what was done."),
    "learnopt_requests_total": ("counter", "Requests by method and status."),
    "learnopt_request_seconds": ("histogram", "Duration of requests."),
    "learnopt_refused_logins_total": ("counter", "Wrong names, passwords or tokens."),
    "learnopt_alarms": ("gauge", "Alarms that stand, by feeder."),
    "learnopt_saved_kwh": ("gauge", "Energy saved against the normal state, by feeder."),
    "learnopt_loss_kw": ("gauge", "Loss at the last cycle, by feeder."),
    "learnopt_model_compared_total": (
        "counter",
        "Answers of the learned model compared, by feeder and model.",
    ),
    "learnopt_model_regret": ("gauge", "Mean loss of its latest answers above the proven least one, relative."),
    "learnopt_pages": ("gauge", "Pages that listen."),
    "learnopt_workers_lost_total": ("counter", "Worker processes that had to be replaced."),
}


class Metrics:
    """Counters, gauges and durations, from any thread."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._values: dict[Key, float] = defaultdict(float)
        self._durations: dict[Key, list[float]] = {}

    def add(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Count."""
        with self._turn:
            self._values[_key(name, labels)] += amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """What is the case now."""
        with self._turn:
            self._values[_key(name, labels)] = value

    def time(self, name: str, seconds: float, **labels: str) -> None:
        """Something took so long."""
        with self._turn:
            row = self._durations.setdefault(_key(name, labels), [0.0] * (len(BUCKETS) + 2))
            for k, end in enumerate(BUCKETS):
                row[k] += seconds <= end
            row[-2] += 1
            row[-1] += seconds

    def text(self) -> str:
        """All of them."""
        with self._turn:
            values, durations = dict(self._values), {key: list(row) for key, row in self._durations.items()}
        lines = []
        for name, (kind, told) in HELP.items():
            lines += [f"# HELP {name} {told}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(k[1])} {v:g}" for k, v in sorted(values.items()) if k[0] == name]
            for (_, labels), row in sorted((k, v) for k, v in durations.items() if k[0] == name):
                ends = [*map("{:g}".format, BUCKETS), "+Inf"]
                for end, count in zip(ends, row[:-1], strict=True):
                    lines.append(f"{name}_bucket{_labels((*labels, ('le', end)))} {count:g}")
                lines += [f"{name}_count{_labels(labels)} {row[-2]:g}", f"{name}_sum{_labels(labels)} {row[-1]:g}"]
        return "\n".join(lines) + "\n"


def _key(name: str, labels: dict[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in labels) + "}" if labels else ""
