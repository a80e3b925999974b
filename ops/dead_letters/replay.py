"""Publish dead letters again: same bytes, same key, to the topic and partition they came from."""

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
    """What became of the letters; `published` counts what would have been in a dry run."""

    published: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class LetterReplay:
    """Replays letters that may be replayed, as they are read: a chunk of them is in memory.

    Parameters
    ----------
    client
        Keyword arguments of the aiokafka client.
    topic
        Of the events: letters of other topics stay.
    replayed
        Open; letters in it stay, and those published now are added.
    max_attempts
        A record that was refused so often stays.
    """

    def __init__(
        self, client: dict[str, Any], topic: str, replayed: ReplayPositions, max_attempts: int
    ) -> None:
        self._client = client
        self._topic = topic
        self._replayed = replayed
        self._max_attempts = max_attempts

    async def why_not(self, letter: Letter) -> str:
        """Why a letter stays; empty if it may go."""
        if letter.topic != self._topic:
            return "of another topic"
        if letter.attempt >= self._max_attempts:
            return "out of attempts"
        return "replayed before" if await self._replayed.has(letter) else ""

    async def going(
        self, letters: AsyncIterator[Letter], outcome: Outcome
    ) -> AsyncIterator[Letter]:
        """The letters that may go; `outcome` counts them and the others."""
        async for letter in letters:
            if why := await self.why_not(letter):
                outcome.skipped[why] += 1
                continue
            outcome.published += 1
            outcome.reasons[letter.reason] += 1
            yield letter

    async def publish(
        self, letters: AsyncIterator[Letter], rate: float, on_progress: Callable[[int], None]
    ) -> None:
        """Publish at most `rate` letters per second in the order given, and remember which.

        Raises
        ------
        TransientError
            The broker refused some or went away; a second run goes on from there.
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
            await self._replayed.keep(chunk)

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
                f"{done:,} letters published, then: {error!r}; run it again"
            ) from error
        finally:
            await producer.stop()

    async def _send(
        self, producer: AIOKafkaProducer, letter: Letter, partitions: int
    ) -> asyncio.Future[Any]:
        """With the record's own time, which is the event's where it names none."""
        sent: asyncio.Future[Any] = await producer.send(
            self._topic,
            letter.value,
            letter.key,
            # Where its user's history is; by key where the topic was made anew with fewer.
            partition=letter.partition if letter.partition < partitions else None,
            timestamp_ms=letter.timestamp if letter.timestamp >= 0 else None,
            headers=[*letter.headers, ("hark-attempt", str(letter.attempt).encode())],
        )
        return sent
