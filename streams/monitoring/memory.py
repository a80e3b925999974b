"""Python's cyclic garbage collector, set for a process that holds much and leaks no cycles."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_YOUNG = 50_000
"""New containers before a collection. A fetch makes several thousand that live for a moment:
with Python's 700, a tenth of a worker's time went into looking at them again and again."""


def settle_garbage() -> None:
    """Never look again at what exists now (modules, settings), and at new objects rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


def give_memory_back() -> None:
    """Let the system have what a restore needed for a moment, where the C library can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
