"""Topics that look right and aren't, at a worker's start and while it runs."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import signal
from contextlib import suppress
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.errors import KafkaError

from ops.kafka_admin.topics import create_topics
from schemas.errors import ConfigError
from schemas.topics import ITEMS
from streams.kafka.cluster_check import count_partitions
from streams.kafka.topic_settings import check_settings
from streams.monitoring import logs
from streams.transport.transport import Read
from streams.worker import Worker, run, what_happened
from tests.end_to_end.running import running, settings, until
from tests.few_partitions import topics

FOR_EVER = str(2**63 - 1)


async def test_a_record_of_2099_doesnt_get_in(kafka_bootstrap: str, topic_prefix: str) -> None:
    """Of our own making the topic takes none, and a worker doesn't start on one that does."""
    client = {"bootstrap_servers": kafka_bootstrap}
    own, foreign = topics(f"{topic_prefix}own."), topics(f"{topic_prefix}foreign.")
    await create_topics(client, own, 1)
    await create_topics(client, [replace(foreign[0], ahead_ms=2**62), *foreign[1:]], 1)
    producer = AIOKafkaProducer(**client)
    await producer.start()
    year_2099 = 4_070_908_800_000
    try:
        with pytest.raises(KafkaError):
            await producer.send_and_wait(own[0].name, b"{}", timestamp_ms=year_2099)
        await producer.send_and_wait(foreign[0].name, b"{}", timestamp_ms=year_2099)
    finally:
        await producer.stop()
    await Worker(settings(kafka_bootstrap, f"{topic_prefix}own.")).check()
    with pytest.raises(ConfigError, match=r"foreign\.events has message.timestamp.after.max.ms="):
        await Worker(settings(kafka_bootstrap, f"{topic_prefix}foreign.")).check()


async def test_what_can_be_mended_is_a_warning(
    kafka_bootstrap: str, topic_prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    (items,) = (spec for spec in topics(topic_prefix) if spec.role == ITEMS.name)
    await create_topics(client, [replace(items, tombstones_ms=None)], 1)
    await check_settings(client, [items], 30)
    said = capsys.readouterr().out
    assert "topic.unfit" in said
    assert f"{items.name} has delete.retention.ms=86400000" in said


async def test_topics_that_change_under_a_worker(kafka_bootstrap: str, topic_prefix: str) -> None:
    client, specs = {"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix)
    events = specs[0].name
    await create_topics(client, specs, 1)
    admin = AIOKafkaAdminClient(**client)
    await admin.start()

    async def there(count: int) -> bool:
        return (await count_partitions(client, [events]))[events] == count

    try:
        async with running(settings(kafka_bootstrap, topic_prefix)) as worker:
            await until(lambda: len(worker.pipeline.states) == 4, "it has its partitions")
            await admin.create_partitions({events: NewPartitions(6)})
            await until(lambda: there(6), "events is wider")
            with pytest.raises(ConfigError, match=r"has 4 partitions and .*events has 6: it needs"):
                await worker._recount_partitions()
            await create_topics(client, specs, 1)
            assert await worker._recount_partitions() == ""
            assert worker.partitions[f"{topic_prefix}user-state"] == 6

            await admin.delete_topics([events])
            await until(lambda: there(0), "events is gone")
            gone = f"topic {events} is gone"
            await until(lambda: worker.health._why_not == gone, "it knows that, and says so")
            assert not worker.pipeline.states
            assert not worker.health._ready.is_set()
    finally:
        await admin.close()


async def test_a_worker_is_not_ready_while_it_restores(
    kafka_bootstrap: str, topic_prefix: str
) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    ready: list[bool] = []
    async with running(settings(kafka_bootstrap, topic_prefix)) as worker:
        await until(worker.health._ready.is_set, "it has its partitions")
        take = worker.ownership.take

        async def noting(assigned: set[int], read: Read) -> None:
            ready.append(worker.health._ready.is_set())
            await take(assigned, read)

        worker.ownership.take = noting  # type: ignore[method-assign]
        async with running(settings(kafka_bootstrap, topic_prefix)):
            await until(lambda: len(worker.pipeline.states) == 2, "the other has its share")
            await until(worker.health._ready.is_set, "it is ready again")
    assert ready
    assert not any(ready)


async def test_sighup_is_a_stop_like_any_other(kafka_bootstrap: str, topic_prefix: str) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
        life = asyncio.create_task(run(settings(kafka_bootstrap, topic_prefix)))
        async with asyncio.timeout(60):
            while not life.done():
                await asyncio.sleep(0.2)
                os.kill(os.getpid(), signal.SIGHUP)
        await life
    finally:
        with suppress(ValueError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, before)


def test_an_error_says_its_name_once() -> None:
    class KafkaTimeoutError(Exception):
        pass

    assert what_happened(KafkaTimeoutError("KafkaTimeoutError: no offsets")) == (
        "KafkaTimeoutError: no offsets"
    )
    assert what_happened(KafkaTimeoutError("no offsets")) == "KafkaTimeoutError: no offsets"


def test_what_is_raised_on_purpose_is_logged_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    before = root.handlers[:]
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    try:
        logs.configure()
        for error in (ConfigError("topic events is too wide"), ValueError("a defect")):
            try:
                raise error
            except (ConfigError, ValueError):
                logging.getLogger("faust.app").exception("Crashed")
    finally:
        root.handlers[:] = before
    ours, defect = stream.getvalue().strip().splitlines()
    assert "topic events is too wide" in ours
    assert "Traceback" not in ours
    assert "Traceback" in defect
