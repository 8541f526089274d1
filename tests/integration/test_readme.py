"""What README.md and the pages of the documentation show, runs from top to bottom and prints what stands below it."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import shown  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", shown.pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_runs_and_prints_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands end as the page says and write the files they name; outputs are those shown, computing times aside."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    renewed, problems = shown.run_page(text, tmp_path)
    assert problems == []
    changed = list(difflib.unified_diff(text.splitlines(), renewed.splitlines(), "shown", "printed", lineterm=""))
    assert changed == [], f"python docs/shown.py {page.relative_to(ROOT)} renews the outputs"
    options = re.findall(r"^(?:\$ )?learnopt .*?--(?:out|report|export|csv) (\S+)", text, re.M)
    assert [name for name in options if not (tmp_path / name).exists()] == []


def test_first_screen_is_one() -> None:
    """The README stays short, shows outputs, and the table of questions has a page for each."""
    prose = re.sub(r"```.*?```", "", README, flags=re.S)
    assert 450 < len(re.findall(r"[A-Za-z][\w'-]+", prose)) < 750
    assert "certificate ac; 139.551 kW" in README
    table = README[README.index("## I want to ...") : README.index("## What is proven")]
    assert len(re.findall(r"\]\(docs/[\w/.-]+\)", table)) >= 13


@pytest.mark.parametrize(
    ("expected", "printed", "equal"),
    [
        ("loss 3 kW\ntree, 0.02 s\n", "loss 3 kW  \ntree, 15 s\n", True),
        ("loss 3 kW\n", "loss 4 kW\n", False),
        ("...\nb\n", "a\nb\n", True),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nb\nd\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
    ],
)
def test_outputs_are_compared_line_by_line(expected: str, printed: str, equal: bool) -> None:
    """Times do not count, ``...`` stands for any lines, everything else must be the same."""
    assert shown.same(expected, printed) is equal


def test_wrong_outputs_and_failures_are_found(tmp_path: Path) -> None:
    """A page that shows another output is renewed; a command that ends otherwise is named."""
    page = "```console\n$ learnopt --version\nsomething else\n```\n\n```\nlearnopt check nowhere.json\n```\n"
    renewed, problems = shown.run_page(page, tmp_path)
    assert "something else" not in renewed
    assert len(problems) == 1
    assert "exit code 2" in problems[0]


def test_linked_files_exist() -> None:
    """No link of README.md, ARCHITECTURE.md or CONTRIBUTING.md inside the repository is dead."""
    dead = []
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8"))
        dead += [f"{name}: {link}" for link in links if not (ROOT / link).exists()]
    assert dead == []
