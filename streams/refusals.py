"""Which records of a log were refused: what a replay of it must skip.

A record that broke a stage left no trace in the state. That it was refused is in the dead letters
and nowhere else: whether it breaks a later version, or the same one asked without output, isn't
the same question.
"""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from schemas.errors import Reason
from streams.log import Record, read_whole


async def read_refusals(
    client: dict[str, Any], letters: TopicPartition, log: TopicPartition, begin: int, end: int
) -> frozenset[int]:
    """Offsets of `log` from `begin` up to, not including, `end` that were `unprocessable`.

    Parameters
    ----------
    letters
        The partition of the dead letters that those of `log` go to.
    """
    if begin >= end:
        return frozenset()
    found: set[int] = set()
    async for records in read_whole(client, letters):
        found.update(offset for record in records if (offset := _refused(record, log)) >= 0)
    return frozenset(offset for offset in found if begin <= offset < end)


def _refused(record: Record, log: TopicPartition) -> int:
    """The offset in `log` of an unprocessable record, -1 for any other letter."""
    story = dict(record.headers)
    if story.get("hark-reason") != Reason.UNPROCESSABLE.encode():
        return -1
    where = story.get("hark-topic"), story.get("hark-partition")
    offset = story.get("hark-offset", b"")
    mine = where == (log.topic.encode(), str(log.partition).encode())
    return int(offset) if mine and offset.isdigit() else -1
