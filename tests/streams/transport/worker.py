"""A Faust worker that reads one topic in batches, in this process or, as a script, in its own.

As a script: `worker.py BOOTSTRAP TOPIC GROUP` prints one line per acked batch and never commits.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import faust
import mode
from aiokafka import TopicPartition

from streams.transport.consumer import Prepare
from streams.transport.transport import Delivery, Group, RecordBatch, batches, install

Handler = Callable[[Delivery], Awaitable[None]]


async def ack(event: Delivery) -> None:
    event.ack()


class Worker:
    """One member of a group; `seen` are the batches its agent got, in order."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        group: str,
        handle: Handler = ack,
        *,
        queue_size: int = 4,
        prepare: Prepare | None = None,
        ready: Callable[[], Awaitable[None]] | None = None,
        **group_options: Any,
    ) -> None:
        self.topic = topic
        self.group = group
        self.seen: list[RecordBatch] = []
        self.app = faust.App(group, web_enabled=False, datadir=tempfile.mkdtemp())
        options = {
            "session_timeout_s": 6.0,
            "heartbeat_s": 0.5,
            "rebalance_timeout_s": 20.0,
            "commit_s": 0.5,
            **group_options,
        }
        client = {"bootstrap_servers": bootstrap}
        self.consumer, channel = install(
            self.app,
            topic,
            client,
            Group(group, **options),
            queue_size=queue_size,
            prepare=prepare,
            ready=ready,
        )

        async def work(stream: Any) -> None:
            async for event in batches(stream):
                self.seen.append(event.value)
                await handle(event)

        self.app.agent(channel, supervisor_strategy=mode.CrashingSupervisor)(work)

    @property
    def values(self) -> list[int]:
        """The numbers of all records the agent got."""
        return [int(value) for batch in self.seen for value in batch.values if value is not None]

    @property
    def assigned(self) -> set[TopicPartition]:
        """What the worker may read now: empty before it is ready and while it rebalances."""
        return self.consumer.client.assignment() if self.consumer.flowing else set()

    async def start(self) -> None:
        self.app.finalize()
        await self.app.start()

    async def stop(self) -> None:
        await self.app.stop()


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def _main(bootstrap: str, topic: str, group: str) -> None:
    async def report(event: Delivery) -> None:
        event.ack()
        print(event.value.last_offset, flush=True)  # noqa: T201 - what the parent waits for

    worker = Worker(bootstrap, topic, group, report, commit_s=3600.0)
    async with running(worker):
        await asyncio.sleep(3600)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_main(*sys.argv[1:4]))
