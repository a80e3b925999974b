"""One message per fetched record batch: the way into the agent of a Faust app.

Faust makes several tasks per message, which bounds it to a few thousand events per second and
core. So its own consumer stays off: the app's agent reads a channel, and a `BatchConsumer`, a
service of the app, fills it with what each fetch of a partition brought.

::

    app = faust.App("hark")
    consumer, channel = install(app, "events", client, Group("hark"))

    @app.agent(channel, supervisor_strategy=mode.CrashingSupervisor)
    async def score(stream):
        async for event in batches(stream):
            work_on(event.value)            # a RecordBatch
            event.ack()                     # only when its outputs are confirmed

What it promises (each has a contract test on a real broker, `tests/transport`):

1. It commits exactly the acked prefix, also over the holes that compaction and transactions
   leave; an ack of another generation is refused, and a commit never goes back.
2. When partitions are revoked, agents finish the batches they have within `drain_timeout_s`,
   the commit follows, and only then are the partitions given up. The same on a stop.
3. At most `queue_size` batches wait for the agent, then fetching waits.
4. An exception in the agent stops the worker (`CrashingSupervisor`) and leaves the batch
   uncommitted: it is read again by whoever comes next.
5. Whatever was fetched but not delivered is read again; records below the offset reached are
   dropped.
6. A batch that waits for the agent while its partition is given up or sought is passed over and
   read again.
7. Nothing of a partition is delivered before `prepare` is done with it, however long that takes.

Delivery is at least once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

from faust.app.base import BootStrategy
from faust.types import AppT, ChannelT, StreamT

from streams.transport.consumer import BatchConsumer, Delivery, Group, Put
from streams.transport.record_batch import RecordBatch

__all__ = ["BatchConsumer", "Delivery", "Group", "RecordBatch", "batches", "install"]


def install(
    app: AppT,
    topic: str,
    client: Mapping[str, Any],
    group: Group,
    *,
    queue_size: int = 4,
    **options: Any,
) -> tuple[BatchConsumer, ChannelT[Delivery]]:
    """Let `app` read `topic` in batches, and nothing else of Kafka.

    Parameters
    ----------
    client, group, options
        Of `BatchConsumer`.
    queue_size
        Batches that wait for the agent at most.

    Returns
    -------
    tuple
        The consumer, a service that starts and stops with the app, and the agent's channel.
    """
    app.boot_strategy = BootStrategy(app, enable_kafka=False)
    channel = app.channel(maxsize=queue_size)
    consumer = BatchConsumer(topic, client, group, cast("Put", channel.put), **options)
    app.service(consumer)
    app.flow_control.resume()  # Faust's own consumer would; it starts suspended
    return consumer, channel


async def batches(stream: StreamT[Delivery]) -> AsyncIterator[Delivery]:
    """Record batches for the agent, which acks each itself."""
    async for delivery in cast("AsyncIterator[Delivery]", stream):
        # What waited here while its partition was given up comes again.
        if delivery.consumer.take(delivery):
            yield delivery
