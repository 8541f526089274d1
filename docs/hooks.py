"""What mkdocs does beside its configuration: the tutorial notebook becomes a page, without being executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

TUTORIAL = Path(__file__).parent / "tutorial.ipynb"


def on_files(files: Files, config: Any) -> Files:
    """Add ``tutorial.md``, made from the cells of the notebook."""
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    parts = ["".join(cell["source"]) for cell in cells]
    code = [cell["cell_type"] == "code" for cell in cells]
    text = "\n\n".join(f"```python\n{p}\n```" if c else p for p, c in zip(parts, code, strict=True))
    note = "\n\nThe [notebook](tutorial.ipynb) of this page is run by the tests.\n"
    files.append(File.generated(config, "tutorial.md", content=text + note))
    return files
