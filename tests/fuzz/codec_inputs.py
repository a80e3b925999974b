"""Records that no tracker would send on purpose, made from those that one would."""

from __future__ import annotations

import base64
import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

from schemas.documents import examples

NOW_MS = 1_790_000_000_000
_VALID = list(examples.valid("events").values())
_REFUSED = [one.value for one in examples.rejected("events") if len(one.value or b"") < 10_000]

_WORDS = ["", "a", "ü", "0", "7", "\x00", "u" * 512, "u" * 513, "\u2028", "null", "😀", " "]
_NUMBERS: list[Any] = [
    0, -0.0, 1, -1, 2.5, 1e29, 1e30, 1.1e30, -1e31, 1e308, 5e-324, 2**53, 2**63, 2**64, 10**30,
    10**31, 10**400, 10**511, 10**512, "1_000", "١٢", " 3 ", "1e5", "nan", "inf", "-Infinity",
    "1,5", "$19.90", "1.299,00 €", "1,299", "1.299 €", "1 299,00 zł", "CHF 1'299", "-5 kr", "", " ",
    "1,2.3", "12,34,56", "0x10", "3.", ".5", ".", "1e", "1e999", "+4", "--4", "1e29", "1e31",
]  # fmt: skip
_TIMES: list[Any] = [
    NOW_MS, str(NOW_MS), NOW_MS * 10, str(NOW_MS * 10_000), "9" * 17, "9" * 40, "9" * 5000,
    "١٢٣٤٥٦٧٨٩", 0, -1, 1e12, 1.7e12, 1e300, 2**53, -(2**53), 2**63, NOW_MS / 1000, 1_790_000_000,
    "2026-09-21T13:33:20Z", "2026-09-21T13:33:20.123Z", "2026-09-21 13:33:20", "2026-09-21",
    "2026-09-21T13:33:20.123+02:00", "2026-09-21T13:33:20,5-23:59", "2026-09-21T13:33+24:00",
    "2026-09-21T13:33+02:80",
    "2026-09-21 13:33:20 UTC", "2026-09-21 13:33:20 +0000", "2026-09-21T13:33:20.123 -0530",
    "2026-09-21 UTC", "2026-09-21T13:33:20Z[UTC]", "1789997600.123456", "1789997600123.5",
    "20260921133320", NOW_MS * 1000, NOW_MS * 10**6, 4_102_444_800_000, 4_102_444_800_001,
    "2026-09-21x13:33:20", "2026-02-30T00:00:00Z", "2026-13-01", "2026-09-21T24:00:00Z",
    "2026-09-21T13:33:60Z", "2026-09-21T13:33:20.123456789Z", "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59.999-23:59", "0000-01-01", "1989-12-31T23:59:59.999Z", "1990-01-01",
    "20260921", "20260921T133320Z", "2026-W39-1", "2026-09-21T13:33:20z", "soon", "12345678",
    "2026-09-21T13:33:20.123Z ", "٢٠٢٦-09-21", "-2026-09-21", "2100-01-01T00:00:00.000Z",
]  # fmt: skip
_ODD: list[Any] = [None, True, False, [], {}, [[]], {"id": 1}, [{}], ["a"], {"": {}}, [None]]
_NAMES = [
    "Product Viewed", "Order Completed", "Fraud Confirmed", "Payment Made", "Odd", "", "e" * 513,
    "Page Viewed", "product viewed", 7,
]  # fmt: skip
_BYTES = [
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80",
    b"\n", b"NaN", b"1e999", b"-", b"\\ud800", b"\\ud83d\\ude00", b"\\\\ud800",
    b"\\u0000", b"\xef\xbb\xbf", b"null", b"true", b"0",
    b"[" * 300, b'{"a":' * 300, b"9" * 400, b"9" * 5000, b'"userId":', b'"properties":', b"/**/",
]  # fmt: skip
_BROKER_MS = [-1, 0, 1, -(2**63), 2**63 - 1, 2**53, 4_102_444_800_000, 4_102_444_800_001,
              631_152_000_000, 631_151_999_999, 253_402_300_800_000]  # fmt: skip
_FIELDS: dict[tuple[str, ...], list[Any]] = {
    ("messageId",): [*_WORDS, *_NUMBERS],
    ("userId",): [*_WORDS, *_NUMBERS],
    ("anonymousId",): [*_WORDS, *_NUMBERS],
    ("type",): ["track", "identify", "page", "screen", "alias", "group", "", "TRACK", " Page ",
                None, 3],
    ("event",): _NAMES,
    ("timestamp",): _TIMES,
    ("context", "device", "id"): [*_WORDS, *_NUMBERS],
    ("context", "device"): _ODD,
    ("context", "ip"): [*_WORDS, *_NUMBERS],
    ("context",): _ODD,
    ("traits",): [*_ODD, {"plan": 1e999}],
    ("properties",): _ODD,
    ("unread",): [*_ODD, *_WORDS, *_NUMBERS],
    **{
        ("properties", name): [*_NUMBERS, *_NUMBERS, *_WORDS]
        for name in ("price", "quantity", "revenue", "total", "value", "amount")
    },
    **{
        ("properties", name): [*_WORDS, *_NUMBERS]
        for name in ("product_id", "sku", "terminal_id", "payment_id", "payment_method")
    },
    ("properties", "products"): [
        *_ODD, [{"product_id": "a", "price": 1}, {"sku": 7, "quantity": 2}], [{"price": "dear"}],
        [{"product_id": "a", "price": 1e29, "quantity": 100}],
        [{}] * 101, [None, {"product_id": "a"}, 7, []], {"0": {"id": "x"}, "2": {"price": 3}},
        "all",
        [{"id": "v1"}, {"id": 7, "sku": ""}], {"a": {}},
        [{"product_id": "b", "price": "2.5", "quantity": "3"}],
    ],
}  # fmt: skip


