"""Tables in pages of a few rows, and which pages changed since they were last written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from schemas.errors import StateError

PAGE_ROWS = 256

Columns = Sequence[npt.NDArray[Any]]
"""Arrays (n, ...); row i of each belongs to the same entry."""


def pages(name: str, columns: Columns, first: int = 0) -> list[tuple[str, bytes]]:
    """All pages of a table, each with its key, `name/number`.

    Parameters
    ----------
    name, columns
        The table.
    first
        Number of the first row; a table that loses rows at the front keeps their numbers, so that
        a row stays on its page.
    """
    return [
        (f"{name}/{number}", b"".join(column[rows].tobytes() for column in columns))
        for number, rows in _cut(len(columns[0]), first)
    ]


def fill(name: str, columns: Columns, parts: Mapping[str, bytes], first: int = 0) -> None:
    """Fill `columns` from the pages that `pages` made of a table of the same size.

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
    """Number and rows of each page."""
    numbers = range(first // PAGE_ROWS, -(-(first + rows) // PAGE_ROWS) if rows else 0)
    begins = [number * PAGE_ROWS - first for number in numbers]
    return [
        (number, slice(max(begin, 0), begin + PAGE_ROWS))
        for number, begin in zip(numbers, begins, strict=True)
    ]


class Written:
    """Hashes of the written pages, so that only changed pages are written again.

    Code that changes a table doesn't have to mark pages: their hashes show the change.

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
        """The pages that are new or changed; None = a page that no longer exists."""
        before = self._hashes
        self._hashes = {name: xxhash.xxh3_64_intdigest(data) for name, data in tables}
        changed: list[tuple[str, bytes | None]] = [
            (name, data) for name, data in tables if before.get(name) != self._hashes[name]
        ]
        return changed + [(name, None) for name in before if name not in self._hashes]

    def retain(self, names: Iterable[str]) -> None:
        """Treat these pages as changed: they weren't written after all."""
        self._hashes.update(dict.fromkeys(names, -1))

    def clear(self) -> None:
        """Treat all pages as not written."""
        self._hashes = {}
