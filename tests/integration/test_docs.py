"""The documentation: links lead somewhere, names exist, commands have pages, the site builds without a warning."""

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
sys.path.insert(0, str(DOCS))

import command_pages  # noqa: E402

PAGES = sorted(DOCS.rglob("*.md"))
MADE = {"tutorial.md", "commands.md", "gallery.md"}
"""Pages that the site makes."""


def test_links_lead_somewhere() -> None:
    """No relative link of a page is dead."""
    dead = []
    for page in PAGES:
        links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        dead += [f"{page.name}: {k}" for k in links if k not in MADE and not (page.parent / k).exists()]
    assert dead == []


def test_names_of_the_equation_map_exist() -> None:
    """Every function that the map of the methods names can be imported."""
    names = re.findall(r"`(learnopt\.[\w.]+)`", (DOCS / "methods" / "index.md").read_text(encoding="utf-8"))
    assert len(names) > 15
    assert all(resolve_name(name) is not None for name in names)


def test_files_that_pages_name_exist() -> None:
    """A path of the package in a page, in full or from inside ``learnopt/``, is a file or a folder."""
    pages = [*PAGES, *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"))]
    rooms = "|".join(sorted(folder.name for folder in (ROOT / "learnopt").iterdir() if folder.is_dir()))
    named = re.compile(rf"`(learnopt/[\w/.]+|(?:{rooms}|pipeline|planning)/[\w/]+\.py)`")
    found = {(page.name, path) for page in pages for path in named.findall(page.read_text(encoding="utf-8"))}
    assert len(found) > 20
    package = ROOT / "learnopt"
    assert [one for one in sorted(found) if not (package / one[1].removeprefix("learnopt/")).exists()] == []


def test_figures_of_the_first_page_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every number that the example of "How learnopt thinks" prints stands in its text."""
    text, code = (DOCS / "thinking.md").read_text(encoding="utf-8").split("```python\n")
    exec(compile(code.split("```")[0], "thinking.md", "exec"), {})
    printed = re.findall(r"\d+(?:\.\d+)?", capsys.readouterr().out)
    plain = text.replace("50 751", "50751")
    assert len(printed) > 10
    assert [number for number in printed if not re.search(rf"\b{re.escape(number)}\b", plain)] == []


@pytest.mark.parametrize("command", command_pages.commands(), ids=lambda command: command.words)
def test_every_command_has_a_page(command: command_pages.Command) -> None:
    """It names every argument and option, each with its help text, and the command is in the list of commands."""
    page = command_pages.page(command)
    assert command.summary.strip(".")
    assert f"](commands/{command.words.replace(' ', '-')}.md)" in command_pages.overview()
    for parameter in command.command.params:
        if parameter.name == "help":
            continue
        assert parameter.help, f"{command.words}: {parameter.name} has no help text"
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {command_pages.label(parameter)} |")]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        assert len(cells) == (2 if parameter.param_type_name == "argument" else 3)
        assert cells[1]


def test_commands_that_answer_are_shown_somewhere() -> None:
    """On a how-to page: all but ``cases``, ``calibrate``, ``warmup``, which compiles, and ``serve``, which stays."""
    unseen = {c.words for c in command_pages.commands() if not command_pages.shown_on(c)}
    assert unseen <= {"cases", "calibrate", "serve", "warmup"}


@pytest.mark.skipif(find_spec("mkdocs") is None or find_spec("material") is None, reason="needs the extra docs")
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    """``mkdocs build --strict``: navigation, links and anchors, names of the reference, and all pages that are made."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def read(page: str) -> str:
        return (tmp_path / page / "index.html").read_text(encoding="utf-8")

    assert "ReconfigurationProblem" in read("reference")
    assert "data:image/png;base64," in read("tutorial")
    assert "--max-operations" in read("commands/solve")
    assert "commands/solve/" in read("commands")
    assert "Unreleased" in read("changelog")
    pictures = re.findall(r'(?:src|href)="([^"]*gallery/[^"]+|[\w-]+\.(?:svg|html))"', read("gallery"))
    assert len({Path(picture).name for picture in pictures}) >= 9
    assert _dead_links(tmp_path) == []
    loaded = r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"'
    pages = [page for page in tmp_path.rglob("*.html") if page.name == "index.html"]
    fetched = [url for page in pages for url in re.findall(loaded, page.read_text(encoding="utf-8"))]
    assert fetched == []


def _dead_links(site: Path) -> list[str]:
    """Links of the built pages to files that the site does not have."""
    dead = []
    for page in site.rglob("index.html"):
        targets = re.findall(r'(?:href|src)="(?!https?:|data:|mailto:|#|/)([^"#?]+)', page.read_text(encoding="utf-8"))
        for target in targets:
            found = (page.parent / target).resolve()
            if not (found.is_file() or (found / "index.html").is_file()):
                dead.append(f"{page.relative_to(site)}: {target}")
    return dead
