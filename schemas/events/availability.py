"""Whether a catalogue entry allows its item to be shown, by the names and words that shops use.

A field that is meant for this (`AVAILABILITY`, `HIDDEN`) counts with any value; a field with a more
general name counts only if it clearly says no.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from schemas.events.numbers import read_number

AVAILABILITY = frozenset({"available", "isavailable", "availability", "instock", "stockstatus"})
"""Names of fields that say that an item is available; case, blanks, `_` and `-` don't matter."""
HIDDEN = frozenset({"hidden", "ishidden"})
"""Names of fields that say that an item is not available."""
_SWITCHES = frozenset({"active", "enabled", "published", "visible", "purchasable"})
"""false hides; so do these names after `is`."""
_ENDS = frozenset({"deleted", "archived", "discontinued", "disabled", "soldout", "draft"})
"""true hides; so do these names after `is`, and a time in `deleted_at`, `archived_at`, ..."""
_STATUS = frozenset({"status", "productstatus", "itemstatus", "visibility", "catalogvisibility"})
_STOCK = frozenset(
    {"stock", "stocklevel", "stockquantity", "stockcount", "quantity", "qty", "inventory"}
    | {"inventoryquantity", "inventorylevel", "availablequantity", "quantityavailable"}
)
"""0 hides, unless a field of `AVAILABILITY` says yes, as for a preorder."""
_PARTS = frozenset({"offers", "variants"})
"""Objects that are read in the same way: the item is hidden if all of them are."""
_YES = frozenset(
    {"true", "yes", "y", "t", "on", "available", "instock", "preorder", "presale", "backorder"}
    | {"onbackorder", "limitedavailability", "onlineonly", "instoreonly", "madetoorder"}
)
_NO = frozenset(
    {"false", "no", "n", "f", "off", "unavailable", "notavailable", "outofstock", "soldout"}
    | {"discontinued"}
)
_NOT_ON_SALE = _NO | frozenset(
    {"archived", "draft", "inactive", "disabled", "deleted", "hidden", "trash", "private"}
    | {"pending", "unpublished", "retired", "expired", "none", "notvisible"}
    | {"notvisibleindividually"}
)
_ABOUT = re.compile(
    rb"availab|hidden|stock|activ|enabled|publish|visib|purchasab|delet|archiv|discontin|disabled"
    rb"|sold|draft|status|quantity|qty|inventory|offers|variants|\\u",
    re.IGNORECASE,
)


class Fields(list[tuple[str, Any]]):
    """The fields of a JSON object in order, repeated names included."""


class Shown(NamedTuple):
    """Whether an item may be shown, and whether that could be read."""

    available: bool
    readable: bool


def says_nothing_else(value: bytes) -> bool:
    """Whether an entry's bytes name at most one field about availability, `available`."""
    found = _ABOUT.findall(value)
    return not found or (len(found) == 1 and b'"available"' in value)


def read_availability(fields: Iterable[tuple[str, Any]]) -> Shown:
    """Read an entry's fields about availability; a single no hides the item.

    Examples
    --------
    >>> read_availability([("in_stock", "0")])
    Shown(available=False, readable=True)
    >>> read_availability([("stock", 0)]).available, read_availability([("stock", 3)]).available
    (False, True)
    """
    explicit: list[bool] = []  # values of fields that are meant for this
    readable, hidden, empty = True, False, False
    for written, value in fields:
        name = folded(written)
        if value is None:
            continue
        if name in AVAILABILITY or name in HIDDEN:
            truth = _truth(value)
            readable &= truth is not None
            # Anything but a clear yes counts as no.
            explicit.append(truth is (name in AVAILABILITY))
        elif name in _STOCK:
            empty |= _truth(value) is False
        else:
            hidden |= _ends(name.removeprefix("is"), value)
    shown = all(explicit) and not hidden and not (empty and not explicit)
    return Shown(shown, readable)


def _ends(name: str, value: Any) -> bool:
    """Whether a field with a general name clearly says that the item isn't on sale."""
    if name in _SWITCHES:
        return _truth(value) is False
    if name in _ENDS:
        return _truth(value) is True
    if name.removesuffix("at") in _ENDS:
        return value not in (False, 0, "") and not str(value).startswith("0000")
    if name in _STATUS:
        return type(value) is str and folded(value) in _NOT_ON_SALE
    if name in _PARTS:
        parts = [value] if isinstance(value, Fields) else value
        objects = [part for part in parts if isinstance(part, Fields)] if _is_list(parts) else []
        return bool(objects) and not any(_shown_part(part) for part in objects)
    return False


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _shown_part(part: Fields) -> bool:
    return read_availability((n, v) for n, v in part if folded(n) not in _PARTS).available


def folded(text: str) -> str:
    """A name or a word in lower case, without blanks, `_` and `-`."""
    return re.sub(r"[\s_-]", "", text).casefold()


def _truth(value: Any) -> bool | None:
    """Whether a value means yes, None if unclear; a number (stock) means yes above 0."""
    if type(value) is bool:
        return value
    if type(value) in (int, float) and value == value:  # noqa: PLR0124 - NaN isn't
        return bool(value > 0)
    if type(value) is not str:
        return None
    number = read_number(value)
    if number is not None:
        return number > 0
    word = folded(value.rsplit("/", 1)[-1])  # https://schema.org/InStock
    if word in _YES:
        return True
    return False if word in _NO else None
