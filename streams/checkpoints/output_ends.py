"""The present ends of a partition's output topics, which a checkpoint notes before its capture."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from streams.kafka.log import groupless_consumer


class OutputEnds:
    """Asks for the end offsets of `alerts` and `dead-letters`; connects at the first call.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    outputs
        Returns the partitions of both topics with the outputs of a partition of `events`.
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
        """End offsets of `alerts` and `dead-letters` for a partition of `events`.

        Raises
        ------
        TransientError
            The brokers don't answer.
        """
        alerts, letters = self.outputs(number)
        async with self._lock:
            try:
                consumer = await self._connected()
                consumer.assign([alerts, letters])
                consumer.pause(alerts, letters)  # their records aren't needed
                ends = await consumer.end_offsets([alerts, letters])
            except (KafkaError, OSError) as error:
                await self._disconnect()
                raise TransientError(
                    f"can't ask where {alerts.topic} and {letters.topic} end: "
                    f"{type(error).__name__}: {error}"
                ) from error
        return ends[alerts], ends[letters]

    async def stop(self) -> None:
        """Close the connection."""
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
