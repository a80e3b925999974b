"""Tables in pages, a few rows each, and which pages changed since they were written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from schemas.errors import StateError

PAGE_ROWS = 256

Columns = Sequence[npt.NDArray[Any]]
"""Arrays (n, ...) whose row i is about the same thing."""


def pages(name: str, columns: Columns, first: int = 0) -> list[tuple[str, bytes]]:
    """Every page of a table under its key, `name/number`.

    Parameters
    ----------
    first
        Number of the first row, in a table whose rows leave at the front: a row never changes
        its page.
    """
    return [
        (f"{name}/{number}", b"".join(column[rows].tobytes() for column in columns))
        for number, rows in _cut(len(columns[0]), first)
    ]


def fill(name: str, columns: Columns, parts: Mapping[str, bytes], first: int = 0) -> None:
    """Write what `pages` made of a table of the same size into `columns`.

    Raises
    ------
    StateError
        A page is missing or has another size.
    """
    for number, rows in _cut(len(columns[0]), first):
        key = f"{name}/{number}"
        data, at = parts.get(key, b""), 0
        here = [column[rows] for column in columns]
        if len(data) != sum(column.nbytes for column in here):
            raise StateError(f"counters: {key} has {len(data)} bytes, not those of its rows")
        for column in here:
            values = np.frombuffer(data, column.dtype, column.size, at)
            column[...] = values.reshape(column.shape)
            at += column.nbytes


def _cut(rows: int, first: int) -> list[tuple[int, slice]]:
    """Numbers of the pages, and which rows lie on each."""
    numbers = range(first // PAGE_ROWS, -(-(first + rows) // PAGE_ROWS) if rows else 0)
    begins = [number * PAGE_ROWS - first for number in numbers]
    return [
        (number, slice(max(begin, 0), begin + PAGE_ROWS))
        for number, begin in zip(numbers, begins, strict=True)
    ]


class Written:
    """Which pages were written and what was in them, so that only what changed is written again.

    A page is known by its hash: whatever changes a table, nothing needs to say so.

    Examples
    --------
    >>> written = Written()
    >>> written.changes([("a/0", b"x"), ("a/1", b"y")])
    [('a/0', b'x'), ('a/1', b'y')]
    >>> written.changes([("a/0", b"z")])
    [('a/0', b'z'), ('a/1', None)]
    """

    def __init__(self) -> None:
        self._hashes: dict[str, int] = {}

    def changes(self, tables: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes | None]]:
        """The pages that are new or other than they were; None = a page that is no more."""
        before = self._hashes
        self._hashes = {name: xxhash.xxh3_64_intdigest(data) for name, data in tables}
        changed: list[tuple[str, bytes | None]] = [
            (name, data) for name, data in tables if before.get(name) != self._hashes[name]
        ]
        return changed + [(name, None) for name in before if name not in self._hashes]

    def retain(self, names: Iterable[str]) -> None:
        """These pages weren't written after all."""
        self._hashes.update(dict.fromkeys(names, -1))

    def clear(self) -> None:
        """Nothing is written yet."""
        self._hashes = {}
