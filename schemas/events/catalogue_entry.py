"""A tolerant reader of catalogue entries: readable fields are used, the others are left out.

`ItemUpsert` is what publishers should send; this module reads what they do send. An entry hides
its item if it says in any readable way that the item isn't available, and also if the availability
can't be read: recommending an item that nobody can buy is worse than leaving an item out.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any

import msgspec

from schemas.errors import Reason, RejectedRecord
from schemas.events.compiled import MAX_ID

FIELDS = ("category", "price", "available")
"""The fields of an entry that are read, and may be left out."""
AVAILABILITY = frozenset({"available", "isavailable", "availability", "instock", "stockstatus"})
"""Names of fields that say that an item is available; case, blanks, `_` and `-` don't matter."""
HIDDEN = frozenset({"hidden", "ishidden"})
"""Names of fields that say that an item is not available."""
_YES = frozenset(
    {"true", "yes", "y", "t", "on", "available", "instock", "preorder", "presale", "backorder"}
    | {"onbackorder", "limitedavailability", "onlineonly", "instoreonly", "madetoorder"}
)
_NO = frozenset(
    {"false", "no", "n", "f", "off", "unavailable", "notavailable", "outofstock", "soldout"}
    | {"discontinued"}
)
_NUMBER = re.compile(
    r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(?:[A-Z]{3})?\s*"
)
"""A number as text, `19.90` or `19.90 EUR`."""
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


class _Object(list[tuple[str, Any]]):
    """The fields of a JSON object in order, repeated names included."""


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
    if _looks_plain(value):
        try:
            plain = _plain(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            return Entry(plain.category, plain.price, plain.available)
    return _read(_object(value))


def _looks_plain(value: bytes) -> bool:
    """Whether at most one field, `available`, is about availability."""
    lowered = value.lower()
    about = lowered.count(b"availab")
    return (
        about <= 1
        and about == value.count(b'"available"')
        and b"hidden" not in lowered
        and b"stock" not in lowered
        and b"\\u" not in lowered
    )


def _object(value: bytes) -> _Object:
    # Bytes that aren't UTF-8 damage only their own field, and Hark reads few fields.
    text = value.decode("utf-8-sig", "replace")
    try:
        found = json.loads(text, object_pairs_hook=_Object, parse_int=_int)
    except (ValueError, RecursionError) as error:
        detail = str(error) if value else "an empty value; a tombstone is a null value"
        raise RejectedRecord(Reason.MALFORMED_JSON, detail) from None
    if not isinstance(found, _Object):
        raise RejectedRecord(
            Reason.WRONG_TYPE, f"a catalogue entry is a JSON object, not {text.strip():.40}"
        )
    return found


def _int(digits: str) -> float:
    return int(digits) if len(digits) <= _LONG else math.inf


def _read(fields: _Object) -> Entry:
    """Make an entry of fields of any type."""
    category: str | None = None
    price: float | None = None
    available = True
    left_out = []
    for name, value in fields:
        folded = _folded(name)
        if value is None:
            continue
        if name == "category":
            category = _category(value)
            left_out += ["category"] * (category is None and value != "")
        elif name == "price":
            price = _price(value)
            left_out += ["price"] * (price is None)
        elif folded in AVAILABILITY or folded in HIDDEN:
            truth = _truth(value)
            left_out += ["available"] * (truth is None)
            # Anything but a clear yes counts as no.
            available &= truth is (folded in AVAILABILITY)
    return Entry(category, price, available, tuple(dict.fromkeys(left_out)))


def _folded(text: str) -> str:
    return re.sub(r"[\s_-]", "", text).casefold()


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
        found = _NUMBER.fullmatch(value)
        return float(found[1]) if found else None
    return float(value) if type(value) in (int, float) and not math.isnan(value) else None


def _truth(value: Any) -> bool | None:
    """Whether a value means yes, None if unclear; a number (stock) means yes above 0."""
    if type(value) is bool:
        return value
    number = _number(value)
    if number is not None:
        return number > 0
    if type(value) is not str:
        return None
    word = _folded(value.rsplit("/", 1)[-1])  # https://schema.org/InStock
    if word in _YES:
        return True
    return False if word in _NO else None
