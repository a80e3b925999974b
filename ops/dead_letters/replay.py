"""Publish dead letters again: same bytes and key, to the topic and partition they came from."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ops.dead_letters.letters import Letter
from ops.dead_letters.replay_positions import ReplayPositions
from schemas.errors import TransientError
from schemas.topics import MAX_MESSAGE_BYTES

CHUNK = 500
CHUNK_S = 1.0


@dataclass(slots=True)
class Outcome:
    """Counts of letters; in a dry run, `published` counts those that would be published."""

    published: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class LetterReplay:
    """Replays letters while they are read, a chunk of them in memory at a time.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    topic
        Topic of the events; letters of other topics are skipped.
    positions
        Opened. Letters replayed before are skipped; letters published now are added.
    max_attempts
        A record that was refused so often is skipped.
    """

    def __init__(
        self, client: dict[str, Any], topic: str, positions: ReplayPositions, max_attempts: int
    ) -> None:
        self._client = client
        self._topic = topic
        self._positions = positions
        self._max_attempts = max_attempts

    async def skip_reason(self, letter: Letter) -> str:
        """Why a letter is skipped; empty if it may be replayed."""
        if letter.topic != self._topic:
            return "of another topic"
        if letter.attempt >= self._max_attempts:
            return "out of attempts"
        return "replayed before" if await self._positions.has(letter) else ""

    async def replayable(
        self, letters: AsyncIterator[Letter], outcome: Outcome
    ) -> AsyncIterator[Letter]:
        """Yield the letters that may be replayed; `outcome` counts these and the skipped."""
        async for letter in letters:
            if reason := await self.skip_reason(letter):
                outcome.skipped[reason] += 1
                continue
            outcome.published += 1
            outcome.reasons[letter.reason] += 1
            yield letter

    async def publish(
        self, letters: AsyncIterator[Letter], rate: float, on_progress: Callable[[int], None]
    ) -> None:
        """Publish letters in the order given, at most `rate` per second, and commit positions.

        Raises
        ------
        TransientError
            The broker refused a letter or went away; a second run resumes there.
        """
        producer = AIOKafkaProducer(
            **self._client,
            acks="all",
            enable_idempotence=True,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        size = max(1, min(CHUNK, int(rate * CHUNK_S)))
        done = 0
        chunk: list[Letter] = []

        async def flush(count: int) -> None:
            sent = [await self._send(producer, letter, count) for letter in chunk]
            await asyncio.gather(*sent)
            await self._positions.keep(chunk)

        try:
            await producer.start()
            count = len(await producer.partitions_for(self._topic))
            started = time.monotonic()
            async for letter in letters:
                chunk.append(letter)
                if len(chunk) == size:
                    await flush(count)
                    done += len(chunk)
                    chunk.clear()
                    on_progress(done)
                    await asyncio.sleep(max(0.0, started + done / rate - time.monotonic()))
            if chunk:
                await flush(count)
        except (KafkaError, OSError) as error:
            raise TransientError(
                f"{done:,} letters were published, then Kafka failed: {error!r}; run it again"
            ) from error
        finally:
            await producer.stop()

    async def _send(
        self, producer: AIOKafkaProducer, letter: Letter, partitions: int
    ) -> asyncio.Future[Any]:
        """Send a letter with the record's timestamp, the event's time where it has none."""
        sent: asyncio.Future[Any] = await producer.send(
            self._topic,
            letter.value,
            letter.key,
            # The partition of the user's history; by key where the topic now has fewer partitions.
            partition=letter.partition if letter.partition < partitions else None,
            timestamp_ms=letter.timestamp if letter.timestamp >= 0 else None,
            headers=[*letter.headers, ("hark-attempt", str(letter.attempt).encode())],
        )
        return sent
