"""Words that fit a number, and the nearest of what is known to a word that is not."""

from __future__ import annotations

from collections.abc import Iterable

_SUGGESTED = 4
"""Near matches that a sentence names."""
_LEAST_LIKE = 0.6
"""Ratio of matching letters (:mod:`difflib`) from which on two words are near."""
_SHORTEST = 3
"""Letters from which on a word inside another says something."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun: ``1 bus``, ``2 buses``, ``1 bus has``, ``2 buses have``.

    Parameters
    ----------
    noun
        What there is one of, with a verb where that changes with the number.
    plural
        The same of several; by the rules of English where absent.
    """
    return f"{count} {agreeing(count, noun, plural)}"


def agreeing(count: int, noun: str, plural: str = "") -> str:
    """The word alone: ``bus`` of one, ``buses`` of none or several."""
    if count == 1:
        return noun
    return plural or (f"{noun}es" if noun.endswith(("s", "ch", "sh", "x")) else f"{noun}s")


def near_matches(text: object, known: Iterable[object]) -> list[str]:
    """Known words that a text may mean, nearest first: those that begin with it, hold it or are spelled nearly so.

    Capitals and blanks at the ends do not count; each word is there once. To a number none is near.
    """
    wanted = str(text).strip().casefold()
    words = {str(word): str(word).casefold() for word in known if str(word)}
    if not wanted or wanted.isdigit():
        return []
    held = len(wanted) >= _SHORTEST
    begins = [word for word, low in words.items() if low.startswith(wanted) or low == wanted]
    inside = [
        word
        for word, low in words.items()
        if (held and wanted in low) or (len(low) >= _SHORTEST and low in wanted) or low == wanted
    ]
    found = list(dict.fromkeys([*sorted(begins, key=len), *sorted(inside, key=len)]))
    if len(found) < _SUGGESTED:
        # Loads slowly: only where something was mistyped.
        from difflib import get_close_matches

        spelled = {low: word for word, low in reversed(words.items())}
        found += [spelled[low] for low in get_close_matches(wanted, spelled, _SUGGESTED, _LEAST_LIKE)]
    return list(dict.fromkeys(found))[:_SUGGESTED]


def suggestion(text: object, known: Iterable[object]) -> str:
    """An ending of a sentence that says what may be meant, ``; did you mean 'a' or 'b'?``, or nothing."""
    *some, last = [repr(word) for word in near_matches(text, known)] or [""]
    if not last:
        return ""
    return f"; did you mean {', '.join(some) + ' or ' if some else ''}{last}?"
