"""What the catalogue hides is on no list, before and after the worker restarts."""

from __future__ import annotations

import msgspec
from aiokafka import AIOKafkaProducer, TopicPartition

from ops.kafka_admin.topics import create_topics
from schemas.outputs import Recommendation
from streams.checkpoints.restore import committed_offsets
from streams.kafka.log import read_from
from streams.settings import Recommend
from streams.worker import Worker
from tests.end_to_end.running import running, settings, until
from tests.few_partitions import topics

HIDDEN: dict[str, bytes | None] = {
    "tomb1": None,
    "strprice": b'{"title":"x","price":"19.90","available":false}',
    "cats": b'{"category":["a","b"],"available":false}',
    "zero": b'{"available":0}',
    "notags": b'{"title":"t","tags":null,"available":false}',
    "word": b'{"available":"no","price":[1]}',
    "google": b'{"availability":"out of stock"}',
    "perhaps": b'{"available":"perhaps"}',
    "latin": b'{"title":"caf\xe9","available":false}',
    "cut": b'{"available":fal',
}
SHOWN = {"bigprice": b'{"price":1e39,"available":true}', "hat": b'{"tags":null,"price":"5"}'}
ITEMS = [*HIDDEN, *SHOWN]
EVENT = (
    b'{"messageId":"%d-%d","userId":"%d","event":"Product Viewed",'
    b'"properties":{"product_id":"%s"},"timestamp":%d}'
)
BEGIN_MS = 1_790_000_000_000


class Shop:
    """Users who view every item, one after the other."""

    def __init__(self, bootstrap: str, prefix: str, producer: AIOKafkaProducer) -> None:
        self._client = {"bootstrap_servers": bootstrap}
        self._prefix = prefix
        self._producer = producer
        self._users = self._events = 0

    async def catalogue(self) -> None:
        for item, value in (HIDDEN | SHOWN).items():
            await self._producer.send_and_wait(f"{self._prefix}items", value, item.encode())

    async def visit(self, users: int) -> None:
        """Returns once the worker has committed all of it."""
        sent = []
        for user in range(self._users, self._users + users):
            first = user % len(ITEMS)
            for n, item in enumerate(ITEMS[first:] + ITEMS[:first]):
                at_ms = BEGIN_MS + 100_000 * (20 * user + n)
                sent.append(
                    await self._producer.send(
                        f"{self._prefix}events",
                        EVENT % (user, n, user, item.encode(), at_ms),
                        b"%d" % user,
                        partition=user % 4,
                    )
                )
        for confirmed in sent:
            await confirmed
        self._users += users
        self._events += len(sent)
        await until(self._committed, "all is committed")

    async def _committed(self) -> bool:
        found = await committed_offsets(self._client, f"{self._prefix}hark")
        return sum(found.values()) == self._events

    async def recommended(self, first_user: int) -> set[str]:
        """What is on the lists of this user and those after it."""
        decode = msgspec.json.Decoder(Recommendation).decode
        found: set[str] = set()
        for number in range(4):
            tp = TopicPartition(f"{self._prefix}recommendations", number)
            async for records in read_from(self._client, tp, 0):
                for made in (decode(record.value) for record in records):
                    if int(made.user_id) >= first_user:
                        found |= {item.item_id for item in made.items}
        return found


def hidden(worker: Worker) -> set[str]:
    return {item for item in HIDDEN if not worker.items.available[worker.items.index(item)]}


async def test_hidden_items_are_on_no_list_also_after_a_restart(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    chosen = settings(kafka_bootstrap, topic_prefix, recommend=Recommend(top_k=20))
    async with AIOKafkaProducer(bootstrap_servers=kafka_bootstrap) as producer:
        shop = Shop(kafka_bootstrap, topic_prefix, producer)
        async with running(chosen) as worker:
            await until(lambda: len(worker.pipeline.states) == 4, "it has its partitions")
            await shop.visit(12)
            assert await shop.recommended(0) >= HIDDEN.keys(), "popular before the catalogue came"
            await shop.catalogue()
            await until(lambda: hidden(worker) == HIDDEN.keys(), "the catalogue is read")
            await shop.visit(8)
            assert await shop.recommended(12) == SHOWN.keys()
        async with running(chosen) as worker:
            await until(lambda: len(worker.pipeline.states) == 4, "it has them again")
            assert hidden(worker) == HIDDEN.keys()
            await shop.visit(8)
            assert await shop.recommended(20) == SHOWN.keys()
