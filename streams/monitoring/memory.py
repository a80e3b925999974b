"""Memory settings for a process that holds many objects and makes few reference cycles."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

_YOUNG = 50_000
"""New containers before a collection. A fetch makes several thousand containers that live for a
moment: with Python's default of 700, a worker spent a tenth of its time scanning them."""


def tune_garbage_collector() -> None:
    """Exclude all present objects (modules, settings) from collections, and collect rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 20)


def return_free_memory() -> None:
    """Return free memory, such as a restore leaves, to the system if the C library can do it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
