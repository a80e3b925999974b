"""Undo: restores a partition's state to what it was before a batch that failed.

Code that changes state first records the old state; after a failure the records are played back,
the latest first. So the cost of an undo depends on what the batch touched, not on the size of the
partition.

Three rules keep undo correct; `tests/streams/test_stateful_classes.py` checks them on every class
that takes an `Undo`, with bounds so small that every branch is reached.

1. Record each attribute, entry and row before it changes, in the function that changes it. Record
   also an attribute whose array is replaced by a longer array: later rows belong to the new array.
2. Never mutate a value that an attribute or an entry held; replace it by a new value. Frozen
   dataclasses, and `entries` of a dict that is changed in place, follow this rule.
3. An array that is resized in place stays the same object, so its recorded rows stay valid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

K = TypeVar("K")
V = TypeVar("V")
_ABSENT: Any = object()


class Undo:
    """Records changes inside `trying`; does nothing outside.

    Examples
    --------
    >>> undo, counts, seen = Undo(), np.zeros(3), {"ann": 1}
    >>> with undo.trying():
    ...     undo.rows(counts, np.array([1]))
    ...     undo.entries(seen, ["bob"])
    ...     counts[1], seen["bob"] = 5, 2
    ...     raise RuntimeError("too much")
    Traceback (most recent call last):
    RuntimeError: too much
    >>> counts.tolist(), seen
    ([0.0, 0.0, 0.0], {'ann': 1})
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], None]] = []
        self.recording = False

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Undo the changes made inside the block if it raises.

        Blocks nest: an inner block that fails undoes only its own changes, and an outer block that
        fails also undoes the changes of its inner blocks.
        """
        outermost, begin = not self.recording, len(self._steps)
        self.recording = True
        try:
            yield
        except BaseException:
            self.recording = False
            while len(self._steps) > begin:
                self._steps.pop()()
            raise
        finally:
            self.recording = not outermost
            if outermost:
                self._steps.clear()

    def keep(self, back: Callable[[], None]) -> None:
        """Record a change that follows; `back` undoes it."""
        if self.recording:
            self._steps.append(back)

    def rows(self, array: npt.NDArray[Any], index: npt.NDArray[np.integer[Any]] | slice) -> None:
        """Record `array[index]`, which is about to change in place."""
        if self.recording:
            before = array[index].copy() if type(index) is slice else array[index]
            self._steps.append(partial(array.__setitem__, index, before))

    def attributes(self, owner: object, *names: str) -> None:
        """Record attributes that are about to be set; their present values must not be mutated."""
        if self.recording:
            for name in names:
                self._steps.append(partial(setattr, owner, name, getattr(owner, name)))

    def entries(self, table: dict[K, V], keys: Iterable[K]) -> None:
        """Record entries of `table` that are about to be set, removed or changed in place."""
        if self.recording:
            before = {key: copy(table[key]) if key in table else _ABSENT for key in keys}
            self._steps.append(partial(_put_back, table, before))


def _put_back(table: dict[K, V], before: dict[K, V]) -> None:
    for key, value in before.items():
        if value is _ABSENT:
            table.pop(key, None)
        else:
            table[key] = value
