"""Tables in pages: what a checkpoint writes of a table with many rows, a few rows a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import StateError

PAGE_ROWS = 256

Columns = Sequence[npt.NDArray[Any]]
"""Arrays (n, ...) whose row i is about the same thing."""


def pages(name: str, columns: Columns) -> list[tuple[str, bytes]]:
    """Every page of a table under its key, `name/number`."""
    return [
        (f"{name}/{number}", page(columns, number))
        for number in range(-(-len(columns[0]) // PAGE_ROWS))
    ]


def page(columns: Columns, number: int) -> bytes:
    """The rows of one page, column after column."""
    rows = slice(number * PAGE_ROWS, (number + 1) * PAGE_ROWS)
    return b"".join(column[rows].tobytes() for column in columns)


def fill(name: str, columns: Columns, parts: Mapping[str, bytes]) -> None:
    """Write what `pages` made of a table of the same size into `columns`.

    Raises
    ------
    StateError
        A page is missing or has another size.
    """
    for number in range(-(-len(columns[0]) // PAGE_ROWS)):
        key = f"{name}/{number}"
        data, at = parts.get(key, b""), 0
        here = [column[number * PAGE_ROWS : (number + 1) * PAGE_ROWS] for column in columns]
        if len(data) != sum(column.nbytes for column in here):
            raise StateError(f"counters: {key} has {len(data)} bytes, not those of its rows")
        for column in here:
            values = np.frombuffer(data, column.dtype, column.size, at)
            column[...] = values.reshape(column.shape)
            at += column.nbytes
