"""Files of events as event frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ops.event_files.adapters import DAY_MS, load
from schemas.errors import ConfigError

RETAILROCKET = (
    "user_id,event_type,item_id,timestamp\n2,view,10,1000000300\n1,transaction,7,1000000100\n"
)
RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,"HEART, WHITE",6.0,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
C536379,85123A,"HEART, WHITE",-1.0,2010-12-02 08:26:00,2.55,17850.0,United Kingdom
536414,22139,,56.0,2010-12-01 11:52:00,0.0,,United Kingdom
"""
FRAUD = """TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO
0,2018-04-01 00:00:31,596,3156,57.16,0,0
1,2018-04-01 00:02:10,4961,3412,81.51,1,2
2,2018-04-20 00:07:56,2,1365,146.0,0,0
"""


def _file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_retailrocket_is_sorted_renamed_and_named_after_its_rows(tmp_path: Path) -> None:
    events = load(_file(tmp_path, "rr.csv", RETAILROCKET)).events
    assert events["event"].to_list() == ["Order Completed", "Product Viewed"]
    assert events["message_id"].to_list() == ["rr.csv:1", "rr.csv:0"]
    assert events["user_id"].to_list() == ["1", "2"]
    assert events["properties.product_id"].to_list() == ["7", "10"]
    assert events["time_ms"].to_list() == [1000000100000, 1000000300000]


def test_cancelled_invoices_are_cancellations_and_lines_without_customer_are_counted(
    tmp_path: Path,
) -> None:
    source = load(_file(tmp_path, "retail.csv", RETAIL))
    assert source.skipped == {"without_customer": 1}
    assert source.events["event"].to_list() == ["Order Completed", "Order Cancelled"]
    assert source.events["user_id"].to_list() == ["17850", "17850"]
    assert source.events["properties.quantity"].to_list() == [6.0, 1.0]
    assert source.catalogue is not None
    assert source.catalogue["title"].to_list() == ["HEART, WHITE"]


def test_a_fraud_becomes_known_seven_days_later_and_its_scenario_never(tmp_path: Path) -> None:
    events = load(_file(tmp_path, "tx.csv", FRAUD)).events
    assert events["event"].to_list() == [
        "Payment Made",
        "Payment Made",
        "Fraud Confirmed",
        "Payment Made",
    ]
    label = events.row(2, named=True)
    payment = events.row(1, named=True)
    assert label["time_ms"] - payment["time_ms"] == 7 * DAY_MS
    assert label["properties.payment_id"] == payment["message_id"]
    assert label["message_id"] != payment["message_id"]
    assert payment["properties.payment_id"] is None
    assert not [name for name in events.columns if "scenario" in name.lower()]


def test_the_films_beside_the_ratings_are_the_catalogue(tmp_path: Path) -> None:
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    path = _file(tmp_path, "ml.inter.tsv", header + "196\t242\t3\t881250949\n")
    _file(
        tmp_path,
        "ml.item.tsv",
        'item_id:token\tmovie_title\tclass\n242\tThe "Kolya"\tComedy Drama\n',
    )
    source = load(path)
    assert source.events.row(0, named=True)["properties.rating"] == 3.0
    assert source.catalogue is not None
    assert source.catalogue.to_dicts() == [
        {
            "item_id": "242",
            "title": 'The "Kolya"',
            "category": "Comedy",
            "tags": ["Comedy", "Drama"],
        }
    ]


def test_a_mapping_reads_any_file_and_passes_unknown_names_through(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "who,what,when,cost\nx,Trial Started,2020-01-01,3\n")
    mapping = {"user": "who", "event": "what", "time": "when", "price": "cost", "raw": "cost"}
    row = load(path, mapping=mapping).events.row(0, named=True)
    assert row["event"] == "Trial Started"
    assert (row["properties.price"], row["properties.raw"]) == (3.0, "3")


def test_rows_without_user_or_time_are_skipped_and_counted(tmp_path: Path) -> None:
    path = _file(tmp_path, "a.csv", "u,t\n1,1500000000\n,1500000000\n2,never\n")
    source = load(path, mapping={"user": "u", "time": "t"})
    assert source.events["message_id"].to_list() == ["a.csv:0"]
    assert source.skipped == {"without_user_or_time": 1, "unreadable_time": 1}


@pytest.mark.parametrize(
    ("adapter", "mapping", "said"),
    [
        ("auto", None, "not a file Hark knows"),
        ("ml-100k", None, "no column item_id, rating"),
        ("auto", {"user": "user_id", "time": "when"}, "no column when"),
        ("auto", {"user": "user_id"}, "names no column for time"),
    ],
)
def test_what_is_missing_is_named_with_what_is_there(
    tmp_path: Path, adapter: str, mapping: dict[str, str] | None, said: str
) -> None:
    path = _file(tmp_path, "a.csv", "user_id,timestamp\n1,2\n")
    with pytest.raises(ConfigError, match=said) as caught:
        load(path, adapter, mapping)
    assert "names no" in said or "user_id, timestamp" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "events", "skipped"),
    [
        ("retailrocket_mb.csv", 97_381, {}),
        ("ml-100k.inter.tsv", 100_000, {}),
        ("online_retail_uci.csv.gz", 541_909 - 135_080, {"without_customer": 135_080}),
        ("fraud_handbook_tx.csv.gz", 1_754_155 + 14_681, {}),
    ],
)
def test_every_row_of_the_public_files_is_accounted_for(
    data_file: Callable[[str], Path], name: str, events: int, skipped: dict[str, int]
) -> None:
    source = load(data_file(name))
    assert len(source.events) == events
    assert source.skipped == skipped
    assert source.events["message_id"].n_unique() == events
    assert source.events["time_ms"].is_sorted()
    assert source.events.select(pl.col("user_id", "event").null_count().sum()).row(0) == (0, 0)
