"""Where the topics of a partition's outputs end now: a checkpoint notes it before its capture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from streams.kafka.log import groupless_consumer


class OutputEnds:
    """Asks for the ends of `alerts` and `dead-letters`; connects at the first question.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    outputs
        The partitions of both topics that the outputs of a partition of `events` go to.
    """

    def __init__(
        self,
        client: dict[str, Any],
        outputs: Callable[[int], tuple[TopicPartition, TopicPartition]],
    ) -> None:
        self._client = client
        self.outputs = outputs
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def of(self, number: int) -> tuple[int, int]:
        """The ends of both for one partition of `events`; raises `TransientError`."""
        alerts, letters = self.outputs(number)
        async with self._lock:
            try:
                consumer = await self._connected()
                consumer.assign([alerts, letters])
                consumer.pause(alerts, letters)  # only their ends are of interest
                ends = await consumer.end_offsets([alerts, letters])
            except (KafkaError, OSError) as error:
                await self._disconnect()
                raise TransientError(
                    f"can't ask where {alerts.topic} and {letters.topic} end: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return ends[alerts], ends[letters]

    async def stop(self) -> None:
        """Close."""
        async with self._lock:
            await self._disconnect()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            self._consumer = groupless_consumer(self._client)
            await self._consumer.start()
        return self._consumer

    async def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
