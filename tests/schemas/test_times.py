"""Times of events and of files: what the contract reads, files read alike, and nothing wrongly."""

import polars as pl
import pytest

from ops.event_files.times import read_times
from schemas.errors import RejectedRecord
from schemas.times import parse_time_ms

AT = 1_796_030_788_000  # 2026-11-30T09:26:28Z
BOTH = {
    "2026-11-30T09:26:28Z": AT, "2026-11-30t09:26:28z": AT, "2026-11-30 09:26:28 z": AT,
    "2026-11-30T14:56:28+05:30": AT, "2026-11-30T14:56:28+0530": AT, "20261130T092628Z": AT,
    "2026-W49-1T09:26:28Z": AT, "2026-11-30 10:26:28 +01:00": AT, "2026-11-30T09:26:28.000,": None,
    "2026-11-30T11:26:28+02:00[Europe/Berlin]": AT, "2026-11-30 09:26:28.000 +0000 UTC": AT,
    "2016-12-31T23:59:60Z": 1_483_228_800_000, "2016-12-31T24:00:00Z": 1_483_228_800_000,
    "2016-12-31 24:00": 1_483_228_800_000, "2017-01-01T05:29:60+05:30": 1_483_228_800_000,
    "2026-11-30T24:00:01Z": None, "2026-11-30T25:00:00Z": None, "2026-02-30": None,
    "2026-11-30T09:26:28+24:00": None, "2026-11-30 09:26:28 EST": None, "26-11-30T09:26:28Z": None,
    "/Date(1700000000000)/": None, "٢٠٢٦-11-30": None, "0000-00-00 00:00:00": None, "P1D": None,
    "133770000000000000": None, "Invalid Date": None, "undefined": None, "2026-335": None,
    "1. Dezember 2026": None, "25 décembre 2026": None, "2026年11月30日": None, "-": None,
    "3 marraskuuta 2026": None, "3 Mayhem 2026": None, "01-Okt-2026": None,
}  # fmt: skip
"""None: neither may make a time of it."""
ONLY_FILES = {
    "Mon, 30 Nov 2026 09:26:28 GMT": AT, "Nov 30, 2026, 9:26:28 AM": AT, "30 November 2026": None,
    "1 Sept 2026": None, "1-May-2026": None, "JUNE 1, 2026": None, "11/30/2026 9:26:28 am": AT,
}  # fmt: skip
"""None: any time will do."""


def in_an_event(text: str) -> int | None:
    try:
        return parse_time_ms(text)
    except RejectedRecord:
        return None


@pytest.mark.parametrize(("text", "expected"), BOTH.items())
def test_events_and_files_read_a_time_alike(text: str, expected: int | None) -> None:
    assert in_an_event(text) == expected
    assert read_times(pl.Series([text])).ms.to_list() == [expected]


@pytest.mark.parametrize(("text", "expected"), ONLY_FILES.items())
def test_files_read_written_out_months_and_half_days(text: str, expected: int | None) -> None:
    assert in_an_event(text) is None
    found = read_times(pl.Series([text])).ms[0]
    assert found is not None
    assert expected is None or found == expected


def test_rarer_forms_stand_beside_usual_ones() -> None:
    column = pl.Series(["2026-11-30T09:26:28Z", "2026-W49-1T09:26:28Z", "soon", None])
    found = read_times(column)
    assert found.ms.to_list() == [AT, AT, None, None]
    assert found.unread.to_list() == [False, False, True, False]
