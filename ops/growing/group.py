"""What growing asks of Kafka beside copying: members and offsets of a group, ends, a sample."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from ops.growing.copier import Offsets
from schemas.errors import TransientError
from streams.kafka.log import Record, groupless_consumer, read_range

_SETTLED_S = 90.0
_POLL_S = 0.05


async def members(client: dict[str, Any], group: str) -> int:
    """Number of members of a consumer group.

    Raises
    ------
    TransientError
        The brokers don't say.
    """
    admin = AIOKafkaAdminClient(**client)
    try:
        await admin.start()
        (answer,) = await admin.describe_consumer_groups([group])
    except (KafkaError, OSError) as error:
        why = f"{type(error).__name__}: {error}"
        raise TransientError(f"can't ask for the members of group {group}: {why}") from error
    finally:
        await admin.close()
    (_code, _group, _state, _type, _protocol, found, *_) = answer.groups[0]
    return len(found)


async def commit(client: dict[str, Any], group: str, offsets: Offsets) -> None:
    """Commit offsets for a group without members.

    Raises
    ------
    TransientError
        They aren't committed, for example because the group has a member.
    """
    consumer: AIOKafkaConsumer = AIOKafkaConsumer(
        **client, group_id=group, enable_auto_commit=False
    )
    try:
        await consumer.start()
        consumer.assign(list(offsets))
        await consumer.commit(offsets)
    except (KafkaError, OSError) as error:
        why = f"{type(error).__name__}: {error}"
        raise TransientError(
            f"group {group} can't be placed on the new topic ({why}): run the same command again"
        ) from error
    finally:
        await consumer.stop()


async def settled_ends(client: dict[str, Any], partitions: Sequence[TopicPartition]) -> Offsets:
    """The ends of partitions, once every transaction before them is visible.

    A commit is confirmed before the brokers have marked it in all partitions; until then a reader
    doesn't see the records.

    Raises
    ------
    TransientError
        A transaction stays open.
    """
    seen = groupless_consumer(client)
    written: AIOKafkaConsumer = AIOKafkaConsumer(**client, group_id=None, enable_auto_commit=False)
    tps = list(partitions)
    try:
        await seen.start()
        await written.start()
        ends = dict(await written.end_offsets(tps))
        until_s = time.monotonic() + _SETTLED_S
        while not _reach(await seen.end_offsets(tps), ends):
            if time.monotonic() > until_s:
                raise TransientError(
                    f"a transaction on {tps[0].topic} stays open: run the same command again"
                )
            await asyncio.sleep(_POLL_S)
    except (KafkaError, OSError) as error:
        raise TransientError(f"asking for ends: {type(error).__name__}: {error}") from error
    finally:
        await seen.stop()
        await written.stop()
    return ends


def _reach(offsets: Offsets, ends: Offsets) -> bool:
    return all(offsets[tp] >= end for tp, end in ends.items())


async def sample(
    client: dict[str, Any], partitions: Sequence[TopicPartition], offsets: int
) -> AsyncIterator[Record]:
    """The records of the first `offsets` offsets of each partition."""
    consumer = groupless_consumer(client)
    try:
        await consumer.start()
        consumer.assign(list(partitions))
        begins = await consumer.beginning_offsets(list(partitions))
        for tp in partitions:
            async for records in between(consumer, tp, begins[tp], begins[tp] + offsets):
                for record in records:
                    yield record
    finally:
        await consumer.stop()


async def between(
    consumer: AIOKafkaConsumer, tp: TopicPartition, begin: int, end: int
) -> AsyncIterator[Sequence[Record]]:
    """The records of a partition from `begin` to `end` (exclusive), fetch by fetch."""
    consumer.assign([tp])
    consumer.seek(tp, begin)
    async for records in read_range(consumer, tp, end):
        yield records
