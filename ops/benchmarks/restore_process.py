"""One process of the restore benchmark: it writes a state, or restores it and goes on with it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from ops.benchmarks.ingest import PARTITIONS
from ops.benchmarks.restore_states import Sample, apply, traffic
from schemas.events.codec import EventDecoder
from schemas.topics import EVENTS
from streams.checkpoints.capture import capture
from streams.kafka.settings import Kafka
from streams.monitoring import logs
from streams.monitoring.memory import tune_garbage_collector
from streams.settings import Http, Settings, State
from streams.worker import Worker


def settings(bootstrap: str, prefix: str, users: int, checkpoint_s: float) -> Settings:
    """Of a worker on the benchmark's topics."""
    return Settings(
        kafka=Kafka(bootstrap_servers=bootstrap, topic_prefix=prefix, group_id=f"{prefix}hark"),
        state=State(max_users=max(1, users), checkpoint_s=checkpoint_s),
        http=Http(port=0),
    )


async def save(chosen: Settings, users: int) -> dict[str, Any]:
    """Make a state of `users` users and write it as a worker's first checkpoint."""
    worker = Worker(chosen)
    await worker.check()
    sample = Sample.simulate(EventDecoder(chosen.product_contract()), users)
    states = {n: worker.scorer.new_state(n) for n in range(PARTITIONS)}
    worker.checkpoints.committed = lambda number: states[number].next_offset
    for number, state in states.items():
        await worker.checkpoints.own(number)
        worker.checkpoints.begin(number, None, 0, 0)
        sample.fill(state, share(users, number))
    await _commit(chosen, {n: state.next_offset for n, state in states.items()})
    worker.pipeline.states = states
    began_s = time.perf_counter()
    await worker.checkpoints.finish(deadline_s=600)
    seconds = time.perf_counter() - began_s
    await worker.checkpoints.stop()
    value = worker.metrics.registry.get_sample_value
    return {
        "first_checkpoint_s": round(seconds, 2),
        "first_checkpoint_mib": round((value("hark_checkpoint_bytes_total") or 0) / 2**20, 1),
        "rows": int(value("hark_checkpoint_rows_total") or 0),
    }


async def restore(
    chosen: Settings, users: int, events_per_s: float, seconds: float
) -> dict[str, Any]:
    """Restore the state as a worker does; then the cost of its checkpoints under traffic."""
    worker = Worker(chosen)
    await worker.check()
    capture(worker.scorer.new_state(0))  # compiled, or loaded, before the clock runs
    tune_garbage_collector()
    process = psutil.Process()
    before = process.memory_info().rss
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    await worker.ownership.take(set(range(PARTITIONS)))
    restore_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    states = worker.pipeline.states
    found = sum(state.users for state in states.values())
    if found != users:
        raise SystemExit(f"{found} users came back, not {users}")
    progress = worker.ownership.progress
    assert progress is not None
    answer = {
        "outputs_read": progress.alerts + progress.letters,
        "restore_s": round(restore_s, 2),
        "restore_cpu_s": round(cpu_s, 2),
        "bytes_per_user": round(sum(s.nbytes for s in states.values()) / users, 1),
        "rss_bytes_per_user": round((process.memory_info().rss - before) / users, 1),
    }
    if seconds:
        answer |= await _cost(worker, chosen, users, events_per_s, seconds)
    await worker.checkpoints.stop()
    return answer


async def _cost(
    worker: Worker, chosen: Settings, users: int, events_per_s: float, seconds: float
) -> dict[str, Any]:
    """Core seconds per second's worth of the same traffic, with checkpoints and without."""
    sample = Sample.simulate(EventDecoder(chosen.product_contract()), users)
    states = worker.pipeline.states
    sources = [
        traffic(sample, state, share(users, n), events_per_s / PARTITIONS, seed=n)
        for n, state in states.items()
    ]
    worker.checkpoints.committed = lambda number: states[number].next_offset

    async def run(duration_s: float) -> tuple[float, float]:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        second = 0
        while time.perf_counter() - began_s < duration_s:
            for state, source in zip(states.values(), sources, strict=True):
                columns = next(source)
                await worker.pipeline.in_scorer(_step(worker, state, columns))
                await asyncio.sleep(1 / PARTITIONS / 2)
            second += 1
            await asyncio.sleep(max(0.0, began_s + second - time.perf_counter()))
        cpu_s, wall_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
        return cpu_s / second, second * events_per_s / wall_s

    await run(5)  # caches, page faults
    worker.checkpoints.start()
    on, kept_up = await run(seconds)
    await worker.checkpoints.stop()
    value = worker.metrics.registry.get_sample_value
    off, _ = await run(seconds)
    written = value("hark_checkpoints_total", {"outcome": "written"}) or 0
    return {
        "checkpoint_core_share": round(on - off, 4),
        "core_share_with": round(on, 4),
        "core_share_without": round(off, 4),
        "events_per_s_taken_in": round(kept_up, 1),
        "checkpoints": int(written),
        "checkpoint_rows": int(value("hark_checkpoint_rows_total") or 0),
        "checkpoint_mib": round((value("hark_checkpoint_bytes_total") or 0) / 2**20, 1),
    }


def _step(worker: Worker, state: Any, columns: Any) -> Callable[[], None]:
    return lambda: apply(worker.scorer, state, columns)


def share(users: int, number: int) -> int:
    """Users of one partition."""
    return users // PARTITIONS + (number < users % PARTITIONS)


async def _commit(chosen: Settings, offsets: dict[int, int]) -> None:
    """Let the group be where the states are."""
    kafka = chosen.kafka
    consumer: AIOKafkaConsumer = AIOKafkaConsumer(
        **kafka.client(), group_id=kafka.group_id, enable_auto_commit=False
    )
    await consumer.start()
    topic = kafka.topic_prefix + EVENTS.name
    try:
        tps = {TopicPartition(topic, number): at for number, at in offsets.items()}
        consumer.assign(list(tps))
        await consumer.commit(tps)
    finally:
        await consumer.stop()


def main(what: str, arguments: str) -> None:
    """Do one of the two here and print what it found."""
    asked = json.loads(arguments)
    logs.configure("WARNING")
    chosen = settings(asked["bootstrap"], asked["prefix"], asked["users"], asked["checkpoint_s"])
    if what == "save":
        answer = asyncio.run(save(chosen, asked["users"]))
    else:
        answer = asyncio.run(
            restore(chosen, asked["users"], asked["events_per_s"], asked["seconds"])
        )
    print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:3])
