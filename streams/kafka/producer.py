"""Publishes outputs in bulk; the broker confirms them before their batch is acked.

All outputs of an input partition go to the output partition of the same number. So a batch needs a
single request per topic, a user's outputs stay in order, and a worker that takes a partition over
knows where its alerts are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.errors import TransientError

BATCH_BYTES = 900_000
Headers = Sequence[tuple[str, bytes]]


class Output(msgspec.Struct, gc=False):
    """One message to publish; `topic` is the name on the wire."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


class OutputProducer:
    """An idempotent producer that publishes lists of outputs and waits for the broker.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client (`Settings.kafka.client()`).
    max_message_bytes
        Largest request; the topics allow as much.
    timeout_s
        How long the broker may take before the batch counts as failed.
    """

    def __init__(
        self, client: dict[str, Any], *, max_message_bytes: int, timeout_s: float = 30.0
    ) -> None:
        self._options = {
            **client,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_batch_size": BATCH_BYTES,
            "max_request_size": max_message_bytes,
            "request_timeout_ms": int(timeout_s * 1000),
        }
        self._timeout_s = timeout_s
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect; must run in the loop that publishes."""
        producer = AIOKafkaProducer(**self._options)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def stop(self) -> None:
        """Flush and close."""
        if self._producer is not None:
            await self._producer.stop()
            self._producer = None

    async def send(self, outputs: Iterable[Output], partition: int) -> list[asyncio.Future[Any]]:
        """Hand outputs to the producer -> futures to `confirm` before acking.

        Parameters
        ----------
        outputs
            In the order in which consumers must see them (per topic).
        partition
            The input partition; the output partition is this number modulo the topic's partitions.

        Raises
        ------
        TransientError
            The producer can't accept the outputs: nothing may be acked.
        """
        by_topic: dict[str, list[Output]] = {}
        for output in outputs:
            by_topic.setdefault(output.topic, []).append(output)
        try:
            groups = [await self._send(topic, partition, by_topic[topic]) for topic in by_topic]
        except (KafkaError, TimeoutError) as error:
            raise _not_confirmed(error) from error
        return [future for futures in groups for future in futures]

    async def confirm(self, sent: list[asyncio.Future[Any]]) -> None:
        """Return once the broker has confirmed all of `sent`.

        Raises
        ------
        TransientError
            The broker refused an output, or didn't confirm in time: nothing may be acked.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.gather(*sent)
        except (KafkaError, TimeoutError) as error:
            raise _not_confirmed(error) from error

    async def _send(
        self, topic: str, partition: int, outputs: list[Output]
    ) -> list[asyncio.Future[Any]]:
        producer = self._producer
        if producer is None:
            raise TransientError("the output producer isn't running")
        target = partition % len(await producer.partitions_for(topic))
        futures = []
        batch = producer.create_batch()
        for output in outputs:
            message = {
                "key": output.key,
                "value": output.value,
                "headers": list(output.headers),
                "timestamp": None,
            }
            if batch.append(**message) is None:
                futures.append(await producer.send_batch(batch, topic, partition=target))
                batch = producer.create_batch()
                if batch.append(**message) is None:
                    raise TransientError(f"an output for {topic} is larger than a batch")
        if batch.record_count():
            futures.append(await producer.send_batch(batch, topic, partition=target))
        return futures


def _not_confirmed(error: Exception) -> TransientError:
    return TransientError(f"outputs not confirmed by the broker: {type(error).__name__}: {error}")
