"""Record batches to event columns; records that break the contract are rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from operator import ne
from typing import Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from schemas.errors import Reason, RejectedRecord
from schemas.events.codec import CLOUDEVENTS, EventDecoder, EventRow
from schemas.events.columns import EventColumns
from schemas.events.control import HEADER
from schemas.times import LATEST_MS, epoch_unit
from streams.ingest.decode_whole import NO_TIME_MS, Whole, WholeDecoder

_TELLING = frozenset({*CLOUDEVENTS, HEADER})


class Records(Protocol):
    """The columns of a record batch that decoding needs, as `RecordBatch` has them."""

    @property
    def offsets(self) -> Sequence[int]: ...
    @property
    def timestamps(self) -> Sequence[int]: ...
    @property
    def keys(self) -> Sequence[bytes | None]: ...
    @property
    def values(self) -> Sequence[bytes | None]: ...
    @property
    def headers(self) -> Sequence[Sequence[tuple[str, bytes]]]: ...


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record for the dead letters: its position in the batch, the reason code, and details."""

    index: int
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded record batch.

    Attributes
    ----------
    columns
        The valid events; a record with several products has several rows.
    index
        int32 (n,): position of each row's record in the batch.
    rejected
        Records for the dead letters.
    unknown_names, future, unkeyed
        Numbers of valid events with an unknown name, with a future date (which became the broker's
        time), and with a record key that isn't the user id.
    ignored
        Numbers of accepted calls without effect (`codec.IGNORED`), by name; they have no row.
    left_out
        Numbers of unreadable fields of valid events, by part (`codec.PARTS`).
    """

    columns: EventColumns
    index: np.ndarray[tuple[int], np.dtype[np.int32]]
    rejected: list[Rejection]
    unknown_names: int = 0
    future: int = 0
    unkeyed: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def split(self, sizes: Sequence[int]) -> list[Decoded]:
        """The results of parts of `sizes` records; the numbers stay with the first part."""
        if len(sizes) == 1:
            return [self]
        records = [0, *accumulate(sizes)]
        rows = np.searchsorted(self.index, records).tolist()
        parts = [
            Decoded(
                self.columns.part(*rows[i : i + 2]),
                self.index[rows[i] : rows[i + 1]] - np.int32(records[i]),
                [
                    replace(one, index=one.index - records[i])
                    for one in self.rejected
                    if records[i] <= one.index < records[i + 1]
                ],
            )
            for i in range(len(sizes))
        ]
        numbers = self.unknown_names, self.future, self.unkeyed, self.ignored, self.left_out
        parts[0] = Decoded(parts[0].columns, parts[0].index, parts[0].rejected, *numbers)
        return parts


@dataclass(frozen=True, slots=True)
class _Some:
    """Some records of one batch or of several."""

    offsets: Sequence[int]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    headers: Sequence[Sequence[tuple[str, bytes]]]

    @staticmethod
    def of(batch: Records, rows: Sequence[int]) -> _Some:
        return _Some(
            [batch.offsets[row] for row in rows],
            [batch.timestamps[row] for row in rows],
            [batch.keys[row] for row in rows],
            [batch.values[row] for row in rows],
            [batch.headers[row] for row in rows],
        )

    @staticmethod
    def joined(batches: Sequence[Records]) -> Records:
        if len(batches) == 1:
            return batches[0]
        return _Some(
            [offset for batch in batches for offset in batch.offsets],
            [timestamp for batch in batches for timestamp in batch.timestamps],
            [key for batch in batches for key in batch.keys],
            [value for batch in batches for value in batch.values],
            [headers for batch in batches for headers in batch.headers],
        )


class BatchDecoder:
    """Decodes record batches for one contract: usual records at once, odd records one by one.

    Parameters
    ----------
    decoder
        Compiled for the product's contract.
    """

    def __init__(self, decoder: EventDecoder) -> None:
        self._decoder = decoder
        self._whole = WholeDecoder(decoder)

    def decode_each(self, batches: Sequence[Records]) -> list[Decoded]:
        """Decode several batches at once; the numbers of all are with the first."""
        return self.decode(_Some.joined(batches)).split([len(batch.values) for batch in batches])

    def decode(self, batch: Records) -> Decoded:
        """Decode n records in log order; never raises for bad input."""
        named = _named_by_headers(batch.headers)
        if len(named) == len(batch.values):  # as in an empty batch
            return decode_batch(batch, self._decoder)
        whole = self._whole.decode(batch.values)
        oldest_ms = self._decoder.contract.oldest_ms
        broker_ms = np.array(batch.timestamps, np.int64)
        time_ms = np.where(whole.time_ms == NO_TIME_MS, broker_ms, whole.time_ms)
        odd = whole.odd | (time_ms < oldest_ms) | (broker_ms < oldest_ms) | (broker_ms > LATEST_MS)
        odd[named] = True
        if odd.all():
            return decode_batch(batch, self._decoder)
        usual = self._usual(batch, whole, np.flatnonzero(~odd), broker_ms, time_ms)
        rows = np.flatnonzero(odd)
        if not len(rows):
            return usual
        return _merged(usual, decode_batch(_Some.of(batch, rows.tolist()), self._decoder), rows)

    def _usual(
        self,
        batch: Records,
        whole: Whole,
        rows: npt.NDArray[np.intp],
        broker_ms: npt.NDArray[np.int64],
        time_ms: npt.NDArray[np.int64],
    ) -> Decoded:
        """The decoded records at `rows`, none of which is odd."""
        future = time_ms > broker_ms + self._decoder.contract.future_ms
        columns = EventColumns(
            offsets=np.array(batch.offsets, np.int64),
            broker_ms=broker_ms,
            time_ms=np.where(future, broker_ms, time_ms),
            user_ids=whole.user_ids,
            message_ids=whole.message_ids,
            message_hashes=whole.message_hashes,
            kinds=whole.kinds,
            item_ids=whole.item_ids,
            amounts=whole.amounts,
            entities=whole.entities,
            references=whole.references,
            ends=np.ones(len(broker_ms), np.bool_),
        )
        keys = batch.keys
        if len(rows) < len(keys):
            columns, keys = columns.take(rows), [keys[row] for row in rows.tolist()]
        left_out: Counter[str] = Counter()
        if whole.left_out:
            there = set(rows.tolist())
            left_out.update(part for row, part in whole.left_out if row in there)
        return Decoded(
            columns,
            rows.astype(np.int32),
            [],
            len(rows) - int(np.count_nonzero(whole.known_names[rows])),
            int(np.count_nonzero(future[rows])),
            count_unkeyed(keys, columns.user_ids),
            left_out=left_out,
        )


def _named_by_headers(headers: Sequence[Sequence[tuple[str, bytes]]]) -> list[int]:
    """The records with headers that describe the event."""
    if not any(headers):
        return []
    return [i for i, pairs in enumerate(headers) if any(name in _TELLING for name, _ in pairs)]


def _merged(usual: Decoded, odd: Decoded, rows: npt.NDArray[np.intp]) -> Decoded:
    """Merge both in log order; `rows` are the positions of the odd records in the batch."""
    index = np.concatenate([usual.index, rows[odd.index].astype(np.int32)])
    order = np.argsort(index, kind="stable")
    return Decoded(
        EventColumns.concat([usual.columns, odd.columns]).take(order),
        index[order],
        [replace(rejection, index=int(rows[rejection.index])) for rejection in odd.rejected],
        usual.unknown_names + odd.unknown_names,
        usual.future + odd.future,
        usual.unkeyed + odd.unkeyed,
        odd.ignored,
        usual.left_out + odd.left_out,
    )


def count_unkeyed(keys: Sequence[bytes | None], user_ids: Sequence[str]) -> int:
    """How many of n keys differ from the user id of their event."""
    ids = [user_id.encode() for user_id in user_ids]
    return sum(map(ne, keys, ids))


def decode_batch(batch: Records, decoder: EventDecoder) -> Decoded:
    """Decode a batch record by record; never raises for bad input.

    Parameters
    ----------
    batch
        n records in log order.
    decoder
        Compiled for the product's contract.
    """
    rejected: list[Rejection] = []
    rows: list[EventRow] = []
    at: list[int] = []
    times: list[int] = []
    unknown = future = unkeyed = 0
    ignored: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    decode = decoder.decode
    oldest_ms, future_ms = decoder.contract.oldest_ms, decoder.contract.future_ms
    records = zip(batch.values, batch.headers, batch.timestamps, batch.keys, strict=True)
    for i, (value, headers, broker_ms, key) in enumerate(records):
        try:
            row = decode(value, headers)
            if row.ignored:
                ignored[row.ignored] += 1
                continue
            if not oldest_ms <= broker_ms <= LATEST_MS:
                raise RejectedRecord(
                    Reason.INVALID_TIMESTAMP, f"the record's own Kafka timestamp: {broker_ms} ms"
                )
            time_ms = broker_ms if row.time_ms is None else row.time_ms
            if time_ms < oldest_ms:
                hint = ": seconds, not ms?" if epoch_unit(time_ms) == "s" else ""
                raise RejectedRecord(
                    Reason.TIMESTAMP_TOO_OLD, f"{time_ms} ms is before {oldest_ms}{hint}"
                )
        except RejectedRecord as error:
            rejected.append(Rejection(i, error.reason, error.detail))
            continue
        if time_ms > broker_ms + future_ms:
            time_ms = broker_ms
            future += 1
        unknown += not row.known_name
        unkeyed += key != row.user_id.encode()
        left_out.update(row.left_out)
        rows.append(row)
        at.append(i)
        times.append(time_ms)
    columns, index = _columns(batch, decoder, rows, at, times)
    return Decoded(columns, index, rejected, unknown, future, unkeyed, ignored, left_out)


def _columns(
    batch: Records,
    decoder: EventDecoder,
    rows: list[EventRow],
    at: list[int],
    times: list[int],
) -> tuple[EventColumns, np.ndarray[tuple[int], np.dtype[np.int32]]]:
    if any(len(row.items) != 1 for row in rows):
        rows, at, times, pairs = _expand(rows, at, times)
    else:
        pairs = [row.items[0] for row in rows]
    digest = xxhash.xxh3_64_intdigest
    n = len(rows)
    width = len(decoder.contract.entities)
    index = np.array(at, np.int32)
    hashes = [
        0 if entity is None or entity == "" else digest(str(entity).encode(), seed=column)
        for row in rows
        for column, entity in enumerate(row.entities)
    ]
    ends = np.ones(n, np.bool_)
    ends[:-1] = index[1:] != index[:-1]
    columns = EventColumns(
        offsets=np.array(batch.offsets, np.int64)[index],
        broker_ms=np.array(batch.timestamps, np.int64)[index],
        time_ms=np.array(times, np.int64),
        user_ids=[row.user_id for row in rows],
        message_ids=[row.message_id for row in rows],
        message_hashes=np.array([digest(row.message_id.encode()) for row in rows], np.uint64),
        kinds=np.array([row.kind for row in rows], np.uint8),
        item_ids=[item for item, _ in pairs],
        amounts=np.array([amount for _, amount in pairs], np.float32),
        entities=np.array(hashes, np.uint64).reshape(n, width),
        references=np.array(
            [
                0 if row.reference in (None, "") else digest(str(row.reference).encode())
                for row in rows
            ],
            np.uint64,
        ),
        ends=ends,
    )
    return columns, index


def _expand(
    rows: list[EventRow], at: list[int], times: list[int]
) -> tuple[list[EventRow], list[int], list[int], list[tuple[str | None, float]]]:
    """One row per product of an order."""
    flat = [
        (row, i, time, pair)
        for row, i, time in zip(rows, at, times, strict=True)
        for pair in row.items
    ]
    return (
        [row for row, _, _, _ in flat],
        [i for _, i, _, _ in flat],
        [time for _, _, time, _ in flat],
        [pair for _, _, _, pair in flat],
    )
