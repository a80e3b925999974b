"""Codecs: event values to rows, outputs to bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from schemas.compiled import MAX_ID, compile_event, path_columns, read_paths
from schemas.contract import Contract
from schemas.errors import Reason, RejectedRecord
from schemas.kinds import Kind
from schemas.outputs import DeadLetterHeaders
from schemas.times import parse_time_ms

_MONEY = ("amount", "revenue", "total", "value")
_NUMBER = re.compile(r" *[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)? *")
"""What a text must be to count as a number: Python's float() takes more, as 1_000."""
_LARGEST = 1e30
"""Of an amount: float32, in which amounts are kept, ends at 3e38."""
_PAGES = {"page": "Page Viewed", "screen": "Screen Viewed"}

encode = msgspec.json.Encoder().encode
"""Struct -> JSON bytes."""


class EventRow(msgspec.Struct, gc=False):
    """One decoded event; an order of several products has several `items`."""

    message_id: str
    user_id: str
    kind: int
    time_ms: int | None
    items: list[tuple[str | None, float]]
    entities: tuple[str | int | None, ...]
    reference: str | int | None
    known_name: bool


class EventDecoder:
    """Decodes event values for one contract.

    Parameters
    ----------
    contract
        Event names, entity paths and limits of the product.

    Examples
    --------
    >>> row = EventDecoder(Contract()).decode(
    ...     b'{"messageId":"m1","userId":7,"event":"Product Viewed","properties":{"sku":"a"}}'
    ... )
    >>> row.user_id, int(row.kind), row.items
    ('7', 1, [('a', 0.0)])
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        event = compile_event(contract)
        self._decoder = msgspec.json.Decoder(event)
        self.no_properties = event().properties
        self.entities = read_paths(contract.entities)
        self._entity_columns = path_columns(contract.entities)
        self._reference = read_paths([contract.reference])

    def decode(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> EventRow:
        """Decode one value.

        Raises
        ------
        RejectedRecord
            With the reason code of the first rule it breaks.
        """
        if value is None:
            raise RejectedRecord(Reason.NULL_VALUE, "an event can't be a tombstone")
        if len(value) > self.contract.max_event_bytes:
            limit = self.contract.max_event_bytes
            raise RejectedRecord(Reason.TOO_LARGE, f"{len(value)} bytes, at most {limit}")
        try:
            if not value.isascii():
                value.decode()
            event = self._decoder.decode(value)
        except UnicodeDecodeError as error:
            raise RejectedRecord(Reason.INVALID_UTF8, str(error)) from None
        except msgspec.ValidationError as error:
            raise RejectedRecord(Reason.WRONG_TYPE, str(error)) from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise RejectedRecord(Reason.MALFORMED_JSON, str(error)) from None
        if headers:
            _apply_cloudevents(event, headers)
        return self._row(event)

    def decode_lines(self, values: Sequence[bytes | None]) -> list[Any] | None:
        """The compiled events of n values at once; None if any of them isn't valid.

        Only syntax and types are checked: ids and names may still be missing.
        """
        try:
            lines = b"\n".join(values)  # type: ignore[arg-type]  # a None is caught below
            if lines.count(b"\n") != len(values) - 1:
                return None
            if not lines.isascii():
                lines.decode()
            if max(map(len, values), default=0) > self.contract.max_event_bytes:  # type: ignore[arg-type]
                return None
            events = self._decoder.decode_lines(lines)
        except (TypeError, UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            return None
        return events if len(events) == len(values) else None

    def _row(self, event: Any) -> EventRow:
        message_id = event.message_id
        if message_id is None or message_id == "":
            raise RejectedRecord(Reason.MISSING_MESSAGE_ID, "messageId is missing or empty")
        user_id = event.anonymous_id if event.user_id in (None, "") else event.user_id
        if user_id is None or user_id == "":
            raise RejectedRecord(
                Reason.MISSING_USER_ID, "userId and anonymousId are missing or empty"
            )
        kind, known = self._kind(event)
        timestamp = event.timestamp
        return EventRow(
            message_id if type(message_id) is str else _text(message_id),
            user_id if type(user_id) is str else _text(user_id),
            kind,
            None if timestamp is None else parse_time_ms(timestamp),
            [(None, 0.0)] if event.properties is None else self.items(event.properties),
            self.entities(event),
            self.reference(event) if kind == Kind.LABEL else None,
            known,
        )

    def entity_columns(self, events: Sequence[Any]) -> list[list[str | int | None]]:
        """`entities` of many events, one list per entity."""
        try:
            return self._entity_columns(events)
        except AttributeError:  # an explicit null on the way
            return [list(column) for column in zip(*map(self.entities, events), strict=True)]

    def reference(self, event: Any) -> str | int | None:
        """The message id that a label event confirms."""
        return self._reference(event)[0]

    def items(self, properties: Any) -> list[tuple[str | None, float]]:
        """Item and amount of each product an event names; one pair without any.

        Raises
        ------
        RejectedRecord
            A number isn't one.
        """
        return _items(properties)

    def _kind(self, event: Any) -> tuple[int, bool]:
        if event.type == "track":
            if not event.event:
                raise RejectedRecord(Reason.MISSING_EVENT_NAME, "a track call needs `event`")
            kind = self.contract.event_names.get(event.event)
            return (Kind.OTHER, False) if kind is None else (kind, True)
        if event.type == "identify":
            return Kind.IDENTIFY, True
        name = _PAGES.get(event.type)
        if name is None:
            raise RejectedRecord(
                Reason.WRONG_TYPE, f"type {event.type!r}: use track, identify, page or screen"
            )
        return self.contract.event_names.get(name, Kind.OTHER), True


def _first(*ids: str | int | None) -> str | None:
    return next((_text(one) for one in ids if one is not None and one != ""), None)


def _text(one: str | int) -> str:
    """The text of an id; the decoder has measured those that are texts already."""
    text = str(one)
    if len(text) > MAX_ID:
        raise RejectedRecord(Reason.WRONG_TYPE, f"an id of {len(text)} digits, at most {MAX_ID}")
    return text


def _number(value: float | str | None, name: str) -> float | None:
    if value is None:
        return None
    if type(value) is float and -_LARGEST < value < _LARGEST:
        return value
    try:
        readable = type(value) is not str or _NUMBER.fullmatch(value)
        number = float(value) if readable else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > _LARGEST:
        raise RejectedRecord(Reason.WRONG_TYPE, f"{name} is not a finite number: {value!r:.80}")
    return number


def _price(entry: Any) -> float | None:
    price = _number(entry.price, "price")
    if price is None or entry.quantity is None:
        return price
    return _number(price * (_number(entry.quantity, "quantity") or 0.0), "price × quantity")


def _items(properties: Any) -> list[tuple[str | None, float]]:
    item = properties.product_id
    if type(item) is not str or not item:
        item = _first(item, properties.sku)
        if item is None and properties.products:
            return [
                (_first(product.product_id, product.sku), _price(product) or 0.0)
                for product in properties.products[:100]
            ]
    amount = _price(properties)
    if amount is None:
        for name in _MONEY:
            amount = _number(getattr(properties, name), name)
            if amount is not None:
                break
    return [(item, amount or 0.0)]


def _apply_cloudevents(event: Any, headers: Sequence[tuple[str, bytes]]) -> None:
    """Fill what the JSON leaves out from CloudEvents (binary mode) headers."""
    found = {name: value for name, value in headers if name.startswith("ce_")}
    for field, header in (
        ("message_id", "ce_id"),
        ("event", "ce_type"),
        ("timestamp", "ce_time"),
        ("user_id", "ce_subject"),
    ):
        if getattr(event, field) is None and found.get(header):
            setattr(event, field, _header_text(header, found[header]))


def _header_text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise RejectedRecord(Reason.INVALID_UTF8, f"header {name}: {error}") from None
    if len(text) > MAX_ID:
        raise RejectedRecord(
            Reason.WRONG_TYPE, f"header {name} of {len(text)} characters, at most {MAX_ID}"
        )
    return text


def dead_letter_headers(
    story: DeadLetterHeaders, original: Sequence[tuple[str, bytes]]
) -> list[tuple[str, bytes]]:
    """Headers of a dead letter: the original ones, then ours with the prefix `hark-`."""
    fields = msgspec.to_builtins(story)
    ours = [(f"hark-{name}", str(value).encode()) for name, value in fields.items()]
    return [*((k, v) for k, v in original if not k.startswith("hark-")), *ours]
