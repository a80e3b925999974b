"""A tolerant reader of catalogue entries: readable fields are used, the others are left out.

`ItemUpsert` is what publishers should send; this module reads what they do send. An entry hides
its item if it says in any readable way that the item isn't available, and also if the availability
can't be read: recommending an item that nobody can buy is worse than leaving an item out.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

import msgspec

from schemas.errors import Reason, RejectedRecord
from schemas.events.availability import Fields, read_availability, says_nothing_else
from schemas.events.compiled import MAX_ID
from schemas.events.numbers import read_number

FIELDS = ("category", "price", "available")
"""What is read of an entry, and may be left out of it."""
_LARGEST = 1e30
_LONG = 300
"""Digits; a longer number is beyond `_LARGEST`, and Python refuses to read very long ones."""


class Entry(msgspec.Struct, frozen=True):
    """A catalogue entry as it was understood.

    Attributes
    ----------
    category, price
        None if the entry has none that can be read.
    left_out
        The `FIELDS` that are in the entry but can't be read.
    """

    category: str | None = None
    price: float | None = None
    available: bool = True
    left_out: tuple[str, ...] = ()


class _Plain(msgspec.Struct):
    """An entry that follows the contract, as nearly all do."""

    category: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)] | None = None
    price: Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)] | None = None
    available: bool = True


_plain = msgspec.json.Decoder(_Plain).decode


def read_item_id(key: bytes | None) -> str:
    """The id of the item that an entry is about: the record's key.

    Raises
    ------
    RejectedRecord
        The key is missing, not UTF-8 or too long.
    """
    if not key:
        raise RejectedRecord(
            Reason.MISSING_ITEM_ID, "the record's key, which is the item's id, is missing or empty"
        )
    try:
        item_id = key.decode()
    except UnicodeDecodeError as error:
        raise RejectedRecord(Reason.INVALID_UTF8, f"the record's key: {error}") from None
    if len(item_id) > MAX_ID:
        raise RejectedRecord(
            Reason.WRONG_TYPE, f"a key of {len(item_id)} characters, at most {MAX_ID}"
        )
    return item_id


def read_entry(value: bytes) -> Entry:
    """Read the value of an entry.

    Raises
    ------
    RejectedRecord
        The value isn't a JSON object.

    Examples
    --------
    >>> read_entry(b'{"category":"shoes","price":"19.90","available":"no"}')
    Entry(category='shoes', price=19.9, available=False, left_out=())
    >>> read_entry(b'{"category":["a","b"],"price":1e39}').left_out
    ('category', 'price')
    """
    if says_nothing_else(value):
        try:
            plain = _plain(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            return Entry(plain.category, plain.price, plain.available)
    return _read(_object(value))


def _object(value: bytes) -> Fields:
    # Bytes that aren't UTF-8 damage only their own field, and Hark reads few fields.
    text = value.decode("utf-8-sig", "replace")
    try:
        found = json.loads(text, object_pairs_hook=Fields, parse_int=_int)
    except (ValueError, RecursionError) as error:
        detail = str(error) if value else "an empty value; a tombstone is a null value"
        raise RejectedRecord(Reason.MALFORMED_JSON, detail) from None
    if not isinstance(found, Fields):
        raise RejectedRecord(
            Reason.WRONG_TYPE, f"a catalogue entry is a JSON object, not {text.strip():.40}"
        )
    return found


def _int(digits: str) -> float:
    return int(digits) if len(digits) <= _LONG else math.inf


def _read(fields: Fields) -> Entry:
    """Make an entry of fields of any type."""
    category: str | None = None
    price: float | None = None
    left_out = []
    for name, value in fields:
        if value is None:
            continue
        if name == "category":
            category = _category(value)
            left_out += ["category"] * (category is None and value != "")
        elif name == "price":
            price = _price(value)
            left_out += ["price"] * (price is None)
    shown = read_availability(fields)
    left_out += ["available"] * (not shown.readable)
    return Entry(category, price, shown.available, tuple(dict.fromkeys(left_out)))


def _category(value: Any) -> str | None:
    if type(value) is list and len(value) == 1:
        (value,) = value
    if type(value) is int:
        value = str(value)
    readable = type(value) is str and 0 < len(value) <= MAX_ID
    return value if readable and not _damaged(value) else None


def _damaged(text: str) -> bool:
    """Whether bytes, or half of a surrogate pair, are missing."""
    return "\ufffd" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _price(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= _LARGEST else None


def _number(value: Any) -> float | None:
    if type(value) is str:
        return read_number(value)
    return float(value) if type(value) in (int, float) and not math.isnan(value) else None
