"""The rival: an aiokafka loop that an engineer writes in a day, as fast as that goes.

Decode, recognise repeats, keep each user's last 64 events in numpy rings, 28 features, a model
of size S, publish; commit once a second. A crash loses its state, and it counts nothing over users.
`python -m ops.benchmarks.latency.loop run MODEL` runs it until it gets SIGTERM.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from msgspec import Struct, field

from schemas.topics import EVENTS, RECOMMENDATIONS
from streams.kafka.settings import Kafka
from streams.settings import load_settings

LENGTH = 64
STEP = 64
"""Events per call of the model: where one thread is fastest."""
RING = LENGTH + STEP
"""A step's own events overwrite no event that another event of the step still sees."""
WINDOWS_S = np.array([3_600.0, 86_400.0, 7 * 86_400.0, 30 * 86_400.0])
DAY, MONTH = 1, 3
KINDS = {"Product Viewed": 1, "Product Added": 2, "Order Completed": 3, "Payment Made": 4}
LONGEST_H = 720.0
FEATURES = 28
_COMMIT_S = 1.0

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Properties(Struct, gc=False):
    product_id: str = ""
    price: float = 0.0
    quantity: float = 1.0
    amount: float = 0.0


class Event(Struct, gc=False):
    message_id: str = field(name="messageId")
    user_id: str = field(name="userId")
    event: str
    timestamp: datetime
    properties: Properties


class Listed(Struct, gc=False):
    item_id: str
    rank: int
    score: float


class Answer(Struct, gc=False):
    user_id: str
    trigger_message_id: str
    items: list[Listed]
    churn: float
    risk: float


_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


class Users:
    """The last events of each user, in rings of `RING` places.

    Attributes
    ----------
    item, kind
        int64 (users, RING): the model's item, 0 = none; the kind, 0 = none.
    time, amount
        float64 and float32 (users, RING): epoch seconds; money.
    """

    def __init__(self, items: int, room: int = 4096) -> None:
        self._items, self._item_of = items, dict[str, int]()
        self._slot_of: dict[str, int] = {}
        self._seen: list[deque[str]] = []
        self._count: list[int] = []
        self.item, self.kind = np.zeros((room, RING), np.int64), np.zeros((room, RING), np.int64)
        self.time, self.amount = np.zeros((room, RING)), np.zeros((room, RING), np.float32)

    def add(self, events: Sequence[Event]) -> tuple[list[Event], Ints, Ints]:
        """Add at most `STEP` events -> those that are new, their slots and their numbers (n,)."""
        kept: list[Event] = []
        places: list[tuple[int, int]] = []
        values: list[tuple[int, int, float, float]] = []
        for event in events:
            slot = self._slot(event.user_id)
            if event.message_id in self._seen[slot]:
                continue
            self._seen[slot].append(event.message_id)
            kept.append(event)
            places.append((slot, self._count[slot]))
            self._count[slot] += 1
            values.append(self._row(event))
        slots, numbers = np.array(places, np.int64).reshape(-1, 2).T
        at = slots, numbers % RING
        if values:
            item, kind, time, amount = zip(*values, strict=True)
            self.item[at], self.kind[at], self.time[at], self.amount[at] = item, kind, time, amount
        return kept, slots, numbers

    def _slot(self, user_id: str) -> int:
        slot = self._slot_of.get(user_id)
        if slot is None:
            slot = self._slot_of[user_id] = len(self._seen)
            self._seen.append(deque(maxlen=LENGTH))
            self._count.append(0)
            if slot == len(self.item):
                for name in ("item", "kind", "time", "amount"):
                    column = getattr(self, name)
                    setattr(self, name, np.concatenate([column, np.zeros_like(column)]))
        return slot

    def _row(self, event: Event) -> tuple[int, int, float, float]:
        about = event.properties
        item = 0
        if about.product_id:
            fresh = len(self._item_of) % self._items + 1
            item = self._item_of.setdefault(about.product_id, fresh)
        amount = about.amount or about.price * about.quantity
        return item, KINDS.get(event.event, 0), event.timestamp.timestamp(), amount

    def windows(self, slots: Ints, numbers: Ints) -> tuple[Ints, Ints, Any, Any]:
        """Items, kinds, times, amounts (n, 64) as they were at each event, the newest last."""
        back = numbers[:, None] - np.arange(LENGTH - 1, -1, -1)
        at = slots[:, None], back % RING
        missing = back < 0
        kind = self.kind[at]
        kind[missing] = 0
        item = self.item[at]
        item[missing] = 0
        time = self.time[at]
        time[missing] = -1e12
        return item, kind, time, self.amount[at]


