"""After a run: read every topic, compute offline what the log leads to, compare."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from aiokafka.structs import ConsumerRecord

from ops.faults.audit import Account, Audit
from ops.faults.evidence import evidence
from ops.faults.expected import Expected, differing_users, recover
from ops.faults.log_reader import committed, read_topic
from ops.faults.run import GROUP, Ran
from schemas.topics import ALERTS, DEAD_LETTERS, EVENTS, RECOMMENDATIONS

_BATCH = 700  # other cuts than a worker's


@dataclass(frozen=True, slots=True)
class Checked:
    """What the comparison found.

    Attributes
    ----------
    events
        Records in the log.
    users, histories_different
        Users known offline, and how many of all users have another history after recovery.
    """

    account: Account
    events: int
    users: int
    histories_different: int


async def check(ran: Ran, partitions: int) -> Checked:
    """Count everything; the cluster is up and the workers are gone."""
    servers = ran.settings.kafka.bootstrap_servers
    audit = Audit(ran.ledger.acked, await committed(servers, GROUP, EVENTS.name))
    expected = {number: Expected(ran.settings, number) for number in range(partitions)}
    events = 0
    async for records in _batches(servers, EVENTS.name):
        offline = expected[records[0].partition]
        for record in records:
            audit.see_event(record.partition, record.offset, record.value)
        for one in offline.take(EVENTS.name, records):
            audit.expect(one)
        events += len(records)
    for topic in (RECOMMENDATIONS.name, ALERTS.name, DEAD_LETTERS.name):
        async for record in read_topic(servers, topic):
            audit.see_output(evidence(topic, record.key, record.value, record.headers))
    recognised = sum(offline.duplicates for offline in expected.values())
    restored = await recover(ran.settings, partitions)
    return Checked(
        audit.account(recognised),
        events,
        sum(offline.state.users for offline in expected.values()),
        len(differing_users(restored, expected)),
    )


async def _batches(servers: str, topic: str) -> AsyncIterator[list[ConsumerRecord[Any, Any]]]:
    """The log of every partition, a batch at a time."""
    waiting: list[ConsumerRecord[Any, Any]] = []
    async for record in read_topic(servers, topic):
        if waiting and (len(waiting) == _BATCH or waiting[0].partition != record.partition):
            yield waiting
            waiting = []
        waiting.append(record)
    if waiting:
        yield waiting
