"""A Faust worker with one folded topic, in this process or, as a script, in its own.

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
from faust.types import TP, EventT

from streams.batches import RecordBatch
from streams.transport import batches, declare_batch_topic, install

Handler = Callable[[EventT[RecordBatch]], Awaitable[None]]


async def ack(event: EventT[RecordBatch]) -> None:
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
        settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.topic = topic
        self.group = group
        self.seen: list[RecordBatch] = []
        self.app = faust.App(
            group,
            broker=f"kafka://{bootstrap}",
            web_enabled=False,
            topic_disable_leader=True,
            store="memory://",
            datadir=tempfile.mkdtemp(),
            **{
                "broker_session_timeout": 6.0,
                "broker_heartbeat_interval": 0.5,
                "broker_rebalance_timeout": 20.0,
                "broker_commit_interval": 0.5,
                **(settings or {}),
            },
        )
        install(self.app, fold={topic}, **options)
        declared = declare_batch_topic(self.app, topic, queue_size=queue_size)

        async def work(stream: Any) -> None:
            async for event in batches(stream):
                self.seen.append(event.value)
                await handle(event)

        self.app.agent(declared, supervisor_strategy=mode.CrashingSupervisor)(work)

    @property
    def values(self) -> list[int]:
        """The numbers of all records the agent got."""
        return [int(value) for batch in self.seen for value in batch.values if value is not None]

    @property
    def consumer(self) -> Any:
        return self.app.consumer

    @property
    def assigned(self) -> set[TP]:
        """What the worker may read now: empty before it is ready and while it rebalances."""
        if not self.app.started or self.app.rebalancing or not self.consumer.flow_active:
            return set()
        return {tp for tp in self.consumer._get_active_partitions() if tp.topic == self.topic}

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
    async def report(event: EventT[RecordBatch]) -> None:
        event.ack()
        print(event.value.last_offset, flush=True)  # noqa: T201 - what the parent waits for

    worker = Worker(bootstrap, topic, group, report, settings={"broker_commit_interval": 3600.0})
    async with running(worker):
        await asyncio.sleep(3600)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_main(*sys.argv[1:4]))
