"""Functions that numba compiles when that pays, and that Python itself runs until then.

Compiling the searches takes some ten seconds, once on a machine; a small feeder is solved in a tenth of a second
without it, and then numba is not even imported. So a function with a ``steps`` estimate is interpreted first. What it
did is counted in steps, never in seconds; when much work has gone through it, or when compiled code lies in numba's
cache, it is compiled.

**The answer is the same to the last bit.** Such functions, and what they call, keep to arithmetic that IEEE 754 defines
(``+ - * /``, square roots, comparisons, integers): no powers, no division or absolute value of complex numbers, no sums
of libraries, stable sorting only. ``tests/test_compiling.py`` compares both.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any

import numpy as np

GLANCE = 5e4
"""Steps of a function after which it looks for compiled code on disk: loading it takes as long as these, 0.05 s."""
CHUNK = GLANCE / 10
"""Steps that one interpreted call is asked for where its work can be cut: they count whether made or not."""
PATIENCE = 2e6
"""Steps, of about a microsecond each, that a function is interpreted for before it is compiled."""
LONG_PATIENCE = 8e6
"""The same for those that take longest to compile."""

DISABLED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
"""Numba is told to compile nothing, as for a debugger: Python runs everything, slowly."""

kernels: list[Kernel] = []
"""All functions of this kind that were imported."""
numba_hooks: list[Callable[[], None]] = []
"""Called once, when numba has been imported and before anything is compiled."""
announcements: list[Callable[[], None]] = []
"""Called once in a process, before the first function is compiled that no cache holds."""
_insisting = 0


@contextmanager
def everything_compiled() -> Iterator[None]:
    """Inside, nothing is interpreted; what is called there stays compiled."""
    global _insisting
    _insisting += 1
    try:
        yield
    finally:
        _insisting -= 1


class Kernel:
    """A function for numba, as its decorator :func:`njit` leaves it.

    Parameters
    ----------
    function
        What is compiled, or interpreted.
    steps
        Steps of a call with these arguments; None: it is compiled at the first call.
    patience
        Steps before it is compiled.
    options
        Of ``numba.njit``.
    """

    def __init__(
        self, function: Callable[..., Any], steps: Callable[..., float] | None, patience: float, options: dict[str, Any]
    ) -> None:
        update_wrapper(self, function)
        self.py_func = function
        self._steps, self._patience, self._options = steps, patience, options
        self._spent = 0.0
        self._ready = steps is None and not DISABLED
        kernels.append(self)

    def __call__(self, *arguments: Any) -> Any:
        """Compiled or not: the same answer."""
        if not self._ready:
            self._spent += 0.0 if self._steps is None else self._steps(*arguments)
            if not self._pays(self._spent):
                with np.errstate(all="ignore"):
                    return _plain(self.interpreted(*arguments))
            self._ready = True
        return self.compiled(*arguments)

    def patience(self, each: float) -> int:
        """Units of work, of so many steps each, that one call should be asked for: no end once it is compiled."""
        if self._ready or self._pays(self._spent + each):
            return sys.maxsize
        return max(1, int(CHUNK / each))

    def _pays(self, steps: float) -> bool:
        """To compile, or to load, after so many steps."""
        if DISABLED:
            return False
        return _insisting > 0 or steps > self._patience or (steps > GLANCE and self.cached)

    @cached_property
    def cached(self) -> bool:
        """Numba's cache holds compiled code of this function."""
        # Of numba's own index, since it knows by the content of a file whether its code is that of today.
        file = getattr(self._dispatcher._cache, "_cache_file", None)
        return file is not None and bool(file._load_index())

    @property
    def compiled(self) -> Any:
        """Numba's function."""
        if announcements and not self.cached:
            told = list(announcements)
            announcements.clear()
            for announce in told:
                announce()
        return self._dispatcher

    @cached_property
    def interpreted(self) -> Callable[..., Any]:
        """The same function run by Python, and so is whatever it calls."""
        function = self.py_func
        names = dict(function.__globals__)
        for name in function.__code__.co_names:
            if isinstance(found := names.get(name), Kernel):
                names[name] = found.interpreted
        return types.FunctionType(
            function.__code__, names, function.__name__, function.__defaults__, function.__closure__
        )

    @cached_property
    def _dispatcher(self) -> Any:
        import numba

        while numba_hooks:
            numba_hooks.pop()()
        return numba.njit(**self._options)(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """What compiled code that calls this function takes it for."""
        from numba.core.types import Dispatcher

        return Dispatcher(self._dispatcher)


def cache_folder() -> Path:
    """Where numba keeps what it compiles: beside the package, or of a user where that is not writable."""
    path = next(kernel._dispatcher.stats.cache_path for kernel in kernels)
    return Path(path).parent if path else Path(".")


def _plain(value: Any) -> Any:
    """Numbers of Python in place of NumPy's, as compiled code returns them."""
    if type(value) is tuple:
        return tuple(_plain(one) for one in value)
    return value.item() if isinstance(value, np.generic) else value


def njit(
    *, steps: Callable[..., float] | None = None, patience: float = PATIENCE, **options: Any
) -> Callable[[Callable[..., Any]], Kernel]:
    """``numba.njit`` for a function that is interpreted first (see :class:`Kernel`), and imports numba when it must."""
    options = {"cache": True, "error_model": "numpy", **options}
    return lambda function: Kernel(function, steps, patience, options)
