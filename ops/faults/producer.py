"""The open-loop producer with its ledger, beside the faults, in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from ops.faults.audit import digest
from ops.publish.pace import Pace, at_rate
from ops.publish.publisher import Publisher
from ops.publish.segment import Records
from schemas.errors import TransientError

T = TypeVar("T")
_AGAIN_S = 0.5


class Background:
    """An event loop in a thread: what must go on while the faults happen."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hark-faults")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.call(_end_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` there and wait for it."""
        return self.begin(work).result()


async def _end_others() -> None:
    """Cancel what still runs in this loop, and wait until it has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@dataclass(slots=True)
class Ledger:
    """What the broker acknowledged.

    Attributes
    ----------
    acked
        By digest of the record's bytes, how many times.
    places
        (partition, first offset, number) of each acknowledgement.
    gaps
        How often the producer gave up and another went on after it.
    """

    acked: Counter[int] = field(default_factory=Counter)
    places: list[tuple[int, int, int]] = field(default_factory=list)
    gaps: int = 0

    def note(self, partition: int, offset: int, values: Sequence[bytes | None]) -> None:
        """The broker acknowledged these."""
        self.acked.update(map(digest, values))
        self.places.append((partition, offset, len(values)))


async def produce(
    client: dict[str, Any], topic: str, chunks: Iterable[Records], rate: float
) -> Ledger:
    """Send records at `rate` a second, whatever happens -> what was acknowledged.

    The schedule doesn't wait for the broker: what an outage holds up is sent when it is over. What
    a producer that gave up had in hand counts as not acknowledged.
    """
    ledger = Ledger()
    rest = iter(chunks)
    loop = asyncio.get_running_loop()
    begun, handed = loop.time(), 0

    def hand() -> Iterator[Records]:
        nonlocal handed
        for chunk in rest:
            handed += len(chunk)
            yield chunk

    def pace(already: int, since_s: float) -> Pace:
        due = at_rate(rate)
        return lambda times_ms, done: due(times_ms, already + done) - since_s

    while True:
        before = handed
        try:
            async with Publisher(client, topic, ledger.note) as publisher:
                await publisher.publish(hand(), pace(handed, loop.time() - begun))
            return ledger
        except TransientError:
            ledger.gaps += 1
            if handed == before:  # nothing could be begun
                await asyncio.sleep(_AGAIN_S)
