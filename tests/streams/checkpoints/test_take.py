"""A take of partitions that is cut short, and giving partitions up while a broker hangs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from schemas.events.codec import encode
from schemas.topics import ALERTS
from streams.alerts.book import Observation, Thresholds, source
from streams.checkpoints import ownership
from streams.worker import Worker
from tests.streams.checkpoints.cluster import PARTITIONS, Shop, caught_up, running, until
from tests.streams.checkpoints.test_fenced import everything_saved, saved

AT = Thresholds(raise_at=0.8, clear_at=0.3, critical_at=0.9)
ALL = set(range(PARTITIONS))


@pytest.fixture
async def shop(kafka_bootstrap: str, topic_prefix: str, tmp_path: Path) -> Shop:
    made = Shop(kafka_bootstrap, topic_prefix, tmp_path)
    await made.create()
    await made.publish(500)
    return made


def users(worker: Worker) -> list[list[str]]:
    states = worker.pipeline.states
    return [sorted(states[number].histories.known()) for number in sorted(states)]


async def cut_short(worker: Worker, after_s: float) -> None:
    task = asyncio.create_task(worker.ownership.take(ALL))
    await asyncio.sleep(after_s)
    task.cancel()
    await asyncio.wait({task})


async def test_a_take_may_be_cut_short_anywhere(shop: Shop) -> None:
    async with running(shop, checkpoint_s=0.8) as worker:
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved")
        known = users(worker)
        for after_s in (0.0, 0.01, 0.03, 0.06, 0.1, 0.2):
            worker.pipeline.states.clear()
            await cut_short(worker, after_s)
        await worker.ownership.take({0})
        assert worker.checkpoints.owned == {0}
        await worker.ownership.take(ALL)
        assert users(worker) == known
        assert worker.checkpoints.owned == ALL
        await until(lambda: everything_saved(worker), "all is saved by the latest writers")


async def test_a_take_that_was_cut_short_still_recalls_alerts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(shop, checkpoint_s=3_600) as worker:
        await caught_up(worker, shop)
        await until(lambda: all(worker._committed(n) for n in ALL), "all is committed")
        number, state = next((n, s) for n, s in worker.pipeline.states.items() if s.users)
        user = state.histories.known()[0]
        seen = Observation(user, 0.85, 1_000, number, 3, 1_000, "m")
        alert = worker.scorer.new_state(number).books["risk"].observe(seen, AT, "v1")
        assert alert is not None
        producer = AIOKafkaProducer(**shop.client)
        await producer.start()
        await producer.send_and_wait(
            shop.prefix + ALERTS.name,
            encode(alert),
            user.encode(),
            number,
            headers=list(source(number, 3)),
        )
        await producer.stop()
        worker.pipeline.states[number] = worker.scorer.new_state(number)  # kept, but behind
        hangs = asyncio.Event()
        read_alerts = ownership.read_alerts

        async def hanging(*_: Any) -> Any:
            hangs.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(ownership, "read_alerts", hanging)
        task = asyncio.create_task(worker.ownership.take(ALL))
        await hangs.wait()
        task.cancel()
        await asyncio.wait({task})
        monkeypatch.setattr(ownership, "read_alerts", read_alerts)
        await worker.ownership.take(ALL)
        assert user in worker.pipeline.states[number].books["risk"].subjects


async def test_a_writer_whose_abort_times_out_once_goes_on(shop: Shop) -> None:
    async with running(shop, checkpoint_s=0.8) as worker:
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved")
        before = saved(worker)
        for owned in worker.checkpoints._owned.values():
            producer: Any = owned.writer._producer

            async def commit_fails() -> None:
                raise KafkaTimeoutError

            async def abort_times_out() -> None:
                raise TimeoutError

            producer.commit_transaction, producer.abort_transaction = commit_fails, abort_times_out
        await shop.publish(500)
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved by new writers")
        assert all(now > then for now, then in zip(saved(worker), before, strict=True))


async def test_a_partition_is_given_up_while_its_checkpoint_waits_for_a_commit(shop: Shop) -> None:
    async with running(shop, checkpoint_s=0.8) as worker:
        await caught_up(worker, shop)
        await until(lambda: everything_saved(worker), "all is saved")
        worker.checkpoints.committed = lambda _number: 0
        owned = worker.checkpoints._owned
        await shop.publish(500)
        await caught_up(worker, shop)
        await until(lambda: any(one.lock.locked() for one in owned.values()), "one waits")
        waiting = next(number for number, one in owned.items() if one.lock.locked())
        async with asyncio.timeout(15):  # a commit is waited for longer
            await worker.checkpoints.disown(waiting)
        assert waiting not in worker.checkpoints.owned


async def test_one_partition_that_hangs_keeps_no_other_from_its_last_checkpoint(shop: Shop) -> None:
    async with running(shop, checkpoint_s=3_600) as worker:
        await caught_up(worker, shop)
        states, owned = worker.pipeline.states, worker.checkpoints._owned
        await until(
            lambda: all((worker._committed(n) or 0) >= s.next_offset for n, s in states.items()),
            "all is committed",
        )
        first = next(iter(states))
        write: Any = owned[first].writer.write

        async def hangs(*_: Any) -> int:
            await asyncio.Event().wait()
            return 0

        owned[first].writer.write = hangs  # type: ignore[method-assign]
        await worker.checkpoints.finish(deadline_s=3.0)
        found = {number: one.saved for number, one in owned.items() if number != first}
        assert found == {number: states[number].next_offset for number in found}
        assert owned[first].saved is None
        owned[first].writer.write = write  # type: ignore[method-assign]
