"""`hark forget`, whole: a real broker, a worker, an archive, a model; then nothing is left."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import xxhash
from aiokafka import AIOKafkaProducer, TopicPartition

from ops.archive.copy import archive_topic
from ops.archive.rerun import rerun
from ops.kafka_admin.topics import create_topics
from ops.publish.feed import feed
from ops.publish.publisher import Publisher
from ops.simulator.simulation import simulate_events
from ops.training.samples import LabelRules, collect
from streams.histories.user_rows import NO_SLOT
from streams.kafka.log import groupless_consumer, read_range
from streams.settings import Http, Kafka, Model, Settings, State
from streams.worker import Worker
from tests.few_partitions import topics

ROOT = Path(__file__).parents[3]
EVENTS = 2_500
SALT = "e1f7"  # so that a user id is found in bytes only where it is one


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    await worker.check()
    await worker.app.start()
    try:
        yield
    finally:
        await worker.app.stop()


async def until(what: Callable[[], bool], why: str) -> None:
    for _ in range(900):
        if what():
            return
        await asyncio.sleep(0.1)
    pytest.fail(why)


def traces(user: str) -> list[bytes]:
    """How an id may show: itself, and its usual hashes."""
    digest = xxhash.xxh3_64_intdigest(user.encode())
    return [
        user.encode(), hashlib.sha256(user.encode()).hexdigest().encode(),
        hashlib.sha256(user.encode()).digest(), digest.to_bytes(8, "little"),
        digest.to_bytes(8, "big"), f"{digest:x}".encode(),
    ]  # fmt: skip


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file's bytes, what Parquet compresses unpacked."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        path: data + (repr(pl.read_parquet(path).to_dicts()).encode() if path.suffix == ".parquet"
                      else b"")
        for path, data in found.items()
    }  # fmt: skip


def where(folder: Path, user: str) -> list[str]:
    return [
        str(path)
        for path, data in contents(folder).items()
        if any(trace in data for trace in traces(user))
    ]


async def latest(client: dict[str, Any], topic: str, partitions: int) -> dict[bytes, bytes | None]:
    """What compaction leaves of a topic."""
    consumer, found = groupless_consumer(client), {}
    await consumer.start()
    try:
        for number in range(partitions):
            tp = TopicPartition(topic, number)
            consumer.assign([tp])
            (end,) = (await consumer.end_offsets([tp])).values()
            async for records in read_range(consumer, tp, end):
                found |= {(record.partition, record.key): record.value for record in records}
    finally:
        await consumer.stop()
    return found  # type: ignore[return-value]


def command(*arguments: str) -> dict[str, Any]:
    """A command in a process of its own: a worker in this one writes to the same output."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *arguments, "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
