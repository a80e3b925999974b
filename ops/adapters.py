"""Known event files, and any other by a column mapping, as frames of events.

An adapter only renames and reshapes: what happened, to whom, when. It never reads a column
that a live system couldn't have had (the fraud file's scenario stays unread), and a label
becomes an event of its own at the time it became known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from ops.event_file import need, read, times_ms
from schemas.errors import ConfigError

DAY_MS = 86_400_000
EVENT_NAMES = {
    "view": "Product Viewed",
    "addtocart": "Product Added",
    "cart": "Product Added",
    "transaction": "Order Completed",
    "purchase": "Order Completed",
    "buy": "Order Completed",
}
"""Usual short names of public files; every other name passes through as it is."""

_PLACES = {
    "item": "properties.product_id",
    "device": "context.device.id",
    "ip": "context.ip",
    "terminal": "properties.terminal_id",
}
_NUMBERS = frozenset({"price", "quantity", "revenue", "total", "value", "amount", "rating"})


@dataclass(frozen=True, slots=True)
class Source:
    """What a file holds.

    Attributes
    ----------
    events
        Event frame (see `ops.segment`), sorted by time, ties in file order.
    catalogue
        Item upserts (`item_id`, `title`, `category`, `tags`), None where the file knows none.
    skipped
        Rows that are no events, by reason.
    """

    events: pl.DataFrame
    catalogue: pl.DataFrame | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)


def load(path: Path, adapter: str = "auto", mapping: Mapping[str, str] | None = None) -> Source:
    """Read a file through an adapter, or through a mapping of Hark's words to its columns.

    Parameters
    ----------
    path
        CSV or TSV, may be gzipped.
    adapter
        One of `ADAPTERS`, or `auto`: the one whose columns the file has.
    mapping
        `user`, `time`, optionally `event`, `item` and any property: column names.

    Raises
    ------
    ConfigError
        Missing columns, with those that are there.
    """
    table = read(path)
    if mapping:
        events = _mapped(table, mapping)
        source = Source(events)
    else:
        name = _recognised(table, path) if adapter == "auto" else adapter
        columns, adapt = ADAPTERS[name]
        need(table, columns, f"{path.name} as {name}")
        source = adapt(table, path)
    return _accounted(source, path)


def _recognised(table: pl.DataFrame, path: Path) -> str:
    for name, (columns, _) in ADAPTERS.items():
        if set(columns) <= set(table.columns):
            return name
    there = ", ".join(name for name in table.columns if name != "row")
    raise ConfigError(
        f"{path.name}: not a file Hark knows; say which column is what with "
        f"--map user=...,event=...,item=...,time=... (the file has {there})"
    )


def _accounted(source: Source, path: Path) -> Source:
    """Name every event after its row, leave out rows without user or time, sort by time."""
    events = source.events.with_columns(
        pl.format(f"{path.name}:{{}}{{}}", "row", pl.col("suffix")).alias("message_id")
        if "suffix" in source.events.columns
        else pl.format(f"{path.name}:{{}}", "row").alias("message_id")
    ).drop("row", "suffix", strict=False)
    whole = events.filter(
        pl.col("user_id").is_not_null()
        & (pl.col("user_id") != "")
        & pl.col("time_ms").is_not_null()
    ).sort("time_ms", maintain_order=True)
    skipped = dict(source.skipped)
    if lost := len(events) - len(whole):
        skipped["without_user_or_time"] = lost
    return Source(whole, source.catalogue, skipped)


def _named(column: str) -> pl.Expr:
    return pl.col(column).replace(EVENT_NAMES)


def _mapped(table: pl.DataFrame, mapping: Mapping[str, str]) -> pl.DataFrame:
    if missing := {"user", "time"} - set(mapping):
        raise ConfigError(f"--map names no column for {', '.join(sorted(missing))}")
    need(table, mapping.values(), "--map")
    columns: dict[str, pl.Expr | pl.Series] = {
        "row": pl.col("row"),
        "user_id": pl.col(mapping["user"]),
        "time_ms": times_ms(table[mapping["time"]]),
        "event": _named(mapping["event"]) if "event" in mapping else pl.lit("Product Viewed"),
    }
    for name, column in mapping.items():
        if name not in ("user", "time", "event"):
            place = _PLACES.get(name, f"properties.{name}")
            number = pl.col(column).cast(pl.Float64, strict=False)
            columns[place] = number if name in _NUMBERS else pl.col(column)
    return table.select(**columns)


def _retailrocket(table: pl.DataFrame, _path: Path) -> Source:
    mapping = {"user": "user_id", "event": "event_type", "item": "item_id", "time": "timestamp"}
    return Source(_mapped(table, mapping))


def _ml_100k(table: pl.DataFrame, path: Path) -> Source:
    mapping = {"user": "user_id", "item": "item_id", "time": "timestamp", "rating": "rating"}
    events = _mapped(table, mapping).with_columns(event=pl.lit("Product Rated"))
    beside = path.with_name(path.name.replace(".inter.", ".item."))
    if beside == path or not beside.is_file():
        return Source(events)
    items = read(beside)
    need(items, ("item_id", "movie_title", "class"), beside.name)
    catalogue = items.select(
        "item_id",
        title=pl.col("movie_title"),
        category=pl.col("class").str.split(" ").list.first(),
        tags=pl.col("class").str.split(" "),
    )
    return Source(events, catalogue)


def _online_retail(table: pl.DataFrame, _path: Path) -> Source:
    cancelled = pl.col("InvoiceNo").str.starts_with("C")
    events = table.select(
        "row",
        user_id=pl.col("CustomerID").str.strip_suffix(".0"),
        time_ms=times_ms(table["InvoiceDate"]),
        event=pl.when(cancelled)
        .then(pl.lit("Order Cancelled"))
        .otherwise(pl.lit("Order Completed")),
        **{
            "properties.product_id": pl.col("StockCode"),
            "properties.price": pl.col("UnitPrice").cast(pl.Float64, strict=False),
            "properties.quantity": pl.col("Quantity").cast(pl.Float64, strict=False).abs(),
            "properties.order_id": pl.col("InvoiceNo"),
        },
    )
    known = events.filter(pl.col("user_id").is_not_null())
    catalogue = (
        table.filter(pl.col("Description").is_not_null())
        .group_by(item_id="StockCode", maintain_order=True)
        .agg(title=pl.col("Description").str.strip_chars().mode(maintain_order=True).first())
        .with_columns(category=pl.lit(None, pl.String), tags=pl.lit([], pl.List(pl.String)))
    )
    return Source(known, catalogue, {"without_customer": len(events) - len(known)})


def _fraud_handbook(table: pl.DataFrame, path: Path) -> Source:
    payments = table.select(
        "row",
        user_id=pl.col("CUSTOMER_ID"),
        time_ms=times_ms(table["TX_DATETIME"]),
        event=pl.lit("Payment Made"),
        suffix=pl.lit(""),
        **{
            "properties.amount": pl.col("TX_AMOUNT").cast(pl.Float64, strict=False),
            "properties.terminal_id": pl.col("TERMINAL_ID"),
            "properties.payment_id": pl.lit(None, pl.String),
        },
    )
    confirmed = payments.filter(table["TX_FRAUD"] == "1").with_columns(
        pl.format(f"{path.name}:{{}}", "row").alias("properties.payment_id"),
        time_ms=pl.col("time_ms") + 7 * DAY_MS,
        event=pl.lit("Fraud Confirmed"),
        suffix=pl.lit(":fraud"),
    )
    return Source(pl.concat([payments, confirmed]))


ADAPTERS: dict[str, tuple[tuple[str, ...], Callable[[pl.DataFrame, Path], Source]]] = {
    "retailrocket": (("user_id", "event_type", "item_id", "timestamp"), _retailrocket),
    "ml-100k": (("user_id", "item_id", "rating", "timestamp"), _ml_100k),
    "online-retail": (
        (
            "InvoiceNo",
            "StockCode",
            "Description",
            "Quantity",
            "InvoiceDate",
            "UnitPrice",
            "CustomerID",
        ),
        _online_retail,
    ),
    "fraud-handbook": (
        ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD"),
        _fraud_handbook,
    ),
}
"""Name -> the columns it needs, and how it reads them."""
