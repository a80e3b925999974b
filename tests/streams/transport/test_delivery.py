"""What is fetched is delivered, once, in order, whatever comes between."""

from __future__ import annotations

import asyncio

import psutil
import pytest
from aiokafka import TopicPartition
from pydantic import SecretStr

from streams.kafka.settings import Kafka
from streams.transport import consumer as transport
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
    monkeypatch.setattr("streams.transport.consumer._REST_MS", 5_000)  # a slow machine's
    topic, asked, free = await cluster.topic(partitions=3), asyncio.Event(), asyncio.Event()

    async def ready() -> bool:
        asked.set()
        busy = not free.is_set()
        await free.wait()
        return busy

    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), ready=ready)
    polls = []
    deliver = worker.consumer._deliver

    async def seen(fetched) -> None:
        polls.append(sum(map(len, fetched.values())))
        await deliver(fetched)

    monkeypatch.setattr(worker.consumer, "_deliver", seen)
    async with running(worker):
        await asked.wait()
        for number in range(9):  # one by one: aiokafka fetches the first ahead
            await cluster.produce(topic, numbers(number, number + 1), partition=number % 3)
        free.set()
        await until(lambda: len(worker.values) == 9, "all arrive")
    assert [count for count in polls if count] == [9]


async def test_what_is_sought_between_the_fetches_of_a_poll_is_delivered_once(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    topic, patched = await cluster.topic(), asyncio.Event()
    await cluster.produce(topic, numbers(0, 10))

    async def ready() -> bool:
        await patched.wait()
        return True

    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), ready=ready)
    async with running(worker):
        await until(lambda: len(worker.assigned) == 1, "it has the partition")
        await asyncio.sleep(1)  # aiokafka fetches ahead
        consumer, sought = worker.consumer, []
        getmany = consumer.client.getmany

        async def seeking(timeout_ms: int = 0):
            if timeout_ms == transport._REST_MS and not sought:
                sought.append(worker.values)
                consumer.seek(TopicPartition(topic, 0), 0)
            return await getmany(timeout_ms=timeout_ms)

        monkeypatch.setattr(consumer.client, "getmany", seeking)
        patched.set()
        await until(lambda: sought and len(worker.values) >= 10, "all records")
        await asyncio.sleep(0.5)  # for a second delivery
    assert sought == [[]]
    assert worker.values == list(range(10))


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


async def test_fetched_but_undelivered_records_are_read_again(cluster: Cluster):
    """A pause drops what was fetched; nothing more is produced that could bring it back."""
    topic, gate = await cluster.topic(), Gate()
    await cluster.produce(topic, numbers(0, 1000))
    worker = Worker(
        cluster.bootstrap, topic, cluster.name("group"), gate, queue_size=2, max_batch_records=10
    )
    async with running(worker):
        await until(lambda: len(worker.seen) == 1, "the agent has a batch, the queue is full")
        tps = worker.assigned
        worker.consumer.client.pause(*tps)
        gate.open.set()
        await until(lambda: len(worker.consumer._open[next(iter(tps))]) == 0, "the queue is empty")
        delivered = len(worker.values)
        assert delivered < 100
        worker.consumer.client.resume(*tps)
        await until(lambda: len(worker.values) >= 1000, "the rest of the fetch")
    assert worker.values == list(range(1000))
    assert await cluster.committed(worker.group, topic) == 1000


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
