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
    """Compile `function` on its first call; arithmetic is done as it is written.

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
    """The same, but sums and maxima of one call may be taken in another order, many at a time.

    No number may be NaN. The order is the code's own, so the same arguments give the same answer.
    """
    return _compiled(function, fastmath={"nnan", "nsz", "reassoc", "contract"})


def _compiled(function: F, **options: Any) -> F:
    try:
        return cast("F", njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # no folder for the cache
        return cast("F", njit(nogil=True, **options)(function))
