"""Times and numbers read plainly, for `tests/fuzz/by_the_book.py`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from schemas.errors import Reason

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_BLANKS = " \t\u00a0\u2007\u2009\u202f"
_SPACE = f"[{_BLANKS}]"
_SIGNS = (
    "[A-Z]{0,3}[$£¤¥\u0e3f\u20a0-\u20c0\ufe69\uff04\uffe1\uffe5\uffe6]|[A-Z]{3}|(?i:eur|usd|gbp|chf"
    "|jpy|cny|rmb|inr|brl|aud|cad|mxn|sek|nok|dkk|pln|czk|huf|ron|rub|try|kr|zł|kč|ft|lei|лв|руб"
    r"|rs|р|円|元|원)\.?"
)
_FORMS = (
    r"(?P<whole>[0-9]+)",
    r"(?P<whole>[0-9]+)[.,](?P<part>[0-9]{1,2}|[0-9]{4,})",
    r"(?P<whole>0?|[0-9]{4,})[.,](?P<part>[0-9]+)",
    rf"(?P<whole>[0-9]{{1,3}}(?P<mark>[.'’{_BLANKS}])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*),"
    r"(?P<part>[0-9]+)",
    rf"(?P<whole>[0-9]{{1,3}}(?P<mark>[,'’{_BLANKS}])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*)\."
    r"(?P<part>[0-9]+)",
    r"(?P<whole>[0-9]{1,3}(?P<mark>[.,])[0-9]{3}(?:(?P=mark)[0-9]{3})+)",
    rf"(?P<whole>[0-9]{{1,3}}(?P<mark>['’{_BLANKS}])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*)",
    r"(?P<whole>[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3})(?:\.(?P<part>[0-9]+))?",
)
_WAYS = (
    (1, "{money}"), (1, "[+]{money}"), (-1, "[-\u2212]{money}"), (-1, "{money}[-\u2212]"),
    (-1, r"\({money}\)"),
)  # fmt: skip
MONEY = [
    (
        sign,
        re.compile(
            way.format(
                money=f"{_SPACE}?(?:(?:{_SIGNS}){_SPACE}?)?{inner}{form}{none}"
                f"(?:{_SPACE}?(?:{_SIGNS}))?"
            )
        ),
    )
    for form in _FORMS
    for none in ("", "[.,][-\u2212\u2013\u2014]")
    for sign, way, inner in [*((*one, "") for one in _WAYS), (-1, "{money}", "[-\u2212]")]
]
"""Each way to write money that leaves one reading."""
LAST_MS = 4_102_444_800_000
MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"(?: ?(Z|z|UTC|GMT|[+-]\d\d:?\d\d))?)?",
    re.ASCII,
)


class Refused(Exception):
    """The record is no valid event, for one of `reasons`."""

    def __init__(self, *reasons: Reason) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def time_ms_of(stamp: float | str) -> int | None:
    """Epoch ms; None where the text is of a rarer form, which may be readable or not."""
    if isinstance(stamp, str) and not re.fullmatch(r"[0-9]{9,}(\.[0-9]*)?", stamp):
        return _moment_ms(stamp)
    time_ms = int(stamp.split(".")[0][:30]) if isinstance(stamp, str) else int(stamp)
    if abs(time_ms) > LAST_MS:
        raise Refused(Reason.INVALID_TIMESTAMP)
    return time_ms


def _moment_ms(text: str) -> int | None:
    found = MOMENT.fullmatch(text)
    if not found:
        if re.fullmatch(r"[\dTtWZz :.,+-]+(UTC|GMT)?(\[[\w/+-]+\])?", text, re.ASCII):
            return None  # basic format, week dates, offsets with seconds, zones named twice
        raise Refused(Reason.INVALID_TIMESTAMP)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    later = timedelta()
    if hour == "24" and int(minute) == int(second or 0) == int(fraction or 0) == 0:
        hour, later = "0", timedelta(days=1)
    elif second == "60":
        second, fraction, later = "59", None, timedelta(seconds=1)
    try:
        moment = later + datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0),
            tzinfo=_zone(zone),
        )  # fmt: skip
    except ValueError:
        raise Refused(Reason.INVALID_TIMESTAMP) from None
    if len(fraction or "") > 3:
        return None  # rounded, to the nearest or to the even one
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return whole * 1000 + int((fraction or "").ljust(3, "0"))


def _zone(text: str | None) -> timezone:
    if text is None or text in ("Z", "z", "UTC", "GMT"):
        return UTC
    hours, minutes = int(text[1:3]), int(text[-2:])
    if minutes > 59:
        raise ValueError(text)
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def number_of(value: Any) -> float | None:
    """The number that an amount or a quantity is; None where it is none that can be read."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = _of_text(value) if isinstance(value, str) else float(value)
    except OverflowError:
        return None
    return number if number is not None and abs(number) <= 1e30 else None


def _of_text(text: str) -> float | None:
    text = text.strip()
    if NUMBER.fullmatch(text):
        return float(text)
    for sign, form in MONEY:
        if found := form.fullmatch(text):
            parts = found.groupdict()
            whole = re.sub(r"[^0-9]", "", parts["whole"])
            return sign * float(f"{whole or 0}.{parts.get('part') or 0}")
    return None
