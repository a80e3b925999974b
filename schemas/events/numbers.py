"""Numbers in text: money and quantities as shops write them."""

from __future__ import annotations

import re

_PLAIN = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *")
"""A number as in JSON; Python's float() also accepts texts such as 1_000."""
_CURRENCY = (
    r"(?:[A-Z]{0,2}[$€£¥₹₽₩₺₴₫]|EUR|USD|GBP|CHF|JPY|CNY|INR|BRL|AUD|CAD|MXN|SEK|NOK|DKK|PLN|CZK"
    r"|kr|zł|Kč)"
)
_BLANK = "[ \u00a0\u202f]"
_MONEY = re.compile(
    rf"{_BLANK}*(?P<sign>[+-]?)(?:{_CURRENCY}{_BLANK}?)?"
    rf"(?P<digits>[0-9](?:[0-9.,'’ \u00a0\u202f]*[0-9])?)"
    rf"(?:{_BLANK}?{_CURRENCY})?{_BLANK}*"
)
_MARK = re.compile(r"[^0-9]")


def read_number(text: str) -> float | None:
    """The number in a text; None if there is none, or if the text is ambiguous.

    Accepted are JSON's notation, and also a currency, thousands separators and a decimal comma, as
    long as there is a single reading: `1,299` and `1.299 €` have two.

    Examples
    --------
    >>> [read_number(text) for text in ("19.90", "1e3", "$19.90", "19,90", "1.299,00 €")]
    [19.9, 1000.0, 19.9, 19.9, 1299.0]
    >>> [read_number(text) for text in ("1,299", "1.299 €", "dear", "1_000", "")]
    [None, None, None, None, None]
    """
    if _PLAIN.fullmatch(text):
        return float(text)
    money = _MONEY.fullmatch(text)
    plain = money and _without_marks(money["digits"])
    return float(money["sign"] + plain) if money and plain else None


def _without_marks(digits: str) -> str | None:
    """`1.299,00` -> `1299.00`; None if a mark may separate either thousands or decimals."""
    *others, last = _MARK.findall(digits) or [""]
    whole, fraction = digits, ""
    if last in (".", ",") and last not in others:
        whole, _, fraction = digits.rpartition(last)
        if not others and len(fraction) == 3:
            return None
    marks = set(_MARK.findall(whole))
    first, *rest = _MARK.split(whole)
    if len(marks) > 1 or (rest and not 1 <= len(first) <= 3):
        return None
    if any(len(thousands) != 3 for thousands in rest):
        return None
    return f"{first}{''.join(rest)}.{fraction}"
