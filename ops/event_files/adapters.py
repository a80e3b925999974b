"""Known event files, and any other by a column mapping, as frames of events.

An adapter only renames and reshapes: what happened, to whom, when. It never reads a column
that a live system couldn't have had (the fraud file's scenario stays unread), and a label
becomes an event of its own at the time it became known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from ops.event_files.event_file import AS_IT_STANDS, EventFile, HowToRead, read
from ops.event_files.table import ROW
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
        Event frame (see `ops.publish.segment`), sorted by time, ties in file order.
    catalogue
        Item upserts (`item_id`, `title`, `category`, `tags`), None where the file knows none.
    skipped
        Rows that are no events and values that could not be read, by reason.
    notes
        What a person should know of how it was read, a line each.
    """

    events: pl.DataFrame
    catalogue: pl.DataFrame | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def load(
    path: Path,
    adapter: str = "auto",
    mapping: Mapping[str, str] | None = None,
    how: HowToRead = AS_IT_STANDS,
) -> Source:
    """Read a file through an adapter, or through a mapping of Hark's words to its columns.

    Parameters
    ----------
    path
        CSV or TSV, JSON or Parquet, may be gzipped.
    adapter
        One of `ADAPTERS`, or `auto`: the one whose columns the file has.
    mapping
        `user`, `time`, optionally `event`, `item` and any property: column names, or their
        numbers from 1 where the file has no header.
    how
        What the file doesn't say itself.

    Raises
    ------
    ConfigError
        Missing columns, with those that are there; values that can't be read, and what to do.
    """
    file = read(path, how)
    if mapping:
        numbers = all(column.isdigit() for column in mapping.values())
        if numbers and not set(mapping.values()) <= set(file.table.columns):
            file = read(path, replace(how, header=False))
        source = Source(_mapped(file, mapping))
    else:
        name = _recognised(file) if adapter == "auto" else adapter
        columns, adapt = ADAPTERS[name]
        file.need(columns, f"{file.name} as {name}")
        source = adapt(file, path)
    return _accounted(source, file)


def _recognised(file: EventFile) -> str:
    for name, (columns, _) in ADAPTERS.items():
        if set(columns) <= set(file.table.columns):
            return name
    raise ConfigError(
        f"{file.name}: not a file Hark knows; say which column is what with "
        "--map user=...,event=...,item=...,time=..., in numbers from 1 if it has no header "
        f"(the file has {file.columns()})"
    )


def _accounted(source: Source, file: EventFile) -> Source:
    """Name every event after its row, leave out rows without user or time, sort by time."""
    name = pl.lit(f"{file.name}:") + pl.col(ROW).cast(pl.String)
    events = source.events.with_columns(
        message_id=name + pl.col("suffix") if "suffix" in source.events.columns else name
    ).drop("suffix", strict=False)
    user = pl.col("user_id").is_not_null() & (pl.col("user_id") != "")
    untimed = events.select((user & pl.col(ROW).is_in(sorted(file.untimed))).sum()).item()
    whole = events.filter(user & pl.col("time_ms").is_not_null()).drop(ROW)
    whole = whole.sort("time_ms", maintain_order=True)
    lost = Counter(source.skipped) + file.skipped
    lost["unreadable_time"] += untimed
    lost["without_user_or_time"] += len(events) - len(whole) - untimed
    skipped = dict(+lost)
    if whole.is_empty():
        found = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        raise ConfigError(f"{file.name}: no events with a user and a time: {found}")
    return Source(whole, source.catalogue, skipped, (*source.notes, *file.notes))


def _named(column: str) -> pl.Expr:
    return pl.col(column).replace(EVENT_NAMES)


