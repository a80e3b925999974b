"""Undo: what brings a partition's state back to where it stood before a batch that failed.

Whoever changes state says before each change what it was; a failure plays that back, the latest
change first. So undoing a batch costs what the batch touched, never what the partition holds.
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
        """Take back what was changed inside, if it raises."""
        self.recording = True
        try:
            yield
        except BaseException:
            self.recording = False
            while self._steps:
                self._steps.pop()()
            raise
        finally:
            self.recording = False
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
