"""Which bus, branch or device a text means: an id counts before a name, a name where only one object bears it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learnopt.network.aliases import Id
from learnopt.wording import suggestion

_CANDIDATES = 6
"""Objects of one name that a sentence lists."""


def named_index(
    kind: tuple[str, str],
    text: Id,
    index: Mapping[str, int],
    ids: Sequence[Id],
    names: Sequence[str],
    near: Sequence[object] = (),
) -> tuple[int | None, str]:
    """What an id or a unique name means, or None and a sentence that says why it means nothing.

    Parameters
    ----------
    kind
        For the sentence: ``bus``, ``branch`` or ``device``, and the name of the network.
    index
        Position by ``str(id)``.
    ids, names
        Of all objects, in the order of their positions.
    near
        What else may have been meant by a text that means nothing.
    """
    (what, network), wanted = kind, str(text).strip()
    if wanted in index:
        return index[wanted], ""
    found = [(k, identity) for k, (identity, name) in enumerate(zip(ids, names, strict=True)) if name == wanted]
    if len(found) == 1:
        return found[0][0], ""
    if not found:
        return None, f"{what} {text!r} is not in network {network!r}{suggestion(text, (*names, *ids, *near))}"
    more = f" and {len(found) - _CANDIDATES} more" if len(found) > _CANDIDATES else ""
    candidates = ", ".join(repr(identity) for _, identity in found[:_CANDIDATES])
    return None, (
        f"{what} {text!r} is the name of {len(found)}, say which by id ({candidates}{more}), in network {network!r}"
    )
