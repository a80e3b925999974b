"""Amounts as files have them: `19.90`, `$1,234.50`, `1.234,50 €`, `(12.00)`.

A comma (or a point) followed by three digits is a decimal mark or one of thousands; another value
of the column has to show which.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

LARGEST = 1e30
"""Of an amount in an event (`docs/publish.md`)."""
_CODES = "eur|usd|gbp|chf|jpy|cny|rmb|inr|pln|sek|nok|dkk|czk|brl|rub|try|kr|zł|kč|rs"
_CURRENCY = rf"(?i)\p{{Sc}}|\b(?:US|A|C|R|HK|NZ)\$|\b(?:{_CODES})\b\.?"
_SPACES = r"[\s\x{00a0}\x{202f}'\x{2019}_]"

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
    plain = texts.cast(pl.Float64, strict=False)
    written = texts.is_not_null() & plain.is_null()
    open_ = pl.repeat(False, len(texts), eager=True)
    if written.any():
        bare = _bare(texts)
        by_comma = _decimal_comma(bare)
        thousands = bare.str.contains(r"^[+-]?\d{1,3},\d{3}$").fill_null(value=False)
        open_ = thousands if by_comma is None else open_
        if by_comma:
            found = _cast(bare.str.replace_all(".", "", literal=True).str.replace(",", "."))
        else:
            found = _cast(bare.str.replace_all(",", "", literal=True))
        found = found.set(open_ | ~_well_formed(bare, by_comma=bool(by_comma)), None)
        plain = found if by_comma else plain.zip_with(~written, found)
    values = plain.set(~(plain.is_finite() & (plain.abs() <= LARGEST)), None)
    unread = texts.is_not_null() & values.is_null()
    at = unread.arg_true()
    why = "" if not len(at) else WHICH_MARK if open_[int(at[0])] else NOT_A_NUMBER
    return Numbers(values, unread, why)


def _cast(texts: pl.Series) -> pl.Series:
    return texts.cast(pl.Float64, strict=False)


def _bare(texts: pl.Series) -> pl.Series:
    """Without currency and blanks, `(1.00)` and `1.00-` as -1.00."""
    bare = texts.str.replace_all(_CURRENCY, "").str.replace_all(_SPACES, "")
    bare = bare.str.replace_all("\u2212", "-").str.replace(r"^\((.+)\)$", "-$1")
    return bare.str.replace(r"^([^-]+)-$", "-$1")


def _well_formed(bare: pl.Series, *, by_comma: bool) -> pl.Series:
    """Whether marks of thousands stand before three digits each, so that 1,2,3 is no number."""
    thousands, decimal = (r"\.", ",") if by_comma else (",", r"\.")
    pattern = rf"^[+-]?(\d+|\d{{1,3}}({thousands}\d{{3}})+)?({decimal}\d*)?([eE][+-]?\d+)?$"
    return bare.str.contains(pattern).fill_null(value=False)


def _decimal_comma(bare: pl.Series) -> bool | None:
    """Whether the column's decimal mark is the comma; None if no value shows it."""
    comma = bare.str.contains(
        r"^[+-]?\d+,(\d{1,2}|\d{4,})$|^[+-]?0,\d+$|\.\d{3},\d*$|\.\d{3}\.\d{3}$"
    )
    point = bare.str.contains(r"\d*\.(\d{1,2}|\d{4,})$|^[+-]?0\.\d+$|,\d{3}\.\d*$|,\d{3},\d{3}")
    has_comma, has_point = bool(comma.any()), bool(point.any())
    if has_comma != has_point:
        return has_comma
    return None if bare.str.contains(",").any() else False
