"""Files and times."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pytest

from ops.event_files.event_file import read
from ops.event_files.table import ROW
from ops.event_files.times import read_times
from schemas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1430623510", 1430623510000),
        ("1430623510.25", 1430623510250),
        ("1430623510123", 1430623510123),
        ("1430623510123456", 1430623510123),
        ("1430623510123456789", 1430623510123),
        ("2015-05-03T03:25:10Z", 1430623510000),
        ("2015-05-03T05:25:10.5+02:00", 1430623510500),
        ("2015-05-03 03:25:10", 1430623510000),
        ("2015-05-03 03:25", 1430623500000),
        ("2015-05-03", 1430611200000),
        ("31/05/2015 03:25", 1433042700000),
        ("05/31/2015 03:25", 1433042700000),
    ],
)
def test_times_come_in_many_forms(text: str, expected: int) -> None:
    assert read_times(pl.Series([text])).ms.to_list() == [expected]


def test_what_is_no_time_is_null_and_leaves_the_others() -> None:
    assert read_times(pl.Series(["1430623510", "x", None])).ms.to_list() == [
        1430623510000,
        None,
        None,
    ]
    assert read_times(pl.Series(["2015-05-03 03:25:10", ""])).ms.to_list() == [1430623510000, None]


@pytest.mark.parametrize(
    ("name", "separator"), [("a.csv", ","), ("a.tsv.gz", "\t"), ("a.csv.gz", ";")]
)
def test_separator_and_compression_are_found(tmp_path: Path, name: str, separator: str) -> None:
    text = "\n".join(separator.join(row) for row in (["user:token", "n"], ["007", "1"], ["8", ""]))
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    table = read(path).table
    assert table.to_dicts() == [
        {ROW: 0, "user": "007", "n": "1"},
        {ROW: 1, "user": "8", "n": None},
    ]


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\x1f\x8bnot gzip", b"\xff\xfe,\xff\n1,2\n"])
def test_a_file_that_holds_no_table_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("a.csv.gz" if content.startswith(b"\x1f") else "a.csv")
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"a\.csv") as caught:
        read(path)
    assert "\n" not in str(caught.value)
