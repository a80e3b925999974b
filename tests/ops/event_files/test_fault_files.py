"""Files that people have and that once were read wrong: read, or refused with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.event_files.adapters import Source, load
from ops.event_files.event_file import HowToRead
from schemas.errors import ConfigError

USUAL = {"user": "customer", "item": "sku", "event": "action", "time": "at"}
HEAD = "customer,sku,action,at\n"
ZONES = ("2026-11-01T10:00:00Z", "2026-11-01T10:00:00", "2026-11-01 12:00:00+02:00")


def _load(
    folder: Path,
    content: str | bytes,
    mapping: dict[str, str] | None = USUAL,
    how: HowToRead = HowToRead(),  # noqa: B008 - frozen
    name: str = "a.csv",
) -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(path, mapping=mapping, how=how)


def _times(source: Source) -> list[str]:
    return [
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        for ms in source.events["time_ms"]
    ]


def _refused(folder: Path, content: str | bytes, *said: str, mapping: object = USUAL) -> str:
    with pytest.raises(ConfigError) as caught:
        _load(folder, content, mapping)  # type: ignore[arg-type]
    line = str(caught.value)
    assert "\n" not in line
    for part in said:
        assert part in line
    return line


@pytest.mark.parametrize(
    ("values", "times"),
    [
        (["2019-11-01 00:00:00 UTC"], ["2019-11-01 00:00:00"]),
        (["25.11.2026 10:00:00"], ["2026-11-25 10:00:00"]),
        (["20261101", "20261102"], ["2026-11-01 00:00:00", "2026-11-02 00:00:00"]),
        (["45962.4166667", "45963.5"], ["2025-11-01 10:00:00", "2025-11-02 12:00:00"]),
        ([*ZONES, "2026-11-01T10:00:00.123Z"], ["2026-11-01 10:00:00"] * 4),
        (["1793527200", "1793527200000"], ["2026-11-01 10:00:00"] * 2),
        (["2026-11-01", "2026-11-01T10:00:00Z"], ["2026-11-01 00:00:00", "2026-11-01 10:00:00"]),
    ],
)  # fmt: skip
def test_forms_of_times_are_read_value_by_value(
    tmp_path: Path, values: list[str], times: list[str]
) -> None:
    rows = "".join(f"c{i},s,view,{value}\n" for i, value in enumerate(values))
    source = _load(tmp_path, HEAD + rows)
    assert _times(source) == times
    assert source.skipped == {}


def test_a_guess_is_told(tmp_path: Path) -> None:
    source = _load(tmp_path, HEAD + "c,s,view,45962.4166667\n")
    assert any("Excel" in note and "column at" in note for note in source.notes)
    source = _load(tmp_path, HEAD + "c,s,view,1/2/2026\nc,s,view,1/13/2026\n")
    assert _times(source) == ["2026-01-02 00:00:00", "2026-01-13 00:00:00"]
    assert any("month/day/year" in note and "1/13/2026" in note for note in source.notes)


def test_a_date_that_could_be_two_is_refused_until_somebody_says_which(tmp_path: Path) -> None:
    file = HEAD + "c,s,view,3/4/2026\n"
    _refused(tmp_path, file, "column at", "'3/4/2026'", "data row 1", "--dates")
    by_day = _load(tmp_path, file, how=HowToRead(day_first=True))
    by_month = _load(tmp_path, file, how=HowToRead(day_first=False))
    assert (_times(by_day), _times(by_month)) == (
        ["2026-04-03 00:00:00"],
        ["2026-03-04 00:00:00"],
    )


def test_days_and_months_first_in_one_column_leave_the_open_dates_unread(tmp_path: Path) -> None:
    rows = ["13/4/2026", "4/13/2026", "3/4/2026"]
    source = _load(tmp_path, HEAD + "".join(f"c,s,view,{row}\n" for row in rows))
    assert _times(source) == ["2026-04-13 00:00:00"] * 2
    assert source.skipped == {"unreadable_time": 1}
    (note,) = source.notes
    assert "'13/4/2026' and '4/13/2026'" in note
    assert "data row 3" in note


@pytest.mark.parametrize("value", ["0", "60", "soon", "2026-02-30", "99999999999", "1e30", "-5"])
def test_what_is_no_time_is_refused_with_column_value_and_row(tmp_path: Path, value: str) -> None:
    _refused(tmp_path, HEAD + f"c,s,view,\nc,s,view,{value}\n", "column at", repr(value), "row 2")


def test_a_few_unreadable_times_are_counted_apart_and_told(tmp_path: Path) -> None:
    rows = "c,s,view,2026-11-01\n" * 3 + "c,s,view,soon\n,s,view,2026-11-01\nc,s,view,\n"
    source = _load(tmp_path, HEAD + rows)
    assert source.skipped == {"unreadable_time": 1, "without_user_or_time": 2}
    (note,) = source.notes
    assert "1 of 5 times can't be read" in note
    assert "'soon' in data row 4" in note


AMOUNTS = "customer,sku,action,at,price\n"


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (["$19.90", '"$1,234.50"', "(12.00)"], [19.9, 1234.5, -12.0]),
        (['"1.234,50 €"', "1.000", '"19,9"'], [1234.5, 1000.0, 19.9]),
        (["¥1200", "EUR 3.50", "1'234.50", "1e3"], [1200.0, 3.5, 1234.5, 1000.0]),
        (["5", "", "free"], [5.0, None, None]),
        (["5", "6", "1e39"], [5.0, 6.0, None]),
    ],
)
def test_amounts_are_read_with_signs_commas_and_thousands(
    tmp_path: Path, values: list[str], numbers: list[float | None]
) -> None:
    rows = "".join(f"c,s,buy,2026-11-01,{value}\n" for value in values)
    source = _load(tmp_path, AMOUNTS + rows, {**USUAL, "price": "price"})
    assert source.events["properties.price"].to_list() == numbers
    lost = sum(bool(v) and n is None for v, n in zip(values, numbers, strict=True))
    assert source.skipped.get("unreadable_number", 0) == lost
    assert len(source.notes) == (1 if lost else 0)


def test_an_amount_that_could_be_two_is_refused(tmp_path: Path) -> None:
    file = AMOUNTS + 'c,s,buy,2026-11-01,"1,234"\n'
    mapping = {**USUAL, "price": "price"}
    _refused(tmp_path, file, "column price", "'1,234'", "thousands", mapping=mapping)


def test_columns_of_any_name_can_be_mapped(tmp_path: Path) -> None:
    event = "c1,s1,view,2026-11-01T10:00:00Z\n"
    assert len(_load(tmp_path, "row," + HEAD + "1," + event).events) == 1
    assert len(_load(tmp_path, "(row)," + HEAD + "1," + event).events) == 1
    colons = "customer:id,customer:name,sku,action,at\nc1,n,s1,view,2026-11-01\n"
    found = _load(tmp_path, colons, {**USUAL, "user": "customer:id"})
    assert found.events["user_id"].to_list() == ["c1"]
    empty = "customer,,sku,action,at\nc1,c2,s1,view,2026-11-01\n"
    found = _load(tmp_path, empty, {**USUAL, "user": "#2"})
    assert found.events["user_id"].to_list() == ["c2"]


def test_columns_that_share_a_name_are_told_apart_by_their_places(tmp_path: Path) -> None:
    file = "customer,sku,action,at,customer\na,s,view,2026-11-01,b\n"
    _refused(tmp_path, file, "no column customer", "customer#1", "customer#5")
    found = _load(tmp_path, file, {**USUAL, "user": "customer#5"})
    assert found.events["user_id"].to_list() == ["b"]


def test_a_row_with_more_fields_is_left_out_and_named(tmp_path: Path) -> None:
    file = AMOUNTS + "c1,s1,view,2026-11-01,1,EXTRA\nc1,s2,view,2026-11-01,1\n"
    source = _load(tmp_path, file)
    assert source.events["message_id"].to_list() == ["a.csv:1"]
    assert source.skipped == {"too_many_fields": 1}
    assert "data row 1 with 6" in source.notes[0]
    _refused(tmp_path, AMOUNTS + "c1,s1,view,2026-11-01,1,EXTRA\n" * 3, "data row 1 with 6")


def test_a_row_with_fewer_fields_is_named(tmp_path: Path) -> None:
    file = HEAD + "c1,s1,view,2026-11-01\nc1,s2,view\n\n"
    source = _load(tmp_path, file)
    assert len(source.events) == 1
    assert "fewer fields than the header's 4, the first is data row 2 with 3" in source.notes[0]


def test_a_separator_at_the_end_of_every_row_is_no_field(tmp_path: Path) -> None:
    source = _load(tmp_path, HEAD + "c1,s1,view,2026-11-01,\nc1,s2,view,2026-11-01,\n")
    assert (len(source.events), source.skipped, source.notes) == (2, {}, ())


RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,"GIFT £5 VOUCHER",6,12/1/2010 8:26,2.55,17850,United Kingdom
536366,71053,BIG CUP,6,12/25/2010 8:28,3.39,17851,United Kingdom
"""


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gb18030"])
def test_another_encoding_is_refused_with_its_line_until_it_is_named(
    tmp_path: Path, encoding: str
) -> None:
    text = RETAIL if encoding != "gb18030" else RETAIL.replace("£5 VOUCHER", "礼品券")
    content = text.encode(encoding)
    _refused(tmp_path, content, "a.csv: line 2", "--encoding", "gb18030", "cp1252", mapping=None)
    source = _load(tmp_path, content, None, HowToRead(encoding))
    assert _times(source) == ["2010-12-01 08:26:00", "2010-12-25 08:28:00"]
    assert source.catalogue is not None
    assert source.catalogue["title"][0] in ("GIFT £5 VOUCHER", "GIFT 礼品券")


def test_an_encoding_that_is_none_or_isnt_the_files_is_one_line(tmp_path: Path) -> None:
    for encoding, said in (("nonsense", "no such encoding"), ("ascii", "isn't in ascii")):
        with pytest.raises(ConfigError, match=said):
            _load(tmp_path, RETAIL, None, HowToRead(encoding))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_the_encoding(tmp_path: Path, encoding: str) -> None:
    file = '"customer","sku","action","at"\n"ü","s","view","2026-11-01"\n'
    assert _load(tmp_path, file.encode(encoding)).events["user_id"].to_list() == ["ü"]
    tabs = file.replace(",", "\t").encode(encoding)  # Excel's "Unicode text"
    assert _load(tmp_path, tabs, name="a.txt").events["user_id"].to_list() == ["ü"]


def test_utf_16_without_its_mark_is_recognised(tmp_path: Path) -> None:
    file = (HEAD + "c,s,view,2026-11-01\n").encode("utf-16-le")
    _refused(tmp_path, file, "--encoding utf-16-le")
    assert len(_load(tmp_path, file, how=HowToRead("utf-16-le")).events) == 1
