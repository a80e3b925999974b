"""One Faust message per fetched record batch: the way in.

Faust makes several tasks per message, which bounds it to a few thousand events per second and
core. For the topics that ask for it, this transport hands each fetch of a partition to the agent
as one message whose value is a `RecordBatch`; all other topics stay as Faust has them.

::

    app = faust.App("hark", broker="kafka://127.0.0.1:9092")
    install(app, fold={"events"})
    events = declare_batch_topic(app, "events")

    @app.agent(events, supervisor_strategy=mode.CrashingSupervisor)
    async def score(stream):
        async for event in batches(stream):
            work_on(event.value)            # a RecordBatch
            event.ack()                     # only when its outputs are confirmed

What it promises (each has a contract test on a real broker, `tests/transport`):

1. It commits exactly the acked prefix, also over the holes that compaction and transactions
   leave; an ack of another generation is refused.
2. When partitions are revoked, agents finish the batches they have within `drain_timeout_s`,
   the commit follows, and only then are the partitions given up. The same on a stop.
3. At most `queue_size` batches wait for an agent, then fetching waits.
4. An exception in the agent stops the worker (`CrashingSupervisor`) and leaves the batch
   uncommitted: it is read again by whoever comes next.
5. Whatever was fetched but not delivered is read again; records below the offset reached are
   dropped.
6. A batch that waits for its agent while its partition is given up, sought or interrupted
   (`BatchConsumer.interrupt`) is passed over and read again.
7. Declare all topics before the app starts: a topic added later makes Faust resubscribe after
   45 s, with nothing assigned meanwhile.

Delivery is at least once. A batch's work must be much shorter than `broker_rebalance_timeout`,
or two workers evict each other for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, ClassVar, cast

import faust
from faust.transport.drivers.aiokafka import Transport
from faust.types import AppT, EventT, Message, StreamT, TopicT

from streams.batches import RecordBatch
from streams.consumer import BatchConsumer

__all__ = ["BatchTransport", "RecordBatch", "batches", "declare_batch_topic", "install"]


class BatchTransport(Transport):
    """Faust's aiokafka transport with batches for some topics.

    Parameters
    ----------
    app
        Brokers, credentials, group and time-outs come from its own settings; the bytes of one
        fetch per partition are `consumer_max_fetch_size`.
    fold
        Names of the topics that come in batches.
    max_batch_records
        A larger fetch is cut: it bounds the work that must end before a rebalance can.
    fetch_max_wait_ms
        How long the broker may hold a fetch that finds nothing. While it does, nothing else is
        fetched from that broker, so this adds to the latency of a busy partition.
    drain_timeout_s
        How long agents may go on with their batches when partitions are revoked or the worker
        stops; must be well below `broker_rebalance_timeout`.
    """

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer

    def __init__(
        self,
        app: AppT,
        *,
        fold: Iterable[str],
        max_batch_records: int = 4_000,
        fetch_max_wait_ms: int = 25,
        drain_timeout_s: float = 20.0,
    ) -> None:
        super().__init__(app.conf.broker_consumer, app)
        self.fold = frozenset(fold)
        self.max_batch_records = max_batch_records
        self.fetch_max_wait_ms = fetch_max_wait_ms
        self.drain_timeout_s = drain_timeout_s
        #: Awaited when all is drained and committed, before partitions are given up.
        self.drained: Callable[[], Awaitable[None]] | None = None


def install(app: AppT, fold: Iterable[str], **options: Any) -> BatchTransport:
    """Make `app` read the topics named in `fold` in batches; `options` as of `BatchTransport`.

    Call it before the first agent is declared: an agent binds the transport.
    """
    transport = BatchTransport(app, fold=fold, **options)
    app.transport = transport
    app.conf.stream_wait_empty = True  # on a stop, Faust then waits for `wait_empty`, our drain
    return transport


class BatchSchema(faust.Schema[Any, Any]):
    """Passes the record batch on as it is."""

    def loads_key(self, app: AppT, message: Message, **_: Any) -> None:
        return None

    def loads_value(self, app: AppT, message: Message, **_: Any) -> Any:
        return message.value


def declare_batch_topic(app: AppT, name: str, *, queue_size: int = 4) -> TopicT:
    """Declare a folded topic whose agent has at most `queue_size` batches waiting."""
    topic = app.topic(name, schema=BatchSchema())
    topic.maxsize = queue_size  # App.topic() drops its own maxsize argument
    return topic


async def batches(stream: StreamT[Any]) -> AsyncIterator[EventT[RecordBatch]]:
    """Events of a folded topic, each with a `RecordBatch`; the agent acks them itself."""
    stream.enable_acks = False  # Faust's own ack also acks a batch that failed
    consumer = cast("BatchConsumer", stream.app.consumer)
    async for event in stream.events():
        # One that waited here while its partition was given up would come before its time.
        if not consumer.pass_over(event.message):
            yield cast("EventT[RecordBatch]", event)
