"""Event times as files have them, value by value: ISO 8601, usual dates, epochs, Excel's days.

No guess without a check: a number is what makes it a moment between 1990 and 2100, and 3/4/2026 is
read only where another value of the column shows whether the day or the month comes first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import polars as pl

from schemas.times import LATEST_MS, OLDEST_MS, parse_iso_ms

FROM_MS, UNTIL_MS = OLDEST_MS, LATEST_MS
"""1990 and 2100: what a number may mean."""
_EXCEL_EPOCH_DAYS = 25_569  # 1970-01-01 in Excel's days
_DAY_MS = 86_400_000

_CLOCK = r"(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:[.,](\d+))?)?\s*([AaPp]\.?[Mm]\.?)?"
_ZONE = r"\s*(?:[Zz]|UTC|GMT|utc|gmt|([+-]\d{2}):?(\d{2})?)?$"
_YEAR_FIRST = rf"^(\d{{4}})[-/.](\d{{1,2}})[-/.](\d{{1,2}})(?:[T,\s]\s*{_CLOCK})?{_ZONE}"
_COMPACT = rf"^(\d{{4}})(\d\d)(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?()?)?{_ZONE}"
_YEAR_LAST = rf"^(\d{{1,2}})([./-])(\d{{1,2}})[./-](\d{{4}}|\d{{2}})(?:[T,\s]\s*{_CLOCK})?{_ZONE}"
_MONTH = (
    r"((?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))"
    r"(?i:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\b"
)
"""In English: `mar` also begins Finland's November."""
_NAMED_MONTHS = (
    (
        rf"^(?:[A-Za-z]{{3,9}},?\s+)?(\d{{1,2}})(?:st|nd|rd|th)?[\s.-]+{_MONTH}\.?,?[\s-]+(\d{{4}})",
        "$3-$2-$1",
    ),
    (
        rf"^(?:[A-Za-z]{{3,9}},?\s+)?{_MONTH}\.?\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}})",
        "$3-$1-$2",
    ),
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_PARTS = ("hour", "minute", "second", "fraction", "noon", "zone_h", "zone_m")

NOT_A_TIME = "write it as 2026-11-25T10:00:00Z or as epoch seconds"
NO_MOMENT = (
    "as epoch s, ms, us or ns, and as days of Excel's, it isn't between 1990 and 2100; "
    f"{NOT_A_TIME}"
)
WHICH_FIRST = "day or month first? No value of the column settles it: give --dates dmy or mdy"
BOTH_FIRST = "some values have the day first and some the month, as {} and {}: give --dates"


@dataclass(frozen=True, slots=True)
class Times:
    """A column of times.

    Attributes
    ----------
    ms
        int64 (n,), epoch milliseconds, UTC where a value names no zone; null = empty or unreadable.
    unread
        bool (n,): there is a value, and it can't be read.
    why
        What is wrong with the first of these and what to do, empty if all could be read.
    guessed
        What was decided for the whole column, for a person; empty if nothing had to be.
    """

    ms: pl.Series
    unread: pl.Series
    why: str
    guessed: str = ""


def read_times(
    column: pl.Series, *, day_first: bool | None = None, own_clock: bool = False
) -> Times:
    """Read a column of texts.

    Parameters
    ----------
    day_first
        Of dates as 3/4/2026; None: what another value of the column shows.
    own_clock
        Numbers that all lie before 1990 are seconds of a clock of the file's own.

    Examples
    --------
    >>> read_times(pl.Series(["1430623510", "1430623510.5", "2015-05-03"])).ms.to_list()
    [1430623510000, 1430623510500, 1430611200000]
    >>> read_times(pl.Series(["25/12/2010 8:26", "1/12/2010 8:26"])).guessed
    "dates are read as day/month/year, as '25/12/2010 8:26' is"
    """
    texts = column.str.strip_chars()
    texts = texts.set(texts == "", None).rename("text")
    number = _numbers(texts)
    if own_clock and _is_own_clock(texts, number):
        ms = (number * 1000).round().cast(pl.Int64)
        return Times(ms, pl.repeat(False, len(texts), eager=True), "")
    days = _between(number, _in_days(FROM_MS), _in_days(UNTIL_MS))
    dates = _without_names(texts)
    frame = pl.DataFrame({"text": dates, "epoch": _epoch_ms(number, days)})
    year_first = _parts(frame["text"], _YEAR_FIRST, ("year", "month", "day", *_PARTS))
    compact = _parts(frame["text"], _COMPACT, ("year", "month", "day", *_PARTS))
    last = _parts(frame["text"], _YEAR_LAST, ("first", "between", "second_", "year", *_PARTS))
    order = _order(texts, last, day_first)
    ms = frame["epoch"]
    for parts in (year_first, compact, order.dates):
        ms = ms.zip_with(ms.is_not_null(), _moment_ms(parts))
    ms = ms.zip_with(ms.is_not_null(), _rarer_ms(texts.set(ms.is_not_null(), None)))
    ms = ms.set(ms >= UNTIL_MS, None)
    unread = texts.is_not_null() & ms.is_null()
    return Times(ms, unread, _why(unread, number, order), _guessed(texts, ms, days, order))


def _rarer_ms(texts: pl.Series) -> pl.Series:
    """int64 (n,): what an event's timestamp may be besides, as week dates and zones named twice."""
    found: dict[str, int] = {}
    for text in texts.drop_nulls().unique().to_list():
        with suppress(ValueError, OverflowError):
            found[text] = parse_iso_ms(text)
    return texts.replace_strict(
        list(found), list(found.values()), default=None, return_dtype=pl.Int64
    )


def _in_days(time_ms: int) -> float:
    return time_ms / _DAY_MS + _EXCEL_EPOCH_DAYS


def _between(number: pl.Series, low: float, high: float) -> pl.Series:
    return ((number >= low) & (number < high)).fill_null(value=False)


def _numbers(texts: pl.Series) -> pl.Series:
    """float64 (n,), null where a text is no number; a decimal comma is as good as a point."""
    points = texts.str.replace(r"^([+-]?\d+),(\d+)$", "$1.$2")
    return points.cast(pl.Float64, strict=False)


def _is_own_clock(texts: pl.Series, number: pl.Series) -> bool:
    """All numbers before 1990, and neither all Excel's days nor dates as 20261101."""
    known = number.drop_nulls()
    if not len(known) or len(known) < len(texts) - texts.null_count():
        return False
    low, high = float(known.min()), float(known.max())  # type: ignore[arg-type]
    all_days = low >= _in_days(FROM_MS) and high < _in_days(UNTIL_MS)
    all_dates = bool(texts.drop_nulls().str.contains(r"^(19|20)\d{6}(\.0+)?$").all())
    return high < FROM_MS / 1000 and not all_days and not all_dates


def _epoch_ms(number: pl.Series, days: pl.Series) -> pl.Series:
    """int64 (n,): what a number means by its size; null where it means nothing."""
    ms = pl.repeat(None, len(number), dtype=pl.Float64, eager=True)
    for per_ms in (1e-3, 1.0, 1e3, 1e6):
        fits = _between(number, FROM_MS * per_ms, UNTIL_MS * per_ms)
        ms = (number / per_ms).zip_with(fits, ms)
    seconds = ((number - _EXCEL_EPOCH_DAYS) * 86_400).round()  # they have 8 digits after the point
    ms = (seconds * 1000).zip_with(days, ms)
    return ms.round().cast(pl.Int64, strict=False)


def _without_names(texts: pl.Series) -> pl.Series:
    """`01-Oct-2019 10:00`, `Oct 1, 2019` as 2019-10-1; `20191001.0` as 20191001."""
    texts = texts.str.replace(r"^(\d{8}|\d{12}|\d{14})\.0+$", "$1")
    named = texts.str.contains(r"[A-Za-z]{3}[a-z]*\.?,?[\s-]+\d|[A-Za-z]{3}[a-z]*,?[\s.-]+\d")
    if not named.any():
        return texts
    for pattern, numbers in _NAMED_MONTHS:
        texts = texts.str.replace(pattern, numbers)
    for number, month in enumerate(_MONTHS, 1):
        texts = texts.str.replace(rf"(?i)^(\d{{4}})-{month}-", f"${{1}}-{number}-")
    return texts


def _parts(texts: pl.Series, pattern: str, names: tuple[str, ...]) -> pl.DataFrame:
    groups = texts.str.extract_groups(pattern).struct.unnest()
    return groups.rename(dict(zip(groups.columns, names, strict=True)))


@dataclass(frozen=True, slots=True)
class _Order:
    """Whether the day or the month comes first in dates that end with the year.

    Attributes
    ----------
    dates
        Their parts; a day that isn't settled is null.
    day, month
        A value that shows that the day (the month) comes first, None if none does.
    unsettled
        bool (n,): either could be first, and nothing says which.
    as_a_whole
        Some values are read as others show.
    """

    dates: pl.DataFrame
    day: str | None
    month: str | None
    unsettled: pl.Series
    as_a_whole: bool


def _order(texts: pl.Series, last: pl.DataFrame, day_first: bool | None) -> _Order:
    one, two = (last[name].cast(pl.Int64) for name in ("first", "second_"))
    dots = last["between"] == "."
    dashed_short = (last["between"] == "-") & (last["year"].str.len_chars() == 2)  # 10-12-01
    open_ = (~dots & ~dashed_short).fill_null(value=False)
    day, month = open_ & (one > 12), open_ & (two > 12)
    either = open_ & (one <= 12) & (two <= 12) & (one != two)
    shown_day, shown_month = _first(texts, day), _first(texts, month)
    if day_first is None and (shown_day is None) != (shown_month is None):
        first_is_day: bool | None = shown_day is not None
    else:
        first_is_day = day_first
    by_day = (dots | day | (open_ & (one == two))).fill_null(value=False)
    by_day |= either & (first_is_day is True)
    by_month = month | (either & (first_is_day is False))
    nothing = pl.repeat(None, len(texts), dtype=pl.String, eager=True)
    century = pl.when(pl.col("year").cast(pl.Int64) < 69).then(pl.lit("20")).otherwise(pl.lit("19"))
    dates = last.with_columns(
        day=last["first"].zip_with(by_day, last["second_"].zip_with(by_month, nothing)),
        month=last["second_"].zip_with(by_day, last["first"].zip_with(by_month, nothing)),
        year=pl.when(pl.col("year").str.len_chars() == 2)
        .then(century + pl.col("year"))
        .otherwise(pl.col("year")),
    )
    unsettled = either & (first_is_day is None)
    whole = day_first is None and first_is_day is not None and bool(either.any())
    return _Order(dates, shown_day, shown_month, unsettled.fill_null(value=False), whole)


def _first(texts: pl.Series, where: pl.Series) -> str | None:
    found = texts.filter(where.fill_null(value=False)).head(1)
    return str(found[0]) if len(found) else None


def _moment_ms(parts: pl.DataFrame) -> pl.Series:
    """int64 (n,) epoch milliseconds, null where the parts are no moment (30 February)."""

    def two(name: str) -> pl.Expr:
        return pl.col(name).fill_null("0").str.zfill(2)

    hour = pl.col("hour").fill_null("0").cast(pl.Int64)
    noon = pl.col("noon").str.to_lowercase().str.slice(0, 1)
    half = pl.when(noon == "p").then(hour % 12 + 12).when(noon == "a").then(hour % 12)
    known = pl.col("year").is_not_null() & pl.col("month").is_not_null()
    text = pl.format(
        "{}-{}-{} {}:{}:{}.{}",
        "year", two("month"), two("day"),
        half.otherwise(hour).cast(pl.String).str.zfill(2), two("minute"), two("second"),
        pl.col("fraction").fill_null("0").str.slice(0, 9),
    )  # fmt: skip
    local = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    sign = pl.when(pl.col("zone_h").str.starts_with("-")).then(-1).otherwise(1)
    ahead = pl.col("zone_h").fill_null("0").cast(pl.Int64, strict=False) * 60
    ahead += sign * pl.col("zone_m").fill_null("0").cast(pl.Int64)
    ms = (local.dt.epoch("us") / 1000).round().cast(pl.Int64) - ahead * 60_000
    return parts.select(ms=pl.when(known & (ahead.abs() < 1440)).then(ms))["ms"]


def _why(unread: pl.Series, number: pl.Series, order: _Order) -> str:
    at = unread.arg_true()
    if not len(at):
        return ""
    if order.unsettled[int(at[0])]:
        both = order.day is not None and order.month is not None
        return BOTH_FIRST.format(repr(order.day), repr(order.month)) if both else WHICH_FIRST
    return NO_MOMENT if number[int(at[0])] is not None else NOT_A_TIME


def _guessed(texts: pl.Series, ms: pl.Series, days: pl.Series, order: _Order) -> str:
    said: list[str] = []
    if order.as_a_whole:
        if order.day is not None:
            said.append(f"dates are read as day/month/year, as {order.day!r} is")
        else:
            said.append(f"dates are read as month/day/year, as {order.month!r} is")
    if days.any():
        first = int(days.arg_true()[0])
        moment: Any = pl.from_epoch(pl.Series([ms[first]]), time_unit="ms")[0]
        said.append(
            f"{int(days.sum()):,} numbers are read as Excel's days, "
            f"{texts[first]} as {moment:%Y-%m-%dT%H:%M:%SZ}"
        )
    return "; ".join(said)


def read_one(text: str) -> tuple[int | None, str]:
    """A single time as epoch milliseconds, None with the reason if it is none."""
    found = read_times(pl.Series([text]))
    return found.ms[0], found.why or NOT_A_TIME
