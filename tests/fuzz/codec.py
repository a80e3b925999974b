"""Fuzzing the codec: both decoders against the contract read plainly, and each other."""

from __future__ import annotations

import random
from dataclasses import fields
from itertools import groupby

import numpy as np

from schemas.events.codec import EventDecoder
from schemas.events.columns import EventColumns
from schemas.events.contract import Contract
from schemas.events.kinds import N_KINDS
from streams.ingest.decode import BatchDecoder, Decoded, decode_batch
from tests.fuzz.by_the_book import Row, Unsure, read
from tests.fuzz.codec_inputs import Batch, make_batch
from tests.fuzz.plain_values import Refused

BATCH = 10
"""Records of one case."""
CONTRACT = Contract()
DECODER = EventDecoder(CONTRACT)
WHOLE = BatchDecoder(DECODER)


def play(case: int, seed: int) -> tuple[str, str] | None:
    """Decode one made-up batch -> what is wrong with the answer and the batch, or None."""
    batch = make_batch(random.Random(f"{seed}/{case}"), BATCH)
    try:
        wrong = check(batch)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        wrong = f"{type(error).__name__}: {error}"
    return (wrong, batch.to_json()) if wrong else None


def check(batch: Batch) -> str:
    """What is wrong with how `batch` is decoded, "" if nothing is."""
    single, whole = decode_batch(batch, DECODER), WHOLE.decode(batch)
    return _differs(single, whole) or _out_of_range(single.columns) or _against_the_book(
        batch, single
    )  # fmt: skip


def _differs(single: Decoded, whole: Decoded) -> str:
    for name in (f.name for f in fields(EventColumns)):
        one, other = getattr(single.columns, name), getattr(whole.columns, name)
        if isinstance(one, np.ndarray):
            if one.dtype != other.dtype or one.shape != other.shape:
                return f"{name}: {one.dtype}{one.shape} by record, {other.dtype}{other.shape} whole"
            one, other = one.tolist(), other.tolist()
        if one != other:
            return f"{name} by record and whole: {one} {other}"
    for name in ("rejected", "unknown_names", "future", "unkeyed", "ignored", "left_out"):
        if getattr(single, name) != getattr(whole, name):
            return f"{name} by record and whole differ"
    return "" if single.index.tolist() == whole.index.tolist() else "index differs"


def _out_of_range(columns: EventColumns) -> str:
    if not np.isfinite(columns.amounts).all():
        return "an amount isn't finite"
    if (columns.kinds >= N_KINDS).any() or (columns.kinds == 0).any():
        return "a kind that is none"
    ids = [*columns.user_ids, *columns.message_ids]
    ids += [one for one in columns.item_ids if one is not None]
    if not all(type(one) is str and 0 < len(one) <= 512 for one in ids):
        return "an id that is none"
    if len(columns) and int(columns.time_ms.min()) < CONTRACT.oldest_ms:
        return "an event before its time"
    future = columns.time_ms > columns.broker_ms + CONTRACT.future_ms
    return "an event of the future" if future.any() else ""


def _against_the_book(batch: Batch, decoded: Decoded) -> str:
    rejected = {one.index: one for one in decoded.rejected}
    rows = _rows(decoded)
    for i, value in enumerate(batch.values):
        found = rejected[i].reason if i in rejected else "accepted"
        try:
            wanted = read(value, batch.headers[i], batch.timestamps[i], CONTRACT)
        except Unsure:
            continue
        except Refused as refused:
            if found not in refused.reasons:
                return f"record {i}: {found}, by the book {' or '.join(refused.reasons)}"
            continue
        if any(row.time_ms is None for row in wanted) and i in rejected:
            if found in ("invalid_timestamp", "timestamp_too_old"):
                continue
            return f"record {i}: {found}, by the book its time at most"
        if i in rejected:
            return f"record {i}: {found} ({rejected[i].detail}), by the book accepted"
        if not _same(rows.get(i, []), wanted):
            return f"record {i}: {rows.get(i)}, by the book {wanted}"
    return ""


def _rows(decoded: Decoded) -> dict[int, list[Row]]:
    columns = decoded.columns
    made = [
        (
            index,
            Row(
                columns.user_ids[row],
                columns.message_ids[row],
                int(columns.kinds[row]),
                int(columns.time_ms[row]),
                columns.item_ids[row],
                float(columns.amounts[row]),
                tuple(columns.entities[row].tolist()),
                int(columns.references[row]),
            ),
        )
        for row, index in enumerate(decoded.index.tolist())
    ]
    return {i: [row for _, row in group] for i, group in groupby(made, key=lambda pair: pair[0])}


def _same(rows: list[Row], wanted: list[Row]) -> bool:
    return len(rows) == len(wanted) and all(
        row == want._replace(amount=float(np.float32(want.amount)),
                             time_ms=row.time_ms if want.time_ms is None else want.time_ms)
        for row, want in zip(rows, wanted, strict=True)
    )  # fmt: skip
