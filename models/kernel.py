"""Compiled inner loops: `@kernel` turns a loop over plain arrays into machine code (numba).

A kernel runs without the interpreter lock, so that the event loop and the consumer go on
meanwhile. It is compiled when it is first called with arguments of these types, which takes
seconds, and kept in a cache: beside its file, where that folder may be written, else in numba's
folder of the user. Where neither may be, every process compiles for itself
(`NUMBA_CACHE_DIR` names another folder).

The cache is renewed when the kernel's own file changes. So a kernel calls only kernels of its own
file, and what it takes from other files is part of a contract (numbers of kinds).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

# Where Intel's vector functions are installed, a loop's last numbers would be rounded otherwise.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on its first call; arithmetic is done as it is written, in this order,
    a product and a sum each rounded, so that it gives the same bits on every processor.

    Examples
    --------
    >>> import numpy as np
    >>> @kernel
    ... def total(values):
    ...     amount = 0.0
    ...     for value in values:
    ...         amount += value
    ...     return amount
    >>> total(np.array([1.0, 2.5]))
    3.5
    """
    return _compiled(function)


def vector_kernel(function: F) -> F:
    """The same, but maxima may be taken many at a time: no number may be NaN, 0 has no sign.

    Sums keep their order here too: how many fit a register depends on the processor.
    """
    return _compiled(function, fastmath={"nnan", "nsz"})


def _compiled(function: F, **options: Any) -> F:
    try:
        return cast("F", njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # no folder for the cache
        return cast("F", njit(nogil=True, **options)(function))
