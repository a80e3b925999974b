"""Publish prepared records to Kafka on a schedule that doesn't slow down with the broker."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.partitioner import murmur2

from ops.publish.lane import BATCH_BYTES, Acked, Headers, Lane
from ops.publish.pace import Pace
from ops.publish.segment import Records
from schemas.errors import ConfigError, TransientError
from schemas.roles import Operation, Resource, Right
from schemas.topics import MAX_MESSAGE_BYTES
from streams.kafka.connect import user_of, why_not
from streams.kafka.permissions import refused

_TICK_S = 0.002
_UNSENT_LIMIT = 20_000  # as fast as possible only: a schedule is never held back
_TOPIC_WAIT_S = 5.0
_BREAK_OFF_S = 3.0


def key_hash(key: bytes) -> int:
    """Kafka's own clients' hash of a key: its partition is the rest modulo their number."""
    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed


@dataclass(slots=True)
class Published:
    """What became of a run; `sent` counts the records the broker acknowledged, by topic."""

    sent: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    late_ms: list[float] = field(default_factory=list)

    def summary(self, topic: str) -> dict[str, Any]:
        """The figures of one topic, and how late records left against their schedule."""
        sent = self.sent[topic]
        late = np.quantile(self.late_ms, [0.5, 0.99, 1.0]).round(2).tolist() if self.late_ms else []
        return {
            "sent": sent,
            "seconds": round(self.seconds, 3),
            "events_per_s": round(sent / self.seconds, 1) if self.seconds else 0.0,
            "mean_bytes": round(self.bytes[topic] / sent, 1) if sent else 0.0,
            "lateness_ms": dict(zip(("p50", "p99", "max"), late, strict=True)) if late else None,
        }


class Publisher:
    """An open-loop producer: acks from all replicas, idempotent, in order per key.

    Parameters
    ----------
    connection
        aiokafka's arguments for reaching the cluster (`settings.kafka.client()`).
    topic
        Where paced records go; records of other topics leave as soon as their turn comes.
    on_ack
        Shown what the broker acknowledged of `topic`, where it lies.
    headers
        Of every record.

    Examples
    --------
    ::

        async with Publisher(settings.kafka.client(), "events") as publisher:
            published = await publisher.publish(chunks, at_rate(1000.0))
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        topic: str,
        on_ack: Acked | None = None,
        headers: Headers = (),
    ) -> None:
        self.topic = topic
        self._on_ack = on_ack
        self._headers = headers
        self._connection = dict(connection)
        self._lanes: dict[str, list[Lane]] = {}
        self._hash_of: dict[bytes, int] = {}

    async def __aenter__(self) -> Publisher:
        self._producer = AIOKafkaProducer(
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
            **self._connection,
        )
        try:
            await self._producer.start()
            await self._open(self.topic)
        except TopicAuthorizationFailedError:
            await self._producer.stop()
            lost = Right("publisher", Resource.TOPIC, self.topic, Operation.WRITE)
            raise refused(user_of(self._connection), lost.role, [lost]) from None
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise await why_not(self._connection, error) from None
        except BaseException:
            await self._producer.stop()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.cancel()
        # Nobody waits for what is still unsent when the run was broken off.
        with suppress(TimeoutError):
            async with asyncio.timeout(None if kind is None else _BREAK_OFF_S):
                await self._producer.stop()

    async def _open(self, topic: str) -> list[Lane]:
        """A lane per partition of `topic`; a broker may create it at the first request."""
        try:
            async with asyncio.timeout(_TOPIC_WAIT_S):
                partitions = await self._producer.partitions_for(topic)
        except TimeoutError:
            raise ConfigError(f"no topic {topic}: run `hark topics create` first") from None
        on_ack = self._on_ack if topic == self.topic else None
        self._lanes[topic] = [
            Lane(self._producer, topic, p, on_ack, self._headers) for p in sorted(partitions)
        ]
        return self._lanes[topic]

    async def publish(
        self,
        chunks: Iterable[Records],
        pace: Pace | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Published:
        """Send every chunk, wait for the acknowledgements.

        Parameters
        ----------
        chunks
            Records in order; the next chunk is prepared in a thread while one is sent.
        pace
            When each is due; None sends as fast as the broker takes them.
        on_progress
            Called some times a second with the paced topic's records acknowledged so far.

        Raises
        ------
        TransientError
            The broker refused records or went away; what it acknowledged stays sent.
        """
        published = Published()
        started = time.monotonic()
        progress = asyncio.create_task(self._report(published, on_progress))
        try:
            done = 0
            async for chunk in _prefetched(chunks):
                lanes = self._lanes.get(chunk.topic) or await self._open(chunk.topic)
                for lane in lanes:
                    lane.published = published
                if pace is None or chunk.topic != self.topic:
                    await self._feed_at_once(chunk)
                else:
                    await self._feed(chunk, pace(chunk.times_ms, done), started, published)
                    done += len(chunk)
            for lanes in self._lanes.values():
                for lane in lanes:
                    await lane.drained()
        except (KafkaError, OSError) as error:
            total = published.sent.total()
            raise TransientError(f"Kafka took {total:,} records, then: {error!r}") from error
        finally:
            published.seconds = time.monotonic() - started
            progress.cancel()
        if on_progress is not None:
            on_progress(published.sent[self.topic])
        return published

    async def _feed_at_once(self, chunk: Records) -> None:
        lanes = self._lanes[chunk.topic]
        self._assign(chunk, 0, len(chunk))
        await asyncio.sleep(0)
        while sum(len(lane) for lane in lanes) > _UNSENT_LIMIT:
            await self._wait(_TICK_S)

    async def _feed(
        self, chunk: Records, due_s: np.ndarray[Any, Any], started: float, published: Published
    ) -> None:
        first = 0
        while first < len(chunk):
            now = time.monotonic() - started
            last = int(np.searchsorted(due_s, now, side="right"))
            if last > first:
                published.late_ms.append(float(now - due_s[first]) * 1000)
                self._assign(chunk, first, last)
                first = last
            elif due_s[first] > now:
                await self._wait(min(max(float(due_s[first]) - now, _TICK_S), 0.1))

    def _assign(self, chunk: Records, first: int, last: int) -> None:
        """Queue records `first` to `last` where Kafka's own clients would put their keys."""
        lanes, known = self._lanes[chunk.topic], self._hash_of
        count = len(lanes)
        for i in range(first, last):
            key = chunk.keys[i]
            hashed = known.get(key)
            if hashed is None:
                hashed = known[key] = key_hash(key)
            lanes[hashed % count].put(key, chunk.values[i])

    async def _wait(self, seconds: float) -> None:
        for lanes in self._lanes.values():
            for lane in lanes:
                lane.raise_failure()
        await asyncio.sleep(seconds)

    async def _report(
        self, published: Published, on_progress: Callable[[int], None] | None
    ) -> None:
        while on_progress is not None:
            on_progress(published.sent[self.topic])
            await asyncio.sleep(0.1)


async def _prefetched(chunks: Iterable[Records]) -> AsyncIterator[Records]:
    """The chunks in order, each prepared in a thread while the one before is being sent."""
    iterator: Iterator[Records] = iter(chunks)

    def following() -> asyncio.Task[Records | None]:
        return asyncio.create_task(asyncio.to_thread(next, iterator, None))

    upcoming = following()
    while (chunk := await upcoming) is not None:
        upcoming = following()
        yield chunk
