"""How functions are compiled that compiled code alone calls."""

from __future__ import annotations

from typing import Any

from learnopt.compiling import njit

_WITHOUT_DOORS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
inner = njit(**_WITHOUT_DOORS)
"""To open a door to Python, for records of many arrays, takes longer to compile than the function itself."""
