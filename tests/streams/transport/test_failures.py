"""What happens to a batch whose agent fails, or whose ack comes from the past."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NodeNotReadyError

from schemas.errors import ConfigError
from tests.streams.transport.cluster import Cluster, numbers, until
from tests.streams.transport.worker import Worker, running

pytestmark = pytest.mark.kafka


async def test_an_exception_stops_the_worker_and_leaves_the_batch_uncommitted(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 100))

    async def fail_on_the_third(event):
        if event.value.first_offset == 20:
            raise RuntimeError("no disk left")
        event.ack()

    worker = Worker(
        cluster.bootstrap,
        topic,
        group,
        fail_on_the_third,
        max_batch_records=10,
        drain_timeout_s=3600.0,
    )
    async with asyncio.timeout(45), running(worker):
        await until(lambda: worker.app.should_stop, "the worker stops")
        assert isinstance(worker.app.crash_reason, RuntimeError)
    assert await cluster.committed(group, topic) == 20
    async with running(Worker(cluster.bootstrap, topic, group)) as next_worker:
        await until(lambda: len(next_worker.values) >= 80, "the failed batch and all after it")
    assert next_worker.values == list(range(20, 100))


async def test_an_ack_from_before_a_seek_moves_nothing(cluster: Cluster):
    topic = await cluster.topic()
    await cluster.produce(topic, numbers(0, 100))
    events = []

    async def keep(event):
        events.append(event)

    worker = Worker(cluster.bootstrap, topic, cluster.name("group"), keep, drain_timeout_s=0.1)
    async with running(worker):
        await until(lambda: len(events) == 1, "the first batch")
        worker.consumer.seek(next(iter(worker.assigned)), 0)
        await until(lambda: len(events) == 2, "the batch again")
        assert not events[0].ack()
        await asyncio.sleep(1)
        assert await cluster.committed(worker.group, topic) is None
        assert events[1].ack()
    assert await cluster.committed(worker.group, topic) == 100


async def test_an_ack_of_another_generation_is_refused(cluster: Cluster):
    topic, group = await cluster.topic(partitions=2), cluster.name("group")
    for partition in range(2):
        await cluster.produce(topic, numbers(0, 100), partition)
    events = []

    async def keep(event):
        events.append(event)

    worker = Worker(cluster.bootstrap, topic, group, keep, drain_timeout_s=0.3)
    async with running(worker):
        await until(lambda: len(events) == 2, "one batch of each partition")
        other = Worker(cluster.bootstrap, topic, group, keep, drain_timeout_s=0.3)
        async with running(other):
            await until(lambda: len(events) == 4, "each batch again, after the rebalance")
            assert [event.ack() for event in events[:2]] == [False, False]
            await asyncio.sleep(1)
            assert await cluster.committed(group, topic, 0) is None
            assert await cluster.committed(group, topic, 1) is None
            assert [event.ack() for event in events[2:]] == [True, True]
    assert await cluster.committed(group, topic, 0) == 100
    assert await cluster.committed(group, topic, 1) == 100


@pytest.mark.parametrize(("elsewhere", "read_again"), [(None, 100), (70, 100), (130, 130)])
async def test_a_member_that_the_group_removed_commits_what_it_finished_unless_others_went_on(
    cluster: Cluster, elsewhere: int | None, read_again: int
):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 200))
    go_on, second = asyncio.Event(), asyncio.Event()

    async def slow(event):
        await (go_on if event.value.first_offset == 0 else second).wait()
        event.ack()

    # The commit must come before the heartbeat that tells of the removal.
    times = {"heartbeat_s": 4.0, "commit_s": 0.2, "drain_timeout_s": 0.3}
    joined: list[set[int]] = []

    async def count_joins(assigned, _read):
        joined.append(assigned)

    worker = Worker(
        cluster.bootstrap,
        topic,
        group,
        slow,
        prepare=count_joins,
        max_batch_records=100,
        **times,
    )
    async with running(worker):
        await until(lambda: len(worker.seen) == 1, "the agent has the first batch")
        await cluster.remove_members(group)
        if elsewhere is not None:
            await cluster.commit(group, topic, elsewhere)
        go_on.set()
        await until(lambda: len(joined) == 2, "it joined again")
        second.set()
        await until(lambda: len(worker.seen) == 3, "the batch that it had given up")
        assert not worker.app.should_stop
    assert worker.values == [*range(200), *range(read_again, 200)]
    assert await cluster.committed(group, topic) == 200


async def test_a_session_that_the_brokers_do_not_allow_stops_the_worker_with_one_line(
    cluster: Cluster,
):
    topic, group = await cluster.topic(), cluster.name("group")
    async with running(Worker(cluster.bootstrap, topic, group, session_timeout_s=3_600)) as worker:
        await until(lambda: worker.app.should_stop, "the worker stops")
        assert isinstance(worker.app.crash_reason, ConfigError)
        assert "group.max.session.timeout.ms" in str(worker.app.crash_reason)


async def test_a_group_of_another_kind_stops_the_worker_with_one_line(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    other = AIOKafkaConsumer(topic, bootstrap_servers=cluster.bootstrap, group_id=group)
    async with other, running(Worker(cluster.bootstrap, topic, group)) as worker:
        await until(lambda: worker.app.should_stop, "the worker stops")
        assert f"kafka.group_id {group}" in str(worker.app.crash_reason)


async def test_a_preparation_that_fails_stops_the_worker_and_nothing_is_read(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    await cluster.produce(topic, numbers(0, 10))

    async def fail(_assigned, _read):
        raise RuntimeError("no state")

    async with running(Worker(cluster.bootstrap, topic, group, prepare=fail)) as worker:
        await until(lambda: worker.app.should_stop, "the worker stops")
    assert str(worker.app.crash_reason) == "no state"
    assert worker.seen == []


async def test_a_fetch_that_an_error_interrupts_comes_again(cluster: Cluster):
    topic = await cluster.topic()
    await cluster.produce(topic, numbers(0, 10))
    fetched: set[TopicPartition] = set()
    failed: list[TopicPartition] = []
    worker = Worker(cluster.bootstrap, topic, cluster.name("group"))
    async with running(worker):
        await until(lambda: len(worker.values) == 10, "the first records")
        client = worker.consumer.client
        getmany, position = client.getmany, client.position

        async def fetch(timeout_ms: int) -> dict[TopicPartition, object]:
            found = await getmany(timeout_ms=timeout_ms)
            fetched.update(found)
            return found

        async def ask(tp: TopicPartition) -> int:
            if tp in fetched and not failed:
                failed.append(tp)
                raise NodeNotReadyError
            return await position(tp)

        client.getmany, client.position = fetch, ask
        await asyncio.sleep(0.5)  # the poll under way began before
        await cluster.produce(topic, numbers(10, 100))
        await until(lambda: len(failed) == 1, "the error")
        await cluster.produce(topic, numbers(100, 110))
        await until(lambda: 109 in worker.values, "what came later")
    assert worker.values == list(range(110))


async def test_a_poll_that_finds_its_client_closed_on_a_stop_is_no_failure(cluster: Cluster):
    topic, group = await cluster.topic(), cluster.name("group")
    stopping = False

    async def ready() -> None:
        while stopping and not worker.consumer.client._closed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    worker = Worker(cluster.bootstrap, topic, group, ready=ready)
    async with running(worker):
        await until(lambda: len(worker.assigned) == 1, "it reads")
        stopping = True
        await asyncio.sleep(0.5)  # the poll that was under way ends
    assert worker.app.crash_reason is None
    assert worker.consumer.crash_reason is None
