"""Headers and forms of well-known public logs, and files that are no table of text."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import polars as pl
import pytest
from click.testing import CliRunner

from ops.cli import hark
from ops.event_files.adapters import Source, load
from ops.event_files.event_file import HowToRead
from schemas.errors import ConfigError

LOGS = {
    "rees46": (
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
        "user_session\n"
        "2019-10-01 00:00:00 UTC,view,44600062,2103807459595387724,,shiseido,35.79,541312140,a\n"
        "2019-10-01 00:00:05 UTC,cart,44600062,2103807459595387724,x.y,,35.79,541312140,a\n",
        "user=user_id,event=event_type,item=product_id,time=event_time,price=price",
        ("541312140", "44600062", 1_569_888_000_000),
    ),
    "movielens": (
        "1::1193::5::978300760\n1::661::3::978302109\n",
        "user=1,item=2,rating=3,time=4",
        ("1", "1193", 978_300_760_000),
    ),
    "movielens_csv": (
        "userId,movieId,rating,timestamp\n1,296,5.0,1147880044\n1,306,3.5,1147868817\n",
        "user=userId,item=movieId,rating=rating,time=timestamp",
        ("1", "306", 1_147_868_817_000),
    ),
    "taobao": (
        "1,2268318,2520377,pv,1511544070\n1,2333346,2520771,pv,1511561733\n",
        "user=1,item=2,event=4,time=5",
        ("1", "2268318", 1_511_544_070_000),
    ),
    "yoochoose": (
        "1,2014-04-07T10:51:09.277Z,214536502,0\n1,2014-04-07T10:54:09.868Z,214536500,0\n",
        "user=1,time=2,item=3",
        ("1", "214536502", 1_396_867_869_277),
    ),
    "retailrocket": (
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n",
        "user=visitorid,event=event,item=itemid,time=timestamp",
        ("257597", "355908", 1_433_221_332_117),
    ),
    "lastfm": (
        'user_000001\t2009-05-04T23:08:57Z\tf1b1cf71\tDeep "Dish"\t\tFuck Me Im Famous\n'
        "user_000001\t2009-05-04T13:54:10Z\ta7f7df4a\t坂本龍一\t\tComposition 0919\n",
        "user=1,time=2,item=3",
        ("user_000001", "a7f7df4a", 1_241_445_250_000),
    ),
    "h_and_m": (
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        "2018-09-20,000058a1,0663713001,0.0508305084745762,2\n",
        "user=customer_id,item=article_id,time=t_dat,price=price",
        ("000058a1", "0663713001", 1_537_401_600_000),
    ),
    "amazon_csv": (
        "A2EFCYXHNK06IS,5555991584,5.0,978480000\nA1WR23ER5HMAA9,5555991584,5.0,953424000\n",
        "user=1,item=2,rating=3,time=4",
        ("A1WR23ER5HMAA9", "5555991584", 953_424_000_000),
    ),
    "amazon_json": (
        '{"overall": 5.0, "reviewerID": "A1D4G1SNUZWQOT", "asin": "7106116521", '
        '"style": {"Size:": " 7"}, "image": ["a"], "unixReviewTime": 1413763200}\n'
        '{"overall": 2.0, "reviewerID": "A3DDWDH9PX2YX2", "asin": "7106116521", '
        '"unixReviewTime": 1411862400}\n',
        "user=reviewerID,item=asin,rating=overall,time=unixReviewTime",
        ("A3DDWDH9PX2YX2", "7106116521", 1_411_862_400_000),
    ),
    "bigquery_ga4": (
        '{"event_date":"20210131","event_timestamp":"1612069510766593","event_name":"page_view",'
        '"event_params":[{"key":"page","value":{"int_value":"1"}}],"user_pseudo_id":"1026454.42",'
        '"device":{"category":"mobile"},"items":[]}\n',
        "user=user_pseudo_id,event=event_name,time=event_timestamp,device=device.category",
        ("1026454.42", None, 1_612_069_510_767),
    ),
    "online_retail_2": (
        "Invoice;StockCode;Description;Quantity;InvoiceDate;Price;Customer ID;Country\n"
        "489434;85048;15CM CHRISTMAS;12;01/12/2009 07:45;6,95;13085;United Kingdom\n"
        "489435;22350;CAT BOWL;12;13/12/2009 07:46;2,55;13085;United Kingdom\n",
        "user=Customer ID,item=StockCode,time=InvoiceDate,price=Price,quantity=Quantity",
        ("13085", "85048", 1_259_653_500_000),
    ),
}


def _mapping(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(","))


def _load(path: Path, content: str | bytes, mapping: str) -> Source:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load(path, mapping=_mapping(mapping))


@pytest.mark.parametrize("name", LOGS)
def test_the_forms_of_public_logs_are_read(tmp_path: Path, name: str) -> None:
    content, mapping, (user, item, first_ms) = LOGS[name]
    source = _load(tmp_path / f"{name}.csv", content, mapping)
    row = source.events.row(0, named=True)
    assert (row["user_id"], row["time_ms"]) == (user, first_ms)
    assert row.get("properties.product_id") == item
    assert len(source.events) == content.count("\n") - (mapping.split("=")[1][0].isalpha() and
        not content.startswith("{"))  # fmt: skip
    assert source.skipped == {}


def test_a_file_without_a_header_says_that_columns_can_be_numbered(tmp_path: Path) -> None:
    file = tmp_path / "ratings.dat"
    file.write_text(LOGS["movielens"][0])
    with pytest.raises(ConfigError, match="numbers from 1 if it has no header"):
        load(file)
    with pytest.raises(ConfigError, match=r"no column 9; the file has 1, 2, 3, 4"):
        load(file, mapping=_mapping("user=1,time=9"))


@pytest.mark.parametrize("form", ["gz", "parquet", "json", "ndjson"])
def test_the_name_of_a_file_does_not_decide_what_it_is(tmp_path: Path, form: str) -> None:
    rows = [{"u": "a", "t": "2026-11-01", "p": {"price": 2.5}}, {"u": "b", "t": "2026-11-02"}]
    table = pl.DataFrame({"u": ["a", "b"], "t": ["2026-11-01", "2026-11-02"], "p.price": [2.5, 0]})
    parquet = BytesIO()
    table.with_columns(pl.col("t").str.to_datetime()).write_parquet(parquet)
    content = {
        "gz": gzip.compress(table.write_csv().encode()),
        "parquet": parquet.getvalue(),
        "json": json.dumps(rows).encode(),
        "ndjson": b"\n".join(json.dumps(row).encode() for row in rows),
    }[form]
    events = _load(tmp_path / "a.csv", content, "user=u,time=t,price=p.price").events
    assert events["user_id"].to_list() == ["a", "b"]
    assert events["time_ms"].to_list() == [1_793_491_200_000, 1_793_577_600_000]
    assert events["properties.price"][0] == 2.5


def _zip(name: str) -> bytes:
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        archive.writestr(name, "x")
    return file.getvalue()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: None, "no such file"),
        (_fifo, "save it to a file first"),
        (lambda path: path.write_bytes(_zip("xl/workbook.xml")), "save it as `CSV UTF-8`"),
        (lambda path: path.write_bytes(_zip("a.csv")), "unpack it"),
        (lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "Excel workbook"),
        (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd\0\0"), "zstd -d"),
        (lambda path: path.write_bytes(b"PAR1 and no more"), "no table of events"),
        (lambda path: path.write_bytes(b'{"u": 1}\n{"u": '), "no table of events"),
        (lambda path: path.write_bytes(gzip.compress(b"u,t\n1,2\n" * 99)[:40]), "can't be read"),
        (lambda path: path.write_bytes(b"u\n1\n"), "one column"),
        (lambda path: path.write_bytes(b"\0" * 99), "zero"),
        (lambda path: path.write_bytes(b'u,t\n1,"2026-11-01\n'), "a.csv"),
    ],
)
def test_what_is_no_table_is_one_line_with_what_to_do(
    tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    path = tmp_path / "a.csv"
    make(path)
    with pytest.raises(ConfigError) as caught:
        load(path, mapping={"user": "u", "time": "t"})
    line = str(caught.value)
    assert said in line
    assert "a.csv" in line or "--map" in line
    assert "\n" not in line


def test_a_file_that_may_not_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.symlink_to(path)  # also for root: the path leads nowhere
    with pytest.raises(ConfigError, match=r"a\.csv"):
        load(path, mapping={"user": "u", "time": "t"})


def test_a_nul_byte_is_a_character(tmp_path: Path) -> None:
    source = _load(tmp_path / "a.csv", b"u,t\na\0b,2026-11-01\n", "user=u,time=t")
    assert source.events["user_id"].to_list() == ["a\0b"]


def test_recbole_types_are_cut_off_and_other_colons_stay(tmp_path: Path) -> None:
    content = "user_id:token\titem:list:token_seq\tat:float\tshop:id\na\tb\t1793527200\tc\n"
    source = _load(
        tmp_path / "a.inter", content, "user=user_id,item=item:list,time=at,shop=shop:id"
    )
    assert source.events["properties.shop"].to_list() == ["c"]


def test_a_name_with_braces_names_its_events(tmp_path: Path) -> None:
    source = _load(tmp_path / "a{b}.csv", "u,t\n1,2026-11-01\n", "user=u,time=t")
    assert source.events["message_id"].to_list() == ["a{b}.csv:0"]


def test_seconds_from_zero_are_a_clock_only_where_that_was_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("u,i,t\n" + "".join(f"{n % 3},{n},{n * 1000}\n" for n in range(100)))
    mapping = {"user": "u", "item": "i", "time": "t"}
    with pytest.raises(ConfigError, match="1990"):
        load(path, mapping=mapping)
    source = load(path, mapping=mapping, how=HowToRead(own_clock=True))
    assert source.events["time_ms"].to_list() == [n * 1_000_000 for n in range(100)]


def test_too_few_events_are_not_measured(tmp_path: Path) -> None:
    events = pl.DataFrame(
        {
            "u": ["a", "b", "a", "b"],
            "i": ["x", "y", "z", "x"],
            "t": [0, 60, 120, 180],
        }
    )
    path = tmp_path / "a.csv"
    events.write_csv(path)
    run = CliRunner().invoke(
        hark, ["evaluate", "--events", str(path), "--map", "user=u,item=i,time=t"]
    )
    assert isinstance(run.exception, ConfigError)
    assert "4 events" in str(run.exception)
    assert "too few to measure" in str(run.exception)
