"""The commit is exactly the acked prefix."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition

from tests.streams.transport.cluster import Cluster, numbers, until
from tests.streams.transport.worker import Worker, running

pytestmark = pytest.mark.kafka


async def test_the_commit_stops_before_the_first_batch_that_is_not_acked(cluster: Cluster):
    topic = await cluster.topic()
    await cluster.produce(topic, numbers(0, 100))
    events = []

    async def keep(event):
        events.append(event)

    worker = Worker(
        cluster.bootstrap,
        topic,
        cluster.name("group"),
        keep,
        max_batch_records=10,
        drain_timeout_s=0.1,
    )
    async with running(worker):
        await until(lambda: len(events) == 10, "ten batches of ten")
        for index in (3, 1, 0, 9):
            events[index].ack()
        await asyncio.sleep(1.5)  # three commit intervals
        assert await cluster.committed(worker.group, topic) == 20
        events[2].ack()
        await asyncio.sleep(1.5)
        assert await cluster.committed(worker.group, topic) == 40
    assert await cluster.committed(worker.group, topic) == 40


async def test_a_stop_commits_what_was_acked_and_a_restart_repeats_nothing(cluster: Cluster):
    topic, group = await cluster.topic(partitions=3), cluster.name("group")
    for partition in range(3):
        await cluster.produce(topic, numbers(partition * 1000, partition * 1000 + 500), partition)
    seen: list[int] = []
    for expected in (1500, 1650):
        worker = Worker(cluster.bootstrap, topic, group, commit_s=3600)
        async with running(worker):
            await until(
                lambda: len(seen) + len(worker.values) == expected,  # noqa: B023
                "every record once",
            )
        seen += worker.values
        for partition in range(3):
            first = partition * 1000 + 500
            await cluster.produce(topic, numbers(first, first + 50), partition)
    assert len(set(seen)) == len(seen) == 1650


async def test_a_stop_lets_the_batch_in_flight_finish_and_commits_it(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 100))
    started, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event):
        started.set()
        await go_on.wait()
        event.ack()

    worker = Worker(
        cluster.bootstrap,
        topic,
        group,
        slow,
        max_batch_records=20,
    )
    await worker.start()
    await started.wait()
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(3)  # longer than Faust takes to stop an agent it doesn't wait for
    assert not stopping.done()
    go_on.set()
    await stopping
    assert worker.values == list(range(20))  # what only waited is left to the next worker
    assert await cluster.committed(group, topic) == 20


async def test_a_crash_between_ack_and_commit_loses_nothing(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.commit(group, topic, 40)
    await cluster.produce(topic, numbers(0, 300))
    script = Path(__file__).with_name("worker.py")
    child = subprocess.Popen(  # noqa: ASYNC220 - killed at once, not spoken to
        [sys.executable, "-m", "tests.streams.transport.worker", cluster.bootstrap, topic, group],
        cwd=script.parents[3],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(child.stdout.readline), 45)
        assert int(line) == 299  # acked, and a commit is an hour away
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    assert await cluster.committed(group, topic) == 40
    async with running(Worker(cluster.bootstrap, topic, group)) as worker:
        await until(lambda: len(worker.values) == 260, "the batch again")
    assert worker.values == list(range(40, 300))
    assert await cluster.committed(group, topic) == 300


async def test_commits_go_over_the_holes_of_compaction(cluster: Cluster):
    cluster.clean_logs_often()
    topic, group = (
        await cluster.topic(
            cleanup_policy="compact",
            min_cleanable_dirty_ratio="0.01",
            segment_ms="100",
            delete_retention_ms="100",
        ),
        cluster.name("group"),
    )
    for number in range(40):  # one record per log batch: whole batches disappear
        await cluster.produce(topic, numbers(number, number + 1), key=b"%d" % (number % 4))
    await asyncio.sleep(0.2)
    await cluster.produce(topic, numbers(40, 41), key=b"new segment")
    kept: list[int] = []
    for _ in range(150):
        kept = await cluster.offsets(topic)
        if len(kept) == 5:
            break
        await asyncio.sleep(0.2)
    assert kept == [36, 37, 38, 39, 40], "the broker did not compact"

    async with running(Worker(cluster.bootstrap, topic, group, max_batch_records=2)) as worker:
        await until(lambda: len(worker.values) >= 5, "what compaction kept")
    assert worker.values == kept
    assert await cluster.committed(group, topic) == 41


async def test_commits_go_over_aborted_transactions_also_at_the_end(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.transaction(topic, numbers(0, 50), commit=True)
    await cluster.transaction(topic, numbers(1000, 1200), commit=False)
    await cluster.transaction(topic, numbers(50, 60), commit=True)
    async with running(Worker(cluster.bootstrap, topic, group, max_batch_records=20)) as worker:
        await until(lambda: len(worker.values) >= 60, "committed transactions")
        await cluster.transaction(topic, numbers(2000, 2300), commit=False)
        end = await cluster.end(topic)
        await until(
            lambda: worker.consumer.committed(0) == end,
            "the commit passes the aborted transaction at the end",
        )
        assert worker.values == list(range(60))
        assert worker.consumer.highwater(TopicPartition(topic, 0)) == end
        assert worker.consumer.highwater(TopicPartition("revoked", 0)) == 0
    assert await cluster.committed(group, topic) == end == 50 + 200 + 10 + 300 + 4
