"""Feeds the agent of a Faust app with one message per fetched record batch.

Faust makes several tasks per message, which limits it to a few thousand messages per second and
core. So Faust's own consumer stays off. The app's agent reads a channel, and a `BatchConsumer`, a
service of the app, fills the channel with a batch per fetch of a partition.

::

    app = faust.App("hark")
    consumer, channel = install(app, "events", client, Group("hark"))

    @app.agent(channel, supervisor_strategy=mode.CrashingSupervisor)
    async def score(stream):
        async for event in batches(stream):
            work_on(event.value)            # a RecordBatch
            event.ack()                     # only when its outputs are confirmed

The promises (`tests/streams/transport` has a contract test on a real broker for each):

1. Exactly the acked prefix is committed, also across the holes that compaction and transactions
   leave. An ack from an earlier generation is refused, and a commit never goes back.
2. When partitions are revoked, the agent finishes its batches within `drain_timeout_s`, then the
   offsets are committed, and only then are the partitions given up. The same holds on a stop.
3. At most `queue_size` batches wait for the agent; then fetching waits.
4. An exception in the agent stops the worker (`CrashingSupervisor`) and leaves the batch
   uncommitted: the partition's next owner reads it again.
5. Records that were fetched but not delivered are read again; records below the offset reached
   are dropped.
6. A batch that waits for the agent while its partition is revoked or sought is skipped and read
   again.
7. No record of a partition is delivered before `prepare` has let it go or finished, however long
   that takes. Partitions that `prepare` lets go don't wait for the others.

Delivery is at least once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from faust.app.base import BootStrategy
from faust.types import AppT, ChannelT, StreamT

from streams.transport.consumer import BatchConsumer, Delivery, Put, Read
from streams.transport.group import Group
from streams.transport.record_batch import RecordBatch

__all__ = ["BatchConsumer", "Delivery", "Group", "Read", "RecordBatch", "batches", "install"]


def install(
    app: AppT,
    topic: str,
    client: Mapping[str, Any],
    group: Group,
    *,
    queue_size: int = 4,
    **options: Any,
) -> tuple[BatchConsumer, ChannelT[Delivery]]:
    """Let `app` read `topic` in batches, and switch off Faust's own use of Kafka.

    Parameters
    ----------
    topic, client, group, options
        Arguments of `BatchConsumer`.
    queue_size
        Most batches that wait for the agent.

    Returns
    -------
    tuple
        The consumer, a service that starts and stops with the app; and the agent's channel.
    """
    app.boot_strategy = BootStrategy(app, enable_kafka=False)
    channel = app.channel(maxsize=queue_size)
    consumer = BatchConsumer(topic, client, group, cast("Put", channel.put), **options)
    app.service(consumer)
    app.flow_control.resume()  # it starts suspended, and Faust's own consumer is off
    return consumer, channel


async def batches(stream: StreamT[Delivery]) -> AsyncIterator[Delivery]:
    """Record batches for the agent; the agent must ack each batch."""
    async for delivery in cast("AsyncIterator[Delivery]", stream):
        # A batch whose partition was given up while it waited here is read again.
        if delivery.consumer.start_work(delivery):
            yield delivery
