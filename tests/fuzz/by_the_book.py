"""The contract of events read plainly from docs/publish.md: slow, and by other means.

`json` instead of msgspec, plain loops instead of columns. What it says about a record is what
the decoders must say.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import xxhash

from schemas.errors import Reason
from schemas.events.contract import Contract
from schemas.events.kinds import Kind
from tests.fuzz.plain_values import Refused, number_of, time_ms_of

DEEP = 150


class Row(NamedTuple):
    """What one row of the columns must hold; `time_ms` None: readable, but not by this book."""

    user_id: str
    message_id: str
    kind: int
    time_ms: int | None
    item_id: str | None
    amount: float
    entities: tuple[int, ...]
    reference: int


class Unsure(Exception):
    """JSON leaves the meaning open, as with a key twice: either answer is right."""


def read(
    value: bytes | None, headers: Sequence[tuple[str, Any]], broker_ms: int, contract: Contract
) -> list[Row]:
    """Rows of one record.

    Raises
    ------
    Refused
        It must be a dead letter.
    Unsure
        Anything goes but a crash.
    """
    event, valid = _parse(value, contract)
    _clean(event, valid)
    for field, header in (
        ("messageId", "ce_id"),
        ("event", "ce_type"),
        ("timestamp", "ce_time"),
        ("userId", "ce_subject"),
    ):
        given = [content for name, content in headers if name == header]
        if not given or not given[-1]:
            continue
        if event.get(field) is None:
            event[field] = _header(given[-1])
        elif event[field] is ODD and not _is_utf8(given[-1]):  # both are wrong
            raise Refused(Reason.WRONG_TYPE, Reason.INVALID_UTF8)
    if _call(event) in ("group", "alias"):
        return []
    _check_needed(event, valid)
    return _rows(event, broker_ms, contract)


def _parse(value: bytes | None, contract: Contract) -> tuple[dict[str, Any], bool]:
    """The object in a record, and whether all its bytes are UTF-8."""
    if value is None:
        raise Refused(Reason.NULL_VALUE)
    if len(value) > contract.max_event_bytes:
        raise Refused(Reason.TOO_LARGE)
    plain = value.removeprefix("\ufeff".encode()).rstrip(b"\0")
    text = plain.decode(errors="replace")
    valid = text.encode() == plain
    twice = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice |= len({key for key, _ in found}) < len(found)
        return dict(found)

    if _depth(text) > DEEP:
        raise Unsure
    try:
        parsed = json.loads(text, parse_constant=_null, parse_int=_integer, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        # A first value that is no object may be told before what is wrong after it.
        reasons = (Reason.MALFORMED_JSON, Reason.WRONG_TYPE) if valid else (Reason.INVALID_UTF8,)
        raise Refused(*reasons) from None
    if twice:
        raise Unsure
    if not isinstance(parsed, dict):
        raise Refused(Reason.WRONG_TYPE if valid else Reason.INVALID_UTF8)
    found: dict[str, Any] = _whole_pairs(parsed)
    return found, valid


def _whole_pairs(value: Any) -> Any:
    """The same, with U+FFFD for each half of a surrogate pair."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in value)
    if isinstance(value, list):
        return [_whole_pairs(one) for one in value]
    if isinstance(value, dict):
        return {_whole_pairs(name): _whole_pairs(one) for name, one in value.items()}
    return value


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r"[\[{}\]]", text):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _null(_constant: str) -> None:
    """NaN and Infinity count as null."""


def _integer(text: str) -> int:
    if len(text) > 4000:  # too many digits for anything; how many is nobody's business
        return 10**4000
    return int(text)


ODD = object()
"""Stands for a field that every event needs and that is odd."""


def _clean(event: dict[str, Any], valid: bool) -> None:
    """Leave out what can't be read; mark as `ODD` what an event can't do without."""
    for name in ("messageId", "userId", "anonymousId"):
        if name in event and not _is_id(event[name], valid):
            event[name] = ODD
    for name, most in (("type", None), ("event", 512)):
        text = event.get(name)
        if text is not None and not (_is_text(text, valid) and len(text) <= (most or len(text))):
            event[name] = ODD
    stamp = event.get("timestamp")
    if isinstance(stamp, str):
        if not _is_text(stamp, valid):
            event["timestamp"] = ODD
    elif stamp is not None and not _is_number(stamp):
        event["timestamp"] = ODD
    properties = _object(event, "properties")
    for name in ("product_id", "sku", "terminal_id", "payment_id", "payment_method"):
        _id_or_nothing(properties, name, valid, mark=name == "payment_id")
    products = properties.get("products")
    if isinstance(products, dict) and all(name.isdecimal() for name in products):
        products = list(products.values())
    properties["products"] = [
        one for one in (products if isinstance(products, list) else []) if isinstance(one, dict)
    ]
    for product in properties["products"]:
        for name in ("product_id", "sku", "id"):
            _id_or_nothing(product, name, valid)
    context = _object(event, "context")
    _id_or_nothing(context, "ip", valid)
    _id_or_nothing(_object(context, "device"), "id", valid)


def _object(inside: dict[str, Any], name: str) -> dict[str, Any]:
    """The object called `name`; an empty one where there is none."""
    found = inside.get(name)
    if not isinstance(found, dict):
        odd = found is not None and found != []
        inside[name] = found = {"payment_id": ODD} if odd and name == "properties" else {}
    return found


