"""A fenced writer is replaced; a restore reads what was published after the checkpoint only."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from schemas.topics import ALERTS, DEAD_LETTERS
from streams.alerts.book import Observation, Thresholds
from streams.checkpoints.writer import CheckpointWriter
from streams.worker import Worker
from tests.streams.checkpoints.cluster import PARTITIONS, Shop, caught_up, running, until

AT = Thresholds(raise_at=0.8, clear_at=0.3, critical_at=0.9)


@pytest.fixture
async def shop(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Shop:
    made = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await made.create()
    await made.publish(500)
    return made


def saved(worker: Worker) -> list[int]:
    return [owned.saved or 0 for owned in worker.checkpoints._owned.values()]


def everything_saved(worker: Worker) -> bool:
    states = worker.pipeline.states
    found = {n: owned.saved for n, owned in worker.checkpoints._owned.items()}
    return found == {n: state.next_offset for n, state in states.items()}


async def test_a_writer_that_could_not_abort_is_replaced(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(shop, checkpoint_s=0.8) as worker:
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved")
        for owned in worker.checkpoints._owned.values():
            owned.writer.fenced = True  # as after an abort that timed out
        await shop.publish(500)
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved by new writers")
    async with running(shop, checkpoint_s=3_600) as second:
        assert second.metrics.registry.get_sample_value("hark_restored_events_total") == 0


async def test_a_writer_that_another_worker_fenced_writes_the_state_anew(shop: Shop) -> None:
    async with running(shop, checkpoint_s=0.8) as worker:
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved")
        heads = {n: owned.rows_from for n, owned in worker.checkpoints._owned.items()}
        owned = worker.checkpoints._owned[0]
        other = CheckpointWriter(
            shop.client, owned.writer._options["transactional_id"], worker.checkpoints.topics, 0,
            max_message_bytes=1_000_000,
        )  # fmt: skip
        await other.start()
        assert owned.known is not None
        newer = owned.known.replace(b'"written_ms":', b'"written_ms":1')
        await other.write([(b"nobody", b"x")], [(b"checkpoint", newer)])
        await other.stop()
        await shop.publish(500)
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved by new writers")
        assert (owned.rows_from or 0) > (heads[0] or 0)
        users = sum(state.users for state in worker.pipeline.states.values())
    async with running(shop, checkpoint_s=3_600) as second:
        assert second.metrics.registry.get_sample_value("hark_restored_events_total") == 0
        assert sum(state.users for state in second.pipeline.states.values()) == users


async def test_an_incident_outlives_the_retention_of_the_alerts(shop: Shop) -> None:
    async with running(shop, checkpoint_s=3_600) as first:
        await caught_up(first, shop)
        state = next(state for state in first.pipeline.states.values() if state.users)
        user = state.histories.known()[0]
        at = Observation(user, 0.85, 1_000, state.partition, 3, 1_000, "m")
        fired = state.books["risk"].observe(at, AT, "v1")
        assert fired is not None
        number = state.partition
    tp = TopicPartition(shop.prefix + ALERTS.name, number)
    producer = AIOKafkaProducer(**shop.client)
    await producer.start()
    for topic in (ALERTS.name, DEAD_LETTERS.name):
        for _ in range(50):
            await producer.send_and_wait(shop.prefix + topic, b"{}", b"k", partition=0)
    await producer.stop()
    admin = AIOKafkaAdminClient(**shop.client)
    await admin.start()
    await admin.delete_records({tp: RecordsToDelete(before_offset=-1)})
    await admin.close()
    async with running(shop, checkpoint_s=3_600) as second:
        book = second.pipeline.states[number].books["risk"]
        again = Observation(user, 0.85, 2_000, number, 9_999, 2_000, "n")
        assert book.observe(again, AT, "v1") is None
    progress = second.ownership.progress
    assert progress is not None
    assert progress.letters == 0


@pytest.mark.parametrize("before", [0, 300])
async def test_a_restore_reads_no_more_alerts_and_letters_with_their_number(
    shop: Shop, before: int
) -> None:
    producer = AIOKafkaProducer(**shop.client)
    await producer.start()
    for topic in (ALERTS.name, DEAD_LETTERS.name):
        for _ in range(before):
            await producer.send(shop.prefix + topic, b"{}", b"k", partition=0)
    await producer.flush()
    async with running(shop, checkpoint_s=0.8) as first:
        await caught_up(first, shop)
        await until(lambda: everything_saved(first), "all is saved")
        await first.checkpoints.stop()
        await shop.publish(200)
        await caught_up(first, shop)
    for topic in (ALERTS.name, DEAD_LETTERS.name):
        for _ in range(5):
            await producer.send(shop.prefix + topic, b"{}", b"k", partition=0)
    await producer.stop()
    async with running(shop, checkpoint_s=3_600) as second:
        progress = second.ownership.progress
    assert progress is not None
    assert progress.alerts == 5
    assert progress.letters <= 5 * PARTITIONS
