"""Times and numbers read plainly, for `tests/fuzz/by_the_book.py`."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from schemas.errors import Reason

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.ASCII | re.IGNORECASE)
MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?"
    r"(Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)


class Refused(Exception):
    """The record is no valid event, for one of `reasons`."""

    def __init__(self, *reasons: Reason) -> None:
        super().__init__(*reasons)
        self.reasons = reasons


def time_ms_of(stamp: float | str) -> int | None:
    """Epoch ms; None where the text is of a rarer form, which may be readable or not."""
    if isinstance(stamp, str) and not re.fullmatch(r"[0-9]{9,}", stamp):
        return _moment_ms(stamp)
    time_ms = int(stamp[:30]) if isinstance(stamp, str) else int(stamp)
    if abs(time_ms) >= 2**53:
        raise Refused(Reason.INVALID_TIMESTAMP)
    return time_ms


def _moment_ms(text: str) -> int | None:
    found = MOMENT.fullmatch(text)
    if not found:
        if re.fullmatch(r"[\dTtWZ :.,+-]+", text, re.ASCII):
            return None  # basic format, week dates, offsets with seconds
        raise Refused(Reason.INVALID_TIMESTAMP)
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    try:
        moment = datetime(
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
    if text in (None, "Z"):
        return UTC
    assert text is not None
    hours, minutes = int(text[1:3]), int(text[4:6])
    if minutes > 59:
        raise ValueError(text)
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=hours, minutes=minutes))


def number_of(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        raise Refused(Reason.WRONG_TYPE)
    try:
        number = float(value)
    except OverflowError:
        raise Refused(Reason.WRONG_TYPE) from None
    if abs(number) > 1e30:
        raise Refused(Reason.WRONG_TYPE)
    return number
