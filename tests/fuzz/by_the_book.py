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

from schemas.contract import Contract
from schemas.errors import Reason
from schemas.kinds import Kind
from tests.fuzz.plain_values import Refused, number_of, time_ms_of

IDS = ("product_id", "sku", "terminal_id", "payment_id", "payment_method")
NUMBERS = ("price", "quantity", "revenue", "total", "value", "amount")
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
    event = _parse(value, contract)
    _check_types(event)
    for field, header in (
        ("messageId", "ce_id"),
        ("event", "ce_type"),
        ("timestamp", "ce_time"),
        ("userId", "ce_subject"),
    ):
        given = [content for name, content in headers if name == header]
        if event.get(field) is None and given and given[-1]:
            event[field] = _header(given[-1])
    return _rows(event, broker_ms, contract)


def _parse(value: bytes | None, contract: Contract) -> dict[str, Any]:
    if value is None:
        raise Refused(Reason.NULL_VALUE)
    if len(value) > contract.max_event_bytes:
        raise Refused(Reason.TOO_LARGE)
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise Refused(Reason.INVALID_UTF8) from None
    twice = False

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal twice
        twice |= len({key for key, _ in found}) < len(found)
        return dict(found)

    if _depth(text) > DEEP:
        raise Unsure
    try:
        parsed = json.loads(
            text, parse_constant=_refuse, parse_int=_integer, object_pairs_hook=pairs
        )
        json.dumps(parsed, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, RecursionError):
        # A wrong type before the fault may be told first.
        raise Refused(Reason.MALFORMED_JSON, Reason.WRONG_TYPE) from None
    if twice:
        raise Unsure
    if not isinstance(parsed, dict):
        raise Refused(Reason.WRONG_TYPE)
    return parsed


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in re.findall(r"[\[{}\]]", text):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _integer(text: str) -> int:
    if len(text) > 4000:  # too many digits for anything; how many is nobody's business
        return 10**4000
    return int(text)


def _check_types(event: dict[str, Any]) -> None:
    for name in ("messageId", "userId", "anonymousId"):
        _is_id(event.get(name))
    if not isinstance(event.get("type", "track"), str):
        raise Refused(Reason.WRONG_TYPE)
    name = event.get("event")
    if name is not None and not (isinstance(name, str) and len(name) <= 512):
        raise Refused(Reason.WRONG_TYPE)
    _is_number(event.get("timestamp"))
    properties = _object(event.get("properties"))
    for name in IDS:
        _is_id(properties.get(name))
    for name in NUMBERS:
        _is_number(properties.get(name))
    products = properties.get("products")
    if not isinstance(products, list | None):
        raise Refused(Reason.WRONG_TYPE)
    for product in products or []:
        if not isinstance(product, dict):
            raise Refused(Reason.WRONG_TYPE)
        for name in ("product_id", "sku"):
            _is_id(product.get(name))
        for name in ("price", "quantity"):
            _is_number(product.get(name))
    context = _object(event.get("context"))
    _is_id(context.get("ip"))
    _is_id(_object(context.get("device")).get("id"))
    _object(event.get("traits"))


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise Refused(Reason.WRONG_TYPE)
    return value or {}


def _is_id(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | None):
        raise Refused(Reason.WRONG_TYPE)
    if isinstance(value, str) and len(value) > 512:
        raise Refused(Reason.WRONG_TYPE)
    if isinstance(value, int) and abs(value) >= 10**3990:
        raise Refused(*Reason)


def _is_number(value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise Refused(Reason.WRONG_TYPE)
    if isinstance(value, float) and math.isinf(value):
        raise Refused(Reason.WRONG_TYPE)
    if isinstance(value, int) and abs(value) >= 10**3990:
        raise Refused(*Reason)  # too many digits to be read, whatever else is wrong


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
    stamp = event.get("timestamp")
    time_ms = broker_ms if stamp is None else time_ms_of(stamp)
    properties = event.get("properties") or {}
    try:
        pairs = _items(properties)
    except Refused as refused:
        unsure = () if time_ms is not None else (Reason.INVALID_TIMESTAMP,)
        raise Refused(*refused.reasons, *unsure) from None
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
        0 if one is None else xxhash.xxh3_64_intdigest(str(one).encode(), seed)
        for seed, one in enumerate(watched)
    )
    confirmed = properties.get("payment_id") if kind == Kind.LABEL else None
    reference = 0 if confirmed is None else xxhash.xxh3_64_intdigest(str(confirmed).encode())
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
    call = event.get("type", "track")
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
    item = _named(properties)
    if item is None and properties.get("products"):
        return [(_named(one), _price(one) or 0.0) for one in properties["products"][:100]]
    amount = _price(properties)
    for name in ("amount", "revenue", "total", "value"):
        if amount is None:
            amount = number_of(properties.get(name))
    return [(item, amount or 0.0)]


def _named(thing: dict[str, Any]) -> str | None:
    for name in ("product_id", "sku"):
        if thing.get(name) not in (None, ""):
            return _short(thing[name])
    return None


def _price(thing: dict[str, Any]) -> float | None:
    price, quantity = number_of(thing.get("price")), thing.get("quantity")
    if price is None or quantity is None:
        return price
    times = number_of(quantity)
    assert times is not None
    return number_of(price * times)
