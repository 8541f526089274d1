"""How records show themselves in a notebook: a small table of facts, HTML without styles of its own."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_MOST_IDS = 20
"""Ids listed one by one; more are counted."""


def fact_table(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A table of names and values under a title; all texts are escaped."""
    body = "".join(
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(str(value))}</td></tr>'
        for name, value in rows
    )
    return f"<table><caption><b>{escape(title)}</b></caption><tbody>{body}</tbody></table>"


def listed(ids: Iterable[object]) -> str:
    """Ids in words: ``7, 9, 14``, the first of them and how many more where they are many, ``none`` without any."""
    names = [str(i) for i in ids]
    more = f" and {len(names) - _MOST_IDS} more" if len(names) > _MOST_IDS else ""
    return ", ".join(names[:_MOST_IDS]) + more if names else "none"
