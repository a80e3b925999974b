"""What is fetched is delivered, once, in order, whatever comes between."""

from __future__ import annotations

import asyncio

import psutil
import pytest
from pydantic import SecretStr

from streams.kafka.settings import Kafka
from streams.transport.transport import Group
from tests.streams.transport.cluster import Cluster, numbers, until
from tests.streams.transport.worker import Worker, running

pytestmark = pytest.mark.kafka


class Gate:
    """An agent that stops before each batch until it is let go on."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, event) -> None:
        await self.open.wait()
        event.ack()


async def test_a_large_fetch_is_cut_into_bounded_batches(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 5000))
    async with running(Worker(cluster.bootstrap, topic, group, max_batch_records=400)) as worker:
        await until(lambda: len(worker.values) >= 5000, "all records")
    assert worker.values == list(range(5000))
    assert max(map(len, worker.seen)) == 400
    assert await cluster.committed(group, topic) == 5000


async def test_a_larger_fetch_makes_larger_batches(cluster: Cluster):
    topic = await cluster.topic()
    await cluster.produce(topic, numbers(0, 6000, size=500))
    for fetch_bytes, largest in ((1 << 20, range(1000, 2500)), (8 << 20, range(4000, 4001))):
        worker = Worker(
            cluster.bootstrap, topic, cluster.name("group"), max_fetch_bytes=fetch_bytes
        )
        async with running(worker):
            await until(lambda: len(worker.values) >= 6000, "all records")  # noqa: B023
        assert max(map(len, worker.seen)) in largest


async def test_what_gathers_while_the_worker_is_busy_arrives_in_one_poll(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    topic, free = await cluster.topic(partitions=3), asyncio.Event()
    polls: list[int] = []

    async def ready() -> None:
        if polls:
            await free.wait()

    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), ready=ready)
    deliver = worker.consumer._deliver

    async def seen(fetched) -> None:
        polls.extend([sum(map(len, fetched.values()))] if fetched else [])
        await deliver(fetched)

    monkeypatch.setattr(worker.consumer, "_deliver", seen)
    async with running(worker):
        await cluster.produce(topic, numbers(0, 1))
        await until(lambda: len(worker.values) == 1, "the first arrives")
        for number in range(1, 10):
            await cluster.produce(topic, numbers(number, number + 1), partition=number % 3)
        await asyncio.sleep(0.3)  # nothing is fetched meanwhile
        assert polls == [1]
        free.set()
        await until(lambda: len(worker.values) == 10, "all arrive")
    assert polls == [1, 9]


async def test_brokers_credentials_and_times_are_the_ones_that_are_set():
    kafka = Kafka(
        bootstrap_servers="one:1,two:2",
        security_protocol="SASL_PLAINTEXT",
        username="hark",
        password=SecretStr("none"),
    )
    group = Group("g", fetch_max_wait_ms=77, session_timeout_s=7, rebalance_timeout_s=99)
    client = group.new_client(kafka.client())
    try:
        assert client._client._bootstrap_servers == "one:1,two:2"
        assert client._client._security_protocol == "SASL_PLAINTEXT"
        assert client._client._sasl_plain_username == "hark"
        assert client._isolation_level == "read_committed"
        assert client._fetch_max_wait_ms == 77
        assert client._session_timeout_ms == 7_000
        assert client._rebalance_timeout_ms == 99_000
        assert client._request_timeout_ms > 99_000  # a join waits for the slowest member
    finally:
        await client.stop()


async def test_a_seek_in_the_middle_of_a_fetch_goes_on_where_it_points(cluster: Cluster):
    topic, gate = await cluster.topic(), Gate()
    await cluster.produce(topic, numbers(0, 1000))
    worker = Worker(
        cluster.bootstrap, topic, cluster.name("group"), gate, queue_size=2, max_batch_records=10
    )
    async with running(worker):
        await until(lambda: len(worker.seen) == 1, "the agent has a batch, the queue is full")
        worker.consumer.seek(next(iter(worker.assigned)), 500)
        gate.open.set()
        await until(lambda: 999 in worker.values, "the last record")
    before = worker.values.index(500)
    assert before <= 50  # what already was on its way to the agent
    assert worker.values[:before] == list(range(before))
    assert worker.values[before:] == list(range(500, 1000))
    assert await cluster.committed(worker.group, topic) == 1000


async def test_records_below_the_offset_reached_are_dropped(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 100))
    async with running(Worker(cluster.bootstrap, topic, group)) as worker:
        await until(lambda: len(worker.values) == 100, "the first records")
        tp = next(iter(worker.assigned))
        worker.consumer.client.seek(tp, 40)
        await cluster.produce(topic, numbers(100, 200))
        await until(lambda: len(worker.values) >= 200, "the new records")
    assert sorted(worker.values) == list(range(200))


async def test_a_commit_beyond_the_end_reads_the_log_from_the_start(cluster: Cluster):
    """So it looks after a topic was deleted and made anew under a living group."""
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.commit(group, topic, 1000)
    await cluster.produce(topic, numbers(0, 30))
    async with running(Worker(cluster.bootstrap, topic, group)) as worker:
        await until(lambda: len(worker.values) >= 30, "the records that are there")
    assert worker.values == list(range(30))
    assert await cluster.committed(group, topic) == 30


async def test_a_slow_agent_holds_back_the_fetch_and_memory_stays_flat(cluster: Cluster):
    topic, gate = await cluster.topic(partitions=2), Gate()
    for partition in range(2):
        await cluster.produce(topic, numbers(0, 1_200, size=20_000), partition)
    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), gate, drain_timeout_s=0.1)
    process = psutil.Process()
    async with running(worker):
        await until(lambda: len(worker.seen) == 1, "the agent has a batch")
        before = process.memory_info().rss
        await asyncio.sleep(3)
        open_batches = sum(len(run) for run in worker.consumer._open.values())
        assert open_batches <= 1 + 4 + 1  # in the agent, in its queue, waiting for the queue
        assert len(worker.seen) == 1
        # 48 MB lie ready; a fetch is 1 MiB.
        assert process.memory_info().rss - before < 25_000_000
        gate.open.set()
        await until(lambda: len(worker.values) >= 2_400, "everything, once the agent goes on")
    assert len(worker.values) == 2_400
