"""Codecs: event values to rows, outputs to bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from schemas.errors import Reason, RejectedRecord
from schemas.events.compiled import MAX_ID, compile_event, path_columns, read_paths
from schemas.events.contract import Contract
from schemas.events.control import names_nobody
from schemas.events.hints import hint
from schemas.events.kinds import Kind
from schemas.events.numbers import read_number
from schemas.events.tolerant import LINE, Reading, TolerantDecoder
from schemas.outputs import DeadLetterHeaders
from schemas.times import parse_time_ms

_MONEY = ("amount", "revenue", "total", "value")
_LARGEST = 1e30
"""Largest amount; amounts are kept in float32, which ends at 3e38."""
MAX_PRODUCTS = 100
"""Products read of one event; further products are left out and counted."""
CLOUDEVENTS = {"ce_id": "message_id", "ce_type": "event", "ce_time": "timestamp",
               "ce_subject": "user_id"}  # fmt: skip
"""Headers of CloudEvents' binary mode, and the fields that they fill."""
IGNORED = ("group", "alias")
"""Calls with nothing that Hark keeps: accepted and counted, without effect."""
_PAGES = {"page": "Page Viewed", "screen": "Screen Viewed"}
_PARTS = {
    **dict.fromkeys(("price", "quantity", *_MONEY), "amount"),
    **dict.fromkeys(("product_id", "sku"), "item"),
    **dict.fromkeys(("products", "products[]"), "product"),
    **dict.fromkeys(("properties", "context", "traits"), "object"),
}
PARTS = ("object", "product", "item", "amount", "entity", "text", "id")
"""Parts that an accepted event may lose; `entity` stands for any configured path."""
_HINTED = frozenset(
    {
        Reason.INVALID_UTF8, Reason.MALFORMED_JSON, Reason.WRONG_TYPE, Reason.MISSING_MESSAGE_ID,
        Reason.MISSING_USER_ID, Reason.MISSING_EVENT_NAME,
    }
)  # fmt: skip
_LeaveOut = Callable[[str], None]
"""Called with the path of each field that is left out."""

encode = msgspec.json.Encoder().encode
"""Struct -> JSON bytes."""