def _mapped(file: EventFile, mapping: Mapping[str, str]) -> pl.DataFrame:
    if missing := {"user", "time"} - set(mapping):
        raise ConfigError(f"--map names no column for {', '.join(sorted(missing))}")
    file.need(mapping.values(), "--map")
    columns: dict[str, pl.Expr | pl.Series] = {
        ROW: pl.col(ROW),
        "user_id": pl.col(mapping["user"]),
        "time_ms": file.times_ms(mapping["time"]),
        "event": _named(mapping["event"]) if "event" in mapping else pl.lit("Product Viewed"),
    }
    for name, column in mapping.items():
        if name not in ("user", "time", "event"):
            place = _PLACES.get(name, f"properties.{name}")
            columns[place] = file.numbers(column) if name in _NUMBERS else pl.col(column)
    return file.table.select(**columns)


def _retailrocket(file: EventFile, _path: Path) -> Source:
    mapping = {"user": "user_id", "event": "event_type", "item": "item_id", "time": "timestamp"}
    return Source(_mapped(file, mapping))


def _ml_100k(file: EventFile, path: Path) -> Source:
    mapping = {"user": "user_id", "item": "item_id", "time": "timestamp", "rating": "rating"}
    events = _mapped(file, mapping).with_columns(event=pl.lit("Product Rated"))
    beside = path.with_name(path.name.replace(".inter.", ".item."))
    if beside == path or not beside.is_file():
        return Source(events)
    items = read(beside)
    items.need(("item_id", "movie_title", "class"), beside.name)
    catalogue = items.table.select(
        "item_id",
        title=pl.col("movie_title"),
        category=pl.col("class").str.split(" ").list.first(),
        tags=pl.col("class").str.split(" "),
    )
    return Source(events, catalogue)


def _online_retail(file: EventFile, _path: Path) -> Source:
    cancelled = pl.col("InvoiceNo").str.starts_with("C")
    properties: dict[str, Any] = {
        "properties.product_id": pl.col("StockCode"),
        "properties.price": file.numbers("UnitPrice"),
        "properties.quantity": file.numbers("Quantity").abs(),
        "properties.order_id": pl.col("InvoiceNo"),
    }
    events = file.table.select(
        ROW,
        user_id=pl.col("CustomerID").str.strip_suffix(".0"),
        time_ms=file.times_ms("InvoiceDate"),
        event=pl.when(cancelled)
        .then(pl.lit("Order Cancelled"))
        .otherwise(pl.lit("Order Completed")),
        **properties,
    )
    known = events.filter(pl.col("user_id").is_not_null())
    catalogue = (
        file.table.filter(pl.col("Description").is_not_null())
        .group_by(item_id="StockCode", maintain_order=True)
        .agg(title=pl.col("Description").str.strip_chars().mode(maintain_order=True).first())
        .with_columns(category=pl.lit(None, pl.String), tags=pl.lit([], pl.List(pl.String)))
    )
    return Source(known, catalogue, {"without_customer": len(events) - len(known)})


def _fraud_handbook(file: EventFile, path: Path) -> Source:
    properties: dict[str, Any] = {
        "properties.amount": file.numbers("TX_AMOUNT"),
        "properties.terminal_id": pl.col("TERMINAL_ID"),
        "properties.payment_id": pl.lit(None, pl.String),
    }
    payments = file.table.select(
        ROW,
        user_id=pl.col("CUSTOMER_ID"),
        time_ms=file.times_ms("TX_DATETIME"),
        event=pl.lit("Payment Made"),
        suffix=pl.lit(""),
        **properties,
    )
    confirmed = payments.filter(file.table["TX_FRAUD"] == "1").with_columns(
        (pl.lit(f"{path.name}:") + pl.col(ROW).cast(pl.String)).alias("properties.payment_id"),
        time_ms=pl.col("time_ms") + 7 * DAY_MS,
        event=pl.lit("Fraud Confirmed"),
        suffix=pl.lit(":fraud"),
    )
    return Source(pl.concat([payments, confirmed]))


ADAPTERS: dict[str, tuple[tuple[str, ...], Callable[[EventFile, Path], Source]]] = {
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
