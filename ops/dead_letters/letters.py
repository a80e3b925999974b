"""Dead letters: read from their topic and filtered."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import TransientError
from schemas.topics import TopicSpec
from streams.kafka.cluster_check import check_cluster
from streams.kafka.log import Record, groupless_consumer, read_range


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes
    ----------
    at
        Partition and offset in the topic of dead letters.
    dead_ms
        Time at which it was written there, in ms since 1970.
    topic, partition, offset, timestamp
        Coordinates and timestamp of the refused record.
    attempt
        How often the record has been refused.
    key, value, headers
        The record's own key, value and headers.
    """

    at: tuple[int, int]
    dead_ms: int
    topic: str
    partition: int
    offset: int
    timestamp: int
    reason: str
    detail: str
    code_version: str
    attempt: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    @classmethod
    def read(cls, record: Record) -> Letter | None:
        """Parse a record of the topic; None where Hark didn't write it."""
        fields = {name: value.decode(errors="replace") for name, value in record.headers}
        try:
            return cls(
                at=(record.partition, record.offset),
                dead_ms=record.timestamp,
                topic=fields["hark-topic"],
                partition=int(fields["hark-partition"]),
                offset=int(fields["hark-offset"]),
                timestamp=int(fields["hark-timestamp"]),
                reason=fields["hark-reason"],
                detail=fields["hark-detail"],
                code_version=fields["hark-code-version"],
                attempt=int(fields["hark-attempt"]),
                key=record.key,
                value=record.value,
                headers=tuple((n, v) for n, v in record.headers if not n.startswith("hark-")),
            )
        except (KeyError, ValueError):
            return None

    @property
    def coordinates(self) -> str:
        """Coordinates of the refused record, as `hark dead-letters show` takes them."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter of letters by reason, time and partition of the events; None admits any."""

    reasons: frozenset[str] | None = None
    since_ms: int | None = None
    partition: int | None = None

    def admits(self, letter: Letter) -> bool:
        """Whether `letter` passes the filter."""
        return (
            (self.reasons is None or letter.reason in self.reasons)
            and (self.since_ms is None or letter.dead_ms >= self.since_ms)
            and (self.partition is None or letter.partition == self.partition)
        )


async def read_letters(
    client: dict[str, Any], topic: TopicSpec, wanted: Wanted
) -> AsyncGenerator[Letter, None]:
    """Yield the wanted letters that exist now, oldest first within each partition.

    Raises
    ------
    ConfigError
        Kafka can't be reached, or there is no such topic.
    TransientError
        Kafka went away.
    """
    found = await check_cluster(client, [topic])
    consumer = groupless_consumer(client)
    try:
        await consumer.start()
        for number in range(found[topic.name]):
            async with aclosing(_partition(consumer, topic.name, number, wanted)) as letters:
                async for letter in letters:
                    yield letter
    except (KafkaError, OSError) as error:
        raise TransientError(f"no Kafka at {client['bootstrap_servers']}: {error}") from error
    finally:
        await consumer.stop()


async def _partition(
    consumer: Any, topic: str, number: int, wanted: Wanted
) -> AsyncGenerator[Letter, None]:
    partition = TopicPartition(topic, number)
    consumer.assign([partition])
    end = (await consumer.end_offsets([partition]))[partition]
    begin = (await consumer.beginning_offsets([partition]))[partition]
    if wanted.since_ms is not None:
        later = (await consumer.offsets_for_times({partition: wanted.since_ms}))[partition]
        begin = end if later is None else max(begin, later.offset)
    consumer.seek(partition, begin)
    async for records in read_range(consumer, partition, end):
        for record in records:
            letter = Letter.read(record)
            if letter is not None and wanted.admits(letter):
                yield letter
