"""Decodes the usual records of a batch at once, column by column.

The result is the same as record by record (`tests/streams/ingest/test_decode_whole.py`), in a third
of the time: a single call decodes all lines, and each column is a single pass. A record is odd if
anything in it is missing, wrong or unusual; `streams.ingest.decode` decodes odd records alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from models.kernel import kernel
from schemas.errors import RejectedRecord
from schemas.events.codec import EventDecoder, call_of
from schemas.events.compiled import MAX_ID
from schemas.events.kinds import Kind
from schemas.times import parse_time_ms

NO_TIME_MS = -(2**63)
"""The time of an event without a timestamp."""
_LARGEST = 1e30
_STAMP = len("2026-11-22T12:00:00.000Z")
_FORM = np.frombuffer(b"0000-00-00T00:00:00.000Z", np.uint8)
_ZERO, _NINE = ord("0"), ord("9")
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_BEFORE_1970 = 719_162  # days from 0001-01-01
_TEXT_OR_NONE = {str, type(None)}
_NUMBER_OR_NONE = {int, float, type(None)}

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Whole:
    """The columns of n records, as in `EventColumns`; rows of odd records mean nothing.

    Attributes
    ----------
    odd
        bool (n,): whether the record must be decoded alone.
    known_names
        bool (n,): whether the event's name is mapped to a kind.
    time_ms
        int64 (n,): epoch ms; `NO_TIME_MS` if an event has no timestamp.
    left_out
        Row and part (`codec.PARTS`) of each unreadable field.
    """

    odd: Bools
    user_ids: list[str]
    message_ids: list[str]
    message_hashes: npt.NDArray[np.uint64]
    kinds: npt.NDArray[np.uint8]
    known_names: Bools
    time_ms: npt.NDArray[np.int64]
    item_ids: list[str | None]
    amounts: npt.NDArray[np.float32]
    entities: npt.NDArray[np.uint64]
    references: npt.NDArray[np.uint64]
    left_out: list[tuple[int, str]]


class WholeDecoder:
    """Decodes whole batches for one contract."""

    def __init__(self, decoder: EventDecoder) -> None:
        self._decoder = decoder
        names = decoder.contract.event_names
        kinds: dict[Any, int] = {
            **names,
            _IDENTIFY: Kind.IDENTIFY,
            _PAGE: names.get("Page Viewed", Kind.OTHER),
            _SCREEN: names.get("Screen Viewed", Kind.OTHER),
        }
        # Plain numbers: an array of enums takes four times as long to make.
        self._kinds: dict[Any, int] = {name: int(kind) for name, kind in kinds.items()}

    def decode(self, values: Sequence[bytes | None]) -> Whole:
        """All `values`, at least one; what is unusual is marked as odd."""
        decoder = self._decoder
        events = decoder.decode_lines(values) or [decoder.decode_usual(value) for value in values]
        odd = np.zeros(len(events), np.bool_)
        message_ids = _texts([event.message_id for event in events], odd)
        user_ids = _texts(_users(events), odd)
        names = [event.event if event.type == "track" else _name(event) for event in events]
        if None in names or "" in names:
            odd |= [not name for name in names]
        codes = np.array([self._kinds.get(name, -1) for name in names], np.int16)
        known = codes >= 0
        codes[~known] = Kind.OTHER
        times = _times([event.timestamp for event in events], odd)
        left: list[tuple[int, str]] = []
        item_ids, amounts = self._items(events, odd, left)
        digest = xxhash.xxh3_64_intdigest
        return Whole(
            odd=odd,
            user_ids=user_ids,
            message_ids=message_ids,
            message_hashes=np.array([digest(text.encode()) for text in message_ids], np.uint64),
            kinds=codes.astype(np.uint8),
            known_names=known,
            time_ms=times,
            item_ids=item_ids,
            amounts=amounts,
            entities=self._entities(events),
            references=self._references(events, codes),
            left_out=left,
        )

    def _items(
        self, events: list[Any], odd: Bools, left: list[tuple[int, str]]
    ) -> tuple[list[str | None], npt.NDArray[np.float32]]:
        empty = self._decoder.no_properties
        properties = [event.properties for event in events]
        if None in properties:
            odd |= [found is None for found in properties]
            properties = [empty if found is None else found for found in properties]
        item_ids = [found.product_id for found in properties]
        amounts = _numbers([found.price for found in properties])
        quantities = [found.quantity for found in properties]
        if quantities.count(None) < len(quantities):
            counted = np.array([quantity is not None for quantity in quantities], np.bool_)
            amounts = np.where(counted, amounts * _numbers(quantities), amounts)
        alone = ~(np.abs(amounts) <= _LARGEST)  # NaN: the price is missing or not a plain number
        if None in item_ids or "" in item_ids:
            alone |= [not item for item in item_ids]
        if not _TEXT_OR_NONE.issuperset(map(type, item_ids)):
            alone |= [type(item) is not str for item in item_ids]
        for row in np.flatnonzero(alone).tolist():
            found = properties[row]
            if found is empty:  # all events without properties share this object
                amounts[row] = 0.0
                continue
            pairs, unread = self._decoder.items(found)
            odd[row] |= len(pairs) != 1
            left += [(row, part) for part in unread]
            item_ids[row], amounts[row] = pairs[0]
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


def _numbers(values: list[Any]) -> npt.NDArray[np.float64]:
    """float64 (n,); NaN for values that aren't plain numbers."""
    if values.count(None) == len(values):
        return np.full(len(values), np.nan)
    if _NUMBER_OR_NONE.issuperset(map(type, values)):
        try:
            return np.array(values, np.float64)
        except OverflowError:
            pass
    return np.array([_number(value) for value in values], np.float64)


