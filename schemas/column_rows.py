"""Rows of columns: choosing and joining them, field by field."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt


class Columns:
    """A dataclass of columns of equal length: arrays, lists, data frames or other `Columns`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, slots=True)
    ... class Visits(Columns):
    ...     users: list[str]
    ...     times_s: npt.NDArray[np.int64]
    >>> visits = Visits(["ann", "bob", "cid"], np.array([3, 5, 8]))
    >>> visits.take(np.array([True, False, True]))
    Visits(users=['ann', 'cid'], times_s=array([3, 8]))
    >>> visits.part(1, 3).users
    ['bob', 'cid']
    >>> Visits.concat([visits.take(np.array([2])), visits]).users
    ['cid', 'ann', 'bob', 'cid']
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]  # a dataclass' fields

    def take(self, rows: npt.NDArray[Any]) -> Self:
        """The chosen rows, in the order of `rows`: int indices (m,), or a bool mask (n,)."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return type(self)(*[_pick(getattr(self, name), index) for name in self.__match_args__])

    def part(self, begin: int, end: int) -> Self:
        """The rows from `begin` to `end` (exclusive); arrays are views."""
        return type(self)(*[_part(getattr(self, name), begin, end) for name in self.__match_args__])

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """The rows of all `parts`, in order; there must be at least one part."""
        if len(parts) == 1:
            return parts[0]
        return cls(*[_join([getattr(part, name) for part in parts]) for name in cls.__match_args__])


def _part(column: Any, begin: int, end: int) -> Any:
    return column.part(begin, end) if isinstance(column, Columns) else column[begin:end]


def _pick(column: Any, index: npt.NDArray[Any]) -> Any:
    if isinstance(column, Columns):
        return column.take(index)
    if isinstance(column, list):
        return [column[row] for row in index.tolist()]
    return column[index]


def _join(parts: list[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Columns):
        return type(first).concat(parts)
    if isinstance(first, list):
        return list(chain.from_iterable(parts))
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    import polars as pl

    return pl.concat(parts)