def features(item: Ints, kind: Ints, time: Any, amount: Any) -> Floats:
    """The 28 features -> float32 (n, 28).

    Counts by kind and window (16), hours since the last of each kind (4), mean and largest amount
    of a day and of a month (4), items at all and of a day, events, hours since the last event.
    """
    age = time[:, -1:] - time  # (n, 64)
    within = age[None] <= WINDOWS_S[:, None, None]  # (4, n, 64)
    made = np.empty((len(item), FEATURES), np.float32)
    hours = np.minimum(age / 3_600.0, LONGEST_H)
    for k in range(4):
        of_kind = kind == k + 1
        made[:, 4 * k : 4 * k + 4] = (within & of_kind).sum(axis=2).T
        made[:, 16 + k] = np.where(of_kind, hours, LONGEST_H).min(axis=1)
    for place, window in ((20, within[DAY]), (22, within[MONTH])):
        money = np.where(window, amount, 0)
        made[:, place] = money.sum(axis=1) / np.maximum(window.sum(axis=1), 1)
        made[:, place + 1] = money.max(axis=1)
    for place, items in ((24, item), (25, np.where(within[DAY], item, 0))):
        ordered = np.sort(items, axis=1)
        made[:, place] = ((ordered[:, 1:] > ordered[:, :-1]) & (ordered[:, 1:] > 0)).sum(axis=1)
        made[:, place] += ordered[:, 0] > 0
    made[:, 26] = (age < 1e11).sum(axis=1)
    made[:, 27] = hours[:, -2]
    return made


class Scorer:
    """Events to answers, `STEP` at a time."""

    def __init__(self, model: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        items = int(self._session.get_modelmeta().custom_metadata_map["items"])
        self._names = [f"item-{i}" for i in range(items + 1)]
        self._users = Users(items)

    def answers(self, values: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each answer, as soon as its step is scored."""
        events = [_decode(value) for value in values]
        for first in range(0, len(events), STEP):
            kept, slots, numbers = self._users.add(events[first : first + STEP])
            if kept:
                yield from self._scored(kept, slots, numbers)

    def _scored(
        self, kept: list[Event], slots: Ints, numbers: Ints
    ) -> Iterator[tuple[bytes, bytes]]:
        item, kind, time, amount = self._users.windows(slots, numbers)
        inputs = {"items": item, "kinds": kind, "features": features(item, kind, time, amount)}
        listed, scores, risks = self._session.run(["listed", "scores", "risks"], inputs)
        names = self._names
        rows = zip(kept, listed.tolist(), scores.tolist(), risks.tolist(), strict=True)
        for event, best, logits, (churn, risk) in rows:
            items = [
                Listed(names[i], rank, round(score, 4))
                for rank, (i, score) in enumerate(zip(best, logits, strict=True), 1)
            ]
            answer = Answer(event.user_id, event.message_id, items, round(churn, 4), round(risk, 4))
            yield event.user_id.encode(), _encode(answer)


async def run(kafka: Kafka, model: str) -> None:
    """Read, score, publish; what is committed was published."""
    scorer = Scorer(model)
    prefix = kafka.topic_prefix
    consumer = AIOKafkaConsumer(
        prefix + EVENTS.name, **kafka.client(), group_id=kafka.group_id,
        auto_offset_reset="earliest", enable_auto_commit=False,
    )  # fmt: skip
    producer = AIOKafkaProducer(**kafka.client(), enable_idempotence=True, max_batch_size=1 << 18)
    clock = asyncio.get_running_loop().time
    async with consumer, producer:
        unconfirmed: list[asyncio.Future[Any]] = []
        committed_s = clock()
        while True:
            fetched = await consumer.getmany(timeout_ms=100, max_records=1_000)
            values = [record.value for records in fetched.values() for record in records]
            for key, value in scorer.answers(values):
                unconfirmed.append(await producer.send(prefix + RECOMMENDATIONS.name, value, key))
            if unconfirmed and clock() - committed_s > _COMMIT_S:
                await asyncio.gather(*unconfirmed)  # raises if one wasn't delivered
                await consumer.commit()
                unconfirmed, committed_s = [], clock()


if __name__ == "__main__":
    asyncio.run(run(load_settings().kafka, sys.argv[2]))
