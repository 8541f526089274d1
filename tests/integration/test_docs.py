"""The documentation: links lead somewhere, names exist, Python examples run, the site builds without a warning."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GENERATED = {"tutorial.md"}
EXAMPLES = [
    pytest.param(text, id=page.name)
    for page in PAGES
    for text in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
]


def test_links_lead_somewhere() -> None:
    """No relative link of a page is dead."""
    dead = []
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        dead += [f"{page.name}: {k}" for k in links if k not in GENERATED and not (page.parent / k).exists()]
    assert dead == []


def test_names_of_the_equation_map_exist() -> None:
    """Every function that the map of the methods names can be imported."""
    names = re.findall(r"`(learnopt\.[\w.]+)`", (DOCS / "methods" / "index.md").read_text(encoding="utf-8"))
    assert len(names) > 15
    assert all(resolve_name(name) is not None for name in names)


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_examples_run(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pages show runs as it stands."""
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "docs", "exec"), {})


def test_figures_of_the_first_page_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every number that the example of "How learnopt thinks" prints stands in its text."""
    text, code = (DOCS / "thinking.md").read_text(encoding="utf-8").split("```python\n")
    exec(compile(code.split("```")[0], "thinking.md", "exec"), {})
    printed = re.findall(r"\d+(?:\.\d+)?", capsys.readouterr().out)
    plain = text.replace("50 751", "50751")
    assert len(printed) > 10
    assert [number for number in printed if not re.search(rf"\b{re.escape(number)}\b", plain)] == []


@pytest.mark.skipif(find_spec("mkdocs") is None or find_spec("material") is None, reason="needs the extra docs")
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    """``mkdocs build --strict``: pages of the navigation, links between pages, and the names of the reference."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ReconfigurationProblem" in (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    assert "Fewer operations" in (tmp_path / "tutorial" / "index.html").read_text(encoding="utf-8")
    loaded = r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"'
    fetched = [url for page in tmp_path.rglob("*.html") for url in re.findall(loaded, page.read_text(encoding="utf-8"))]
    assert fetched == []