@dataclass
class Batch:
    """A record batch as the transport would hand it over."""

    values: list[bytes | None] = field(default_factory=list)
    headers: list[tuple[tuple[str, Any], ...]] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)

    @property
    def offsets(self) -> list[int]:
        return list(range(len(self.values)))

    def to_json(self) -> str:
        """Text from which anybody can make the same batch."""
        rows = [
            {
                "value": None if value is None else base64.b64encode(value).decode(),
                "headers": [[name, repr(content)] for name, content in headers],
                "key": repr(key),
                "timestamp": timestamp,
            }
            for value, headers, key, timestamp in zip(
                self.values, self.headers, self.keys, self.timestamps, strict=True
            )
        ]
        return json.dumps(rows)


def make_batch(rng: random.Random, n: int) -> Batch:
    """N records; in some batches all are nearly right, so that they decode whole."""
    calm = rng.random() < 0.4
    batch = Batch()
    for _ in range(n):
        batch.values.append(_calm(rng) if calm else _value(rng))
        batch.headers.append(() if calm or rng.random() < 0.8 else _headers(rng))
        batch.keys.append(rng.choice([b"u1", b"u1", b"", None, b"\xff"]))
        odd = rng.random() < 0.05
        batch.timestamps.append(rng.choice(_BROKER_MS) if odd else NOW_MS + rng.randrange(10**6))
    return batch


def _calm(rng: random.Random) -> bytes:
    event = _event(rng)
    if rng.random() < 0.1:
        _change(rng, event)
    event |= {"messageId": f"m{rng.random()}", "userId": rng.choice(["u1", "u2", "ü"])}
    event.setdefault("timestamp", "2026-09-21T13:33:20.123Z")
    properties = event.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("products"), list):
        del properties["products"]
    return _encode(event)


def _value(rng: random.Random) -> bytes | None:
    kind = rng.random()
    if kind < 0.03:
        return rng.choice(_REFUSED)
    if kind < 0.06:
        return rng.randbytes(rng.randrange(200))
    event = _event(rng)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 6])):
        _change(rng, event)
    value = _encode(event, ascii_only=rng.random() < 0.5)
    if rng.random() < 0.4:
        for _ in range(rng.choice([1, 1, 2, 5])):
            value = _damage(rng, value)
    return value


def _event(rng: random.Random) -> dict[str, Any]:
    event: dict[str, Any] = json.loads(json.dumps(rng.choice(_VALID)))
    return event


def _encode(event: dict[str, Any], *, ascii_only: bool = False) -> bytes:
    return json.dumps(event, ensure_ascii=ascii_only).encode()


def _change(rng: random.Random, event: dict[str, Any]) -> None:
    path = rng.choice(list(_FIELDS))
    node: Any = event
    for name in path[:-1]:
        if not isinstance(node.get(name), dict):
            node[name] = {}
        node = node[name]
    choice = rng.random()
    if choice < 0.15:
        node.pop(path[-1], None)
    elif choice < 0.25:
        node[path[-1]] = copy.deepcopy(rng.choice([*_ODD, *_WORDS, *_NUMBERS, *_TIMES]))
    else:
        node[path[-1]] = copy.deepcopy(rng.choice(_FIELDS[path]))


def _damage(rng: random.Random, value: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    end = min(len(value), at + rng.choice([1, 1, 2, 8, 40]))
    how = rng.randrange(6)
    if how == 0 and value:
        at = min(at, len(value) - 1)
        return value[:at] + bytes([value[at] ^ (1 << rng.randrange(8))]) + value[at + 1 :]
    if how == 1:
        return value[:at]
    if how == 2:
        return value[:at] + value[end:]
    if how == 3:
        return value[:end] + value[at:]
    if how == 4:
        return value[:at] + rng.randbytes(rng.choice([1, 2, 4])) + value[at:]
    return value[:at] + rng.choice(_BYTES) + value[at:]


def _headers(rng: random.Random) -> tuple[tuple[str, Any], ...]:
    contents = [
        b"x", b"", None, b"Product Viewed", b"2026-09-21T13:33:20Z", b"\xff", b"y" * 512,
        b"y" * 513, "ü".encode() * 512, b"1789997600123", b"9" * 17, b"soon", b"\x00",
    ]  # fmt: skip
    names = ["ce_id", "ce_type", "ce_time", "ce_subject", "ce_", "hark-attempt", "trace", ""]
    return tuple((rng.choice(names), rng.choice(contents)) for _ in range(rng.randrange(1, 6)))
