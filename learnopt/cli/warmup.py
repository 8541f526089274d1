"""``learnopt warmup``."""

from __future__ import annotations

import json

import typer
from rich.markup import escape

from learnopt.cli.options import JsonOption, said, stderr


def warmup(json_output: JsonOption = False) -> None:
    """Compile the searches ahead, once on a machine: a first large feeder does not wait for it then."""
    from learnopt.api.warmup import warmup as compile_ahead
    from learnopt.compiling import announcements, cache_folder

    announcements.clear()  # this is what they tell of
    parts = []
    with stderr.status("Compiling ...") as live:

        def progress(part: str) -> None:
            parts.append(part)
            live.update(escape(f"Compiling: {part} ..."))

        compile_ahead(progress)
    if json_output:
        typer.echo(json.dumps({"compiled": parts, "cache": str(cache_folder())}))
    else:
        said(f"Compiled: {', '.join(parts)}. Kept in {cache_folder()}")
