"""The whole path on `events` of any size, and outputs of another."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.events.codec import encode
from schemas.topics import ALERTS, EVENTS, RECOMMENDATIONS, STATE
from streams.alerts.book import AlertBook, Observation, Thresholds, source
from streams.checkpoints.restore import committed_offsets
from streams.kafka.cluster_check import count_partitions
from tests.end_to_end.running import until as visible
from tests.streams.checkpoints.cluster import Shop, by_id, caught_up, running, until

AT = Thresholds(0.8, 0.5, 0.95)


async def make(shop: Shop, sizes: dict[str, int]) -> None:
    """Topics that another hand made, with nothing but a size."""
    admin = AIOKafkaAdminClient(**shop.client)
    await admin.start()
    try:
        await admin.create_topics(
            [NewTopic(shop.prefix + name, count, 1) for name, count in sizes.items()]
        )
    finally:
        await admin.close()
    names = {shop.prefix + name: count for name, count in sizes.items()}

    async def there() -> bool:
        return await count_partitions(shop.client, list(names)) == names

    await visible(there, "the topics can be seen")


async def test_a_partition_takes_its_own_alerts_back_from_a_topic_that_several_share(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    shop = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await make(shop, {ALERTS.name: 1})
    await shop.create()
    await shop.publish(400)
    async with running(shop, checkpoint_s=3_600) as worker:
        await caught_up(worker, shop)
        numbers = range(shop.partitions)
        await until(
            lambda: all(
                worker._committed(n) == worker.pipeline.states[n].next_offset for n in numbers
            ),
            "all is committed",
        )
        alarmed = {n: worker.pipeline.states[n].histories.known()[0] for n in numbers}
        async with AIOKafkaProducer(**shop.client) as producer:
            for number, user in alarmed.items():
                seen = Observation(user, 0.85, 1_000, number, 3, 1_000, "m")
                alert = AlertBook("risk", 60).observe(seen, AT, "v1")
                assert alert is not None
                await producer.send_and_wait(
                    shop.prefix + ALERTS.name,
                    encode(alert),
                    user.encode(),
                    headers=list(source(number, 3)),
                )
        worker.pipeline.states.clear()
        await worker.ownership.take(set(numbers))
        books = {n: state.books["risk"].subjects for n, state in worker.pipeline.states.items()}
        assert books == {number: [user] for number, user in alarmed.items()}
        assert not any(state.orphans for state in worker.pipeline.states.values())


@pytest.mark.parametrize(
    ("events", "outputs"),
    [
        (1, None),
        (4, 7),
        (12, 5),
        pytest.param(64, None, marks=pytest.mark.slow),
        pytest.param(64, 3, marks=pytest.mark.slow),
    ],
)
async def test_the_whole_path_on_topics_of_any_size(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, events: int, outputs: int | None
) -> None:
    """Two workers, one after the other, say what one would have said in one go."""
    shop = Shop(kafka_bootstrap, topic_prefix, tmp_path, partitions=4)
    sizes = {EVENTS.name: events}
    if outputs is not None:
        sizes |= {RECOMMENDATIONS.name: outputs, ALERTS.name: outputs}
    await make(shop, sizes)
    await shop.create()
    names = [shop.prefix + name for name in (RECOMMENDATIONS.name, *(s.name for s in STATE))]
    found = await count_partitions(shop.client, names)
    assert [found[name] for name in names] == [outputs or events, events, events]

    shop.partitions = events
    for part in (1_000, 700):
        await shop.publish(part)
        async with running(shop, checkpoint_s=3_600) as worker:
            await caught_up(worker, shop)
    committed = await committed_offsets(shop.client, f"{shop.prefix}hark")
    assert sum(committed.values()) == shop.published

    said = await shop.read(RECOMMENDATIONS.name)
    expected = await shop.uninterrupted()
    together: dict[int, list[bytes]] = {number: [] for number in said}
    for number, values in expected.items():
        together[number % len(said)] += values
    assert sum(map(len, together.values())) > 300
    for number, values in said.items():
        assert by_id(values) == by_id(together[number])
        assert len(values) == len(together[number])
