"""The events of a fault run: seeded, each a second after the one before, with known trouble.

A second apart and with `recommend.refresh_s` of one second every behaviour event asks for a list,
so that nearly every event leaves evidence of its own.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import count

import numpy as np

from ops.publish.segment import Records
from ops.simulator.simulation import START_MS

STEP_MS = 1_000
_LATE_MS = 8 * 86_400_000
_REMEMBERED = 8  # a repeat is of one of the user's last few events, so that it is recognised
_KINDS = {
    "Product Viewed": 50,
    "Product Added": 12,
    "Products Searched": 8,
    "Order Completed": 8,
    "Payment Made": 14,
    "Signed In": 8,
}


class Sort(StrEnum):
    """What a record is, whoever reads it."""

    BEHAVIOUR = "behaviour"
    LABEL = "label"
    REPEATED = "repeated"
    MALFORMED = "malformed"
    LATE = "late"


SHARES = {Sort.REPEATED: 0.03, Sort.LABEL: 0.01, Sort.MALFORMED: 0.01, Sort.LATE: 0.005}
"""The rest is behaviour."""


class Workload:
    """Records without end, the same for the same seed.

    Parameters
    ----------
    seed
        Of everything.
    users, items
        How many there are.
    topic
        Where the records go.

    Attributes
    ----------
    sorts
        How many of each sort were made.
    """

    def __init__(self, seed: int, *, users: int = 2_000, items: int = 400, topic: str) -> None:
        self.sorts: Counter[Sort] = Counter()
        self._random = random.Random(seed)
        self._seed, self._users, self._items, self._topic = seed, users, items, topic
        self._numbers = count()
        self._recent: dict[str, deque[bytes]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))
        self._payments: dict[str, str] = {}

    def records(self, total: int, chunk: int = 500) -> Iterator[Records]:
        """`total` more records, in order."""
        for first in range(0, total, chunk):
            made = [self._record() for _ in range(min(chunk, total - first))]
            keys, values, times_ms = zip(*made, strict=True)
            yield Records(self._topic, list(keys), list(values), np.array(times_ms, np.int64))

    def _record(self) -> tuple[bytes, bytes, int]:
        number = next(self._numbers)
        time_ms = START_MS + number * STEP_MS
        user = f"user-{int(self._users * self._random.random() ** 1.5)}"
        sort = self._possible(self._sort(), user)
        self.sorts[sort] += 1
        match sort:
            case Sort.MALFORMED:
                value = self._malformed(number, user)
            case Sort.REPEATED:
                value = self._random.choice(self._recent[user])
            case Sort.LABEL:
                payment = {"payment_id": self._payments[user]}
                value = self._value(number, user, "Fraud Confirmed", payment, time_ms)
            case Sort.LATE:
                value = self._behaviour(number, user, time_ms - _LATE_MS)
            case Sort.BEHAVIOUR:
                value = self._behaviour(number, user, time_ms)
                self._recent[user].append(value)
        return user.encode(), value, time_ms

    def _sort(self) -> Sort:
        drawn = self._random.random()
        for sort, share in SHARES.items():
            drawn -= share
            if drawn < 0:
                return sort
        return Sort.BEHAVIOUR

    def _possible(self, sort: Sort, user: str) -> Sort:
        """Some sorts need something of the user's before them."""
        missing = {
            Sort.REPEATED: user not in self._recent,
            Sort.LATE: user not in self._recent,
            Sort.LABEL: user not in self._payments,
        }
        return Sort.BEHAVIOUR if missing.get(sort) else sort

    def _behaviour(self, number: int, user: str, time_ms: int) -> bytes:
        name = self._random.choices(list(_KINDS), list(_KINDS.values()))[0]
        properties: dict[str, object] = {}
        if name in ("Product Viewed", "Product Added", "Order Completed"):
            item = int(self._items * self._random.random() ** 2)
            properties = {"product_id": f"item-{item}", "price": 5 + item % 90, "quantity": 1}
        elif name == "Payment Made":
            terminal = f"terminal-{self._random.randrange(60)}"
            properties = {"amount": self._random.randrange(5, 300), "terminal_id": terminal}
            if time_ms >= START_MS + number * STEP_MS:  # a late one is never taken in
                self._payments[user] = self._message_id(number)
        elif name == "Products Searched":
            properties = {"query": "gift"}
        return self._value(number, user, name, properties, time_ms)

    def _value(
        self, number: int, user: str, name: str, properties: Mapping[str, object], time_ms: int
    ) -> bytes:
        message = {
            "messageId": self._message_id(number),
            "type": "track",
            "userId": user,
            "event": name,
            "timestamp": time_ms,
            "properties": properties,
            "context": {"device": {"id": f"device-of-{user}"}},
        }
        return json.dumps(message, separators=(",", ":")).encode()

    def _message_id(self, number: int) -> str:
        return f"fault-{self._seed}-{number:08d}"

    def _malformed(self, number: int, user: str) -> bytes:
        """Each different, so that every one can be found again."""
        return (
            b'{"messageId":"%d' % number,
            b"[%d]" % number,
            b'{"messageId":"m%d","event":"Product Viewed"}' % number,
            b'{"userId":"%b","event":"Signed In","n":%d}' % (user.encode(), number),
            b"\xff\xfe%d" % number,
        )[number % 5]
