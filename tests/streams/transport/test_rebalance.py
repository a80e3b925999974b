"""Members come and go: nothing is lost, and what was in flight is finished first."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from tests.streams.transport.cluster import Cluster, numbers, until
from tests.streams.transport.worker import Worker, running

pytestmark = pytest.mark.kafka


async def test_a_revoke_waits_for_the_batch_in_flight_and_commits_it_first(cluster: Cluster):
    topic, group = await cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        await cluster.produce(topic, numbers(0, 100), partition)
    gate, started = asyncio.Event(), []

    async def slow(event):
        started.append(event)
        await gate.wait()
        event.ack()

    first = Worker(cluster.bootstrap, topic, group, slow, commit_s=3600)
    async with running(first):
        await until(lambda: len(started) == 1, "the agent has a batch")
        second = Worker(cluster.bootstrap, topic, group)
        joining = asyncio.create_task(second.start())
        await until(lambda: not first.consumer.flowing, "the second worker asks to join")
        await asyncio.sleep(1)
        assert not second.assigned  # the first has not given up anything yet
        gate.set()
        await joining
        await until(lambda: len(second.assigned) == 1, "the second worker has a partition")
        await until(lambda: len(first.values) + len(second.values) >= 200, "every record of both")
        assert await cluster.committed(group, topic, started[0].value.partition) == 100
        await second.stop()
    offsets = [(b.partition, at) for w in (first, second) for b in w.seen for at in b.offsets]
    assert len(offsets) == len(set(offsets)) == 200


async def test_a_batch_longer_than_the_drain_is_given_up_and_read_again(cluster: Cluster):
    topic, group = await cluster.topic(partitions=2), cluster.name("group")
    await cluster.produce(topic, numbers(0, 100), 0)
    release = asyncio.Event()

    async def stuck(event):
        await release.wait()
        event.ack()

    first = Worker(cluster.bootstrap, topic, group, stuck, drain_timeout_s=0.5)
    async with running(first):
        await until(lambda: len(first.seen) == 1, "the agent has a batch")
        second = Worker(cluster.bootstrap, topic, group, stuck)
        async with running(second):
            await until(lambda: len(second.assigned) == 1, "the rebalance is over all the same")
            assert await cluster.committed(group, topic, 0) is None
            release.set()
            await until(lambda: len(first.seen) + len(second.seen) == 2, "the batch again")
    assert await cluster.committed(group, topic, 0) == 100


async def test_a_member_lives_however_long_it_prepares_and_reads_only_then(cluster: Cluster):
    """As long as three sessions: heartbeats go on, and the group sees no reason to rebalance."""
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 100))
    release, prepared = asyncio.Event(), []

    async def long(assigned, _read):
        prepared.append(assigned)
        await release.wait()

    worker = Worker(cluster.bootstrap, topic, group, prepare=long, session_timeout_s=6.0)
    async with running(worker):
        await until(lambda: len(prepared) == 1, "it prepares")
        await asyncio.sleep(20)
        assert worker.seen == []
        release.set()
        await until(lambda: len(worker.values) == 100, "what waited")
    assert prepared == [{0}]
    assert await cluster.committed(group, topic) == 100


async def test_a_partition_that_is_let_go_early_does_not_wait_for_the_others(cluster: Cluster):
    topic, group = await cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        await cluster.produce(topic, numbers(100 * partition, 100 * partition + 100), partition)
    release = asyncio.Event()

    async def first_one(assigned, read):
        assert assigned == {0, 1}
        await read([1])
        await release.wait()

    worker = Worker(cluster.bootstrap, topic, group, prepare=first_one)
    async with running(worker):
        await until(lambda: len(worker.values) == 100, "what was let go")
        await until(lambda: worker.consumer.committed(1) == 100, "its commit")
        assert {batch.partition for batch in worker.seen} == {1}
        release.set()
        await until(lambda: len(worker.values) == 200, "the rest")
    assert sorted(worker.values) == list(range(200))


async def test_a_rebalance_ends_a_preparation_and_begins_another(cluster: Cluster):
    topic, group = await cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        await cluster.produce(topic, numbers(100 * partition, 100 * partition + 100), partition)
    release, began, cut_off = asyncio.Event(), [], []

    async def long(assigned, _read):
        began.append(assigned)
        try:
            await release.wait()
        except asyncio.CancelledError:
            cut_off.append(assigned)
            raise

    first = Worker(cluster.bootstrap, topic, group, prepare=long)
    async with running(first):
        await until(lambda: began == [{0, 1}], "the first prepares")
        async with running(Worker(cluster.bootstrap, topic, group)) as second:
            await until(lambda: len(began) == 2, "the first prepares what is left to it")
            assert cut_off == [{0, 1}]
            release.set()
            await until(lambda: len(first.values) + len(second.values) == 200, "all of it, once")
    assert len(began[1]) == 1


async def test_partitions_stay_where_they_are_when_members_come_and_go(cluster: Cluster):
    topic, group = await cluster.topic(partitions=4), cluster.name("group")
    first, second = (Worker(cluster.bootstrap, topic, group) for _ in range(2))
    async with running(first), running(second):
        await until(lambda: len(first.assigned) == len(second.assigned) == 2, "two each")
        kept = first.assigned, second.assigned
        async with running(Worker(cluster.bootstrap, topic, group)) as third:
            await until(lambda: len(third.assigned) == 1, "one for the third")
            await until(lambda: first.assigned and second.assigned, "both read on")
            assert first.assigned <= kept[0]
            assert second.assigned <= kept[1]
        await until(lambda: len(first.assigned) == len(second.assigned) == 2, "two each again")


async def test_workers_join_and_leave_under_traffic_and_nothing_is_lost_or_repeated(
    cluster: Cluster,
):
    topic, group = await cluster.topic(partitions=4), cluster.name("group")
    total, sent = itertools.count(), 0
    stop = asyncio.Event()

    async def traffic() -> int:
        sent = 0
        while not stop.is_set():
            for partition in range(4):
                batch = [b"%d" % next(total) for _ in range(100)]
                await cluster.produce(topic, batch, partition)
                sent += len(batch)
        return sent

    producing = asyncio.create_task(traffic())
    workers = [Worker(cluster.bootstrap, topic, group) for _ in range(3)]
    async with running(workers[0]):
        await until(lambda: len(workers[0].values) > 500, "the first works")
        async with running(workers[1]):
            await until(lambda: len(workers[1].values) > 500, "the second works")
        async with running(workers[2]):
            await until(lambda: len(workers[2].values) > 500, "the third works")
            stop.set()
            sent = await producing
            await until(lambda: sum(len(worker.values) for worker in workers) >= sent, "everything")
    got = [value for worker in workers for value in worker.values]
    assert sorted(got) == list(range(sent))