async def test_nothing_of_a_forgotten_user_is_left(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = {"bootstrap_servers": kafka_bootstrap}
    chosen = Settings(
        kafka=Kafka(
            bootstrap_servers=kafka_bootstrap, topic_prefix=topic_prefix, group_id=topic_prefix
        ),
        model=Model(registry=tmp_path / "registry"),
        http=Http(port=0),
        state=State(checkpoint_s=1),
    )
    for name, value in {
        "KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap,
        "KAFKA__TOPIC_PREFIX": topic_prefix,
        "KAFKA__GROUP_ID": topic_prefix,
        "MODEL__REGISTRY": str(tmp_path / "registry"),
    }.items():
        monkeypatch.setenv(f"HARK_{name}", value)
    archive = tmp_path / "archive"
    await create_topics(client, topics(topic_prefix), 1)
    shop = simulate_events(5, users=60, items=60, days=30, events=EVENTS)
    events = shop.events.with_columns(pl.format(f"{SALT}-{{}}", "user_id").alias("user_id"))
    user = str(events["user_id"].mode().sort()[0])
    events_topic = f"{topic_prefix}events"

    async def publish(frame: pl.DataFrame) -> None:
        async with Publisher(client, events_topic) as publisher:
            await publisher.publish(feed(frame, None, topic_prefix))

    await publish(events)
    await asyncio.to_thread(
        command, "train", "--archive", str(archive), "--epochs", "1", "--churn-days", "5"
    )
    assert where(archive, user), "the archive knew the user"

    worker = Worker(chosen)
    async with running(worker):
        states = worker.pipeline.states

        def read(count: int) -> bool:
            return sum(state.next_offset for state in states.values()) >= count

        def knows() -> bool:
            rows = [state.histories.user_rows for state in states.values()]
            return any(one.slot(user) != NO_SLOT for one in rows)

        await until(lambda: read(len(events)), "the worker didn't read everything")
        assert knows()
        receipt = await asyncio.to_thread(command, "forget", user, "--archive", str(archive))
        (tmp_path / "receipt.json").write_text(json.dumps(receipt))
        offsets = [row["offset"] for row in receipt["partitions"]]
        assert len(offsets) == 4
        assert receipt["archive"]["records_erased"] == (events["user_id"] == user).sum()
        assert set(receipt["kept_until"]) == {
            topic_prefix + name for name in ("events", "recommendations", "alerts", "dead-letters")
        }
        await until(lambda: read(len(events) + 4), "the worker didn't read that it should forget")
        assert not knows()
        for state in states.values():
            assert user not in state.counters.labelled
            assert not any(user in pending.label_users for pending in state.counters.pending)
    status = await asyncio.to_thread(command, "forget", user, "--status")
    assert status["forgotten_by_workers"]
    assert [row["offset"] for row in status["partitions"]] == offsets

    rows = await latest(client, f"{topic_prefix}user-state", 4)
    assert len(rows) > 10, "the other users are kept"
    assert all(value is None for (_, key), value in rows.items() if key == user.encode())
    parts = await latest(client, f"{topic_prefix}counters", 4)
    assert not any(user.encode() in (value or b"") for value in [*rows.values(), *parts.values()])
    assert where(archive, user) == []
    assert where(tmp_path / "registry", user) == []
    assert not any(trace.decode("latin-1") in json.dumps(receipt) for trace in traces(user))
    assert receipt["pseudonym"] is None
    assert receipt["archive"]["complete"]

    state, steps = rerun(archive, chosen)
    samples = await asyncio.to_thread(collect, steps, LabelRules(churn_horizon_s=5 * 86_400))
    others = events["user_id"].n_unique() - 1
    assert len(set(samples.corpus.users.tolist())) <= others
    assert user not in state.standing(2_000_000_000).users

    # Copied afresh from the log, where the user's records still are.
    fresh = tmp_path / "fresh"
    await archive_topic(client, events_topic, fresh)
    assert where(fresh, user) == []

    back = events.filter(pl.col("user_id") == user).head(1).with_columns(message_id=pl.lit("again"))
    await publish(back)
    worker = Worker(chosen)
    async with running(worker):
        states = worker.pipeline.states
        await until(lambda: read(len(events) + 5), "the worker didn't read who came back")
        (row,) = [
            one.rows[one.slot(user)]
            for one in (state.histories.user_rows for state in states.values())
            if one.slot(user) != NO_SLOT
        ]
        assert (int(row["events"]), int(row["length"])) == (1, 1)


def test_an_erasure_that_isn_t_complete_says_so_and_fails(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder in place of a file: the read fails, and that says nothing about what was there."""
    client = {"bootstrap_servers": kafka_bootstrap}
    monkeypatch.setenv("HARK_KAFKA__BOOTSTRAP_SERVERS", kafka_bootstrap)
    monkeypatch.setenv("HARK_KAFKA__TOPIC_PREFIX", topic_prefix)
    asyncio.run(create_topics(client, topics(topic_prefix), 1))
    events = f"{topic_prefix}events"

    async def publish() -> None:
        producer = AIOKafkaProducer(**client)
        await producer.start()
        try:
            value = b'{"messageId":"m","userId":"ann","event":"e"}'
            await producer.send_and_wait(events, value, b"ann", partition=0)
        finally:
            await producer.stop()

    for _ in range(2):  # a file each
        asyncio.run(publish())
        asyncio.run(archive_topic(client, events, tmp_path))
    _, unread = sorted((tmp_path / events / "partition=0").glob("*.parquet"))
    unread.unlink()
    unread.mkdir()

    def run() -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", "forget", "ann", "--archive", tmp_path, "--json"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done, json.loads(done.stdout)["archive"]

    done, archive = run()
    assert done.returncode == 1
    assert "error: 1 files of the archive can't be read" in done.stderr
    assert "archive.unread" in done.stderr, "logs don't mix with the receipt"
    assert not archive["complete"]
    assert archive["files_unread"] == [str(unread)]
    assert archive["records_erased"] == 1, "all others are erased"
    unread.rmdir()
    done, archive = run()
    assert done.returncode == 0
    assert archive["complete"]
