"""A point in time on the command line: a duration before now, or a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import click

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Since(click.ParamType):
    """`90m`, `2h`, `7d`, or a date and time in UTC."""

    name = "since"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Convert to milliseconds since 1970."""
        if span := re.fullmatch(r"(\d+)([smhd])", value):
            now_ms = datetime.now(UTC).timestamp() * 1000
            return int(now_ms - int(span[1]) * _UNITS_MS[span[2]])
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: write 90m, 2h, 7d or 2026-11-28T06:00", param, ctx)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
