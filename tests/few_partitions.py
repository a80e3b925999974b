"""Hark's topics as tests make them: few partitions, so that a worker has few states to bring."""

from __future__ import annotations

from schemas import topics as table

PARTITIONS = 4


def topics(prefix: str = "") -> tuple[table.TopicSpec, ...]:
    """All topics, with `PARTITIONS` of `events` and of what follows it."""
    return table.topics(prefix, PARTITIONS)
