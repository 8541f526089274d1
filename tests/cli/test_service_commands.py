"""``learnopt service`` and ``learnopt serve`` from the command line; what cannot be served is told before anything."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from invocation import invoke
from sqlalchemy import text

from learnopt.service.client import AnswerError, Client
from learnopt.service.database import Database

ROOT = Path(__file__).parents[2]


def test_from_a_feeder_to_a_copy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is that of the variable; a changed trail is found, with exit code 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEARNOPT_DATABASE", "sqlite:///some.db")
    assert invoke(capsys, "service", "add-feeder", "one", "case33", "--mode", "study").code == 0
    password = invoke(capsys, "service", "user", "anna", "--role", "operator", "--generate").out.strip()
    assert len(password) >= 12
    assert invoke(capsys, "service", "token", "scada", "--role", "source").out.startswith("learnopt_")
    assert invoke(capsys, "service", "remove", "scada").code == 0
    found = invoke(capsys, "service", "audit", "--json", "--export", "trail.jsonl").json
    lines = [json.loads(line) for line in Path("trail.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["what"] for one in lines] == ["add feeder", "user", "token", "remove token"]
    assert (found["lines"], found["last"], found["broken_at"]) == (4, lines[-1]["hash"], None)
    assert invoke(capsys, "service", "reproduce", "--json").json == {"same": 0, "not_asked": 0, "other": []}
    assert invoke(capsys, "service", "backup", "copy.gz").code == 0
    other = ("--database", "sqlite:///other.db")
    assert invoke(capsys, "service", "restore", "copy.gz", *other).code == 0
    assert invoke(capsys, "service", "audit", "--json", *other).json == found
    database = Database("sqlite:///other.db")
    with database.write() as session:
        session.execute(text("DROP TRIGGER audit_no_update"))
        session.execute(text("UPDATE audit SET who = 'ben' WHERE number = 2"))
    database.close()
    broken = invoke(capsys, "service", "audit", *other)
    assert (broken.code, "broken at line 2" in broken.out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--host", "0.0.0.0"), "in the clear"),
        (("serve", "--certificate", "nowhere.pem"), "belong together"),
        (("serve", "--speed", "0"), "speed = 0"),
        (("serve", "--log-level", "loud"), "'loud'"),
        (("serve", "--database", "mysql://x"), "mysql"),
        (("service", "add-feeder", "one", "case34"), "case34"),
        (("service", "add-feeder", "one", "case33", "--mode", "manual"), "mode"),
        (("service", "user", "anna", "--role", "god", "--generate"), "'god'"),
        (("service", "remove", "nobody"), "nobody"),
        (("service", "work"), "SQLite is for one process"),
        (("service", "restore", "nowhere.gz"), "nowhere.gz"),
        (("service", "adapter", "folder", "nowhere"), "nowhere is no folder"),
        (("service", "adapter", "folder", "."), "LEARNOPT_TOKEN is not set"),
        (("service", "adapter", "mqtt", "host", "--prefix", "a/#"), "'a/#'"),
        (("service", "adapter", "opcua", "opc.tcp://host", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_input_is_told(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    """The object, the value, what to do; exit code 2."""
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capsys, *arguments)
    assert outcome.code == 2
    assert said in outcome.err


def test_the_demo_serves_until_it_is_stopped(tmp_path: Path) -> None:
    """A process of its own: it answers, asks for a key, tells what is wrong, and stops on SIGTERM with exit code 0."""
    command = [sys.executable, "-m", "learnopt", "serve", "--demo", "--port", "0"]
    with subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            told = ""
            while "viewer" not in told:
                line = process.stderr.readline()
                assert line, told
                told += line
            assert re.search(r"log in as operator with the password \S{12,}", told)
            url = re.findall(r"http://\S+", told)[0]
            with urllib.request.urlopen(f"{url}/ready", timeout=30) as answer:
                assert json.load(answer)["status"] == "ok"
            with pytest.raises(AnswerError, match="token"):
                Client(url, "wrong").feeders()
            process.send_signal(signal.SIGTERM)
            process.communicate()  # reads on: what is logged meanwhile must not block it
            assert process.returncode == 0
        finally:
            process.kill()
