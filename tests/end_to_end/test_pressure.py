"""A producer that outruns the worker fills the broker's disk, not the worker's memory."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
from aiokafka import AIOKafkaProducer

from ops.demo.scrape import Scrape
from ops.kafka_admin.topics import create_topics
from tests.end_to_end.running import until
from tests.end_to_end.test_worker_process import broken_worker
from tests.few_partitions import topics

EVENTS, NOTE = 16_000, b"x" * 5_000
EVENT = b'{"messageId":"slow%d","userId":"u%d","event":"Product Viewed","note":"%s"}'
WATCHED_S = 6.0
MAX_GROWTH_BYTES = 40 << 20
"""Half of what is published: the batches that wait or are scored, and what is fetched ahead."""


async def outrun(bootstrap: str, topic: str) -> None:
    """80 MB into one partition, as fast as the broker takes them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=500_000, linger_ms=5)
    await producer.start()
    try:
        for number in range(EVENTS):
            value = EVENT % (number, number % 50, NOTE)
            await producer.send(topic, value, b"ann", partition=0)
        await producer.flush()
    finally:
        await producer.stop()


async def test_memory_stays_flat_while_the_lag_grows(
    kafka_bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    await create_topics({"bootstrap_servers": kafka_bootstrap}, topics(topic_prefix), 1)
    with broken_worker(tmp_path, kafka_bootstrap, topic_prefix) as worker:
        await asyncio.to_thread(worker.wait_until_ready)
        process = psutil.Process(worker.process.pid)

        def scraped(name: str) -> float:
            return Scrape(worker.get("/metrics")[1]).total(name)

        publishing = asyncio.create_task(outrun(kafka_bootstrap, f"{topic_prefix}events"))
        await until(lambda: scraped("hark_batches_total") >= 2, "it works")
        before, sizes, end = process.memory_info().rss, [0], time.monotonic() + WATCHED_S
        while time.monotonic() < end or not publishing.done():
            sizes.append(process.memory_info().rss)
            await asyncio.sleep(0.2)
        await publishing
        assert scraped("hark_lag_records") > EVENTS / 4, "it is far behind"
        assert max(sizes) - before < MAX_GROWTH_BYTES
