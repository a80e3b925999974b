"""Decodes a whole batch at once, if nothing about the batch is odd.

The result is the same as record by record (`tests/streams/ingest/test_decode_whole.py`), in a third
of the time: one call decodes all lines, and each column is one pass. If anything is missing, wrong
or unusual, this decoder returns None, and `streams.ingest.decode` goes record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from schemas.errors import RejectedRecord
from schemas.events.codec import EventDecoder, call_of
from schemas.events.kinds import Kind
from schemas.times import parse_time_ms

_LARGEST = 1e30
_STAMP = len("2026-11-22T12:00:00.000Z")
_DIGITS = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 22]
_MARKS = {4: b"-", 7: b"-", 10: b"T", 13: b":", 16: b":", 19: b".", 23: b"Z"}
_TEXT_OR_NONE = {str, type(None)}
_NUMBER_OR_NONE = {int, float, type(None)}


@dataclass(frozen=True, slots=True)
class Whole:
    """The columns of a batch of n records with n events; fields as in `EventColumns`.

    Attributes
    ----------
    unknown_names
        Number of events with an unknown name.
    left_out
        The part (`codec.PARTS`) of each unreadable field.
    """

    user_ids: list[str]
    message_ids: list[str]
    message_hashes: npt.NDArray[np.uint64]
    kinds: npt.NDArray[np.uint8]
    time_ms: npt.NDArray[np.int64]
    item_ids: list[str | None]
    amounts: npt.NDArray[np.float32]
    entities: npt.NDArray[np.uint64]
    references: npt.NDArray[np.uint64]
    unknown_names: int
    left_out: list[str]


class WholeDecoder:
    """Decodes whole batches for one contract; None means: decode record by record."""

    def __init__(self, decoder: EventDecoder) -> None:
        self._decoder = decoder
        names = decoder.contract.event_names
        self._kinds: dict[Any, int] = {
            **names,
            _IDENTIFY: Kind.IDENTIFY,
            _PAGE: names.get("Page Viewed", Kind.OTHER),
            _SCREEN: names.get("Screen Viewed", Kind.OTHER),
        }

    def decode(self, values: Sequence[bytes | None]) -> Whole | None:
        """Decode n values; None if anything about them is unusual."""
        events = self._decoder.decode_lines(values)
        if not events:
            return None
        message_ids = [event.message_id for event in events]
        user_ids = [event.user_id for event in events]
        if not (_all_text(message_ids) and _all_text(user_ids)):
            return None
        names = [event.event if event.type == "track" else _name(event) for event in events]
        if None in names or "" in names:
            return None
        kinds = [self._kinds.get(name, -1) for name in names]
        unknown = kinds.count(-1)
        times = _times([event.timestamp for event in events])
        left_out: list[str] = []
        pairs = self._items(events, left_out)
        if times is None or pairs is None:
            return None
        digest = xxhash.xxh3_64_intdigest
        codes = np.array(kinds, np.int16)
        codes[codes < 0] = Kind.OTHER
        return Whole(
            user_ids=user_ids,
            message_ids=message_ids,
            message_hashes=np.array([digest(text.encode()) for text in message_ids], np.uint64),
            kinds=codes.astype(np.uint8),
            time_ms=times,
            item_ids=pairs[0],
            amounts=pairs[1],
            entities=self._entities(events),
            references=self._references(events, codes),
            unknown_names=unknown,
            left_out=left_out,
        )

    def _items(
        self, events: list[Any], left_out: list[str]
    ) -> tuple[list[str | None], npt.NDArray[np.float32]] | None:
        properties = [event.properties for event in events]
        if None in properties:
            return None
        item_ids = [found.product_id for found in properties]
        if not _TEXT_OR_NONE.issuperset(map(type, item_ids)):
            return None
        price = _numbers([found.price for found in properties])
        quantity = _numbers([found.quantity for found in properties])
        if price is None or quantity is None:
            return None
        amounts = np.where(np.isnan(quantity), price, price * quantity)
        odd = np.isnan(price)
        odd |= np.array([not item for item in item_ids], np.bool_)
        empty = self._decoder.no_properties
        for row in np.flatnonzero(odd).tolist():
            found = properties[row]
            if found is empty:  # all events without properties share this object
                amounts[row] = 0.0
                continue
            pairs, unread = self._decoder.items(found)
            if len(pairs) != 1:
                return None
            left_out += unread
            item_ids[row], amounts[row] = pairs[0]
        if (np.abs(amounts) > _LARGEST).any():
            return None
        return item_ids, amounts.astype(np.float32)

    def _entities(self, events: list[Any]) -> npt.NDArray[np.uint64]:
        digest = xxhash.xxh3_64_intdigest
        hashed = np.zeros((len(events), len(self._decoder.contract.entities)), np.uint64)
        for number, column in enumerate(self._decoder.entity_columns(events)):
            if "" in column:
                column = [None if text == "" else text for text in column]  # noqa: PLW2901 - rare
            if column.count(None) < len(column):
                hashed[:, number] = np.array(
                    [0 if text is None else digest(str(text).encode(), number) for text in column],
                    np.uint64,
                )
        return hashed

    def _references(
        self, events: list[Any], kinds: npt.NDArray[np.int16]
    ) -> npt.NDArray[np.uint64]:
        references = np.zeros(len(events), np.uint64)
        for row in np.flatnonzero(kinds == Kind.LABEL).tolist():
            reference = self._decoder.reference(events[row])
            if reference is not None and reference != "":
                references[row] = xxhash.xxh3_64_intdigest(str(reference).encode())
        return references


_IDENTIFY, _PAGE, _SCREEN = object(), object(), object()
_MARKERS = {"identify": _IDENTIFY, "page": _PAGE, "screen": _SCREEN}


def _name(event: Any) -> Any:
    """The name or marker that decides the event's kind; None for any other type of call."""
    call = call_of(event)
    return event.event if call == "track" else _MARKERS.get(call)


