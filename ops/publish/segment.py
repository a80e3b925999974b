"""Frames of events to Segment-shaped JSON, a whole column at a time.

An event frame has the columns `message_id`, `user_id`, `event` (null for `identify`) and
`time_ms`; every other column is named by its place in the message: `properties.price`,
`context.device.id`, `traits.plan`. A null is left out of the message, an empty object too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.transport.record_batch import RecordBatch

_UNSAFE = r'[\x00-\x1f"\\]'
_CONTROL = [chr(code) for code in range(32)]
_ESCAPED_FROM = ["\\", '"', *_CONTROL]
_ESCAPED_TO = ["\\\\", '\\"', *(f"\\u{ord(char):04x}" for char in _CONTROL)]


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one topic, ready to send, in the order to send them.

    Attributes
    ----------
    topic
        Where they go, the configured prefix included.
    keys, values
        n each; a value of None is a tombstone.
    times_ms
        int64 (n,): event time, what a replay at recorded speed goes by.
    """

    topic: str
    keys: list[bytes]
    values: list[bytes | None]
    times_ms: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def batch(self, first: int = 0, *, partition: int = 0, block_ms: int = 1) -> RecordBatch:
        """The same as one batch of a partition's log, from offset `first` on.

        The broker's times are the events' own, rounded down to multiples of `block_ms`.
        """
        n = len(self)
        return RecordBatch(
            self.topic,
            partition,
            first,
            first + n - 1,
            range(first, first + n),
            (self.times_ms // block_ms * block_ms).tolist(),
            self.keys,
            self.values,
            [()] * n,
        )


def records(frame: pl.DataFrame, topic: str) -> Records:
    """Encode an event frame.

    Examples
    --------
    >>> frame = pl.DataFrame({"message_id": ["a-1"], "user_id": ["7"], "event": ["Product Viewed"],
    ...                       "time_ms": [1430623510000], "properties.product_id": ["6768"]})
    >>> records(frame, "events").values[0].decode()
    '{"messageId":"a-1","type":"track","userId":"7","event":"Product Viewed",\
"timestamp":"2015-05-03T03:25:10.000Z","properties":{"product_id":"6768"}}'
    """
    encoded = frame.select(
        pl.col("user_id").cast(pl.Binary).alias("key"),
        _object(_layout(frame), frame).cast(pl.Binary).alias("value"),
    )
    return Records(
        topic=topic,
        keys=encoded["key"].to_list(),
        values=encoded["value"].to_list(),
        times_ms=frame["time_ms"].cast(pl.Int64).to_numpy(),
    )


def _layout(frame: pl.DataFrame) -> dict[str, Any]:
    """Where each column goes: nested dicts whose leaves are expressions."""
    kind = pl.when(pl.col("event").is_null()).then(pl.lit("identify")).otherwise(pl.lit("track"))
    timestamp = pl.from_epoch("time_ms", time_unit="ms").dt.to_string("%Y-%m-%dT%H:%M:%S%.3fZ")
    layout: dict[str, Any] = {
        "messageId": _text(frame["message_id"]),
        "type": _quoted(kind),
        "userId": _text(frame["user_id"]),
        "event": _text(frame["event"]),
        "timestamp": _quoted(timestamp),
    }
    for name, dtype in frame.schema.items():
        if "." not in name:
            continue
        *parents, leaf = name.split(".")
        place = layout
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = _text(frame[name]) if dtype == pl.String else _number(pl.col(name), dtype)
    return layout


def _object(layout: dict[str, Any], frame: pl.DataFrame) -> pl.Expr:
    members = [
        pl.lit(f'"{name}":')
        + (_object(part, frame) if isinstance(part, dict) else part)  # null + text is null
        for name, part in layout.items()
    ]
    inside = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.when(inside != "").then(pl.lit("{") + inside + pl.lit("}"))


def _text(column: pl.Series) -> pl.Expr:
    text = pl.col(column.name)
    if column.cast(pl.String).str.contains(_UNSAFE).any():  # escaping costs 20 times the check
        text = text.str.replace_many(_ESCAPED_FROM, _ESCAPED_TO)
    return _quoted(text)


def _quoted(text: pl.Expr) -> pl.Expr:
    return pl.lit('"') + text + pl.lit('"')


def _number(number: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if dtype.is_float():
        number = pl.when(number.is_finite()).then(number)  # JSON has no NaN
    return number.cast(pl.String)
