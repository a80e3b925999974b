"""Rows are chosen and joined field by field, whatever the columns are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from schemas.column_rows import Columns


@dataclass(frozen=True, slots=True)
class Inner(Columns):
    grid: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Outer(Columns):
    names: list[str]
    inner: Inner
    frame: pl.DataFrame


def made(*numbers: int) -> Outer:
    grid = np.array([[n, -n] for n in numbers], np.int32).reshape(-1, 2)
    frame = pl.DataFrame({"n": list(numbers)}, schema={"n": pl.Int64})
    return Outer([str(n) for n in numbers], Inner(grid), frame)


def numbers(outer: Outer) -> list[int]:
    found = outer.frame["n"].to_list()
    assert outer.inner.grid.tolist() == [[n, -n] for n in found]
    assert outer.inner.grid.dtype == np.int32
    assert outer.names == [str(n) for n in found]
    return [int(n) for n in found]


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        (np.array([2, 0, 2]), [9, 5, 9]),
        (np.array([True, False, True]), [5, 9]),
        (np.array([], np.int64), []),
        (np.zeros(3, np.bool_), []),
    ],
)
def test_rows_are_taken_by_number_or_mask(rows: npt.NDArray[np.generic], left: list[int]) -> None:
    assert numbers(made(5, 7, 9).take(rows)) == left


def test_parts_are_joined_in_order() -> None:
    assert numbers(Outer.concat([made(1, 2), made(), made(3)])) == [1, 2, 3]
    assert numbers(Outer.concat([made(4)])) == [4]