def _numbers(values: list[Any]) -> npt.NDArray[np.float64] | None:
    """float64 (n,), NaN for None; returns None if a value is a text or too large."""
    if values.count(None) == len(values):
        return np.full(len(values), np.nan)
    if not _NUMBER_OR_NONE.issuperset(map(type, values)):
        return None
    try:
        numbers = np.array(values, np.float64)
    except OverflowError:
        return None
    return None if (np.abs(numbers) > _LARGEST).any() else numbers


def _all_text(ids: list[Any]) -> bool:
    return set(map(type, ids)) == {str} and "" not in ids


def _times(stamps: list[Any]) -> npt.NDArray[np.int64] | None:
    """Epoch ms, int64 (n,); None if a timestamp is missing or unreadable."""
    if None in stamps:
        return None
    if set(map(type, stamps)) == {str} and set(map(len, stamps)) == {_STAMP}:
        times = parse_stamps(stamps)
        if times is not None:
            return times
    try:
        return np.array([parse_time_ms(stamp) for stamp in stamps], np.int64)
    except (RejectedRecord, OverflowError):
        return None


def parse_stamps(stamps: list[str]) -> npt.NDArray[np.int64] | None:
    """Epoch ms (n,) of `YYYY-MM-DDTHH:MM:SS.mmmZ` texts; None if a text has another form.

    Examples
    --------
    >>> parse_stamps(["2015-09-01T19:11:57.000Z"])
    array([1441134717000])
    """
    try:
        text = np.frombuffer("".join(stamps).encode("ascii"), np.uint8).reshape(-1, _STAMP)
    except UnicodeEncodeError:
        return None
    digits = text[:, _DIGITS].astype(np.int64) - ord("0")  # (n, 17)
    if ((digits < 0) | (digits > 9)).any():
        return None
    if any((text[:, place] != ord(mark)).any() for place, mark in _MARKS.items()):
        return None
    year = digits[:, 0:4] @ [1000, 100, 10, 1]
    month, day, hour, minute, second = (digits[:, at : at + 2] @ [10, 1] for at in range(4, 14, 2))
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    dates = months.astype("datetime64[D]") + (day - 1)
    fits = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    fits &= (dates.astype("datetime64[M]") == months) & (hour < 24) & (minute < 60) & (second < 60)
    if not fits.all():
        return None
    seconds = dates.astype(np.int64) * 86_400 + hour * 3_600 + minute * 60 + second
    millis: npt.NDArray[np.int64] = digits[:, 14:17] @ np.array([100, 10, 1])
    return np.asarray(seconds * 1000 + millis, np.int64)
