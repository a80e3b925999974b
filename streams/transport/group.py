"""How a worker reads its topic, and what it is in its consumer group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

_DAY_MS = 86_400_000
_REQUEST_S, _MARGIN_S = 40.0, 10.0
"""How long any request may take; a join waits for the slowest member, and this margin more."""


@dataclass(frozen=True, slots=True)
class Group:
    """Settings of a member of a consumer group.

    Attributes
    ----------
    group_id
        The consumer group.
    session_timeout_s, heartbeat_s
        The group removes a member after this long without a heartbeat; time between heartbeats,
        by which members learn of a rebalance: all wait for the last.
    drain_timeout_s
        How long the agent may go on with its batches when partitions are revoked or on a stop.
    rebalance_timeout_s
        How long members may take to give partitions up: the drain, commits and checkpoints.
    commit_s
        Time between two commits.
    max_fetch_bytes
        Largest fetch of a partition.
    max_batch_records
        A larger fetch is cut. This bounds the work that must end before a rebalance can.
    fetch_max_wait_ms
        How long the broker may hold a fetch that finds nothing. Meanwhile nothing else is fetched
        from that broker, so this adds to the latency of a busy partition.
    """

    group_id: str
    session_timeout_s: float = 10.0
    heartbeat_s: float = 0.3
    drain_timeout_s: float = 20.0
    rebalance_timeout_s: float = 60.0
    commit_s: float = 1.0
    max_fetch_bytes: int = 1_048_576
    max_batch_records: int = 4_000
    fetch_max_wait_ms: int = 25

    def new_client(self, client: Mapping[str, Any]) -> AIOKafkaConsumer:
        """The aiokafka consumer that the settings ask for, not started.

        Parameters
        ----------
        client
            Keyword arguments of the aiokafka client.
        """
        request_s = max(_REQUEST_S, self.rebalance_timeout_s + _MARGIN_S)
        return AIOKafkaConsumer(
            **client,
            group_id=self.group_id,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=self.max_fetch_bytes,
            fetch_max_wait_ms=self.fetch_max_wait_ms,
            session_timeout_ms=round(self.session_timeout_s * 1000),
            heartbeat_interval_ms=round(self.heartbeat_s * 1000),
            rebalance_timeout_ms=round(self.rebalance_timeout_s * 1000),
            request_timeout_ms=round(request_s * 1000),
            # The health check finds an agent that hangs, and knows what the agent waits for.
            max_poll_interval_ms=_DAY_MS,
            # A new class per consumer: the assignor keeps its assignment in the class.
            partition_assignment_strategy=(type("Sticky", (StickyPartitionAssignor,), {}),),
        )
