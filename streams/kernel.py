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

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on its first call.

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
    try:
        return cast("F", njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no folder for the cache
        return cast("F", njit(nogil=True)(function))
