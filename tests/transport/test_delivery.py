"""What is fetched is delivered, once, in order, whatever comes between."""

from __future__ import annotations

import asyncio

import faust
import mode
import psutil
import pytest

from streams.transport import install
from tests.transport.cluster import Cluster, numbers, until
from tests.transport.worker import Worker, running

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
            cluster.bootstrap,
            topic,
            cluster.name("group"),
            settings={"consumer_max_fetch_size": fetch_bytes},
        )
        async with running(worker):
            await until(lambda: len(worker.values) >= 6000, "all records")  # noqa: B023
        assert max(map(len, worker.seen)) in largest


async def test_brokers_and_credentials_are_the_ones_set_in_faust():
    credentials = faust.SASLCredentials(username="hark", password="", mechanism="PLAIN")
    app = faust.App("g", broker="kafka://one:1;kafka://two:2", broker_credentials=credentials)
    install(app, fold={"events"}, fetch_max_wait_ms=77)
    consumer = app.consumer._thread._create_worker_consumer(app.transport)
    try:
        assert consumer._client._bootstrap_servers == ["one:1", "two:2"]
        assert consumer._client._security_protocol == "SASL_PLAINTEXT"
        assert consumer._client._sasl_plain_username == "hark"
        assert consumer._isolation_level == "read_committed"
        assert consumer._fetch_max_wait_ms == 77
    finally:
        await consumer.stop()


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
        worker.consumer.pause_partitions(tps)
        gate.open.set()
        await until(lambda: len(worker.consumer._open[next(iter(tps))]) == 0, "the queue is empty")
        delivered = len(worker.values)
        assert delivered < 100
        worker.consumer.resume_partitions(tps)
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
        await worker.consumer.seek(next(iter(worker.assigned)), 500)
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
        worker.consumer._thread.thread_loop.call_soon_threadsafe(
            worker.consumer._thread._consumer.seek, tp, 40
        )
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
        await cluster.produce(topic, numbers(0, 2_000, size=20_000), partition)
    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), gate, drain_timeout_s=0.1)
    process = psutil.Process()
    async with running(worker):
        await until(lambda: len(worker.seen) == 1, "the agent has a batch")
        before = process.memory_info().rss
        await asyncio.sleep(3)
        open_batches = sum(len(run) for run in worker.consumer._open.values())
        assert open_batches <= 1 + 4 + 1  # in the agent, in its queue, waiting for the queue
        assert len(worker.seen) == 1
        # 80 MB lie ready; a fetch is 1 MiB.
        assert process.memory_info().rss - before < 30_000_000
        gate.open.set()
        await until(lambda: len(worker.values) >= 4_000, "everything, once the agent goes on")
    assert len(worker.values) == 4_000


async def test_per_message_topics_and_tables_stay_right_beside_a_folded_one(cluster: Cluster):
    folded, plain, group = (
        await cluster.topic(),
        await cluster.topic(),
        cluster.name("group"),
    )
    await cluster.produce(folded, numbers(0, 2000))
    await cluster.produce(plain, numbers(0, 300))
    totals = []
    for round_ in (1, 2):
        worker = Worker(cluster.bootstrap, folded, group)
        table = worker.app.Table("seen", partitions=1, default=int)
        messages: list[int] = []

        async def count(stream, table=table, messages=messages):
            async for value in stream:
                messages.append(int(value))
                table["sum"] += int(value)

        source: faust.TopicT = worker.app.topic(plain, value_serializer="raw")
        worker.app.agent(source, supervisor_strategy=mode.CrashingSupervisor)(count)
        async with running(worker):
            await until(lambda: len(messages) >= 300, "every message")  # noqa: B023
            await until(lambda: len(worker.values) >= 2000, "every record")  # noqa: B023
            totals.append(table["sum"])
        first = 300 * (round_ - 1)
        assert messages == list(range(first, first + 300))
        assert len(worker.seen) < 20
        assert await cluster.committed(group, plain) == 300 * round_
        assert await cluster.committed(group, folded) == 2000 * round_
        await cluster.produce(folded, numbers(2000, 4000))
        await cluster.produce(plain, numbers(300, 600))
    assert totals == [sum(range(300)), sum(range(600))]
