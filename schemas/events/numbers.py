"""Numbers in texts: money and quantities as shops write them.

Events, catalogue entries and files of events read them all here. A file's column may settle what
a single value leaves open: `decimal_mark` says what a value shows, `read_number` takes the mark.
"""

from __future__ import annotations

import re
from typing import Literal

Mark = Literal["", ".", ","]

_PLAIN = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
"""A number as in JSON; Python's float() also accepts texts such as 1_000."""
_BLANK = "[ \t\u00a0\u2007\u2009\u202f]"
_CURRENCY = (
    "(?:[A-Z]{0,3}[$£¤¥\u0e3f\u20a0-\u20c0\ufe69\uff04\uffe1\uffe5\uffe6]|[A-Z]{3}"
    "|(?i:eur|usd|gbp|chf|jpy|cny|rmb|inr|brl|aud|cad|mxn|sek|nok|dkk|pln|czk|huf|ron|rub|try"
    r"|kr|zł|kč|ft|lei|лв|руб|rs|р|円|元|원)\.?)"
)
_DIGIT = "[0-9.,'’ \t\u00a0\u2007\u2009\u202f]"
_MONEY = re.compile(
    rf"(?P<bracket>\()?(?P<sign>[+\-\u2212]?){_BLANK}?(?:{_CURRENCY}{_BLANK}?)?(?P<inner>[\-\u2212]?)"
    rf"(?P<digits>[.,]?[0-9](?:{_DIGIT}*[0-9])?)(?:[.,][\-\u2212\u2013\u2014])?"
    rf"(?:{_BLANK}?{_CURRENCY})?(?P<after>[\-\u2212]?)(?(bracket)\))"
)
"""`($5.00)` and `5.00-` are negative; `500,-` and `500.–` have no decimals."""
_GROUPS = re.compile(
    rf"[0-9]+|[0-9]{{1,3}}(?:(?P<mark>[.,'’]|{_BLANK})[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*)"
    r"|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}"
)
"""Thousands, and India's lakhs: `1,29,900`."""


def read_number(text: str, decimal: Mark = "") -> float | None:
    """The number in a text; None if there is none, or if the text is ambiguous.

    Accepted are JSON's notation, and also a currency, thousands separators and a decimal comma, as
    long as there is a single reading: `1,299` and `1.299 €` have two.

    Parameters
    ----------
    decimal
        The decimal mark where it is known, as from other values.

    Examples
    --------
    >>> [read_number(text) for text in ("19.90", "1e3", "$19.90", "19,90", "1.299,00 €")]
    [19.9, 1000.0, 19.9, 19.9, 1299.0]
    >>> [read_number(text) for text in ("(12.00)", "12.00-", "1,29,900.00", "1'299.–")]
    [-12.0, -12.0, 129900.0, 1299.0]
    >>> [read_number(text) for text in ("1,299", "1.299 €", "dear", "1_000", "20%", "")]
    [None, None, None, None, None, None]
    >>> read_number("1,299", decimal="."), read_number("1.299", decimal=",")
    (1299.0, 1299.0)
    """
    text = text.strip()
    if _PLAIN.fullmatch(text) and not (decimal == "," and "." in text):
        return float(text)
    money = _MONEY.fullmatch(text)
    if money is None:
        return None
    signs = [sign for sign in money.group("bracket", "sign", "inner", "after") if sign]
    mark = decimal or _mark(money["digits"])
    plain = None if mark is None or len(signs) > 1 else _without_marks(money["digits"], mark)
    return None if plain is None else float(plain) if signs in ([], ["+"]) else -float(plain)


def decimal_mark(text: str) -> Mark:
    """The decimal mark that a text shows to be one; "" where it shows none.

    Examples
    --------
    >>> [decimal_mark(text) for text in ("19.90", "1.299,00 €", "1,299,000", "1,299", "7")]
    ['.', ',', '.', '', '']
    """
    money = _MONEY.fullmatch(text.strip())
    if money is None or read_number(money["digits"], _mark(money["digits"]) or "") is None:
        return ""
    return _mark(money["digits"]) or ""


def is_open(text: str) -> bool:
    """Whether only the decimal mark is missing to read a text.

    Examples
    --------
    >>> is_open("1,299"), is_open("dear")
    (True, False)
    """
    return read_number(text) is None and read_number(text, ".") is not None


def _mark(digits: str) -> Mark | None:
    """The decimal mark, or what it would be; "" where nothing says, None where it may be either."""
    found = [mark for mark in digits if mark in ".,"]
    if not found:
        return ""
    last: Mark = "." if found[-1] == "." else ","
    if found.count(last) > 1:  # of thousands
        return "," if last == "." else "."
    whole, _, fraction = digits.rpartition(last)
    settled = len(fraction) != 3 or whole in ("", "0") or len(whole) > 3
    return last if settled or len(set(found)) > 1 else None


def _without_marks(digits: str, decimal: Mark) -> str | None:
    """`1.299,00` -> `1299.00`; None where the marks don't stand before three digits each."""
    whole, _, fraction = digits.partition(decimal) if decimal else (digits, "", "")
    if not _GROUPS.fullmatch(whole or "0") or (fraction and not re.fullmatch("[0-9]+", fraction)):
        return None
    return f"{re.sub('[^0-9]', '', whole) or 0}.{fraction or 0}"
