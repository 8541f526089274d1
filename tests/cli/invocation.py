"""Run a command line in this process: exit code, stdout and stderr."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from learnopt.cli.app import run


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; an assertion fails where there is anything else."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        answer = json.loads(lines[0], parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
        assert isinstance(answer, dict)
        return answer


def invoke(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """``learnopt`` with these arguments; nothing but SystemExit may come out."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run([str(a) for a in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err + printed.out
    assert isinstance(ended.value.code, int)
    return Outcome(ended.value.code, printed.out, printed.err)