class EventRow(msgspec.Struct, gc=False):
    """One decoded event; an order of several products has several `items`.

    `left_out` names the part (`PARTS`) of each field that was left out. `ignored` is the name of a
    call without effect; if it isn't empty, the other fields mean nothing.
    """

    message_id: str
    user_id: str
    kind: int
    time_ms: int | None
    items: list[tuple[str | None, float]]
    entities: tuple[str | int | None, ...]
    reference: str | int | None
    known_name: bool
    left_out: tuple[str, ...] = ()
    ignored: str = ""


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
        self._tolerant = TolerantDecoder(event)
        self._nothing = event()
        self.no_properties = self._nothing.properties
        self.entities = read_paths(contract.entities)
        self._entity_columns = path_columns(contract.entities)
        self._reference = read_paths([contract.reference])

    def decode(self, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> EventRow:
        """Decode one value.

        Raises
        ------
        RejectedRecord
            With the reason code of the first rule that the record breaks.
        """
        if value is None:
            raise RejectedRecord(Reason.NULL_VALUE, "an event can't be a tombstone")
        if len(value) > self.contract.max_event_bytes:
            limit = self.contract.max_event_bytes
            raise RejectedRecord(Reason.TOO_LARGE, f"{len(value)} bytes, at most {limit}")
        if headers and names_nobody(value, headers):
            raise RejectedRecord(Reason.MISSING_USER_ID, "a forget record without a user id")
        reading: Reading | None = None
        try:
            try:
                if not value.isascii():
                    value.decode()
                event = self._decoder.decode(value)
            except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
                event, reading = self._tolerant.decode(value)
            if headers:
                _apply_cloudevents(event, headers)
            return self._row(event, reading)
        except RejectedRecord as error:
            looks_like = hint(value) if error.reason in _HINTED else ""
            if not looks_like:
                raise
            raise RejectedRecord(error.reason, f"{error.detail}: {looks_like}") from None

    def decode_lines(self, values: Sequence[bytes | None]) -> list[Any] | None:
        """The compiled events of n values at once; None if any of them is odd.

        This checks syntax and types only: ids and names may still be missing.
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

    def decode_usual(self, value: bytes | None) -> Any:
        """The compiled event of a value as `decode_lines` reads it; an empty one if it is odd."""
        try:
            if value is None or len(value) > self.contract.max_event_bytes:
                return self._nothing
            if not value.isascii():
                value.decode()
            return self._decoder.decode(value)
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
            return self._nothing

    def _row(self, event: Any, reading: Reading | None) -> EventRow:
        call = call_of(event)
        if call in IGNORED:
            return EventRow("", "", Kind.OTHER, None, [], (), None, known_name=True, ignored=call)
        if reading is not None:
            _check_needed(call, event, reading)
        left_out = [] if reading is None else [path for path, _ in reading.left_out]
        message_id = event.message_id
        if message_id is None or message_id == "":
            raise RejectedRecord(Reason.MISSING_MESSAGE_ID, "messageId is missing or empty")
        user_id = event.anonymous_id if event.user_id in (None, "") else event.user_id
        if user_id is None or user_id == "":
            raise RejectedRecord(
                Reason.MISSING_USER_ID, "userId and anonymousId are missing or empty"
            )
        kind, known = self._kind(call, event)
        if kind == Kind.LABEL and reading is not None:
            self._check_reference(reading)
        timestamp = event.timestamp
        return EventRow(
            message_id if type(message_id) is str else _text(message_id),
            user_id if type(user_id) is str else _text(user_id),
            kind,
            None if timestamp is None else parse_time_ms(timestamp),
            [(None, 0.0)]
            if event.properties is None
            else _items(event.properties, left_out.append),
            self.entities(event),
            self.reference(event) if kind == Kind.LABEL else None,
            known,
            tuple(map(part_of, left_out)) if left_out else (),
        )

    def _check_reference(self, reading: Reading) -> None:
        """Refuse a label that doesn't name the message it confirms."""
        for path, why in reading.left_out:
            if f"{self.contract.reference}.".startswith(f"{path}."):
                raise RejectedRecord(Reason.WRONG_TYPE, why)

    def entity_columns(self, events: Sequence[Any]) -> list[list[str | int | None]]:
        """The entities of n events as E lists of n values."""
        try:
            return self._entity_columns(events)
        except AttributeError:  # an object on a path is an explicit null
            return [list(column) for column in zip(*map(self.entities, events), strict=True)]

    def reference(self, event: Any) -> str | int | None:
        """The message id that a label event confirms."""
        return self._reference(event)[0]

    def items(self, properties: Any) -> tuple[list[tuple[str | None, float]], list[str]]:
        """The products that an event's properties name.

        Returns
        -------
        tuple
            An (item, amount) pair per product, a single pair if the event names no product; and
            the part (`PARTS`) of each field that can't be read.
        """
        left_out: list[str] = []
        pairs = _items(properties, left_out.append)
        return pairs, [part_of(path) for path in left_out]

    def _kind(self, call: str, event: Any) -> tuple[int, bool]:
        if call == "track":
            if not event.event:
                raise RejectedRecord(Reason.MISSING_EVENT_NAME, "a track call needs `event`")
            kind = self.contract.event_names.get(event.event)
            return (Kind.OTHER, False) if kind is None else (kind, True)
        if call == "identify":
            return Kind.IDENTIFY, True
        name = _PAGES.get(call)
        if name is None:
            raise RejectedRecord(
                Reason.WRONG_TYPE, f"type {event.type!r:.80}: use track, identify, page or screen"
            )
        return self.contract.event_names.get(name, Kind.OTHER), True


def call_of(event: Any) -> str:
    """The event's `type` in lower case, `track` by default."""
    call: str = event.type or "track"
    return call if call in _CALLS else call.strip().lower()


_CALLS = frozenset({"track", "identify", *_PAGES, *IGNORED})


def part_of(path: str) -> str:
    """The part (one of `PARTS`) that the field at `path` belongs to."""
    if path == "text":
        return path
    root, _, last = path.rpartition(".")
    if not root:
        return _PARTS.get(last, "id")
    of_product = root == LINE and last == "id"
    return "item" if of_product else _PARTS.get(last, "entity")


def _check_needed(call: str, event: Any, reading: Reading) -> None:
    """Refuse an event that lost a field which every event needs.

    Raises
    ------
    RejectedRecord
        Such a field was left out.
    """
    needed = ["type", "messageId", "userId", "timestamp"]
    if call == "track":
        needed.append("event")
    if event.user_id in (None, ""):
        needed.append("anonymousId")
    left_out = {path for path, _ in reading.left_out}
    for name in needed:
        if name in left_out:
            why = reading.why(name)
            invalid = reading.invalid and why == reading.invalid
            raise RejectedRecord(Reason.INVALID_UTF8 if invalid else Reason.WRONG_TYPE, why)


def _text(id_value: str | int) -> str:
    """The text of an id. The decoder has checked the length of strings already."""
    text = str(id_value)
    if len(text) > MAX_ID:
        raise RejectedRecord(Reason.WRONG_TYPE, f"an id of {len(text)} digits, at most {MAX_ID}")
    return text


def _first(leave_out: _LeaveOut, **ids: str | int | None) -> str | None:
    """The first id that isn't empty; an id with too many digits is left out."""
    for name, value in ids.items():
        if value is None or value == "":
            continue
        text = str(value)
        if len(text) <= MAX_ID:
            return text
        leave_out(f"properties.{name}")
    return None


def _number(value: float | str | None, leave_out: _LeaveOut, path: str) -> float | None:
    """A finite number, None if there is none; `leave_out` is called if it can't be read."""
    if value is None or (type(value) is str and not value.strip()):
        return None
    if type(value) is float and -_LARGEST < value < _LARGEST:
        return value
    try:
        number = read_number(value) if type(value) is str else float(value)
    except OverflowError:
        number = math.inf
    if number is None or not math.isfinite(number) or abs(number) > _LARGEST:
        leave_out(path)
        return None
    return number


def _price(entry: Any, leave_out: _LeaveOut) -> float | None:
    price = _number(entry.price, leave_out, "properties.price")
    if price is None or entry.quantity is None:
        return price
    quantity = _number(entry.quantity, leave_out, "properties.quantity")
    if quantity is None:
        return price
    return _number(price * quantity, leave_out, "properties.price")


def _amount(properties: Any, leave_out: _LeaveOut) -> float | None:
    amount = _price(properties, leave_out)
    if amount is None:
        for name in _MONEY:
            amount = _number(getattr(properties, name), leave_out, f"properties.{name}")
            if amount is not None:
                break
    return amount


def _items(properties: Any, leave_out: _LeaveOut) -> list[tuple[str | None, float]]:
    item = properties.product_id
    if type(item) is not str or not item:
        item = _first(leave_out, product_id=item, sku=properties.sku)
        if item is None and properties.products:
            return _lines(properties, leave_out)
    return [(item, _amount(properties, leave_out) or 0.0)]


def _lines(properties: Any, leave_out: _LeaveOut) -> list[tuple[str | None, float]]:
    """One pair per product; if no product has a price, all share the order's amount equally."""
    products = properties.products
    for _ in range(len(products) - MAX_PRODUCTS):
        leave_out(LINE)
    lines = [
        (
            _first(leave_out, product_id=product.product_id, sku=product.sku, id=product.id),
            _price(product, leave_out),
        )
        for product in products[:MAX_PRODUCTS]
    ]
    if any(price is not None for _, price in lines):
        return [(item, price or 0.0) for item, price in lines]
    share = (_amount(properties, leave_out) or 0.0) / len(lines)
    return [(item, share) for item, _ in lines]


def _apply_cloudevents(event: Any, headers: Sequence[tuple[str, bytes]]) -> None:
    """Fill the fields that the JSON lacks from CloudEvents (binary mode) headers."""
    found = {name: value for name, value in headers if name in CLOUDEVENTS}
    for header, field in CLOUDEVENTS.items():
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
    headers: DeadLetterHeaders, original: Sequence[tuple[str, bytes]]
) -> list[tuple[str, bytes]]:
    """Headers of a dead letter: the original record's, then Hark's with the prefix `hark-`."""
    fields = msgspec.to_builtins(headers)
    added = [(f"hark-{name}", str(value).encode()) for name, value in fields.items()]
    return [*((k, v) for k, v in original if not k.startswith("hark-")), *added]