def _id_or_nothing(inside: dict[str, Any], name: str, valid: bool, *, mark: bool = False) -> None:
    if not _is_id(inside.get(name), valid):
        inside[name] = ODD if mark else None


def _is_id(value: Any, valid: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        return False
    if isinstance(value, int) and abs(value) >= 10**3990:
        raise Unsure  # at how many digits a decoder gives up is its own affair
    return not isinstance(value, str) or (_is_text(value, valid) and len(value) <= 512)


def _is_number(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isinf(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**3990


def _is_text(value: Any, valid: bool) -> bool:
    return isinstance(value, str) and (valid or "\ufffd" not in value)


def _call(event: dict[str, Any]) -> str:
    call = event.get("type")
    return "" if call is ODD else (call or "track").strip().lower()


def _check_needed(event: dict[str, Any], valid: bool) -> None:
    needed = ["type", "messageId", "userId", "timestamp"]
    needed += ["event"] if _call(event) in ("track", "") else []
    needed += ["anonymousId"] if event.get("userId") in (None, "") else []
    if any(event.get(name) is ODD for name in needed):
        raise Refused(Reason.WRONG_TYPE, *([] if valid else [Reason.INVALID_UTF8]))
    for name in ("event", "anonymousId"):
        if event.get(name) is ODD:
            event[name] = None


def _is_utf8(value: bytes) -> bool:
    return value.decode(errors="replace").encode() == value


def _header(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.INVALID_UTF8) from None
    if len(text) > 512:
        raise Refused(Reason.WRONG_TYPE)
    return text


def _rows(event: dict[str, Any], broker_ms: int, contract: Contract) -> list[Row]:
    message_id = _required(event.get("messageId"), Reason.MISSING_MESSAGE_ID)
    user = event.get("userId")
    user_id = _required(event.get("anonymousId") if user in (None, "") else user,
                        Reason.MISSING_USER_ID)  # fmt: skip
    kind = _kind(event, contract)
    message_id, user_id = _short(message_id), _short(user_id)
    if kind == Kind.LABEL and event["properties"].get("payment_id") is ODD:
        raise Refused(Reason.WRONG_TYPE)
    stamp = event.get("timestamp")
    time_ms = broker_ms if stamp is None else time_ms_of(stamp)
    properties = event.get("properties") or {}
    pairs = _items(properties)
    context = event.get("context") or {}
    watched = (
        properties.get("terminal_id"),
        (context.get("device") or {}).get("id"),
        context.get("ip"),
        properties.get("payment_method"),
    )
    if not contract.oldest_ms <= broker_ms <= 4_102_444_800_000:
        raise Refused(Reason.INVALID_TIMESTAMP)
    if time_ms is not None:
        if time_ms < contract.oldest_ms:
            raise Refused(Reason.TIMESTAMP_TOO_OLD)
        if time_ms > broker_ms + contract.future_ms:
            time_ms = broker_ms
    entities = tuple(
        0 if one in (None, "") else xxhash.xxh3_64_intdigest(str(one).encode(), seed)
        for seed, one in enumerate(watched)
    )
    confirmed = properties.get("payment_id") if kind == Kind.LABEL else None
    reference = 0 if confirmed in (None, "") else xxhash.xxh3_64_intdigest(str(confirmed).encode())
    return [
        Row(user_id, message_id, kind, time_ms, item, amount, entities, reference)
        for item, amount in pairs
    ]


def _required(value: Any, reason: Reason) -> str | int:
    if value is None or value == "":
        raise Refused(reason)
    found: str | int = value
    return found


def _short(value: Any) -> str:
    if len(str(value)) > 512:
        raise Refused(Reason.WRONG_TYPE)
    return str(value)


def _kind(event: dict[str, Any], contract: Contract) -> int:
    call = _call(event)
    if call == "identify":
        return Kind.IDENTIFY
    if call == "track":
        name = event.get("event")
        if not name:
            raise Refused(Reason.MISSING_EVENT_NAME)
    elif call in ("page", "screen"):
        name = f"{call.title()} Viewed"
    else:
        raise Refused(Reason.WRONG_TYPE)
    return contract.event_names.get(name, Kind.OTHER)


def _items(properties: dict[str, Any]) -> list[tuple[str | None, float]]:
    item = _named(properties, "product_id", "sku")
    lines = properties.get("products") or []
    if item is not None or not lines:
        return [(item, _amount(properties) or 0.0)]
    items = [_named(line, "product_id", "sku", "id") for line in lines[:100]]
    prices = [_price(line) for line in lines[:100]]
    if all(price is None for price in prices):
        return [(item, (_amount(properties) or 0.0) / len(items)) for item in items]
    return [(item, price or 0.0) for item, price in zip(items, prices, strict=True)]


def _amount(properties: dict[str, Any]) -> float | None:
    found = [_price(properties)]
    found += [number_of(properties.get(name)) for name in ("amount", "revenue", "total", "value")]
    return next((amount for amount in found if amount is not None), None)


def _named(thing: dict[str, Any], *names: str) -> str | None:
    given = (str(thing[name]) for name in names if thing.get(name) not in (None, ""))
    return next((text for text in given if len(text) <= 512), None)


def _price(thing: dict[str, Any]) -> float | None:
    price, quantity = number_of(thing.get("price")), number_of(thing.get("quantity"))
    return price if price is None or quantity is None else number_of(price * quantity)
