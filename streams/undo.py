"""Undo: what brings a partition's state back to where it stood before a batch that failed.

Code that changes state records before each change what the state was; a failure plays the records
back, the latest first. So undoing a batch costs what the batch touched, never what the partition
holds.

Three rules keep it right; `tests/streams/test_stateful_classes.py` checks them on every class that
takes an `Undo`, with bounds so small that every branch is reached.

1. Record each attribute, each entry and each row before it changes, in the function that changes
   it: also an array that only grows, because rows recorded later belong to the longer one.
2. A value that an attribute or an entry held stays as it was: make a new one instead of changing
   it. Frozen dataclasses and `entries` of a dict that is changed in place keep to that.
3. An array that is resized in place stays the same object, and its recorded rows stay valid.
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
    """The changes since the batch began; idle, and free of cost, outside `trying`.

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
        """Take back what was changed inside, if it raises.

        Blocks nest: an inner one that fails takes back its own changes only, and what an inner one
        changed is taken back with the outer one.
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
        """`back` takes back the change that follows."""
        if self.recording:
            self._steps.append(back)

    def rows(self, array: npt.NDArray[Any], index: npt.NDArray[np.integer[Any]] | slice) -> None:
        """`array[index]` is about to change in place."""
        if self.recording:
            self._steps.append(partial(array.__setitem__, index, array[index].copy()))

    def attributes(self, owner: object, *names: str) -> None:
        """These attributes are about to be set anew; what they hold stays as it is."""
        if self.recording:
            for name in names:
                self._steps.append(partial(setattr, owner, name, getattr(owner, name)))

    def entries(self, table: dict[K, V], keys: Iterable[K]) -> None:
        """These entries of `table` are about to be set, removed, or changed in place."""
        if self.recording:
            before = {key: copy(table[key]) if key in table else _ABSENT for key in keys}
            self._steps.append(partial(_put_back, table, before))


def _put_back(table: dict[K, V], before: dict[K, V]) -> None:
    for key, value in before.items():
        if value is _ABSENT:
            table.pop(key, None)
        else:
            table[key] = value
