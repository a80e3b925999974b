"""Which records of a log were refused: what a replay of it must skip.

A record that broke a stage left no trace in the state. That it was refused is in the dead letters
and nowhere else: whether it breaks a later version, or the same one asked without output, isn't
the same question.
"""

from __future__ import annotations

from typing import Any

from aiokafka import TopicPartition

from schemas.errors import Reason
from streams.kafka.log import Record, read_from


async def read_refusals(
    client: dict[str, Any],
    letters: TopicPartition,
    letters_from: int,
    log: TopicPartition,
    begin: int,
    end: int,
) -> tuple[frozenset[int], int]:
    """Which records of `log` were `unprocessable`.

    Parameters
    ----------
    letters, letters_from
        The partition of the dead letters that those of `log` go to, and where to begin in it: all
        letters about records from `begin` on lie behind it.
    begin, end
        Offsets of `log`, `end` not included.

    Returns
    -------
    Their offsets, and how many letters were read.
    """
    if begin >= end:
        return frozenset(), 0
    found: set[int] = set()
    read = 0
    async for records in read_from(client, letters, letters_from):
        read += len(records)
        found.update(offset for record in records if (offset := _refused(record, log)) >= 0)
    return frozenset(offset for offset in found if begin <= offset < end), read


def _refused(record: Record, log: TopicPartition) -> int:
    """The offset in `log` of an unprocessable record, -1 for any other letter."""
    story = dict(record.headers)
    if story.get("hark-reason") != Reason.UNPROCESSABLE.encode():
        return -1
    where = story.get("hark-topic"), story.get("hark-partition")
    offset = story.get("hark-offset", b"")
    mine = where == (log.topic.encode(), str(log.partition).encode())
    return int(offset) if mine and offset.isdigit() else -1
