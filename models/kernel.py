"""Compiled inner loops: `@kernel` turns a loop over plain arrays into machine code (numba).

A kernel runs without the interpreter lock, so the event loop and the consumer keep running. The
first call with arguments of given types compiles it, which takes seconds, and caches the result:
beside its file where that folder is writable, else in the user's numba folder.
`NUMBA_CACHE_DIR` names another folder. Where none is writable, every process compiles for itself.

numba renews the cache when the kernel's own file changes, and only then. So a kernel calls only
kernels of its own file, and the constants it takes from other files belong to a contract (the
numbers of the kinds).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar, cast

# Intel's vector functions, where installed, would round the last elements of a loop differently.
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on its first call.

    Arithmetic happens in the order in which it is written, and every product and sum is rounded
    on its own, so the result has the same bits on every processor.

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
    """Compile like `kernel`, but let maxima be vectorised: no NaN may occur, and 0 has no sign.

    Sums keep their order here too, since how many fit a register depends on the processor.
    """
    return _compiled(function, fastmath={"nnan", "nsz"})


def _compiled(function: F, **options: Any) -> F:
    try:
        return cast("F", njit(nogil=True, cache=True, **options)(function))
    except RuntimeError:  # no folder for the cache
        return cast("F", njit(nogil=True, **options)(function))
