"""What mkdocs does beside its configuration: pages that are made, not written, and links that leave ``docs/``.

Made at every build: the tutorial with its outputs, a page per command, the gallery. Taken from the repository:
changelog, data card, benchmarks, architecture, the card of the reference checkpoint. A link to one of these
leads to its page, a link to any other file of the repository becomes the name of the file.
"""

from __future__ import annotations

import base64
import posixpath
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

import command_pages  # noqa: E402
import gallery  # noqa: E402

TUTORIAL = DOCS / "tutorial.ipynb"
PUBLISHED = {
    "docs/tutorial.ipynb": "tutorial.md",
    "CHANGELOG.md": "changelog.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "datasets/README.md": "datasets.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/results.md": "benchmark-results.md",
    "checkpoints/reference/README.md": "checkpoint.md",
    "checkpoints/reference/reliability.svg": "checkpoint/reliability.svg",
}
"""Files of the repository that the site has, and where."""
_MADE = ("commands.md", "gallery.md")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_made: list[tempfile.TemporaryDirectory[str]] = []
"""Folders of files that the build copies; they live until it is done."""


def on_config(config: Any) -> Any:
    """The pages of the commands go below their overview in the navigation."""
    pages = [{f"learnopt {c.words}": c.page} for c in command_pages.commands()]
    for section in config.nav:
        for name, entries in section.items() if isinstance(section, dict) else ():
            if name == "Commands":
                entries.extend(pages)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add what is made and what is taken from the repository."""

    def add(uri: str, text: str) -> None:
        files.append(File.generated(config, uri, content=text))

    for path, uri in PUBLISHED.items():
        if path.endswith(".md") and (ROOT / path).is_file():
            add(uri, (ROOT / path).read_text(encoding="utf-8"))
        elif path.endswith(".svg") and (ROOT / path).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    add("commands.md", command_pages.overview())
    for command in command_pages.commands():
        add(command.page, command_pages.page(command))
    _made.append(tempfile.TemporaryDirectory())
    folder = Path(_made[-1].name)
    add("tutorial.md", tutorial(folder))
    add("gallery.md", gallery.make(folder))
    for piece in gallery.PIECES:
        files.append(File.generated(config, f"gallery/{piece.file}", abs_src_path=str(folder / piece.file)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that leave ``docs/`` lead to what the site has instead."""
    return site_links(markdown, page.file.src_uri)


def on_post_build(**_: Any) -> None:
    """The files are copied: their folders go."""
    for folder in _made:
        folder.cleanup()
    _made.clear()


def site_links(markdown: str, uri: str) -> str:
    """The text of a page with every relative link rewritten from the repository to the site; code stays as it is."""
    source = next((path for path, page in PUBLISHED.items() if page == uri), f"docs/{uri}")

    def rewritten(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["target"]))
        if path.startswith("docs/") and path not in PUBLISHED:
            target = path.removeprefix("docs/")
            target = f"{target}/index.md" if (ROOT / path).is_dir() else target
        elif path in PUBLISHED:
            target = PUBLISHED[path]
        else:
            return link["text"] if "`" in link["text"] or link["text"] == path else f"{link['text']} (`{path}`)"
        relative = posixpath.relpath(target, posixpath.dirname(uri) or ".")
        return f"{link['image']}[{link['text']}]({relative}{link['anchor'] or ''})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(rewritten, part) for part in parts)


def tutorial(folder: Path) -> str:
    """The notebook as a page, run in a folder, every cell with what it shows."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(TUTORIAL, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where).execute()
    parts = []
    for cell in notebook.cells:
        parts.append(f"```python\n{cell.source}\n```" if cell.cell_type == "code" else cell.source)
        parts += [_shown(output) for output in cell.get("outputs", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _shown(output: Any) -> str:
    """One output of a cell: its picture, table or text, in this order; what goes to stderr is left out."""
    data = output.get("data", {})
    if "image/png" in data:
        png = "".join(data["image/png"].split())
        base64.b64decode(png, validate=True)
        return f'<p><img alt="output of the cell above" src="data:image/png;base64,{png}"></p>'
    if "text/html" in data:
        return f'<div class="output">{" ".join(data["text/html"].split())}</div>'
    text = output.get("text") if output.get("name") == "stdout" else data.get("text/plain")
    return f"```text\n{text.rstrip()}\n```" if text else ""
