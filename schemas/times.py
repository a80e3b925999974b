"""Times on the wire: ISO 8601 or epoch milliseconds in, ISO 8601 out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from schemas.errors import Reason, RejectedRecord

_ISO = re.compile(r"[0-9W-]{8,10}([Tt ][0-9:.,]+(Z|[+-][0-9]{2}(:?[0-5][0-9]){0,2})?)?")
"""datetime.fromisoformat() takes any character between date and time, and offsets like +02:80."""

_MILLIS = re.compile(r"[0-9]{9,}")


def parse_time_ms(timestamp: float | str) -> int:
    """Epoch milliseconds of an ISO 8601 string or of a number of milliseconds.

    Raises
    ------
    RejectedRecord
        `invalid_timestamp`.

    Examples
    --------
    >>> parse_time_ms("2015-09-01T19:11:57Z"), parse_time_ms("1441134717000")
    (1441134717000, 1441134717000)
    """
    try:
        if isinstance(timestamp, str) and not _MILLIS.fullmatch(timestamp):
            return _parse_iso(timestamp)
        time_ms = int(timestamp)
    except (ValueError, OverflowError) as error:
        raise RejectedRecord(Reason.INVALID_TIMESTAMP, f"{timestamp!r:.80}: {error}") from None
    if abs(time_ms) >= 1 << 53:
        raise RejectedRecord(Reason.INVALID_TIMESTAMP, f"{timestamp!r:.80}: not epoch ms")
    return time_ms


def _parse_iso(timestamp: str) -> int:
    if not _ISO.fullmatch(timestamp):
        raise ValueError("neither ISO 8601 nor epoch ms")
    moment = datetime.fromisoformat(timestamp)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def format_time_ms(time_ms: int) -> str:
    """ISO 8601 with milliseconds and Z.

    Examples
    --------
    >>> format_time_ms(1441134717005)
    '2015-09-01T19:11:57.005Z'
    """
    return f"{_format_s(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=4096)  # outputs of one batch share a few seconds
def _format_s(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")