def _number(value: Any) -> float:
    try:
        return float(value) if type(value) in (int, float) else np.nan
    except OverflowError:
        return np.nan


def _users(events: list[Any]) -> list[Any]:
    """The users' ids; the anonymous id of an event without a user id."""
    ids = [event.user_id for event in events]
    if None in ids or "" in ids:
        ids = [
            event.anonymous_id if user_id is None or user_id == "" else user_id
            for user_id, event in zip(ids, events, strict=True)
        ]
    return ids


def _texts(ids: list[Any], odd: Bools) -> list[str]:
    """Ids as texts; a record with a missing, empty or too long id is odd."""
    if set(map(type, ids)) != {str}:
        ids = [str(value) if type(value) is int else value or "" for value in ids]
        odd |= [len(text) > MAX_ID for text in ids]
    if "" in ids:
        odd |= [text == "" for text in ids]
    return ids


def _times(stamps: list[Any], odd: Bools) -> npt.NDArray[np.int64]:
    """Epoch ms, int64 (n,); `NO_TIME_MS` for None; a record with an unreadable time is odd."""
    if set(map(type, stamps)) == {str} and set(map(len, stamps)) == {_STAMP}:
        times = parse_stamps(stamps)
        if times is not None:
            return times
    times = np.full(len(stamps), NO_TIME_MS, np.int64)
    for row, stamp in enumerate(stamps):
        if stamp is not None:
            try:
                times[row] = parse_time_ms(stamp)
            except (RejectedRecord, OverflowError):
                odd[row] = True
    return times


def parse_stamps(stamps: list[str]) -> npt.NDArray[np.int64] | None:
    """Epoch ms (n,) of `YYYY-MM-DDTHH:MM:SS.mmmZ` texts; None if a text has another form.

    Examples
    --------
    >>> parse_stamps(["2015-09-01T19:11:57.000Z"])
    array([1441134717000])
    """
    try:
        text = np.frombuffer("".join(stamps).encode("ascii"), np.uint8)
    except UnicodeEncodeError:
        return None
    times_ms = np.empty(len(stamps), np.int64)
    return times_ms if _parse(text, times_ms) else None


@kernel
def _parse(text: npt.NDArray[np.uint8], times_ms: npt.NDArray[np.int64]) -> bool:
    """Fill the times of n stamps in one text (n * `_STAMP`,) -> whether each has the form."""
    for i in range(len(times_ms)):
        stamp = text[i * _STAMP : (i + 1) * _STAMP]
        for place in range(_STAMP):
            if _FORM[place] == _ZERO:
                if stamp[place] < _ZERO or stamp[place] > _NINE:
                    return False
            elif stamp[place] != _FORM[place]:
                return False
        year, month, day = _read(stamp, 0, 4), _read(stamp, 5, 7), _read(stamp, 8, 10)
        hour, minute, second = _read(stamp, 11, 13), _read(stamp, 14, 16), _read(stamp, 17, 19)
        if year < 1 or month < 1 or month > 12 or day < 1:
            return False
        leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > _MONTH_DAYS[month - 1] + (leap and month == 2):
            return False
        if hour > 23 or minute > 59 or second > 59:
            return False
        past = year - 1
        days = past * 365 + past // 4 - past // 100 + past // 400 - _BEFORE_1970 + day - 1
        for before in range(month - 1):
            days += _MONTH_DAYS[before]
        days += leap and month > 2
        seconds = days * 86_400 + hour * 3_600 + minute * 60 + second
        times_ms[i] = seconds * 1000 + _read(stamp, 20, 23)
    return True


@kernel
def _read(stamp: npt.NDArray[np.uint8], begin: int, end: int) -> int:
    """The number that the digits from `begin` to `end` (exclusive) make."""
    number = 0
    for place in range(begin, end):
        number = number * 10 + int(stamp[place]) - _ZERO
    return number
