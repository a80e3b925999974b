"""Times on the wire: ISO 8601 or epoch milliseconds in, ISO 8601 out.

`parse_time_ms` reads an event's `timestamp`. It refuses numbers in a unit other than milliseconds,
and names the unit in the reason. Files name no unit, so their readers call `epoch_unit` or
`read_epoch_ms`, which infer the unit from the magnitude.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from schemas.errors import Reason, RejectedRecord

OLDEST_MS = 631_152_000_000
"""1990-01-01: an earlier date is a clock error, or seconds sent as milliseconds."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01: no correct clock shows a later date."""
Unit = Literal["s", "ms", "us", "ns"]

_PER_S: dict[Unit, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_NAMES: dict[Unit, str] = {"s": "seconds", "ms": "ms", "us": "microseconds", "ns": "nanoseconds"}
_ISO = re.compile(
    r"(?P<date>[0-9W-]{8,10})"
    r"(?P<time>[Tt ][0-9:.,]+)?"
    r"(?(time)(?: ?(?P<zone>[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-5][0-9]){0,2})"
    r"(?: UTC)?(?:\[[A-Za-z0-9_/+-]+\])?)?)"
)
"""The texts that datetime.fromisoformat() is given. On its own it accepts any character between
date and time, and offsets like +02:80. The zone may follow a blank (Ruby, BigQuery), end in ` UTC`
(Go) or be repeated in brackets (Java)."""
_DAYS_END = re.compile(r"[Tt ]24(?::?00){1,2}(?:[.,]0*)?")
_LEAP = re.compile(r"([Tt ][0-9]{2}:?[0-9]{2}:?)60(?:[.,][0-9]*)?")
_EPOCH = re.compile(r"[0-9]{9,}(\.[0-9]*)?")


def parse_time_ms(timestamp: float | str) -> int:
    """Epoch milliseconds of an ISO 8601 string or of a number of milliseconds.

    A number of seconds is not recognised: read as milliseconds it is a date in 1970, which callers
    refuse as too old.

    Raises
    ------
    RejectedRecord
        With the reason `invalid_timestamp`: neither ISO 8601 nor a time before 2100 in ms.

    Examples
    --------
    >>> parse_time_ms("2015-09-01T19:11:57Z"), parse_time_ms("1441134717000")
    (1441134717000, 1441134717000)
    >>> parse_time_ms("2015-09-01 21:11:57 +0200"), parse_time_ms("2015-09-01 19:11:57 UTC")
    (1441134717000, 1441134717000)
    """
    try:
        if isinstance(timestamp, str) and not _EPOCH.fullmatch(timestamp):
            return parse_iso_ms(timestamp)
        time_ms = int(timestamp) if not isinstance(timestamp, str) else _whole(timestamp)
    except (ValueError, OverflowError) as error:
        raise RejectedRecord(Reason.INVALID_TIMESTAMP, f"{timestamp!r:.80}: {error}") from None
    if not -LATEST_MS <= time_ms <= LATEST_MS:
        unit = epoch_unit(time_ms)
        why = f"{_NAMES[unit]}, not ms?" if unit else "not a time before 2100 in ms"
        raise RejectedRecord(Reason.INVALID_TIMESTAMP, f"{timestamp!r:.80}: {why}")
    return time_ms


def parse_iso_ms(text: str) -> int:
    """Epoch milliseconds of an ISO 8601 text; a text without a zone is UTC.

    Raises
    ------
    ValueError
        The text isn't ISO 8601.

    Examples
    --------
    >>> parse_iso_ms("2016-12-31T24:00:00Z") == parse_iso_ms("2016-12-31T23:59:60Z")
    True
    """
    found = _ISO.fullmatch(text)
    if not found:
        raise ValueError("neither ISO 8601 nor epoch ms")
    zone = found["zone"] or ""
    offset = zone if zone.startswith(("+", "-")) else ""
    clock, later = _next_day_or_second(found["time"] or "")
    moment = datetime.fromisoformat(found["date"] + clock + offset) + later
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _next_day_or_second(clock: str) -> tuple[str, timedelta]:
    """ISO 8601's midnight at the end of a day and leap seconds, which Python doesn't know."""
    if _DAYS_END.fullmatch(clock):
        return clock.replace("24", "00", 1), timedelta(days=1)
    if leap := _LEAP.fullmatch(clock):
        return f"{leap[1]}59", timedelta(seconds=1)
    return clock, timedelta()


def epoch_unit(number: float) -> Unit | None:
    """The unit in which an epoch number lies between 1990 and 2100; at most one unit fits.

    Examples
    --------
    >>> epoch_unit(1796030788), epoch_unit(1796030788930), epoch_unit(1796030788930686)
    ('s', 'ms', 'us')
    >>> epoch_unit(20261130) is None
    True
    """
    for unit, per_s in _PER_S.items():
        if OLDEST_MS * per_s <= number * 1000 <= LATEST_MS * per_s:
            return unit
    return None


def read_epoch_ms(number: float) -> int | None:
    """Epoch milliseconds of a number in the unit that `epoch_unit` infers; None if no unit fits.

    Examples
    --------
    >>> read_epoch_ms(1796030788.930686), read_epoch_ms(1796030788930686123)
    (1796030788931, 1796030788930)
    """
    unit = epoch_unit(number)
    if unit is None:
        return None
    per_s = _PER_S[unit]
    return number * 1000 // per_s if isinstance(number, int) else round(number * 1000 / per_s)


def _whole(digits: str) -> int:
    """The whole part of a decimal number; int() raises for thousands of digits."""
    return int(digits.partition(".")[0])


def format_time_ms(time_ms: int) -> str:
    """ISO 8601 in UTC, with milliseconds and Z.

    Examples
    --------
    >>> format_time_ms(1441134717005)
    '2015-09-01T19:11:57.005Z'
    """
    return f"{_format_s(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=4096)  # outputs of one batch share a few seconds
def _format_s(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
