"""Amounts as files have them: `19.90`, `$1,234.50`, `1.234,50 €`, `(12.00)`.

A value is read as one of an event is. A comma (or a point) followed by three digits is a decimal
mark or one of thousands; another value of the column has to show which.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from schemas.events.numbers import Mark, decimal_mark, is_open, read_number

LARGEST = 1e30
"""Of an amount in an event (`docs/publish.md`)."""
_SIMPLE = r"^[+-]?[0-9]+(\.[0-9]*)?$"
_POINT = r"^[+-]?([0-9]*\.([0-9]{1,2}|[0-9]{4,})|0\.[0-9]*)$"
"""A number whose point can't be one of thousands."""

NOT_A_NUMBER = "write it as 1234.50"
WHICH_MARK = (
    "is the comma a decimal mark or one of thousands? No value of the column settles it; write it "
    "as 1234.50"
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers.

    Attributes
    ----------
    values
        float64 (n,), null = empty or unreadable.
    unread
        bool (n,): there is a value, and it can't be read.
    why
        What is wrong with the first of these and what to do, empty if all could be read.
    """

    values: pl.Series
    unread: pl.Series
    why: str


def read_numbers(column: pl.Series) -> Numbers:
    """Read a column of texts.

    Examples
    --------
    >>> read_numbers(pl.Series(["19.90", "$1,234.50", "(3.00)", "free"])).values.to_list()
    [19.9, 1234.5, -3.0, None]
    >>> read_numbers(pl.Series(["1.234,50 €", "1.000"])).values.to_list()
    [1234.5, 1000.0]
    """
    texts = column.str.strip_chars()
    texts = texts.set(texts == "", None)
    simple = texts.str.contains(_SIMPLE).fill_null(value=True)
    odd = texts.filter(~simple).unique().to_list()
    marks = {decimal_mark(text) for text in odd} - {""}
    if odd and texts.filter(simple).str.contains(_POINT).any():
        marks.add(".")
    decimal: Mark = marks.pop() if len(marks) == 1 else ""
    if decimal == ",":
        simple &= ~texts.str.contains(".", literal=True).fill_null(value=False)
        odd = texts.filter(~simple).unique().to_list()
    values = texts.set(~simple, None).cast(pl.Float64, strict=False)
    if odd:
        read = [read_number(text, decimal) for text in odd]
        found = texts.replace_strict(odd, read, default=None, return_dtype=pl.Float64)
        values = values.zip_with(simple, found)
    values = values.set(~(values.is_finite() & (values.abs() <= LARGEST)), None)
    unread = texts.is_not_null() & values.is_null()
    at = unread.arg_true()
    why = "" if not len(at) else WHICH_MARK if is_open(texts[int(at[0])]) else NOT_A_NUMBER
    return Numbers(values, unread, why)
